# SPDX-License-Identifier: BSD-3-Clause
"""Where the panels, the legend and the footer of a bar chart go on the page, and the .dat that says so to
plots/bars.gp. Pure. Lengths are points (1/72 inch), y from the top.
"""

import math
from typing import NamedTuple

from harness.figures.bars import ABSENT, BOUND, MARKS, Chart
from harness.figures.reading import clean
from harness.figures.text import (COLUMN_PT, LABEL_PT, SMALL_PT, TEXT_PT, TITLE_PT, block, bound, fit,
                                  legend_places, text_width, wrap)

MIN_BAR_PT, MAX_BAR_PT = 4.6, 16.0
MIN_GROUP_PT = 20.0                     # room for "1518"
GROUP_SHARE = 0.86                      # of a group's width that bars may fill
PAGE_LEFT_PT, PAGE_RIGHT_PT = 9.0, 3.0
TICS_PT, GAP_PT = 23.0, 5.0             # beside a panel: the labels of its y axis, and air


class Place(NamedTuple):
    """A panel's plot area, and the width of a bar in units of its x axis (a group is 1)."""

    left: float
    top: float
    width: float
    height: float
    bar_width: float
    first_column: bool


class Page(NamedTuple):
    width: float
    height: float
    places: tuple[Place, ...]
    legend: tuple[tuple[float, float], ...]     # left, middle of each switch's entry
    axis: tuple[float, float]                   # middle of the x axis title
    footer: tuple[tuple[float, float, str], ...]


def layout(chart: Chart) -> Page:
    """Place the panels, the legend above them and the footer below. As many columns as leave each bar MIN_BAR_PT."""
    count = len(chart.panels)
    groups = max(len(panel.frames) for panel in chart.panels)
    slots = len(chart.switches)

    def plot_width(width: float, columns: int) -> float:
        return (width - PAGE_LEFT_PT - PAGE_RIGHT_PT) / columns - TICS_PT - GAP_PT

    def fits(width: float, columns: int) -> bool:
        group = plot_width(width, columns) / groups
        return group >= MIN_GROUP_PT and group * GROUP_SHARE / slots >= MIN_BAR_PT

    if count == 1 and fits(COLUMN_PT, 1):
        width, columns, height = COLUMN_PT, 1, 96.0
    else:
        width, height = TEXT_PT, 80.0
        columns = next((n for n in range(min(4, count), 1, -1) if fits(width, n)), 1)
        columns = math.ceil(count / math.ceil(count / columns))
    legend, y = _legend(chart, width)
    y += 1
    header = 34.0 if any(panel.extra for panel in chart.panels) else 26.0
    plot = plot_width(width, columns)
    places = []
    for index, panel in enumerate(chart.panels):
        row, column = divmod(index, columns)
        left = PAGE_LEFT_PT + column * (plot + TICS_PT + GAP_PT) + TICS_PT
        group = plot / len(panel.frames)
        bar = min(group * GROUP_SHARE / slots, MAX_BAR_PT) / group
        places.append(Place(left, y + header + row * (header + height + 14), plot, height, bar, column == 0))
    y = places[-1].top + height + 18
    axis = ((places[0].left + places[columns - 1].left + plot) / 2, y)
    y += 12
    footer = []
    for line in wrap(footer_text(chart), width - 10, SMALL_PT):
        footer.append((5.0, y, line))
        y += 8
    return Page(width, y, tuple(places), tuple(legend), axis, tuple(footer))


def legend_text(switch: str, has_bound: bool) -> str:
    return f"{BOUND} (upper bound)" if switch == BOUND and has_bound else clean(switch)


def _legend(chart: Chart, width: float) -> tuple[list[tuple[float, float]], float]:
    """Places of the entries, and where the legend ends."""
    places, last = legend_places([text_width(legend_text(switch, chart.measure.is_rate), TITLE_PT) + 15
                                  + (7 if switch == BOUND and chart.measure.is_rate else 0)
                                  for switch in chart.switches], width)
    return places, last + 5


