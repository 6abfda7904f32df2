# SPDX-License-Identifier: BSD-3-Clause
"""From scenarios to cells and commands: the golden plans, fairness between switches, cores, wires and purity.

UPDATE_GOLDEN=1 writes the golden files anew; read the difference before you keep it.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness import bed, cli, commands, expand, scenario, topology
from harness.cell import Cell
from harness.cores import CorePlan, assign
from harness.errors import BadInput
from harness.plan import Setup
from harness.ports import PORT_KINDS
from harness.switches import SWITCHES
from harness.switches.base import Await, Cgroup, Command, File, Namespace, Spawn, prefix_variable
from harness.tests.support import FOLDER, NICS, QUICK, cells_of, cells_of_text, seeded, setup_of, write
from harness.topology import CHAIN_MAX, CHAINS_MAX, GENERATOR

GOLDEN = Path(__file__).with_name("golden")
SOCKET_PATH_MAX = 107       # unix(7)

LARGE = """
[matrix]
topology = ["p2p", "p2v", "v2v", "loopback"]
guest = ["none", "process", "qemu"]
nf = ["io", "macswap"]
chain_length = [1, 5]
frame_bytes = [64, 1518]
flows = [1, 1000]
port_kind = ["vhost-user", "af_packet", "ring"]
"""
TWO_WAY = """
[matrix]
topology = ["p2p", "p2v", "v2v", "loopback"]
direction = ["one-way", "reverse", "two-way"]
guest = ["process", "qemu"]
chain_length = [1, 3]
"""
ROUND_TRIPS = """
[matrix]
topology = ["p2v-latency", "v2v-latency"]
guest = ["process", "qemu"]
"""
# two queues: Open vSwitch has no other memif ports
EVERY_KIND = TWO_WAY + f"port_kind = {json.dumps(PORT_KINDS)}\nqueues = [1, 2]\n"
EVERY_SWITCH = [d.name for d in SWITCHES] + ["ovs-old=ovs-dpdk@/opt/ovs-old", "testpmd-new=testpmd@/opt/dpdk-new"]


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan says where a switch is installed, and the environment may say so of whoever runs the tests."""
    for driver in SWITCHES:
        monkeypatch.delenv(prefix_variable(driver.name), raising=False)


# ---- golden plans --------------------------------------------------------------------------------------------------

POINTS = {
    "p2p": 'topology = "p2p"\ndirection = "two-way"',
    "p2v-process": 'topology = "p2v"\nguest = "process"',
    "p2v-qemu": 'topology = "p2v"\nguest = "qemu"',
    "v2v": 'topology = "v2v"\nguest = "process"',
    "v2v-two-way": 'topology = "v2v"\nguest = "qemu"\ndirection = "two-way"',
    "p2v-reverse": 'topology = "p2v"\nguest = "process"\ndirection = "reverse"',
    "p2v-latency": 'topology = "p2v-latency"\nguest = "process"',
    "v2v-latency": 'topology = "v2v-latency"\nguest = "qemu"',
    "loopback-process": 'topology = "loopback"\nguest = "process"\nchain_length = 2\nnf = "macswap"',
    "loopback-qemu": 'topology = "loopback"\nguest = "qemu"\nframe_bytes = 1024',
    "p2p-rings": 'topology = "p2p"\nport_kind = "ring"',
    "p2p-af_xdp": 'topology = "p2p"\nport_kind = "af_xdp"',
    "p2p-af_packet": 'topology = "p2p"\ndirection = "two-way"\nport_kind = "af_packet"',
    "p2v-af_packet": 'topology = "p2v"\nguest = "process"\nport_kind = "af_packet"',
    "v2v-af_packet": 'topology = "v2v"\nguest = "process"\nport_kind = "af_packet"',
    "p2p-memif": 'topology = "p2p"\nqueues = 2\nport_kind = "memif"',
    "loopback-memif": 'topology = "loopback"\nguest = "process"\nqueues = 2\nport_kind = "memif"',
    "p2v-tap": 'topology = "p2v"\nguest = "qemu"\nport_kind = "af_packet"',
    "loopback-tap": 'topology = "loopback"\nguest = "qemu"\nnf = "linux-router+io"\nport_kind = "af_packet"',
    "loopback-kernel": 'topology = "loopback"\nguest = "process"\nnf = "linux-bridge+linux-router"\n'
                       'port_kind = "af_packet"',
    "loopback-af_packet": 'topology = "loopback"\nguest = "process"\nchain_length = 2\nport_kind = "af_packet"',
}


