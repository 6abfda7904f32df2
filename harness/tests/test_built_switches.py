# SPDX-License-Identifier: BSD-3-Clause
"""Drivers of switches that Debian has no package of: VPP, FastClick, Snabb. What they write, read and refuse, without
the switch (BESS: test_bess.py, T4P4S: test_t4p4s.py); and short real runs of those that VSWBENCH_NAME_PREFIX (or /usr)
has.
"""

import csv
import ipaddress
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import bed, cli, expand, host, run, testbed
from harness.asked import Asked
from harness.cores import assign
from harness.errors import CannotRun, CellFailed, Unsupported
from harness.switches import SWITCHES, fastclick, find, vpp
from harness.switches.base import Await, Command, File, PortCounters, Site, Spawn, prefix_variable
from harness.switches.bess import Bess
from harness.switches.fastclick import FastClick
from harness.switches.snabb import Snabb
from harness.switches.t4p4s import T4p4s
from harness.switches.vpp import Vpp
from harness.tests.fake_switches import VPP
from harness.tests.support import (FOLDER, INSTALLED, VPP_STATS, cells_of_text, eventually, executable, processes_of,
                                   setup_of, start_vswbench, vswbench, write)
from harness.topology import Topology, build
from harness.virtio import Virtio

BUILT = (Vpp(), FastClick(), Snabb())
FOR_REAL = (*BUILT, Bess(), T4p4s())
every_built = pytest.mark.parametrize("driver", BUILT, ids=lambda d: d.name)
P2P = build("p2p", 0, "two-way")
CHAIN = build("loopback", 3, "two-way")


def site_of(topology: Topology, folder: str = FOLDER, *, switch_cpus: int = 1, **more: Any) -> Site:
    sockets = tuple(f"{folder}/{p.name}" for p in topology.ports)
    cores = assign(range(8), switch_cpus, ["generator"])
    options = {key: field.default for driver in FOR_REAL for key, field in driver.options.items()}
    if "queues" in more:
        more["virtio"] = Virtio(queues=more.pop("queues"))
    return replace(Site(f"{folder}/switch", sockets, topology, cores, "/opt/switch", 512, "vsw-0-switch",
                        options=options, namespace="vswbench-x-c1"), **more)


def both_ways(topology: Topology) -> set[tuple[int, int]]:
    return {*topology.wires, *((b, a) for a, b in topology.wires)}


def text_of(steps: Any) -> str:
    [file] = [step for step in steps if isinstance(step, File)]
    return str(file.text)


# ---- where they are ------------------------------------------------------------------------------------------------

def test_the_environment_says_where_a_switch_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for driver in SWITCHES:
        monkeypatch.delenv(prefix_variable(driver.name), raising=False)
    monkeypatch.setenv("VSWBENCH_FASTCLICK_PREFIX", "/opt/click-2026")
    monkeypatch.setenv("VSWBENCH_OVS_DPDK_PREFIX", "/opt/ovs")
    monkeypatch.setenv("VSWBENCH_SNABB_PREFIX", "")
    assert {s.name: s.prefix for s in bed.load(None).switches} == {"fastclick": "/opt/click-2026",
                                                                      "ovs-dpdk": "/opt/ovs"}
    testbed = write(tmp_path / "t.toml", 'name = "t"\n[switch.fastclick]\ndriver = "fastclick"\nprefix = "/opt/mine"\n')
    assert [s.prefix for s in bed.load(testbed).switches if s.name == "fastclick"] == ["/opt/mine"]


def test_another_setting_of_a_switch_is_where_the_environment_has_that_switch(monkeypatch: pytest.MonkeyPatch,
                                                                              tmp_path: Path) -> None:
    """Not in /usr: only a prefix that is typed goes first."""
    assert bed.load(None).switches == ()        # whatever the environment of the tests has
    monkeypatch.setenv("VSWBENCH_VPP_PREFIX", "/opt/vpp")
    table = write(tmp_path / "t.toml", 'name = "t"\n[switch.mine]\ndriver = "vpp"\n')
    typed = ["acl=vpp,forwarding=acl", "vpp=vpp,rules=7", "new=vpp@/opt/new", "mine", "io=testpmd", "testpmd=vpp"]
    entries = expand.switch_entries(typed, bed.load(table))
    assert [e.prefix for e in entries] == ["/opt/vpp", "/opt/vpp", "/opt/new", "/opt/vpp", "/usr", "/opt/vpp"]


