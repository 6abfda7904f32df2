# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch: what is found of an installation, what its bridge is told, and what is read of its counters and
cycles."""

import ipaddress
import platform
import re
from pathlib import Path
from typing import Any

import pytest

from harness import ports
from harness.cost import Cycles
from harness.errors import CellFailed
from harness.switches.base import Await, Command, File, Namespace, PortCounters, Spawn
from harness.switches.ovs import parse_counters
from harness.switches.ovs_dpdk import OvsDpdk, parse_cycles
from harness.switches.ovs_kernel import OvsKernel, has_module
from harness.switches.ovs_userspace import OvsUserspace
from harness.tests.support import OVS_OUTPUT, STRANGE, executable, site_of, write
from harness.topology import build

# ---- counters and cycles -------------------------------------------------------------------------------------------

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


# ---- an installation -----------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("kind", [*STRANGE, "one that may not be run"])
def test_a_strange_ovs_is_missing_and_no_exception(kind: str, tmp_path: Path) -> None:
    daemon = fake_ovs(tmp_path, STRANGE.get(kind, "#!/bin/sh\n"))
    if kind == "one that may not be run":
        daemon.chmod(0o644)
    assert str(daemon) in OvsDpdk().check(str(tmp_path)).missing


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


# ---- launch and wire -----------------------------------------------------------------------------------------------

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
        assert (steps[0] == Namespace(site.namespace)) == (kind not in ports.ON_DEVICES)
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


@pytest.mark.parametrize("driver, pinned", [(OvsUserspace(), True), (OvsKernel(), False)],
                         ids=lambda v: getattr(v, "name", v))
def test_what_forwards_in_the_main_thread_has_the_cpu_of_the_switch(driver: Any, pinned: bool) -> None:
    site = site_of(build("p2p", 0, "one-way"), kind="af_packet", cpus=3)
    [daemon] = [s for s in driver.launch(site) if isinstance(s, Spawn) and s.name == "ovs-vswitchd"]
    cpu = int(daemon.argv[daemon.argv.index("taskset") + 2])
    assert (cpu in site.cores.switch) == pinned and daemon.argv[:2] == ("nsenter", f"--net=/run/netns/{site.namespace}")


@pytest.mark.parametrize("kind, asked", [("af_xdp", True), ("af_packet", False)])
def test_a_user_space_datapath_tells_its_cycles_where_polling_threads_forward(kind: str, asked: bool) -> None:
    calls: list[tuple[str, ...]] = []

    def output(argv: Any) -> str:
        calls.append(tuple(argv))
        return ("pmd thread numa_id 0 core_id 1:\n  packets received: 10\n  processing cycles: 700 (70.00%)\n"
                "main thread:\n  packets received: 0\n")
    found = OvsUserspace().cycles(site_of(build("p2p", 0, "one-way"), kind=kind), output)
    assert (found is not None and (found.busy_count, found.packet_count)) == (asked and (700, 10))
    assert [argv[-1] for argv in calls] == ["dpif-netdev/pmd-stats-show"] * asked
