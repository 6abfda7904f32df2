# SPDX-License-Identifier: BSD-3-Clause
"""A sheet: panels with axes, a legend of switches above, notes below, and tables that the figure's own .gp draws into
the panels. Laid out here and written as the .dat that plots/page.gp reads. Pure. Lengths are points, y from the top.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.figures.reading import clean
from harness.figures.text import (COLUMN_PT, LABEL_PT, SMALL_PT, TEXT_PT, TITLE_PT, block, fit, legend_places,
                                  text_width, wrap)

TICS_PT = 25.0          # left of a panel: the texts of its y axis
AXIS_PT = 9.0           # left of that: the title of the y axis
GAP_PT = 7.0
BOLD = 1.1              # how much wider bold text is


class Axis(NamedTuple):
    """tics: (where, text). grid: a line across the panel at each of them."""

    low: float
    high: float
    tics: tuple[tuple[float, str], ...]
    log: bool = False
    grid: bool = True


class Panel(NamedTuple):
    """note: a line of text in the panel's upper left corner."""

    title: str
    subtitle: str
    x: Axis
    y: Axis
    extra: str = ""
    height: float = 84.0


class Table(NamedTuple):
    """Data of a .gp. The first two columns are panel and series, numbered from 1."""

    name: str
    columns: str
    rows: Sequence[Sequence[Any]]


class Sheet(NamedTuple):
    """One page. columns: how many panels beside each other at most. left, right: room beside each panel for texts."""

    panels: tuple[Panel, ...]
    series: tuple[str, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    x_label: str
    y_label: str
    columns: int = 3
    left: float = TICS_PT
    right: float = 0.0
    legend: bool = True
    narrow: bool = True         # a single panel is as wide as one column of a paper
    balanced: bool = True       # fewer columns where the last row would be short otherwise


def split_pages(count: int, most: int) -> list[range]:
    """Panels of each page: as few pages as hold `most` each."""
    pages = max(1, math.ceil(count / most))
    return [range(i * most, min(count, (i + 1) * most)) for i in range(pages)]


def dat(sheet: Sheet) -> str:
    """The blocks that plots/page.gp reads, and behind them the sheet's own tables."""
    columns = max(1, min(sheet.columns, len(sheet.panels)))
    if sheet.balanced:
        columns = math.ceil(len(sheet.panels) / math.ceil(len(sheet.panels) / columns))
    width = COLUMN_PT if columns == 1 and sheet.narrow else TEXT_PT
    axis = AXIS_PT if sheet.y_label else 2.0
    plot = (width - axis - 3.0) / columns - sheet.left - sheet.right - GAP_PT
    legend, y = _legend(sheet, width) if sheet.legend else ([], 2.0)
    panels, tics = [], []
    header = 34.0 if any(p.extra for p in sheet.panels) else 25.0 if any(p.title for p in sheet.panels) else 4.0
    row_height = 0.0
    for i, panel in enumerate(sheet.panels):
        row, column = divmod(i, columns)
        if column == 0:
            y += row_height
            row_height = header + max(p.height for p in sheet.panels[i:i + columns]) + 15.0
        left = axis + column * (plot + sheet.left + sheet.right + GAP_PT) + sheet.left
        title = f"({_letter(i)}) {panel.title}" if len(sheet.panels) > 1 else panel.title
        room = plot + sheet.right + 10
        panels.append((i + 1, left, y + header, plot, panel.height, panel.x.low, panel.x.high, panel.x.log,
                       panel.y.low, panel.y.high, panel.y.log, sheet.y_label if column == 0 else "",
                       fit(title, room, TITLE_PT * BOLD), fit(panel.subtitle, room, LABEL_PT),
                       fit(panel.extra, room, SMALL_PT)))
        for name, ax in (("x", panel.x), ("y", panel.y)):
            tics += [(i + 1, name, at, fit(text, sheet.left, LABEL_PT) if name == "y" else text, ax.grid)
                     for at, text in ax.tics]
    y += row_height + 3
    texts: list[tuple[float, float, str, str]] = []
    if sheet.x_label:
        texts.append(((width + axis + sheet.left - sheet.right) / 2, y, sheet.x_label, "axis"))
        y += 11
    for line in wrap(sheet.notes, width - 10, SMALL_PT):
        texts.append((5.0, y, line, "note"))
        y += 8
    series = [(s, clean(name), x, middle) for s, (name, (x, middle)) in
              enumerate(zip(sheet.series, legend or [(0.0, 0.0)] * len(sheet.series)), 1)]
    return "\n\n".join([
        block("figure", "width_pt height_pt series panels legend",
              [(width, y, len(sheet.series), len(sheet.panels), sheet.legend)]),
        block("series", "series name left_pt middle_pt", series),
        block("panels", "panel left_pt top_pt width_pt height_pt x_low x_high x_log y_low y_high y_log y_label title "
              "subtitle extra", panels),
        block("tics", "panel axis at text grid", tics),
        block("texts", "x_pt y_pt text kind", texts),
        *(block(t.name, t.columns, t.rows or [(0, 0) + (None,) * (len(t.columns.split()) - 2)]) for t in sheet.tables),
    ])


def _letter(index: int) -> str:
    """a ... z, aa, ab ..."""
    return ("" if index < 26 else chr(ord("a") + index // 26 - 1)) + chr(ord("a") + index % 26)


def _legend(sheet: Sheet, width: float) -> tuple[list[tuple[float, float]], float]:
    """Left and middle of each series' entry; and where the legend ends."""
    places, last = legend_places([text_width(clean(name), TITLE_PT) + 18 for name in sheet.series], width)
    return places, last + 6


# ---- axes ----------------------------------------------------------------------------------------------------------

def nice_step(span: float, most: int = 6) -> float:
    """A round distance of tics, so that at most `most` of them fit in `span`."""
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return float(f"{next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999) * power:.6g}")


def linear(low: float, high: float, most: int = 6, grid: bool = True) -> Axis:
    """A linear axis from low to high with round tics."""
    if not high - low > 1e-30:          # nothing that was measured
        high = low + 1.0
    step = nice_step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    tics = tuple((float(f"{i * step:.9g}"), f"{i * step:.6g}".replace("-", "\N{MINUS SIGN}"))
                 for i in range(first, math.floor(high / step + 1e-9) + 1))
    return Axis(low, high, tics, grid=grid)


def logarithmic(low: float, high: float, text: Any = None) -> Axis:
    """A logarithmic axis over whole decades that hold low and high, a tic at each (or at every second,
    third ... from 1 on)."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    every = math.ceil((last - first) / 6)
    name = text or plain_power
    tics = tuple((10.0 ** e, name(e)) for e in range(first, last + 1) if e % every == 0)
    return Axis(10.0 ** first, 10.0 ** last, tics, True)


def plain_power(exponent: int) -> str:
    """1, 10, 100, 1k, 10k; 0.1, 0.01."""
    if 0 <= exponent <= 8:
        unit = ("", "k", "M")[exponent // 3]
        return f"{10 ** (exponent % 3)}{unit}"
    return power(exponent) if abs(exponent) > 3 else f"{10.0 ** exponent:g}"


def power(exponent: int) -> str:
    """10⁻³, with superscript digits, since gnuplot's text markup is off."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def categories(names: Sequence[str], grid: bool = False) -> Axis:
    """An axis of names at 1, 2, ..."""
    return Axis(0.5, len(names) + 0.5, tuple((float(i), name) for i, name in enumerate(names, 1)), grid=grid)
