# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a run: none outlives its time, and each that ends too early says why. With tiny processes of our own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import proc
from harness.errors import CellFailed
from harness.proc import Process, run_command, wait_until
from harness.tests.support import ROOT, eventually, is_running

READY = "import sys, time; print('up', flush=True)\n"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
FOREVER = "time.sleep(60)\n"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    """Everything in it is stopped at the end, however the test ends."""
    all_of_them: list[Process] = []
    yield all_of_them
    for process in all_of_them:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.popen.wait(10)


def python(tmp_path: Path, started: list[Process], text: str, *, wait: bool = True, **more: object) -> Process:
    """A process of this text; `wait` until it has said its first line."""
    process = Process("fake", [sys.executable, "-c", text], tmp_path / "fake.log", **more)  # type: ignore[arg-type]
    started.append(process)
    if wait:
        eventually(lambda: "up" in process.log.read_text().splitlines())
    return process


def failure(call: object, *arguments: object, **more: object) -> str:
    with pytest.raises(CellFailed) as caught:
        call(*arguments, **more)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- last words ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("said, reason", [
    ("", ""),
    ("EAL: Detected NUMA nodes: 1\n\np.click:1: unknown element class 'NoSuch'\n",
     "p.click:1: unknown element class 'NoSuch'"),
    ("testpmd: preferred mempool ops selected: ring_mp_mc\nEAL: Error - exiting with code: 1\n  Cause: Creation of mbuf "
     "pool for socket 0 failed: Cannot allocate memory\nPort 0 is closed\n",
     "Cause: Creation of mbuf pool for socket 0 failed: Cannot allocate memory"),
    ("unsupported program: snshh\nUsage: bin/snabb <program> ...\n\nThis snabb executable has\n  alarms\n",
     "unsupported program: snshh"),
    ("cannot open /x.lua: No such file or directory\n\nStack Traceback\n===============\n(1) Lua function '?'\n",
     "cannot open /x.lua: No such file or directory"),
    ("Traceback (most recent call last):\n  File \"x.py\", line 1\nValueError: 7\n", "ValueError: 7"),
    ("usage: bridge link set dev DEV\n       bridge link show\n", "usage: bridge link set dev DEV"),
], ids=["nothing", "the last line", "rte_exit", "usage", "a Lua stack", "a Python stack", "nothing but usage"])
def test_of_what_a_program_said_the_reason_is_told(said: str, reason: str) -> None:
    assert proc.reason_in(said.splitlines()) == reason


# ---- stopping ------------------------------------------------------------------------------------------------------

def test_a_process_ends_when_asked(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY + FOREVER)
    before = time.monotonic()
    process.stop()
    assert time.monotonic() - before < 1
    assert process.popen.returncode == -signal.SIGTERM


def test_a_process_that_ends_at_end_of_input_ends_so(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, STUBBORN + READY + "sys.stdin.read()")
    process.stop()
    assert process.popen.returncode == 0


def test_a_process_that_ignores_sigterm_is_killed_within_bounds(tmp_path: Path, started: list[Process],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "STOP_GRACE_S", 0.3)
    process = python(tmp_path, started, STUBBORN + READY + FOREVER)
    before = time.monotonic()
    process.stop()
    assert 0.3 <= time.monotonic() - before < 2
    assert process.popen.returncode == -signal.SIGKILL


def child_of(process: Process, tmp_path: Path) -> int:
    return int(eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text()))


SPAWN = "import subprocess, pathlib\n" \
        "def child(text):\n" \
        "    p = subprocess.Popen([sys.executable, '-c', text], stdout=subprocess.PIPE)\n" \
        "    p.stdout.readline()\n" \
        "    pathlib.Path({path!r}).write_text(str(p.pid))\n"


@pytest.mark.parametrize("stubborn", ["", STUBBORN], ids=["that ends when asked", "that ignores SIGTERM"])
@pytest.mark.parametrize("parent", [FOREVER, STUBBORN + FOREVER, "sys.exit(0)\n"],
                         ids=["of one that ends when asked", "of one that ignores SIGTERM", "of one that is gone"])
