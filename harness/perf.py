# SPDX-License-Identifier: BSD-3-Clause
"""Hardware counters of threads, by perf-stat(1), in the part of a trial between begin() and end().

perf takes commands on its stdin and acknowledges them on its stdout (--control), so that nobody waits for it by guess.
A machine without perf, without the right to use it, or without counters (most virtual ones) is no failure: CellFailed
says why, and the trial goes on without.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from harness.cost import PERF
from harness.errors import CellFailed
from harness.proc import Process

ANSWER_S = 5.0
ACK = b"ack\n"


class Perf:
    """perf, attached to threads and not counting yet. stop() it in any case."""

    def __init__(self, threads: Iterable[int], logs: Path, events: Iterable[str] = tuple(PERF.values())) -> None:
        if shutil.which("perf") is None:
            raise CellFailed("perf is not there: apt-get install linux-perf")
        self._out = logs / "perf.json"
        self._out.unlink(missing_ok=True)
        # -D -1: nothing is counted before "enable"
        self._process = Process("perf", [
            "perf", "stat", "--json", "--delay", "-1", "--control", "fd:0,1", "--output", str(self._out),
            "--event", ",".join(events), "--tid", ",".join(map(str, threads))], logs / "perf.log", piped=True)
        try:
            self._command("ping")       # it answers when it is attached
        except CellFailed:
            self.stop()
            raise

    def begin(self) -> None:
        self._command("enable")

    def end(self) -> None:
        self._command("disable")

    def result(self) -> dict[str, float]:
        """Ends perf; events per CPU second of the threads, only those that the machine has. CellFailed if it has none.
        """
        self._process.popen.send_signal(signal.SIGINT)
        try:
            self._process.popen.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            raise CellFailed(f"perf does not end; see {self._process.log}") from None
        try:
            text = self._out.read_text(errors="replace")
        except OSError as error:
            raise CellFailed(f"perf left no results: {error}; see {self._process.log}") from None
        if not (found := parse(text)):
            raise CellFailed("this machine gives perf no hardware counters")
        return found

    def stop(self) -> None:
        self._process.stop()

    def _command(self, word: str) -> None:
        """CellFailed if it is not acknowledged."""
        commands, answers = self._process.popen.stdin, self._process.popen.stdout
        assert commands and answers
        deadline, said = time.monotonic() + ANSWER_S, b""
        try:
            commands.write(f"{word}\n".encode())
            while ACK not in said:
                left = max(0.0, deadline - time.monotonic())
                if not select.select([answers], [], [], left)[0]:
                    raise CellFailed(f"perf does not answer '{word}' within {ANSWER_S:g} s; see {self._process.log}")
                data = os.read(answers.fileno(), 4096)
                if not data:
                    self._process.check_alive(ANSWER_S)
                    raise CellFailed(f"perf does not answer '{word}'; see {self._process.log}")
                said += data
        except OSError:
            self._process.check_alive(ANSWER_S)
            raise CellFailed(f"perf takes no commands; see {self._process.log}") from None


# The event as asked for, and what perf makes of it: cpu_core/cycles/ on CPUs with two kinds of cores, cycles:u where
# the kernel may not be counted. Worker threads poll from user space, so the latter leaves next to nothing out.
_EVENT = re.compile(r"(?:cpu_\w+/)?([a-z-]+)/?(?::\w+)?")


def parse(text: str) -> dict[str, float]:
    """`perf stat --json`: a line an event. Events per second of the time in which they were enabled; perf scales the
    value of one that shared a counter up to that time. "<not supported>" and "<not counted>" are not there."""
    counts: dict[str, list[float]] = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
            match = _EVENT.fullmatch(row["event"])
            value, running_ns, share = float(row["counter-value"]), float(row["event-runtime"]), row["pcnt-running"]
            enabled_s = running_ns / 1e9 / (float(share) / 100)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            continue        # an empty line, a comment, an event without a value
        if match and enabled_s > 0:
            counts.setdefault(match[1], []).append(value / enabled_s)
    return {event: max(values) for event, values in counts.items()}     # of two kinds of cores workers use one
