# SPDX-License-Identifier: BSD-3-Clause
"""Figures: results.csv of a run -> figures/<name>.{pdf,png,svg}, drawn by gnuplot.

    draw(run_dir) -> the files written

Two halves. The pure one turns the text of results.csv into the text of `<name>.dat`, the small table that
`plots/<name>.gp` draws: read_results() -> rows, pivot() -> Chart, layout() -> Page, throughput_dat() -> text.
The other one, draw(), reads, writes and starts gnuplot, and nothing else.

A next figure is one `plots/<name>.gp` plus one entry of FIGURES (its name, the columns it reads, and a function from
rows to the text of its .dat).

Units: rates are pps in results.csv and Mpps (1e6 frames per second, per direction) in the chart and the .dat; frame
sizes are bytes with the 4-byte FCS; lengths on the page are points (1/72 inch), y from the top.

results.csv is not trusted. Numbers are parsed here and written anew; names reach gnuplot only as quoted fields of a
data file, never as gnuplot code, and its terminals run with text markup off. A row that cannot be read is left out and
named in a warning; the place of its bar then says "missing".
"""

import csv
import io
import math
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

PLOTS = Path(__file__).resolve().parent.parent / "plots"
FORMATS = ("pdf", "png", "svg")
GNUPLOT_TIMEOUT_S = 60
MAX_SWITCHES = 20
MAX_PANELS = 60
MAX_PPS = 1e12      # more than any wire there is: such a number is a damaged one


class FigureError(Exception):
    """A figure cannot be drawn. str() is one line for people: what failed, where, what to try."""


# ---- reading results.csv (pure) ----------------------------------------------------------------------------------

class Row(NamedTuple):
    """One record of results.csv: its line number (1 is the header) and its fields by column name."""

    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column].strip()


class Results(NamedTuple):
    rows: list[Row]
    warnings: list[str]     # one line each, naming the row that was left out


