# SPDX-License-Identifier: BSD-3-Clause
"""Cells of a run as figures name and order them: setups, switches, panels and marks. Pure."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from harness.figures.bars import BOUND, GUEST_TEXT, MARKS, SPLIT, by_number, split_text
from harness.figures.reading import Row, clean, whole
from harness.figures.text import bound
from harness.topology import DIRECTIONS, GUESTS, TOPOLOGIES, way

PLACE = ("topology", "chain_length", "guest", "direction", "switch", "frame_bytes", *SPLIT, "traffic")
T = TypeVar("T")


class Place(NamedTuple):
    """Which cell a row is of. frame_bytes and chain_length are -1 where the file has something else there."""

    topology: str
    chain_length: int
    guest: str
    direction: str
    switch: str
    frame_bytes: int            # 0: empty, as of a replayed file
    accel: str
    port_kind: str
    nf: str
    flows: str
    idle: str
    variant: str
    traffic: str

    @property
    def sound(self) -> bool:
        """Nothing of it is damaged."""
        return self.frame_bytes >= 0 and self.chain_length >= 0 and bool(self.switch and self.topology)


def place(row: Row) -> Place:
    """The cell of a row of results.csv or trials.csv."""
    chain, frame = whole(row["chain_length"] or "0"), whole(row["frame_bytes"] or "0")
    return Place(row["topology"], -1 if chain is None else chain, row["guest"], row["direction"], row["switch"],
                 -1 if frame is None else frame, row["accel"], row["port_kind"], row["nf"], row["flows"],
                 row.get("idle"), row.get("variant"), row.get("traffic"))


class Key(NamedTuple):
    """What the cells of one panel share: of every field the value, or None where a panel does not ask for it."""

    topology: str
    chain_length: int | None
    guest: str
    direction: str
    frame_bytes: int | None
    split: tuple[tuple[str, str], ...]      # further columns, where cells differ in them


def belongs(p: Place, key: Key) -> bool:
    """Is the cell one of the panel's? What a row without a value says of accel is nothing."""
    return (p.topology, p.guest, p.direction) == (key.topology, key.guest, key.direction) and (
        key.chain_length in (None, p.chain_length)) and key.frame_bytes in (None, p.frame_bytes) and all(
        getattr(p, column) in ("", value) for column, value in key.split)


def order(key: Key) -> tuple:
    """Sort key of panels: p2p first, longer chains later, one-way before two-way, small frames before large ones."""
    def at(known: Sequence[str], value: str) -> tuple[int, str]:
        return (known.index(value), "") if value in known else (len(known), value)

    return (at(TOPOLOGIES, key.topology), key.chain_length or 0, at(GUESTS, key.guest), at(DIRECTIONS, key.direction),
            key.frame_bytes or 0, [by_number(value) for _, value in key.split])


def switch_order(names: Iterable[str]) -> tuple[str, ...]:
    """testpmd first, null last, others by name, each once."""
    return tuple(sorted(set(names), key=lambda name: (name != BOUND, name == "null", by_number(name), name)))


def grouped(items: Sequence[T], place_of: Callable[[T], Place], has_value: Callable[[T], bool],
            without: Sequence[str] = (), within: Callable[[T], Hashable] = lambda item: None) -> dict[Key, list[T]]:
    """Items by panel, panels in order. A panel is of one setup and frame size; `without` names fields of Key that it
    does not ask for. Columns of SPLIT and `traffic` tell panels apart where otherwise items with a value would fall
    together; items without one (n/a, failed) stand in every panel of their setup then. `within` is what items of one
    cell and panel differ in rightly, such as the load. A key says of `split` only what tells its own setup's panels
    apart.
    """
    def base(p: Place) -> Key:
        return Key(p.topology, None if "chain_length" in without else p.chain_length, p.guest, p.direction,
                   None if "frame_bytes" in without else p.frame_bytes, ())

    def once(item: T, split: Sequence[str]) -> tuple:
        p = place_of(item)
        return (p.topology, p.chain_length, p.guest, p.direction, p.switch, p.frame_bytes, within(item),
                *(getattr(p, c) for c in split))

    valued = [item for item in items if has_value(item)]
    split: list[str] = []
    for column in (*SPLIT, "traffic"):
        seen: dict[tuple, str] = {}
        if column not in without and any(seen.setdefault(once(i, split), getattr(place_of(i), column))
                                         != getattr(place_of(i), column) for i in valued):
            split.append(column)
    panels: dict[Key, list[T]] = {}
    for item in valued:
        p = place_of(item)
        key = base(p)._replace(split=tuple((c, getattr(p, c)) for c in split))
        panels.setdefault(key, []).append(item)
    for item in items:
        if not has_value(item):
            homes = [key for key in panels if key._replace(split=()) == base(place_of(item))]
            for key in homes or [base(place_of(item))]:
                panels.setdefault(key, []).append(item)
    short = {key: key._replace(split=tuple(c for i, c in enumerate(key.split) if len({
        other.split[i] for other in panels if other.split and other._replace(split=()) == key._replace(split=())}) > 1))
        for key in panels}
    return {short[key]: panels[key] for key in sorted(panels, key=order)}


