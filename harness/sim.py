# SPDX-License-Identifier: BSD-3-Clause
"""A simulated switch, and a testbed that holds one: frames come through up to a capacity, and no time passes. With it
the whole path from scenario to figure runs anywhere, without root, hugepages or a switch.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import trial
from harness.cell import Cell
from harness.ledger import Place
from harness.plan import Setup
from harness.switches.base import PortCounters
from harness.trial import Direction, Request, Trial

OFFER_PPS = 20e6            # what the simulated generator sends under saturating load, or twice the capacity
EMPTY_QUEUE_NS = 2000
FULL_QUEUE_NS = 200_000
QUEUE_FRAMES = 1024         # what waits while the switch stands still; the rest is lost


@dataclass(frozen=True)
class Model:
    """What a simulated switch is like; the plain one forwards min(sent, floor(duration x capacity)) frames."""

    capacity_pps: float
    loss_every: int = 0             # every so many-th trial loses
    loss_ratio: float = 0.0         # this much of what it forwards
    noise_sd: float = 0.0           # of the capacity from trial to trial, relative
    stall_s: float = 0.0            # it stands still so long
    stall_every_s: float = 0.0      # at random moments, on average so far apart
    generator_pps: float = 0.0      # the generator sends no more than this; 0: whatever is asked for
    seed: int = 1


class SimulatedSwitch:
    """Makes trials of one direction or several alike. The same model and requests give the same trials."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._random = random.Random(model.seed)
        self._trials = 0

    def count(self, request: Request) -> tuple[int | None, list[int], list[int]]:
        """(intended, sent, received) of a direction; the latter two for each interval of the trial."""
        m = self.model
        self._trials += 1
        noise = max(0.0, 1 + self._random.gauss(0, m.noise_sd)) if m.noise_sd else 1.0
        generator = m.generator_pps or max(OFFER_PPS, 2 * m.capacity_pps)
        rate = request.rate_pps or generator
        ends = _ends(request)
        intended = [math.floor(end * rate) for end in ends]
        limit = m.generator_pps or math.inf
        sent = [min(i, math.floor(end * limit)) if limit < rate else i for i, end in zip(intended, ends)]
        carried = [math.floor(end * m.capacity_pps * noise) for end in ends]
        received = [min(s, c) for s, c in zip(_differences(sent), _differences(carried))]
        stalls = [self._stalled(min(rate, limit), end - start) for start, end in zip([0.0, *ends], ends)]
        bad = m.loss_every > 0 and self._trials % m.loss_every == 0
        received = [max(0, r - lost) for r, lost in zip(received, stalls)]
        if bad:
            received = [r - math.ceil(r * m.loss_ratio) for r in received]
        return intended[-1] if request.rate_pps else None, _differences(sent), received

    def _stalled(self, rate_pps: float, duration_s: float) -> int:
        """Frames lost to stalls: what comes while the switch stands still and finds the queue full."""
        m = self.model
        if not (m.stall_s and m.stall_every_s):
            return 0
        lost, at = 0, self._random.expovariate(1 / m.stall_every_s)
        while at < duration_s:
            lost += max(0, math.floor(min(rate_pps, m.capacity_pps) * m.stall_s) - QUEUE_FRAMES)
            at += self._random.expovariate(1 / m.stall_every_s)
        return lost

    def measure(self, request: Request, directions: int = 1, with_latency: bool = True,
                flags: list[str] | None = None) -> Trial:
        counted = [self.count(request) for _ in range(directions)]
        return trial.make(request, "1970-01-01T00:00:00.000+00:00", request.duration_s,
                          [self._direction(request, with_latency, *c) for c in counted], missed={}, clock_error_ppm=0,
                          drained=True, cell_flags=flags or [], loops=(), interval_s=request.interval_s)

    def _direction(self, request: Request, with_latency: bool, intended: int | None, sent: list[int],
                   received: list[int]) -> Direction:
        rate, total = request.rate_pps or math.inf, sum(received)
        latency = EMPTY_QUEUE_NS if rate < self.model.capacity_pps else FULL_QUEUE_NS
        meter: dict[str, Any] = {
            "received_count": total, "duplicate_count": 0, "reordered_count": 0, "old_count": 0, "stale_count": 0,
            "foreign_count": 0, "span_s": request.duration_s,
            "latency": {"min_ns": latency, "max_ns": latency, "bins": [[latency, latency + 1, total]]}}
        sender: dict[str, Any] = {}
        if request.interval_s:
            meter["series"], sender["sent_series"] = [[n, 0] for n in received], [[n, 0] for n in sent]
        return Direction(intended, sum(sent), 0, meter, with_latency, sender)


def _ends(request: Request) -> list[float]:
    """Of the intervals of a trial; of the trial, if it has none."""
    if not request.interval_s:
        return [request.duration_s]
    count = math.ceil(request.duration_s / request.interval_s - 1e-9)
    return [min(request.duration_s, (i + 1) * request.interval_s) for i in range(count)]


def _differences(sums: list[int]) -> list[int]:
    return [now - before for now, before in zip(sums, [0, *sums])]


class SimulatedTestbed:
    """Measures a switch of `capacity_pps` frames a second per direction at 64 bytes; larger frames cost a bit more."""

    def __init__(self, cell: Cell, capacity_pps: float) -> None:
        self.cell = cell
        self.capacity_pps = capacity_pps / (1 + (cell.frame_bytes - 64) / 2048) / max(1, cell.chain_length)
        self.switch = SimulatedSwitch(Model(self.capacity_pps))

    def accel(self) -> str:
        return "tcg" if self.cell.guest == "qemu" else ""

    def counters(self) -> list[PortCounters]:
        return []

    def ledger(self, counted: list[PortCounters]) -> list[Place]:
        return []

    def flags(self) -> list[str]:
        return self.cell.flags

    def measure(self, request: Request) -> Trial:
        return self.switch.measure(request, self.cell.topology.direction_count, self.cell.has_latency, self.flags())


def simulated_up(capacity_pps: float):  # type: ignore[no-untyped-def]
    """A stand-in for testbed.up()."""
    @contextmanager
    def up(cell: Cell, setup: Setup, logs: Path) -> Iterator[SimulatedTestbed]:
        yield SimulatedTestbed(cell, capacity_pps)
    return up
