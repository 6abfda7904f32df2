# SPDX-License-Identifier: BSD-3-Clause
"""From scenarios and a testbed to cells, and from a cell to every command that it takes. Pure: no I/O, no clock.

Law of fairness: peers (generator and guests) are made from scenario, testbed and topology; of a cell's Setup only
`launch` and `wire` may depend on the switch.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness import programs, qemu, topology, traffic
from harness.bed import Bed, SwitchEntry
from harness.cores import CorePlan, assign
from harness.errors import BadInput, Unsupported
from harness.scenario import NAME_MAX, Repeat, Scenario, Search, fingerprint
from harness.switches import SWITCHES, find, options
from harness.switches.base import Driver, Site, Step
from harness.topology import GENERATOR, Topology
from harness.traffic import Traffic

PAGE_MIB = 2            # hugepages of 2 MiB
GUEST_HUGEPAGES_MIB = 128


@dataclass(frozen=True)
class Cell:
    """One point of the cross product scenario x switch."""

    id: str
    scenario: str
    switch: SwitchEntry
    topology: Topology
    guest: str              # "none", "process" or "qemu"
    nf: str                 # empty where no nf is in the path
    direction: str
    port_kind: str
    frame_bytes: int        # of a genome the mean, rounded; where a file is replayed that of the probes
    flows: int
    search: Search
    cores: CorePlan
    unsupported: str = ""   # why this switch cannot do it; empty if it can
    traffic: Traffic | None = None
    repeat: Repeat = Repeat()

    @property
    def point(self) -> str:
        """The cell's id without its switch: the same for all switches that are compared."""
        return self.id.removesuffix(f".{self.switch.name}")

    @property
    def chain_length(self) -> int:
        """Number of nfs in the path; 0 for p2p, p2v and v2v."""
        return self.topology.chain_length

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
    def queues(self) -> int:
        """Queue pairs of every port."""
        return self.traffic.queues if self.traffic else 1

    @property
    def flags(self) -> list[str]:
        """Warnings that the plan alone gives to every trial of the cell."""
        return ["oversubscribed"] if self.cores.oversubscribed else []

    @property
    def title(self) -> str:
        """For people."""
        parts = [self.topology.name, self.direction]
        if self.guest != "none":
            parts.append(f"{self.guest} guest")
        if self.chain_length:
            parts.append(f"{self.chain_length} x {self.nf}")
        if not self.replays:
            parts.append(f"{self.frame_bytes} B")
        if self.flows != 1:
            parts.append(f"{self.flows} flows")
        if self.traffic:
            parts.append(f"traffic {self.traffic.label}")
        return " ".join(parts)


@dataclass(frozen=True)
class Image:
    """What the peers are made of: our programs on the host, and the guest image."""

    build: str      # folder of pktgen, meter, vnf
    kernel: str
    initramfs: str


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

    peers: tuple[Peer, ...]
    site: Site
    launch: tuple[Step, ...]
    wire: tuple[Step, ...]
    hugepages: int                  # 2 MiB pages needed at the same time


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


def expand(scenarios: Iterable[Scenario], bed: Bed, cpus: Sequence[int], switches: Sequence[str] = ()) -> list[Cell]:
    """All cells in the order of their measurement. `switches` (as typed) replaces those of the scenarios.

    Raises BadInput for combinations without meaning; what a switch cannot do becomes `unsupported`.
    """
    cells: dict[str, Cell] = {}
    for scenario in scenarios:
        names = switches or scenario.matrix["switch"]
        if not names:
            raise BadInput(f"{scenario.source}: no switch: set [matrix] switch = [...] or give --switch NAME")
        try:
            entries = switch_entries(names, bed)
        except BadInput as why:
            raise why if switches else BadInput(f"{scenario.source}: [matrix]: key 'switch': {why}") from None
        for cell in _points(scenario, bed, cpus):
            for entry in entries:
                mine = _for_switch(cell, entry)
                if mine.id in cells:
                    raise BadInput(f"{scenario.source}: cell {mine.id} comes twice")
                cells[mine.id] = mine
    return list(cells.values())


def _points(scenario: Scenario, bed: Bed, cpus: Sequence[int]) -> Iterator[Cell]:
    """The cells of a scenario without a switch; keys that a topology has no use for are taken out, once."""
    m = scenario.matrix
    keys = ("topology", "direction", "guest", "nf", "chain_length", "flows", "port_kind")
    mean = scenario.traffic.mean_frame_bytes if scenario.traffic else None
    sizes = m["frame_bytes"] if mean is None else (mean,)
    seen = set()
    for name, direction, guest, nf, chain, flows, kind, size in itertools.product(*(m[key] for key in keys), sizes):
        if name != "loopback":
            nf, chain = "", 0
        if name == "p2p":
            guest = "none"
        elif guest == "none":
            continue
        if (key := (name, direction, guest, nf, chain, flows, kind, size)) in seen:
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
                   scenario.search, cores, traffic=scenario.traffic, repeat=scenario.repeat)