def test_a_child_is_stopped_with_the_whole_session(parent: str, stubborn: str, tmp_path: Path, started: list[Process],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "STOP_GRACE_S", 0.3)
    text = READY + SPAWN.format(path=str(tmp_path / "child")) + f"child({stubborn + READY + FOREVER!r})\n" + parent
    process = python(tmp_path, started, text)
    pid = child_of(process, tmp_path)
    assert is_running(pid)
    process.stop()
    eventually(lambda: not is_running(pid), 2)
    eventually(lambda: not is_running(process.pid), 2)


def test_stopping_twice_or_after_the_end_does_nothing(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY, wait=False)
    process.popen.wait(10)
    process.stop()
    process.stop()
    assert process.popen.returncode == 0


def test_the_kernel_kills_it_when_the_harness_is_killed(tmp_path: Path) -> None:
    """Nothing of ours runs after a SIGKILL, so that the kernel must do it."""
    text = ("import sys, time\nfrom pathlib import Path\nfrom harness.proc import Process\n"
            f"p = Process('fake', ['sleep', '60'], Path({str(tmp_path / 'fake.log')!r}))\n"
            "print(p.pid, flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}) as harness:
        assert harness.stdout
        pid = int(harness.stdout.readline())
        assert is_running(pid)
        # setpriv has set the signal once it has become `sleep`
        eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        harness.kill()
    eventually(lambda: not is_running(pid), 5)


def test_a_signal_to_our_group_does_not_reach_it(tmp_path: Path, started: list[Process]) -> None:
    """Ctrl-C goes to the whole foreground group; a switch must not end before the cell that uses it does."""
    process = python(tmp_path, started, READY + FOREVER)
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid


# ---- what a process says -------------------------------------------------------------------------------------------

def test_a_process_that_has_ended_says_how_why_and_where(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, "import sys; print('no such port', file=sys.stderr); sys.exit(3)", wait=False)
    process.popen.wait(10)
    said = failure(process.check_alive)
    assert "fake" in said and "status 3" in said and "no such port" in said and str(process.log) in said


def test_a_process_that_was_killed_says_by_which_signal(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY + FOREVER)
    process.popen.kill()
    process.popen.wait(10)
    assert "SIGKILL" in failure(process.check_alive)


def test_a_process_that_lives_is_no_error(tmp_path: Path, started: list[Process]) -> None:
    python(tmp_path, started, READY + FOREVER).check_alive()


def test_patience_waits_for_an_end_that_is_near(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY + "time.sleep(0.2); sys.exit(7)")
    assert "status 7" in failure(process.check_alive, 5)


def test_a_log_of_any_bytes_and_length_makes_one_short_line(tmp_path: Path, started: list[Process]) -> None:
    text = "import os, sys; os.write(2, b'\\xff\\x00' * 10000 + b'\\n'); sys.exit(1)"
    process = python(tmp_path, started, text, wait=False)
    process.popen.wait(10)
    assert len(failure(process.check_alive)) < 1000


def test_a_program_that_is_not_there_says_so(tmp_path: Path, started: list[Process]) -> None:
    process = Process("fake", ["/nowhere/program"], tmp_path / "fake.log")
    started.append(process)
    assert "/nowhere/program" in failure(process.check_alive, 10)


def test_the_log_begins_with_the_command(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY + FOREVER)
    assert process.log.read_text().startswith(f"$ {sys.executable} -c ")


def test_a_process_gets_its_environment_and_its_cpus(tmp_path: Path, started: list[Process]) -> None:
    cpu = max(os.sched_getaffinity(0))
    process = python(tmp_path, started, "import os; print(os.environ['WORD'], os.sched_getaffinity(0))", wait=False,
                     env={"WORD": "hello"}, cpus=[cpu])
    process.popen.wait(10)
    assert f"hello {{{cpu}}}" in process.log.read_text()


def test_pipes_are_for_the_channel_and_the_log_keeps_stderr(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, "import sys; print(sys.stdin.readline()); print('human', file=sys.stderr)",
                     wait=False,
                     piped=True)
    assert process.popen.stdin and process.popen.stdout
    process.popen.stdin.write(b"request\n")
    assert process.popen.stdout.read() == b"request\n\n"
    process.popen.wait(10)
    assert "human" in process.log.read_text() and "request" not in process.log.read_text().splitlines()
    process.stop()


# ---- waiting -------------------------------------------------------------------------------------------------------

def test_waiting_ends_as_soon_as_it_is_true() -> None:
    looks = iter([False, False, True])
    before = time.monotonic()
    wait_until(lambda: next(looks), 10, "three looks")
    assert time.monotonic() - before < 1


def test_waiting_in_vain_says_for_what_and_how_long() -> None:
    before = time.monotonic()
    said = failure(wait_until, lambda: False, 0.2, "socket /x")
    assert 0.2 <= time.monotonic() - before < 1
    assert "socket /x" in said and "0.2 s" in said


def test_waiting_in_vain_names_the_logs(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, READY + FOREVER)
    assert str(process.log) in failure(wait_until, lambda: False, 0.1, "a link", [process])


def test_a_process_that_dies_before_it_is_ready_ends_the_wait_at_once(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, "import sys; sys.exit('cannot bind')", wait=False)
    before = time.monotonic()
    said = failure(wait_until, lambda: False, 30, "socket /x", [process])
    assert time.monotonic() - before < 5
    assert "status 1" in said and "cannot bind" in said


# ---- control commands ----------------------------------------------------------------------------------------------

def test_a_command_gives_its_output_and_leaves_both_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    assert run_command(["sh", "-c", "echo out; echo err >&2"], log) == "out\n"
    assert log.read_text().startswith("$ sh -c ") and {"out", "err"} <= set(log.read_text().splitlines())
    assert run_command(["printf", "%s", "second"], log) == "second"
    assert log.read_text().count("$ ") == 2


def test_a_command_that_fails_says_what_it_said(tmp_path: Path) -> None:
    said = failure(run_command, ["sh", "-c", "echo first; echo 'no bridge named br0' >&2; exit 5"], tmp_path / "c.log")
    assert "status 5" in said and "no bridge named br0" in said and str(tmp_path / "c.log") in said


def test_a_command_that_fails_without_a_word_is_an_error_too(tmp_path: Path) -> None:
    assert "status 1" in failure(run_command, ["false"], tmp_path / "c.log")


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert "/nowhere/ovs-vsctl" in failure(run_command, ["/nowhere/ovs-vsctl", "show"], tmp_path / "c.log")


@pytest.mark.parametrize("command", [["sleep", "60"], ["sh", "-c", "sleep 3 & wait"],
                                     ["sh", "-c", "trap '' TERM; sleep 3; true"]],
                         ids=["that only sleeps", "with a child that holds its output", "that ignores SIGTERM"])
def test_a_command_that_does_not_end_is_given_up_in_time(command: list[str], tmp_path: Path) -> None:
    before = time.monotonic()
    said = failure(run_command, command, tmp_path / "c.log", 0.3)
    assert time.monotonic() - before < 1.5
    assert command[0] in said and "0.3 s" in said


def test_a_command_gets_its_environment_and_no_input(tmp_path: Path) -> None:
    assert run_command(["sh", "-c", "cat; echo $WORD"], tmp_path / "c.log", env={"WORD": "hello"}) == "hello\n"


def test_output_that_is_no_text_is_no_exception(tmp_path: Path) -> None:
    assert "x" in run_command(["printf", r"x\377\n"], tmp_path / "c.log")


def test_much_output_does_not_block(tmp_path: Path) -> None:
    assert len(run_command([sys.executable, "-c", "print('x' * 3_000_000)"], tmp_path / "c.log")) == 3_000_001


def test_a_command_to_a_dead_daemon_does_not_wait_for_its_time_out(tmp_path: Path, started: list[Process]) -> None:
    process = python(tmp_path, started, "import sys; sys.exit('daemon died')", wait=False)
    before = time.monotonic()
    assert "daemon died" in failure(run_command, ["sleep", "30"], tmp_path / "c.log", alive=[process])
    assert time.monotonic() - before < 5
