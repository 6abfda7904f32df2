# SPDX-License-Identifier: BSD-3-Clause
"""Repeats: the order of blocks, what a run of several leaves, and going on with one that was stopped or killed."""

import csv
import hashlib
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import bed, blocks, outcome, record, results, resume, run
from harness.asked import Asked, of_run, unpacked
from harness.cell import Cell
from harness.errors import BadInput, CellFailed
from harness.run import Outcome
from harness.scenario import fingerprint
from harness.search import Result
from harness.sim import SimulatedTestbed, simulated_up
from harness.tests.support import (NULL_CELL, QUICK, cells_of, cells_of_text, eventually, executable, seeded,
                                   start_vswbench, vswbench, write)
from harness.trial import Request, Trial

SIX_CELLS = """
[matrix]
topology = "p2p"
frame_bytes = [64, 512, 1024]
switch = ["testpmd", "ovs-dpdk"]
[search]
trials = 2
[repeat]
blocks = 4
"""


def order(cells: list[Cell], **more: Any) -> list[list[str]]:
    """Ids of the cells of each block."""
    turns = blocks.schedule([replace(c, repeat=replace(c.repeat, **more)) for c in cells])
    assert [t.position for t in turns] == list(range(1, len(turns) + 1))
    return [[t.cell.id for t in turns if t.block == b] for b in range(1, max(t.block for t in turns) + 1)]


# ---- the order -----------------------------------------------------------------------------------------------------

def test_one_block_is_the_plan() -> None:
    cells = cells_of(QUICK)
    assert order(cells) == [[c.id for c in cells]]


@pytest.mark.parametrize("kind", ["shuffled", "abba"])
def test_every_block_has_every_cell_once_and_switches_of_a_point_come_together(kind: str, tmp_path: Path) -> None:
    r = seeded()
    cells = cells_of_text(tmp_path, SIX_CELLS)
    point = {c.id: c.point for c in cells}
    for _ in range(50):
        for block in order(cells, order=kind, seed=r.randrange(2 ** 63), blocks=r.randint(2, 20)):
            assert Counter(block) == Counter(c.id for c in cells)
            points = [point[cell] for cell in block]
            assert sum(a != b for a, b in zip(points, points[1:])) == len(set(points)) - 1


def test_the_seed_gives_the_order() -> None:
    cells = cells_of(QUICK)
    one, again, other = (order(cells, blocks=5, seed=s) for s in (7, 7, 8))
    assert one == again != other
    assert len({tuple(block) for block in one}) == 5


def test_shuffled_switches_come_first_equally_often(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, SIX_CELLS)
    first = Counter(block[i].rpartition(".")[2] for block in order(cells, blocks=400) for i in (0, 2, 4))
    assert 500 < first["testpmd"] < 700         # of 1200


def test_abba_goes_to_and_fro(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, SIX_CELLS)
    to, fro, *_ = order(cells, order="abba", blocks=4)
    assert to == [c.id for c in cells]
    assert [id.rpartition(".")[2] for id in fro] == ["ovs-dpdk", "testpmd"] * 3
    assert [id.rpartition(".")[0] for id in fro] == [id.rpartition(".")[0] for id in to]


def test_scenarios_of_a_suite_have_blocks_of_their_own(tmp_path: Path) -> None:
    for name, count in (("one", 1), ("three", 3)):
        write(tmp_path / f"{name}.toml", f'name = "{name}"\n{NULL_CELL}[repeat]\nblocks = {count}\n')
    cells = cells_of(write(tmp_path / "suite.toml", 'scenarios = ["one.toml", "three.toml"]'))
    assert [{c.partition(".")[0] for c in block} for block in order(cells)] == [{"one", "three"}, {"three"}, {"three"}]


def test_a_name_that_is_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'anchor' is the name of a cell"):
        cells_of(write(tmp_path / "x.toml", 'name = "anchor"\n' + NULL_CELL))


# ---- a run of several blocks ---------------------------------------------------------------------------------------

class Noisy(SimulatedTestbed):
    """Every start of the switch has a speed of its own; `fail` may raise."""

    def __init__(self, cell: Cell, factor: float, fail: Any) -> None:
        super().__init__(cell, 5e6 * factor)
        self.fail = fail

    def measure(self, request: Request) -> Trial:
        self.fail(self.cell)
        return super().measure(request)


def noisy(fail: Any = lambda start, cell: None, factor: Any = lambda start, cell: 1.0) -> Any:
    """A stand-in for testbed.up(); `fail` and `factor` are told how many starts there were."""
    starts = Counter[str]()

    @contextmanager
    def up(cell: Cell, setup: object, logs: Path) -> Iterator[Noisy]:
        starts["all"] += 1
        starts[cell.id] += 1
        start = starts["all"]
        yield Noisy(cell, factor(starts[cell.id], cell), lambda c: fail(start, c))
    up.starts = starts  # type: ignore[attr-defined]
    return up