@every_built
def test_what_is_not_there_is_named_with_both_ways_to_say_where_it_is(driver: Any, tmp_path: Path) -> None:
    missing = driver.check(str(tmp_path)).missing
    assert str(tmp_path) in missing and f"{driver.name}@PREFIX" in missing and prefix_variable(driver.name) in missing


def test_list_looks_where_the_environment_and_the_testbed_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VSWBENCH_FASTCLICK_PREFIX", str(tmp_path / "mine"))
    testbed = write(tmp_path / "t.toml", 'name = "t"\n[switch.snabb-new]\ndriver = "snabb"\nprefix = "/nowhere"\n')
    assert cli.main(["list", "--testbed", str(testbed)]) == 0
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert f"{tmp_path}/mine/bin/click is not there" in said["fastclick"]
    assert "/nowhere/bin/snabb is not there" in said["snabb-new"] and "/usr/bin/snabb" in said["snabb"]


def test_all_leaves_out_what_is_missing_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    """Also of what the testbed and the environment name."""
    fake(Vpp(), tmp_path / "vpp", "")
    monkeypatch.setenv("VSWBENCH_BESS_PREFIX", "/nowhere")
    scenario = write(tmp_path / "s.toml", 'name = "s"\n[matrix]\ntopology = "p2p"\nswitch = "all"\n')
    text = "".join(f'[switch.{name}]\ndriver = "{driver}"\nprefix = "{prefix}"\n' for name, driver, prefix in (
        ("mine", "vpp", tmp_path / "vpp"), ("gone", "snabb", "/nowhere/else")))
    cells, _ = Asked((scenario,), testbed=write(tmp_path / "t.toml", f'name = "t"\n{text}')).cells()
    names = [cell.switch.name for cell in cells]
    assert names[0] == "mine" and not {"gone", "bess"} & set(names)
    said = capsys.readouterr().err.splitlines()
    left_out = {line.split()[4].rstrip(":"): line for line in said}
    assert {"gone", "bess"} <= set(left_out) and not set(left_out) & set(names)
    assert "/nowhere/else/bin/snabb is not there" in left_out["gone"]
    assert "/nowhere/bin/bessd is not there" in left_out["bess"] and "VSWBENCH_BESS_PREFIX" in left_out["bess"]


SAYS = {"vpp": "",
        "snabb": "snabb 2024.08 (3-gf32729274)\nCopyright (C) 2012-2017 Snabb authors",
        "fastclick": "2.1"}
CLASSES = "Idle\nControlSocket\nFromDPDKDevice\nToDPDKDevice"
HEARD = {"vpp": "23.06",
         "snabb": "2024.08 (3-gf32729274)",
         "fastclick": "2.1"}


def fake(driver: Any, prefix: Path, says: str) -> Path:
    """An installation whose main binary runs this script."""
    if driver.name == "vpp":
        for path, does in VPP.tools.items():
            executable(prefix / path, f"#!/bin/sh\n{does}\n")
        for library in VPP.files:
            write(prefix / library, "")
    return executable(prefix / "bin" / {"fastclick": "click"}.get(driver.name, driver.name), says)


@every_built
def test_a_switch_tells_its_version(driver: Any, tmp_path: Path) -> None:
    binary = fake(driver, tmp_path, f"#!/bin/sh\n[ \"$5\" = classes ] && echo '{CLASSES}' && exit\n"
                                    f"echo '{SAYS[driver.name]}'\n")
    check = driver.check(str(tmp_path))
    assert (check.version, check.missing, check.files[0]) == (HEARD[driver.name], "", str(binary))


def test_a_vpp_is_known_by_all_its_libraries(tmp_path: Path) -> None:
    fake(Vpp(), tmp_path, "")
    graph = write(tmp_path / "lib/x86_64-linux-gnu/libvlib.so.23.06", "")
    write(tmp_path / "lib/x86_64-linux-gnu/libvlib.so.23.02", "")
    files = Vpp().check(str(tmp_path)).files
    assert set(files) == {str(graph), *(str(tmp_path / name) for name in ("bin/vpp", *VPP.files))}


def test_a_vpp_is_found_whatever_its_folder_is_called(tmp_path: Path) -> None:
    prefix = tmp_path / "vpp [23.06] *?"
    fake(Vpp(), prefix, "")
    assert Vpp().check(str(prefix)).missing == ""


