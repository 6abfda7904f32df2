# SPDX-License-Identifier: BSD-3-Clause
"""What a benchmark of ourselves says: rows of a value against its bar, as lines for people and as CSV. Pure.

A ratio is taken in each round, between two tools that were measured one right after the other, and the median of the
rounds' ratios is the value: what the machine does to both of them in a round falls out.
"""

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = ("figure", "what", "value", "unit", "bar", "verdict", "reason", "n", "low", "high", "ours", "rival", "at")
MET, MISSED, NOT_MEASURED, FAILED, NO_BAR = "met", "missed", "n/a", "failed", "info"
BAD = (MISSED, FAILED)


@dataclass(frozen=True)
class Bar:
    """What a value must reach: `limit` at least (`>=`), or at most (`<=`), or less than (`<`)."""

    relation: str
    limit: float

    def holds(self, value: float) -> bool:
        return {">=": value >= self.limit, "<=": value <= self.limit, "<": value < self.limit}[self.relation]

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


def at_least(limit: float) -> Bar:
    return Bar(">=", limit)


def at_most(limit: float) -> Bar:
    return Bar("<=", limit)


def below(limit: float) -> Bar:
    return Bar("<", limit)


@dataclass(frozen=True)
class Row:
    """One line. `n` values lie behind `value`, between `low` and `high`; `ours` and `rival` are the medians that a
    ratio compares, in the unit that `what` names; `at` is the place on a curve. None where there is no such number."""

    figure: int
    what: str
    value: float | None
    unit: str
    bar: Bar | None
    verdict: str
    reason: str = ""
    n: int = 0
    low: float | None = None
    high: float | None = None
    ours: float | None = None
    rival: float | None = None
    at: float | None = None

    @property
    def bad(self) -> bool:
        return self.verdict in BAD


def row(figure: int, what: str, values: Sequence[float], unit: str, bar: Bar | None = None, note: str = "",
        at: float | None = None) -> Row:
    """A row of the median of some values, judged by its bar."""
    if not values:
        return absent(figure, what, unit, bar, note or "nothing was measured")
    value = statistics.median(values)
    verdict = NO_BAR if bar is None else MET if bar.holds(value) else MISSED
    return Row(figure, what, value, unit, bar, verdict, note, len(values), min(values), max(values), at=at)


def ratio(figure: int, what: str, ours: Sequence[float], rival: Sequence[float], bar: Bar | None,
          note: str = "") -> Row:
    """A row of ours / rival, by round: ours[i] and rival[i] are of round i."""
    assert len(ours) == len(rival), (ours, rival)
    if any(value <= 0 for value in rival):
        return Row(figure, what, None, "ratio", bar, FAILED, "the rival did nothing in a round", len(rival))
    made = row(figure, what, [a / b for a, b in zip(ours, rival)], "ratio", bar, note)
    if not ours:
        return made
    return Row(**{**vars(made), "ours": statistics.median(ours), "rival": statistics.median(rival)})


def absent(figure: int, what: str, unit: str, bar: Bar | None, reason: str) -> Row:
    """A row that cannot be measured here, and why."""
    return Row(figure, what, None, unit, bar, NOT_MEASURED, reason)


def failed(figure: int, what: str, reason: str) -> Row:
    """A figure that went wrong."""
    return Row(figure, what, None, "", None, FAILED, reason)


def status(rows: Iterable[Row]) -> int:
    """Exit status: 1 if a bar is missed or something failed. What cannot be measured here fails nobody."""
    return 1 if any(r.bad for r in rows) else 0


def number(value: float | None) -> str:
    """Four digits are more than such a benchmark can promise."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10000 else f"{value:.4g}"


def line(r: Row) -> str:
    """For people: figure, what, value, unit, bar, verdict; then what lies behind it."""
    bar = str(r.bar or "no bar")
    text = f"{r.figure} {r.what:70} {number(r.value):>9} {r.unit:12} {bar:9} {r.verdict}"
    if r.verdict in (NOT_MEASURED, FAILED):
        return f"{text} ({r.reason})"
    behind = [f"{number(r.low)}..{number(r.high)}, n={r.n}"] if r.n > 1 else []
    if r.rival is not None:
        behind.append(f"{number(r.ours)} : {number(r.rival)}")
    return text + (f"  [{'; '.join(behind)}]" if behind else "") + (f"  {r.reason}" if r.reason else "")


def as_json(r: Row) -> dict[str, Any]:
    """The columns of the CSV as an object; null where there is no number."""
    return {c: str(cell) if isinstance(cell, Bar) else cell for c, cell in ((c, getattr(r, c)) for c in COLUMNS)}


def to_csv(rows: Iterable[Row]) -> str:
    """The same rows as CSV (RFC 4180) with a header row; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for r in rows:
        writer.writerow(["" if cell is None else f"{cell:.9g}" if isinstance(cell, float) else cell
                         for cell in (getattr(r, column) for column in COLUMNS)])
    return out.getvalue()