def read_results(text: str, columns: Sequence[str]) -> Results:
    """Parse RFC 4180 text with a header row. Columns may come in any order and more may follow.

    A record with another number of fields than the header, and a last record without a line end, may be cut off: it is
    left out and named. Raises FigureError when the text is empty, one of `columns` is missing or comes twice.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    warnings: list[str] = []
    last_whole = text.endswith(("\n", "\r"))
    total = len(text.splitlines())
    while True:
        first_line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            warnings.append(f"results.csv line {first_line}: not CSV ({error}); left out")
            continue
        if not record:
            continue
        if header is None:
            header = [name.strip() for name in record]
            _check_header(header, columns)
        elif len(record) != len(header):
            warnings.append(f"results.csv line {first_line}: cut off or damaged, {len(record)} fields where the header "
                            f"has {len(header)}; left out")
        elif reader.line_num >= total and not last_whole:
            warnings.append(f"results.csv line {first_line}: the last line has no line end, so it may be cut off; "
                            "left out")
        else:
            rows.append(Row(first_line, dict(zip(header, record))))
    if header is None:
        raise FigureError("results.csv is empty: the run wrote nothing; look at its logs/ and run it again")
    return Results(rows, warnings)


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise FigureError(f"results.csv lacks the column{'s'[:len(missing) > 1]} {', '.join(missing)}: is it the "
                          "results.csv of a run, and of this schema_version?")
    double = [name for name in columns if header.count(name) > 1]
    if double:
        raise FigureError(f"results.csv has the column {double[0]} twice: which one is meant cannot be told")


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def number(text: str) -> float | None:
    """A finite decimal number, or None. Not nan, inf, 1_000 or 0x10."""
    text = text.strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def whole(text: str) -> int | None:
    """A number of at most nine digits, without sign, or None."""
    text = text.strip()
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def clean(text: str, limit: int = 40) -> str:
    """A name as it is shown: one line, no control or invisible characters, at most `limit` characters."""
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c
                    for c in text.strip())
    return shown if len(shown) <= limit else shown[:limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


# ---- the chart: panels, groups, bars (pure) ----------------------------------------------------------------------

BOUND = "testpmd"           # as plain vhost patch panel: the practical upper bound of a machine
METRIC = "rplus_pps"
UNITS = ("", "pps", "frames/s", "packets/s")
MARKS = (                   # flag, mark, what the footer says
    ("oversubscribed", "*", "oversubscribed: pollers shared a core"),
    ("tcg", "\N{DAGGER}", "TCG: the guest's CPU was emulated, without KVM"),
    ("generator_limited", "\N{DOUBLE DAGGER}", "generator-limited: the switch may do more"),
)
ABSENT = (
    ("n/a", "n/a: the switch cannot do this."),
    ("failed", "failed: tried, without a result."),
    ("invalid", "invalid (outline): the trials did not pass their checks."),
    ("missing", "missing: no row in results.csv."),
)
TOPOLOGIES = ("p2p", "p2v", "v2v", "loopback")
GUESTS = ("none", "process", "qemu")
GUEST_TEXT = {"none": "no guest", "": "no guest", "process": "process guest", "qemu": "QEMU guest"}
DIRECTIONS = ("one-way", "two-way")
SPLIT = ("accel", "port_kind", "nf", "flows")       # splits panels, where one bar would otherwise have several values
SHARE = 2.5                 # panels share a y scale when their maxima are within this factor

THROUGHPUT_COLUMNS = ("run_id", "switch", "topology", "guest", "chain_length", "direction", "frame_bytes", "metric",
                      "value", "ci_low", "ci_high", "unit", "n", "status", "flags") + SPLIT


class Bar(NamedTuple):
    """One bar. Rates in Mpps per direction; mpps is None unless drawn is "ok" or "invalid".

    drawn: "ok", "invalid", "failed", "n/a" (unsupported) or "missing" (no row).
    marks: characters of MARKS, empty where the whole panel bears them.
    """

    switch: str
    frame_bytes: int
    mpps: float | None
    low: float | None
    high: float | None
    drawn: str
    marks: str
    n: int | None


class Panel(NamedTuple):
    title: str
    subtitle: str
    extra: str
    marks: str                  # characters of MARKS that hold for every bar
    two_way: bool
    frames: tuple[int, ...]
    bars: tuple[Bar, ...]       # frame by frame, and in each the switches in the order of the chart
    y_max: float                # Mpps
    y_step: float
    zoom: float                 # how much finer the y axis is than the coarsest one; 1 where it is that one


class Chart(NamedTuple):
    switches: tuple[str, ...]
    panels: tuple[Panel, ...]
    run_ids: tuple[str, ...]
    warnings: tuple[str, ...]


class _Point(NamedTuple):
    row: Row
    setup: tuple[str, int, str, str]        # topology, chain_length, guest, direction
    switch: str
    frame_bytes: int
    mpps: float | None
    low: float | None
    high: float | None
    drawn: str
    flags: frozenset[str]
    n: int | None


def pivot(rows: Sequence[Row]) -> Chart:
    """Arrange the rplus_pps rows: a panel per setup (topology, chain length, guest, direction), in it a group per frame
    size, in it a bar per switch of the whole chart (testpmd first, null last, others by name).

    Where one bar would have several values since accel, port_kind, nf or flows vary, panels are split by that column.
    What is still double is the last row of an append-only file, with a warning. Raises FigureError when nothing is left
    to draw or there is more than fits.
    """
    warnings: list[str] = []
    points = [point for row in rows if row["metric"] == METRIC and (point := _point(row, warnings))]
    if not points:
        raise FigureError(f"results.csv has no readable row of metric {METRIC}, so there is no throughput to draw"
                          + (f" ({warnings[0]})" if warnings else "; did the scenario measure it?"))
    switches = sorted({p.switch for p in points},
                      key=lambda name: (name != BOUND, name == "null", _by_number(name), name))
    if len(switches) > MAX_SWITCHES:
        raise FigureError(f"results.csv has {len(switches)} switches, a figure holds {MAX_SWITCHES}: draw a run with "
                          "fewer of them")
    split = _split_columns(points)
    setups = _group(points, split, warnings)
    if len(setups) > MAX_PANELS:
        raise FigureError(f"results.csv has {len(setups)} setups, a figure holds {MAX_PANELS}: draw a run with fewer "
                          "of them")
    order = sorted(setups, key=lambda key: (_setup_order(key[0]), [_by_number(v) for v in key[1]]))
    peaks = [max((p.high if p.high is not None else p.mpps for p in setups[key].values() if p.mpps is not None),
                 default=0.0) for key in order]
    chains = {(topology, chain) for topology, chain, _, _ in (key[0] for key in order)}
    panels = []
    for index, (key, (y_max, y_step, zoom)) in enumerate(zip(order, scales(peaks))):
        bars, marks = _bars(switches, setups[key])
        title, subtitle = _titles(key[0], list(setups[key].values()), chains)
        if 1 < len(order) <= 26:
            title = f"({chr(ord('a') + index)}) {title}"
        extra = ", ".join(_split_text(c, v) for c, v in zip(split, key[1]) if c != "accel" or v not in ("kvm", "tcg"))
        frames = tuple(sorted({p.frame_bytes for p in setups[key].values()}))
        panels.append(Panel(title, subtitle, extra, marks, key[0][3] == "two-way", frames, bars, y_max, y_step, zoom))
    run_ids = tuple(dict.fromkeys(p.row["run_id"] for p in points))
    return Chart(tuple(switches), tuple(panels), run_ids, tuple(warnings))


def _point(row: Row, warnings: list[str]) -> _Point | None:
    """The row as numbers, or None and a warning that names it."""
    def left_out(why: str) -> None:
        warnings.append(f"results.csv line {row.line}: {why}; left out")

    frame_bytes, chain_length = whole(row["frame_bytes"]), whole(row["chain_length"] or "0")
    drawn = {"ok": "ok", "invalid": "invalid", "failed": "failed", "unsupported": "n/a"}.get(row["status"])
    if not row["switch"] or not row["topology"]:
        return left_out("no switch or no topology")
    if not frame_bytes:
        return left_out(f"frame_bytes is {clean(row['frame_bytes'])!r}, not a number of bytes")
    if chain_length is None:
        return left_out(f"chain_length is {clean(row['chain_length'])!r}, not a count")
    if drawn is None:
        return left_out(f"status is {clean(row['status'])!r}, not ok, invalid, unsupported or failed")
    mpps = low = high = None
    if drawn in ("ok", "invalid"):
        value = number(row["value"])
        if row["unit"] not in UNITS:
            return left_out(f"unit is {clean(row['unit'])!r}, not pps")
        if value is None or not 0 <= value <= MAX_PPS:
            if drawn == "ok":
                return left_out(f"value is {clean(row['value'])!r}, not a rate in pps")
        else:
            mpps = value / 1e6
            low, high = _interval(row, value, warnings)
    flags = {flag.strip() for flag in row["flags"].split(";")} - {""}
    if row["accel"] == "tcg":
        flags.add("tcg")
    setup = (row["topology"], chain_length, row["guest"], row["direction"])
    return _Point(row, setup, row["switch"], frame_bytes, mpps, low, high, drawn, frozenset(flags), whole(row["n"]))


def _interval(row: Row, value: float, warnings: list[str]) -> tuple[float | None, float | None]:
    """ci_low and ci_high in Mpps; two Nones where they are empty or, with a warning, do not enclose the value."""
    if not row["ci_low"] and not row["ci_high"]:
        return None, None
    low, high = number(row["ci_low"]), number(row["ci_high"])
    if low is None or high is None or not 0 <= low <= value <= high <= MAX_PPS:
        warnings.append(f"results.csv line {row.line}: ci_low and ci_high do not enclose the value; drawn without "
                        "whiskers")
        return None, None
    return low / 1e6, high / 1e6


def _split_columns(points: Sequence[_Point]) -> list[str]:
    """The columns of SPLIT in which two values of one bar differ, as few as tell them apart."""
    split: list[str] = []
    for column in SPLIT:
        seen: dict[tuple, str] = {}
        for p in points:
            key = (p.setup, p.switch, p.frame_bytes, *(p.row[c] for c in split))
            if p.mpps is not None and seen.setdefault(key, p.row[column]) != p.row[column]:
                split.append(column)
                break
    return split


_Key = tuple[tuple[str, int, str, str], tuple[str, ...]]     # a setup and its values of the split columns


def _group(points: Sequence[_Point], split: Sequence[str],
           warnings: list[str]) -> dict[_Key, dict[tuple[str, int], _Point]]:
    """The points of each panel, by switch and frame size.

    A point without a value may not know its split columns (it failed before they were settled): one that belongs to no
    panel stands in every panel of its setup.
    """
    def key(p: _Point) -> _Key:
        return p.setup, tuple(p.row[c] for c in split)

    panels: dict[_Key, dict[tuple[str, int], _Point]] = {key(p): {} for p in points if p.mpps is not None}
    homeless = []
    for p in points:
        if key(p) not in panels and any(setup == p.setup for setup, _ in panels):
            homeless.append(p)
            continue
        bars = panels.setdefault(key(p), {})
        if before := bars.get((p.switch, p.frame_bytes)):
            warnings.append(f"results.csv lines {before.row.line} and {p.row.line} are of the same bar "
                            f"({clean(p.switch)}, {p.frame_bytes} bytes); the later one is drawn")
        bars[p.switch, p.frame_bytes] = p
    for p in homeless:
        for (setup, _), bars in panels.items():
            if setup == p.setup:
                bars.setdefault((p.switch, p.frame_bytes), p)
    return panels


def _setup_order(setup: tuple[str, int, str, str]) -> tuple:
    def place(known: Sequence[str], value: str) -> tuple[int, str]:
        return (known.index(value), "") if value in known else (len(known), value)

    topology, chain_length, guest, direction = setup
    return place(TOPOLOGIES, topology), chain_length, place(GUESTS, guest), place(DIRECTIONS, direction)


def _by_number(text: str) -> tuple[tuple[str, int], ...]:
    """A sort key that puts ovs-3.5 before ovs-3.10, and 64 before 1024."""
    return tuple((word, whole(digits) or 0) for word, digits in re.findall(r"([^0-9]*)([0-9]*)", text))


def _titles(setup: tuple[str, int, str, str], points: Sequence[_Point],
            chains: set[tuple[str, int]]) -> tuple[str, str]:
    topology, chain_length, guest, direction = setup
    title = clean(topology, 20)
    if topology == "loopback" or sum(name == topology for name, _ in chains) > 1:
        title += f", {chain_length} nf{'s'[:chain_length != 1]}"
    text = GUEST_TEXT.get(guest) or f"{clean(guest, 12)} guest"
    accels = {p.row["accel"] for p in points if p.drawn != "n/a"}
    if len(accels) == 1 and (accel := accels.pop()):
        text = f"{text.removesuffix(' guest')} ({clean(accel, 8).upper()})"
    return title, ", ".join(filter(None, (clean(direction, 12), text)))


def _split_text(column: str, value: str) -> str:
    value = clean(value, 16) or "-"
    return {"flows": f"{value} flow{'s'[:value != '1']}", "nf": f"nf {value}"}.get(column, value)


def _bars(switches: Sequence[str], points: dict[tuple[str, int], _Point]) -> tuple[tuple[Bar, ...], str]:
    """The bars of a panel, and the marks that all its bars share (which the single bars then do not repeat)."""
    tried = [p for p in points.values() if p.mpps is not None] or [p for p in points.values() if p.drawn != "n/a"]
    shared = {flag for flag, _, _ in MARKS if tried and all(flag in p.flags for p in tried)}
    bars = []
    for frame_bytes in sorted({frame for _, frame in points}):
        for switch in switches:
            p = points.get((switch, frame_bytes))
            if p is None:
                bars.append(Bar(switch, frame_bytes, None, None, None, "missing", "", None))
                continue
            marks = "".join(mark for flag, mark, _ in MARKS if flag in p.flags and flag not in shared)
            bars.append(Bar(switch, frame_bytes, p.mpps, p.low, p.high, p.drawn, marks, p.n))
    return tuple(bars), "".join(mark for flag, mark, _ in MARKS if flag in shared)


def scales(peaks: Sequence[float]) -> list[tuple[float, float, float]]:
    """y axes for panels whose highest whiskers are `peaks` (Mpps): (y_max, y_step, zoom) each.

    Panels within a factor SHARE of the highest one share its scale, the rest likewise among themselves, so that heights
    can be compared between as many panels as possible. A panel without values takes the coarsest scale.
    """
    leader: dict[float, float] = {}
    for peak in sorted(set(peaks), reverse=True):
        if peak > 0:
            leaders = list(leader.values())
            leader[peak] = leaders[-1] if leaders and peak * SHARE >= leaders[-1] else peak
    top = max(leader.values(), default=1.0)
    axes = []
    for peak in peaks:
        own = leader.get(peak, top)
        axes.append((float(f"{own * 1.3:.6g}"), _step(own), top / own))
    return axes


def _step(peak: float) -> float:
    """A round distance of tics that gives three to seven of them up to 1.3 peak."""
    raw = peak * 1.3 / 6
    power = 10.0 ** math.floor(math.log10(raw))
    return float(f"{next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999) * power:.6g}")


# ---- the page (pure) ---------------------------------------------------------------------------------------------

COLUMN_PT, TEXT_PT = 240.0, 504.0       # widths of a column and of both columns of a paper (3.34 in and 7.0 in)
TITLE_PT, LABEL_PT, SMALL_PT = 7.5, 7.0, 6.0        # the text sizes of plots/style.gp
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


def text_width(text: str, size: float) -> float:
    """Width of a text in points, estimated on the safe side for DejaVu Sans."""
    def em(c: str) -> float:
        if unicodedata.combining(c):
            return 0.0
        if unicodedata.east_asian_width(c) in "WF":
            return 1.05
        return 0.36 if c in "iIjl|!.,:;'()[] tfr-" else 0.9 if c in "mwMW@%" else 0.72 if c.isupper() else 0.62

    return size * sum(map(em, text))


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
    for line in _wrap(footer_text(chart), width - 10, SMALL_PT):
        footer.append((5.0, y, line))
        y += 8
    return Page(width, y, tuple(places), tuple(legend), axis, tuple(footer))


def legend_text(switch: str) -> str:
    return f"{BOUND} (upper bound)" if switch == BOUND else clean(switch)


def _legend(chart: Chart, width: float) -> tuple[list[tuple[float, float]], float]:
    """Entries side by side in centred lines; returns their places and where the legend ends."""
    entries = [text_width(legend_text(switch), TITLE_PT) + 15 + (7 if switch == BOUND else 0)
               for switch in chart.switches]
    lines: list[list[float]] = [[]]
    for entry in entries:
        if lines[-1] and sum(lines[-1]) + 12 * len(lines[-1]) + entry > width - 16:
            lines.append([])
        lines[-1].append(entry)
    places = []
    for row, line in enumerate(lines):
        x = (width - sum(line) - 12 * (len(line) - 1)) / 2
        for entry in line:
            places.append((x, 8.0 + 11 * row))
            x += entry + 12
    return places, 8.0 + 11 * (len(lines) - 1) + 5


def footer_text(chart: Chart) -> list[str]:
    """What the figure shows, in paragraphs: what is drawn, then only the marks that occur in it."""
    bars = [bar for panel in chart.panels for bar in panel.bars]
    valued = [bar for bar in bars if bar.mpps is not None]
    drawn = {bar.drawn for bar in bars}
    counts = sorted({bar.n for bar in valued if bar.n})
    n = "n unknown" if not counts else f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    shown = [f"Bar: R+, the rate received under saturating load, per direction; median of n trials ({_bound(n)})."]
    if any(panel.two_way for panel in chart.panels):
        shown.append("The total of a two-way panel is the sum of its two directions.")
    extremes, interval = "smallest and largest trial", "95 % confidence interval of the median"
    if any(bar.low is not None for bar in valued):
        if not counts or counts[-1] < 6:
            shown.append(f"Whiskers: {extremes} ({_bound('n < 6')} gives no confidence interval).")
        elif counts[0] >= 6:
            shown.append(f"Whiskers: {interval}.")
        else:
            shown.append(f"Whiskers: {interval}; where {_bound('n < 6')}, {extremes}.")
    if any(bar.switch == BOUND and bar.drawn == "ok" for bar in bars):
        shown.append(f"Dashed: {BOUND} as a plain patch panel, the practical upper bound of this machine.")
    else:
        shown.append(f"No upper bound is drawn: {BOUND} has no valid value here.")
    if any(panel.zoom > 1 for panel in chart.panels):
        shown.append("Tinted: the y axis is zoomed by the factor given; compare heights only between panels of one "
                     "scale.")
    all_marks = "".join(bar.marks for bar in bars) + "".join(panel.marks for panel in chart.panels)
    marks = [_bound(f"{mark} {meaning.split(':')[0]}") + ":" + meaning.split(":")[1] + "."
             for _, mark, meaning in MARKS if mark in all_marks]
    if any(panel.marks for panel in chart.panels):
        marks.append("A mark above a panel is for all its bars.")
    marks += [meaning for name, meaning in ABSENT if name in drawn]
    first = clean(chart.run_ids[0], 60) or "unknown"
    run = _bound(f"Run: {first}") + (f" and {len(chart.run_ids) - 1} more" if len(chart.run_ids) > 1 else "") + "."
    return [" ".join(shown), " ".join([*marks, run])]


def _bound(text: str) -> str:
    """The text with its spaces made unbreakable."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _wrap(paragraphs: Sequence[str], width: float, size: float) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        line = ""
        for word in re.split(r"[ \n]+", paragraph):
            longer = f"{line} {word}".lstrip(" ")
            if line and text_width(longer, size) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


