# SPDX-License-Identifier: BSD-3-Clause
"""Every run as a dot: R+ of each block, or where there are no blocks of each trial, relative to the cell's median.
Pure.
"""

from typing import NamedTuple

from harness.figures.cells import (counts_note, flags_of, grouped, interval_note, mark_notes, marks, place, run_note,
                                   shared, switch_order, titles)
from harness.figures.data import Data
from harness.figures.reading import NotDrawn, Row, clean, number
from harness.figures.sheet import Axis, Panel, Sheet, Table, linear, split_pages

PAGE = 12
METRIC = "rplus_pps"
FAR_PERCENT = 60.0          # a run further than this from the median is drawn at the edge, as an arrow with its value
ROW_PT = 8.6


class Runs(NamedTuple):
    """A cell. dots: value in pps, and whether it counts (an invalid trial does not)."""

    row: Row
    dots: tuple[tuple[float, bool], ...]
    median: float
    low: float | None
    high: float | None


def repeats(data: Data) -> list[Sheet]:
    """A panel per setup; in it a row per frame size and switch."""
    cells = [c for c in _of_blocks(data) or _of_trials(data) if len(c.dots) > 1]
    if not cells:
        raise NotDrawn("it needs R+ of two blocks or two trials of a cell")
    panels = grouped(cells, lambda c: place(c.row), lambda c: True, without=("frame_bytes",))
    names = switch_order(c.row["switch"] for c in cells)
    keys = list(panels)
    return [_page({keys[i]: panels[keys[i]] for i in page}, names, data) for page in split_pages(len(keys), PAGE)]


def _of_blocks(data: Data) -> list[Runs]:
    dots: dict[tuple, list[tuple[float, bool]]] = {}
    for row in data.blocks:
        value = number(row["value"])
        if row["metric"] == METRIC and value is not None:
            dots.setdefault(place(row), []).append((value, row["status"] == "ok"))
    return _with_summary(data, dots) if dots else []


def _of_trials(data: Data) -> list[Runs]:
    dots: dict[tuple, list[tuple[float, bool]]] = {}
    for row in data.trials:
        value = number(row["rx_pps"])
        if row["phase"] == "rplus" and value is not None:
            dots.setdefault(place(row), []).append((value, row["status"] == "ok"))
    return _with_summary(data, dots)


def _with_summary(data: Data, dots: dict[tuple, list[tuple[float, bool]]]) -> list[Runs]:
    """With median and interval of results.csv; cells that have none there are left out (they are named elsewhere)."""
    return [Runs(v.row, tuple(dots[at]), v.value, v.low, v.high) for v in data.values(METRIC)
            if v.value and (at := place(v.row)) in dots]


def _page(panels: dict, names: tuple[str, ...], data: Data) -> Sheet:
    every = [c for of in panels.values() for c in of]
    widest = max(abs(v / c.median - 1) for c in every for v, _ in c.dots) * 100
    edge = min(FAR_PERCENT, max(1.0, widest * 1.12))
    axis = linear(-edge, edge, 4)
    x = axis._replace(tics=tuple((at, ("+" if at > 0 else "") + text) for at, text in axis.tics))
    drawn, dots, medians, used, on_panels = [], [], [], set(), False
    for p, (key, of) in enumerate(panels.items(), 1):
        of = sorted(of, key=lambda c: (place(c.row).frame_bytes, names.index(c.row["switch"])))
        of_all = shared(flags_of(c.row) for c in of)
        title, subtitle = titles(key, (place(c.row) for c in of))
        many = len({place(c.row).frame_bytes for c in of}) > 1 or key.frame_bytes is None
        drawn.append(Panel(title, f"{subtitle} {marks(of_all)}".strip(), x,
                           Axis(0.4, len(of) + 0.6, tuple((float(len(of) - i), _name(c, many))
                                                          for i, c in enumerate(of)),
                                grid=True),
                           data.absent(key, {place(c.row) for c in of}, names, "frame_bytes"),
                           height=ROW_PT * len(of) + 4))
        for i, c in enumerate(of):
            y, s = len(of) - i, names.index(c.row["switch"]) + 1
            offs = [(value / c.median - 1) * 100 for value, _ in c.dots]
            named = {max(offs), min(offs)}          # of several beyond the axis the farthest, for labels need room
            for j, ((_, counts), off) in enumerate(zip(c.dots, offs)):
                spread = (j - (len(c.dots) - 1) / 2) * min(0.5 / len(c.dots), 0.16)
                dots.append((p, s, max(-edge, min(edge, off)), y - spread, counts,
                             0 if abs(off) <= edge else 1 if off > 0 else -1, f"{off:+.0f} %" if off in named else ""))
            low, high = (None if v is None else max(-edge, min(edge, (v / c.median - 1) * 100))
                         for v in (c.low, c.high))
            medians.append((p, s, y, low, high, _median_text(c, of_all)))
            used |= flags_of(c.row)
        on_panels = on_panels or bool(of_all)
    one = "block" if data.by_blocks(METRIC) else "trial"
    counts = counts_note((sum(ok for _, ok in c.dots) for c in every), data.by_blocks(METRIC))
    notes = (f"Dot: R+ of one {one} (received rate under saturating load, no loss goal), as its distance from the "
             f"median of "
             f"its row, {counts}; from top to bottom in the order of measurement. Cross: invalid, not in the median. "
             f"Number at the right: the median in Mpps per direction. "
             + interval_note((sum(ok for _, ok in c.dots) for c in every), data.by_blocks(METRIC), "Grey band")
             + " An arrow: beyond the axis; with a number, the farthest." * any(d[5] for d in dots),
             " ".join([*mark_notes(used, on_panels), run_note(c.row for c in every)]))
    return Sheet(tuple(drawn), names, (Table("dots", "panel series percent row counts beyond text", dots),
                                       Table("medians", "panel series row low_percent high_percent text", medians)),
                 notes, "Distance from the median in percent", "", columns=3, left=66.0, right=22.0, legend=False)


def _median_text(c: Runs, of_all: set[str]) -> str:
    """With its marks; that of a lower bound in front, as ">10.9"."""
    own = marks(flags_of(c.row) - of_all)
    return f"{'>' * ('>' in own)}{c.median / 1e6:.3g} {own.replace('>', '')}".strip()


def _name(c: Runs, with_size: bool) -> str:
    size = place(c.row).frame_bytes
    return f"{clean(c.row['switch'], 14)}{f' {size}' if with_size and size else ''}"