def measure(cells: list[Cell], out: Path, up: Any = simulated_up(5e6), **more: Any) -> tuple[Path, list[Outcome]]:
    return run.run("t", cells, bed.load(None), out, lambda line: None, {"t.toml": "text"}, up=up,
                   request=Asked((Path("t.toml"),)).as_json(), **more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def raising(words: str) -> Any:
    raise CellFailed(words)


def test_each_block_has_a_start_and_a_row_and_the_cell_a_summary(tmp_path: Path, runtime: Path) -> None:
    factors = [1.00, 0.98, 1.03, 0.90]
    up = noisy(factor=lambda start, cell: factors[start - 1])
    folder, outcomes = measure(cells_of_text(tmp_path, SIX_CELLS), tmp_path / "out", up)
    assert len(outcomes) == 6 and {o.status for o in outcomes} == {"ok"}
    assert set(up.starts.values()) == {4, 7 * 4}        # six cells and the anchor
    rows = [r for r in rows_of(folder / "results.csv") if r["metric"] == "rplus_pps" and r["frame_bytes"] == "64"
            and r["switch"] == "testpmd"]
    assert [r["block"] for r in rows] == ["1", "2", "3", "4", ""]
    assert [float(r["value"]) for r in rows] == pytest.approx([5e6 * f for f in (*factors, 0.99)], rel=1e-5)
    assert [float(rows[-1][c]) for c in ("ci_low", "ci_high", "n")] == pytest.approx([4.5e6, 5.15e6, 4], rel=1e-5)
    assert Counter(t["block"] for t in rows_of(folder / "trials.csv")) == {str(b): 6 * 3 + 4 for b in (1, 2, 3, 4)}
    journal = rows_of(folder / "blocks.csv")
    about = json.loads((folder / "run.json").read_text())
    assert [[int(r["block"]), r["cell_id"]] for r in journal] == about["order"] and len(journal) == 28
    assert [r["cell_id"] for r in journal if r["cell_id"].startswith("anchor")] == [journal[0]["cell_id"]] * 4


def test_a_run_without_blocks_has_no_anchor_and_no_block_rows(tmp_path: Path, runtime: Path) -> None:
    folder, _ = measure(cells_of_text(tmp_path, SIX_CELLS.replace("blocks = 4", "blocks = 1")), tmp_path / "out")
    assert {r["block"] for r in rows_of(folder / "results.csv")} == {""}
    assert not any("anchor" in r["cell_id"] for r in rows_of(folder / "trials.csv"))


def test_blocks_that_fail_are_flagged_and_the_others_count(tmp_path: Path, runtime: Path) -> None:
    def fail(start: int, cell: Cell) -> None:
        if start in (3, 4):
            raising("it broke")
    cells = cells_of_text(tmp_path, SIX_CELLS)
    folder, outcomes = measure(cells, tmp_path / "out", noisy(fail))
    bad = [o for o in outcomes if "blocks_missing" in o.flags]
    assert len(bad) == 2 and all("1 of 4 blocks failed; the first: it broke" == o.reason for o in bad)
    [row] = [r for r in rows_of(folder / "results.csv") if r["cell_id"] == bad[0].cell.id and r["metric"] == "rplus_pps"
             and not r["block"]]
    assert row["n"] == "3" and "blocks_missing" in row["flags"]


# ---- going on ------------------------------------------------------------------------------------------------------

def go_on(cells: list[Cell], folder: Path, up: Any = simulated_up(5e6), **more: Any) -> tuple[Path, list[Outcome]]:
    return measure(cells, folder.parent, up, go_on=folder, **more)


def same_tables(one: Path, other: Path, but: tuple[str, ...] = ()) -> None:
    """The same cells, blocks, trials and figures, whatever happened on the way."""
    for name in record.TABLES:
        keys = [c for c in record.TABLES[name] if c not in ("run_id", "trial_id", "started_utc", "ended_utc",
                                                            "load_average", "reason", *but)]
        a, b = ([tuple(r[k] for k in keys) for r in rows_of(folder / f"{name}.csv")] for folder in (one, other))
        assert Counter(a) == Counter(b), name


def check_ids(folder: Path) -> None:
    """No trial id comes twice, and histograms belong to trials."""
    ids = [r["trial_id"] for r in rows_of(folder / "trials.csv")]
    assert len(set(ids)) == len(ids)
    assert {r["trial_id"] for r in rows_of(folder / "latency.csv")} <= set(ids)


def test_a_run_cut_off_anywhere_goes_on_to_the_same_end(tmp_path: Path, runtime: Path) -> None:
    """As a kill leaves it: every table ends somewhere, in mid-row or not, blocks.csv not after the others."""
    r = seeded()
    cells = cells_of_text(tmp_path, SIX_CELLS)
    whole, _ = measure(cells, tmp_path / "whole")
    journal = (whole / "blocks.csv").read_bytes()
    for number in range(5):
        folder = shutil.copytree(whole, tmp_path / f"cut{number}" / whole.name)
        text = journal[:r.randint(len(journal.split(b"\r\n")[0]) + 2, len(journal))]
        (folder / "blocks.csv").write_bytes(text)
        ended = text.replace(b"\n", b"").split(b"\r")[1:-1]         # a line that lost only its last byte is whole
        finished = [tuple(line.split(b",")[i].decode() for i in (1, 3)) for line in ended]
        for name in ("trials", "results", "latency", "ports", "series", "histograms"):
            path = folder / f"{name}.csv"
            content = path.read_bytes()
            if finished:
                last = content.rfind(f",{finished[-1][1]},".encode())
                needed = last if name in ("trials", "results") else len(content)
                needed = content.find(b"\r\n", max(needed, 0))
                path.write_bytes(content[:r.randint(needed + 2, len(content)) if 0 <= needed < len(content) - 2
                                         else len(content)])
        about = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**about, "state": "running"}))
        up = noisy()
        done, outcomes = go_on(cells, folder, up)
        assert done == folder and len(outcomes) == 6 and {o.status for o in outcomes} == {"ok"}
        assert up.starts["all"] == 28 - len(finished)
        same_tables(whole, folder, but=("position",))
        check_ids(folder)
        read = results.read(folder)
        assert not read.warnings and json.loads((folder / "run.json").read_text())["state"] == "complete"


