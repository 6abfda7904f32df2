# SPDX-License-Identifier: BSD-3-Clause
"""Loss against load: every load at which a cell was tried, from trials.csv. Pure."""

import math
import statistics
from typing import NamedTuple

from harness.figures.cells import (Key, flags_of, grouped, mark_notes, marks, place, run_note, shared, switch_order,
                                   titles)
from harness.figures.data import Data
from harness.figures.reading import NotDrawn, Row, number, whole
from harness.figures.sheet import Axis, Panel, Sheet, Table, linear, power, split_pages

PAGE = 12
LOADS_MIN = 3               # fewer are no curve
SAME = 0.004                # loads this near to each other are one
LEFT_OUT = ("warmup", "anchor", "b2b", "telemetry")    # phases: bursts are no load that lasts, counters disturb


class Loss(NamedTuple):
    """Trials of a cell at one load. ratio: lost and unsent of what was intended, each trial's."""

    row: Row
    mpps: float
    ratios: tuple[float, ...]
    flags: frozenset[str]


def loss(data: Data) -> list[Sheet]:
    """A panel per setup and frame size, a line per switch."""
    points = _points(data)
    by_cell: dict[tuple, int] = {}
    for point in points:
        by_cell[place(point.row)] = by_cell.get(place(point.row), 0) + 1
    points = [p for p in points if by_cell[place(p.row)] >= LOADS_MIN]
    if not points:
        raise NotDrawn(f"it needs trials at {LOADS_MIN} loads of a cell")
    panels = grouped(points, lambda p: place(p.row), lambda p: True, within=lambda p: p.mpps)
    keys = list(panels)
    names = switch_order(p.row["switch"] for p in points)
    goals = {name: goal for name in ("ndr", "pdr") if (goal := _goal(data, name))}
    return [_page({keys[i]: panels[keys[i]] for i in page}, names, goals, data)
            for page in split_pages(len(keys), PAGE)]


def _goal(data: Data, name: str) -> float | None:
    try:
        return data.loss_goal(f"{name}_pps")
    except NotDrawn:            # a run without results.csv
        return None


def _points(data: Data) -> list[Loss]:
    """Valid trials with an intended load, by cell and load."""
    cells: dict[str, list[tuple[float, float, Row]]] = {}
    bad = 0
    for row in data.trials:
        load = number(row["intended_pps"])
        if load is None or row["status"] != "ok" or row["phase"].partition("@")[0] in LEFT_OUT:
            continue
        sent, received = whole(row["sent_count"]), whole(row["received_count"])
        unsent = whole(row["unsent_count"] or "0")
        if sent is None or received is None or unsent is None or load <= 0 or not place(row).sound:
            bad += 1
        elif sent + unsent:
            cells.setdefault(row["cell_id"], []).append((load, max(0.0, 1 - received / (sent + unsent)), row))
    if bad:
        data.warn([f"trials.csv: {bad} trials have no counts that can be read; not in the figure of loss"])
    points = []
    for trials in cells.values():
        trials.sort(key=lambda t: t[0])
        group: list[tuple[float, float, Row]] = []
        for trial in [*trials, (math.inf, 0.0, trials[0][2])]:
            if group and trial[0] > group[0][0] * (1 + SAME):
                flags = frozenset().union(*(flags_of(row) for _, _, row in group))
                points.append(Loss(group[0][2], statistics.median(load for load, _, _ in group) / 1e6,
                                   tuple(ratio for _, ratio, _ in group), flags))
                group = []
            group.append(trial)
    return points


def _page(panels: dict[Key, list[Loss]], names: tuple[str, ...], goals: dict[str, float], data: Data) -> Sheet:
    every = [p for of in panels.values() for p in of]
    seen = [r for p in every for r in p.ratios if r > 0]
    lowest = max(-9, min(-3, math.floor(math.log10(min(seen))))) if seen else -3
    zero = 10.0 ** (lowest - 1)
    step = math.ceil(-lowest / 4)
    y = Axis(zero * 0.5, 1.0, ((zero, "0"), *((10.0 ** e, power(e) if e else "1")
                                              for e in range(0, lowest - 1, -step))), True)
    drawn, rows, used, on_panels = [], [], set(), False
    for number_, (key, of) in enumerate(panels.items(), 1):
        of_all = shared(set(p.flags) for p in of)
        title, subtitle = titles(key, (place(p.row) for p in of))
        drawn.append(Panel(title, f"{subtitle} {marks(of_all)}".strip(),
                           linear(0.0, max(p.mpps for p in of) * 1.06, 5), y,
                           data.absent(key, {place(p.row) for p in of}, names)))
        for p in sorted(of, key=lambda p: p.mpps):
            median = statistics.median(p.ratios)
            low, high = (min(p.ratios), max(p.ratios)) if len(p.ratios) > 1 else (None, None)
            shown = [None if r is None else max(r, zero) for r in (median, low, high)]
            rows.append((number_, names.index(p.row["switch"]) + 1, p.mpps, *shown, _marks(p, of, of_all)))
            used |= p.flags
        on_panels = on_panels or bool(of_all)
    goal_rows = [(p, 0, goal, f"{name.upper()} goal") for p in range(1, len(drawn) + 1) for name, goal in goals.items()
                 if goal > zero]
    n = sorted({len(p.ratios) for p in every})
    count = f"n = {n[0]}" + f" to {n[-1]}" * (len(n) > 1)
    notes = (f"Point: lost and unsent frames, of those intended; median of the valid trials at a load ({count}). "
             "Whiskers: "
             "smallest and largest trial. The lowest line stands for no loss at all (the axis is logarithmic)."
             + "".join(f" Dotted: the loss goal of {name.upper()}, {goal * 100:.6g} %."
                       for name, goal in goals.items()),
             " ".join([*mark_notes(used, on_panels), run_note(p.row for p in every)]))
    return Sheet(tuple(drawn), names, (Table("points", "panel series load_mpps loss_ratio low high marks", rows),
                                       Table("goals", "panel series loss_ratio text", goal_rows)),
                 notes, "Intended load in Mpps per direction", "Loss ratio", columns=3)


def _marks(point: Loss, of: list[Loss], of_all: set[str]) -> str:
    """Its marks; what the whole line has stands at its last point only."""
    line = [p for p in of if p.row["switch"] == point.row["switch"]]
    of_line = shared(set(p.flags) for p in line)
    is_last = point.mpps == max(p.mpps for p in line)
    return marks(point.flags - of_all - (set() if is_last else of_line))
