# SPDX-License-Identifier: BSD-3-Clause
"""The generator and the guests of a cell: every process and VM of them. Pure.

Law of fairness: they are made from scenario, testbed and topology, and do not depend on the switch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness import isolation, kernelnf, machine, nfs, ports, programs, qemu, topology
from harness.bed import Bed
from harness.cell import Cell
from harness.isolation import Isolation
from harness.nics import Nic, Tap, VhostUser
from harness.ownimage import OwnImage
from harness.scenario import fingerprint
from harness.switches.base import Step, inside
from harness.topology import GENERATOR

PAGE_MIB = 2            # hugepages of 2 MiB
GUEST_HUGEPAGES_MIB = 128
GUEST_LEAST_MIB = 256       # of a VM with these: the rest is for its kernel and our image,
GUEST_MORE_RATIO = 8        # which need more beside more hugepages: 104 MiB did for 128 MiB, 152 did not for 1024
OWN_IMAGE_MIB = 1024    # for a whole system, unless the scenario says otherwise
SSH_PORTS = range(20000, 32000)     # below those that Linux gives out by itself


@dataclass(frozen=True)
class Image:
    """What the peers are made of: our programs on the host, and the guest image."""

    build: str      # folder of pktgen, meter, vnf
    kernel: str
    initramfs: str
    programs: str = ""      # tar file of what the initramfs holds, for images of other people's


@dataclass(frozen=True)
class Peer:
    """The generator or a guest: a process on the host, or a VM with a process in it."""

    name: str                       # "generator", "guest1", ...
    role: str                       # "pktgen", "meter", "vnf"
    argv: tuple[str, ...]           # of our program
    env: tuple[tuple[str, str], ...]
    sockets: tuple[str, ...]        # that it makes, in this order
    vm: qemu.Vm | None = None


def peers_of(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str, vhost_net: bool,
             apart: Isolation) -> Iterator[Peer]:
    """The generator first, if it holds ports, then the guests in order. Arguments as of plan.setup."""
    if cell.topology.ports_of(GENERATOR):
        yield _entered(cell, folder, _host_peer(cell, bed, image, folder, GENERATOR, "pktgen"), apart)
    for guest in cell.topology.guests:
        if cell.guest == "qemu":
            yield _vm_peer(cell, bed, image, folder, logs, guest, accel, _nics(cell, folder, guest.name, vhost_net))
        else:
            yield _entered(cell, folder, _host_peer(cell, bed, image, folder, guest.name, guest.role), apart)


def isolating(cell: Cell, folder: str, apart: Isolation) -> list[Step]:
    """Makes what keeps process guests apart; nothing where there are none."""
    if cell.guest != "process":
        return []
    cpus = {name: (cell.cores.control, *cell.cores.all_of(name)) for name, _ in cell.cores.pollers}
    guests = [guest.name for guest in cell.topology.guests] if cell.port_kind not in ports.ON_DEVICES else []
    own = ports.namespace(folder)
    return isolation.steps(apart, own, [ports.of_peer(own, guest) for guest in guests], cpus)


def _entered(cell: Cell, folder: str, peer: Peer, apart: Isolation) -> Peer:
    """The process in what isolating() makes for it; on ports that are devices it is in its namespace already."""
    if cell.guest != "process":
        return peer
    own = ports.namespace(folder)
    outside = peer.name == GENERATOR or cell.port_kind in ports.ON_DEVICES
    namespace = "" if outside else ports.of_peer(own, peer.name)
    return replace(peer, argv=isolation.entered(apart, own, peer.name, namespace, peer.argv))


def _held(cell: Cell, peer: str) -> list[topology.Port]:
    """The ports that `peer` holds."""
    return [cell.topology.ports[i] for i in cell.topology.ports_of(peer)]


def _ends(cell: Cell, folder: str, peer: str) -> list[tuple[str, str]]:
    """(socket, MAC address) of each port that `peer` holds."""
    return [(socket_of(cell, folder, port), programs.mac(peer, port.peer_port)) for port in _held(cell, peer)]


def nf_of(cell: Cell, name: str) -> str:
    """The nf of a guest with its argument."""
    if not cell.nf or name == GENERATOR:
        return ""
    number = [g.name for g in cell.topology.guests].index(name) % (cell.chain_length or 1)
    return nfs.of_guest(cell.nf, cell.nf_arguments, 1 + number)


def _idle(cell: Cell, name: str, role: str, shared: str) -> str:
    """What a peer does without packets: an nf what the scenario says; else it gives way where it shares a CPU."""
    if role == "vnf" and cell.idle != "auto":
        return cell.idle
    return shared if cell.cores.shares(name) else "busy"


def _kernel_nf(cell: Cell, name: str) -> list[str]:
    """Options of kernelnf in a guest whose nf is the kernel's own; empty in others."""
    if (nf := nf_of(cell, name)) not in kernelnf.NAMES:
        return []
    ends = [(port.peer, port.peer_port) for port in _held(cell, name)]
    hops = [kernelnf.next_hop(cell.topology, cell.nf_names, end) for end in ends]
    return kernelnf.options(nf, [(programs.mac(*end), programs.mac(*hop)) for end, hop in zip(ends, hops)])