# What is alike for all switches, or of one only, is looked at for one.
OF_ONE_SWITCH = {
    ("chains", "testpmd"): 'topology = "loopback"\nguest = "process"\nchains = 2\ndirection = "two-way"\n'
                           'nf = "macswap+io"',
    ("xdp-forward", "testpmd"): 'topology = "loopback"\nguest = "process"\nnf = "xdp-forward+io"\n'
                                'port_kind = "af_packet"',
    ("loopback-l2fwd", "t4p4s"): 'topology = "loopback"\nguest = "process"\nnf = "l2fwd"',
    ("switch-sockets", "ovs-dpdk"): 'topology = "p2p"\nsockets = "switch"\nqueues = 2',
}
ON_NICS = {
    "p2p-pci": 'topology = "p2p"\nport_kind = "pci"',
    "loopback-pci": 'topology = "loopback"\nguest = "qemu"\nport_kind = "pci"',
}
GOLDENS = {**{(point, d.name): text for point, text in POINTS.items() for d in SWITCHES}, **OF_ONE_SWITCH,
           **{(point, d.name): text for point, text in ON_NICS.items() for d in SWITCHES if "pci" in d.ports}}


@pytest.mark.parametrize("point, switch", GOLDENS)
def test_a_plan_is_the_golden_one(point: str, switch: str, tmp_path: Path) -> None:
    """What is started for a cell changes only on purpose."""
    [cell] = cells_of_text(tmp_path, "[matrix]\n" + GOLDENS[point, switch], switches=[switch],
                           testbed=write(tmp_path / "testbed.toml", NICS))
    c = cell.cores
    text = f"# {cell.id}\n# {cell.title}\n# switch on CPUs {c.switch}, control on {c.control}, {c.pollers}\n"
    text += f"n/a: {cell.unsupported}\n" if cell.unsupported else "\n".join(commands.lines(setup_of(cell, "$RUN"))) + "\n"
    golden = GOLDEN / f"{point}.{switch}.plan"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(text)
    assert golden.exists(), f"{golden.name} is not there: UPDATE_GOLDEN=1 writes it"
    assert text == golden.read_text(), f"{golden.name} differs; if you mean it, UPDATE_GOLDEN=1 writes it anew"


def test_there_is_no_golden_file_too_many() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == {f"{point}.{switch}.plan" for point, switch in GOLDENS}


# ---- fairness ------------------------------------------------------------------------------------------------------

def by_point(cells: list[Cell]) -> dict[str, list[Cell]]:
    """Cells that differ in the switch only, by their id without the switch."""
    points: dict[str, list[Cell]] = {}
    for cell in cells:
        assert cell.id.endswith("." + cell.switch.name)
        points.setdefault(cell.id.removesuffix("." + cell.switch.name), []).append(cell)
    return points


def all_but_the_switch(cell: Cell) -> dict[str, Any]:
    return {key: value for key, value in asdict(cell).items() if key not in ("id", "switch", "unsupported")}


def all_but_the_switch_of(setup: Setup) -> tuple[Any, ...]:
    return setup.peers, setup.network, setup.switch_first, replace(setup.site, prefix="", options={})


@pytest.mark.parametrize("cpus", [(0,), (0, 1), tuple(range(16))], ids=lambda c: f"{len(c)} CPUs")
@pytest.mark.parametrize("source", ["quick", "large", "every kind", "round trips"])
def test_between_switches_only_the_switch_differs(source: str, cpus: tuple[int, ...], tmp_path: Path) -> None:
    """The law of fairness: guests, generator, cores, frames and search are the same for every switch. Each is compared
    with one, and so with every other."""
    text = {"large": LARGE, "every kind": EVERY_KIND, "round trips": ROUND_TRIPS}.get(source)
    nics = write(tmp_path / "nics.toml", NICS)
    cells = (cells_of_text(tmp_path, text, cpus=cpus, switches=EVERY_SWITCH, testbed=nics) if text
             else cells_of(QUICK, cpus=cpus, switches=EVERY_SWITCH))
    compared: set[tuple[str, str]] = set()
    for point, same in by_point(cells).items():
        assert [c.switch.name for c in same] == [s.partition("=")[0] for s in EVERY_SWITCH], point
        alike = all_but_the_switch(same[0])
        assert all(all_but_the_switch(c) == alike for c in same), point
        able = [c for c in same if not c.unsupported]
        setups = [all_but_the_switch_of(setup_of(c)) for c in able]
        assert all(setup == setups[0] for setup in setups), point
        compared |= {(c.switch.driver, c.port_kind) for c in able}
    if source == "every kind":
        assert compared == {(d.name, kind) for d in SWITCHES for kind in d.ports}


