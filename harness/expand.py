# SPDX-License-Identifier: BSD-3-Clause
"""From scenarios and a testbed to cells. Pure: no I/O, no clock."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness import kernelnf, nfs, ports, topology, traffic, virtio
from harness.bed import Bed, SwitchEntry
from harness.cell import Cell
from harness.cores import assign
from harness.errors import BadInput, Unsupported
from harness.machine import Machine
from harness.peers import too_little_memory
from harness.plan import driver_of, site_of
from harness.scenario import AUTO, NAME_MAX, Scenario
from harness.switches import EVERY, SWITCHES, find, options
from harness.topology import GENERATOR
from harness.virtio import Virtio


def switch_entries(names: Sequence[str], bed: Bed) -> tuple[SwitchEntry, ...]:
    """Entries for names as typed: NAME, or NAME=DRIVER[@PREFIX][,key=value...]; the testbed's own entries are known by
    name. Without a prefix a driver is where the testbed or the environment has it under its own name."""
    return tuple(_switch_entry(name, {e.name: e for e in bed.switches}) for name in names)


def _switch_entry(text: str, known: dict[str, SwitchEntry]) -> SwitchEntry:
    name, equals, rest = text.partition("=")
    if "," in name:
        driver = name.partition(",")[0]
        raise BadInput(f"switch '{text}': options stand behind NAME=DRIVER: say '{driver}={text}', or take a name of "
                       "your own")
    rest, _, typed = rest.partition(",")
    driver, _, prefix = rest.partition("@")
    own = known.get(driver if equals else name, SwitchEntry(name, name, "/usr"))
    entry = SwitchEntry(name, driver, prefix or (own.prefix if own.driver == driver else "/usr")) if equals else own
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
            if why := too_little_memory(cell):
                raise BadInput(f"{scenario.source}: [guest]: {why}: raise it, or take it out")
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
    keys = ("topology", "direction", "guest", "nf", "chain_length", "chains", "flows", "port_kind", "idle")
    kinds = [Virtio(*values) for values in itertools.product(*(m[key] for key in virtio.MATRIX))]
    mean = scenario.traffic.mean_frame_bytes if scenario.traffic else None
    sizes = m["frame_bytes"] if mean is None else (mean,)
    seen = set()
    for point in itertools.product(*(m[key] for key in keys), sizes, kinds):
        name, direction, guest, nf, chain, chains, flows, kind, idle, size, ports = point
        if name != "loopback":
            nf, chain, chains = topology.REFLECTOR if name in topology.ROUND_TRIPS else "", 0, 1
            idle = "auto"
        chain = (len(nfs.chain(nf)) if name == "loopback" else 0) or chain
        if name == "p2p":
            guest = "none"
        elif guest == "none":
            continue
        ports = ports.of_a_ring_port if kind not in (*virtio.KINDS, AUTO) else ports
        if (key := (name, direction, guest, nf, chain, chains, flows, kind, idle, size, ports)) in seen:
            continue
        seen.add(key)
        try:
            topo = topology.build(name, chain, direction, chains)
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
                   machine=scenario.machine if guest == "qemu" else Machine(), pci=bed.pci if kind == "pci" else ())


def _common_kind(cell: Cell, entries: Sequence[SwitchEntry]) -> str:
    """The kind of ports that most of the switches have, of those that the cell's guests have; of several the first."""
    kinds = [kind for kind in ports.PORT_KINDS if not _no_ports(replace(cell, port_kind=kind))]
    return max(kinds, key=lambda kind: sum(kind in driver_of(entry).ports for entry in entries))


def _for_switch(cell: Cell, entry: SwitchEntry) -> Cell:
    parts = [cell.scenario, cell.topology.name, cell.direction]
    parts += [] if cell.guest == "none" else [cell.guest]
    parts += [f"{cell.chain_length}{cell.nf}"] if cell.chain_length else []
    parts += [] if cell.idle == "auto" else [f"idle-{cell.idle}"]
    parts += [] if cell.replays else [f"{cell.frame_bytes}B", f"{cell.flows}f"]
    parts += [cell.port_kind, *([cell.variant] if cell.variant else [])]
    parts += [*([cell.traffic.label] if cell.traffic else []), entry.name]
    mine = replace(cell, id=".".join(parts), switch=entry)
    if why := traffic.unsupported(cell.traffic, cell.topology) or _no_ports(mine) or _no_interrupts(mine):
        return replace(mine, unsupported=why)
    driver = driver_of(entry)
    if cell.port_kind not in driver.ports:
        why = f"{driver.name} has no ports of kind {cell.port_kind} (it can do {', '.join(driver.ports)})"
        return replace(mine, unsupported=why)
    try:
        probe = site_of(mine, "/", 1024, "/")
        driver.devices(probe)
        driver.launch(probe)
        driver.wire(probe)
    except Unsupported as why:
        return replace(mine, unsupported=str(why))
    return mine


def _no_interrupts(cell: Cell) -> str:
    """Why the cell's nfs cannot wait for interrupts, if they are to; empty if they can."""
    if cell.idle != "interrupt":
        return ""
    if cell.virtio.queues > 1:
        return "idle = \"interrupt\" waits on one queue pair a port: take another idle"
    if cell.port_kind not in ports.WITH_INTERRUPTS:
        return f"DPDK has no receive interrupts on ports of kind {cell.port_kind}: take another idle"
    if cell.guest == "qemu":
        return "a VM's NIC has no receive interrupts under uio_pci_generic: take another idle"
    return ""


def _no_ports(cell: Cell) -> str:
    """Why the cell's guests, nfs and frames cannot have ports of its kind; empty if they can."""
    if why := kernelnf.unsupported(cell.nf_names, cell.guest, cell.port_kind, cell.virtio.queues, cell.idle,
                                   cell.frame_max_bytes, cell.traffic):
        return why
    if cell.port_kind == "pci" and not 0 < (count := len(cell.topology.ports_of(GENERATOR))) <= len(cell.pci):
        return (f"{count} NICs a side are needed, and [ports.pci] of the testbed has {len(cell.pci)}" if count
                else f"topology {cell.topology.name} has no NICs: use vhost-user")
    return ports.unsupported(cell.port_kind, cell.guest, cell.frame_max_bytes, cell.machine.image, cell.virtio.queues)
