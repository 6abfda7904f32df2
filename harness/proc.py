# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a run: started in a session of their own, logged, killed by the kernel when the harness dies, stopped by
pid. And wait_until(), the one place where the harness waits for something it can only look at.
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.errors import CellFailed

STOP_GRACE_S = 3.0
LOOK_EVERY_S = 0.01
_TEXT: Any = {"encoding": "utf-8", "errors": "replace"}
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")     # the kernel kills it when the harness is gone, in any way
TOOLS = {"setpriv": "util-linux", "taskset": "util-linux"}      # without which nothing is started, and their package
LAST_WORDS = 200        # characters of a log that fit an error line
# what programs print behind the reason for which they end: all their options, or a trace of their stack (Lua's)
_BEHIND_THE_REASON = re.compile("usage:|stack traceback", re.IGNORECASE)
_CAUSE = "Cause: "      # rte_exit() of DPDK says it, and then closes ports, which say so


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, alive: Sequence["Process"] = (),
               pause_s: float = LOOK_EVERY_S) -> None:
    """Return once condition() is true. CellFailed after timeout_s, or as soon as one of `alive` has died."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        for process in alive:
            process.check_alive()
        if time.monotonic() > deadline:
            logs = ", ".join(str(p.log) for p in alive)
            raise CellFailed(f"{what}: not within {timeout_s:g} s" + (f"; see {logs}" if logs else ""))
        pause.wait(pause_s)


def reason_in(lines: Sequence[str]) -> str:
    """Of what a program said, the line that tells best why it ended: as a rule the last. Empty if it said nothing."""
    words = [line.strip() for line in lines if line.strip()]
    if causes := [line for line in words if line.startswith(_CAUSE)]:
        return causes[-1]
    end = next((i for i, line in enumerate(words) if _BEHIND_THE_REASON.match(line)), len(words))
    return words[max(end - 1, 0)] if words else ""


class Process:
    """A child with its log file. stdin and stdout are pipes for the control channel if `piped`, else stdin is a pipe
    that only stays open and stdout goes to the log."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None,
                 piped: bool = False, cpus: Sequence[int] = (),
                 more_words: Callable[[], str] = lambda: "") -> None:
        """`more_words`: what else is to be said when it has ended."""
        self.name = name
        self._more_words = more_words
        self.log = log
        self.argv = list(argv)
        prefix = [*DIES_WITH_US]
        if cpus:
            prefix += ["taskset", "-c", ",".join(map(str, cpus))]
        with log.open("ab") as out:
            out.write(f"$ {' '.join(argv)}\n".encode())
            out.flush()
            try:
                self.popen = subprocess.Popen(
                    prefix + self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE if piped else out, stderr=out,
                    env=dict(os.environ, **(env or {})), start_new_session=True, bufsize=0)
            except OSError as error:
                raise CellFailed(f"{name} could not be started: {error}") from None

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check_alive(self, patience_s: float = 0) -> None:
        """CellFailed if it has ended, or ends within patience_s."""
        try:
            code: int | None = self.popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            code = None
        if code is not None:
            how = f"was killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            raise CellFailed(f"{self.name} {how}{self.last_words()}{self._more_words()}; see {self.log}")

    def is_stopped(self) -> bool:
        """By a signal such as SIGSTOP, or a debugger (proc_pid_stat(5)); it lives, but does nothing."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "Tt"
        except (OSError, IndexError):
            return False

    def last_words(self) -> str:
        """The last line of its log, for an error line."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        words = reason_in([line for line in lines if not line.startswith("$ ")])
        return f" (its last words: {words[:LAST_WORDS]})" if words else ""

    def stop(self) -> None:
        """Close its input, ask it to end, and kill what is left of its session."""
        if self.popen.stdin:
            self.popen.stdin.close()
        for sig in (signal.SIGTERM, signal.SIGKILL):     # the second also for children that it left behind
            try:
                os.killpg(self.pid, sig)
                self.popen.wait(STOP_GRACE_S)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        if self.popen.stdout:
            self.popen.stdout.close()


def run_command(argv: Sequence[str], log: Path, timeout_s: float = 30, env: Mapping[str, str] | None = None,
                alive: Sequence[Process] = ()) -> str:
    """Run a control command to its end and give its stdout; command and output are kept in `log`. CellFailed if it
    fails, or as soon as one of `alive` has died (a command to a dead daemon only waits)."""
    with log.open("a", **_TEXT) as out, tempfile.TemporaryFile("w+", **_TEXT) as stdout, \
            tempfile.TemporaryFile("w+", **_TEXT) as stderr:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        try:
            command = subprocess.Popen([*DIES_WITH_US, *argv], stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL,
                                       env=dict(os.environ, **(env or {})))
        except OSError as error:
            raise CellFailed(f"command could not be started: {' '.join(argv)}: {error}") from None
        try:
            wait_until(lambda: command.poll() is not None, timeout_s, f"end of command {' '.join(argv)}", alive)
        finally:
            command.kill()
            command.wait()
            said, complaint = (_whole(file) for file in (stdout, stderr))
            out.write(said + complaint)
    if command.returncode != 0:
        words = reason_in((complaint or said).splitlines())[:LAST_WORDS]
        raise CellFailed(f"command failed with status {command.returncode}: {' '.join(argv)}: "
                         f"{words or 'no output'}; see {log}")
    return said


def _whole(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
