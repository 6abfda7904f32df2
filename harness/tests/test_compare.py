# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons: verdicts against what is true of simulated switches, which cells belong together, and the command."""

import csv
import io
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from harness import cli, ranks, record
from harness.bench import comparing
from harness.bench import search as bench_search
from harness.compare import sides, verdict
from harness.compare.verdict import (CAPPED, EQUIVALENT, FASTER, INCONCLUSIVE, SLOWER, Pair, exit_status, judge)
from harness.errors import BadInput
from harness.results import Value
from harness.tests.support import seeded, write


def value(block: int | None, number: float | None, flags: tuple[str, ...] = (), status: str = "ok", reason: str = "",
          metric: str = "rplus_pps") -> Value:
    return Value(metric, block, number, None, None, "pps", 3, status, flags, reason)


def side(r: random.Random, speed: float, blocks: int = 14, noise: float = 0.01,
         flags: tuple[str, ...] = ()) -> dict[int, Value]:
    return {b: value(b, speed * math.exp(r.gauss(0, noise)), flags) for b in range(1, blocks + 1)}


def pair(a: dict[int, Value], b: dict[int, Value], metric: str = "rplus_pps", paired: bool = True, **more: Any) -> Pair:
    return Pair("cell", metric, {}, a, b, paired, **more)


def one(a: dict[int, Value], b: dict[int, Value], **more: Any) -> verdict.Row:
    [row] = judge([pair(a, b, **more)], cross_check=False)
    return row


# ---- verdicts ------------------------------------------------------------------------------------------------------

def test_the_default_number_of_blocks_is_the_fewest_that_meet_the_bars() -> None:
    """Figure 2 of the issue with fewer comparisons: `make bench-search` does all 1000."""
    def found(blocks: int, difference: float, seed: int) -> float:
        r = random.Random(seed)
        said = [comparing.verdicts(r, difference, blocks, comparing.Noise()) for _ in range(400)]
        return sum(v == [SLOWER] for v in said) / 400
    assert found(verdict.BLOCKS, 0.05, 1) >= 0.94 > found(verdict.BLOCKS - 3, 0.05, 1)
    assert found(verdict.BLOCKS, 0.02, 1) >= 0.7


def test_the_right_sign_of_rates_and_of_latencies() -> None:
    r = seeded()
    low, high = side(r, 100), side(r, 110)
    assert one(low, high).verdict == FASTER and one(high, low).verdict == SLOWER
    assert one(low, high, metric="latency_p50_ns@0.50rplus").verdict == SLOWER
    assert one(high, low, metric="cycles_per_packet").verdict == FASTER
    assert one(low, high).ratio == pytest.approx(1.1, rel=0.02)


def test_swapping_the_sides_inverts_the_ratio_and_mirrors_the_verdict() -> None:
    r = seeded()
    mirror = {FASTER: SLOWER, SLOWER: FASTER}
    for paired in (True, False):
        for _ in range(50):
            a, b = side(r, 100), side(r, 100 * r.choice([1, 1.01, 1.03, 0.9]))
            there, back = one(a, b, paired=paired), one(b, a, paired=paired)
            assert there.ratio and back.ratio and there.ci_low and back.ci_high
            assert there.ratio * back.ratio == pytest.approx(1) and there.ci_low * back.ci_high == pytest.approx(1)
            assert back.verdict == mirror.get(there.verdict, there.verdict)


def test_the_machine_going_slower_and_slower_does_not_matter_within_a_run() -> None:
    r = seeded()
    fading = [math.exp(-0.1 * b) for b in range(15)]
    a, b = ({k: value(k, v.value * fading[k]) for k, v in side(r, speed, noise=0.002).items() if v.value}
            for speed in (100, 97))
    assert one(a, b).verdict == SLOWER and one(a, b).ratio == pytest.approx(0.97, rel=0.01)
    assert one(a, b, paired=False).verdict == INCONCLUSIVE


def test_equal_values_are_equivalent() -> None:
    same = {b: value(b, 5e6) for b in range(1, 11)}
    row = one(same, same)
    assert (row.verdict, row.ratio, row.ci_low, row.ci_high) == (EQUIVALENT, 1.0, 1.0, 1.0)


def test_a_sure_difference_within_the_margin_is_equivalent() -> None:
    r = seeded()
    row = one(side(r, 100, noise=0.0005), side(r, 99.5, noise=0.0005))
    assert row.ci_high and row.ci_high < 1 and row.verdict == EQUIVALENT
    [strict] = judge([row.pair], margin=0.001, cross_check=False)
    assert strict.verdict == SLOWER


