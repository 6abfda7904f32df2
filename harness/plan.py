# SPDX-License-Identifier: BSD-3-Clause
"""From scenarios and a testbed to cells, and from a cell to every command that it takes. Pure: no I/O, no clock.

Law of fairness: peers (generator and guests) and network devices are made from scenario, testbed and topology; of a
cell's Setup only `devices`, `launch` and `wire` may depend on the switch.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness import kernelnf, machine, nfs, ports, programs, qemu, topology, traffic, virtio
from harness.bed import Bed, SwitchEntry
from harness.cores import CorePlan, assign
from harness.errors import BadInput, Unsupported
from harness.machine import Machine
from harness.nics import Nic, Tap, VhostUser
from harness.ownimage import OwnImage
from harness.scenario import AUTO, NAME_MAX, Repeat, Scenario, Search, fingerprint
from harness.switches import EVERY, SWITCHES, find, options
from harness.switches.base import Driver, Site, Step, inside
from harness.topology import GENERATOR, Topology
from harness.traffic import Traffic
from harness.virtio import Virtio

PAGE_MIB = 2            # hugepages of 2 MiB
GUEST_HUGEPAGES_MIB = 128
OWN_IMAGE_MIB = 1024    # for a whole system, unless the scenario says otherwise
SSH_PORTS = range(20000, 32000)     # below those that Linux gives out by itself


@dataclass(frozen=True)
class Cell:
    """One point of the cross product scenario x switch."""

    id: str
    scenario: str
    switch: SwitchEntry
    topology: Topology
    guest: str              # "none", "process" or "qemu"
    nf: str                 # empty where no nf is in the path; "a+b": a chain of unlike ones
    direction: str
    port_kind: str
    frame_bytes: int        # of a genome the mean, rounded; where a file is replayed that of the probes
    flows: int
    search: Search
    cores: CorePlan
    unsupported: str = ""   # why this switch cannot do it; empty if it can
    traffic: Traffic | None = None
    repeat: Repeat = Repeat()
    idle: str = "auto"      # what an nf does without packets
    nf_arguments: tuple[tuple[str, str], ...] = ()
    virtio: Virtio = Virtio()
    machine: Machine = Machine()

    @property
    def point(self) -> str:
        """The cell's id without its switch: the same for all switches that are compared."""
        return self.id.removesuffix(f".{self.switch.name}")

    @property
    def chain_length(self) -> int:
        """Number of nfs in the chain; 0 where there is no loopback."""
        return self.topology.chain_length

    @property
    def nf_names(self) -> tuple[str, ...]:
        """The nf of each guest of the chain, in order."""
        return nfs.names(self.nf, self.chain_length)

    @property
    def has_latency(self) -> bool:
        """One TSC for sender and receiver: they are one process, or two on this host. A VM has a TSC of its own, and
        replayed frames carry no time."""
        return not self.replays and (self.topology.one_holds_both_ends or self.guest == "process")

    @property
    def replays(self) -> bool:
        """Its frames are those of a file."""
        return bool(self.traffic and self.traffic.replay)

    @property
    def frame_max_bytes(self) -> int:
        """The largest frame of the cell, or of every Ethernet."""
        return traffic.frame_max_bytes(self.traffic, self.frame_bytes)

    @property
    def variant(self) -> str:
        """What is not as usual of its ports and VMs; empty if nothing."""
        return "-".join(filter(None, (self.virtio.label, self.machine.label)))

    @property
    def flags(self) -> list[str]:
        """Warnings that the plan alone gives to every trial of the cell."""
        return ["oversubscribed"] if self.cores.oversubscribed else []

    @property
    def title(self) -> str:
        """For people."""
        parts = [self.topology.name, topology.way(self.topology.name, self.direction)]
        if self.guest != "none":
            parts.append(f"{self.guest} guest")
        if self.chain_length:
            parts.append(nfs.chain_text(self.chain_length, self.nf))
        if self.idle != "auto":
            parts.append(f"idle {self.idle}")
        if not self.replays:
            parts.append(f"{self.frame_bytes} B")
        if self.flows != 1:
            parts.append(f"{self.flows} flows")
        if self.port_kind != "vhost-user":
            parts.append(f"on {self.port_kind}")
        if self.traffic:
            parts.append(f"traffic {self.traffic.label}")
        parts += [self.variant] if self.variant else []
        return " ".join(parts)


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