def test_the_direction_is_installed_alike_for_all(tmp_path: Path) -> None:
    """What carries one direction carries the other, and both: a golden plan of one is that of all."""
    alike: dict[tuple[Any, ...], Any] = {}
    cells = cells_of_text(tmp_path, EVERY_KIND, switches=EVERY_SWITCH, testbed=write(tmp_path / "nics.toml", NICS))
    for c in cells:
        setup = None if c.unsupported else setup_of(c)
        steps = (setup.network, setup.devices, setup.launch, setup.wire) if setup else c.unsupported
        key = (c.switch.name, c.port_kind, c.topology.name, c.guest, c.chain_length, c.virtio)
        assert alike.setdefault(key, steps) == steps, c.id
    assert 3 * len(alike) == len(cells)


def test_no_peer_knows_the_name_or_the_prefix_of_the_switch(tmp_path: Path) -> None:
    for cell in cells_of_text(tmp_path, LARGE, switches=["needle1=ovs-dpdk@/opt/needle2",
                                                         "needle3=testpmd@/opt/needle4"]):
        if not cell.unsupported:
            assert "needle" not in repr(setup_of(cell).peers)


def test_two_versions_of_a_switch_differ_in_their_prefix_only(tmp_path: Path) -> None:
    old, new = ([setup_of(c) for c in cells_of_text(tmp_path, TWO_WAY, switches=[f"v=ovs-dpdk@{prefix}"])]
                for prefix in ("/opt/old", "/opt/new"))
    assert old != new
    assert repr(old).replace("/opt/old", "/opt/new") == repr(new)


# ---- purity --------------------------------------------------------------------------------------------------------

_watching = False
_EFFECTS = ("open", "subprocess.", "os.", "socket.", "shutil.", "tempfile.", "glob.", "pty.", "fcntl.", "signal.")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(_EFFECTS):
        raise AssertionError(f"an effect where there must be none: {event} {arguments}")


sys.addaudithook(_audit)


