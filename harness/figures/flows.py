# SPDX-License-Identifier: BSD-3-Clause
"""The figure of what flows cost: rows of bench-core.csv -> the text of flows.dat, which plots/flows.gp draws. Pure."""

import csv
import io
import math

from harness.figures.reading import FigureError

FIGURE = "6"
UNITS = ("cycles", "MiB")       # of the two panels
COLUMNS = ("figure", "value", "unit", "low", "high", "at")
NOTHING = "nan"


def flows_dat(text: str) -> str:
    """A line for each number of flows: flows, label, then value, low and high of each panel. Raises FigureError if
    there is nothing to draw."""
    reader = csv.DictReader(io.StringIO(text))
    if lacking := [c for c in COLUMNS if c not in (reader.fieldnames or ())]:
        raise FigureError(f"lacks the columns {', '.join(lacking)}")
    points: dict[int, dict[str, list[str]]] = {}
    for row in reader:
        at = _number(row["at"])
        if row["figure"] == FIGURE and row["unit"] in UNITS and at >= 1 and _number(row["value"]) >= 0:
            numbers = [f"{_number(row[c]):.6g}" for c in ("value", "low", "high")]
            points.setdefault(int(at), {})[row["unit"]] = numbers
    if not points:
        raise FigureError(f"has no row of figure {FIGURE} with a number of flows")
    lines = ["# flows\tlabel\t" + "\t".join(f"{unit}\tlow\thigh" for unit in UNITS)]
    for flows, panels in sorted(points.items()):
        cells = [cell for unit in UNITS for cell in panels.get(unit, [NOTHING] * 3)]
        lines.append("\t".join([str(flows), f'"{label(flows)}"', *cells]))
    return "\n".join(lines) + "\n"


def label(flows: int) -> str:
    """1, 1 k, 64 k (65536), 10 M."""
    for size, prefix in ((1_000_000, "M"), (1_000, "k")):
        if flows >= size:
            exact = flows % size == 0
            return f"{flows // size if exact or flows % 1024 else flows // 1024} {prefix}"
    return str(flows)


def _number(text: str | None) -> float:
    """NaN for what is none."""
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