def titles(key: Key, places: Iterable[Place]) -> tuple[str, str]:
    """Title and subtitle of a panel."""
    title = clean(key.topology, 20)
    if key.chain_length is not None and key.topology == "loopback":
        title += f", {key.chain_length} nf{'s'[:key.chain_length != 1]}"
    if key.frame_bytes:
        title += f", {key.frame_bytes} B"
    title += "".join(f", {split_text(column, value)}" for column, value in key.split if column == "flows")
    text = GUEST_TEXT.get(key.guest) or f"{clean(key.guest, 12)} guest"
    accels = {p.accel for p in places} - {""}
    if len(accels) == 1:
        text = f"{text.removesuffix(' guest')} ({clean(accels.pop(), 8).upper()})"
    more = [split_text(column, value) for column, value in key.split if column not in ("accel", "flows")]
    return title, ", ".join(filter(None, (clean(way(key.topology, key.direction), 12), text, *more)))


# ---- marks ---------------------------------------------------------------------------------------------------------

def flags_of(row: Row) -> set[str]:
    """The flags that figures mark."""
    flags = {flag.strip() for flag in row["flags"].split(";")} | ({"tcg"} if row["accel"] == "tcg" else set())
    return {flag for flag, _, _ in MARKS if flag in flags}


def shared(flags: Iterable[set[str]]) -> set[str]:
    """Flags that all have."""
    sets = list(flags)
    return set.intersection(*sets) if sets else set()


def marks(flags: Iterable[str]) -> str:
    """Flags as characters."""
    these = set(flags)
    return "".join(mark for flag, mark, _ in MARKS if flag in these)


def mark_notes(used: Iterable[str], of_panels: bool) -> list[str]:
    """What the footer says of the flags that occur."""
    these = set(used)
    notes = [bound(f"{mark} {text.split(':')[0]}") + ":" + text.split(":")[1] + "."
             for flag, mark, text in MARKS if flag in these]
    return notes + (["A mark above a panel or at its axis is for all there."] if notes and of_panels else [])


def absent_note(items: Iterable[tuple[str, str, str]]) -> str:
    """"n/a: vpp; failed: bess at 64,128", of triples: state, switch, and where it is absent (empty: everywhere)."""
    by_state: dict[str, dict[str, list[str]]] = {}
    for state, switch, at in items:
        ats = by_state.setdefault(state, {}).setdefault(clean(switch), [])
        ats += [at] if at and at not in ats else []
    return "; ".join(f"{state}: " + ", ".join(f"{switch}{' at ' * bool(ats)}{','.join(ats)}"
                                              for switch, ats in by_state[state].items())
                     for state in ("n/a", "failed", "invalid", "missing") if state in by_state)


def run_note(rows: Iterable[Row]) -> str:
    """Which run it is."""
    ids = list(dict.fromkeys(row["run_id"] for row in rows))
    first = clean(ids[0], 60) if ids and ids[0] else "unknown"
    return bound(f"Run: {first}") + (f" and {len(ids) - 1} more" if len(ids) > 1 else "") + "."


def counts_note(ns: Iterable[int | None], by_blocks: bool) -> str:
    """"n = 3 trials"."""
    counts = sorted({n for n in ns if n})
    what = "blocks, each with a fresh switch" if by_blocks else "trials"
    if not counts:
        return "n unknown"
    return bound(f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}") + f" {what}"


def interval_note(ns: Iterable[int | None], by_blocks: bool, name: str = "Whiskers") -> str:
    """What an interval is: with less than 6 values no confidence interval exists."""
    counts = sorted({n for n in ns if n and n > 1})
    what = "block" if by_blocks else "trial"
    extremes, interval = f"smallest and largest {what}", "95 % confidence interval of the median"
    if not counts or counts[-1] < 6:
        return f"{name}: {extremes}."
    return f"{name}: {interval}." if counts[0] >= 6 else f"{name}: {interval}; where {bound('n < 6')}, {extremes}."
