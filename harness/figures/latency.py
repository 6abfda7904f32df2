# SPDX-License-Identifier: BSD-3-Clause
"""Latency, one-way or of round trips: percentiles at each load (from results.csv), and the whole distribution (from
latency.csv). Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.figures import loads
from harness.figures.cells import (Key, absent_note, counts_note, flags_of, grouped, mark_notes, marks,
                                   place, run_note, shared, switch_order, titles)
from harness.figures.data import Bins, Data, Value
from harness.figures.reading import NotDrawn, Row
from harness.figures.sheet import Panel, Sheet, Table, categories, linear, logarithmic, power, split_pages

PAGE = 12
LATENCY = ("Latency of every packet, from leaving the generator to its reception, one-way unless the panel says round "
           "trip; where a trial is flagged backpressure, waiting for a full port is not in it.")


class At(NamedTuple):
    """Percentiles of a cell at a load, in microseconds; each may be missing."""

    load: str
    p50: Value
    p99: float | None
    p999: float | None


def duration(exponent: int) -> str:
    """10^exponent microseconds as 10 ns, 1 us, 100 ms, 1 s."""
    place_of = exponent + 3
    unit = ("ns", "\N{MICRO SIGN}s", "ms", "s")[max(0, min(place_of // 3, 3))]
    return f"{10 ** (place_of - 3 * max(0, min(place_of // 3, 3))):g} {unit}"


# ---- percentiles ---------------------------------------------------------------------------------------------------

def percentiles(data: Data) -> list[Sheet]:
    """A panel per setup and frame size; in it a group per load, and in that a bar per switch."""
    items: list[At] = []
    for metric in data.metrics("latency_p50_ns@"):
        load = metric.partition("@")[2]
        further = [{place(v.row): v.value for v in data.values(f"latency_{name}_ns@{load}")}
                   if data.metrics(f"latency_{name}_ns@{load}") else {} for name in ("p99", "p999")]
        for v in data.values(metric):
            at = place(v.row)
            p99, p999 = (None if (x := of.get(at)) is None else x / 1e3 for of in further)
            items.append(At(load, v, p99, p999))
    panels = grouped(items, lambda a: place(a.p50.row), lambda a: a.p50.value is not None, within=lambda a: a.load)
    panels = {key: of for key, of in panels.items() if any(a.p50.value for a in of)}
    if not panels:
        raise NotDrawn("results.csv has no latency")
    keys = list(panels)
    names = switch_order(a.p50.row["switch"] for of in panels.values() for a in of)
    return [_percentile_page({keys[i]: panels[keys[i]] for i in page}, names, data)
            for page in split_pages(len(keys), PAGE)]


def _percentile_page(panels: dict[Key, list[At]], names: tuple[str, ...], data: Data) -> Sheet:
    every = [a for of in panels.values() for a in of]
    numbers = [x for a in every for x in ((a.p50.value or 0) / 1e3, a.p99, a.p999, (a.p50.low or 0) / 1e3,
                                          (a.p50.high or 0) / 1e3) if x]
    axis = logarithmic(min(numbers), max(numbers), duration)
    drawn, rows, used, on_panels = [], [], set(), False
    for p, (key, of) in enumerate(panels.items(), 1):
        valued = [a for a in of if a.p50.value is not None]
        all_loads = sorted({a.load for a in valued}, key=loads.order)
        of_all = shared(flags_of(a.p50.row) for a in valued)
        title, subtitle = titles(key, (place(a.p50.row) for a in valued))
        absent = "; ".join(filter(None, (_without(of), data.absent(key, {place(a.p50.row) for a in of}, names))))
        drawn.append(Panel(title, f"{subtitle} {marks(of_all)}".strip(),
                           categories([loads.text(load) for load in all_loads]), axis, absent))
        for a in valued:
            v = a.p50
            p50, low, high = (None if ns is None else ns / 1e3 for ns in (v.value, v.low, v.high))
            rows.append((p, names.index(v.row["switch"]) + 1, all_loads.index(a.load) + 1, p50, low, high, a.p99,
                         a.p999, v.drawn, marks(flags_of(v.row) - of_all)))
            used |= flags_of(v.row)
        on_panels = on_panels or bool(of_all)
    by_blocks = any(data.by_blocks(a.p50.row["metric"]) for a in every)
    count = counts_note((a.p50.n for a in every if a.p50.value is not None), by_blocks)
    notes = ("Dot: median (p50). Bar: from p50 to p99. Line with cap: to p99.9. A percentile is left out unless ten "
             f"samples lie beyond it. {LATENCY} Each is the median of {count} (their spread is in results.csv). Loads "
             "are sent rates as fractions of each switch's own result, or absolute rates."
             + " Cross: invalid, its trials did not pass their checks." * any(a.p50.drawn == "invalid" for a in every),
             " ".join([*mark_notes(used, on_panels), run_note(a.p50.row for a in every)]))
    table = Table("bars", "panel series load p50_us p50_low_us p50_high_us p99_us p999_us drawn marks", rows)
    return Sheet(tuple(drawn), names, (table,), notes, "Load", "Latency", columns=3, left=31.0)


def _without(of: list[At]) -> str:
    """Which switches have no value at which loads."""
    some = {a.p50.row["switch"] for a in of if a.p50.value is not None}
    return absent_note((a.p50.drawn, a.p50.row["switch"], loads.text(a.load) if a.p50.row["switch"] in some else "")
                       for a in of if a.p50.value is None)


# ---- distributions -------------------------------------------------------------------------------------------------

class Curve(NamedTuple):
    """All samples of a cell's valid trials at a load."""

    row: Row
    load: str
    trials: int
    bins: Bins
    flags: frozenset[str]


