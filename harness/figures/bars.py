# SPDX-License-Identifier: BSD-3-Clause
"""One figure of every cell by frame size and topology: rows of results.csv to a chart of panels, groups and bars. Pure.

Values are in the unit of the Measure, as rates in Mpps (1e6 frames per second, per direction); frame sizes are bytes
with the 4-byte FCS.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from harness.figures.reading import FigureError, NotDrawn, Row, clean, number, whole
from harness.topology import DIRECTIONS, GUESTS, TOPOLOGIES, way

MAX_SWITCHES = 20
MAX_PANELS = 60
MAX_PPS = 1e12      # more than any wire there is: such a number is a damaged one
BOUND = "testpmd"           # as plain vhost patch panel: the practical upper bound of a machine
MARKS = (                   # flag, mark, what the footer says
    ("oversubscribed", "*", "oversubscribed: pollers shared a core"),
    ("tcg", "\N{DAGGER}", "TCG: the guest's CPU was emulated, without KVM"),
    ("generator_limited", "\N{DOUBLE DAGGER}", "generator-limited: the switch may do more"),
    ("lower_bound", ">", "lower bound: near the tester's own ceiling"),
    ("not_saturated", "<", "upper bound: the switch had time to spare"),
    ("capped", "\N{GREATER-THAN OR EQUAL TO}", "capped: the highest load that could be offered was carried"),
    ("irregular", "?", "irregular: the search did not find both of its bounds"),
    ("unstable", "~", "unstable: the machine disturbed the measurement"),
    ("suspect", "\N{LOZENGE}", "suspect: the machine was another one in a block that counts"),
)
ABSENT = (
    ("n/a", "n/a: the switch cannot do this."),
    ("failed", "failed: tried, without a result."),
    ("invalid", "invalid (outline): the trials did not pass their checks."),
    ("missing", "missing: no row in results.csv."),
)
GUEST_TEXT = {"none": "no guest", "": "no guest", "process": "process guest", "qemu": "QEMU guest"}
# Splits panels, where one bar would otherwise have several values.
SPLIT = ("accel", "port_kind", "nf", "flows", "idle", "variant")
CEILING_SEEN = 1.8          # a ceiling up to so many times above the highest bar is within the axis
SHARE = 2.5                 # panels share a y scale when their maxima are within this factor


class Measure(NamedTuple):
    """What the bars show: a metric of results.csv in one of `units`, times `scale` in `label`. `says` opens the footer.
    """

    metric: str
    units: tuple[str, ...]
    what: str                   # one value in words, for errors
    scale: float
    label: str
    says: str
    is_rate: bool = True        # per direction, and more is better: testpmd and the tester's ceiling bound it
    has_one_shot: bool = False  # the interval is of one search, not of repeated trials


class Bar(NamedTuple):
    """One bar, in the unit of the chart; value is None unless drawn is "ok" or "invalid".

    drawn: "ok", "invalid", "failed", "n/a" (unsupported) or "missing" (no row).
    marks: characters of MARKS, empty where the whole panel bears them.
    """

    switch: str
    frame_bytes: int
    value: float | None
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
    y_max: float
    y_step: float
    zoom: float                 # how much finer the y axis is than the coarsest one; 1 where it is that one
    ceilings: tuple[tuple[int, float], ...] = ()    # frame size, the tester's own rate on such ports


class Chart(NamedTuple):
    switches: tuple[str, ...]
    panels: tuple[Panel, ...]
    run_ids: tuple[str, ...]
    warnings: tuple[str, ...]
    measure: Measure
    by_blocks: bool = False     # n counts blocks, not trials


class _Point(NamedTuple):
    row: Row
    setup: tuple[str, int, str, str]        # topology, chain_length, guest, direction
    switch: str
    frame_bytes: int
    value: float | None
    low: float | None
    high: float | None
    drawn: str
    flags: frozenset[str]
    n: int | None


Ceiling = Callable[[str, str, int], float | None]       # of port kind, direction, frame size; in pps


def pivot(rows: Sequence[Row], measure: Measure, ceiling: Ceiling | None = None, by_blocks: bool = False) -> Chart:
    """Arrange the rows of the measure: a panel per setup (topology, chain length, guest, direction), in it a group per
    frame size, in it a bar per switch of the whole chart (testpmd first, null last, others by name).

    Where one bar would have several values since a column of SPLIT varies, panels are split by that column.
    What is still double is the last row of an append-only file, with a warning. Raises NotDrawn when nothing is left to
    draw, FigureError when there is more than fits.
    """
    warnings: list[str] = []
    points = [point for row in rows if (point := _point(row, measure, warnings))]
    if not points:
        raise NotDrawn(f"results.csv has no readable row of metric {measure.metric}"
                          + (f" ({warnings[0]})" if warnings else "; did the scenario measure it?"))
    switches = sorted({p.switch for p in points},
                      key=lambda name: (name != BOUND, name == "null", by_number(name), name))
    if len(switches) > MAX_SWITCHES:
        raise FigureError(f"results.csv has {len(switches)} switches, a figure holds {MAX_SWITCHES}: draw a run with "
                          "fewer of them")
    split = _split_columns(points)
    setups = _group(points, split, warnings)
    if len(setups) > MAX_PANELS:
        raise FigureError(f"results.csv has {len(setups)} setups, a figure holds {MAX_PANELS}: draw a run with fewer "
                          "of them")
    order = sorted(setups, key=lambda key: (_setup_order(key[0]), [by_number(v) for v in key[1]]))
    ceilings = [_ceilings(setups[key].values(), ceiling) if measure.is_rate and ceiling else () for key in order]
    peaks = [max((p.high if p.high is not None else p.value for p in setups[key].values() if p.value is not None),
                 default=0.0) for key in order]
    peaks = [max([peak, *(rate for _, rate in of if rate <= peak * CEILING_SEEN)]) for peak, of in zip(peaks, ceilings)]
    chains = {(topology, chain) for topology, chain, _, _ in (key[0] for key in order)}
    panels = []
    for index, (key, (y_max, y_step, zoom)) in enumerate(zip(order, scales(peaks))):
        bars, marks = _bars(switches, setups[key])
        title, subtitle = _titles(key[0], list(setups[key].values()), chains)
        if 1 < len(order) <= 26:
            title = f"({chr(ord('a') + index)}) {title}"
        extra = ", ".join(split_text(c, v) for c, v in zip(split, key[1]) if c != "accel" or v not in ("kvm", "tcg"))
        frames = tuple(sorted({p.frame_bytes for p in setups[key].values()}))
        panels.append(Panel(title, subtitle, extra, marks, key[0][3] == "two-way", frames, bars, y_max, y_step, zoom,
                            ceilings[index]))
    run_ids = tuple(dict.fromkeys(p.row["run_id"] for p in points))
    return Chart(tuple(switches), tuple(panels), run_ids, tuple(warnings), measure, by_blocks)


def _ceilings(points: Iterable[_Point], ceiling: Ceiling) -> tuple[tuple[int, float], ...]:
    """Of each frame size the tester's own rate. In p2p only, where the generator does what it did when it was
    calibrated; elsewhere guests share the work. Only where all bars of the group have one kind of port."""
    kinds: dict[tuple[int, str], set[str]] = {}
    for p in points:
        if p.setup[0] == "p2p" and p.value is not None:
            kinds.setdefault((p.frame_bytes, p.setup[3]), set()).add(p.row["port_kind"])
    found = [(frame, ceiling(kind, direction, frame)) for (frame, direction), of in sorted(kinds.items())
             if len(of) == 1 for kind in of]
    return tuple((frame, rate / 1e6) for frame, rate in found if rate)


def _point(row: Row, measure: Measure, warnings: list[str]) -> _Point | None:
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
    shown = low = high = None
    if drawn in ("ok", "invalid"):
        value = number(row["value"])
        if row["unit"] not in measure.units:
            return left_out(f"unit is {clean(row['unit'])!r}, not {measure.units[-1]}")
        if value is None or not 0 <= value <= MAX_PPS:
            if drawn == "ok":
                return left_out(f"value is {clean(row['value'])!r}, not {measure.what}")
        else:
            shown = value * measure.scale
            low, high = _interval(row, value, measure.scale, warnings)
    flags = {flag.strip() for flag in row["flags"].split(";")} - {""}
    if row["accel"] == "tcg":
        flags.add("tcg")
    setup = (row["topology"], chain_length, row["guest"], row["direction"])
    return _Point(row, setup, row["switch"], frame_bytes, shown, low, high, drawn, frozenset(flags), whole(row["n"]))


def _interval(row: Row, value: float, scale: float, warnings: list[str]) -> tuple[float | None, float | None]:
    """ci_low and ci_high times scale; two Nones where they are empty or, with a warning, do not enclose the value."""
    if not row["ci_low"] and not row["ci_high"]:
        return None, None
    low, high = number(row["ci_low"]), number(row["ci_high"])
    if low is None or high is None or not 0 <= low <= value <= high <= MAX_PPS:
        warnings.append(f"results.csv line {row.line}: ci_low and ci_high do not enclose the value; drawn without "
                        "whiskers")
        return None, None
    return low * scale, high * scale


def _split_columns(points: Sequence[_Point]) -> list[str]:
    """The columns of SPLIT in which two values of one bar differ, as few as tell them apart."""
    split: list[str] = []
    for column in SPLIT:
        seen: dict[tuple, str] = {}
        for p in points:
            key = (p.setup, p.switch, p.frame_bytes, *(p.row.get(c) for c in split))
            if p.value is not None and seen.setdefault(key, p.row.get(column)) != p.row.get(column):
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
        return p.setup, tuple(p.row.get(c) for c in split)

    panels: dict[_Key, dict[tuple[str, int], _Point]] = {key(p): {} for p in points if p.value is not None}
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


def by_number(text: str) -> tuple[tuple[str, int], ...]:
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
    return title, ", ".join(filter(None, (clean(way(topology, direction), 12), text)))


def split_text(column: str, value: str) -> str:
    value = clean(value, 24) or {"idle": "auto", "variant": "usual ports"}.get(column, "-")
    said = {"flows": f"{value} flow{'s'[:value != '1']}", "nf": f"nf {value}", "idle": f"idle {value}"}
    return said.get(column, value)


def _bars(switches: Sequence[str], points: dict[tuple[str, int], _Point]) -> tuple[tuple[Bar, ...], str]:
    """The bars of a panel, and the marks that all its bars share (which the single bars then do not repeat)."""
    tried = [p for p in points.values() if p.value is not None] or [p for p in points.values() if p.drawn != "n/a"]
    shared = {flag for flag, _, _ in MARKS if tried and all(flag in p.flags for p in tried)}
    bars = []
    for frame_bytes in sorted({frame for _, frame in points}):
        for switch in switches:
            p = points.get((switch, frame_bytes))
            if p is None:
                bars.append(Bar(switch, frame_bytes, None, None, None, "missing", "", None))
                continue
            marks = "".join(mark for flag, mark, _ in MARKS if flag in p.flags and flag not in shared)
            bars.append(Bar(switch, frame_bytes, p.value, p.low, p.high, p.drawn, marks, p.n))
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