def _for_switch(cell: Cell, entry: SwitchEntry) -> Cell:
    parts = [cell.scenario, cell.topology.name, cell.direction]
    parts += [] if cell.guest == "none" else [cell.guest]
    parts += [f"{cell.chain_length}{cell.nf}"] if cell.chain_length else []
    parts += [] if cell.replays else [f"{cell.frame_bytes}B", f"{cell.flows}f"]
    parts += [cell.port_kind, *([cell.traffic.label] if cell.traffic else []), entry.name]
    mine = replace(cell, id=".".join(parts), switch=entry)
    if why := traffic.unsupported(cell.traffic, cell.topology.one_holds_both_ends, bool(cell.topology.guests)):
        return replace(mine, unsupported=why)
    driver = _driver(entry)
    if cell.port_kind not in driver.ports:
        why = f"{driver.name} has no ports of kind {cell.port_kind} (it can do {', '.join(driver.ports)})"
        return replace(mine, unsupported=why)
    try:
        probe = _site(mine, "/", 1024)
        driver.launch(probe)
        driver.wire(probe)
    except Unsupported as why:
        return replace(mine, unsupported=str(why))
    return mine


def _driver(entry: SwitchEntry) -> Driver:
    driver = find(entry.driver)
    assert driver is not None, entry
    return driver


# ---- one cell's commands -------------------------------------------------------------------------------------------

def setup(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str) -> Setup:
    """Every process, file and command of the cell. `folder` is its own, empty; its path must be short, since the path
    of a unix socket holds at most 107 bytes (unix(7)). `logs` is where a VM's console goes. `accel` is "kvm" or
    "tcg"."""
    site = _site(cell, folder, bed.ring_size)
    driver = _driver(cell.switch)
    peers = tuple(_peers(cell, bed, image, folder, logs, accel))
    mib = 0
    if cell.port_kind != "ring":
        process_mib = programs.process_mib(cell.frame_max_bytes, cell.queues)
        mib = driver.hugepages_mib + sum(p.vm.memory_mib if p.vm else process_mib for p in peers)
    return Setup(peers, site, tuple(driver.launch(site)), tuple(driver.wire(site)), -(-mib // PAGE_MIB))


def _prefix(folder: str, name: str) -> str:
    return f"vsw-{fingerprint([folder])}-{name}"


def _socket(folder: str, port: topology.Port) -> str:
    return str(PurePosixPath(folder) / port.name)


def _site(cell: Cell, folder: str, ring_size: int) -> Site:
    sockets = tuple(_socket(folder, port) for port in cell.topology.ports)
    return Site(str(PurePosixPath(folder) / "switch"), sockets, cell.topology, cell.cores, cell.switch.prefix,
                ring_size, _prefix(folder, "switch"), cell.frame_max_bytes, cell.queues,
                options.complete(_driver(cell.switch).options, cell.switch.options))


def _peers(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str) -> Iterator[Peer]:
    if cell.topology.ports_of(GENERATOR):
        yield _host_peer(cell, bed, image, folder, GENERATOR, "pktgen")
    for guest in cell.topology.guests:
        if cell.guest == "qemu":
            yield _vm_peer(cell, bed, image, folder, logs, guest, accel)
        else:
            yield _host_peer(cell, bed, image, folder, guest.name, guest.role)


def _ends(cell: Cell, folder: str, peer: str) -> list[tuple[str, str]]:
    """(socket, MAC address) of each port that `peer` holds."""
    ports = [cell.topology.ports[i] for i in cell.topology.ports_of(peer)]
    return [(_socket(folder, port), programs.mac(peer, port.peer_port)) for port in ports]


def _host_peer(cell: Cell, bed: Bed, image: Image, folder: str, name: str, role: str) -> Peer:
    idle = "yield" if cell.cores.shares(name) else "busy"
    options = programs.own(role, cell.nf, idle, bed.ring_size, cell.frame_max_bytes, cell.queues)
    mib = programs.process_mib(cell.frame_max_bytes, cell.queues)
    cpus = cell.cores.control, cell.cores.all_of(name)
    env = (("RUNTIME_DIRECTORY", folder),)
    binary = str(PurePosixPath(image.build) / role)
    if cell.port_kind == "ring":
        argv = [binary, *programs.wired_eal(_prefix(folder, name), *cpus, mib), *options, "--wires", "1"]
        return Peer(name, role, tuple(argv), env, ())
    ends = _ends(cell, folder, name)
    vdevs = [programs.virtio_user(i, socket, mac, bed.ring_size, cell.queues) for i, (socket, mac) in enumerate(ends)]
    argv = [binary, *programs.host_eal(_prefix(folder, name), *cpus, vdevs, mib), *options]
    return Peer(name, role, tuple(argv), env, tuple(socket for socket, _ in ends))


def _vm_peer(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, guest: topology.Guest, accel: str) -> Peer:
    ends = _ends(cell, folder, guest.name)
    # larger frames take larger buffers, of which the guest gets as much more memory
    more_mib = programs.process_mib(cell.frame_max_bytes) - programs.PROCESS_MIB
    vm = qemu.Vm(guest.name, bed.qemu_binary, accel, bed.guest_memory_mib + more_mib,
                 (GUEST_HUGEPAGES_MIB + more_mib) // PAGE_MIB,
                 image.kernel, image.initramfs, str(PurePosixPath(logs) / f"{guest.name}.console"),
                 str(PurePosixPath(folder) / f"{guest.name}.control"),
                 tuple(qemu.Nic(socket, mac) for socket, mac in ends), bed.ring_size, (cell.cores.of(guest.name),))
    # the virtual CPUs share a host CPU with other pollers: a guest that idles lets them run
    idle = "sleep" if cell.cores.shares(guest.name) else "busy"
    argv = [guest.role, *programs.guest_eal(), *programs.own(guest.role, cell.nf, idle, bed.ring_size,
                                                                    cell.frame_max_bytes)]
    return Peer(guest.name, guest.role, tuple(argv), (), tuple(socket for socket, _ in ends), vm)