@pytest.mark.parametrize("blocks, paired, more", [(1, True, 5), (3, True, 3), (5, True, 1), (1, False, 3),
                                                  (3, False, 1)])
def test_too_few_blocks_say_how_many_it_takes(blocks: int, paired: bool, more: int) -> None:
    a, b = ({k: value(k, 5e6 * s) for k in range(1, blocks + 1)} for s in (1, 2))
    row = one(a, b, paired=paired)
    assert (row.verdict, row.more_blocks, row.ci_low) == (INCONCLUSIVE, more, None) and row.ratio == pytest.approx(2)
    assert f"only {blocks} block" in row.reason and exit_status([row]) == 4


def test_with_the_blocks_that_it_asked_for_a_verdict_mostly_comes() -> None:
    r = random.Random(5)
    came = asked = 0
    for _ in range(60):
        difference = r.choice([0.0, 0.01, 0.03])
        row = one(side(r, 1, 8, 0.02), side(r, 1 - difference, 8, 0.02))
        if row.verdict == INCONCLUSIVE and row.more_blocks and row.more_blocks < 60:
            n, asked = 8 + row.more_blocks, asked + 1
            came += one(side(r, 1, n, 0.02), side(r, 1 - difference, n, 0.02)).verdict != INCONCLUSIVE
    assert asked > 20 and came / asked > 0.35


def test_many_cells_take_more_to_be_sure() -> None:
    clear = ({b: value(b, 100.0 + b / 10) for b in range(1, 8)}, {b: value(b, 90.0 + b / 10) for b in range(1, 8)})
    assert one(*clear).verdict == SLOWER
    rows = judge([pair(*clear) for _ in range(16)], cross_check=False)
    assert {row.verdict for row in rows} == {INCONCLUSIVE} and rows[0].p_adjusted == pytest.approx(16 * rows[0].p_raw)
    assert rows[0].more_blocks == ranks.fewest(0.05 / 16, is_paired=True) - 7


def test_rows_with_too_few_blocks_do_not_make_the_others_harder_to_decide() -> None:
    r = seeded()
    clear = pair(side(r, 100, 6, 0.001), side(r, 90, 6, 0.001))
    short = [pair(side(r, 1, 1), side(r, 1, 1), metric="ndr_pps") for _ in range(30)]
    rows = judge([clear, *short], cross_check=False)
    assert rows[0].verdict == SLOWER and rows[0].p_adjusted == rows[0].p_raw
    assert {(row.verdict, row.reason) for row in rows[1:]} == {
        (INCONCLUSIVE, "only 1 block: a verdict takes at least 6")}


def test_what_only_the_number_of_rows_leaves_undecided_says_so() -> None:
    """The interval that is shown is of the row alone, and does exclude 1."""
    a = {b: value(b, 100.0) for b in range(1, 15)}
    b = {k: value(k, 100 * math.exp(-0.03 if k == 2 else 0.012 + k / 1e4)) for k in a}
    rows = judge([pair(a, b), *[pair(a, a) for _ in range(29)]], margin=0.01, cross_check=False)
    assert rows[0].ci_low and rows[0].ci_low > 1 and rows[0].p_raw < 0.05 < rows[0].p_adjusted
    assert rows[0].verdict == INCONCLUSIVE
    assert rows[0].reason == f"not significant among 30 rows (p = {rows[0].p_adjusted:.2g})"


@pytest.mark.parametrize("metric, better", [
    ("rx_pps@soak", "higher"), ("mfr_pps", "higher"), ("gold_rlb_pps", "higher"), ("b2b_frames", "higher"),
    ("rplus_loss_ratio", "lower"), ("missing_ratio@soak", "lower"), ("lossy_intervals_count@soak", "lower"),
    ("interval_loss_ratio@soak", "lower"), ("reorder_ratio", "lower"), ("pdv_p99_ns@1pps", "lower"),
    ("replay_gap_error_p50_ns@replay", "lower"), ("switch_cycles_per_packet@0.50rplus", "lower"),
    ("b2b_frames_stdev", ""), ("search_traffic_s", "")])
def test_which_way_a_figure_is_better(metric: str, better: str) -> None:
    assert verdict.better(metric) == better
    row = one(side(random.Random(1), 100), side(random.Random(2), 130), metric=metric)
    assert row.verdict == {"higher": FASTER, "lower": SLOWER, "": INCONCLUSIVE}[better]
    assert ("neither better nor worse" in row.reason) == (not better)