def _host_peer(cell: Cell, bed: Bed, image: Image, folder: str, name: str, role: str) -> Peer:
    idle = _idle(cell, name, role, "yield")
    ring_size, queues = ring_size_of(cell, bed), cell.virtio.queues
    options = programs.own(role, nf_of(cell, name), idle, ring_size, cell.frame_max_bytes, queues)
    mib = process_mib_of(cell, name)
    cpus = cell.cores.control, cell.cores.all_of(name)
    env = (("RUNTIME_DIRECTORY", folder),)
    binary = str(PurePosixPath(image.build) / role)
    if own := _kernel_nf(cell, name):
        binary = str(PurePosixPath(image.build) / kernelnf.PROGRAM)
        return Peer(name, role, inside(ports.of_peer(ports.namespace(folder), name), [binary, *own]), env, ())
    if cell.port_kind == "ring":
        argv = [binary, *programs.wired_eal(prefix_of(folder, name), *cpus, mib), *options, "--wires", "1"]
        return Peer(name, role, tuple(argv), env, ())
    if cell.port_kind in ports.ON_DEVICES:
        vdevs = [programs.device_vdev(cell.port_kind, i, port.end, ring_size, queues)
                 for i, port in enumerate(_held(cell, name))]
        namespace = ports.of_peer(ports.namespace(folder), name)
        eal = (programs.wired_eal(prefix_of(folder, name), *cpus, mib, vdevs) if cell.port_kind in ports.WITHOUT_HUGEPAGES
               else programs.host_eal(prefix_of(folder, name), *cpus, vdevs, mib))
        return Peer(name, role, inside(namespace, [binary, *eal, *options]), env, ())
    ends = _ends(cell, folder, name)
    devices = [programs.memif(i, socket, "server", ring_size, mac) if cell.port_kind == "memif"
               else programs.virtio_user(i, socket, mac, ring_size, cell.virtio) for i, (socket, mac) in enumerate(ends)]
    if cell.pci and name == GENERATOR:
        devices, ends = [own for own, _ in cell.pci[:len(ends)]], []
    argv = [binary, *programs.host_eal(prefix_of(folder, name), *cpus, devices, mib), *options]
    return Peer(name, role, tuple(argv), env, _made(cell, ends))