@dataclass(frozen=True)
class Setup:
    """Everything that is started for a cell."""

    network: tuple[Step, ...]       # devices that are made before anything is started; none where ports are sockets
    peers: tuple[Peer, ...]
    site: Site
    launch: tuple[Step, ...]
    wire: tuple[Step, ...]
    hugepages: int                  # 2 MiB pages needed at the same time
    gigantic_pages: int = 0         # and pages of 1 GiB
    switch_first: bool = False      # it makes the sockets, so it starts before its peers
    devices: tuple[Step, ...] = ()  # that only this switch makes, behind the network and before the peers


# ---- cells ---------------------------------------------------------------------------------------------------------

def switch_entries(names: Sequence[str], bed: Bed) -> tuple[SwitchEntry, ...]:
    """Entries for names as typed: NAME, or NAME=DRIVER[@PREFIX][,key=value...]; the testbed's own entries are known by
    name."""
    return tuple(_switch_entry(name, {e.name: e for e in bed.switches}) for name in names)


def _switch_entry(text: str, known: dict[str, SwitchEntry]) -> SwitchEntry:
    name, equals, rest = text.partition("=")
    rest, _, typed = rest.partition(",")
    driver, _, prefix = rest.partition("@")
    entry = SwitchEntry(name, driver, prefix or "/usr") if equals else known.get(name, SwitchEntry(name, name, "/usr"))
    found = find(entry.driver)
    if found is None:
        names = ", ".join(d.name for d in SWITCHES)
        raise BadInput(f"switch '{text}': there is no driver '{entry.driver}'; known are {names}"
                       + (f" and {', '.join(known)} of the testbed" if known else ""))
    if not re.fullmatch(f"[A-Za-z0-9._+-]{{1,{NAME_MAX}}}", name):
        raise BadInput(f"switch '{text}': a name is made of at most {NAME_MAX} letters, digits and -._+")
    where = f"switch '{text}'"
    given = {**dict(entry.options), **options.typed(where, found.options, typed)}
    return replace(entry, options=options.checked(where, found.options, given))


def comparable() -> list[str]:
    """Every switch but the wire itself."""
    return [driver.name for driver in SWITCHES if driver.ports != ("ring",)]


def asks_for_all(scenarios: Iterable[Scenario], switches: Sequence[str]) -> bool:
    return EVERY in switches or not switches and any(EVERY in s.matrix["switch"] for s in scenarios)


def expand(scenarios: Iterable[Scenario], bed: Bed, cpus: Sequence[int], switches: Sequence[str] = (),
           found: Sequence[str] | None = None) -> list[Cell]:
    """All cells in the order of their measurement. `switches` (as typed) replaces those of the scenarios; "all" among
    them stands for `found`, or for every one that there is.

    Raises BadInput for combinations without meaning; what a switch cannot do becomes `unsupported`.
    """
    cells: dict[str, Cell] = {}
    for scenario in scenarios:
        names = switches or scenario.matrix["switch"]
        if not names:
            raise BadInput(f"{scenario.source}: no switch: set [matrix] switch = [...] or give --switch NAME")
        every = comparable() if found is None else found
        names = [n for name in names for n in (every if name == EVERY else [name])]
        try:
            entries = switch_entries(names, bed)
        except BadInput as why:
            raise why if switches else BadInput(f"{scenario.source}: [matrix]: key 'switch': {why}") from None
        for cell in _points(scenario, bed, cpus):
            if cell.port_kind == AUTO:
                kind = _common_kind(cell, entries)
                own = cell.virtio if kind == "vhost-user" else cell.virtio.of_a_ring_port
                cell = replace(cell, port_kind=kind, virtio=own)
            for entry in entries:
                mine = _for_switch(cell, entry)
                if mine.id in cells:
                    raise BadInput(f"{scenario.source}: cell {mine.id} comes twice")
                cells[mine.id] = mine
    return list(cells.values())


