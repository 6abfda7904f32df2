# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a run: started in a session of their own, logged, killed by the kernel when the harness dies, stopped by
pid. And wait_until(), the one place where the harness waits for something it can only look at.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import CellFailed

STOP_GRACE_S = 3.0
LOOK_EVERY_S = 0.01
TAIL_LINES = 3


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, alive: Sequence["Process"] = ()) -> None:
    """Return once condition() is true. CellFailed after timeout_s, or as soon as one of `alive` has died."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        for process in alive:
            process.check_alive()
        if time.monotonic() > deadline:
            logs = ", ".join(str(p.log) for p in alive)
            raise CellFailed(f"{what}: not within {timeout_s:g} s" + (f"; see {logs}" if logs else ""))
        pause.wait(LOOK_EVERY_S)


class Process:
    """A child with its log file. stdin and stdout are pipes for the control channel if `piped`, else stdin is a pipe
    that only stays open and stdout goes to the log."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None,
                 piped: bool = False, cpus: Sequence[int] = ()) -> None:
        self.name = name
        self.log = log
        self.argv = list(argv)
        # setpriv: the kernel kills the child when the harness is gone, however that happened
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"]
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
            raise CellFailed(f"{self.name} {how}{self.last_words()}; see {self.log}")

    def last_words(self) -> str:
        """The end of its log, for an error line."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        words = [line.strip() for line in lines if line.strip() and not line.startswith("$ ")][-TAIL_LINES:]
        return f" ({' | '.join(words)[-400:]})" if words else ""

    def stop(self) -> None:
        """Close its input, ask it to end, and kill its whole session if it does not."""
        if self.popen.stdin:
            self.popen.stdin.close()
        for sig, patience_s in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGKILL, STOP_GRACE_S)):
            try:
                os.killpg(self.pid, sig)
            except ProcessLookupError:
                break
            try:
                self.popen.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        if self.popen.stdout:
            self.popen.stdout.close()


def run_command(argv: Sequence[str], log: Path, timeout_s: float = 30, env: Mapping[str, str] | None = None) -> str:
    """Run a control command to its end and give its stdout; command and output are kept in `log`. CellFailed if it
    fails."""
    with log.open("a") as out:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        try:
            done = subprocess.run(list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=timeout_s, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise CellFailed(f"command did not end within {timeout_s:g} s: {' '.join(argv)}; see {log}") from None
        except OSError as error:
            raise CellFailed(f"command could not be started: {' '.join(argv)}: {error}") from None
        out.write(done.stdout + done.stderr)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CellFailed(f"command failed with status {done.returncode}: {' '.join(argv)}: "
                         f"{said[-1] if said else 'no output'}; see {log}")
    return done.stdout