def test_what_the_tester_limits_is_capped() -> None:
    r = seeded()
    limit = ("lower_bound",)
    assert one(side(r, 100, flags=limit), side(r, 100, flags=limit)).verdict == CAPPED
    assert one(side(r, 100, flags=limit), side(r, 90, flags=limit)).verdict == CAPPED
    assert one(side(r, 90), side(r, 100, flags=limit)).verdict == FASTER       # at least so much
    assert one(side(r, 100, flags=limit), side(r, 90)).verdict == SLOWER
    assert one(side(r, 100), side(r, 90, flags=limit)).verdict == CAPPED       # it may be faster than it seems
    assert exit_status([one(side(r, 1, flags=limit), side(r, 1, flags=limit))]) == 4


def test_cycles_of_a_switch_with_time_to_spare_say_so() -> None:
    r = seeded()
    idle = side(r, 100, flags=("not_saturated",))
    row = one(idle, idle, metric="cycles_per_packet")
    assert (row.verdict, row.reason) == (CAPPED, "both sides are not saturated: an upper bound")


def test_what_cannot_be_compared_says_why() -> None:
    r = seeded()
    lost = {1: value(1, None, status="failed", reason="no link")}
    assert "B has no value: failed: no link" in one(side(r, 1), lost).reason
    assert "0 has no ratio" in one({1: value(1, 0.0)}, side(r, 1), metric="loss_ratio@0.10rplus").reason
    assert "different blocks only" in one({1: value(1, 5.0)}, {2: value(2, 5.0)}).reason
    for row in (one(side(r, 1), lost), one({}, side(r, 1), reason="A does not have the cell")):
        assert row.verdict == INCONCLUSIVE and row.ratio is None


def test_blocks_that_only_one_side_has_are_left_out_of_pairs() -> None:
    r = seeded()
    a, b = side(r, 1, 12), side(r, 1, 12)
    del a[3]
    b[5] = value(5, None, status="failed")
    assert one(a, b).n_a == one(a, b).n_b == 10
    assert (one(a, b, paired=False).n_a, one(a, b, paired=False).n_b) == (11, 11)


def test_what_the_machine_moved_is_taken_off() -> None:
    """All of B is 10 % slower, and so may the machine have been."""
    r = seeded()
    a, b = side(r, 100, noise=0.002), side(r, 90, noise=0.002)
    assert one(a, b, paired=False).verdict == SLOWER
    moved = one(a, b, paired=False, drift=(math.log(0.88), 0.0))
    assert moved.verdict == INCONCLUSIVE and "machine itself moved" in moved.reason
    assert moved.ci_low and moved.ci_high and moved.ci_low < 0.92 and moved.ci_high > 1
    assert one(a, b, paired=False, drift=(math.log(0.97), 0.0)).verdict == SLOWER


def test_exit_status() -> None:
    r = seeded()
    slow, fast = one(side(r, 100), side(r, 90)), one(side(r, 90), side(r, 100))
    same = one(side(r, 1, noise=0), side(r, 1, noise=0))
    few = one(side(r, 1, 2), side(r, 1, 2))
    for rows, status in (([slow, fast, few], 3), ([fast, few], 4), ([fast, same], 0), ([same], 0), ([], 4)):
        assert exit_status(rows) == status


