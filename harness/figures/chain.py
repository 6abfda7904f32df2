# SPDX-License-Identifier: BSD-3-Clause
"""Throughput by chain length: R+ of loopback through 1 to N nfs, a line per switch. Pure."""

from harness.figures.cells import (counts_note, flags_of, grouped, interval_note, mark_notes, marks, place,
                                   run_note, shared, switch_order, titles)
from harness.figures.data import Data, Value
from harness.figures.reading import NotDrawn
from harness.figures.sheet import Axis, Panel, Sheet, Table, linear, split_pages

PAGE = 12
METRIC = "rplus_pps"


def chain(data: Data) -> list[Sheet]:
    """A panel per guest, direction and frame size."""
    values = [v for v in data.values(METRIC) if v.row["topology"] == "loopback"]
    panels = grouped(values, lambda v: place(v.row), lambda v: v.value is not None, without=("chain_length",))
    panels = {key: of for key, of in panels.items() if len({place(v.row).chain_length for v in of}) > 1
              and any(v.value is not None for v in of)}
    if not panels:
        raise NotDrawn("it needs R+ of loopback at two chain lengths")
    names = switch_order(v.row["switch"] for of in panels.values() for v in of)
    keys = list(panels)
    return [_page({keys[i]: panels[keys[i]] for i in page}, names, data) for page in split_pages(len(keys), PAGE)]


def _page(panels: dict, names: tuple[str, ...], data: Data) -> Sheet:
    drawn, rows, lines, used, on_panels = [], [], [], set(), False
    for p, (key, values) in enumerate(panels.items(), 1):
        valued = [v for v in values if v.value is not None]
        of_all = shared(flags_of(v.row) for v in valued)
        of_length = {n: shared(flags_of(v.row) for v in valued if place(v.row).chain_length == n)
                     for n in {place(v.row).chain_length for v in valued}}
        lengths = sorted({place(v.row).chain_length for v in values})
        tics = tuple((float(n), str(n) + marks(of_length.get(n, set()) - of_all)) for n in lengths)
        top = max(v.high if v.high is not None else v.value or 0.0 for v in valued) / 1e6
        title, subtitle = titles(key, (place(v.row) for v in valued))
        drawn.append(Panel(title, f"{subtitle} {marks(of_all)}".strip(),
                           Axis(lengths[0] - 0.5, lengths[-1] + 0.5, tics, grid=False),
                           linear(0.0, top * 1.15 or 1.0, 5),
                           data.absent(key, {place(v.row) for v in valued}, names, "chain_length")))
        for value in sorted(valued, key=lambda v: place(v.row).chain_length):
            here = place(value.row)
            low, high = (None if x is None else x / 1e6 for x in (value.low, value.high))
            rows.append((p, names.index(here.switch) + 1, here.chain_length, (value.value or 0.0) / 1e6, low, high,
                         value.drawn, marks(flags_of(value.row) - of_all - of_length[here.chain_length])))
        lines += _lines(p, valued, lengths, names)
        used |= set().union(*(flags_of(v.row) for v in valued))
        on_panels = on_panels or bool(of_all) or any(of_length.values())
    every = [v for values in panels.values() for v in values]
    two_way = any(key.direction == "two-way" for key in panels)
    notes = (f"Point: R+, the rate received under saturating load{', per direction' * two_way}, no loss goal; median, "
             f"{counts_note((v.n for v in every if v.value is not None), data.by_blocks(METRIC))}. "
             + interval_note((v.n for v in every), data.by_blocks(METRIC))
             + " Where none is seen, it is smaller than the point."
             + " Cross: invalid, its trials did not pass their checks." * any(v.drawn == "invalid" for v in every),
             " ".join([*mark_notes(used, on_panels), run_note(v.row for v in every)]))
    return Sheet(tuple(drawn), names, (Table("points", "panel series chain_length rplus_mpps low_mpps high_mpps drawn "
                                             "marks", rows),
                                       Table("lines", "panel series chain_length rplus_mpps to_length to_mpps", lines)),
                 notes, "Network functions in the chain", "Mpps per direction" if two_way else "Mpps", columns=3)


def _lines(panel: int, values: list[Value], lengths: list[int], names: tuple[str, ...]) -> list[tuple]:
    """Lines between neighbouring lengths; none across a length that has no valid value."""
    at = {(v.row["switch"], place(v.row).chain_length): (v.value or 0.0) / 1e6 for v in values if v.drawn == "ok"}
    return [(panel, s, a, at[name, a], b, at[name, b]) for s, name in enumerate(names, 1)
            for a, b in zip(lengths, lengths[1:]) if (name, a) in at and (name, b) in at]
