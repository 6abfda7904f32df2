# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's command line as a value: a function of the scenario and the testbed alone. Pure.

Guest memory is a memfd, of hugepages unless asked otherwise (nothing to clean up when QEMU is killed), shared so that
the switch can map it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.nics import Nic
from harness.ownimage import OwnImage
from harness.switches.base import inside
from harness.virtio import Virtio


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
    qmp_socket: str
    nics: tuple[Nic, ...]
    virtio: Virtio          # what the NICs are like; its ring_size is not 0
    boot_cpus: tuple[int, ...]      # host CPUs it may run on until it is ready; then
    control_cpu: int                # all threads are here,
    vcpu_cpus: tuple[int, ...]      # but each virtual CPU has its own
    page_mib: int = 2       # pages of its memory: hugepages of 2 or 1024 MiB, or 0 for pages of 4 KiB
    offloads: bool = False
    own: OwnImage | None = None     # boots this instead of our kernel
    kernel_nics: bool = False   # its kernel has the NICs, not DPDK
    namespace: str = ""     # network namespace of QEMU; empty: the machine's


CONTROL_PORT = "vswbench.control"


def argv(vm: Vm) -> list[str]:
    """The whole command line."""
    result = [vm.binary, "-name", vm.name, "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
              *_machine(vm), *_memory(vm), *_boot(vm), *_control(vm)]
    for index, nic in enumerate(vm.nics):
        result += _nic(index, nic, vm)
    result += vm.own.argv() if vm.own else []
    return list(inside(vm.namespace, result)) if vm.namespace else result


def _machine(vm: Vm) -> list[str]:
    accel = ["-accel", "kvm", "-cpu", "host"] if vm.accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    return ["-machine", "pc", *accel, "-smp", str(len(vm.vcpu_cpus)), "-m", str(vm.memory_mib)]


def _memory(vm: Vm) -> list[str]:
    pages = {0: "hugetlb=off", 2: "hugetlb=on,hugetlbsize=2M,prealloc=on",
             1024: "hugetlb=on,hugetlbsize=1G,prealloc=on"}[vm.page_mib]
    backend = f"memory-backend-memfd,id=mem,size={vm.memory_mib}M,share=on,{pages}"
    return ["-object", backend, "-numa", "node,memdev=mem"]


def _boot(vm: Vm) -> list[str]:
    console = ["-serial", f"file:{vm.console_log}"]
    if vm.own:
        return console
    # init_on_alloc=0: Debian zeroes every page it hands out, which under emulation makes hugepages cost a second
    cmdline = (f"console=ttyS0 quiet panic=-1 hugepages={vm.hugepages} init_on_alloc=0 mitigations=off nokaslr "
               "tsc=reliable no_timer_check cryptomgr.notests")
    return ["-kernel", vm.kernel, "-initrd", vm.initramfs, "-append", cmdline, *console]


def _control(vm: Vm) -> list[str]:
    return ["-device", "virtio-serial-pci",
            "-chardev", f"socket,id=control,path={vm.control_socket},server=on,wait=off",
            "-device", f"virtserialport,chardev=control,name={CONTROL_PORT}",
            "-qmp", f"unix:{vm.qmp_socket},server=on,wait=off"]


def _nic(index: int, nic: Nic, vm: Vm) -> Sequence[str]:
    kind = vm.virtio
    # an interrupt vector a queue, one for the control queue, one for changes of the configuration
    vectors = f",mq=on,vectors={2 * kind.queues + 2}" if kind.queues > 1 else ""
    if (vm.own or vm.kernel_nics) and vm.accel == "tcg" and nic.vhost:
        # a kernel's virtio_net takes the NIC, and QEMU 7.2 dies of its MSI-X set-up of a vhost NIC without KVM
        vectors = ",mq=on,vectors=0" if kind.queues > 1 else ",vectors=0"
    offloads = "" if vm.offloads else ",csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
    device = (f"virtio-net-pci,netdev=net{index},mac={nic.mac},rx_queue_size={kind.ring_size},"
              f"tx_queue_size={min(kind.ring_size, nic.tx_ring_max)}{vectors},mrg_rxbuf={'on' if kind.mergeable else 'off'}"
              f"{',packed=on' if kind.rings == 'packed' else ''}{offloads},romfile=")
    return [*nic.backend(index, kind), "-device", device]