def cdf(data: Data) -> list[Sheet]:
    """Cumulative distribution, linear."""
    return _distributions(data, tail=False)


def ccdf(data: Data) -> list[Sheet]:
    """Share of packets above a latency, logarithmic: shows the tail."""
    return _distributions(data, tail=True)


def _curves(data: Data) -> list[Curve]:
    trials: dict[tuple[str, str], list[Row]] = {}
    for row in data.trials:
        phase, at, load = row["phase"].partition("@")
        if at and phase in ("latency", "fixed") and row["status"] == "ok" and place(row).sound:
            trials.setdefault((row["cell_id"], load), []).append(row)
    if not trials:
        raise NotDrawn("trials.csv has no valid trial for latency")
    found = data.histograms({row["trial_id"] for rows in trials.values() for row in rows})
    curves = []
    for (_, load), rows in trials.items():
        total: dict[tuple[float, float], int] = {}
        have = [row for row in rows if row["trial_id"] in found]
        for row in have:
            for low, high, count in found[row["trial_id"]]:
                total[low, high] = total.get((low, high), 0) + count
        if sum(total.values()):
            flags = frozenset().union(*(flags_of(row) for row in have))
            curves.append(Curve(have[0], load, len(have), [(*at, n) for at, n in sorted(total.items())], flags))
    if not curves:
        raise NotDrawn("latency.csv has no samples of the valid trials")
    return curves