def _points(scenario: Scenario, bed: Bed, cpus: Sequence[int]) -> Iterator[Cell]:
    """The cells of a scenario without a switch; keys that a topology has no use for are taken out, once."""
    m = scenario.matrix
    keys = ("topology", "direction", "guest", "nf", "chain_length", "flows", "port_kind", "idle")
    kinds = [Virtio(*values) for values in itertools.product(*(m[key] for key in virtio.MATRIX))]
    mean = scenario.traffic.mean_frame_bytes if scenario.traffic else None
    sizes = m["frame_bytes"] if mean is None else (mean,)
    seen = set()
    for point in itertools.product(*(m[key] for key in keys), sizes, kinds):
        name, direction, guest, nf, chain, flows, kind, idle, size, ports = point
        if name != "loopback":
            nf, chain = topology.REFLECTOR if name in topology.ROUND_TRIPS else "", 0
            idle = "auto"
        chain = (len(nfs.chain(nf)) if name == "loopback" else 0) or chain
        if name == "p2p":
            guest = "none"
        elif guest == "none":
            continue
        ports = ports.of_a_ring_port if kind not in ("vhost-user", AUTO) else ports
        if (key := (name, direction, guest, nf, chain, flows, kind, idle, size, ports)) in seen:
            continue
        seen.add(key)
        try:
            topo = topology.build(name, chain, direction)
        except BadInput as why:
            raise BadInput(f"{scenario.source}: [matrix]: {why}") from None
        peers = ([GENERATOR] * bed.generator_cpus if topo.ports_of(GENERATOR) else []) + [g.name for g in topo.guests]
        try:
            cores = assign(cpus, bed.switch_cpus, peers)
        except BadInput as why:
            raise BadInput(f"{bed.source}: [cores]: {why}") from None
        yield Cell("", scenario.name, SwitchEntry("", "", ""), topo, guest, nf, direction, kind, size, flows,
                   scenario.search, cores, traffic=scenario.traffic, repeat=scenario.repeat, idle=idle,
                   nf_arguments=scenario.nf_arguments if nf else (), virtio=ports,
                   machine=scenario.machine if guest == "qemu" else Machine())


def _common_kind(cell: Cell, entries: Sequence[SwitchEntry]) -> str:
    """The kind of ports that most of the switches have, of those that the cell's guests have; of several the first."""
    kinds = [kind for kind in ports.PORT_KINDS if not _no_ports(replace(cell, port_kind=kind))]
    return max(kinds, key=lambda kind: sum(kind in _driver(entry).ports for entry in entries))


def _for_switch(cell: Cell, entry: SwitchEntry) -> Cell:
    parts = [cell.scenario, cell.topology.name, cell.direction]
    parts += [] if cell.guest == "none" else [cell.guest]
    parts += [f"{cell.chain_length}{cell.nf}"] if cell.chain_length else []
    parts += [] if cell.idle == "auto" else [f"idle-{cell.idle}"]
    parts += [] if cell.replays else [f"{cell.frame_bytes}B", f"{cell.flows}f"]
    parts += [cell.port_kind, *([cell.variant] if cell.variant else [])]
    parts += [*([cell.traffic.label] if cell.traffic else []), entry.name]
    mine = replace(cell, id=".".join(parts), switch=entry)
    if why := traffic.unsupported(cell.traffic, cell.topology):
        return replace(mine, unsupported=why)
    if why := _no_ports(mine):
        return replace(mine, unsupported=why)
    if cell.idle == "interrupt" and cell.virtio.queues > 1:
        return replace(mine, unsupported="idle = \"interrupt\" waits on one queue pair a port: take another idle")
    if cell.idle == "interrupt" and cell.guest == "qemu":
        return replace(mine, unsupported="a VM's NIC has no receive interrupts under uio_pci_generic: take "
                       "another idle")
    driver = _driver(entry)
    if cell.port_kind not in driver.ports:
        why = f"{driver.name} has no ports of kind {cell.port_kind} (it can do {', '.join(driver.ports)})"
        return replace(mine, unsupported=why)
    try:
        probe = _site(mine, "/", 1024, "/")
        driver.launch(probe)
        driver.wire(probe)
    except Unsupported as why:
        return replace(mine, unsupported=str(why))
    return mine


def _no_ports(cell: Cell) -> str:
    """Why the cell's guests, nfs and frames cannot have ports of its kind; empty if they can."""
    if why := kernelnf.unsupported(cell.nf_names, cell.guest, cell.port_kind, cell.virtio.queues, cell.idle,
                                   cell.frame_max_bytes, cell.traffic):
        return why
    return ports.unsupported(cell.port_kind, cell.guest, cell.frame_max_bytes, cell.machine.image, cell.virtio.queues)


def _driver(entry: SwitchEntry) -> Driver:
    driver = find(entry.driver)
    assert driver is not None, entry
    return driver


# ---- one cell's commands -------------------------------------------------------------------------------------------

