# SPDX-License-Identifier: BSD-3-Clause
"""The reader of results folders: what is sound is read, what is not is named, whatever happened to the folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import bed, results, run
from harness.errors import BadInput
from harness.results import Results, Value, median_interval, read, summarised
from harness.sim import simulated_up
from harness.tests.support import cells_of_text, seeded, write

SCENARIO = """
[matrix]
topology = "p2p"
frame_bytes = [64, 512]
switch = ["testpmd", "ovs-dpdk"]
[search]
trials = 2
[latency]
at_rplus = 0.5
[repeat]
blocks = 3
"""
HEADER = "cell_id,switch,topology,metric,value,status,flags\n"
ROW = "c.ovs,ovs,p2p,rplus_pps,5e6,ok,\n"


@pytest.fixture
def folder(tmp_path: Path, runtime: Path) -> Path:
    """A simulated run."""
    return run.run("t", cells_of_text(tmp_path, SCENARIO), bed.load(None), tmp_path / "out", lambda line: None, {},
                   up=simulated_up(5e6))[0]


def figures(found: Results) -> dict[tuple[str, str, int], float | None]:
    return {(cell, metric, block): v.value for cell in found.cells for metric in found.metrics(cell)
            for block, v in found.blocks(cell, metric).items()}


def of_text(folder: Path, text: str, **tables: str) -> Results:
    write(folder / "results.csv", text)
    for name, content in tables.items():
        write(folder / f"{name}.csv", content)
    return read(folder)


def test_a_sound_run_is_read_without_a_warning(folder: Path) -> None:
    found = read(folder)
    assert not found.warnings and not found.missing and found.switches == ["testpmd", "ovs-dpdk"]
    assert len(found.cells) == 5        # and the anchor
    cell = next(iter(c for c in found.cells if "512B" in c))
    assert set(found.blocks(cell, "rplus_pps")) == {1, 2, 3}
    whole = found.summary(cell, "rplus_pps")
    assert whole and whole.n == 3 and whole.value == found.blocks(cell, "rplus_pps")[1].value
    assert sum(1 for _ in found.table("trials")) == 3 * (4 * (1 + 2 + 3) + 4) and not found.warnings


def test_cut_off_anywhere_the_rest_is_read_and_the_cut_is_named(folder: Path, tmp_path: Path) -> None:
    r = seeded()
    true = figures(read(folder))
    text = (folder / "results.csv").read_bytes()
    # between the two bytes of a line end all of the row is there
    ends = {i + n for i in range(len(text)) if text[i:i + 2] == b"\r\n" for n in (1, 2)}
    for number in range(60):
        copy = shutil.copytree(folder, tmp_path / f"cut{number}")
        at = r.randint(0, len(text))
        (copy / "results.csv").write_bytes(text[:at])
        found = read(copy)
        from_trials = {key for key, _ in true.items() if key[1] == "rplus_pps"}
        got = figures(found)
        assert all(true[key] == pytest.approx(v) for key, v in got.items())
        assert from_trials <= set(got)          # R+ is never lost while trials.csv is there
        if at not in ends:
            assert any("results.csv" in w for w in found.warnings), at
        assert at < len(text) or not found.warnings


def test_noise_in_a_file_never_breaks_the_reader(folder: Path, tmp_path: Path) -> None:
    r = seeded()
    true = figures(read(folder))
    for number in range(40):
        copy = shutil.copytree(folder, tmp_path / f"noise{number}")
        for name in ("results.csv", "trials.csv", "run.json"):
            content = bytearray((copy / name).read_bytes())
            for _ in range(r.randint(0, 4)):
                at = r.randrange(len(content))
                content[at:at + r.randint(0, 40)] = bytes(r.choice(b'",\r\n\0x\xff') for _ in range(r.randint(0, 40)))
            (copy / name).write_bytes(bytes(content))
        try:
            found = read(copy)
        except BadInput:
            continue
        known = sum(true.get(key) == v for key, v in figures(found).items())
        assert known >= 0.5 * len(figures(found)) or found.warnings
        list(found.table("latency"))


def test_a_stray_quote_costs_a_row_and_not_the_file(tmp_path: Path) -> None:
    rows = [ROW.replace("c.ovs", f"c{i}.ovs") for i in range(200)]
    rows[50] = 'c50.ovs,"ovs,p2p,rplus_pps,5e6,ok,\n'
    found = of_text(tmp_path, HEADER + "".join(rows))
    assert len(found.cells) == 199 and "c50.ovs" not in found.cells
    assert any("line 52" in w for w in found.warnings)


def test_line_ends_in_quotes_are_part_of_a_field(tmp_path: Path) -> None:
    header = HEADER.replace("flags", "flags,reason")
    found = of_text(tmp_path, header + 'c.ovs,ovs,p2p,rplus_pps,,failed,,"two\nlines"\n')
    assert found.blocks("c.ovs", "rplus_pps")[1].reason == "two\nlines"
    assert [w for w in found.warnings if "results.csv" in w] == []


@pytest.mark.parametrize("about, word", [
    ({"schema_version": 7}, "schema version 7"), ({}, "schema version None"),
    ({"schema_version": 1, "state": "running"}, "still running"),
    ({"schema_version": 1, "state": "interrupted"}, "its end"),
    ({"schema_version": 1, "cells": ["c.ovs", "gone.1", "gone.2"]},
     "2 of 3 planned cells were not measured: gone.1, gone.2")])
def test_what_run_json_says_is_wrong_is_named(about: dict[str, Any], word: str, tmp_path: Path) -> None:
    write(tmp_path / "run.json", json.dumps(about))
    found = of_text(tmp_path, HEADER + ROW)
    assert any(word in w for w in found.warnings) and found.summary("c.ovs", "rplus_pps")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\0\0", "[" * 100_000])
def test_a_run_json_that_is_none_leaves_the_rest_readable(text: str, tmp_path: Path) -> None:
    write(tmp_path / "run.json", text)
    found = of_text(tmp_path, HEADER + ROW)
    assert found.about == {} and "run.json" in found.warnings[0] and len(found.cells) == 1


def test_older_tables_and_newer_tables_are_read(tmp_path: Path) -> None:
    older = of_text(tmp_path / "old", HEADER + ROW)
    newer = of_text(tmp_path / "new", "extra," + HEADER.strip() + ",more\n" + "1," + ROW.strip() + ",2\n")
    assert figures(older) == figures(newer) == {("c.ovs", "rplus_pps", 1): 5e6}
    lacks = of_text(tmp_path / "lacks", HEADER.replace("metric", "messwert") + ROW)
    assert not lacks.cells and "lacks the column metric" in " ".join(lacks.warnings)


def test_nothing_at_all_is_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", write(tmp_path / "file", "")):
        with pytest.raises(BadInput):
            read(path)


def test_a_value_that_is_no_number_is_named(tmp_path: Path) -> None:
    for text in ("nan", "inf", "1_000", "five", "0x10", "1e999"):
        found = of_text(tmp_path, HEADER + ROW.replace("5e6", text))
        assert found.summary("c.ovs", "rplus_pps") is None and "is no number" in " ".join(found.warnings)


def test_a_row_that_comes_twice_is_named_and_the_last_counts(tmp_path: Path) -> None:
    found = of_text(tmp_path, HEADER + ROW + ROW.replace("5e6", "6e6"))
    value = found.summary("c.ovs", "rplus_pps")
    assert value and value.value == 6e6 and "comes twice" in " ".join(found.warnings)


def test_a_file_of_noise_is_not_told_line_by_line(tmp_path: Path) -> None:
    found = of_text(tmp_path, HEADER + ROW + "x\n" * 500)
    assert len(found.warnings) < results.WARNINGS_MAX + 5 and "480 more rows" in found.warnings[-1]


def value(number: float | None, status: str = "ok") -> Value:
    return Value("m", 1, number, None, None, "pps", 3, status, (), "" if status == "ok" else "why")


def test_a_summary_is_the_median_of_what_is_sound() -> None:
    made = summarised([value(3), value(1), value(None, "failed"), value(8)])
    assert (made.value, made.ci_low, made.ci_high, made.n, made.status) == (3, 1, 8, 3, "ok")
    assert "1 of 4" in made.reason
    none = summarised([value(None, "failed"), value(None, "failed")])
    assert (none.value, none.status, none.reason, none.n) == (None, "failed", "why", 0)
    alone = summarised([value(7)])
    assert (alone.value, alone.ci_low, alone.n) == (7, None, 1)


def test_the_interval_of_a_median_holds_it_as_often_as_promised() -> None:
    r = seeded()
    assert [median_interval(values) for values in ([3, 1, 2], range(6), range(9))] == [(1, 3), (0, 5), (1, 7)]
    for n in (6, 9, 14, 25):
        intervals = [median_interval([r.gauss(0, 1) for _ in range(n)]) for _ in range(1500)]
        held = sum(low <= 0 <= high for low, high in intervals)
        assert held / 1500 > 0.93
