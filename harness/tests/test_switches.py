# SPDX-License-Identifier: BSD-3-Clause
"""Drivers of switches: the contract that all of them keep, and what each reads of its switch."""

import ipaddress
import json
import platform
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness import ports, telemetry
from harness.cores import assign
from harness.cost import Cycles
from harness.errors import CellFailed, Unsupported
from harness.switches import SWITCHES, find, linux
from harness.switches.base import Await, Command, File, Namespace, PortCounters, Site, Spawn, Step, cpu_mask, prefix_variable
from harness.switches.linux_bridge import LinuxBridge
from harness.switches.ovs import parse_counters
from harness.switches.ovs_dpdk import OvsDpdk, parse_cycles
from harness.switches.ovs_kernel import OvsKernel, has_module
from harness.switches.ovs_userspace import OvsUserspace
from harness.switches.testpmd import Testpmd
from harness.tests.support import FOLDER, executable, write
from harness.topology import CHAIN_MAX, Topology, build

# every switch on every kind of port that it has
every_driver = pytest.mark.parametrize("driver, kind", [(d, kind) for d in SWITCHES for kind in d.ports],
                                       ids=lambda value: getattr(value, "name", value))
IN_THE_KERNEL = ("linux-bridge", "macvtap", "xdp", "ovs-kernel")


OPTIONS = {key: field.default for driver in SWITCHES for key, field in driver.options.items()}


def site_of(topology: Topology, folder: str = FOLDER, prefix: str = "/opt/switch", cpus: int = 4,
            kind: str = "vhost-user", **options: Any) -> Site:
    sockets = () if kind in ports.ON_DEVICES else tuple(f"{folder}/{p.name}" for p in topology.ports)
    return Site(f"{folder}/switch", sockets, topology, assign(range(cpus), 1, ["generator"]), prefix, 512,
                "vsw-0-switch", options=OPTIONS | options, port_kind=kind, namespace=ports.namespace(folder),
                build="/opt/switch/build")


def every_topology() -> list[Topology]:
    return [build("p2p", 0, "two-way"), build("p2v", 0, "one-way"), build("v2v", 0, "one-way"),
            build("v2v-latency", 0, "one-way"),
            *(build("loopback", n, "one-way") for n in (1, 2, CHAIN_MAX))]


def steps_of(driver: Any, site: Site) -> list[Step]:
    try:
        launch = driver.launch(site)
        return [*driver.devices(site), *launch, *driver.wire(site)]
    except Unsupported:
        return []


# ---- options -------------------------------------------------------------------------------------------------------

def words_of(driver: Any, **options: Any) -> str:
    return " ".join(" ".join(step.argv) for step in steps_of(driver, site_of(build("p2p", 0, "one-way"), **options))
                    if isinstance(step, (Spawn, Command)))


def test_options_reach_the_switch_and_by_default_nothing_is_set() -> None:
    assert "--forward-mode=io" in words_of(Testpmd()) and "--forward-mode=macswap" in words_of(Testpmd(), forward="macswap")
    assert not re.search("emc|smc", words_of(OvsDpdk()))
    assert 'emc-insert-inv-prob="0"' in words_of(OvsDpdk(), emc=False)
    assert 'smc-enable="true"' in words_of(OvsDpdk(), smc=True)


# ---- the contract --------------------------------------------------------------------------------------------------

def test_names_are_unique_words_and_found() -> None:
    names = [d.name for d in SWITCHES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9-]*", name) for name in names)
    assert [find(name) for name in names] == list(SWITCHES)
    assert find("no-such-switch") is None


@every_driver
def test_a_driver_says_what_ports_and_memory_it_takes(driver: Any, kind: str) -> None:
    assert kind in ports.PORT_KINDS
    assert isinstance(driver.hugepages_mib, int) and driver.hugepages_mib >= 0


@every_driver
def test_a_driver_can_do_at_least_p2p(driver: Any, kind: str) -> None:
    site = site_of(build("p2p", 0, "one-way"), kind=kind)
    assert isinstance(driver.launch(site), list) and isinstance(driver.wire(site), list)


