# SPDX-License-Identifier: BSD-3-Clause
"""A switch in trouble: it crashes in a trial, does not know a command, lacks a port, is never ready. Each fails its
cell with a reason that names it, and the next cell is measured. A fake Open vSwitch with the real one's output; the fake
generator of test_testbed.py.
"""

import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness import bed, guest, host, run, testbed
from harness.run import Outcome
from harness.tests.support import OVS_OUTPUT, cells_of_text, executable, processes_of, write
from harness.tests.test_testbed import PKTGEN, TWO_CELLS

# Each is a shell script: $* are its arguments, and every word of the real command line stands in a log.
DAEMON = """#!/bin/sh
case "$*" in *--version*) echo 'ovs-vswitchd (Open vSwitch) 3.1.0'; echo 'DPDK 22.11.11'; exit 0;; esac
for word in "$@"; do case $word in --unixctl=*) control=${word#--unixctl=};; esac; done
%s
touch "$control"
while :; do
	if [ -e "$CRASH" ]; then rm "$CRASH"; echo 'ovs-vswitchd: assertion n_packets > 0 failed' >&2; kill -ABRT $$; fi
	sleep 0.01
done
"""
SERVER = """#!/bin/sh
for word in "$@"; do case $word in --remote=punix:*) touch "${word#--remote=punix:}";; esac; done
exec sleep 1000
"""
CONTROL = """#!/bin/sh
case "$*" in
%s
*dump-ports*) cat <<'END'
%s
END
esac
"""


@pytest.fixture
def measured(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Measures two cells of ovs-dpdk with a fake in which these parts are replaced: `starts` is shell that the daemon
    runs first, `answers` are cases of the control commands; both see $FIRST in the first cell only."""
    def measure(starts: str = "", answers: str = "", **parts: str) -> tuple[list[Outcome], Path]:
        prefix, build, crash = tmp_path / "ovs", tmp_path / "build", tmp_path / "crash"
        write(prefix / "share/openvswitch/vswitch.ovsschema", "{}")
        first = 'case "$OVS_RUNDIR" in */c1/*) FIRST=1;; *) FIRST=;; esac\n'
        executable(prefix / "sbin/ovs-vswitchd", DAEMON % (first + starts))
        executable(prefix / "sbin/ovsdb-server", SERVER)
        executable(prefix / "bin/ovsdb-tool", "#!/bin/sh\n")
        for name in ("bin/ovs-vsctl", "bin/ovs-ofctl"):
            executable(prefix / name, CONTROL.replace("case", first + "case", 1) % (answers, OVS_OUTPUT))
        monkeypatch.setenv("CRASH", str(crash))
        executable(tmp_path / "tools/ip", "#!/bin/sh\n")        # namespaces need root
        executable(tmp_path / "tools/nsenter", '#!/bin/sh\nshift 2\nexec "$@"\n')
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
        text = PKTGEN.format(python=sys.executable, log=str(tmp_path / "requests"), start="pass", link="True",
                             got="sent", trouble=parts.get("trouble", "pass").replace("CRASH", repr(str(crash))))
        sockets = "for w in sys.argv:\n    'path=' in w and open(w.split('path=')[1].split(',')[0], 'w')\n"
        for name in ("pktgen", "meter", "vnf"):
            executable(build / name, text.replace("say(event=", sockets + "say(event=", 1))
        monkeypatch.setattr(run, "BUILD", build)
        monkeypatch.setattr(host, "enough_hugepages", lambda *_: nullcontext())
        monkeypatch.setattr(host, "check_hugepages_possible", lambda needed: None)
        for module, name, seconds in ((testbed, "ANSWER_S", 2.0), (testbed, "SOCKET_S", 0.5), (testbed, "LINK_S", 0.4),
                                      (testbed, "PROBE_S", 0.4), (guest, "PROGRAM_READY_S", 2.0)):
            monkeypatch.setattr(module, name, seconds)
        text = TWO_CELLS.replace('port_kind = "ring"\nswitch = "null"', f'switch = "ovs-dpdk=ovs-dpdk@{prefix}"')
        folder, outcomes = run.run("t", cells_of_text(tmp_path, text), bed.load(None), tmp_path / "results",
                                   lambda line: None, {})
        assert processes_of(runtime) == []
        return outcomes, folder
    return measure


def test_a_fake_switch_is_measured_as_a_real_one(measured: Any) -> None:
    outcomes, folder = measured()
    assert [o.status for o in outcomes] == ["ok", "ok"], [o.reason for o in outcomes]
    log = (folder / "logs" / outcomes[0].cell.id / "commands.log").read_text()
    order = [log.index(word) for word in ("ovsdb-tool", "other_config:dpdk-init", "add-br", "add-port", "wait-until",
                                          "add-flow", "dump-ports")]
    assert order == sorted(order)


def in_the_first(line: str, status: int) -> str:
    """Shell: says this on stderr and fails, in the first cell."""
    return f'[ ! "$FIRST" ] || {{ echo "{line}" >&2; exit {status}; }}'


UNKNOWN = "ovs-vsctl: unknown command 'add-br'; use --help for help"
TROUBLES = {
    "it crashes in a trial": (
        {"trouble": "open(CRASH, 'w'); [time.sleep(0.01) for _ in range(100) if os.path.exists(CRASH)]"},
        ["ovs-vswitchd was killed by signal SIGABRT", "n_packets > 0 failed", "ovs-vswitchd.log"]),
    "it crashes at its start": (
        {"starts": in_the_first("EAL: Cannot get hugepage information.", 1)},
        ["ovs-vswitchd ended with status 1", "Cannot get hugepage information"]),
    "it is never ready": (
        {"starts": '[ ! "$FIRST" ] || exec sleep 1000'}, ["ovs-vswitchd", "vswitchd.ctl", "0.5 s"]),
    "a command that another version has": (
        {"answers": f"*add-br*) {in_the_first(UNKNOWN, 1)};;"},
        ["status 1", "add-br", "unknown command", "commands.log"]),
    "a port that never comes": (
        {"answers": f"*wait-until*ofport=2*) {in_the_first('ovs-vsctl: terminating with signal 14', 142)};;"},
        ["wait-until Interface p1 ofport=2", "status 142", "commands.log"]),
}


@pytest.mark.parametrize("what", TROUBLES)
def test_a_switch_in_trouble_fails_its_cell_only(what: str, measured: Any) -> None:
    parts, words = TROUBLES[what]
    before = time.monotonic()
    outcomes, _ = measured(**parts)
    assert time.monotonic() - before < 15
    assert [o.status for o in outcomes] == ["failed", "ok"], [o.reason for o in outcomes]
    assert [w for w in words if w not in outcomes[0].reason] == [], outcomes[0].reason
    assert "\n" not in outcomes[0].reason


def test_counters_that_cannot_be_read_cost_no_result(measured: Any) -> None:
    outcomes, folder = measured(answers="*dump-ports*) echo 'ovs-ofctl: br0 is not a bridge or a socket' >&2; exit 1;;")
    assert [o.status for o in outcomes] == ["ok", "ok"]
    assert len((folder / "ports.csv").read_text().splitlines()) == 1