@contextmanager
def no_effects(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file, process, socket or clock inside: Python itself reports all but the clock."""
    global _watching

    def no_clock(*_: object) -> float:
        raise AssertionError("the clock was asked")
    with monkeypatch.context() as patched:
        for name in ("time", "monotonic", "time_ns", "monotonic_ns", "perf_counter", "sleep"):
            patched.setattr(time, name, no_clock)
        _watching = True
        try:
            yield
        finally:
            _watching = False


def test_the_watch_for_effects_sees_a_file_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="an effect"), no_effects(monkeypatch):
        Path("/etc/hostname").read_text()
    with pytest.raises(AssertionError, match="an effect"), no_effects(monkeypatch):
        os.system("true")
    with pytest.raises(AssertionError, match="clock"), no_effects(monkeypatch):
        time.time()


def test_planning_touches_nothing_and_gives_the_same_every_time(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios = scenario.load(QUICK)
    (tmp_path / "large.toml").write_text('name = "large"\n' + LARGE)
    scenarios += scenario.load(tmp_path / "large.toml")
    the_bed = bed.load(None)

    def all_of_it() -> tuple[list[Cell], list[str]]:
        cells = expand.expand(scenarios, the_bed, (0, 1, 2), EVERY_SWITCH)
        return cells, [commands.lines(setup_of(c)) for c in cells if not c.unsupported]
    all_of_it()         # whatever is imported late
    with no_effects(monkeypatch):
        first, second = all_of_it(), all_of_it()
    assert first == second
    assert len(first[1]) > 100


# ---- topologies ----------------------------------------------------------------------------------------------------

def every_topology() -> list[topology.Topology]:
    return [*(topology.build(name, 0, d) for name in ("p2p", "p2v", "v2v") for d in topology.DIRECTIONS),
            *(topology.build(name, 0, "one-way") for name in topology.ROUND_TRIPS),
            *(topology.build("loopback", n, d) for n in range(1, CHAIN_MAX + 1) for d in topology.DIRECTIONS),
            *(topology.build("loopback", n, d, k) for n in (1, 3) for k in (2, CHAINS_MAX)
              for d in topology.DIRECTIONS)]


def test_wires_join_every_port_exactly_once() -> None:
    for topo in every_topology():
        assert sorted(i for wire in topo.wires for i in wire) == list(range(len(topo.ports)))


def test_wires_join_neighbours_as_patch_panels_need_it() -> None:
    for topo in every_topology():
        assert all(a % 2 == 0 and b == a + 1 for a, b in topo.wires)


def test_every_port_has_a_name_and_an_end_of_its_own() -> None:
    for topo in every_topology():
        assert len({p.name for p in topo.ports}) == len({(p.peer, p.peer_port) for p in topo.ports}) == len(topo.ports)


def test_every_peer_holds_ports_counted_from_0() -> None:
    for topo in every_topology():
        for peer in {p.peer for p in topo.ports}:
            assert [topo.ports[i].peer_port for i in topo.ports_of(peer)] == list(range(len(topo.ports_of(peer))))


def way(topo: topology.Topology, start: tuple[str, int]) -> list[tuple[str, int]]:
    """Where a frame comes out, hop by hop, when vnfs forward between their two ports, or back out of the only one they
    have, and everybody else keeps it."""
    ends = {(p.peer, p.peer_port): i for i, p in enumerate(topo.ports)}
    other = {**dict(topo.wires), **{b: a for a, b in topo.wires}}
    vnfs = {g.name for g in topo.guests if g.role == "vnf"}
    hops, at = [], start
    while True:
        port = topo.ports[other[ends[at]]]
        hops.append((port.peer, port.peer_port))
        if port.peer not in vnfs:
            return hops
        at = (port.peer, 1 - port.peer_port if len(topo.ports_of(port.peer)) == 2 else port.peer_port)


def test_a_frame_that_follows_the_wires_comes_out_where_the_flow_says() -> None:
    for topo in every_topology():
        for flow in topo.flows:
            hops = way(topo, flow.tx)
            assert hops[-1] == flow.rx
            assert len(hops) == topo.chain_length + 1 + topo.reflects
            assert flow.via in (None, hops[0])


def test_the_chain_is_crossed_in_order_and_backwards_the_other_way() -> None:
    topo = topology.build("loopback", 3, "two-way")
    there, back = (way(topo, flow.tx) for flow in topo.flows)
    assert [peer for peer, _ in there] == ["guest1", "guest2", "guest3", GENERATOR]
    assert [peer for peer, _ in back] == ["guest3", "guest2", "guest1", GENERATOR]


def test_chains_beside_each_other_share_nothing_but_generator_and_switch() -> None:
    topo = topology.build("loopback", 3, "one-way", 4)
    crossed = [way(topo, flow.tx) for flow in topo.flows]
    assert [flow.tx[1] for flow in topo.flows] == [0, 2, 4, 6] and topo.direction_count == 1
    assert [peer for hops in crossed for peer, _ in hops[:-1]] == [f"guest{n}" for n in range(1, 13)]
    both = topology.build("loopback", 3, "two-way", 4)
    assert [(f.tx[1], f.rx[1]) for f in both.flows[2:4]] == [(2, 3), (3, 2)] and both.direction_count == 2


def test_guests_run_what_their_topology_needs() -> None:
    def roles(name: str, direction: str = "one-way", chain_length: int = 0) -> list[str]:
        return [g.role for g in topology.build(name, chain_length, direction).guests]

    assert roles("p2p") == [] and roles("loopback", "two-way", 2) == ["vnf", "vnf"]
    assert roles("p2v") == ["meter"] and roles("p2v", "reverse") == roles("p2v", "two-way") == ["pktgen"]
    assert roles("v2v") == ["pktgen", "meter"] and roles("v2v", "reverse") == ["meter", "pktgen"]
    assert roles("v2v", "two-way") == ["pktgen", "pktgen"]
    assert roles("p2v-latency") == ["vnf"] and roles("v2v-latency") == ["pktgen", "vnf"]


def test_the_direction_changes_the_traffic_and_never_the_wires() -> None:
    for name in ("p2p", "p2v", "v2v", "loopback"):
        length = 2 if name == "loopback" else 0
        there, back, both = (topology.build(name, length, d) for d in ("one-way", "reverse", "two-way"))
        assert (there.ports, there.wires) == (back.ports, back.wires) == (both.ports, both.wires)
        assert both.flows == there.flows + back.flows
        assert [(f.tx, f.rx) for f in back.flows] == [(f.rx, f.tx) for f in there.flows]


def test_a_round_trip_has_no_other_direction() -> None:
    for name in topology.ROUND_TRIPS:
        for direction in ("reverse", "two-way"):
            with pytest.raises(BadInput, match=f"'direction' is \"{direction}\".*{name}.*\"one-way\""):
                topology.build(name, 0, direction)


# ---- sockets, names and what they must fit -------------------------------------------------------------------------

def strings_of(value: Any) -> Iterator[str]:
    """Every string in a setup."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_of(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings_of(inner)


def test_every_socket_path_fits_a_unix_socket(tmp_path: Path) -> None:
    folder = FOLDER.replace("c1", "c99999")
    chain = '[matrix]\ntopology = "loopback"\nguest = ["process", "qemu"]\nchain_length = 15'
    seen = 0
    for cell in cells_of_text(tmp_path, chain, switches=["ovs-dpdk", "testpmd"], cpus=range(64)):
        setup = setup_of(cell, folder)
        paths = {p for text in strings_of(asdict(setup)) for p in re.findall(re.escape(folder) + r"[^\s,\"]*", text)}
        paths.add(setup.site.path(f"dpdk/{setup.site.file_prefix}/dpdk_telemetry.v2"))
        seen += len(paths)
        assert [p for p in paths if len(p.encode()) > SOCKET_PATH_MAX] == []
    assert seen > 100


def test_every_port_of_the_switch_is_made_by_exactly_one_peer(tmp_path: Path) -> None:
    for cell in cells_of_text(tmp_path, LARGE, switches=["testpmd", "ovs-dpdk"]):
        if not cell.unsupported:
            setup = setup_of(cell)
            assert sorted(s for p in setup.peers for s in p.sockets) == sorted(setup.site.sockets)
            assert len({*setup.site.sockets, *setup.site.devices}) == len(cell.topology.ports)


def test_every_port_has_a_mac_address_of_its_own_and_no_group_bit(tmp_path: Path) -> None:
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "loopback"\nguest = "process"\nchain_length = 15',
                           cpus=range(40),
                           switches=["testpmd"])
    words = [word for peer in setup_of(cell).peers for word in peer.argv]
    macs = [m for word in words for m in re.findall(r"mac=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", word)]
    assert len(macs) == len(set(macs)) == 32
    assert all(int(m[:2], 16) & 3 == 2 for m in macs)