@every_driver
def test_a_driver_gives_steps_and_the_same_every_time(driver: Any, kind: str) -> None:
    for topology in every_topology():
        steps = steps_of(driver, site_of(topology, kind=kind))
        assert all(isinstance(step, Command | Spawn | Await | File | Namespace) for step in steps)
        assert steps == steps_of(driver, site_of(topology, kind=kind))
        assert all(isinstance(word, str) and word for s in steps if isinstance(s, Command | Spawn) for word in s.argv)


@every_driver
def test_whoever_cannot_do_a_topology_says_why(driver: Any, kind: str) -> None:
    for topology in every_topology():
        try:
            driver.launch(site_of(topology, kind=kind))
            driver.wire(site_of(topology, kind=kind))
        except Unsupported as why:
            assert len(str(why)) > 10 and "\n" not in str(why)


def paths_in(steps: list[Step]) -> set[str]:
    """Absolute paths in arguments, environments and steps, also behind "=" and the like."""
    words = [str(value) for step in steps for value in asdict(step).values()]
    return {match for word in words for match in re.findall(r"(?<![A-Za-z0-9_.-])/[A-Za-z0-9_./-]+", word)}


@every_driver
def test_a_switch_works_in_its_own_folder_and_its_installation_only(driver: Any, kind: str) -> None:
    """No system service, database, socket or log is ever touched."""
    for topology in every_topology():
        site = site_of(topology, kind=kind)
        for path in paths_in(steps_of(driver, site)):
            inside = path == site.folder or path.startswith(site.folder + "/")
            own = (*site.sockets, f"/run/netns/{site.namespace}", "/usr/bin/python3")
            assert inside or path in own or path.startswith(("/opt/switch/", "/proc/")), path


@every_driver
def test_another_folder_changes_nothing_but_the_folder(driver: Any, kind: str) -> None:
    for topology in every_topology():
        here, there = (repr(steps_of(driver, site_of(topology, folder, kind=kind)))
                       for folder in (FOLDER, "/tmp/vswbench-x/c2"))
        same = here.replace(FOLDER, "/tmp/vswbench-x/c2").replace(ports.namespace(FOLDER), "vswbench-x-c2")
        assert same == there


@every_driver
def test_no_argument_needs_a_shell(driver: Any, kind: str) -> None:
    """Commands run without a shell: what a shell would expand must not stand in them."""
    for topology in every_topology():
        for step in steps_of(driver, site_of(topology, kind=kind)):
            for word in (*step.argv, *(value for _, value in step.env)) if isinstance(step, Command | Spawn) else ():
                assert not set(word) & set("$`\\*?;|&<>~\n\0"), word


@every_driver
def test_a_switch_runs_on_its_own_cpus(driver: Any, kind: str) -> None:
    """The mask or list of its CPUs follows the site, so none is written down."""
    if driver.name in IN_THE_KERNEL:
        return      # on the CPUs to which its devices are steered, see test_ports.py
    topology = build("p2p", 0, "one-way")
    few, many = (repr(steps_of(driver, site_of(topology, cpus=n, kind=kind))) for n in (4, 16))
    assert (few != many) == bool(steps_of(driver, site_of(topology, kind=kind)))


@every_driver
def test_every_port_of_a_switch_is_named_in_its_steps_once_it_has_any(driver: Any, kind: str) -> None:
    for topology in every_topology():
        site = site_of(topology, kind=kind)
        steps = steps_of(driver, site)
        if any(isinstance(step, Spawn) for step in steps) or site.devices and steps:
            assert [s for s in (*site.sockets, *site.devices) if s not in repr(steps)] == []


@every_driver
def test_every_process_of_a_switch_has_a_name_of_its_own(driver: Any, kind: str) -> None:
    names = [s.name for s in steps_of(driver, site_of(build("p2p", 0, "one-way"), kind=kind)) if isinstance(s, Spawn)]
    assert len(names) == len(set(names)) and all(re.fullmatch("[a-z0-9-]+", name) for name in names)


