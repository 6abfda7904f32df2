# SPDX-License-Identifier: BSD-3-Clause
"""What packets cost a switch, from what was seen of it during a telemetry trial. Pure.

`cycles_per_packet` is found in the same way for every switch: the CPU time that its worker threads had, as the kernel
counts it, in TSC cycles (which tick at one speed whatever the core's clock does), per packet that its ports received,
dropped later or not. A poller takes all of its CPU whether there are packets or not, so this has a meaning only under
saturating load; where the switch had time to spare all the same, it is too high and the trial says `not_saturated`.

`switch_cycles_per_packet` is the switch's own count, which leaves polling in vain out and therefore holds at any load.
It is taken from the TSC, so what others had of the switch's CPU meanwhile is in it: see `switch_running_ratio`.
Counts of perf are of all that the worker threads do, so they too are given under saturating load only.

Shares of time are taken in the middle of a trial, where there is traffic for certain; packets are counted over all of
it. A share taken around the trial would hold the waits before and behind it, in which a poller runs and others do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NOT_SATURATED = "not_saturated"
ALL, OWN = "cycles_per_packet", "switch_cycles_per_packet"
PERF = {"core_cycles_per_packet": "cycles", "instructions_per_packet": "instructions",
        "cache_misses_per_packet": "cache-misses", "branch_misses_per_packet": "branch-misses"}     # perf's events
SOURCES = (ALL, OWN, *PERF)         # the figures, each of which has a source
COLUMNS = ("switch_rx_count", "switch_running_ratio", "switch_busy_ratio", "tsc_hz", *SOURCES)      # of trials.csv
BUSY_RATIO = 0.95           # a switch that is busy for less of its time has time to spare
FULL_RATIO = 0.01           # and so has one whose port the generator found full for less of the trial,
WAITED_RATIO = 1 - BUSY_RATIO   # or whose generator did not run for more of it


@dataclass(frozen=True)
class Cycles:
    """What a switch says of its own work, since its start: busy TSC cycles, without those of polling in vain, and the
    packets that its ports received. `worker_count`: threads whose cycles these are. `source`: what told it."""

    busy_count: int
    packet_count: int
    worker_count: int
    source: str


@dataclass(frozen=True)
class Seen:
    """What was seen. None: it could not be.

    `rx_count`: packets that the switch's ports received in the trial; `span_s`: how long that took; `running_ratio`:
    CPU seconds a second of all its workers together; `own`: its own count in the trial; `perf_hz`: events of perf per CPU
    second; `full_ratio`: share of the trial in which the generator found the switch's port full; `waited_ratio`: and in
    which it waited for its CPU."""

    saturating: bool
    span_s: float
    tsc_hz: float
    rx_count: int | None = None
    running_ratio: float | None = None
    own: Cycles | None = None
    perf_hz: Mapping[str, float] = field(default_factory=dict)
    full_ratio: float | None = None
    waited_ratio: float | None = None
    shared: bool = False            # pollers share CPUs, so that the generator does not always send
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Cost:
    """`values` by COLUMNS, `sources` by SOURCES; `notes`: what could not be had, and why."""

    values: Mapping[str, float | None]
    sources: Mapping[str, str]
    notes: Sequence[str] = ()
    flags: tuple[str, ...] = ()


def cost(seen: Seen) -> Cost:
    """The figures of a trial."""
    values: dict[str, float | None] = {"switch_rx_count": seen.rx_count, "switch_running_ratio": seen.running_ratio,
                                       "tsc_hz": seen.tsc_hz}
    sources = {ALL: "schedstat", **dict.fromkeys(PERF, "perf")}
    running = None if seen.running_ratio is None else seen.running_ratio * seen.span_s * seen.tsc_hz
    if seen.own:
        sources[OWN] = seen.own.source
        values[OWN] = seen.own.busy_count / seen.own.packet_count if seen.own.packet_count else None
        wall = seen.span_s * seen.tsc_hz * seen.own.worker_count
        values["switch_busy_ratio"] = seen.own.busy_count / wall if wall else None
    if seen.saturating and running and seen.rx_count:
        values[ALL] = running / seen.rx_count
        values |= {name: seen.perf_hz[event] * values[ALL] / seen.tsc_hz for name, event in PERF.items()
                   if event in seen.perf_hz}
    flags = (NOT_SATURATED,) if seen.saturating and _has_time(values.get("switch_busy_ratio"), seen) else ()
    return Cost(values, sources, seen.notes, flags)


def _has_time(busy_ratio: float | None, seen: Seen) -> bool:
    """By its own word if it gives one, else by what the generator met."""
    if busy_ratio is not None:
        return busy_ratio < BUSY_RATIO
    full, waited = seen.full_ratio, seen.waited_ratio
    return seen.shared or full is not None and full < FULL_RATIO or waited is not None and waited > WAITED_RATIO
