# SPDX-License-Identifier: BSD-3-Clause
"""A comparison as text, CSV and JSON."""

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cellname import cell_name
from harness.compare.sides import KEY, Side
from harness.compare.verdict import EQUIVALENT, FASTER, INCONCLUSIVE, MORE_MAX, SLOWER, Row

COLUMNS = ("cell", "metric", "goal", "better", *KEY, "run_a", "switch_a", "run_b", "switch_b", "n_a", "n_b",
           "median_a", "median_b", "ratio", "ci_low", "ci_high", "conf", "method", "p_raw", "p_adjusted", "p_within_raw", "p_within_adjusted",
           "margin", "drift_low", "drift_high", "median_ratio", "median_ratio_low", "median_ratio_high", "cv_a",
           "cv_b", "verdict", "more_blocks",
           "reason", "flags")
STYLES = {FASTER: "green", SLOWER: "bold red", EQUIVALENT: "", INCONCLUSIVE: "yellow"}


def record(row: Row, a: Side, b: Side) -> dict[str, Any]:
    """A row of the CSV file and of JSON; None where there is no number."""
    own = {"cell": row.pair.cell, "metric": row.pair.metric, "goal": _goal(row), "conf": 0.95,
           "run_a": a.run.name, "run_b": b.run.name, "switch_a": a.switch or "", "switch_b": b.switch or "",
           "drift_low": math.exp(row.pair.drift[0]), "drift_high": math.exp(row.pair.drift[1]),
           "flags": ";".join(row.flags), **{column: row.pair.columns.get(column, "") for column in KEY}}
    return {column: own[column] if column in own else getattr(row, column) for column in COLUMNS}


def _goal(row: Row) -> str:
    """What was searched for, where both sides searched for the same."""
    goals = {value.goal for values in (row.pair.a, row.pair.b) for value in values.values()}
    return goals.pop() if len(goals) == 1 else ""


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """RFC 4180 with a header row; empty = missing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for r in records:
        values = (r[column] for column in COLUMNS)
        writer.writerow(["" if v is None else f"{v:.9g}" if isinstance(v, float) else v for v in values])
    return out.getvalue()


def text(rows: Sequence[Row], a: Side, b: Side, margin: float, notes: Sequence[str], console: Console) -> None:
    """The table for people, the worst first, the reasons, and a line that sums up."""
    figures = {row.pair.metric for row in rows}
    table = Table(title=f"B against A: {', '.join(sorted(figures))}; margin {100 * margin:g} %")
    table.add_column("cell")
    for name in ("blocks", "A", "B", "B / A", "95 % interval", "verdict"):
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
    order = [SLOWER, INCONCLUSIVE, FASTER]
    for row in sorted(rows, key=lambda r: (order.index(r.verdict) if r.verdict in order else 9)):
        n = f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a} / {row.n_b}"
        interval = f"{row.ci_low:.3f}..{row.ci_high:.3f}" if row.ci_low and row.ci_high else "-"
        style = STYLES.get(row.verdict, "")
        table.add_row(escape(_name(row, figures)), n, _number(row.median_a), _number(row.median_b),
                      f"{row.ratio:.4f}" if row.ratio else "-", interval,
                      f"[{style}]{row.verdict}[/]" if style else row.verdict)
    console.print(f"A: {a.name}\nB: {b.name}", markup=False, soft_wrap=True)
    console.print(table)
    said = [*_reasons(rows, figures), *_raised(rows, figures, margin), *(f"note: {note}" for note in notes)]
    for line in [*said, summary(rows)]:
        console.print(line, markup=False, soft_wrap=True)


def _name(row: Row, figures: Collection[str]) -> str:
    """The cell in words."""
    parts = [cell_name(row.pair.columns)]
    parts += [row.pair.switch] if row.pair.switch else []
    return " ".join([*parts, *([row.pair.metric] if len(figures) > 1 else [])])


def _reasons(rows: Sequence[Row], figures: Collection[str]) -> list[str]:
    """What is to say of verdicts, each thing once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            found.setdefault(f"{row.verdict}: {row.reason}{_more(row)}", []).append(_name(row, figures))
    return [f"{said} ({names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''})"
            for said, names in found.items()]


def _raised(rows: Sequence[Row], figures: Collection[str], margin: float) -> list[str]:
    """Where the margin is not the one that was asked for."""
    found: dict[float, list[str]] = {}
    for row in rows:
        if row.margin > margin:
            found.setdefault(row.margin, []).append(_name(row, figures))
    return [f"margin raised to {100 * wider:.3g} %: the width of the search, below which it tells nothing ({names[0]}"
            f"{f' and {len(names) - 1} more' if len(names) > 1 else ''})" for wider, names in sorted(found.items())]


def _more(row: Row) -> str:
    if row.verdict != INCONCLUSIVE or row.ratio is None or row.more_blocks is None and "anchor" in row.reason:
        return ""
    many = "over " + str(MORE_MAX) if row.more_blocks is None else f"some {row.more_blocks}"
    return f"; {many} more blocks would probably tell"


def summary(rows: Sequence[Row]) -> str:
    """How many rows have which verdict."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.verdict] = counts.get(row.verdict, 0) + 1
    return "B is: " + ", ".join(f"{verdict} in {count}" for verdict, count in sorted(counts.items()))


def _number(value: float | None) -> str:
    """Four digits, with k for thousand and M for million."""
    if value is None:
        return "-"
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {unit}"
    return f"{value:.4g}"