@every_driver
def test_check_of_an_empty_prefix_says_what_is_missing_and_the_cure(driver: Any, kind: str, tmp_path: Path) -> None:
    check = driver.check(str(tmp_path))
    if steps_of(driver, site_of(build("p2p", 0, "one-way"), kind=kind)):
        cures = ("apt-get install", prefix_variable(driver.name))      # a package, or one's own build
        assert str(tmp_path) in check.missing and any(cure in check.missing for cure in cures)
    else:
        assert check.missing == ""
    assert list(tmp_path.iterdir()) == []


def test_cpu_masks_have_a_bit_for_every_cpu() -> None:
    assert [cpu_mask(cpus) for cpus in ((0,), (1,), (0, 1), (4, 5), (64,))] == ["0x1", "0x2", "0x3", "0x30",
                                                                                "0x1" + "0" * 16]


# ---- ovs-dpdk ------------------------------------------------------------------------------------------------------

# ovs-ofctl --no-names dump-ports, of Open vSwitch 3.1.0 with DPDK 22.11.11
OVS_OUTPUT = """OFPST_PORT reply (xid=0x2): 3 ports
  port LOCAL: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=0, bytes=0, drop=0, errs=0, coll=0
  port  1: rx pkts=19140639, bytes=1148438340, drop=0, errs=0, frame=?, over=?, crc=?
           tx pkts=7, bytes=0, drop=5, errs=?, coll=?
  port  2: rx pkts=0, bytes=0, drop=?, errs=0, frame=?, over=?, crc=?
           tx pkts=2537024, bytes=152221440, drop=16603615, errs=?, coll=?
"""


def test_counters_of_a_real_open_vswitch_are_read() -> None:
    assert parse_counters(OVS_OUTPUT, ["p0", "g1.0"]) == [PortCounters("p0", 19140639, 7, 5),
                                                          PortCounters("g1.0", 0, 2537024, 16603615)]


def test_a_counter_that_is_not_there_is_not_0() -> None:
    text = OVS_OUTPUT.replace("pkts=19140639", "pkts=?").replace("drop=0", "drop=?").replace("drop=5", "drop=?")
    [one] = parse_counters(text, ["p0"])
    assert one == PortCounters("p0", None, 7, None)


@pytest.mark.parametrize("text", ["", "ovs-ofctl: unix:br0.mgmt: failed to connect", "port  7: rx pkts=1"])
def test_output_of_another_kind_fails_the_cell_and_not_the_run(text: str) -> None:
    with pytest.raises(CellFailed) as caught:
        parse_counters(text, ["p0"])
    assert "ovs-ofctl" in str(caught.value)


def test_ovs_is_asked_for_counters_of_its_own_bridge() -> None:
    site = site_of(build("p2p", 0, "one-way"))
    asked: list[Any] = []
    OvsDpdk().counters(site, lambda argv: (asked.append(argv), OVS_OUTPUT)[1])
    [argv] = asked
    assert "dump-ports" in argv and f"unix:{site.folder}/br0.mgmt" in argv


# ovs-appctl dpif-netdev/pmd-stats-show, of Open vSwitch 3.1.0 with DPDK 22.11.11
PMD_STATS = """pmd thread numa_id 0 core_id 1:
  packets received: 1902578
  packet recirculations: 0
  avg. datapath passes per packet: 1.00
  phwol hits: 0
  mfex opt hits: 0
  simple match hits: 1902568
  emc hits: 0
  smc hits: 0
  megaflow hits: 9
  avg. subtable lookups per megaflow hit: 1.00
  miss with success upcall: 1
  miss with failed upcall: 0
  avg. packets per output batch: 32.00
  idle cycles: 2624592601 (56.81%)
  processing cycles: 1995074544 (43.19%)
  avg cycles per packet: 2428.11 (4619667145/1902578)
  avg processing cycles per packet: 1048.62 (1995074544/1902578)
"""
MAIN_STATS = """main thread:
  packets received: 0
  packet recirculations: 0
  avg. datapath passes per packet: 0.00
  phwol hits: 0
  mfex opt hits: 0
  simple match hits: 0
  emc hits: 0
  smc hits: 0
  megaflow hits: 0
  avg. subtable lookups per megaflow hit: 0.00
  miss with success upcall: 0
  miss with failed upcall: 0
  avg. packets per output batch: 0.00
"""


