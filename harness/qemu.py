# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's command line as a value: a function of the scenario and the testbed alone. Pure.

Guest memory is a hugepage memfd (nothing to clean up when QEMU is killed), shared so that the switch can map it.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Nic:
    """A vhost-user NIC of the guest. QEMU owns the socket; the switch connects."""

    socket: str
    mac: str


@dataclass(frozen=True)
class Vm:
    """What a VM is made of. Paths as strings; memory in MiB."""

    name: str
    binary: str
    accel: str              # "kvm" or "tcg"
    memory_mib: int
    hugepages: int          # 2 MiB pages inside, for DPDK there
    kernel: str
    initramfs: str
    console_log: str
    control_socket: str
    nics: tuple[Nic, ...]
    ring_size: int
    cpus: tuple[int, ...]   # host CPUs it may run on
    hugetlb: bool = True    # guest memory of hugepages (vhost-user wants large pages; booting does not)


VCPUS = 2       # one for the guest's kernel and control thread, one that polls
CONTROL_PORT = "vswbench.control"


def argv(vm: Vm) -> list[str]:
    """The whole command line."""
    result = [vm.binary, "-name", vm.name, "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
              *_machine(vm), *_memory(vm), *_boot(vm), *_control(vm)]
    for index, nic in enumerate(vm.nics):
        result += _nic(index, nic, vm.ring_size)
    return result


def _machine(vm: Vm) -> list[str]:
    accel = ["-accel", "kvm", "-cpu", "host"] if vm.accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    return ["-machine", "pc", *accel, "-smp", str(VCPUS), "-m", str(vm.memory_mib)]


def _memory(vm: Vm) -> list[str]:
    pages = "hugetlb=on,hugetlbsize=2M,prealloc=on" if vm.hugetlb else "hugetlb=off"
    backend = f"memory-backend-memfd,id=mem,size={vm.memory_mib}M,share=on,{pages}"
    return ["-object", backend, "-numa", "node,memdev=mem"]


def _boot(vm: Vm) -> list[str]:
    # init_on_alloc=0: Debian zeroes every page it hands out, which under emulation makes hugepages cost a second
    cmdline = (f"console=ttyS0 quiet panic=-1 hugepages={vm.hugepages} init_on_alloc=0 mitigations=off nokaslr "
               "tsc=reliable no_timer_check cryptomgr.notests")
    return ["-kernel", vm.kernel, "-initrd", vm.initramfs, "-append", cmdline, "-serial", f"file:{vm.console_log}"]


def _control(vm: Vm) -> list[str]:
    return ["-device", "virtio-serial-pci",
            "-chardev", f"socket,id=control,path={vm.control_socket},server=on,wait=off",
            "-device", f"virtserialport,chardev=control,name={CONTROL_PORT}"]


def _nic(index: int, nic: Nic, ring_size: int) -> Sequence[str]:
    device = (f"virtio-net-pci,netdev=net{index},mac={nic.mac},rx_queue_size={ring_size},tx_queue_size={ring_size},"
              "mrg_rxbuf=on,csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,romfile=")
    return ["-chardev", f"socket,id=nic{index},path={nic.socket},server=on,wait=off",
            "-netdev", f"vhost-user,id=net{index},chardev=nic{index}",
            "-device", device]