def _distributions(data: Data, tail: bool) -> list[Sheet]:
    """Rows of panels: a setup and frame size; columns: loads."""
    curves = _curves(data)
    columns = sorted({c.load for c in curves}, key=loads.order)[:4]
    if dropped := {c.load for c in curves} - set(columns):
        data.warn([f"latency distributions are drawn of {len(columns)} loads only; not of "
                   + ", ".join(sorted(map(loads.text, dropped)))])
    curves = [c for c in curves if c.load in columns]
    setups = grouped(curves, lambda c: place(c.row), lambda c: True, within=lambda c: c.load)
    names = switch_order(c.row["switch"] for c in curves)
    keys = list(setups)
    per_page = max(1, PAGE // len(columns))
    return [_distribution_page({keys[i]: setups[keys[i]] for i in page}, columns, names, tail, data)
            for page in split_pages(len(keys), per_page)]


def _distribution_page(setups: dict[Key, list[Curve]], columns: Sequence[str], names: tuple[str, ...],
                       tail: bool, data: Data) -> Sheet:
    every = [c for of in setups.values() for c in of]
    x = logarithmic(max(1.0, min(low for c in every for low, _, n in c.bins if n)) / 1e3,
                    max(high for c in every for _, high, n in c.bins if n) / 1e3, duration)
    floor = math.floor(math.log10(min(10 / sum(n for _, _, n in c.bins) for c in every)) + 1e-9)
    y = logarithmic(10.0 ** max(-8, min(-2, floor)), 1.0, power) if tail else linear(0.0, 1.0, 5)
    drawn, rows, used, on_panels = [], [], set(), False
    for key, of in setups.items():
        for load in columns:
            here = [c for c in of if c.load == load]
            of_all = shared(set(c.flags) for c in here)
            title, subtitle = titles(key, (place(c.row) for c in of))
            none = data.absent(key, {place(c.row) for c in here}, names) if here else "no valid trial"
            if len(columns) > 3:        # narrow panels
                subtitle = subtitle.replace(", no guest", "").replace(" guest", "")
            drawn.append(Panel(title, f"{loads.text(load)}, {subtitle} {marks(of_all)}".strip(), x, y, none, 78.0))
            for c in here:
                points = _points(c.bins, tail, y.low)
                mark = marks(c.flags - of_all)
                s = names.index(c.row["switch"]) + 1
                for k, (us, share) in enumerate(points):
                    has_point = k % 12 == (4 * s) % 12 and (tail or 0.02 < share < 0.98) or k == len(points) // 3
                    rows.append((len(drawn), s, us, share, mark if k == len(points) // 2 else "", has_point))
                used |= c.flags
            on_panels = on_panels or bool(of_all)
    n = sorted({c.trials for c in every})
    count = f"n = {n[0]}" + f" to {n[-1]}" * (len(n) > 1)
    samples = sorted(sum(k for _, _, k in c.bins) for c in every)
    what = ("Share of packets that took longer (CCDF), down to ten packets" if tail
            else "Share of packets that took no longer (CDF)")
    notes = (f"{what}; all packets of the valid trials of a cell and load together ({count} trials, {samples[0]:,}"
             f"{f' to {samples[-1]:,}' * (samples[-1] > samples[0])} packets; no error bars). {LATENCY} Lost packets "
             "are not in it.",
             " ".join([*mark_notes(used, on_panels), run_note(c.row for c in every)]))
    return Sheet(tuple(drawn), names, (Table("curves", "panel series latency_us share marks has_point", rows),), notes,
                 "Latency", "Share of packets above" if tail else "Share of packets",
                 columns=len(columns), balanced=False)


def _points(bins: Bins, tail: bool, lowest: float) -> list[tuple[float, float]]:
    """The curve at the upper edges of its bins, thinned where neighbours could not be told apart on paper."""
    total = sum(n for _, _, n in bins)
    points: list[tuple[float, float]] = [] if tail else [(bins[0][0] / 1e3 or 1e-3, 0.0)]
    below = 0
    for low, high, n in bins:
        if not n:
            continue
        if tail and not points:
            points.append((max(low, 1.0) / 1e3, 1.0))
        below += n
        beyond = (total - below) / total
        share = beyond if tail else 1 - beyond
        if tail and (share < lowest or total - below < 10):
            points.append((high / 1e3, max(lowest, min(1.0, 10 / total))))      # below that nothing is claimed
            break
        point = (high / 1e3, share)
        last = points[-1]
        near_x = abs(math.log10(point[0] / last[0])) < 0.012
        near_y = abs(math.log10(share / last[1])) < 0.04 if tail else abs(share - last[1]) < 0.012
        if not (near_x and near_y) or (not tail and below == total):
            points.append(point)
    return points
