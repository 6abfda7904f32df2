# SPDX-License-Identifier: BSD-3-Clause
"""Every switch as the testbed brings it up, with an installation that is none (fake_switches.py) and a generator that
is none: its steps come in order, it is waited for, its counters are read; and where it ends, hangs, or no longer knows
what it is asked, the cell fails with a line that names it and its log, and nothing is left behind.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import host, proc, telemetry, testbed
from harness.errors import CellFailed
from harness.peers import Peer
from harness.proc import Process, run_command, wait_until
from harness.switches import SWITCHES, fastclick
from harness.tests.fake_switches import FAKES, STAYS, Fake, Fault, install
from harness.tests.support import (cells_of_text, eventually, executable, is_running, meter, processes_of, setup_of,
                                   words_missing, write)
from harness.tests.test_testbed import Answering, sent
from harness.trial import Request

SHORT_S = 0.4           # for what hangs
every_fake = pytest.mark.parametrize("name", FAKES)
every_daemon = pytest.mark.parametrize("name", [name for name, fake in FAKES.items() if fake.daemon])


class Generator:
    """One that is none: its sockets are there when it starts, it is ready once all of the switch is, as the real one is
    when its ports have been connected to, and all its frames get through."""

    def __init__(self, bench: "Bench", fake: Fake, peer: Peer, needs: Callable[[], None]) -> None:
        self.peer, self.tsc_hz, self._bench, self._fake, self._needs = peer, 2e9, bench, fake, needs
        self.xdp_mode = ""
        self.process = SimpleNamespace(check_alive=lambda: None, log=bench.logs / "generator.log")
        self.channel = Answering(trial={"streams": [sent(10, meter=meter(10))], "tx_span_s": 1.0, "workers": [],
                                        "clock_error_ppm": 0.0, "missed_count": 0, "drained": True})
        write(bench.logs / "generator.log", "")
        self._say("generator")
        for socket in peer.sockets:
            write(Path(socket), "")

    def _say(self, words: str) -> None:
        with self._bench.calls.open("a") as file:
            file.write(words + "\n")

    def ready(self) -> None:
        wait_until(self._connected, testbed.LINK_S, "generator is ready")
        self._say("generator is ready")

    def _connected(self) -> bool:
        self._needs()
        served = bool(self._fake.ready) or not self._fake.daemon or (self._bench.prefix / "up").exists()
        return served and len(self._bench.called("generator")) >= len(self._fake.calls)

    def links_up(self) -> bool:
        return True


class Bench:
    """Where a fake is brought up. The file `calls` has what was called so far, in order."""

    def __init__(self, tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.logs, self.prefix = tmp_path / "calls", tmp_path / "logs", tmp_path / "prefix"
        self._tmp, self._folder, self._patch = tmp_path, short_path, monkeypatch
        self.logs.mkdir()
        # namespaces need root, and belong to the machine; what is called in them is the switch's all the same
        executable(tmp_path / "tools/ip", "#!/bin/sh\n")
        for tool in ("nsenter", "unshare"):
            executable(tmp_path / "tools" / tool, '#!/bin/sh\nshift 2\nexec "$@"\n')
        for tool in ("mount", "umount"):
            executable(tmp_path / "tools" / tool, "#!/bin/sh\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")

    @contextmanager
    def up(self, name: str, fault: Fault | None = None, matrix: str = "") -> Iterator[testbed.Testbed]:
        """The testbed of a cell between two ports of one generator. Network devices are made alike for every switch,
        and are left out."""
        fake = FAKES[name]
        install(fake, self.prefix, self.calls, fault)
        [cell] = cells_of_text(self._tmp, f'[matrix]\ntopology = "p2p"\nport_kind = "{fake.port_kind}"\n{matrix}',
                               cpus=host.cpus(), switches=[f"{name}={name}@{self.prefix}"])
        setup = replace(setup_of(cell, str(self._folder / "c1")), network=())
        self._patch.setattr(testbed, "RunningPeer", lambda peer, logs, stack, needs: Generator(self, fake, peer, needs))
        try:
            with testbed.up(cell, setup, self.logs) as bed_up:
                yield bed_up
        finally:
            assert processes_of(self._folder) == []

    def called(self, *but: str) -> list[str]:
        """So far, without what begins with these words."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if not line.startswith(but)]


@pytest.fixture
def bench(tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, short_path, monkeypatch)