def test_cycles_of_a_real_open_vswitch_are_read() -> None:
    assert parse_cycles(PMD_STATS + MAIN_STATS) == Cycles(1995074544, 1902578, 1, "dpif-netdev/pmd-stats-show")


def test_cycles_are_the_sum_over_the_threads_that_forward() -> None:
    other = PMD_STATS.replace("core_id 1:", "core_id 12:").replace("cycles: 1995074544", "cycles: 5").replace(
        "received: 1902578", "received: 2")
    idle = MAIN_STATS.replace("main thread:", "pmd thread numa_id 1 core_id 3:")
    main = MAIN_STATS.replace("received: 0", "received: 77") + "  processing cycles: 99 (1.00%)\n"
    for parts in ([PMD_STATS, main, other, idle], [main, idle, other, PMD_STATS]):
        one = parse_cycles("".join(parts))
        assert (one.busy_count, one.packet_count, one.worker_count) == (1995074549, 1902580, 3)


@pytest.mark.parametrize("text", [
    "", MAIN_STATS, PMD_STATS.replace("  processing cycles: 1995074544 (43.19%)\n", ""),
    PMD_STATS.replace("packets received", "packets seen"), PMD_STATS.replace("1995074544 (43.19%)", "many"),
    PMD_STATS.replace("  idle cycles: 2624592601 (56.81%)", "  processing cycles: 1 (0.00%)"),
    PMD_STATS.replace("received: 1902578", "received: -1"), PMD_STATS.replace("pmd thread", "thread"),
    "ovs-appctl: cannot connect"],
    ids=["nothing", "main thread only", "no cycles", "other words", "no number", "twice", "negative", "other threads",
         "no switch"])
def test_cycles_of_another_form_fail_and_are_no_zero(text: str) -> None:
    with pytest.raises(CellFailed, match="ovs-appctl gave something else"):
        parse_cycles(text)


def test_ovs_is_asked_for_cycles_through_its_own_socket() -> None:
    site = site_of(build("p2p", 0, "one-way"))
    asked: list[Any] = []
    OvsDpdk().cycles(site, lambda argv: (asked.append(argv), PMD_STATS)[1])
    [argv] = asked
    assert argv[-1] == "dpif-netdev/pmd-stats-show" and f"--target={site.folder}/vswitchd.ctl" in argv


@pytest.mark.parametrize("driver", [d for d in SWITCHES if d.name != "ovs-dpdk"], ids=lambda d: d.name)
def test_what_cannot_tell_its_cycles_asks_nobody(driver: Any) -> None:
    assert driver.cycles(site_of(build("p2p", 0, "one-way")), lambda argv: pytest.fail("asked")) is None


def fake_ovs(prefix: Path, says: str) -> Path:
    """An installation whose ovs-vswitchd says this."""
    for name in ("sbin/ovsdb-server", "bin/ovs-vsctl", "bin/ovs-ofctl", "bin/ovsdb-tool"):
        executable(prefix / name, "#!/bin/sh\nexit 0\n")
    write(prefix / "share/openvswitch/vswitch.ovsschema", "{}")
    return executable(prefix / "sbin/ovs-vswitchd", says)


def test_ovs_tells_its_version_and_that_of_its_dpdk(tmp_path: Path) -> None:
    daemon = fake_ovs(tmp_path,
                      "#!/bin/sh\n[ \"$1\" = --version ] && echo 'ovs-vswitchd (Open vSwitch) 3.5.1' && "
                      "echo 'DPDK 24.11.2'\n")
    check = OvsDpdk().check(str(tmp_path))
    assert (check.version, check.missing, check.files) == ("3.5.1 (DPDK 24.11.2)", "", (str(daemon),))


