# SPDX-License-Identifier: BSD-3-Clause
"""Sees what a telemetry trial costs the switch: its own counters before and behind the trial, the time of its worker
threads and perf in the middle of it. What cannot be seen is noted and left out; nothing here fails a trial.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from harness import workers
from harness.cost import Cycles, Seen, cost
from harness.errors import CellFailed
from harness.perf import Perf
from harness.proc import Process, wait_until
from harness.switches.base import Driver, Output, Site
from harness.trial import Request, Trial

WINDOW = 0.2, 0.8       # of a trial's duration: within it there is traffic, also where a VM begins a little later
SLACK_S = 10.0


class Observer:
    """Of one trial: enter it before, leave it behind, and do window() meanwhile."""

    def __init__(self, driver: Driver, site: Site, output: Output, switch: Sequence[Process], request: Request,
                 logs: Path) -> None:
        self._driver, self._site, self._output, self._switch = driver, site, output, switch
        self._request, self._logs = request, logs
        self._notes: list[str] = []
        self._threads: list[int] = []
        self._perf: Perf | None = None
        self._perf_hz: dict[str, float] = {}
        self._before: tuple[int | None, Cycles | None] = None, None
        self._after: tuple[int | None, Cycles | None] = None, None
        self._running_ratio: float | None = None

    def __enter__(self) -> "Observer":
        self._threads = workers.find([process.pid for process in self._switch], self._site.cores.switch)
        if not self._threads:
            self._note("none of its threads runs on its CPUs only, so their time is not known")
        elif self._request.rate_pps is None:
            self._tried(self._attach)
        self._before = self._counted()
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._after = self._counted()
                self._tried(self._read_perf)
        finally:
            if self._perf:
                self._perf.stop()

    def window(self) -> None:
        """While the traffic flows; returns before it ends."""
        began = time.monotonic()
        first, last = (began + share * self._request.duration_s for share in WINDOW)
        if self._threads:
            _until(first)
            self._tried(lambda: self._run(last))

    def marked(self, trial: Trial, tsc_hz: float, shared: bool) -> Trial:
        """The trial with what it cost. `shared`: pollers share CPUs."""
        def share(ns: int | None, parts: int) -> float | None:
            return ns / 1e9 / parts / trial.span_s if ns is not None and trial.span_s else None

        found = cost(Seen(
            self._request.rate_pps is None, trial.span_s, tsc_hz, _difference(self._before[0], self._after[0]),
            self._running_ratio, self._own(), self._perf_hz,
            share(trial.counts.get("tx_full_ns"), trial.stream_count), share(trial.tester.get("run_delay_ns"), 1),
            shared, tuple(self._notes)))
        return replace(trial, cost=found, flags=(*trial.flags, *found.flags))

    # -- parts of it ---------------------------------------------------------------------------------------------

    def _note(self, what: str) -> None:
        self._notes.append(f"telemetry of {self._driver.name}: {what}")

    def _tried(self, do: Callable[[], None]) -> None:
        try:
            do()
        except CellFailed as why:
            self._note(str(why))

    def _attach(self) -> None:
        self._perf = Perf(self._threads, self._logs)

    def _read_perf(self) -> None:
        if self._perf:
            self._perf_hz = self._perf.result()

    def _run(self, last: float) -> None:
        """From now on until `last`."""
        if self._perf:
            self._perf.begin()
        began, before_ns = time.monotonic_ns(), workers.running_ns(self._threads)
        _until(last)
        ended, after_ns = time.monotonic_ns(), workers.running_ns(self._threads)
        self._running_ratio = (after_ns - before_ns) / (ended - began)
        if self._perf:
            self._perf.end()

    def _counted(self) -> tuple[int | None, Cycles | None]:
        """Packets that the switch's ports have received, and its own count of cycles."""
        received: int | None = None
        own: Cycles | None = None

        def count() -> None:
            nonlocal received
            counts = [port.rx_count for port in self._driver.counters(self._site, self._output)]
            received = None if None in counts or not counts else sum(c for c in counts if c is not None)

        def ask() -> None:
            nonlocal own
            own = self._driver.cycles(self._site, self._output)
        self._tried(count)
        self._tried(ask)
        return received, own

    def _own(self) -> Cycles | None:
        """What the switch said behind the trial, less what it said before."""
        before, after = self._before[1], self._after[1]
        if before is None or after is None:
            return None
        return Cycles(after.busy_count - before.busy_count, after.packet_count - before.packet_count,
                      after.worker_count, after.source)


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _until(moment: float) -> None:
    wait_until(lambda: time.monotonic() >= moment, max(0.0, moment - time.monotonic()) + SLACK_S, "part of a trial")
