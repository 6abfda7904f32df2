# SPDX-License-Identifier: BSD-3-Clause
"""Comparison as a forest plot: ratio B/A of every cell with its interval and verdict, from the comparison's CSV.
Pure.
"""

from typing import NamedTuple

from harness.cellname import cell_name
from harness.figures.bars import MARKS, by_number
from harness.figures.cells import mark_notes, marks
from harness.figures.data import Data, loss_ratio_of
from harness.figures.reading import NotDrawn, Row, clean, number, whole
from harness.figures.sheet import Axis, Panel, Sheet, Table, linear, split_pages
from harness.figures.text import LABEL_PT, text_width

FILE = "compare.csv"
NEEDED = ("cell", "ratio", "ci_low", "ci_high", "verdict")
VERDICTS = ("faster", "slower", "equivalent", "inconclusive", "capped")
ROWS_MAX = 44
METRICS = {"rplus_pps": "R+", "ndr_pps": "NDR", "pdr_pps": "PDR"}
FAR = 0.6                   # of the ratio's distance from 1: further ones are drawn at the edge


class Ratio(NamedTuple):
    """One cell. ratio None: it could not be compared, `verdict` says why."""

    row: Row
    cell: str
    metric: str
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    blocks: int | None


def forest(data: Data) -> list[Sheet]:
    """A row per cell and metric, sorted by ratio."""
    ratios = [r for row in data.table(FILE, NEEDED) if (r := _ratio(row, data)) is not None]
    if not any(r.ratio is not None for r in ratios):
        raise NotDrawn(f"{FILE} has no readable ratio")
    ratios.sort(key=lambda r: (r.ratio is None, -(r.ratio or 0.0), by_number(r.cell)))
    return [_page([ratios[i] for i in page]) for page in split_pages(len(ratios), ROWS_MAX)]


def _ratio(row: Row, data: Data) -> Ratio | None:
    ratio, low, high = (number(row[c]) for c in ("ratio", "ci_low", "ci_high"))
    verdict = row["verdict"]
    if row["ratio"] and (ratio is None or ratio <= 0):
        data.warn([f"{row.file} line {row.line}: ratio is {clean(row['ratio'])!r}; left out"])
        return None
    if ratio is not None and (low is None or high is None or not 0 < low <= ratio <= high):
        if row["ci_low"] or row["ci_high"]:
            data.warn([f"{row.file} line {row.line}: the interval does not enclose the ratio; drawn without it"])
        low = high = None
    counts = [n for column in ("n_a", "n_b") if (n := whole(row.get(column))) is not None]
    return Ratio(row, row["cell"], row.get("metric"), ratio, low, high, clean(verdict, 24) or "no verdict",
                 min(counts, default=None))


def _page(ratios: list[Ratio]) -> Sheet:
    spans = [x for r in ratios for x in (r.ratio, r.low, r.high) if x is not None]
    margins = sorted({m for r in ratios if (m := number(r.row.get("margin"))) is not None and 0 < m < 1})
    reach = max([abs(x - 1) for x in spans] + [2 * m for m in margins] + [0.01]) * 1.08
    edge = min(FAR, reach)
    axis = linear(1 - edge, 1 + edge, 6)
    count = len(ratios)
    y = Axis(0.3, count + 0.7, tuple((float(count - i), _name(r)) for i, r in enumerate(ratios)))
    rows = []
    for i, r in enumerate(ratios):
        kind = VERDICTS.index(r.verdict.split("_")[0]) + 1 if r.verdict.split("_")[0] in VERDICTS else 0
        ends = [None if x is None else max(1 - edge, min(1 + edge, x)) for x in (r.ratio, r.low, r.high)]
        beyond = 0 if r.ratio is None or abs(r.ratio - 1) <= edge else 1 if r.ratio > 1 else -1
        value = "" if r.ratio is None else f"{r.ratio:.3f}  "
        rows.append((1, 1, count - i, *ends, kind, beyond,
                     f"{value}{r.verdict.replace('_', ', ')} {_marks(r)}".strip()))
    bands = [(1, 1, 1 / (1 + m), 1 + m) for m in margins] if len(margins) == 1 else []
    names = [_side(ratios, side) for side in "ab"]
    blocks = sorted({r.blocks for r in ratios if r.blocks})
    n = ("n unknown" if not blocks else f"n = {blocks[0]}" + f" to {blocks[-1]}" * (len(blocks) > 1)) + " blocks"
    confidence = number(ratios[0].row.get("conf"))
    better = {r.row.get("better") for r in ratios} - {""}
    used = {flag for r in ratios for flag, mark, _ in MARKS if mark in _marks(r)}
    runs = list(dict.fromkeys(clean(run, 60) for r in ratios for side in "ab" if (run := r.row.get(f"run_{side}"))))
    notes = (f"Dot: ratio {names[1]} / {names[0]} ({n}); above 1 is "
             + ("faster" if better in (set(), {"higher"}) else "more, which is worse where a row is of latency or loss")
             + f". Line: its {f'{confidence * 100:g}' if confidence else '95'} % interval"
             + (f". Band: margin of {margins[0] * 100:g} %, within which two are called equivalent" if bands else "")
             + ". Filled: faster or slower; hollow: equivalent; cross: inconclusive, which is not the same; square: "
             "capped by the generator. Verdicts are corrected for the number of rows (Holm), intervals are not: one may "
             "exclude 1 and its row be inconclusive." + " An arrow: beyond the axis." * any(r[7] for r in rows),
             " ".join([*mark_notes(used, of_panels=False), f"Runs: {', '.join(runs) or 'unknown'}."]))
    return Sheet((Panel("", "", axis, y, height=10.0 * count + 6),), ("value",),
                 (Table("ratios", "panel series row ratio low high kind beyond text", rows),
                  Table("bands", "panel series low high", bands)), notes,
                 f"Ratio {names[1]} / {names[0]}", "", columns=1, left=_room(ratios), right=86.0, legend=False,
                 narrow=False)


def _side(ratios: list[Ratio], side: str) -> str:
    """What A or B is: the switch, where that is what differs; else the run."""
    switches = {(r.row.get("switch_a"), r.row.get("switch_b")) for r in ratios}
    if len(switches) == 1 and len(set(pair := switches.pop())) == 2 and all(pair):
        return clean(pair["ab".index(side)], 40)
    runs = {r.row.get(f"run_{side}") for r in ratios} - {""}
    return f"{side.upper()} ({clean(runs.pop(), 40)})" if len(runs) == 1 else side.upper()


def _room(ratios: list[Ratio]) -> float:
    """Width of the names, within reason."""
    return min(230.0, max(text_width(_name(r), LABEL_PT) for r in ratios) + 8)


def _marks(r: Ratio) -> str:
    """Those of the flags that either side has."""
    return marks(flag.strip() for flag in r.row.get("flags").split(";"))


def _name(r: Ratio) -> str:
    """In words, where the columns of the cell are there."""
    metric = f" {clean(METRICS.get(r.metric, r.metric), 24)}" if r.metric else ""
    loss = loss_ratio_of(r.row.get("goal"))
    metric += f" ({loss * 100:.6g} % loss)" if loss is not None else ""
    return clean(cell_name(r.row.fields) if r.row.get("topology") else r.cell, 60) + metric