# ---- the .dat (pure) ---------------------------------------------------------------------------------------------

def _field(value: str | float | int | bool | None) -> str:
    """One field of a gnuplot data file. Text is quoted, its quotes and backslashes become escapes; an empty one becomes
    a space, as gnuplot does not keep empty fields apart."""
    if isinstance(value, str):
        return '"' + (clean(value, 400) or " ").replace("\\", "\\\\").replace('"', "\\042") + '"'
    if value is None:
        return "NaN"
    return str(int(value)) if isinstance(value, (bool, int)) else f"{value:.9g}"


def _block(name: str, columns: str, rows: Sequence[Sequence]) -> str:
    lines = [f"# {name}: {columns}"] + ["\t".join(map(_field, row)) for row in rows]
    return "\n".join(lines) + "\n"


def throughput_dat(chart: Chart, page: Page) -> str:
    """The table that plots/throughput.gp draws: six blocks, separated by two empty lines, columns named in each."""
    panels, groups, bars = [], [], []
    two_way = any(panel.two_way for panel in chart.panels)
    for p, (panel, place) in enumerate(zip(chart.panels, page.places), 1):
        unit = ("Mpps per direction" if two_way else "Mpps") if place.first_column else ""
        zoom = f"y zoomed {float(f'{panel.zoom:.2g}'):g}\N{MULTIPLICATION SIGN}" if panel.zoom > 1 else ""
        fit = place.width + 10
        panels.append((p, place.left, place.top, place.width, place.height, len(panel.frames), place.bar_width,
                       panel.y_max, panel.y_step, unit, zoom, _fit(panel.title, fit, TITLE_PT),
                       f"{_fit(panel.subtitle, fit - 10, LABEL_PT)} {panel.marks}".strip(),
                       _fit(panel.extra, fit, LABEL_PT)))
        groups += [(p, g, str(frame)) for g, frame in enumerate(panel.frames, 1)]
        bars += [(p, panel.frames.index(bar.frame_bytes) + 1, chart.switches.index(bar.switch) + 1, bar.frame_bytes,
                  bar.mpps, bar.low, bar.high, bar.drawn, bar.marks, bar.switch == BOUND) for bar in panel.bars]
    switches = [(s, clean(name), legend_text(name), x, y, name == BOUND)
                for s, (name, (x, y)) in enumerate(zip(chart.switches, page.legend), 1)]
    texts = [(*page.axis, "Frame size in bytes, FCS included", "axis")] + [(*line, "note") for line in page.footer]
    return "\n\n".join((
        _block("figure", "width_pt height_pt switches panels",
               [(page.width, page.height, len(chart.switches), len(chart.panels))]),
        _block("switches", "switch name legend_text left_pt middle_pt is_bound", switches),
        _block("panels", "panel left_pt top_pt width_pt height_pt groups bar_width y_max_mpps y_step_mpps y_label zoom "
               "title subtitle extra", panels),
        _block("groups", "panel group frame_bytes", groups),
        _block("bars", "panel group switch frame_bytes rplus_mpps low_mpps high_mpps drawn marks is_bound", bars),
        _block("footer", "x_pt y_pt text kind", texts),
    ))