def test_an_ovs_without_dpdk_is_not_enough(tmp_path: Path) -> None:
    fake_ovs(tmp_path, "#!/bin/sh\necho 'ovs-vswitchd (Open vSwitch) 3.5.1'\n")
    assert "DPDK" in OvsDpdk().check(str(tmp_path)).missing


@pytest.mark.parametrize("absent", ["sbin/ovs-vswitchd", "sbin/ovsdb-server", "bin/ovs-vsctl", "bin/ovs-ofctl",
                                    "bin/ovsdb-tool",
                                    "share/openvswitch/vswitch.ovsschema"])
def test_an_ovs_that_lacks_a_part_says_which(absent: str, tmp_path: Path) -> None:
    fake_ovs(tmp_path, "#!/bin/sh\necho 'ovs-vswitchd (Open vSwitch) 3.5.1'; echo 'DPDK 24.11.2'\n")
    (tmp_path / absent).unlink()
    missing = OvsDpdk().check(str(tmp_path)).missing
    assert str(tmp_path / absent) in missing and "apt-get install" in missing


STRANGE = {"an empty file": "", "one that crashes": "#!/bin/sh\nkill -SEGV $$\n",
           "one that fails": "#!/bin/sh\nexit 1\n",
           "one with no interpreter": "#!/nowhere/sh\n", "one that says nothing known": "#!/bin/sh\necho hello\n",
           "one that says no text": "#!/bin/sh\nprintf '\\377\\376'\n"}


@pytest.mark.parametrize("kind", [*STRANGE, "one that may not be run"])
def test_a_strange_ovs_is_missing_and_no_exception(kind: str, tmp_path: Path) -> None:
    daemon = fake_ovs(tmp_path, STRANGE.get(kind, "#!/bin/sh\n"))
    if kind == "one that may not be run":
        daemon.chmod(0o644)
    assert str(daemon) in OvsDpdk().check(str(tmp_path)).missing


def test_flows_join_both_ends_of_every_wire() -> None:
    site = site_of(build("loopback", 2, "one-way"))
    flows = [re.fullmatch(r"in_port=(\d+),actions=output:(\d+)", step.argv[-1]) for step in OvsDpdk().wire(site)
             if isinstance(step, Command) and "add-flow" in step.argv]
    joined = {(int(m[1]) - 1, int(m[2]) - 1) for m in flows if m}
    assert joined == {*site.topology.wires, *((b, a) for a, b in site.topology.wires)}


def test_a_port_is_added_only_when_its_socket_is_there() -> None:
    site = site_of(build("loopback", 1, "one-way"))
    there: set[str] = set()
    for step in OvsDpdk().wire(site):
        if isinstance(step, Await):
            there.add(step.path)
        elif "add-port" in step.argv:
            [path] = [w.partition("=")[2] for w in step.argv if w.startswith("options:vhost-server-path=")]
            assert path in there
    assert there == set(site.sockets)


def test_ovs_never_meets_devices_of_another() -> None:
    """It makes ovs-netdev and br0 whatever its ports are: the namespace is there first, and the daemon in it."""
    for kind in OvsDpdk.ports:
        site = site_of(build("p2p", 0, "one-way"), kind=kind)
        steps = OvsDpdk().launch(site)
        assert (steps[0] == Namespace(site.namespace)) == (kind == "vhost-user")
        [daemon] = [s for s in steps if isinstance(s, Spawn) and s.name == "ovs-vswitchd"]
        assert daemon.argv[:2] == ("nsenter", f"--net=/run/netns/{site.namespace}")