def failure(bench: Bench, name: str, fault: Fault) -> str:
    """The line in which the cell fails as it is brought up."""
    with pytest.raises(CellFailed) as caught, bench.up(name, fault):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_fails(bench: Bench, name: str, fault: Fault) -> None:
    """In the words of the fault, with the path of a log that is there; and nothing is called after it."""
    said = failure(bench, name, fault)
    assert words_missing(said, [*fault.said, str(bench.logs)]) == [], said
    assert all(Path(path).exists() for path in re.findall(rf"{bench.logs}/[a-z-]+\.log", said)), said
    assert bench.called("generator")[-1].startswith(Path(fault.tool).name + " "), bench.called()


def test_every_switch_has_a_fake() -> None:
    assert set(FAKES) == {driver.name for driver in SWITCHES} - {"null"}


# ---- as it should be -----------------------------------------------------------------------------------------------

@every_fake
def test_a_switch_is_set_up_in_order_asked_for_its_counters_and_stopped(name: str, bench: Bench) -> None:
    fake = FAKES[name]
    with bench.up(name) as up:
        for call, pattern in zip(bench.called("generator"), fake.calls):
            assert re.match(pattern, call), (pattern, call)
        assert tuple(up.counters()) == fake.counted
        trial = up.measure(Request("rplus", None, 1.0))
        assert (trial.status, trial.received_count) == ("ok", 10)


@every_daemon
def test_whatever_comes_next_waits_until_the_switch_is_ready(name: str, bench: Bench) -> None:
    with bench.up(name, Fault(FAKES[name].daemon, "sleep 0.1; say awake")):
        calls = bench.called()
    [started] = [i for i, call in enumerate(calls) if call.startswith(Path(FAKES[name].daemon).name + " ")]
    assert calls.index("awake") == started + 1 and "generator is ready" in calls[started + 2:]


@pytest.mark.parametrize("name", ["ovs-dpdk", "fastclick"])
def test_a_switch_that_makes_the_sockets_is_up_before_its_peers(name: str, bench: Bench) -> None:
    sockets = Fault(FAKES[name].daemon, 'for port in p0 p1; do : > "$RUNTIME_DIRECTORY/$port"; done')
    with bench.up(name, sockets, 'sockets = "switch"\n'):
        calls = bench.called()
    assert re.match(FAKES[name].calls[-1], calls[calls.index("generator") - 1])


def test_devices_of_a_switch_of_its_own_are_there_before_its_peers(bench: Bench) -> None:
    with bench.up("macvtap"):
        assert bench.called().index("generator") == len(FAKES["macvtap"].calls)


# ---- trouble -------------------------------------------------------------------------------------------------------

@every_daemon
def test_a_switch_that_ends_before_it_is_ready_is_named_with_its_last_words(name: str, bench: Bench) -> None:
    process = FAKES[name].process
    assert_fails(bench, name, Fault(FAKES[name].daemon, "echo 'cannot get memory' >&2; exit 3",
                                    (f"{process} ended with status 3", "cannot get memory", f"{process}.log")))


@every_daemon
def test_a_switch_that_crashes_before_it_is_ready_is_named_with_the_signal(name: str, bench: Bench) -> None:
    process = FAKES[name].process
    assert_fails(bench, name, Fault(FAKES[name].daemon, "kill -SEGV $$",
                                    (f"{process} was killed by signal SIGSEGV", f"{process}.log")))