def test_the_bench_prints_writes_and_fails_if_a_bar_is_missed(tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    class Few:
        NUMBER = 2

        def __init__(self, blocks: int) -> None:
            self.blocks = blocks

        def measure(self) -> list[Any]:
            return comparing.measure(30, self.blocks)
    out = tmp_path / "rows.csv"
    assert bench_search.main((Few(6),), out) == 1       # type: ignore[arg-type]
    said = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert len(rows) == len(said.splitlines()) - 1 and "missed" in {row["verdict"] for row in rows}


# ---- runs ----------------------------------------------------------------------------------------------------------

FACTS = {"cpu_model": "Z80", "cpu_count": 2, "memory_mib": 4000}


def made_run(folder: Path, values: dict[str, list[float]], *, machine: Any = FACTS, frame_bytes: int = 64,
             accel: str = "",
             flags: str = "", about: dict[str, Any] | None = None, anchor: list[float] | None = None) -> Path:
    """A results folder with a cell of each switch, by its name and the values of its blocks."""
    rows = []
    cells = {f"t.p2p.one-way.{frame_bytes}B.1f.vhost-user.{name}": (name, "t", list_) for name, list_ in values.items()}
    if anchor:
        cells["anchor.p2p.one-way.64B.1f.ring.null"] = ("null", "anchor", anchor)
    for cell, (name, scenario, list_) in cells.items():
        for block, number in enumerate(list_, start=1):
            rows.append({"cell_id": cell, "switch": name, "topology": "p2p", "direction": "one-way",
                         "port_kind": "vhost-user",
                         "frame_bytes": frame_bytes, "flows": 1, "metric": "rplus_pps", "value": number, "unit": "pps",
                         "n": 3,
                         "status": "ok", "scenario": scenario, "block": block, "accel": accel, "flags": flags})
    text = io.StringIO()
    writer = csv.DictWriter(text, record.RESULTS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    write(folder / "results.csv", text.getvalue())
    write(folder / "run.json", json.dumps({"run_id": folder.name, "schema_version": 1, "state": "complete",
                                           "machine": machine,
                                           "cells": list(cells), **(about or {})}))
    return folder


def noisy(r: random.Random, speed: float, blocks: int = 14) -> list[float]:
    return [5e6 * speed * math.exp(r.gauss(0, 0.005)) for _ in range(blocks)]


def compare(*arguments: Any) -> int:
    return cli.main(["compare", *map(str, arguments)])


def test_two_switches_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    run = made_run(tmp_path / "r", {"old": noisy(r, 1), "new": noisy(r, 0.9)}, anchor=noisy(r, 3))
    assert compare(run, "old", "new") == 3
    assert "slower in 1" in capsys.readouterr().out
    assert compare(run) == 3 and compare(f"{run}:old", f"{run}:new") == 3
    assert compare(run, "new", "old") == 0
    capsys.readouterr()
    assert compare(run, "--json", "--csv", tmp_path / "c.csv") == 3
    said = json.loads(capsys.readouterr().out)
    [row] = said["rows"]
    assert (row["verdict"], row["method"], row["n_a"], row["switch_b"]) == ("slower", "signed-rank", 14, "new")
    assert row["median_ratio_low"] < row["median_ratio"] < row["median_ratio_high"]
    assert row["ci_low"] < row["ratio"] < row["ci_high"] < 0.92 and said["exit_status"] == 3
    [line] = csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text()))
    assert line["verdict"] == "slower" and float(line["ratio"]) == pytest.approx(row["ratio"]) and set(line) == set(row)


