# SPDX-License-Identifier: BSD-3-Clause
"""Suspect blocks: which they are, that they are measured again for their anchor only, and that all readers agree."""

import json
import shutil
import statistics
from pathlib import Path

import pytest

from harness import anchor, blocks, figures, results, scenario
from harness.cell import Cell
from harness.compare import sides, verdict
from harness.figures.data import Data
from harness.tests.support import cells_of_text, seeded
from harness.tests.test_blocks import SIX_CELLS, measure, noisy, raising, rows_of, same_tables

FOUR = SIX_CELLS
DIPS = {2: 0.5}                 # start of the anchor: speed of the machine


def machine(dips: dict[int, float]):  # type: ignore[no-untyped-def]
    """All that is started in a block is as fast as the machine then is: the anchor opens the block."""
    now = [1.0]

    def factor(start: int, cell: Cell) -> float:
        if cell.scenario == scenario.ANCHOR:
            now[0] = dips.get(start, 1.0)
        return now[0]
    return factor


# ---- pure ----------------------------------------------------------------------------------------------------------

def test_the_band_is_that_of_a_normal_machine_and_bad_blocks_do_not_stretch_it() -> None:
    r = seeded()
    for _ in range(200):
        scatter = r.choice([0.01, 0.03])
        good = {b: 4e7 * r.gauss(1, scatter) for b in range(1, 40)}
        off = {b: 4e7 * r.choice([0.4, 1.7]) for b in range(40, 46)}
        found = anchor.band([*good.values(), *off.values()])
        assert found and found.middle_pps == statistics.median([*good.values(), *off.values()])
        assert scatter < found.ratio < 8 * scatter      # 1.2 to 5.4 in 20,000 draws without those that are off
        assert set(off) <= set(anchor.suspects(good | off, {})) and len(anchor.suspects(good | off, {})) < len(off) + 6


def test_a_still_machine_has_a_band_all_the_same_and_two_blocks_have_none() -> None:
    assert anchor.band([100, 100, 100, 100]) == anchor.Band(100, anchor.LEAST_RATIO)
    assert anchor.suspects({1: 100, 2: 100.9, 3: 100, 4: 98.9, 5: 100}, {}) == [4]
    assert anchor.band([100, 50]) is None and anchor.suspects({1: 100, 2: 50}, {}) == []


def test_of_a_block_and_its_repeats_the_last_one_counts() -> None:
    assert anchor.counting([1, 2, 3], {}) == {1, 2, 3}
    assert anchor.counting([1, 2, 3, 4, 5], {4: 2, 5: 2}) == {1, 3, 5}
    assert anchor.counting([1, 2, 3], {4: 2, 5: 2}) == {1, 2, 3}        # of a cell that was not measured again


def test_a_band_too_wide_to_find_anything_is_said() -> None:
    assert "not steady" in anchor.said({1: 0.7e6, 2: 1e6, 3: 1.9e6, 4: 1.3e6, 5: 0.8e6}, {})
    assert "not steady" not in anchor.said({1: 0.99e6, 2: 1e6, 3: 1.01e6, 4: 1.002e6, 5: 1.5e6}, {})


def test_repeats_do_not_move_the_band() -> None:
    first = {1: 100.0, 2: 100.0, 3: 50.0}
    assert anchor.first_blocks(first, {}) == anchor.first_blocks({**first, 4: 70.0}, {4: 3})
    assert anchor.suspects({**first, 4: 70.0}, {4: 3}) == [3, 4]


def test_what_is_measured_again_is_bounded_and_goes_on_where_it_was(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR + "again = 2\n")
    first = {1: 100.0, 2: 100.0, 3: 50.0, 4: 100.0}
    assert blocks.again(cells, None, {**first, 3: 100.0}, {}, 24) == []
    once = blocks.again(cells, None, first, {}, 24)
    assert [(t.block, t.repeats, t.position) for t in once] == [(5, 3, 24 + i) for i in range(1, 7)]
    assert {t.cell.id for t in once} == {c.id for c in cells}
    assert blocks.again(cells, None, first, {5: 3}, 24) == once         # its anchor is not known yet
    twice = blocks.again(cells, None, {**first, 5: 50.0}, {5: 3}, 24)
    assert twice[:6] == once and {(t.block, t.repeats) for t in twice[6:]} == {(6, 3)}
    assert blocks.again(cells, None, {**first, 5: 50.0, 6: 50.0}, {5: 3, 6: 3}, 24) == twice
    assert blocks.again(cells, None, {**first, 5: 99.9}, {5: 3}, 24) == once
    assert blocks.again(cells_of_text(tmp_path, FOUR + "again = 0\n"), None, first, {}, 24) == []


# ---- runs ----------------------------------------------------------------------------------------------------------

