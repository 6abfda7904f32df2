# SPDX-License-Identifier: BSD-3-Clause
"""A trial: one load for one duration, and what can be said of it. Pure: made from the replies of the C programs.

Counts are sums over the directions of the trial; `intended_pps` and `rx_pps` are per direction (RFC 9971 4.5.2), the
mean of the directions. Of chains beside each other all are sums. Always sent = received + lost, where received counts
every sequence number once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import stats
from harness.cost import Cost
from harness.hops import Hop
from harness.stats import Histogram

CLOCK_LIMIT_PPM = 100.0     # RFC 9971 has none; above this rates and latencies are off by more than 0.01 %
SHORT_RATIO = 0.001         # unsent share above which a trial did not get its load
STALL_NS = 100_000          # a gap of the generator's own loop above which it disturbed what it measured,
STALL_LATENCIES = 10        # or this many 99.9th percentiles of latency, where that is more
STALL_RATIO = 0.001         # share of a trial that all stalls together may take
LATE_NS, LATE_RATIO = 1000, 0.02    # what the generator's own lateness may add to the 99th percentile
SKEW_RATIO = 0.05           # share of a trial by which two senders may end apart
BACK_TO_BACK_RATIO = 0.1    # a gap below this share of the intended one is none

# Every flag, what it means and what to do about it. README's table is checked against this one.
FLAGS: Mapping[str, tuple[str, str]] = {
    "oversubscribed": ("two or more pollers shared a CPU",
                       "use a machine with more CPUs; compare only among such cells"),
    "tcg": ("the guest ran under software emulation", "use a machine with a working /dev/kvm"),
    "no_vhost_net": ("QEMU itself moved the frames of a VM's tap devices, which is slower than the kernel",
                     "use a machine with /dev/vhost-net (modprobe vhost_net)"),
    "generic_xdp": ("xdp-forward ran behind the drivers of its devices, of which one has no XDP: slower",
                    "take another switch than macvtap, whose devices have none"),
    "generator_limited": ("less than 99.9 % of the load was sent although the port had room",
                          "give the generator a CPU of its own, lower the load"),
    "backpressure": ("less than 99.9 % of the load was sent because the switch's port was full",
                     "nothing is wrong: the switch takes no more; unsent counts as not carried"),
    "clock": (f"TSC and CLOCK_MONOTONIC_RAW disagreed by over {CLOCK_LIMIT_PPM:g} ppm",
              "the trial is invalid; check the machine's clock source"),
    "tester_drops": ("the receiving port of the tester dropped frames", "not the switch's loss: lower the load"),
    "not_drained": ("frames still came when the wait for silence ended",
                    "lower the load, or give every poller a CPU of its own"),
    "foreign_frames": ("frames that are not ours were received", "find out who else sends on these ports"),
    "stale_frames": ("frames of an earlier trial came after its end: they count as lost there, and not at all here",
                     "give every poller a CPU of its own"),
    "window_exceeded": ("frames came so late that a duplicate could not be told from a late one",
                        "fewer flows remember longer"),
    "stalled": ("the generator itself stood still: for over 100 us and ten 99.9th percentiles of latency at once, or "
                "for over 0.1 % of the trial in all",
                "give it a CPU of its own; do not quote the trial's highest percentiles"),
    "late": ("counted from the intended send times, the 99th percentile of latency is over 1 us + 2 % higher",
             "the load came late or in lumps: lower it, or give the generator a CPU of its own"),
    "crossed_flows": ("frames of one flow came in at several receive queues, so that its duplicates and reordering "
                      "cannot be told",
                      "use one receive queue, or flow_fields that the port spreads by"),
    "switch_silent": ("the switch answered before, and did not when it was asked behind the trial: it hangs, or was "
                      "stopped",
                      "the figure is not of a switch at work: see its log, and commands.log for what it was asked"),
    "not_saturated": ("the switch had time to spare under saturating load, so that cycles per packet and perf's counts "
                      "hold polling in vain: they are upper bounds",
                      "take switch_cycles_per_packet, give generator and guests faster CPUs of their own"),
    "repeated": ("a trial was invalid and was made again", "see the flags of the invalid one in trials.csv"),
    "irregular": ("the search has no lower or no upper bound, or they are further apart than its width",
                  "see the flags beside it; let min_pps and max_pps lie further apart, raise search_max_s"),
    "capped": ("the highest load that could be offered did not lose enough to be an upper bound, or nothing but frames "
               "that the generator could not send, for which the port had room, speaks for one",
               "the switch may be faster: raise max_pps (of b2b: burst_pps or burst_max_s), use a faster generator"),
    "search_limit": ("the search ended at search_max_s of traffic, before it was done",
                     "raise search_max_s, take a larger width_ratio"),
    "below_width": ("this goal and another came closer to each other than the width of the search; of b2b: a burst of one "
                    "step_frames lost already, so that 0 stands for anything less",
                    "take them as equal, or lower width_ratio (of b2b: step_frames)"),
    "unstable": ("R+ varied by over 2 % (or a rate did from block to block), a load lost frames that a higher one did "
                 "not lose, a tenth of R+ lost frames, "
                 "or less than half of what was forwarded could be had within the goal",
                 "the machine disturbs what it measures: make it quieter, compare only with many repeats"),
    "drift": ("R+ at the end of the search was off from R+ at its beginning by over 3 % and beyond the range of its "
              "trials",
              "the machine changed while the search went on: shorten the search, measure more blocks"),
    "lower_bound": ("the rate is within 1.2 times of what the tester itself can do on such ports",
                    "the switch may be faster: use faster CPUs for the generator"),
    "blocks_missing": ("some blocks of the cell failed, and the figure is of the others",
                       "see the reasons in blocks.csv; `vswbench run --resume` measures them again"),
    "skewed": ("two programs that send ended over 5 % of the trial apart, so that for so long one sent alone",
               "give every sender a CPU of its own, or make trials longer"),
    "suspect": ("the generator alone was faster or slower beside this block than beside the others of the run, so that "
                "the machine was another one, and no later block took its place",
                "see the anchor in the figures; compare with more blocks, raise `again` of [repeat]"),
    "identity": ("more frames were received than sent", "the trial is invalid: report it as a bug"),
}
INVALIDATING = ("clock", "identity")
# Flags that tell of the tester and not of the switch, on which a scenario may have trials made again.
REPEATABLE = ("stalled", "late", "generator_limited", "tester_drops", "not_drained", "foreign_frames", "stale_frames",
              "skewed")


@dataclass(frozen=True)
class Request:
    """What a search asks for. `rate_pps` is per direction; None saturates."""

    phase: str              # "warmup", "rplus", "latency@0.50rplus", ...
    rate_pps: float | None
    duration_s: float
    interval_s: float = 0.0     # > 0: with a time series
    drain_s: float = 0.0        # the silence that ends it, where that is to be longer than the cell needs
    settle_s: float = 0.0       # a wait behind it, before the next one
    attempt: int = 1            # above 1: the one before was invalid
    telemetry: bool = False     # the testbed is to see what it costs the switch


# Histograms of a trial beside latency: who has them, the meter of a stream or its sender. `replay_gap_error` is how far
# the gaps of a replayed file were from the recorded ones.
METER_HISTOGRAMS = ("latency_intended", "ipdv", "arrival_gap")
SENDER_HISTOGRAMS = ("departure_gap", "lateness")
# Counts that are sums over the streams; None where a program does not tell.
SENDER_COUNTS = ("built_count", "late_count", "skipped_count", "tx_full_ns")
METER_COUNTS = ("learning_count", "crossed_flows_count")


@dataclass(frozen=True)
class Point:
    """A point of a trial's time series: what was sent and received from time_s on, for an interval."""

    stream: int
    time_s: float
    sent_count: int | None
    received_count: int | None
    received_bytes: int | None


