# SPDX-License-Identifier: BSD-3-Clause
"""Real switches in trouble: one loses a port, one is killed in a trial. Each fails its cell with a reason, the next
cell is measured, and an Open vSwitch that somebody else runs on the machine notices nothing.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import bed, host, run, testbed
from harness.errors import CannotRun
from harness.proc import Process
from harness.run import Outcome
from harness.switches import find, ovs
from harness.testbed import PROBE
from harness.tests.support import cells_of_text, eventually, is_running, processes_of, words_missing
from harness.tests.test_ports import needs_devices

SCENARIO = """
[matrix]
topology = "p2p"
frame_bytes = [{sizes}]
port_kind = "{kind}"
[search]
kind = "fixed"
rate_pps = 2000
trials = 1
trial_s = 0.2
warmup_s = 0
"""
needs_programs = pytest.mark.skipif(not (run.BUILD / "pktgen").exists(), reason="pktgen is not built")


def measured(tmp_path: Path, switch: str, kind: str, sizes: str) -> list[Outcome]:
    """A cell for each size of frames. Skips the test where the switch cannot run."""
    driver = find(switch)
    assert driver
    if missing := driver.check("/usr").missing:
        pytest.skip(missing)
    cells = cells_of_text(tmp_path, SCENARIO.format(kind=kind, sizes=sizes), cpus=host.cpus(), switches=[switch])
    try:
        _, outcomes = run.run("t", cells, bed.load(None), tmp_path / "results", lambda line: None, {})
    except CannotRun as why:
        pytest.skip(str(why))
    return outcomes


def kill_in_the_trial(monkeypatch: pytest.MonkeyPatch, name: str, frame_bytes: int) -> None:
    """kill -9 of that process, while the traffic flows, where frames have that size."""
    measure = testbed.Testbed._measure_here

    def killing(self: testbed.Testbed, request: Any, flows: Any, meanwhile: Callable[[], None]) -> Any:
        def kill() -> None:
            if request.phase != PROBE and self.cell.frame_bytes == frame_bytes:
                [process] = [p for p in self.switch if p.name == name]
                os.kill(process.pid, signal.SIGKILL)
            meanwhile()
        return measure(self, request, flows, kill)
    monkeypatch.setattr(testbed.Testbed, "_measure_here", killing)


def lose_a_port(monkeypatch: pytest.MonkeyPatch, frame_bytes: int) -> None:
    """The second port's device goes before the switch comes, where frames have that size."""
    start = testbed.Testbed._start_switch

    def losing(self: testbed.Testbed) -> None:
        if self.cell.frame_bytes == frame_bytes:
            subprocess.run(["ip", "-n", self.setup.site.namespace, "link", "del", "p1"], check=True)
        start(self)
    monkeypatch.setattr(testbed.Testbed, "_start_switch", losing)


class ForeignOvs:
    """Open vSwitch as a system runs it: an instance that every tool finds by itself, in OVS_RUNDIR as in
    /run/openvswitch."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.processes = folder, []
        folder.mkdir()
        for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
            monkeypatch.setenv(name, str(folder))
        self.said("ovsdb-tool", "create", f"{folder}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self._start("ovsdb-server", f"{folder}/conf.db", f"--remote=punix:{folder}/db.sock")
        self.said("ovs-vsctl", "--no-wait", "init")
        # a dummy datapath needs no device, so that it is in nobody's way on this machine
        self._start("ovs-vswitchd", "--enable-dummy", "--disable-system")
        for line in (["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"],
                     ["add-port", "br0", "p0", "--", "set", "Interface", "p0", "type=dummy"]):
            self.said("ovs-vsctl", "--timeout=10", *line)
        self.said("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=drop")

    def _start(self, name: str, *words: str) -> None:
        log = self.folder / f"{name}.out"
        self.processes.append(Process(name, [f"/usr/sbin/{name}", *words, "--pidfile", "--no-chdir"], log))
        eventually((self.folder / f"{name}.pid").exists)

    def said(self, *argv: str) -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout

    def state(self) -> Sequence[object]:
        """All that a run could have changed of it."""
        return ([p.pid for p in self.processes if is_running(p.pid)], sorted(p.name for p in self.folder.iterdir()),
                self.said("ovs-vsctl", "show"), self.said("ovs-ofctl", "--no-stats", "dump-flows", "br0"),
                (self.folder / "conf.db").read_bytes())


@pytest.fixture
def foreign(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignOvs]:
    if shutil.which("ovs-vswitchd") is None:
        pytest.skip("ovs-vswitchd is not installed")
    instance = ForeignOvs(short_path / "openvswitch", monkeypatch)
    yield instance
    for process in instance.processes:
        process.stop()


@needs_devices
@needs_programs
def test_a_lost_port_and_a_kill_fail_their_cells_and_the_systems_open_vswitch_notices_nothing(
        foreign: ForeignOvs, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovs, "COMMAND_TIMEOUT_S", 1)
    before = foreign.state()
    lose_a_port(monkeypatch, 64)
    kill_in_the_trial(monkeypatch, "ovs-vswitchd", 128)
    lost, killed, fine = measured(tmp_path, "ovs-userspace", "af_packet", "64, 128, 256")
    assert [o.status for o in (lost, killed, fine)] == ["failed", "failed", "ok"], (lost, killed, fine)
    assert words_missing(lost.reason, ["wait-until Interface p1 ofport=2", "commands.log"]) == [], lost.reason
    assert words_missing(killed.reason, ["ovs-vswitchd was killed by signal SIGKILL", "ovs-vswitchd.log"]) == []
    assert "\n" not in lost.reason + killed.reason
    assert foreign.state() == before
    assert processes_of(runtime) == [] and [p.name for p in runtime.iterdir()] == ["vswbench.lock"]


@needs_programs
def test_a_killed_testpmd_fails_its_cell_only(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_in_the_trial(monkeypatch, "testpmd", 64)
    killed, fine = measured(tmp_path, "testpmd", "vhost-user", "64, 128")
    assert [killed.status, fine.status] == ["failed", "ok"], [killed.reason, fine.reason]
    assert words_missing(killed.reason, ["testpmd was killed by signal SIGKILL", "testpmd.log"]) == [], killed.reason
    assert processes_of(runtime) == []