def test_what_failed_is_measured_again_and_its_rows_are_set_aside(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, SIX_CELLS)
    whole, _ = measure(cells, tmp_path / "whole")

    def fail(start: int, cell: Cell) -> None:
        if start == 5:
            raising("it broke")
    folder, _ = measure(cells, tmp_path / "out", noisy(fail))
    up = noisy()
    _, outcomes = go_on(cells, folder, up)
    assert up.starts["all"] == 1 and not any(o.flags for o in outcomes if "blocks_missing" in o.flags)
    same_tables(whole, folder, but=("position",))
    assert [r["status"] for r in rows_of(folder / "unfinished" / "1" / "blocks.csv")] == ["failed"]


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, SIX_CELLS)
    folder, _ = measure(cells, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in folder.glob("*.csv")}
    up = noisy()
    _, outcomes = go_on(cells, folder, up)
    assert up.starts["all"] == 0 and len(outcomes) == 6
    assert {p.name: p.read_bytes() for p in folder.glob("*.csv")} == before


def test_what_is_another_run_is_refused_with_the_reason(tmp_path: Path, runtime: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    cells = cells_of_text(tmp_path, SIX_CELLS)
    folder, _ = measure(cells, tmp_path / "out")
    about = json.loads((folder / "run.json").read_text())
    for change, why in (
            ({"sources": {"t.toml": "other"}}, "the text of t.toml is another one"),
            ({"machine": {**about["machine"], "cpu_model": "Z80"}}, "cpu_model was 'Z80'"),
            ({"versions": {**about["versions"], "sha256": {"pktgen": "0"}}}, "another build or version"),
            ({"versions": {**about["versions"], "switches": {}}}, "another build or version"),
            ({"fingerprint": fingerprint([])}, "the plan is another one"),
            ({"schema_version": 99}, "schema version 99")):
        (folder / "run.json").write_text(json.dumps({**about, **change}))
        before = {p.name: p.read_bytes() for p in folder.glob("*.csv")}
        with pytest.raises(BadInput, match=why):
            go_on(cells, folder)
        assert {p.name: p.read_bytes() for p in folder.glob("*.csv")} == before
    (folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match="the plan is another one"):
        go_on(cells[:-1], folder)


def test_an_image_of_ones_own_is_known_by_its_content(tmp_path: Path, runtime: Path) -> None:
    image = write(tmp_path / "debian.qcow2", "one system")
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2v"\nguest = "qemu"\nswitch = "testpmd"\n[guest]\n'
                                    'image = "debian.qcow2"\n')
    folder, _ = measure(cells, tmp_path / "out")
    about = json.loads((folder / "run.json").read_text())
    assert about["versions"]["sha256"]["image debian.qcow2"] == hashlib.sha256(b"one system").hexdigest()
    image.write_text("another")
    with pytest.raises(BadInput, match="image debian.qcow2 is another build or version"):
        go_on(cells, folder)


