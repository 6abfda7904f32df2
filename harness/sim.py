# SPDX-License-Identifier: BSD-3-Clause
"""A simulated testbed: it forwards min(sent, duration x capacity) frames and takes no time. With it the whole path from
scenario to figure runs anywhere, without root, hugepages or a switch.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import trial
from harness.plan import Cell, Setup
from harness.switches.base import PortCounters
from harness.trial import Direction, Request, Trial

OFFER_PPS = 20e6            # what the simulated generator can send
EMPTY_QUEUE_NS = 2000
FULL_QUEUE_NS = 200_000


class SimulatedTestbed:
    """Measures a switch of `capacity_pps` frames a second per direction at 64 bytes; larger frames cost a bit more."""

    def __init__(self, cell: Cell, capacity_pps: float) -> None:
        self.cell = cell
        self.capacity_pps = capacity_pps / (1 + (cell.frame_bytes - 64) / 2048) / max(1, cell.chain_length)

    def accel(self) -> str:
        return "tcg" if self.cell.guest == "qemu" else ""

    def counters(self) -> list[PortCounters]:
        return []

    def flags(self) -> list[str]:
        return self.cell.flags

    def measure(self, request: Request) -> Trial:
        rate = request.rate_pps or OFFER_PPS
        sent = math.floor(request.duration_s * rate)
        received = min(sent, math.floor(request.duration_s * self.capacity_pps))
        latency = EMPTY_QUEUE_NS if rate < self.capacity_pps else FULL_QUEUE_NS
        meter = {"received_count": received, "duplicate_count": 0, "reordered_count": 0, "old_count": 0,
                 "stale_count": 0, "foreign_count": 0, "span_s": request.duration_s,
                 "latency": {"min_ns": latency, "max_ns": latency, "bins": [[latency, latency + 1, received]]}}
        directions = [Direction(sent if request.rate_pps else None, sent, 0, meter, self.cell.has_latency)
                      for _ in self.cell.topology.flows]
        return trial.make(request, "1970-01-01T00:00:00.000+00:00", request.duration_s, directions, missed={},
                          clock_error_ppm=0, drained=True, cell_flags=self.flags(), loops=())


def simulated_up(capacity_pps: float):  # type: ignore[no-untyped-def]
    """A stand-in for testbed.up()."""
    @contextmanager
    def up(cell: Cell, setup: Setup, logs: Path) -> Iterator[SimulatedTestbed]:
        yield SimulatedTestbed(cell, capacity_pps)
    return up
