# SPDX-License-Identifier: BSD-3-Clause
"""The anchor cell over time: one unchanging measurement at the start of each block, which tells how the machine was.
Pure.
"""

import statistics
from datetime import datetime

from harness import anchor as of_run
from harness.figures.cells import flags_of, mark_notes, marks, run_note, shared
from harness.figures.data import ANCHOR, Data
from harness.figures.reading import NotDrawn, Row, clean, number, whole
from harness.figures.sheet import Panel, Sheet, Table, linear


def anchor(data: Data) -> list[Sheet]:
    """A dot per trial, a bigger one for the median of a block."""
    trials = []
    for row in data.every_trial:
        if row.get("scenario") == ANCHOR or row["phase"].partition("@")[0] == ANCHOR:
            rate, when = number(row["rx_pps"]), _when(row["started_utc"])
            if row["phase"] in ("warmup", "warm-up"):
                continue
            if rate is None or when is None:
                data.warn([f"trials.csv line {row.line}: no rate or no time that can be read; not in the figure"])
            else:
                trials.append((row, rate, when))
    if len(trials) < 2:
        raise NotDrawn("it needs two trials of an anchor cell")
    start = min(when for _, _, when in trials)
    blocks: dict[str, list[tuple[Row, float, datetime]]] = {}
    for trial in trials:
        blocks.setdefault(trial[0]["block"] or "1", []).append(trial)
    good = {name: [t for t in of if t[0]["status"] == "ok"] for name, of in blocks.items()}
    medians = {name: statistics.median(rate for _, rate, _ in of) for name, of in good.items() if of}
    if not medians:
        raise NotDrawn("no trial of the anchor cell is valid")
    return [_page(trials, good, medians, start, data.repeats)]


def _page(trials: list, good: dict, medians: dict[str, float], start: datetime, repeats: dict[int, int]) -> Sheet:
    band = of_run.first_blocks({whole(name) or 0: median for name, median in medians.items()}, repeats)
    middle = band.middle_pps if band else statistics.median(medians.values())
    ratio = band.ratio if band else 0.0
    of_all = shared(flags_of(row) for row, _, _ in trials)
    dots = [(1, 1, (when - start).total_seconds() / 60, rate / 1e6, row["status"] == "ok")
            for row, rate, when in trials]
    blocks = []
    for name, median in medians.items():
        minutes = statistics.median((when - start).total_seconds() for _, _, when in good[name]) / 60
        flags = set().union(*(flags_of(row) for row, _, _ in good[name])) - of_all
        is_suspect = bool(band) and not band.holds(median)
        blocks.append((1, 1, minutes, median / 1e6, is_suspect, f"{clean(name, 6)}{marks(flags)}"))
    room = max(0.05, ratio * 1.3)
    rates = [d[3] for d in dots] + [middle / 1e6 * (1 - room), middle / 1e6 * (1 + room)]
    room = (max(rates) - min(rates)) * 0.15
    row = trials[0][0]
    cell = " ".join(clean(row[column], 12) for column in ("topology", "direction", "frame_bytes"))
    what = f"{clean(row['switch'], 16)}, {cell} B"
    last = max(0.1, *(d[2] for d in dots))
    y = linear(max(0.0, min(rates) - room), max(rates) + room, 5)
    panel = Panel("Anchor cell", f"{what} {marks(of_all)}".strip(), linear(-0.03 * last, last * 1.03 or 1.0, 6),
                  y, height=90.0)
    used = set().union(*(flags_of(row) for row, _, _ in trials))
    notes = (f"Small dot: received rate of one trial of the same cell, in each block anew (n = {len(trials)} trials, "
             f"{len(medians)} blocks); cross: invalid. Large dot with its block's number: the block's median. "
             + (f"Band: {ratio:.1%} around the median of the first blocks, three standard deviations as their median "
                "absolute deviation estimates them; a block outside of it (red) is suspect. "
                f"{_again(repeats)}" if band else "Line: their median; the blocks are too few to tell which are "
                "suspect. ") + "The y axis does not begin at 0." * (y.low > 0),
             " ".join([*mark_notes(used, bool(of_all)), run_note(row for row, _, _ in trials)]))
    return Sheet((panel,), ("value",),
                 (Table("trials", "panel series minutes mpps counts", dots),
                  Table("blocks", "panel series minutes mpps is_suspect text", blocks),
                  Table("band", "panel series low_mpps high_mpps median_mpps",
                        [(1, 1, middle * (1 - ratio) / 1e6, middle * (1 + ratio) / 1e6, middle / 1e6)])),
                 notes, "Minutes since the first anchor", "Mpps per direction", legend=False)


def _again(repeats: dict[int, int]) -> str:
    """Which blocks took the place of which."""
    return "Measured instead of suspect blocks: " + ", ".join(
        f"{new} of {old}" for new, old in sorted(repeats.items())) + ". " if repeats else ""


def _when(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else None