@every_daemon
def test_a_switch_that_never_gets_ready_is_given_up(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that does not tell, the peers do, which are not ready either."""
    fake = FAKES[name]
    monkeypatch.setattr(testbed, "SOCKET_S" if fake.ready else "LINK_S", SHORT_S)
    said = failure(bench, name, Fault(fake.daemon, STAYS))
    words = [fake.ready, str(bench.logs / f"{fake.process}.log")] if fake.ready else ["generator is ready"]
    assert words_missing(said, [*words, f"not within {SHORT_S} s"]) == [], said


@every_fake
def test_a_switch_that_no_longer_knows_what_it_is_asked_says_what(name: str, bench: Bench) -> None:
    assert_fails(bench, name, FAKES[name].unknown)


@pytest.mark.parametrize("name", [name for name, fake in FAKES.items() if fake.unknown.tool != fake.daemon])
def test_a_command_that_hangs_is_given_up(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "run_command", partial(run_command, timeout_s=SHORT_S))
    tool = FAKES[name].unknown.tool
    said = failure(bench, name, Fault(tool, STAYS))
    assert words_missing(said, ["end of command", tool, f"not within {SHORT_S} s"]) == [], said


@every_daemon
def test_a_switch_that_dies_behind_its_wiring_fails_the_trial(name: str, bench: Bench) -> None:
    with bench.up(name) as up:
        os.kill(up.switch[-1].pid, signal.SIGKILL)
        eventually(lambda: not is_running(up.switch[-1].pid))
        with pytest.raises(CellFailed) as caught:
            up.measure(Request("rplus", None, 1.0))
    process = FAKES[name].process
    assert words_missing(str(caught.value), [f"{process} was killed by signal SIGKILL", f"{process}.log"]) == []


LOSSY = {"streams": [sent(10, meter=meter(9))], "tx_span_s": 1.0, "workers": [], "clock_error_ppm": 0.0,
         "missed_count": 0, "drained": True}


@every_daemon
def test_a_switch_that_stands_still_is_flagged_with_the_trial_that_shows_it(name: str, bench: Bench) -> None:
    with bench.up(name) as up:
        up.peers["generator"].channel.answers["trial"] = LOSSY       # type: ignore[union-attr]
        flags = [up.measure(Request("rplus", None, 1.0)).flags]
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(up.switch[-1].pid, sign)
            eventually(lambda sign=sign: up.switch[-1].is_stopped() == (sign == signal.SIGSTOP))
            flags.append(up.measure(Request("rplus", None, 1.0)).flags)
    assert ["switch_silent" in those for those in flags] == [False, True, False]


@pytest.mark.parametrize("name", [name for name, fake in FAKES.items() if fake.hangs])
def test_a_switch_that_no_longer_answers_is_flagged(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, seconds in ((testbed, "ASK_S"), (telemetry, "TIMEOUT_S"), (fastclick, "TIMEOUT_S")):
        monkeypatch.setattr(module, seconds, SHORT_S)
    with bench.up(name, FAKES[name].hangs) as up:
        up.peers["generator"].channel.answers["trial"] = LOSSY       # type: ignore[union-attr]
        before = up.measure(Request("rplus", None, 1.0))
        write(bench.prefix / "hang", "")
        behind = up.measure(Request("rplus", None, 1.0))
    assert ["switch_silent" in trial.flags for trial in (before, behind)] == [False, True]


@every_daemon
def test_a_switch_that_stands_still_is_named_where_its_peers_wait_for_it(name: str, bench: Bench,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    def links_up(self: Generator) -> bool:
        for process in stopped:
            os.kill(process.pid, signal.SIGSTOP)
        return False
    stopped: list[Process] = []
    spawn = testbed.Testbed._spawn
    monkeypatch.setattr(testbed.Testbed, "_spawn", lambda self, step: (spawn(self, step), stopped.extend(self.switch)))
    monkeypatch.setattr(Generator, "links_up", links_up)
    monkeypatch.setattr(testbed, "LINK_S", SHORT_S)
    monkeypatch.setattr(proc, "STOP_GRACE_S", SHORT_S)
    with pytest.raises(CellFailed) as caught, bench.up(name):
        pass
    assert words_missing(str(caught.value), ["link up on all ports", "nor does the switch answer", "is stopped"]) == []


@every_fake
def test_counters_of_another_form_are_no_reason_to_lose_the_trial(name: str, bench: Bench) -> None:
    fake = FAKES[name]
    with bench.up(name, fake.garbled) as up:
        assert up.measure(Request("rplus", None, 1.0)).status == "ok"
        with pytest.raises(CellFailed) as caught:
            up.counters()
    assert words_missing(str(caught.value), fake.garbled.said) == [] and "\n" not in str(caught.value), caught.value


@pytest.mark.parametrize("name", [name for name, fake in FAKES.items() if fake.hangs])
def test_counters_that_never_come_are_given_up(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = FAKES[name].hangs
    assert hangs
    with bench.up(name, hangs) as up:
        write(bench.prefix / "hang", "")
        monkeypatch.setattr(testbed, "run_command", partial(run_command, timeout_s=SHORT_S))
        for module in (telemetry, fastclick):
            monkeypatch.setattr(module, "TIMEOUT_S", SHORT_S)
        with pytest.raises(CellFailed) as caught:
            up.counters()
    assert words_missing(str(caught.value), hangs.said) == [] and "\n" not in str(caught.value), caught.value
