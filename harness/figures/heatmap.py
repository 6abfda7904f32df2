# SPDX-License-Identifier: BSD-3-Clause
"""Throughput by number of flows and frame size: a heat map per setup and switch, with the value in each field. Pure."""

from harness.figures.cells import (counts_note, flags_of, grouped, mark_notes, marks, place, run_note, shared,
                                   switch_order, titles)
from harness.figures.data import Data, Value
from harness.figures.reading import NotDrawn, clean, whole
from harness.figures.sheet import Panel, Sheet, Table, categories, split_pages

PAGE = 12
METRIC = "rplus_pps"


def heatmap(data: Data) -> list[Sheet]:
    """Rows: flows; columns: frame sizes. Of setups that were measured with at least two numbers of flows."""
    values = [v for v in data.values(METRIC) if whole(v.row["flows"])]
    setups = grouped(values, lambda v: place(v.row)._replace(flows=""), lambda v: v.value is not None,
                     without=("frame_bytes", "flows"), within=lambda v: v.row["flows"])
    maps = {(key, name): [v for v in of if v.row["switch"] == name] for key, of in setups.items()
            for name in switch_order(v.row["switch"] for v in of)}
    maps = {at: of for at, of in maps.items() if len({v.row["flows"] for v in of}) > 1
            and any(v.value is not None for v in of)}
    if not maps:
        raise NotDrawn("it needs R+ of a cell with two numbers of flows")
    top = max(v.value for of in maps.values() for v in of if v.value is not None)
    keys = list(maps)
    return [_page([(*keys[i], maps[keys[i]]) for i in page], top, data) for page in split_pages(len(keys), PAGE)]


def _page(maps: list, top: float, data: Data) -> Sheet:
    drawn, rows, used, on_panels = [], [], set(), False
    for p, (key, name, of) in enumerate(maps, 1):
        flows = sorted({whole(v.row["flows"]) or 0 for v in of})
        sizes = sorted({place(v.row).frame_bytes for v in of})
        of_all = shared(flags_of(v.row) for v in of if v.value is not None)
        title, subtitle = titles(key, (place(v.row) for v in of))
        drawn.append(Panel(f"{title}: {clean(name, 16)}", f"{subtitle} {marks(of_all)}".strip(),
                           categories([str(s) for s in sizes]), categories([_count(f) for f in flows]),
                           height=16.0 * len(flows)))
        for v in of:
            x, y = sizes.index(place(v.row).frame_bytes) + 1, flows.index(whole(v.row["flows"]) or 0) + 1
            rows.append((p, 1, x, y, None if v.value is None else v.value / top, _text(v, of_all),
                         v.value is not None and v.value / top < 0.55))
            used |= flags_of(v.row)
        on_panels = on_panels or bool(of_all)
    every = [v for _, _, of in maps for v in of]
    count = counts_note((v.n for v in every if v.value is not None), data.by_blocks(METRIC))
    notes = (f"In each field: R+ in Mpps, the rate received under saturating load per direction, no loss goal; median, "
             f"{count} (their spread is in results.csv). The brighter, the faster, from 0 to {top / 1e6:.3g} Mpps in "
             "all panels. Grey: no value; empty: not measured.",
             " ".join([*mark_notes(used, on_panels), run_note(v.row for v in every)]))
    return Sheet(tuple(drawn), ("value",), (Table("fields", "panel series size flows share text is_dark", rows),),
                 notes,
                 "Frame size in bytes, FCS included", "Flows", columns=3, legend=False)


def _count(flows: int) -> str:
    """1, 100, 10k, 1M."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if flows >= size and flows % size == 0:
            return f"{flows // size}{unit}"
    return str(flows)


def _text(v: Value, of_all: set[str]) -> str:
    if v.value is None:
        return v.drawn
    return f"{v.value / 1e6:.3g}{' invalid' * (v.drawn == 'invalid')} {marks(flags_of(v.row) - of_all)}".strip()