def test_a_learning_switch_keeps_wires_apart() -> None:
    site = site_of(build("loopback", 2, "one-way"), forwarding="learning")
    tags = {step.argv[step.argv.index("br0") + 1]: [w for w in step.argv if w.startswith("tag=")]
            for step in OvsDpdk().wire(site) if isinstance(step, Command) and "add-port" in step.argv}
    wires = [[site.topology.ports[i].name for i in wire] for wire in site.topology.wires]
    assert tags == {name: [f"tag={k}"] for k, wire in enumerate(wires, start=1) for name in wire}
    assert [s.argv[-1] for s in OvsDpdk().wire(site) if isinstance(s, Command) and "add-flow" in s.argv] == [
        "actions=NORMAL"]


@pytest.mark.parametrize("count, masks", [(1, 1), (7, 1), (100, 3), (5, 16), (1000, 16)])
def test_there_are_as_many_rules_and_masks_as_asked_for_and_none_leads_astray(count: int, masks: int) -> None:
    site = site_of(build("loopback", 1, "one-way"), forwarding="openflow", rules=count, masks=masks)
    [file] = [step for step in OvsDpdk().wire(site) if isinstance(step, File)]
    assert OvsDpdk().wire(site)[-1].argv[-1] == file.path       # type: ignore[union-attr]
    other = {a + 1: b + 1 for wire in site.topology.wires for a, b in (wire, wire[::-1])}
    seen: dict[int, list[Any]] = {port: [] for port in other}
    for line in file.text.splitlines():
        match = re.fullmatch(r"priority=\d,in_port=(\d+)(?:,udp,nw_src=([\d.]+),tp_src=(\d+)/(0x\w+))?,"
                             r"actions=output:(\d+)", line)
        assert match and other[int(match[1])] == int(match[5]), line
        seen[int(match[1])].append(match.groups()[1:4])
    for matches in seen.values():
        assert len(matches) == len(set(matches)) == count and (None, None, None) in matches
        rules = [m for m in matches if m[0]]
        assert len({mask for _, _, mask in rules}) == min(masks, count - 1)
        assert all(int(port) & ~int(mask, 16) == 0 for _, port, mask in rules)      # OVS refuses bits behind the mask
        assert all(ipaddress.ip_address(ip) in ipaddress.ip_network("198.18.0.0/15") for ip, _, _ in rules)


def test_a_daemon_that_only_serves_the_kernel_needs_its_module(tmp_path: Path) -> None:
    fake_ovs(tmp_path, "#!/bin/sh\necho 'ovs-vswitchd (Open vSwitch) 3.5.1'\n")
    missing = OvsKernel().check(str(tmp_path)).missing
    assert bool(missing) != has_module(Path("/")) and ("CONFIG_OPENVSWITCH" in missing or not missing)
    root = tmp_path / "root"
    assert not has_module(root)
    listed = write(root / "lib/modules" / platform.release() / "modules.dep", "kernel/net/openvswitch/vport-gre.ko:\n")
    assert not has_module(root)
    listed.write_text("kernel/net/openvswitch/openvswitch.ko.xz: kernel/net/nsh/nsh.ko.xz\n")
    assert has_module(root)
    (root / "sys/module/openvswitch").mkdir(parents=True)
    listed.unlink()
    assert has_module(root)


@pytest.mark.parametrize("driver, pinned", [(OvsUserspace(), True), (OvsKernel(), False)], ids=lambda v: str(v))
def test_what_forwards_in_the_main_thread_has_the_cpu_of_the_switch(driver: Any, pinned: bool) -> None:
    site = site_of(build("p2p", 0, "one-way"), kind="af_packet", cpus=3)
    [daemon] = [s for s in driver.launch(site) if isinstance(s, Spawn) and s.name == "ovs-vswitchd"]
    cpu = int(daemon.argv[daemon.argv.index("taskset") + 2])
    assert (cpu in site.cores.switch) == pinned and daemon.argv[:2] == ("nsenter", f"--net=/run/netns/{site.namespace}")


# ---- in the kernel -------------------------------------------------------------------------------------------------