@pytest.mark.parametrize("driver", [FastClick(), Snabb()], ids=lambda d: d.name)
@pytest.mark.parametrize("script", ["", "#!/bin/sh\nkill -SEGV $$\n", "#!/nowhere/sh\n", "#!/bin/sh\necho hello\n",
                                    "#!/bin/sh\nprintf '\\377\\376'\n"])
def test_a_strange_binary_is_missing_and_no_exception(driver: Any, script: str, tmp_path: Path) -> None:
    assert str(fake(driver, tmp_path, script)) in driver.check(str(tmp_path)).missing


@pytest.mark.parametrize("libraries, why", [([], "0 of libvnet"), (["lib/libvnet.so.23.10"], "2 of libvnet"),
                                            ([next(iter(VPP.files))], "vhost_plugin.so is not there")])
def test_a_vpp_without_its_libraries_is_missing(libraries: list[str], why: str, tmp_path: Path) -> None:
    fake(Vpp(), tmp_path, "")
    if "2 of" not in why:
        for name in VPP.files:
            (tmp_path / name).unlink()
    for name in libraries:
        write(tmp_path / name, "")
    missing = Vpp().check(str(tmp_path)).missing
    assert why in missing and str(tmp_path) in missing


def test_a_click_without_dpdk_is_not_enough(tmp_path: Path) -> None:
    fake(FastClick(), tmp_path, "#!/bin/sh\n[ $5 = version ] && echo 2.1 || echo Idle\n")
    assert "DPDK" in FastClick().check(str(tmp_path)).missing


# ---- fake processes: order, readiness, crash, time-out ------------------------------------------------------------

@pytest.fixture
def folder() -> Iterator[Path]:
    """In which a unix socket's path fits."""
    with tempfile.TemporaryDirectory(prefix="vsw", dir="/tmp") as name:
        yield Path(name)


def brought_up(driver: Any, prefix: Path, folder: Path) -> None:
    """Launch and wire a fake installation, with peers that have made their sockets."""
    [cell] = cells_of_text(folder, '[matrix]\ntopology = "p2p"', cpus=host.cpus(),
                           switches=[f"{driver.name}={driver.name}@{prefix}"])
    setup = setup_of(cell, str(folder))
    Path(setup.site.folder).mkdir()
    for path in setup.site.sockets:
        write(Path(path), "")
    with ExitStack() as stack:
        bed_up = testbed.Testbed(cell, setup, folder, stack)
        for step in (*setup.launch, *setup.wire):
            bed_up._do(step)


READY = {"vpp": "api.sock", "fastclick": "control", "snabb": "ready"}