@dataclass(frozen=True)
class Trial:
    """A finished trial. None where a figure does not exist (saturating load has no intended count)."""

    request: Request
    started_utc: str
    intended_pps: float | None
    sent_count: int
    received_count: int
    lost_count: int
    unsent_count: int | None
    duplicate_count: int | None         # None: replayed frames have no numbers
    reordered_count: int | None
    stale_count: int
    foreign_count: int
    rx_pps: float
    loss_ratio: float | None
    status: str = "ok"
    flags: tuple[str, ...] = ()
    histograms: Mapping[str, Histogram] = field(default_factory=dict)   # "latency" and those above, with samples
    counts: Mapping[str, int | None] = field(default_factory=dict)      # SENDER_COUNTS and METER_COUNTS
    tester: Mapping[str, Any] = field(default_factory=dict)             # the programs' report of themselves, summed up
    series: Sequence[Point] = ()
    tx_span_s: float = 0.0          # from the start to the last frame that was sent
    skew_s: float | None = None     # by how much two programs that send ended apart; None where one does it all
    direction_count: int = 1
    stream_count: int = 1           # directions of all chains
    tx_full_count: int = 0      # calls that found the port full
    cost: Cost | None = None        # of trials of telemetry
    hops: Sequence[Hop] = ()        # through a chain of nfs

    @property
    def bins(self) -> stats.Bins:
        """Of the latency."""
        return self.histograms["latency"].bins if "latency" in self.histograms else ()

    @property
    def latency_min_ns(self) -> int | None:
        return self.histograms["latency"].min_ns if "latency" in self.histograms else None

    @property
    def latency_max_ns(self) -> int | None:
        return self.histograms["latency"].max_ns if "latency" in self.histograms else None

    def latency_ns(self, q: float) -> int | None:
        """Quantile of the latency, None without enough samples."""
        return self.quantile_ns("latency", q)

    def quantile_ns(self, kind: str, q: float) -> int | None:
        """Quantile of any of the histograms, None without enough samples."""
        return self.histograms[kind].quantile_ns(q) if kind in self.histograms else None

    def pdv_ns(self, q: float) -> int | None:
        """Packet delay variation: the quantile above the smallest latency (RFC 5481 section 4.2)."""
        value = self.latency_ns(q)
        return None if value is None or self.latency_min_ns is None else value - self.latency_min_ns

    @property
    def span_s(self) -> float:
        """What rx_pps is taken over."""
        return self.received_count / self.direction_count / self.rx_pps if self.rx_pps else self.tx_span_s

    @property
    def back_to_back_ratio(self) -> float | None:
        """Share of frames that left so soon behind the one before that there was no gap; of paced trials only."""
        gaps = self.histograms.get("departure_gap")
        if gaps is None or not self.intended_pps:
            return None
        return gaps.share(0, BACK_TO_BACK_RATIO * 1e9 / self.intended_pps)