# ip -json -statistics link show, of iproute2 6.1.0, without what nobody reads
LINKS = [{"ifindex": 1, "ifname": "lo", "stats64": {"rx": {"packets": 0}}},
         {"ifindex": 100, "link_index": 1000, "ifname": "p0", "flags": ["BROADCAST", "UP"], "stats64": {
             "rx": {"bytes": 3060, "packets": 51, "errors": 0, "dropped": 3, "over_errors": 0, "multicast": 0},
             "tx": {"bytes": 240, "packets": 4, "errors": 0, "dropped": 2, "carrier_errors": 0, "collisions": 0}}}]


def test_counters_of_devices_are_read_from_json() -> None:
    assert linux.parse_counters(json.dumps(LINKS), ["p0"]) == [PortCounters("p0", 51, 4, 5)]


@pytest.mark.parametrize("text", ["", "Cannot open network namespace", "[]", "{}", "[1]", '[{"ifname": "p0"}]', "null"])
def test_other_output_than_counters_of_devices_fails_the_cell(text: str) -> None:
    with pytest.raises(CellFailed, match="ip gave something else"):
        linux.parse_counters(text, ["p0"])


def test_a_bridge_joins_the_ports_of_one_wire_and_no_others() -> None:
    site = site_of(build("loopback", 3, "one-way"), kind="af_packet")
    joined: dict[str, list[str]] = {}
    for step in LinuxBridge().wire(site):
        if isinstance(step, Command) and "master" in step.argv:
            joined.setdefault(step.argv[-1], []).append(step.argv[step.argv.index("dev") + 1])
    assert list(joined.values()) == [[site.devices[a], site.devices[b]] for a, b in site.topology.wires]


# ---- testpmd -------------------------------------------------------------------------------------------------------

TESTPMD = "#!/bin/sh\necho \"EAL: RTE Version: 'DPDK 24.11.2'\" >&2\necho 'Usage: dpdk-testpmd'\n"


def test_testpmd_tells_its_version(tmp_path: Path) -> None:
    binary = executable(tmp_path / "bin/dpdk-testpmd", TESTPMD)
    check = Testpmd().check(str(tmp_path))
    assert (check.version, check.missing, check.files) == ("DPDK 24.11.2", "", (str(binary),))


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_testpmd_is_missing_and_no_exception(kind: str, tmp_path: Path) -> None:
    binary = executable(tmp_path / "bin/dpdk-testpmd", STRANGE[kind])
    assert str(binary) in Testpmd().check(str(tmp_path)).missing


def test_testpmd_is_the_peers_client_on_every_port_in_order() -> None:
    site = site_of(build("loopback", 1, "one-way"))
    [spawn] = Testpmd().launch(site)
    assert isinstance(spawn, Spawn)
    vdevs = [spawn.argv[i + 1] for i, word in enumerate(spawn.argv) if word == "--vdev"]
    assert [v.split(",")[1] for v in vdevs] == [f"iface={s}" for s in site.sockets]
    assert all("client=1" in v for v in vdevs)


def test_testpmd_pairs_ports_as_wires_do() -> None:
    assert all(t.wires == tuple((i, i + 1) for i in range(0, len(t.ports), 2)) for t in every_topology())
    [spawn] = Testpmd().launch(site_of(build("p2p", 0, "one-way")))
    assert isinstance(spawn, Spawn) and "--port-topology=paired" in spawn.argv


# ---- DPDK telemetry ------------------------------------------------------------------------------------------------

@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder in whose subfolders a unix socket still fits, as that of a run is."""
    with tempfile.TemporaryDirectory(prefix="vsw", dir="/tmp") as name:
        yield Path(name)


GREETING = {"version": "DPDK 22.11.11", "pid": 5, "max_output_len": 16384}
STATS = {"ipackets": 100, "opackets": 90, "ibytes": 6000, "obytes": 5400, "imissed": 3, "ierrors": 1, "oerrors": 7,
         "rx_nombuf": 0, "q_ipackets": [100] + [0] * 15}


@pytest.fixture
def telemetry_server(short_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a server that says a greeting and answers each command with answer(command); gives its path."""
    running: list[tuple[socket.socket, threading.Thread]] = []

    def start(answer: Callable[[str], bytes | None], greeting: bytes = json.dumps(GREETING).encode(),
              path: Path = short_path / "t.sock") -> str:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        connection.send(greeting)
                        while (command := connection.recv(1024)):
                            if (reply := answer(command.decode())) is None:
                                break
                            connection.send(reply)
                    except OSError:
                        pass
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        running.append((listener, thread))
        return str(path)
    yield start
    for listener, thread in running:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def reply(command: str) -> bytes:
    return json.dumps({command.partition(",")[0]: STATS}).encode()