def test_a_suspect_block_is_measured_again_and_all_readers_take_the_repeat(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR)
    up = noisy(factor=machine(DIPS))
    folder, outcomes = measure(cells, tmp_path / "out", up)
    assert set(up.starts.values()) == {5, 7 * 5} and not any(o.flags for o in outcomes if "suspect" in o.flags)
    journal = rows_of(folder / "blocks.csv")
    assert [(r["block"], r["repeats"]) for r in journal[-7:]] == [("5", "2")] * 7
    about = json.loads((folder / "run.json").read_text())
    assert about["anchor"]["suspect_blocks"] == [2] and about["anchor"]["repeats"] == {"5": 2}
    assert [[int(r["block"]), r["cell_id"]] for r in journal] == about["order"]
    found = results.read(folder)
    cell = cells[0].id
    assert set(found.blocks(cell, "rplus_pps")) == {1, 3, 4, 5} and set(found.every_block(cell, "rplus_pps")) == {
        1, 2, 3, 4, 5}
    assert "suspect" in found.every_block(cell, "rplus_pps")[2].flags
    summary = found.summary(cell, "rplus_pps")
    assert summary and summary.n == 4 and summary.ci_low == pytest.approx(5e6, rel=0.01) and not summary.flags
    data = Data(lambda name: figures.text_of(folder / name))
    assert {r["block"] for r in data.blocks} == {r["block"] for r in data.trials} == {"1", "3", "4", "5"}
    a, b = sides.sides([str(folder)])
    [pair, *_] = sides.pairs(a, b)
    assert set(pair.a) == set(pair.b) == {1, 3, 4, 5}
    assert any("outside of it: block 2; measured again: 2" in note for note in sides.notes(a, b))


def test_what_stays_suspect_is_counted_and_flagged(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR)
    folder, outcomes = measure(cells, tmp_path / "out", noisy(factor=machine({2: 0.5, 5: 0.6})))
    assert all("suspect" in o.flags for o in outcomes)
    found = results.read(folder)
    values = found.blocks(cells[0].id, "rplus_pps")
    assert [b for b, v in values.items() if "suspect" in v.flags] == [5]
    a, b = sides.sides([str(folder)])
    assert "suspect" in verdict.judge(sides.pairs(a, b), cross_check=False)[0].flags
    folder, outcomes = measure(cells_of_text(tmp_path, FOUR + "again = 0\n"), tmp_path / "none",
                               noisy(factor=machine(DIPS)))
    assert all("suspect" in o.flags for o in outcomes) and len(rows_of(folder / "blocks.csv")) == 28


def test_a_value_alone_is_no_reason_to_measure_again(tmp_path: Path, runtime: Path) -> None:
    """The switches of a block are slow, its anchor is not."""
    up = noisy(factor=lambda start, cell: 0.5 if start == 2 and cell.scenario != scenario.ANCHOR else 1.0)
    measure(cells_of_text(tmp_path, FOUR), tmp_path / "out", up)
    assert up.starts["all"] == 28


def test_a_run_stopped_while_it_measures_again_goes_on(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR)
    whole, _ = measure(cells, tmp_path / "whole", noisy(factor=machine(DIPS)))
    journal = (whole / "blocks.csv").read_bytes().splitlines(keepends=True)
    for kept in (20, 28, 31):
        folder = shutil.copytree(whole, tmp_path / f"cut{kept}" / whole.name)
        (folder / "blocks.csv").write_bytes(b"".join(journal[:kept + 1]))
        about = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**about, "state": "running"}))
        up = noisy(factor=lambda start, cell: 1.0)
        measure(cells, folder.parent, up, go_on=folder)
        assert up.starts["all"] == 35 - kept
        same_tables(whole, folder, but=("position",))
        assert not results.read(folder).warnings
        before = {p.name: p.read_bytes() for p in folder.glob("*.csv")}
        up = noisy()
        measure(cells, folder.parent, up, go_on=folder)
        assert up.starts["all"] == 0 and {p.name: p.read_bytes() for p in folder.glob("*.csv")} == before


def test_a_repeat_that_fails_is_a_block_missing_and_measured_by_a_resume(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR)

    def fail(start: int, cell: Cell) -> None:
        if start == 30:
            raising("it broke")
    folder, outcomes = measure(cells, tmp_path / "out", noisy(fail, machine(DIPS)))
    assert sum("blocks_missing" in o.flags for o in outcomes) == 1
    up = noisy()
    _, outcomes = measure(cells, folder.parent, up, go_on=folder)
    assert up.starts["all"] == 1 and not any("blocks_missing" in o.flags for o in outcomes)
    found = results.read(folder)
    assert not found.warnings and {len(found.blocks(c.id, "rplus_pps")) for c in cells} == {4}