def test_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    a = made_run(tmp_path / "a", {"ovs": noisy(r, 1), "testpmd": noisy(r, 2)}, anchor=noisy(r, 3))
    b = made_run(tmp_path / "b", {"ovs": noisy(r, 1.1), "testpmd": noisy(r, 2)}, anchor=noisy(r, 3))
    capsys.readouterr()
    assert compare(a, b, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    verdicts = {row["cell"].rpartition(".")[2]: row["verdict"] for row in said["rows"]}
    assert verdicts == {"ovs": "faster", "testpmd": "equivalent"}
    assert {row["method"] for row in said["rows"]} == {"mann-whitney"}
    assert compare(f"{a}:ovs", f"{b}:testpmd") == 0


def test_a_machine_that_changed_between_two_runs_gives_no_verdict(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    a = made_run(tmp_path / "a", {"ovs": noisy(r, 1)}, anchor=noisy(r, 3))
    b = made_run(tmp_path / "b", {"ovs": noisy(r, 0.8)}, anchor=noisy(r, 2.4))
    assert compare(a, b) == 4
    assert "the machine itself moved" in capsys.readouterr().out


def test_versions_under_two_names_are_compared_where_each_run_has_one(tmp_path: Path) -> None:
    r = seeded()
    a, b = (made_run(tmp_path / name, {name: noisy(r, speed)}) for name, speed in (("ovs-3.1", 1), ("ovs-3.5", 0.9)))
    assert compare(a, b) == 3


@pytest.mark.parametrize("machine, why", [({**FACTS, "cpu_model": "6502"}, "cpu_model is 'Z80' and '6502'"),
                                          ({**FACTS, "memory_mib": 2000}, "memory_mib"),
                                          ({}, "not known on which machine"),
                                          (None, "not known on which machine")])
def test_unlike_machines_are_refused_unless_told(machine: Any, why: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    a = made_run(tmp_path / "a", {"ovs": noisy(r, 1)})
    b = made_run(tmp_path / "b", {"ovs": noisy(r, 0.9)}, machine=machine)
    assert compare(a, b) == 2
    assert why in capsys.readouterr().err
    assert compare(a, b, "--any-machine") == 3
    assert "unlike machines" in capsys.readouterr().out


def test_guests_under_kvm_and_under_emulation_are_not_compared(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    a, b = (made_run(tmp_path / accel, {"ovs": noisy(r, 1)}, accel=accel) for accel in ("kvm", "tcg"))
    assert compare(a, b) == 4
    assert "under kvm in A and under tcg in B" in capsys.readouterr().out


def test_cells_of_one_run_only_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    a = made_run(tmp_path / "a", {"ovs": noisy(r, 1)})
    b = made_run(tmp_path / "b", {"ovs": noisy(r, 1)}, frame_bytes=128)
    assert compare(a, b) == 4
    said = capsys.readouterr().out
    assert "B does not have the cell" in said and "A does not have the cell" in said


def test_bad_input_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    run = made_run(tmp_path / "r", {"a": noisy(r, 1), "b": noisy(r, 1), "c": noisy(r, 1)})
    for arguments, why in (([tmp_path / "x", run], "no such folder"), ([run, run], "are the same"),
                           ([run], "has 3 switches"),
                           ([run, "a", "z"], "no switch 'z'"), ([run, "a", "a"], "are the same"),
                           ([run, "a", "b", "--margin", "7"], "--margin"), ([run, "a", "b", "c"], "give A and B"),
                           ([run, "a", "b", "--metric", "nope"], "no figure in common")):
        assert compare(*arguments) == 2, arguments
        assert why in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    run = made_run(tmp_path / "r", {"a": noisy(r, 1), "b": noisy(r, 1)})
    assert compare(run, "--csv", tmp_path / "none" / "x.csv") == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_a_copy_of_a_run_is_no_second_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    runs = [made_run(tmp_path / name, {"a": noisy(r, 1)}) for name in ("one", "copy")]
    for run in runs:
        about = json.loads((run / "run.json").read_text()) if (run / "run.json").exists() else {}
        write(run / "run.json", json.dumps({**about, "run_id": "20260101T000000Z-x-1"}))
    assert compare(*runs) == 2
    assert "are copies of one run" in capsys.readouterr().err


def test_runs_without_blocks_are_inconclusive_with_the_reason(tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run(tmp_path / "r", {"a": [5e6], "b": [9e6]})
    text = (run / "results.csv").read_text()
    write(run / "results.csv", text.replace(",1\n", ",\n"))
    assert compare(run) == 4
    assert "only 1 block: a verdict takes at least 6; some 5 more blocks would" in capsys.readouterr().out


def test_the_sides_may_not_be_mixed_up() -> None:
    with pytest.raises(BadInput, match="give A and B"):
        sides.sides([])


# ---- the width of a search -----------------------------------------------------------------------------------------

def test_a_margin_is_never_narrower_than_the_search() -> None:
    """Bounds that lie on a grid of 5 % cannot tell 3 % from nothing."""
    def found(goal: str, number: float) -> dict[int, Value]:
        return {b: Value("ndr_pps", b, number, None, None, "pps", 3, "ok", (), goal=goal) for b in range(1, 15)}
    coarse, fine = "loss_ratio=0.0;width_ratio=0.05", "loss_ratio=0.0;width_ratio=0.005"
    for goal, verdict_, margin in ((coarse, EQUIVALENT, 0.05), (fine, SLOWER, verdict.MARGIN)):
        row = one(found(fine, 100.0), found(goal, 97.0), metric="ndr_pps")
        assert (row.verdict, row.margin) == (verdict_, margin)
    steps = one(found("step_pps=10;max_pps=200", 100.0), found("step_pps=10;max_pps=200", 95.0), metric="ndr_pps")
    assert (steps.verdict, steps.margin) == (EQUIVALENT, pytest.approx(10 / 95))
    for nonsense in ("width_ratio=7", "width_ratio=-1", "width_ratio=nan", "width_ratio", "step_pps=1e9"):
        assert one(found(nonsense, 100.0), found(nonsense, 97.0), metric="ndr_pps").margin == verdict.MARGIN


def test_a_raised_margin_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = seeded()
    run = made_run(tmp_path / "r", {"old": noisy(r, 1), "new": noisy(r, 0.97)})
    rows = list(csv.DictReader(io.StringIO((run / "results.csv").read_text())))
    with (run / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "goal": "loss_ratio=0.0;width_ratio=0.05"} for row in rows)
    assert compare(run, "--csv", tmp_path / "c.csv") == 0
    assert "margin raised to 5 %: the width of the search" in capsys.readouterr().out
    [line] = csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text()))
    assert (line["verdict"], line["margin"]) == ("equivalent", "0.05")
    assert line["goal"] == "loss_ratio=0.0;width_ratio=0.05"        # so that a figure can say which loss was allowed