@dataclass(frozen=True)
class Direction:
    """What was counted of one direction of traffic, of one chain."""

    intended_count: int | None
    sent_count: int
    tx_full_count: int
    meter: Mapping[str, Any]        # account_json() of pktgen/account.h
    with_latency: bool              # sender and receiver have one clock
    sender: Mapping[str, Any] = field(default_factory=dict)     # pktgen's whole report of the stream


def make(request: Request, started_utc: str, tx_span_s: float, directions: Sequence[Direction], *,
         missed: Mapping[str, int], clock_error_ppm: float, drained: bool, cell_flags: Sequence[str],
         loops: Sequence[Mapping[str, Any]], steal_ns: int | None = None, interval_s: float = 0,
         skew_s: float | None = None, chain_count: int = 1) -> Trial:
    """A trial from the counts of its directions, of all chains. `missed`: what the tester's ports dropped, by counter;
    `loops`: what the generator's workers saw of themselves."""
    def total(key: str) -> int:
        return sum(d.meter[key] or 0 for d in directions)

    def of_numbers(key: str) -> int | None:     # replayed frames have no numbers
        return None if any(d.meter[key] is None for d in directions) else total(key)

    numbered = all(d.meter["duplicate_count"] is not None for d in directions)
    too_many = any(d.meter["received_count"] > d.sent_count for d in directions)
    sent, received = sum(d.sent_count for d in directions), total("received_count")
    intended = [d.intended_count for d in directions]
    unsent = None if None in intended else sum(i for i in intended if i is not None) - sent
    histograms = _histograms(directions)
    tester = {**_tester(loops), **missed, "steal_ns": steal_ns}
    flags = [*cell_flags, *(["repeated"] if request.attempt > 1 else [])]
    if unsent is not None and unsent > SHORT_RATIO * (sent + unsent):
        flags.append("backpressure" if any(d.tx_full_count for d in directions) else "generator_limited")
    conditions = {
        "clock": abs(clock_error_ppm) > CLOCK_LIMIT_PPM,
        "tester_drops": any(missed.values()),
        "not_drained": not drained,
        "foreign_frames": total("foreign_count") > 0 or too_many and not numbered,
        "stale_frames": total("stale_count") > 0,
        "window_exceeded": total("old_count") > 0,
        "crossed_flows": any(d.meter.get("crossed_flows_count") for d in directions),
        "stalled": _stalled(tester, histograms.get("latency"), request.duration_s),
        "late": _late(histograms),
        "skewed": (skew_s or 0) > SKEW_RATIO * request.duration_s,
        "identity": too_many and numbered,
    }
    flags += [flag for flag, raised in conditions.items() if raised]
    direction_count = len(directions) // chain_count
    return Trial(
        request=request, started_utc=started_utc, intended_pps=request.rate_pps, sent_count=sent,
        received_count=received, lost_count=sent - received, unsent_count=unsent,
        duplicate_count=of_numbers("duplicate_count"), reordered_count=of_numbers("reordered_count"),
        stale_count=total("stale_count"), foreign_count=total("foreign_count"),
        rx_pps=sum(_rx_pps(d.meter, tx_span_s) for d in directions) / direction_count,
        loss_ratio=(sent - received) / sent if sent else None,
        status="invalid" if any(flag in INVALIDATING for flag in flags) else "ok",
        flags=tuple(dict.fromkeys(flags)), histograms=histograms, counts=_counts(directions), tester=tester,
        series=_series(directions, interval_s), tx_span_s=tx_span_s, skew_s=skew_s,
        direction_count=direction_count, stream_count=len(directions),
        tx_full_count=sum(d.tx_full_count for d in directions))