def test_cell_ids_are_unique_and_name_a_folder(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, LARGE, switches=EVERY_SWITCH) + cells_of(QUICK, switches=EVERY_SWITCH)
    ids = [c.id for c in cells]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]{1,255}", i) for i in ids)


def test_a_plan_asks_for_hugepages_only_where_memory_is_shared(tmp_path: Path) -> None:
    rings = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\nport_kind = "ring"', switches=["null"])
    assert [setup_of(c).hugepages for c in rings] == [0]
    process, vm = cells_of_text(tmp_path, '[matrix]\ntopology = "p2v"\nguest = ["process", "qemu"]',
                                switches=["testpmd"])
    assert 0 < setup_of(process).hugepages < setup_of(vm).hugepages
    assert setup_of(vm).hugepages * 2 >= 384 + 128 + 256    # the VM's memory, the generator's, the switch's


def test_steps_are_of_the_kinds_that_there_are_and_write_only_into_the_site(tmp_path: Path) -> None:
    for cell in cells_of_text(tmp_path, TWO_WAY + 'port_kind = ["vhost-user", "af_packet"]\n', switches=EVERY_SWITCH):
        setup = None if cell.unsupported else setup_of(cell)
        for step in (*setup.network, *setup.launch, *setup.wire) if setup else ():
            assert isinstance(step, File | Command | Spawn | Await | Namespace | Cgroup)
            if isinstance(step, File):
                assert step.path.startswith(setup.site.folder + "/")