def test_telemetry_gives_the_answer_of_the_command(telemetry_server: Callable[..., str]) -> None:
    asked: list[str] = []
    path = telemetry_server(lambda c: (asked.append(c), reply(c))[1])
    assert telemetry.query(path, "/ethdev/stats,3") == STATS
    assert asked == ["/ethdev/stats,3"]


def test_an_answer_as_long_as_the_greeting_allows_comes_through(telemetry_server: Callable[..., str]) -> None:
    long = {"/x": "y" * 16_000}
    assert telemetry.query(telemetry_server(lambda c: json.dumps(long).encode()), "/x") == long["/x"]


@pytest.mark.parametrize("answer", [b"hello", b"", b"[]", b"3", b"{}", b"null", b"\xff", None],
                         ids=["no JSON", "nothing", "a list", "a number", "no answer in it", "null", "no text",
                              "hangs up"])
def test_a_strange_answer_fails_the_cell_and_names_the_command(answer: bytes | None,
                                                               telemetry_server: Callable[..., str]) -> None:
    path = telemetry_server(lambda c: answer)
    with pytest.raises(CellFailed) as caught:
        telemetry.query(path, "/ethdev/stats,0")
    assert "/ethdev/stats,0" in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize("greeting", [b"hello", b"[]", b"{\"max_output_len\": \"x\"}", b"{\"max_output_len\": -5000}"])
def test_a_strange_greeting_fails_the_cell(greeting: bytes, telemetry_server: Callable[..., str]) -> None:
    with pytest.raises(CellFailed):
        telemetry.query(telemetry_server(reply, greeting), "/ethdev/stats,0")


def test_a_server_that_hangs_fails_the_cell_in_time(telemetry_server: Callable[..., str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "TIMEOUT_S", 0.2)
    done = threading.Event()
    path = telemetry_server(lambda c: None if done.wait(5) else None)
    before = time.monotonic()
    with pytest.raises(CellFailed):
        telemetry.query(path, "/ethdev/stats,0")
    assert time.monotonic() - before < 2
    done.set()


def test_no_server_fails_the_cell(tmp_path: Path) -> None:
    with pytest.raises(CellFailed):
        telemetry.query(str(tmp_path / "none"), "/")
    with pytest.raises(CellFailed):
        telemetry.query("/" + "x" * 200, "/")


def test_testpmd_counts_each_port_of_the_topology(telemetry_server: Callable[..., str], short_path: Path) -> None:
    site = site_of(build("p2p", 0, "one-way"), str(short_path))
    path = Path(site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2"))
    path.parent.mkdir(parents=True)
    asked: list[str] = []
    telemetry_server(lambda c: (asked.append(c), reply(c))[1], path=path)
    assert Testpmd().counters(site, lambda argv: "") == [PortCounters("p0", 100, 90, None),
                                                         PortCounters("p1", 100, 90, None)]
    assert asked == ["/ethdev/stats,0", "/ethdev/stats,1"]


def test_a_testpmd_that_counts_something_else_fails_the_cell(telemetry_server: Callable[..., str],
                                                             short_path: Path) -> None:
    site = site_of(build("p2p", 0, "one-way"), str(short_path))
    path = Path(site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2"))
    path.parent.mkdir(parents=True)
    telemetry_server(lambda c: json.dumps({c.partition(",")[0]: None}).encode(), path=path)
    with pytest.raises(CellFailed):
        Testpmd().counters(site, lambda argv: "")