def _fit(text: str, width: float, size: float) -> str:
    while len(text) > 4 and text_width(text, size) > width:
        text = text[:-2].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return text


# ---- the figures -------------------------------------------------------------------------------------------------

def throughput(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Throughput by frame size and topology, grouped by switch: the text of throughput.dat, and warnings."""
    chart = pivot(rows)
    return throughput_dat(chart, layout(chart)), list(chart.warnings)


class Figure(NamedTuple):
    """name: of plots/<name>.gp and of the files written. columns: what it needs of results.csv.
    prepare: rows -> (the text of <name>.dat, warnings); pure; may raise FigureError."""

    name: str
    columns: tuple[str, ...]
    prepare: Callable[[Sequence[Row]], tuple[str, list[str]]]


FIGURES: tuple[Figure, ...] = (
    Figure("throughput", THROUGHPUT_COLUMNS, throughput),
)


# ---- effects -----------------------------------------------------------------------------------------------------

def warn_stderr(line: str) -> None:
    print(f"figures: {line}", file=sys.stderr)


def draw(run_dir: Path, formats: Sequence[str] = FORMATS, warn: Callable[[str], None] = warn_stderr) -> list[Path]:
    """Draw every figure of FIGURES from run_dir/results.csv into run_dir/figures/.

    Writes <name>.dat, which plots/<name>.gp draws (so a figure can be redrawn without this program), and one file per
    format. Returns their paths, .dat first. Calls warn with one line for each row that was left out. Files of an
    earlier drawing are replaced only by whole new ones. Raises FigureError.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise FigureError(f"figure format {unknown[0]!r} is unknown: there are {', '.join(FORMATS)}")
    source = Path(run_dir) / "results.csv"
    written: list[Path] = []
    try:
        text = source.read_bytes().decode("utf-8-sig", errors="replace")
        folder = Path(run_dir) / "figures"
        for figure in FIGURES:
            try:
                results = read_results(text, figure.columns)
                dat, warnings = figure.prepare(results.rows)
            except FigureError as error:
                raise FigureError(f"{figure.name}: {error} [{source}]") from None
            _say(results.warnings + warnings, warn)
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as scratch:
                written += _draw_one(figure.name, dat, formats, Path(scratch), folder)
    except FileNotFoundError as error:
        raise FigureError(f"{error.filename} does not exist: give the folder of a run, results/<run>") from None
    except OSError as error:
        raise FigureError(f"cannot read or write {error.filename or run_dir}: {error.strerror}") from None
    return written


def _say(warnings: Sequence[str], warn: Callable[[str], None], most: int = 12) -> None:
    for line in warnings[:most]:
        warn(line)
    if len(warnings) > most:
        warn(f"and {len(warnings) - most} more rows like these")


def _draw_one(name: str, dat: str, formats: Sequence[str], scratch: Path, folder: Path) -> list[Path]:
    (scratch / f"{name}.dat").write_text(dat, encoding="utf-8")
    for kind in formats:
        _gnuplot(name, kind, scratch, folder)
    written = []
    for kind in ("dat", *formats):
        target = folder / f"{name}.{kind}"
        os.replace(scratch / f"{name}.{kind}", target)
        written.append(target)
    return written


def _gnuplot(name: str, kind: str, scratch: Path, folder: Path) -> None:
    """Let gnuplot draw scratch/<name>.dat as scratch/<name>.<kind>."""
    script = PLOTS / f"{name}.gp"
    if not script.is_file():
        raise FigureError(f"{script} does not exist: the figure {name} has no drawing")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GNUPLOT", "GNUTERM", "LC_"))}
    env |= {"LC_ALL": "C"}
    try:
        done = subprocess.run(["gnuplot", "-d", "-c", str(script), kind], cwd=scratch, env=env, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=GNUPLOT_TIMEOUT_S)
    except FileNotFoundError:
        raise FigureError("gnuplot is not installed, so no figure can be drawn: install the package "
                          "gnuplot-nox") from None
    except subprocess.TimeoutExpired:
        raise FigureError(f"gnuplot did not finish {name}.{kind} in {GNUPLOT_TIMEOUT_S} s: is the machine "
                          "busy?") from None
    drawing = scratch / f"{name}.{kind}"
    if done.returncode != 0 or not drawing.is_file() or drawing.stat().st_size == 0:
        said = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "it gave no reason")
        kept = folder / f"{name}.dat"
        os.replace(scratch / f"{name}.dat", kept)
        raise FigureError(f"gnuplot could not draw {name}.{kind} ({clean(said, 160)}); to see more: "
                          f"cd {folder} && gnuplot -d -c {script} {kind}")
    if kind == "svg":
        drawing.write_text(finish_svg(drawing.read_text(encoding="utf-8")), encoding="utf-8")


def finish_svg(svg: str) -> str:
    """gnuplot's SVG with fonts named as viewers expect them: bold as a weight, and other families to fall back on."""
    def font(match: re.Match) -> str:
        family, bold = match.group(1), match.group(2)
        return f'font-family="{family}, Verdana, sans-serif"' + (' font-weight="bold"' if bold else "")

    return re.sub(r'(?<=\s)font-family="([A-Za-z ]+)(:Bold)?"(?=\s+font-size="[\d.]+"\s)', font, svg)