def setup(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str, vhost_net: bool = True) -> Setup:
    """Every process, file and command of the cell. `folder` is its own, empty; its path must be short, since the path
    of a unix socket holds at most 107 bytes (unix(7)). `logs` is where a VM's console goes. `accel` is "kvm" or
    "tcg". `vhost_net`: has the host's kernel that?"""
    site = _site(cell, folder, _ring_size(cell, bed), image.build)
    driver = _driver(cell.switch)
    peers = tuple(_peers(cell, bed, image, folder, logs, accel, vhost_net))
    mib = 0
    if cell.port_kind != "ring":
        process_mib = (0 if cell.port_kind in ports.WITHOUT_HUGEPAGES
                       else programs.process_mib(cell.frame_max_bytes, cell.virtio.queues))
        mib = driver.hugepages_mib + sum(_hugepages_mib(p.vm) if p.vm else process_mib for p in peers)
    gigantic = sum(p.vm.memory_mib // 1024 for p in peers if p.vm and p.vm.page_mib == 1024)
    return Setup(_network(cell, site), peers, site, tuple(driver.launch(site)), tuple(driver.wire(site)),
                 -(-mib // PAGE_MIB), gigantic, cell.virtio.sockets == "switch",
                 tuple(driver.devices(site)))


def _ring_size(cell: Cell, bed: Bed) -> int:
    return cell.virtio.ring_size or bed.ring_size


def _hugepages_mib(vm: qemu.Vm) -> int:
    """What a VM takes of the 2 MiB pages."""
    return vm.memory_mib if vm.page_mib == PAGE_MIB else 0


def _prefix(folder: str, name: str) -> str:
    return f"vsw-{fingerprint([folder])}-{name}"


def _socket(cell: Cell, folder: str, port: topology.Port) -> str:
    """Beside the switch's folder, or in it where the switch makes it: there Open vSwitch's can only be."""
    inner = ("switch",) if cell.virtio.sockets == "switch" else ()
    return str(PurePosixPath(folder, *inner) / port.name)


def _site(cell: Cell, folder: str, ring_size: int, build: str) -> Site:
    sockets = tuple(_socket(cell, folder, port) for port in cell.topology.ports)
    return Site(str(PurePosixPath(folder) / "switch"), () if cell.port_kind in ports.ON_DEVICES else sockets,
                cell.topology, cell.cores, cell.switch.prefix, ring_size, _prefix(folder, "switch"),
                cell.frame_max_bytes, cell.virtio, options.complete(_driver(cell.switch).options, cell.switch.options),
                cell.port_kind, ports.namespace(folder), build, _taps(cell))


def _taps(cell: Cell) -> tuple[str, ...]:
    """The switch's devices that are NICs of VMs."""
    if cell.guest != "qemu" or cell.port_kind not in ports.ON_DEVICES:
        return ()
    return tuple(port.name for port in cell.topology.ports if port.peer != GENERATOR)


def _network(cell: Cell, site: Site) -> tuple[Step, ...]:
    """The devices of a cell, where its ports are such."""
    if not site.devices:
        return ()
    all_ports = cell.topology.ports
    macs = {port.name: programs.mac(port.peer, port.peer_port) for port in all_ports}
    cpus = {port.name: cell.cores.switch for port in all_ports} | {
        port.end: cell.cores.all_of(port.peer) for port in all_ports}
    return tuple(ports.steps(site.namespace, site.folder, all_ports, macs, cpus, site.queues, site.taps))


def _peers(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str, vhost_net: bool) -> Iterator[Peer]:
    if cell.topology.ports_of(GENERATOR):
        yield _host_peer(cell, bed, image, folder, GENERATOR, "pktgen")
    for guest in cell.topology.guests:
        if cell.guest == "qemu":
            yield _vm_peer(cell, bed, image, folder, logs, guest, accel, _nics(cell, folder, guest.name, vhost_net))
        else:
            yield _host_peer(cell, bed, image, folder, guest.name, guest.role)


def _held(cell: Cell, peer: str) -> list[topology.Port]:
    """The ports that `peer` holds."""
    return [cell.topology.ports[i] for i in cell.topology.ports_of(peer)]


def _ends(cell: Cell, folder: str, peer: str) -> list[tuple[str, str]]:
    """(socket, MAC address) of each port that `peer` holds."""
    return [(_socket(cell, folder, port), programs.mac(peer, port.peer_port)) for port in _held(cell, peer)]


def _nf(cell: Cell, name: str) -> str:
    """The nf of a guest with its argument."""
    if not cell.nf or name == GENERATOR:
        return ""
    return nfs.of_guest(cell.nf, cell.nf_arguments, 1 + [g.name for g in cell.topology.guests].index(name))


def _idle(cell: Cell, name: str, role: str, shared: str) -> str:
    """What a peer does without packets: an nf what the scenario says; else it gives way where it shares a CPU."""
    if role == "vnf" and cell.idle != "auto":
        return cell.idle
    return shared if cell.cores.shares(name) else "busy"


def _kernel_nf(cell: Cell, name: str) -> list[str]:
    """Options of kernelnf in a guest whose nf is the kernel's own; empty in others."""
    if (nf := _nf(cell, name)) not in kernelnf.NAMES:
        return []
    ends = [(port.peer, port.peer_port) for port in _held(cell, name)]
    hops = [kernelnf.next_hop(cell.topology, cell.nf_names, end) for end in ends]
    return kernelnf.options(nf, [(programs.mac(*end), programs.mac(*hop)) for end, hop in zip(ends, hops)])


def _host_peer(cell: Cell, bed: Bed, image: Image, folder: str, name: str, role: str) -> Peer:
    idle = _idle(cell, name, role, "yield")
    ring_size, queues = _ring_size(cell, bed), cell.virtio.queues
    options = programs.own(role, _nf(cell, name), idle, ring_size, cell.frame_max_bytes, queues)
    mib = programs.process_mib(cell.frame_max_bytes, queues)
    cpus = cell.cores.control, cell.cores.all_of(name)
    env = (("RUNTIME_DIRECTORY", folder),)
    binary = str(PurePosixPath(image.build) / role)
    if own := _kernel_nf(cell, name):
        binary = str(PurePosixPath(image.build) / kernelnf.PROGRAM)
        return Peer(name, role, inside(ports.of_peer(ports.namespace(folder), name), [binary, *own]), env, ())
    if cell.port_kind == "ring":
        argv = [binary, *programs.wired_eal(_prefix(folder, name), *cpus, mib), *options, "--wires", "1"]
        return Peer(name, role, tuple(argv), env, ())
    if cell.port_kind in ports.ON_DEVICES:
        vdevs = [programs.device_vdev(cell.port_kind, i, port.end, ring_size, queues)
                 for i, port in enumerate(_held(cell, name))]
        namespace = ports.of_peer(ports.namespace(folder), name)
        eal = (programs.wired_eal(_prefix(folder, name), *cpus, mib, vdevs) if cell.port_kind in ports.WITHOUT_HUGEPAGES
               else programs.host_eal(_prefix(folder, name), *cpus, vdevs, mib))
        return Peer(name, role, inside(namespace, [binary, *eal, *options]), env, ())
    ends = _ends(cell, folder, name)
    vdevs = [programs.virtio_user(i, socket, mac, ring_size, cell.virtio) for i, (socket, mac) in enumerate(ends)]
    argv = [binary, *programs.host_eal(_prefix(folder, name), *cpus, vdevs, mib), *options]
    return Peer(name, role, tuple(argv), env, _made(cell, ends))


def _made(cell: Cell, ends: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The sockets that a peer makes."""
    return tuple(socket for socket, _ in ends) if cell.virtio.sockets == "peer" else ()


def _nics(cell: Cell, folder: str, guest: str, vhost_net: bool) -> tuple[Nic, ...]:
    if cell.port_kind in ports.ON_DEVICES:
        return tuple(Tap(port.name, programs.mac(guest, port.peer_port), vhost_net) for port in _held(cell, guest))
    return tuple(VhostUser(socket, mac) for socket, mac in _ends(cell, folder, guest))


def _vm_peer(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, guest: topology.Guest, accel: str,
             nics: tuple[Nic, ...]) -> Peer:
    cores, kind, ring_size = cell.cores, cell.virtio, _ring_size(cell, bed)
    # larger frames take larger buffers and further queues take more, of which the guest gets as much more memory
    more_mib = programs.process_mib(cell.frame_max_bytes, kind.queues) - programs.PROCESS_MIB
    usual_mib = max(bed.guest_memory_mib, OWN_IMAGE_MIB) if cell.machine.image else bed.guest_memory_mib
    memory_mib = cell.machine.memory_mib or usual_mib + more_mib
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
    own = programs.own(guest.role, _nf(cell, guest.name), idle, ring_size, cell.frame_max_bytes, kind.queues)
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
    return OwnImage(cell.machine.image, str(PurePosixPath(folder) / f"{guest}.seed"), port,
                    f"02:76:73:6d:{number:02x}:00", image.programs)


def _vcpu_cpus(cell: Cell, guest: str) -> tuple[int, ...]:
    """The host CPU of every virtual CPU: vCPU 1 polls, the others serve the guest's kernel."""
    poller, control = cell.cores.of(guest), cell.cores.control
    return tuple(poller if vcpu == 1 else control for vcpu in range(cell.machine.vcpus))