def _rx_pps(meter: Mapping[str, Any], tx_span_s: float) -> float:
    """Received frames over the time they took: sending, or from first to last arrival where that is longer, so that
    what waits in queues when sending ends does not make a switch look faster."""
    span_s = max(tx_span_s, meter["span_s"])
    return float(meter["received_count"] / span_s) if span_s > 0 else 0.0


def _histograms(directions: Sequence[Direction]) -> dict[str, Histogram]:
    """Of both directions together. IPDV needs no common clock, since an offset falls out of a difference of latencies
    (RFC 3393); the latencies themselves do."""
    timed = [d.meter for d in directions if d.with_latency]
    parts = {"latency": [m["latency"] for m in timed], "latency_intended": [m.get("latency_intended") for m in timed]}
    parts |= {kind: [d.meter.get(kind) for d in directions] for kind in METER_HISTOGRAMS if kind not in parts}
    parts |= {kind: [d.sender.get(kind) for d in directions] for kind in SENDER_HISTOGRAMS}
    parts["replay_gap_error"] = [(d.sender.get("replay") or {}).get("gap_error") for d in directions]
    return {kind: one for kind, these in parts.items() if (one := stats.merged(these)) is not None}


def _counts(directions: Sequence[Direction]) -> dict[str, int | None]:
    values = {key: [d.sender.get(key) for d in directions] for key in SENDER_COUNTS}
    values |= {key: [d.meter.get(key) for d in directions] for key in METER_COUNTS}
    sums = {key: None if None in those else sum(v for v in those if v is not None) for key, those in values.items()}
    extents = [e for d in directions if (e := d.meter.get("reorder_extent_max")) is not None]
    return {**sums, "reorder_extent_max_count": max(extents, default=None)}


def _tester(loops: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One report of all workers: the worst stall, the least idle, and sums of what the kernel did to them."""
    def values(key: str) -> list[Any]:
        return [loop[key] for loop in loops if loop.get(key) is not None]

    merged: dict[str, Any] = {key: max(values(key), default=None) for key in ("gap_max_ns", "stall_ns")}
    merged |= {key: sum(those) if (those := values(key)) else None
               for key in ("involuntary_switches", "voluntary_switches", "run_delay_ns")}
    return merged | {"idle_ratio": min(values("idle_ratio"), default=None), "cpu": values("cpu")}


def _stalled(tester: Mapping[str, Any], latency: Histogram | None, duration_s: float) -> bool:
    allowed_ns = max(STALL_NS, STALL_LATENCIES * ((latency and latency.quantile_ns(0.999)) or 0))
    return ((tester["gap_max_ns"] or 0) > allowed_ns
            or (tester["stall_ns"] or 0) > STALL_RATIO * 1e9 * duration_s)


def _late(histograms: Mapping[str, Histogram]) -> bool:
    """Latency from the intended send time includes the generator's own lateness: without it the two are the same."""
    actual, intended = (h and h.quantile_ns(0.99) for h in map(histograms.get, ("latency", "latency_intended")))
    return actual is not None and intended is not None and abs(intended - actual) > LATE_NS + LATE_RATIO * actual


def _series(directions: Sequence[Direction], interval_s: float) -> list[Point]:
    points = []
    for stream, d in enumerate(directions):
        sent, received = d.sender.get("sent_series") or [], d.meter.get("series") or []
        for i in range(max(len(sent), len(received))):
            here = received[i] if i < len(received) else (None, None)
            points.append(Point(stream, i * interval_s, sent[i][0] if i < len(sent) else None, here[0], here[1]))
    return points