def _made(cell: Cell, ends: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The sockets that a peer makes."""
    return tuple(socket for socket, _ in ends) if cell.virtio.sockets == "peer" else ()


def _nics(cell: Cell, folder: str, guest: str, vhost_net: bool) -> tuple[Nic, ...]:
    if cell.port_kind in ports.ON_DEVICES:
        return tuple(Tap(port.name, programs.mac(guest, port.peer_port), vhost_net) for port in _held(cell, guest))
    return tuple(VhostUser(socket, mac) for socket, mac in _ends(cell, folder, guest))


def _more_mib(cell: Cell) -> int:
    """Larger frames take larger buffers and further queues take more, of which a VM gets as much more memory."""
    return programs.process_mib(cell.frame_max_bytes, cell.virtio.queues) - programs.PROCESS_MIB


def _least_mib(cell: Cell) -> int:
    """A guest with less stops in its boot ("System is deadlocked on memory"): hugepages leave its kernel nothing."""
    more_mib = _more_mib(cell)
    return GUEST_LEAST_MIB + more_mib + more_mib // GUEST_MORE_RATIO


def too_little_memory(cell: Cell) -> str:
    """Why the memory that the scenario gives VMs is too little; empty if it is not, or it gives none."""
    least_mib = _least_mib(cell)
    if not 0 < cell.machine.memory_mib < least_mib:
        return ""
    return (f"key 'memory_mib' is {cell.machine.memory_mib}: with {cell.virtio.queues} queue pairs and frames of "
            f"{cell.frame_max_bytes} bytes a VM takes at least {least_mib}")


def _vm_peer(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, guest: topology.Guest, accel: str,
             nics: tuple[Nic, ...]) -> Peer:
    cores, kind, ring_size = cell.cores, cell.virtio, ring_size_of(cell, bed)
    more_mib = _more_mib(cell)
    usual_mib = max(bed.guest_memory_mib, OWN_IMAGE_MIB) if cell.machine.image else bed.guest_memory_mib
    memory_mib = cell.machine.memory_mib or max(usual_mib + more_mib, _least_mib(cell))
    vm = qemu.Vm(
        name=guest.name, binary=bed.qemu_binary, accel=accel, memory_mib=memory_mib,
        hugepages=(GUEST_HUGEPAGES_MIB + more_mib) // PAGE_MIB, kernel=image.kernel, initramfs=image.initramfs,
        console_log=str(PurePosixPath(logs) / f"{guest.name}.console"),
        control_socket=str(PurePosixPath(folder) / f"{guest.name}.control"),
        qmp_socket=str(PurePosixPath(folder) / f"{guest.name}.qmp"),
        nics=nics, virtio=replace(kind, ring_size=ring_size),
        boot_cpus=tuple(sorted({*cores.switch, cores.control, *(cpu for _, cpu in cores.pollers)})),
        control_cpu=cores.control, vcpu_cpus=_vcpu_cpus(cell, guest.name),
        page_mib=machine.PAGES[cell.machine.hugepages], offloads=cell.machine.offloads,
        own=_own_image(cell, image, folder, guest.name), kernel_nics=bool(_kernel_nf(cell, guest.name)),
        namespace=ports.namespace(folder) if cell.port_kind in ports.ON_DEVICES else "")
    # the virtual CPUs share a host CPU with other pollers: a guest that idles lets them run
    idle = _idle(cell, guest.name, guest.role, "sleep")
    own = programs.own(guest.role, nf_of(cell, guest.name), idle, ring_size, cell.frame_max_bytes, kind.queues)
    argv = (guest.role, *programs.guest_eal(), *own)
    if vm.kernel_nics:
        argv = (kernelnf.PROGRAM, *_kernel_nf(cell, guest.name), "--cpu", str(kernelnf.VCPU))
    made = () if vm.namespace else _made(cell, _ends(cell, folder, guest.name))
    return Peer(guest.name, guest.role, argv, (), made, vm)


def _own_image(cell: Cell, image: Image, folder: str, guest: str) -> OwnImage | None:
    if not cell.machine.image:
        return None
    number = int(guest.removeprefix("guest"))
    port = SSH_PORTS[0] + (int(fingerprint([folder]), 16) + number) % len(SSH_PORTS)
    return OwnImage(cell.machine.image, cell.machine.image_format, str(PurePosixPath(folder) / f"{guest}.seed"), port,
                    f"02:76:73:6d:{number:02x}:00", image.programs)


def _vcpu_cpus(cell: Cell, guest: str) -> tuple[int, ...]:
    """The host CPU of every virtual CPU: vCPU 1 polls, the others serve the guest's kernel."""
    poller, control = cell.cores.of(guest), cell.cores.control
    return tuple(poller if vcpu == 1 else control for vcpu in range(cell.machine.vcpus))


def process_mib_of(cell: Cell, peer: str) -> int:
    """Memory of a peer that is a process: for each pair of ports as much."""
    pairs = -(-len(cell.topology.ports_of(peer)) // 2)
    return pairs * programs.process_mib(cell.frame_max_bytes, cell.virtio.queues)


def ring_size_of(cell: Cell, bed: Bed) -> int:
    """Descriptors of every ring of the cell."""
    return cell.virtio.ring_size or bed.ring_size


def prefix_of(folder: str, name: str) -> str:
    """DPDK's --file-prefix of a process of the cell with this folder."""
    return f"vsw-{fingerprint([folder])}-{name}"


def socket_of(cell: Cell, folder: str, port: topology.Port) -> str:
    """Beside the switch's folder, or in it where the switch makes it: there Open vSwitch's can only be."""
    inner = ("switch",) if cell.virtio.sockets == "switch" else ()
    return str(PurePosixPath(folder, *inner) / port.name)