# ---- cells ---------------------------------------------------------------------------------------------------------

def points_by_hand(**m: list[Any]) -> set[tuple[Any, ...]]:
    """The points of a matrix as the documentation says: a key without meaning in a topology does not count."""
    points = set()
    for topo, direction, guest, nf, chain, size, flows, kind in itertools.product(
            m["topology"], m["direction"], m["guest"], m["nf"], m["chain_length"], m["frame_bytes"], m["flows"],
        m["port_kind"]):
        if topo == "p2p":
            points.add((topo, direction, "none", "", 0, size, flows, kind))
        elif guest != "none":
            points.add((topo, direction, guest, *((nf, chain) if topo == "loopback" else ("", 0)), size, flows, kind))
    return points


def some(r: Any, values: list[Any]) -> list[Any]:
    return r.sample(values, r.randint(1, len(values)))


def test_keys_that_a_topology_has_no_use_for_yield_no_second_cell(tmp_path: Path) -> None:
    r = seeded()
    for _ in range(60):
        m = {"topology": some(r, ["p2p", "p2v", "v2v", "loopback"]), "direction": [],
             "guest": some(r, ["none", "process", "qemu"]), "nf": some(r, ["io", "macswap"]),
             "chain_length": some(r, [1, 2, 3]), "frame_bytes": some(r, [64, 128, 1518]), "flows": some(r, [1, 10]),
             "port_kind": some(r, ["vhost-user", "ring"])}
        m["direction"] = some(r, ["one-way", "reverse", "two-way"])
        if m["guest"] == ["none"] and m["topology"] != ["p2p"]:
            continue
        text = "[matrix]\n" + "".join(f"{key} = {values}\n" for key, values in m.items())
        cells = cells_of_text(tmp_path, text.replace("'", '"'), switches=["testpmd"])
        got = [(c.topology.name, c.direction, c.guest, c.nf, c.chain_length, c.frame_bytes, c.flows,
                c.port_kind) for c in cells]
        assert len(got) == len(set(got)), text
        assert set(got) == points_by_hand(**m), text


def test_switches_of_a_point_are_measured_next_to_each_other(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, LARGE, switches=["ovs-dpdk", "testpmd"])
    for first, second in zip(cells[::2], cells[1::2], strict=True):
        assert (first.switch.name, second.switch.name) == ("ovs-dpdk", "testpmd")
        assert all_but_the_switch(first) == all_but_the_switch(second)


def test_what_a_switch_cannot_do_is_a_cell_that_says_why(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, LARGE, switches=["ovs-dpdk", "testpmd", "null"])
    for cell in cells:
        if cell.switch.name == "null":
            assert bool(cell.unsupported) == (cell.port_kind != "ring" or cell.topology.name != "p2p"), cell.id
        else:
            assert bool(cell.unsupported) == (cell.port_kind == "ring"), cell.id
        if cell.unsupported:
            assert any(w in cell.unsupported for w in ("ring", "p2p only"))
            assert "\n" not in cell.unsupported


def test_titles_tell_cells_of_a_switch_apart(tmp_path: Path) -> None:
    text = LARGE.replace('"vhost-user", "af_packet", "ring"', '"vhost-user", "af_packet"')
    titles = [c.title for c in cells_of_text(tmp_path, text, switches=["testpmd"])]
    assert len(titles) == len(set(titles))


# ---- cores ---------------------------------------------------------------------------------------------------------

def every_core_plan() -> Iterator[tuple[list[int], int, list[str], CorePlan]]:
    for cpu_count in range(1, 17):
        cpus = [3 * i + 1 for i in range(cpu_count)]        # CPU numbers are names, not indices
        for switch_cpus in range(1, max(2, cpu_count)):
            for peer_count in range(1, 11):
                peers = [f"peer{i}" for i in range(peer_count)]
                yield cpus, switch_cpus, peers, assign(cpus, switch_cpus, peers)