@every_built
def test_a_switch_that_ends_at_once_is_named_with_its_last_words(driver: Any, tmp_path: Path, folder: Path) -> None:
    fake(driver, tmp_path, "#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    with pytest.raises(CellFailed, match="ended with status 3.*no such thing"):
        brought_up(driver, tmp_path, folder)


@every_built
def test_a_switch_that_never_gets_ready_is_given_up(driver: Any, tmp_path: Path, folder: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "SOCKET_S", 0.3)
    fake(driver, tmp_path, "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(CellFailed, match=f"{READY[driver.name]}: not within 0.3 s"):
        brought_up(driver, tmp_path, folder)


def slow_to_start(name: str, folder: Path) -> str:
    return f"#!/bin/sh\nsleep 0.2\n: > {folder}/switch/{READY[name]}\nexec sleep 60\n"


@every_built
def test_a_switch_is_waited_for(driver: Any, tmp_path: Path, folder: Path) -> None:
    fake(driver, tmp_path, slow_to_start(driver.name, folder))
    brought_up(driver, tmp_path, folder)


# ---- vpp -----------------------------------------------------------------------------------------------------------

INTERFACES = {"p0": "VirtualEthernet0/0/0", "p1": "VirtualEthernet0/0/1"}


def test_counters_of_a_real_vpp_are_read_and_what_a_port_did_not_take_was_not_sent() -> None:
    assert vpp.parse_counters(VPP_STATS, INTERFACES) == [PortCounters("p0", 242130, 238704, 2850),
                                                           PortCounters("p1", 241554, 239568, 2562)]


def test_counters_of_vpp_are_sums_over_its_threads() -> None:
    more = VPP_STATS.replace("[1 @ 0]: 0 packets, 0 bytes /if/rx", "[1 @ 0]: 7 packets, 420 bytes /if/rx").replace(
        "[2 @ 0]: 0 packets /if/drops", "[2 @ 0]: 2000 packets /if/drops").replace(
        "[0 @ 0]: 0 packets /err/VirtualEthernet0/0/1-tx", "[0 @ 0]: 1000 packets /err/VirtualEthernet0/0/1-tx")
    assert vpp.parse_counters(more, INTERFACES) == [PortCounters("p0", 242137, 238704, 2850),
                                                      PortCounters("p1", 241554, 238568, 4562)]


@pytest.mark.parametrize("text", ["", "Couldn't connect to vpp, does /run/x exist?",
                                  VPP_STATS.replace("/if/drops", "/if/lost"), VPP_STATS.replace("0/0/1-tx/", "0/0/1/"),
                                  VPP_STATS.replace("VirtualEthernet0/0/1 ", "VirtualEthernet0/0/11 ")])
def test_statistics_of_another_kind_fail_the_cell_and_not_the_run(text: str) -> None:
    with pytest.raises(CellFailed, match="vpp_get_stats"):
        vpp.parse_counters(text, INTERFACES)


@pytest.mark.parametrize("forwarding, joins", [
    ("learning", ["set interface l2 bridge {0} 1", "set interface l2 bridge {1} 1", "set interface l2 bridge {2} 2",
                  "set interface l2 bridge {3} 2"]),
    ("l2patch", ["test l2patch rx {0} tx {1}", "test l2patch rx {1} tx {0}", "test l2patch rx {2} tx {3}",
                 "test l2patch rx {3} tx {2}"])])
def test_vpp_can_forward_in_other_ways(forwarding: str, joins: list[str]) -> None:
    site = site_of(build("loopback", 1, "one-way"))
    commands = [" ".join(step.argv[3:]) for step in Vpp().wire(replace(site, options={"forwarding": forwarding}))
                if isinstance(step, Command)]
    ports = [f"VirtualEthernet0/0/{i}" for i in range(4)]
    assert commands[-4:] == [join.format(*ports) for join in joins]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_vpp_has_an_access_list_of_as_many_rules_at_every_port_and_loses_nothing_by_it(count: int) -> None:
    site = replace(site_of(CHAIN), options={"forwarding": "acl", "rules": count})
    assert "plugin acl_plugin.so { enable }" in text_of(Vpp().launch(site))
    steps = Vpp().wire(site)
    words, _, entries = text_of(steps).partition("acl permit ")
    *exact, every, every6 = entries.strip().split(", permit ")
    assert words == "set acl-plugin " and (every, every6) == ("src 0.0.0.0/0 dst 0.0.0.0/0", "src ::/0 dst ::/0")
    assert len(exact) == len(set(exact)) == count - 1
    for rule in exact:
        source = re.fullmatch(r"src ([\d.]+)/32 dst 0.0.0.0/0 proto 17 sport \d+", rule)
        assert source and ipaddress.ip_address(source[1]) in ipaddress.ip_network("198.18.0.0/15")
    asked = [" ".join(step.argv[3:]) for step in steps if isinstance(step, Command)]
    made = asked.index(f"exec {site.path('rules')}")
    assert asked[made + 1:made + 1 + len(CHAIN.ports)] == [
        f"set acl-plugin interface VirtualEthernet0/0/{i} input acl 0" for i in range(len(CHAIN.ports))]
    assert all("xconnect" in command for command in asked[made + 1 + len(CHAIN.ports):])


def test_vpp_joins_both_ends_of_every_wire_once_its_ports_are_there() -> None:
    site = site_of(CHAIN)
    there: list[str] = []
    ports: list[str] = []
    joined = set()
    for step in Vpp().wire(site):
        if isinstance(step, Await):
            there.append(step.path)
            continue
        assert isinstance(step, Command)
        command = step.argv[3:]
        if command[:3] == ("create", "vhost-user", "socket"):
            assert command[3] == there[-1] and "server" not in command and step.says
            ports.append(step.says)
        elif command[:3] == ("set", "interface", "state"):
            assert command[3:] == (ports[-1], "up") and step.says == ""
        else:
            assert command[:4] == ("set", "interface", "l2", "xconnect") and step.says == ""
            joined.add((ports.index(command[4]), ports.index(command[5])))
    assert tuple(there) == site.sockets and joined == both_ways(CHAIN)


def test_vpp_is_told_its_cpus_and_loads_the_vhost_plugin_only() -> None:
    site = site_of(P2P, switch_cpus=2)
    text = text_of(Vpp().launch(site))
    assert "main-core 0 corelist-workers 6,7 " in text
    assert re.findall(r"plugin (\S+) \{ enable", text) == ["vhost_plugin.so"]
    assert text.count("{") == text.count("}")


# ---- fastclick -----------------------------------------------------------------------------------------------------

def test_fastclick_joins_both_ends_of_every_wire() -> None:
    text = text_of(FastClick().launch(site_of(CHAIN)))
    devices = {name: int(port) for name, port in re.findall(r"^(\w+) :: \w+DPDKDevice\((\d+),", text, re.MULTILINE)}
    joined = re.findall(r"^(\w+) -> (\w+);", text, re.MULTILINE)
    assert {(devices[rx], devices[tx]) for rx, tx in joined} == both_ways(CHAIN)
    assert len(devices) == 2 * len(CHAIN.ports)


def test_a_learning_fastclick_has_a_switch_in_every_wire_and_none_between_wires() -> None:
    site = site_of(CHAIN)
    text = text_of(FastClick().launch(replace(site, options={**site.options, "forwarding": "learning"})))
    joined = re.findall(r"^rx(\d+) -> \[(\d)\](\w+)\[(\d)\] -> tx(\d+);", text, re.MULTILINE)
    assert all(rx == tx and end == way for rx, end, _, way, tx in joined)       # it leaves at the port's own end
    ends = {(name, int(end)): int(rx) for rx, end, name, _, _ in joined}
    assert {(ends[name, 0], ends[name, 1]) for name, _ in ends} == set(CHAIN.wires)
    assert len(ends) == len(CHAIN.ports) and len(set(re.findall(r"(\w+) :: EtherSwitch", text))) == len(CHAIN.wires)


def test_fastclick_numbers_its_devices_as_the_sockets_are_given() -> None:
    site = site_of(CHAIN)
    [spawn] = [s for s in FastClick().launch(site) if isinstance(s, Spawn)]
    vdevs = [spawn.argv[i + 1] for i, word in enumerate(spawn.argv) if word == "--vdev"]
    assert [v.split(",")[:2] for v in vdevs] == [[f"net_vhost{i}", f"iface={s}"] for i, s in enumerate(site.sockets)]


def test_large_frames_fit_a_buffer_of_fastclick() -> None:
    text = text_of(FastClick().launch(site_of(P2P, frame_max_bytes=9018)))
    [size] = re.findall(r"MBUF_SIZE (\d+)", text)
    assert int(size) >= 9018 + 128


@pytest.fixture
def control(folder: Path) -> Iterator[Callable[[bytes, dict[bytes, bytes]], str]]:
    """A ControlSocket that greets and answers lines; gives its path."""
    listener = socket.socket(socket.AF_UNIX)
    threads: list[threading.Thread] = []

    def start(greeting: bytes, answers: dict[bytes, bytes]) -> str:
        path = str(folder / "control")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(greeting)
                stream.flush()
                for line in stream:
                    if (answer := answers.get(line.strip())) is None:
                        return
                    stream.write(answer)
                    stream.flush()
        threads.append(threading.Thread(target=serve, daemon=True))
        threads[0].start()
        return path
    yield start
    listener.close()


GREETING = b"Click::ControlSocket/1.3\r\n"


def data(text: bytes) -> bytes:
    return b"200 Read handler 'x' OK\r\nDATA %d\r\n%s" % (len(text), text)


def test_counts_are_read_from_a_control_socket(control: Any) -> None:
    path = control(GREETING, {b"READ rx0.count": data(b"18446744073709551615"), b"READ tx0.count": data(b"7\n")})
    assert fastclick.read_handlers(path, ["rx0.count", "tx0.count"]) == [2**64 - 1, 7]


ANSWERS = {"no handler": b"511 No handler named 'rx0.count'\r\n", "many lines": b"520-Bad:\r\n520 Worse\r\n",
           "no data": b"200 OK\r\nNOTHING\r\n", "no number": data(b"many"), "too little": b"200 OK\r\nDATA 9\r\n1",
           "no length": b"200 OK\r\nDATA x\r\n"}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_strange_answer_fails_the_cell(answer: bytes, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastclick, "TIMEOUT_S", 0.2)
    path = control(GREETING, {b"READ rx0.count": answer})
    with pytest.raises(CellFailed) as caught:
        fastclick.read_handlers(path, ["rx0.count"])
    assert path in str(caught.value)


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0\r\n", b"Click::ControlSocket/2.0\r\n", b"\xff\xfe\r\n"])
def test_another_server_is_no_control_socket(greeting: bytes, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastclick, "TIMEOUT_S", 0.2)
    with pytest.raises(CellFailed):
        fastclick.read_handlers(control(greeting, {}), ["rx0.count"])


def test_fastclick_counts_each_port_of_the_topology(control: Any, folder: Path) -> None:
    (folder / "switch").mkdir()
    counts = {"rx0.count": 100, "tx0.count": 9, "tx0.dropped": 1, "rx1.count": 10, "tx1.count": 90, "tx1.dropped": 10}
    path = control(GREETING, {f"READ {k}".encode(): data(str(v).encode()) for k, v in counts.items()})
    site = site_of(P2P, str(folder))
    Path(path).rename(site.path("control"))
    assert FastClick().counters(site, lambda argv: "") == [PortCounters("p0", 100, 9, 1),
                                                           PortCounters("p1", 10, 90, 10)]


# ---- snabb ---------------------------------------------------------------------------------------------------------

def test_snabb_joins_both_ends_of_every_wire() -> None:
    site = site_of(CHAIN)
    text = text_of(Snabb().launch(site))
    assert re.findall(r"\[\[(.*?)\]\]", text.splitlines()[0]) == list(site.sockets)
    assert {(int(a), int(b)) for a, b in re.findall(r"\{(\d+), (\d+)\}", text.splitlines()[1])} == both_ways(CHAIN)


@pytest.mark.parametrize("site, word", [(site_of(P2P, switch_cpus=2), "core"), (site_of(P2P, queues=2), "queue"),
                                        (site_of(P2P, virtio=Virtio(sockets="switch")), "server"),
                                        (site_of(P2P, virtio=Virtio(rings="packed")), "split")])
def test_what_snabb_cannot_do_is_known_before_it_starts(site: Site, word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        Snabb().launch(site)


def links(site: Site, counts: dict[tuple[int, int], dict[str, int]]) -> None:
    """The shared objects of a Snabb that has counted so."""
    for (tx, rx), counters in counts.items():
        for name, count in counters.items():
            path = Path(site.path("shm")) / "4711" / "links" / f"port{tx}.tx -> port{rx}.rx" / f"{name}.counter"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(struct.pack("=Q", count))


def test_snabb_tells_where_a_packet_was_lost(tmp_path: Path) -> None:
    site = site_of(P2P, str(tmp_path))
    links(site, {(0, 1): {"txpackets": 100, "txdrop": 20, "rxpackets": 90},
                 (1, 0): {"txpackets": 7, "txdrop": 0, "rxpackets": 6}})
    assert Snabb().counters(site, lambda argv: "") == [PortCounters("p0", 120, 6, 0), PortCounters("p1", 7, 90, 20)]


@pytest.mark.parametrize("trouble", ["none", "one is missing", "one is cut off", "two processes"])
def test_a_snabb_that_counts_something_else_fails_the_cell(trouble: str, tmp_path: Path) -> None:
    site = site_of(P2P, str(tmp_path))
    if trouble != "none":
        both = {"txpackets": 1, "txdrop": 0, "rxpackets": 1}
        links(site, {(0, 1): both, (1, 0): both})
        shm = Path(site.path("shm"))
        counter = shm / "4711" / "links" / "port1.tx -> port0.rx" / "txdrop.counter"
        if trouble == "one is missing":
            counter.unlink()
        elif trouble == "one is cut off":
            counter.write_bytes(b"123")
        else:
            (shm / "4712" / "links" / "port0.tx -> port1.rx").mkdir(parents=True)
    with pytest.raises(CellFailed, match="Snabb"):
        Snabb().counters(site, lambda argv: "")


def test_snabb_takes_the_features_that_its_peer_has() -> None:
    merged, unmerged = (text_of(Snabb().launch(site_of(P2P, virtio=Virtio(mergeable=m)))) for m in (True, False))
    assert "local features = 0x18008000\n" in merged and "local features = 0x18000000\n" in unmerged


@pytest.mark.parametrize("driver", [Vpp(), FastClick()], ids=lambda d: d.name)
def test_who_can_is_the_server_of_its_sockets_where_a_scenario_asks_for_it(driver: Any) -> None:
    site = site_of(P2P, virtio=Virtio(sockets="switch"))
    words = repr([*driver.launch(site), *driver.wire(site)])
    assert words.count("'server'") == (2 if driver.name == "vpp" else 0)
    assert ("client=1" in words, "client=0" in words) == (False, driver.name == "fastclick")


# ---- for real ------------------------------------------------------------------------------------------------------

PROGRAMS = all((run.BUILD / name).exists() for name in ("pktgen", "meter", "vnf"))
SCENARIO = """
name = "real"
[matrix]
topology = ["p2p", "loopback"]
guest = "process"
nf = "l2fwd"        # which gives frames other addresses: t4p4s needs that
direction = "two-way"
[search]
trials = 1
trial_s = 0.2
warmup_s = 0.1
[repeat]
anchor = false
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def prefix_of(driver: Any) -> str:
    """Where it is installed; skips the test if it is not, or cannot run here."""
    prefix = INSTALLED[driver.name]
    if not PROGRAMS:
        pytest.skip(f"pktgen, meter and vnf are not built in {run.BUILD}")
    if missing := driver.check(prefix).missing:
        pytest.skip(missing)
    try:
        host.check_hugepages_possible(512)
    except CannotRun as why:
        pytest.skip(str(why))
    return prefix


def outside() -> set[str]:
    """What switches may leave behind on a machine, outside the folder of their run."""
    roots = ("/dev/shm", "/run/snabb", "/run/vpp", "/dev/hugepages")
    return {*(str(path) for root in roots for path in [Path(root), *Path(root).glob("**/*")] if path.exists()),
            *map(str, Path("/tmp").glob("vhost_features*"))}


@pytest.mark.parametrize("driver", FOR_REAL, ids=lambda d: d.name)
def test_a_real_one_forwards_counts_and_leaves_nothing_behind(driver: Any, folder: Path, tmp_path: Path) -> None:
    switch, before = f"{driver.name}={driver.name}@{prefix_of(driver)}", outside()
    scenario = write(tmp_path / "real.toml", SCENARIO)
    for attempt in range(3 if driver.name == "t4p4s" else 1):   # its threads miss each other at times
        to = tmp_path / f"out{attempt}"
        status, out, err = vswbench(folder, "run", scenario, "--switch", switch, "--out", to, timeout_s=120)
        if "a probe frame" not in out:
            break
    assert (status, err) == (0, ""), out
    [results] = to.iterdir()
    trials = rows_of(results / "trials.csv")
    assert {t["topology"] for t in trials} == {"p2p", "loopback"}
    for t in trials:
        assert t["status"] == "ok" and int(t["sent_count"]) == int(t["received_count"]) + int(t["lost_count"])
    ports = rows_of(results / "ports.csv")
    assert [p["port"] for p in ports] == ["p0", "p1", "p0", "g1.0", "g1.1", "p1"]
    for one, other in zip(ports[::2], ports[1::2]):      # the ends of a wire
        for rx, tx in ((one, other), (other, one)):     # what is missing was dropped, or is still in the switch
            assert 0 < int(tx["tx_count"]) <= int(rx["rx_count"]) and int(tx["dropped_count"] or 0) >= 0
    assert processes_of(folder) == [] and outside() <= before


slow = pytest.mark.skipif(os.environ.get("VSWBENCH_SLOW") != "1", reason="slow: run `make test-slow`")


@slow
@pytest.mark.parametrize("kind", ["memif", "af_packet"])
def test_a_real_vpp_has_ports_of_other_kinds(kind: str, folder: Path, tmp_path: Path) -> None:
    """Two queue pairs a port, and a guest whose device has a name that VPP's CLI does not take."""
    scenario = SCENARIO.replace('"p2p", "loopback"', '"loopback"').replace(
        "[search]", f'port_kind = "{kind}"\nqueues = 2\n[search]')
    switch, before = f"vpp=vpp@{prefix_of(Vpp())}", outside()
    status, out, err = vswbench(folder, "run", write(tmp_path / "real.toml", scenario), "--switch", switch,
                                "--out", tmp_path / "out", timeout_s=120)
    assert (status, err) == (0, ""), out
    [results] = (tmp_path / "out").iterdir()
    for t in rows_of(results / "trials.csv"):
        assert t["status"] == "ok" and int(t["sent_count"]) == int(t["received_count"]) + int(t["lost_count"])
    ports = {p["port"]: p for p in rows_of(results / "ports.csv")}
    assert list(ports) == ["p0", "g1.0", "g1.1", "p1"] and all(int(p["rx_count"]) > 0 for p in ports.values())
    assert processes_of(folder) == [] and outside() <= before


SYSTEMS_VPP = """
unix { nodaemon nosyslog cli-listen /run/vpp/cli.sock }
buffers { buffers-per-numa 1024 page-size default }
plugins { plugin default { disable } }
"""


@pytest.fixture
def systems_vpp(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A VPP with all paths at their defaults; asks it for its interfaces."""
    prefix = prefix_of(Vpp())
    if Path("/run/vpp").exists() or not os.access("/run", os.W_OK):
        pytest.skip("/run/vpp is there, so of a VPP of this machine, or cannot be made")
    config = write(tmp_path / "system.conf", SYSTEMS_VPP)
    with subprocess.Popen([f"{prefix}/bin/vpp", "-c", str(config)], stdin=subprocess.PIPE) as process:
        def ask() -> str:
            return subprocess.run([f"{prefix}/bin/vppctl", "show", "interface"], capture_output=True, text=True,
                                  timeout=10, stdin=subprocess.DEVNULL, check=False).stdout
        try:
            eventually(lambda: "local0" in ask(), 20)
            yield ask
        finally:
            process.terminate()
            process.wait(10)
            shutil.rmtree("/run/vpp")


@slow
def test_a_systems_vpp_is_left_alone_and_a_killed_one_leaves_nothing(systems_vpp: Callable[[], str], folder: Path,
                                                                      tmp_path: Path) -> None:
    scenario = write(tmp_path / "long.toml", SCENARIO.replace('"p2p", "loopback"', '"p2p"').replace(
        "trials = 1", "trials = 100"))
    command = ("run", scenario, "--switch", f"vpp=vpp@{prefix_of(Vpp())}", "--out", tmp_path / "out")
    systems, system = {path for path in outside() if "vpp" in path or "vpe" in path}, systems_vpp()

    def left() -> set[str]:
        return {path for path in outside() if path.startswith("/dev/shm/vswbench-")}

    def measured(count: int) -> list[int]:
        """Pids of VPP and its peer, once so many runs have measured something."""
        eventually(lambda: sum(len(rows_of(p)) > 0 for p in (tmp_path / "out").glob("*/trials.csv")) == count, 60)
        return processes_of(folder)

    with start_vswbench(folder, *command) as process:
        [switch] = [pid for pid in measured(1) if b"startup.conf" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(switch, signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "vpp was killed by signal SIGKILL" in out
    assert not left() and systems <= outside() and systems_vpp() == system

    with start_vswbench(folder, *command) as process:
        measured(2)
        process.kill()
        process.communicate()
    eventually(lambda: not processes_of(folder), 5)
    assert left()
    short = write(tmp_path / "short.toml", SCENARIO.replace('"p2p", "loopback"', '"p2p"'))
    assert vswbench(folder, "run", short, *command[2:], timeout_s=60)[0] == 0
    assert not left() and systems <= outside() and systems_vpp() == system


LONG = SCENARIO.replace('"p2p", "loopback"', '"p2p"').replace("trials = 1", "trials = 100")


def test_of_a_killed_bess_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    """Be it the switch that is killed, or the run; after that also what only the next run can clear away."""
    scenario, before = write(tmp_path / "long.toml", LONG), outside()
    command = ("run", scenario, "--switch", f"bess=bess@{prefix_of(Bess())}", "--out", tmp_path / "out")
    runs = set()

    def measured(count: int) -> list[int]:
        eventually(lambda: sum(len(rows_of(p)) > 0 for p in (tmp_path / "out").glob("*/trials.csv")) == count, 60)
        runs.update(path.name for path in folder.glob("vswbench-*"))
        return processes_of(folder)

    def mounts() -> str:
        return Path("/proc/mounts").read_text()

    with start_vswbench(folder, *command) as process:
        [pid] = [pid for pid in measured(1) if Path(f"/proc/{pid}/exe").readlink().name == "bessd"]
        assert str(folder) not in mounts()
        os.kill(pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "was killed by signal SIGKILL" in out
    assert outside() <= before and str(folder) not in mounts()

    with start_vswbench(folder, *command) as process:
        measured(2)
        process.kill()
        process.communicate()
    eventually(lambda: not processes_of(folder), 5)
    assert str(folder) not in mounts()
    short = write(tmp_path / "short.toml", LONG.replace("trials = 100", "trials = 1"))
    assert vswbench(folder, "run", short, *command[2:], timeout_s=60)[0] == 0
    assert outside() <= before and not [p for run in runs for p in host.NAMESPACES.glob(f"{run}-*")]


def test_drivers_of_built_switches_are_found_by_name() -> None:
    assert [find(d.name) for d in FOR_REAL] == [find(name) for name in ("vpp", "fastclick", "snabb", "bess",
                                                                   "t4p4s")]
    assert all(find(d.name) for d in FOR_REAL)