def test_what_vms_run_on_is_known_by_its_content(tmp_path: Path, runtime: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    executable(tmp_path / "qemu-system-x86_64", "one version")
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2v"\nguest = "qemu"\nswitch = "testpmd"\n')
    folder, _ = measure(cells, tmp_path / "out")
    assert {"qemu", "guest kernel", "guest initramfs"} <= set(
        json.loads((folder / "run.json").read_text())["versions"]["sha256"])
    go_on(cells, folder)
    executable(tmp_path / "qemu-system-x86_64", "another version")
    with pytest.raises(BadInput, match="qemu is another build or version"):
        go_on(cells, folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"run_id": 7}'])
def test_a_run_json_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    write(tmp_path / "run.json", content)
    with pytest.raises(BadInput, match="run.json"):
        resume.about(tmp_path)


def test_files_are_unpacked_as_they_lay_to_each_other(tmp_path: Path) -> None:
    sources = {"suites/s.toml": "a", "p2p.toml": "b", "../bed.toml": "c"}
    asked = Asked((Path("suites/s.toml"),), ("x",), Path("../bed.toml"), 3)
    assert of_run({"request": asked.as_json()}) == asked
    new = unpacked(asked, sources, tmp_path / "copies")
    [suite] = new.files
    assert suite.read_text() == "a" and (suite.parent / "../p2p.toml").resolve().read_text() == "b"
    assert new.testbed and new.testbed.read_text() == "c" and (new.switches, new.blocks) == (("x",), 3)


# ---- for real: the null switch -------------------------------------------------------------------------------------

BUILT = all((run.BUILD / name).exists() for name in ("pktgen", "meter", "vnf"))
needs_pktgen = pytest.mark.skipif(not BUILT, reason=f"pktgen, meter and vnf are not built in {run.BUILD}")
NULL_BLOCKS = (f'name = "n"\n{NULL_CELL}[search]\ntrials = 2\ntrial_s = 0.05\nwarmup_s = 0\n'
               '[repeat]\nblocks = 2\n')


@needs_pktgen
def spent_s(folder: Path) -> float:
    """Of all cells of a run."""
    return sum((datetime.fromisoformat(r["ended_utc"]) - datetime.fromisoformat(r["started_utc"])).total_seconds()
               for r in rows_of(folder / "blocks.csv"))


def test_a_rate_that_varies_from_block_to_block_is_unstable(tmp_path: Path) -> None:
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\n', switches=["testpmd"])

    def flags(*rates: float, unit: str = "pps") -> Sequence[str]:
        return outcome.over_blocks(cell, [Outcome(cell, "ok", "", [Result("m", rate, unit, 3)])
                                          for rate in rates]).flags
    assert flags(1e6, 1.01e6, 0.99e6) == () and flags(1e6, 1.05e6, 0.95e6) == ("unstable",)
    assert flags(1e6, 1.05e6) == () and flags(1.0, 9.0, 5.0, unit="ns") == ()


def test_a_run_that_is_killed_goes_on_and_measures_only_what_is_missing(tmp_path: Path, runtime: Path) -> None:
    scenario = write(tmp_path / "n.toml", NULL_BLOCKS)
    process = start_vswbench(runtime, "run", scenario, "--switch", "a=null", "--switch", "b=null", "--out",
                             tmp_path / "out")

    def journal() -> list[bytes]:
        return next(iter(p.read_bytes().splitlines() for p in (tmp_path / "out").glob("*/blocks.csv")), [])
    try:
        eventually(lambda: len(journal()) >= 3, 30)
        time.sleep(0.3)         # into the next cell
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    [folder] = (tmp_path / "out").iterdir()
    done = len(journal()) - 1
    assert 2 <= done < 6
    with (folder / "trials.csv").open("ab") as file:
        file.write(b"20261121T000000Z-n-00000000,00099,n.p2p")      # in mid-row
    status, out, err = vswbench(runtime, "run", "--resume", folder, timeout_s=60)
    assert status == 0 and "Traceback" not in err, out + err
    assert "cut off" in out and out.count("] block ") == 6 - done
    assert json.loads((folder / "run.json").read_text())["duration_s"] > spent_s(folder)     # a killed run says none
    rows = [r for r in rows_of(folder / "trials.csv")]
    assert len(rows) == 2 * (2 * 2 + 4)
    assert {(r["cell_id"], r["block"]) for r in rows_of(folder / "blocks.csv")} == {
        (r["cell_id"], r["block"]) for r in rows}
    write(scenario, NULL_BLOCKS + "# changed\n")
    status, out, err = vswbench(runtime, "run", "--resume", folder)
    assert status == 2 and "the text of" in err and "Traceback" not in err