def footer_text(chart: Chart) -> list[str]:
    """What the figure shows, in paragraphs: what is drawn, then only the marks that occur in it."""
    bars = [bar for panel in chart.panels for bar in panel.bars]
    valued = [bar for bar in bars if bar.value is not None]
    drawn = {bar.drawn for bar in bars}
    counts = sorted({bar.n for bar in valued if bar.n})
    n = "n unknown" if not counts else f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    unit = "blocks" if chart.by_blocks else "trials"
    how = f"from n trials of one search ({bound(n)})" if chart.measure.has_one_shot and not chart.by_blocks else (
        f"median of n {unit} ({bound(n)})")
    shown = [f"Bar: {chart.measure.says}; {how}."]
    if chart.measure.is_rate and any(panel.two_way for panel in chart.panels):
        shown.append("The total of a two-way panel is the sum of its two directions.")
    extremes = f"smallest and largest {'block' if chart.by_blocks else 'trial'}"
    interval = "95 % confidence interval of the median"
    if any(bar.low is not None for bar in valued):
        if chart.measure.has_one_shot and not chart.by_blocks:
            shown.append("Whiskers: the lower and upper bound that the search found.")
        elif not counts or counts[-1] < 6:
            shown.append(f"Whiskers: {extremes} ({bound('n < 6')} gives no confidence interval).")
        elif counts[0] >= 6:
            shown.append(f"Whiskers: {interval}.")
        else:
            shown.append(f"Whiskers: {interval}; where {bound('n < 6')}, {extremes}.")
    if not chart.measure.is_rate:
        pass
    elif any(bar.switch == BOUND and bar.drawn == "ok" for bar in bars):
        shown.append(f"Dashed: {BOUND} as a plain patch panel, the practical upper bound of switches in user space.")
    else:
        shown.append(f"No upper bound is drawn: {BOUND} has no valid value here.")
    if any(panel.ceilings for panel in chart.panels):
        shown.append("Dotted: the tester's own ceiling on such ports, with nothing to measure between "
                     "(calibration.json).")
    if any(panel.zoom > 1 for panel in chart.panels):
        shown.append("Tinted: the y axis is zoomed by the factor given; compare heights only between panels of one "
                     "scale.")
    all_marks = "".join(bar.marks for bar in bars) + "".join(panel.marks for panel in chart.panels)
    marks = [bound(f"{mark} {meaning.split(':')[0]}") + ":" + meaning.split(":")[1] + "."
             for _, mark, meaning in MARKS if mark in all_marks]
    if any(panel.marks for panel in chart.panels):
        marks.append("A mark above a panel is for all its bars.")
    marks += [meaning for name, meaning in ABSENT if name in drawn]
    first = clean(chart.run_ids[0], 60) or "unknown"
    run = bound(f"Run: {first}") + (f" and {len(chart.run_ids) - 1} more" if len(chart.run_ids) > 1 else "") + "."
    return [" ".join(shown), " ".join([*marks, run])]


# ---- the .dat (pure) ---------------------------------------------------------------------------------------------

def bars_dat(chart: Chart, page: Page) -> str:
    """The table that plots/bars.gp draws: seven blocks, separated by two empty lines, columns named in each."""
    panels, groups, bars, ceilings = [], [], [], []
    two_way = any(panel.two_way for panel in chart.panels)
    for p, (panel, place) in enumerate(zip(chart.panels, page.places), 1):
        per_direction = " per direction" * (two_way and chart.measure.is_rate)
        unit = chart.measure.label + per_direction if place.first_column else ""
        zoom = f"y zoomed {float(f'{panel.zoom:.2g}'):g}\N{MULTIPLICATION SIGN}" if panel.zoom > 1 else ""
        room = place.width + 10
        panels.append((p, place.left, place.top, place.width, place.height, len(panel.frames), place.bar_width,
                       panel.y_max, panel.y_step, unit, zoom, fit(panel.title, room, TITLE_PT),
                       f"{fit(panel.subtitle, room - 10, LABEL_PT)} {panel.marks}".strip(),
                       fit(panel.extra, room, LABEL_PT)))
        ceilings += [(p, panel.frames.index(frame) + 1, rate, f"ceiling {rate:.3g}" if rate > panel.y_max else "")
                     for frame, rate in panel.ceilings]
        groups += [(p, g, str(frame)) for g, frame in enumerate(panel.frames, 1)]
        bars += [(p, panel.frames.index(bar.frame_bytes) + 1, chart.switches.index(bar.switch) + 1, bar.frame_bytes,
                  bar.value, bar.low, bar.high, bar.drawn, bar.marks,
                  bar.switch == BOUND and chart.measure.is_rate) for bar in panel.bars]
    switches = [(s, clean(name), legend_text(name, chart.measure.is_rate), x, y,
                 name == BOUND and chart.measure.is_rate)
                for s, (name, (x, y)) in enumerate(zip(chart.switches, page.legend), 1)]
    texts = [(*page.axis, "Frame size in bytes, FCS included", "axis")] + [(*line, "note") for line in page.footer]
    return "\n\n".join((
        block("figure", "width_pt height_pt switches panels",
               [(page.width, page.height, len(chart.switches), len(chart.panels))]),
        block("switches", "switch name legend_text left_pt middle_pt is_bound", switches),
        block("panels", "panel left_pt top_pt width_pt height_pt groups bar_width y_max y_step y_label zoom "
               "title subtitle extra", panels),
        block("groups", "panel group frame_bytes", groups),
        block("bars", "panel group switch frame_bytes value low high drawn marks is_bound", bars),
        block("ceilings", "panel group rate text", ceilings or [(0, 0, None, "")]),
        block("footer", "x_pt y_pt text kind", texts),
    ))