def test_pollers_run_on_the_cpus_of_the_testbed() -> None:
    for cpus, switch_cpus, peers, cores in every_core_plan():
        used = {*cores.switch, cores.control, *(cpu for _, cpu in cores.pollers)}
        assert used <= set(cpus)
        assert [peer for peer, _ in cores.pollers] == peers
        assert len(cores.switch) == len(set(cores.switch)) == switch_cpus


def test_the_switch_shares_its_cpus_only_if_there_is_but_one() -> None:
    for cpus, _, _, cores in every_core_plan():
        others = {cores.control, *(cpu for _, cpu in cores.pollers)}
        assert bool(set(cores.switch) & others) == (len(cpus) == 1)


def test_a_cell_is_oversubscribed_exactly_if_a_cpu_polls_for_two() -> None:
    for _, _, _, cores in every_core_plan():
        pollers = sorted([*cores.switch, *(cpu for _, cpu in cores.pollers)])
        assert cores.oversubscribed == any(a == b for a, b in zip(pollers, pollers[1:]))


def test_a_cell_is_oversubscribed_only_if_there_are_too_few_cpus() -> None:
    for cpus, switch_cpus, peers, cores in every_core_plan():
        assert cores.oversubscribed == (len(cpus) < switch_cpus + len(peers))


def test_who_shares_a_cpu_is_told_to_yield_and_nobody_else() -> None:
    for _, _, peers, cores in every_core_plan():
        for peer in peers:
            neighbours = [p for p, cpu in cores.pollers if p != peer and cpu == cores.of(peer)]
            assert cores.shares(peer) == bool(neighbours or cores.of(peer) in cores.switch)


def test_sharing_is_spread_evenly() -> None:
    for cpus, switch_cpus, peers, cores in every_core_plan():
        load = [sum(cpu == c for _, cpu in cores.pollers) for c in {cpu for _, cpu in cores.pollers}]
        assert max(load) - min(load) <= 1
        if len(peers) >= len(cpus) - switch_cpus > 0:
            assert len(load) == len(cpus) - switch_cpus


def test_the_control_threads_have_a_cpu_of_their_own_where_there_is_one_to_spare() -> None:
    for cpus, switch_cpus, peers, cores in every_core_plan():
        if len(cpus) > switch_cpus + len(peers):
            assert cores.control not in {*cores.switch, *(cpu for _, cpu in cores.pollers)}


def test_cpus_that_leave_nothing_for_the_traffic_are_refused() -> None:
    for cpus in ((0, 1), (0, 1, 2)):
        with pytest.raises(BadInput, match="switch_cpus"):
            assign(cpus, len(cpus), ["generator"])
    with pytest.raises(BadInput, match="cpus"):
        assign((), 1, ["generator"])


def test_pollers_idle_politely_exactly_where_they_share(tmp_path: Path) -> None:
    for cpus in ((0,), (0, 1), (0, 1, 2), tuple(range(12))):
        for cell in cells_of_text(tmp_path, TWO_WAY, cpus=cpus, switches=["testpmd"]):
            for peer in setup_of(cell).peers:
                idle = peer.argv[peer.argv.index("--idle") + 1]
                polite = "sleep" if peer.vm else "yield"
                assert idle == (polite if cell.cores.shares(peer.name) else "busy"), cell.id


# ---- the plan command ----------------------------------------------------------------------------------------------

def test_plan_prints_every_cell_and_starts_nothing(capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert cli.main(["plan", str(QUICK)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n# ") == 36 and "# 36 cells; about" in out
    for word in ("ovs-vswitchd", "dpdk-testpmd", "qemu-system", "pktgen", "meter", "vnf", "add-flow"):
        assert word in out


def test_plan_as_json_has_every_cell_and_its_setup(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--json", str(QUICK), "--switch", "testpmd", "--switch", "null"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 36
    for row in rows:
        assert (row["setup"] is None) == bool(row["cell"]["unsupported"]) == (row["cell"]["switch"]["name"] == "null")


def test_a_generator_with_several_cpus_has_a_worker_on_each(tmp_path: Path) -> None:
    for cpus, wanted, crowded in ((range(8), (1, 2, 3), False), (range(2), (0, 0, 0), True)):
        cores = assign(tuple(cpus), 1, ["generator"] * 3)
        assert cores.all_of("generator") == wanted and cores.oversubscribed == cores.shares("generator") == crowded
