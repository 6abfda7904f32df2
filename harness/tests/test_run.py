# SPDX-License-Identifier: BSD-3-Clause
"""Whole runs: from a scenario to CSV and figure on a simulated testbed, through failures and signals; and the null
switch for real, as a process that is interrupted and killed.
"""

import csv
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import bed, cli, figures, host, interrupts, run
from harness.cell import Cell
from harness.errors import CannotRun, CellFailed
from harness.run import Outcome
from harness.sim import SimulatedTestbed, simulated_up
from harness.switches.base import Check
from harness.tests.support import (CPUS, NULL_CELL, QUICK, ROOT, cells_of, cells_of_text, eventually, is_running,
                                   processes_of, start_vswbench, vswbench, write)
from harness.trial import Request, Trial

CAPACITY_PPS = 5e6
FOUR_CELLS = """
[matrix]
topology = "p2p"
frame_bytes = [64, 128, 256, 512]
switch = "testpmd"
[latency]
at_rplus = [0.1, 0.5]
"""
needs_gnuplot = pytest.mark.skipif(shutil.which("gnuplot") is None, reason="gnuplot is not installed")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def measure(cells: list[Cell], out: Path, up: Any = simulated_up(CAPACITY_PPS)) -> tuple[Path, list[Outcome]]:
    """A run without a machine."""
    return run.run("test", cells, bed.load(None), out, lambda line: None, {}, up=up)


def trial_count(cell: Cell) -> int:
    """Trials of a cell whose generator holds both ends."""
    s = cell.search
    return bool(s.warmup_s) + s.trials + len(s.latency_at_rplus) * s.latency_trials


def capacity_pps(row: dict[str, str]) -> float:
    """What the simulated switch forwards in a cell."""
    return CAPACITY_PPS / (1 + (int(row["frame_bytes"]) - 64) / 2048) / max(1, int(row["chain_length"]))


# ---- what is kept of switches --------------------------------------------------------------------------------------

def test_what_we_build_of_a_switch_is_among_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BUILD", tmp_path)
    write(tmp_path / "xdp_patch.bpf.o", "a program")
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\nport_kind = "af_packet"', switches=["xdp"])
    checks = {"xdp": Check("Linux", "", ("/bin/sh",))}
    known = run._versions(checks, cells, bed.load(None))["switches"]["xdp"]["sha256"]
    assert known == {str(path): host.sha256(path) for path in (tmp_path / "xdp_patch.bpf.o", "/bin/sh")}


def test_builds_that_differ_in_any_file_have_another_hash_in_every_row(runtime: Path, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are installed; and that of a switch of one file is that file's."""
    def row_hashes(*texts: str) -> set[str]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        files = [str(write(folder / str(number), text)) for number, text in enumerate(texts)]
        monkeypatch.setattr(run, "_versions", lambda *_: {"vswbench": "v", "switches": {
            "null": {"version": "1", "sha256": {file: host.sha256(file) for file in files}}}})
        out, _ = measure(cells_of_text(tmp_path, NULL_CELL), tmp_path / "out")
        return {row["switch_sha256"] for name in ("trials", "results") for row in rows_of(out / f"{name}.csv")}
    same, again, other, swapped, alone, none = (row_hashes(*texts) for texts in (
        "ab", "ab", "ac", "ba", "a", ""))
    assert same == again and len({*same, *other, *swapped, *alone}) == 4
    assert alone == {hashlib.sha256(b"a").hexdigest()} and none == {""}


def test_what_a_switch_takes_of_the_machine_is_missed_before_it_starts(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its ports are sockets."""
    monkeypatch.setenv("PATH", str(tmp_path))
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"', switches=["ovs-dpdk", "bess"])
    lines = run.missing(cells, {}, bed.load(None))
    assert {line for line in lines if "apt-get" in line} == {
        f"{tool} is not there: apt-get install {package}" for tool, package in {
            "ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount", "umount": "mount",
            "setpriv": "util-linux", "taskset": "util-linux"}.items()}


def test_without_git_a_run_does_not_know_its_version_and_says_so(runtime: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    folder, [outcome] = run.run("t", cells_of_text(tmp_path, NULL_CELL), bed.load(None), tmp_path / "out", said.append,
                                {}, up=simulated_up(CAPACITY_PPS))
    assert outcome.status == "ok" and json.loads((folder / "run.json").read_text())["versions"]["vswbench"] == ""
    assert any("apt-get install git" in line for line in said)


def test_switches_that_a_run_does_not_measure_are_no_part_of_its_plan(runtime: Path, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be resumed from another shell."""
    cells = cells_of_text(tmp_path, NULL_CELL)
    one, _ = measure(cells, tmp_path / "out")
    monkeypatch.setenv("VSWBENCH_SNABB_PREFIX", "/opt/snabb")
    other, _ = measure(cells, tmp_path / "out")
    fingerprints = [json.loads((folder / "run.json").read_text())["fingerprint"] for folder in (one, other)]
    assert fingerprints[0] == fingerprints[1]


# ---- simulated: the quick suite ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome]]:
    """The quick suite, measured once."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "runtime").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(host, "runtime_root", lambda: folder / "runtime")
        patched.setattr(host, "lock_path", lambda: folder / "runtime" / "vswbench.lock")
        patched.setattr(os, "geteuid", lambda: 1000)        # root is not needed, nor what only root may
        patched.setattr(host, "_write_hugepages", lambda count: pytest.fail("hugepages were touched"))
        done = measure(cells_of(QUICK, cpus=(0, 1)), folder / "results")
    assert [p.name for p in (folder / "runtime").iterdir() if not p.name.endswith(".lock")] == []
    return done


def test_every_cell_of_the_quick_suite_is_measured(quick: tuple[Path, list[Outcome]]) -> None:
    folder, outcomes = quick
    assert len(outcomes) == 36
    assert {o.status for o in outcomes} == {"ok"}
    assert {row["cell_id"] for row in rows_of(folder / "results.csv")} == {o.cell.id for o in outcomes}


def test_rplus_is_the_capacity_of_the_simulated_switch(quick: tuple[Path, list[Outcome]]) -> None:
    rplus = [row for row in rows_of(quick[0] / "results.csv") if row["metric"] == "rplus_pps"]
    assert len(rplus) == 36
    for row in rplus:
        assert float(row["value"]) == pytest.approx(capacity_pps(row), rel=1e-5), row["cell_id"]
        assert (row["n"], row["status"], row["unit"]) == ("3", "ok", "pps")


def test_sent_is_received_plus_lost_in_every_trial(quick: tuple[Path, list[Outcome]]) -> None:
    rows = rows_of(quick[0] / "trials.csv")
    assert len(rows) > 36 * 4
    for row in rows:
        assert int(row["sent_count"]) == int(row["received_count"]) + int(row["lost_count"])
        assert int(row["sent_count"]) > 0


def test_trials_of_a_cell_come_in_the_order_of_the_search(quick: tuple[Path, list[Outcome]]) -> None:
    phases: dict[str, list[str]] = {}
    for row in rows_of(quick[0] / "trials.csv"):
        phases.setdefault(row["cell_id"], []).append(row["phase"])
    here = ["warmup", "rplus", "rplus", "rplus"]
    paced = [f"latency@{f}rplus" for f in ("0.10", "0.50", "0.99")] * quick[1][0].cell.search.latency_trials
    assert {tuple(p) for p in phases.values()} == {(*here, "telemetry"), (*here, *paced, "telemetry")}
    assert {c.split(".")[1] for c, p in phases.items() if p == [*here, "telemetry"]} == {"p2v", "v2v"}


def test_flags_of_a_small_machine_stand_at_every_figure(quick: tuple[Path, list[Outcome]]) -> None:
    """Two CPUs: the switch has one, so that whatever is more than one poller shares the other."""
    for row in rows_of(quick[0] / "results.csv"):
        assert ("oversubscribed" in row["flags"].split(";")) == (row["topology"] != "p2p"), row["cell_id"]
        assert row["accel"] == ("tcg" if row["guest"] == "qemu" else "")


def test_run_json_tells_what_was_measured_on_what(quick: tuple[Path, list[Outcome]]) -> None:
    folder, outcomes = quick
    about = json.loads((folder / "run.json").read_text())
    assert about["state"] == "complete" and about["run_id"] == folder.name
    assert set(about["outcomes"]) == {o.cell.id for o in outcomes}
    assert about["machine"]["cpu_count"] and "vswbench" in about["versions"] and about["testbed"]["name"] == "auto"


@needs_gnuplot
def test_the_figures_of_a_run_are_drawn(quick: tuple[Path, list[Outcome]]) -> None:
    drawn = figures.draw(quick[0])
    assert {p.suffix for p in drawn} >= {".svg", ".png", ".pdf"}
    assert all(p.stat().st_size > 1000 for p in drawn if p.suffix != ".dat")


def test_a_run_leaves_results_and_nothing_else(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR_CELLS)
    folder, _ = measure(cells, tmp_path / "results")
    assert sorted(p.name for p in runtime.iterdir()) == ["vswbench.lock"]
    assert sorted(p.name for p in folder.iterdir()) == ["blocks.csv", "histograms.csv", "latency.csv", "ledger.csv", "logs",
                                                        "nfs.csv", "ports.csv", "results.csv", "run.json", "series.csv",
                                                        "trials.csv"]
    assert {p.name for p in (folder / "logs").iterdir()} == {c.id for c in cells}
    assert "VSWBENCH_RUN" not in os.environ


def test_two_runs_have_two_folders(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, FOUR_CELLS)
    assert measure(cells, tmp_path / "results")[0] != measure(cells, tmp_path / "results")[0]


def test_what_a_switch_cannot_do_is_neither_failed_nor_zero(tmp_path: Path, runtime: Path) -> None:
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"', switches=["null", "testpmd"])
    folder, outcomes = measure(cells, tmp_path / "results")
    assert [o.status for o in outcomes] == ["unsupported", "ok"]
    row = rows_of(folder / "results.csv")[0]
    assert (row["status"], row["value"], row["n"]) == ("unsupported", "", "0") and "vhost-user" in row["reason"]


# ---- simulated: failures and signals -------------------------------------------------------------------------------

class Trouble(SimulatedTestbed):
    """Calls trouble(cell number, trial number in the cell) before each trial."""

    def __init__(self, cell: Cell, number: int, trouble: Callable[[int, int], None]) -> None:
        super().__init__(cell, CAPACITY_PPS)
        self.number, self.trials, self.trouble = number, 0, trouble

    def measure(self, request: Request) -> Trial:
        self.trials += 1
        self.trouble(self.number, self.trials)
        return super().measure(request)


class Machine:
    """A stand-in for testbed.up() that remembers what is up."""

    def __init__(self, trouble: Callable[[int, int], None] = lambda c, t: None,
                 at_start: Callable[[int], None] = lambda c: None,
                 at_end: Callable[[int], None] = lambda c: None) -> None:
        self.trouble, self.at_start, self.at_end = trouble, at_start, at_end
        self.up_count, self.down_count = 0, 0

    @contextmanager
    def __call__(self, cell: Cell, setup: object, logs: Path) -> Iterator[Trouble]:
        assert self.up_count == self.down_count, "the cell before is still up"
        self.up_count += 1
        number = self.up_count
        try:
            self.at_start(number)
            yield Trouble(cell, number, self.trouble)
        finally:
            self.at_end(number)
            self.down_count += 1


def at(cell: int, trial: int, do: Callable[[], object]) -> Callable[[int, int], None]:
    return lambda c, t: (c, t) == (cell, trial) and do() and None  # type: ignore[return-value,func-returns-value]


def signal_us(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def fail(words: str) -> Callable[..., None]:
    def do(*_: object) -> None:
        raise CellFailed(words)
    return do


def troubled(tmp_path: Path, machine: Machine) -> tuple[Path, list[Outcome]]:
    """Four cells on this machine; whatever happens, all that came up is down and our signal handlers are back."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    done = measure(cells_of_text(tmp_path, FOUR_CELLS), tmp_path / "results", machine)
    assert machine.up_count == machine.down_count
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    return done


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [o.status for o in outcomes]


def state_of(folder: Path) -> str:
    state: str = json.loads((folder / "run.json").read_text())["state"]
    return state


def test_a_testbed_that_does_not_come_up_fails_its_cell_only(tmp_path: Path, runtime: Path) -> None:
    folder, outcomes = troubled(tmp_path, Machine(at_start=lambda c: c == 2 and fail("no link; see /log")() or None))
    assert statuses(outcomes) == ["ok", "failed", "ok", "ok"]
    assert outcomes[1].reason == "no link; see /log"
    [row] = [r for r in rows_of(folder / "results.csv") if r["cell_id"] == outcomes[1].cell.id]
    assert (row["status"], row["value"], row["reason"]) == ("failed", "", "no link; see /log")
    assert state_of(folder) == "complete"


def test_a_trial_that_fails_keeps_the_trials_before_it(tmp_path: Path, runtime: Path) -> None:
    folder, outcomes = troubled(tmp_path, Machine(at(3, 3, fail("the switch died"))))
    assert statuses(outcomes) == ["ok", "ok", "failed", "ok"]
    trials = [r["phase"] for r in rows_of(folder / "trials.csv") if r["cell_id"] == outcomes[2].cell.id]
    assert trials == ["warmup", "rplus"]


def test_every_trial_is_on_disk_before_the_next_one_starts(tmp_path: Path, runtime: Path) -> None:
    counts: list[int] = []

    def count(cell: int, trial: int) -> None:
        [path] = (tmp_path / "results").glob("*/trials.csv")
        counts.append(len(rows_of(path)))
    _, outcomes = troubled(tmp_path, Machine(count))
    assert counts == list(range(len(counts))) and len(counts) == sum(trial_count(o.cell) for o in outcomes)


def test_ctrl_c_gives_up_the_cell_and_the_run_goes_on(tmp_path: Path, runtime: Path) -> None:
    folder, outcomes = troubled(tmp_path, Machine(at(2, 2, signal_us(signal.SIGINT))))
    assert statuses(outcomes) == ["ok", "failed", "ok", "ok"]
    assert "SIGINT" in outcomes[1].reason
    assert state_of(folder) == "complete"


def test_two_ctrl_c_end_the_run(tmp_path: Path, runtime: Path) -> None:
    def twice(cell: int, trial: int) -> None:
        if (cell, trial) in ((2, 2), (3, 1)):
            os.kill(os.getpid(), signal.SIGINT)
    folder, outcomes = troubled(tmp_path, Machine(twice))
    assert statuses(outcomes) == ["ok", "failed", "failed"]
    assert state_of(folder) == "interrupted"


def test_two_ctrl_c_far_apart_are_two_cells(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "SECOND_S", 0.0)
    _, outcomes = troubled(tmp_path, Machine(lambda c, t: signal_us(signal.SIGINT)() if c in (1, 2) else None))
    assert statuses(outcomes) == ["failed", "failed", "ok", "ok"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_request_to_end_ends_the_run(number: signal.Signals, tmp_path: Path, runtime: Path) -> None:
    folder, outcomes = troubled(tmp_path, Machine(at(2, 2, signal_us(number))))
    assert statuses(outcomes) == ["ok", "failed"]
    assert number.name in outcomes[1].reason and state_of(folder) == "interrupted"


def test_a_signal_while_coming_up_takes_down_what_is_up(tmp_path: Path, runtime: Path) -> None:
    _, outcomes = troubled(tmp_path, Machine(at_start=lambda c: signal_us(signal.SIGTERM)() if c == 1 else None))
    assert statuses(outcomes) == ["failed"]


def test_a_signal_while_going_down_waits_until_all_is_down(tmp_path: Path, runtime: Path) -> None:
    """The measured cell stays measured, and the run ends behind it."""
    def late(cell: int) -> None:
        if cell == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    _, outcomes = troubled(tmp_path, Machine(at_end=late))
    assert statuses(outcomes) == ["ok", "ok"]


def test_three_signals_while_going_down_interrupt_nothing(tmp_path: Path, runtime: Path) -> None:
    machine = Machine(at(1, 1, signal_us(signal.SIGINT)),
                      at_end=lambda c: [signal_us(signal.SIGINT)() for _ in range(3)] and None)
    _, outcomes = troubled(tmp_path, machine)
    assert set(statuses(outcomes)) == {"failed"} and len(outcomes) < 4


@pytest.mark.parametrize("trouble, status", [
    (lambda c, t: None, 0), (at(2, 2, fail("x")), 1), (at(2, 2, signal_us(signal.SIGINT)), 1),
    (at(2, 2, signal_us(signal.SIGTERM)), 130), (lambda c, t: signal_us(signal.SIGINT)(), 130)],
    ids=["all is well", "a cell fails", "Ctrl-C once", "SIGTERM", "Ctrl-C twice"])
def test_the_exit_status_tells_how_it_went(trouble: Callable[[int, int], None], status: int, tmp_path: Path,
                                           runtime: Path,
                                           monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(run, "run", functools.partial(run.run, up=Machine(trouble)))
    monkeypatch.setattr(figures, "draw", lambda folder: [])
    monkeypatch.setattr(host, "cpus", lambda: list(CPUS))
    file = write(tmp_path / "t.toml", 'name = "t"\n' + FOUR_CELLS)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "results"), "--json"]) == status
    said = json.loads(capsys.readouterr().out)
    assert len(said["cells"]) == (4 if status < 130 else len(said["cells"])) and Path(said["run"]).is_dir()


def test_the_table_of_a_run_shows_measured_failed_and_not_supported(tmp_path: Path, runtime: Path,
                                                                    monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(run, "run", functools.partial(run.run, up=Machine(at(1, 1, fail("x")))))
    monkeypatch.setattr(figures, "draw", lambda folder: [])
    monkeypatch.setenv("COLUMNS", "200")
    file = write(tmp_path / "t.toml", 'name = "t"\n' + FOUR_CELLS)
    cli.main(["run", str(file), "--out", str(tmp_path / "results"), "--switch", "testpmd", "--switch", "null"])
    out = capsys.readouterr().out
    assert "failed" in out and "n/a" in out and "testpmd" in out and "FAILED: x" in out
    assert f"{CAPACITY_PPS / (1 + 64 / 2048) / 1e6:.3f}" in out


# ---- the null switch, for real -------------------------------------------------------------------------------------

BUILT = all((run.BUILD / name).exists() for name in ("pktgen", "meter", "vnf"))
needs_pktgen = pytest.mark.skipif(not BUILT, reason=f"pktgen, meter and vnf are not built in {run.BUILD}")
SHORT = "trials = 1\ntrial_s = 0.1\nwarmup_s = 0\n"


def null_scenario(folder: Path, search: str = SHORT) -> Path:
    """scenarios/null.toml with another search and one short latency trial at each load."""
    return write(folder / "null.toml", f'scenarios = ["{ROOT}/scenarios/null.toml"]\n[override.search]\n{search}'
                 "[override.latency]\ntrials = 1\ntrial_s = 0.1\n")


@needs_pktgen
def test_the_null_switch_is_measured(tmp_path: Path, runtime: Path) -> None:
    status, out, err = vswbench(runtime, "run", null_scenario(tmp_path), "--out", tmp_path / "results", timeout_s=60)
    assert (status, err) == (0, ""), out
    [folder] = (tmp_path / "results").iterdir()
    rows = rows_of(folder / "trials.csv")
    assert len(rows) == 4 * 3           # cells; R+, latency at two loads
    for row in rows:
        assert row["status"] == "ok"
        assert int(row["sent_count"]) == int(row["received_count"]) + int(row["lost_count"]) > 0
        assert int(row["lost_count"]) == 0 or row["phase"] == "rplus"
    rplus = [float(r["value"]) for r in rows_of(folder / "results.csv") if r["metric"] == "rplus_pps"]
    assert len(rplus) == 4 and min(rplus) > 1e5
    assert [p.name for p in runtime.iterdir() if not p.name.endswith(".lock")] == []
    assert processes_of(runtime) == []


def own_user() -> list[str]:
    """A command that drops root, if we have it."""
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []


@needs_pktgen
def test_the_null_switch_needs_no_root(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The program itself, as a person without rights runs it."""
    may_read = subprocess.run([*own_user(), "test", "-r", str(ROOT / "harness" / "cli.py")],
                              check=False).returncode == 0
    if not may_read:
        pytest.skip("this checkout cannot be read without root")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = null_scenario(folder)
        for path in (folder, file):
            path.chmod(0o777)
        def measured() -> "subprocess.CompletedProcess[str] | None":
            try:
                with host.hold_machine("a test"):
                    pass
            except CannotRun:
                return None
            done = subprocess.run([*own_user(), str(ROOT / "vswbench"), "run", str(file), "--out",
                                   str(folder / "results"), "--json"],
                                  capture_output=True, text=True, timeout=60, check=False,
                                  env={**os.environ, "TMPDIR": str(folder), "HOME": str(folder)})
            return None if "another run holds this machine" in done.stderr else done
        try:
            done = eventually(measured, 60)
        except AssertionError:
            pytest.skip("another run holds this machine")
        assert done.returncode == 0, done.stderr
        assert {c["status"] for c in json.loads(done.stdout)["cells"].values()} == {"ok"}
        assert [p.name for p in folder.iterdir() if p.name.startswith("vswbench-")] == []


LONG = "trials = 50\ntrial_s = 0.2\nwarmup_s = 0\n"


@pytest.fixture
def in_mid_run(tmp_path: Path, runtime: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A long run that has measured its first trial, and the pids of what it has started."""
    process = start_vswbench(runtime, "run", null_scenario(tmp_path, LONG), "--out", tmp_path / "results")
    try:
        eventually(lambda: any(len(rows_of(p)) for p in (tmp_path / "results").glob("*/trials.csv")), 30)
        children = processes_of(runtime)
        assert children
        yield process, children
    finally:
        process.kill()
        process.communicate()


@needs_pktgen
def test_nothing_outlives_a_killed_harness_and_the_next_run_clears_up(
        in_mid_run: tuple["subprocess.Popen[str]", list[int]], tmp_path: Path, runtime: Path) -> None:
    process, children = in_mid_run
    process.kill()
    process.wait()
    eventually(lambda: not any(map(is_running, children)), 5)
    assert processes_of(runtime) == []
    [old] = runtime.glob("vswbench-*")
    [folder] = (tmp_path / "results").iterdir()
    assert rows_of(folder / "trials.csv") and state_of(folder) == "running"
    short = write(tmp_path / "short.toml", 'name = "short"\n' + NULL_CELL + "[search]\n" + SHORT)
    status, _, _ = vswbench(runtime, "run", short, "--out", tmp_path / "results")
    assert status == 0 and not old.exists()


@needs_pktgen
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGHUP]],
                         ids=lambda signals: " ".join(s.name for s in signals))
def test_an_interrupted_run_ends_soon_with_all_it_started(signals: list[signal.Signals], tmp_path: Path, runtime: Path,
                                                          in_mid_run: tuple["subprocess.Popen[str]",
                                                                            list[int]]) -> None:
    process, children = in_mid_run
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert not any(map(is_running, children)) and processes_of(runtime) == []
    assert list(runtime.glob("vswbench-*")) == []
    [folder] = (tmp_path / "results").iterdir()
    assert state_of(folder) == "interrupted"
    assert [r["status"] for r in rows_of(folder / "results.csv") if r["metric"] == "rplus_pps"][:1] == ["failed"]


@needs_pktgen
def test_a_generator_that_is_killed_fails_its_cell_and_the_next_one_is_measured(
        in_mid_run: tuple["subprocess.Popen[str]", list[int]], tmp_path: Path) -> None:
    process, children = in_mid_run
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    [folder] = (tmp_path / "results").iterdir()
    failed = eventually(lambda: rows_of(folder / "results.csv"), 10)[0]
    assert failed["status"] == "failed" and "SIGKILL" in failed["reason"] and "generator.log" in failed["reason"]
    eventually(lambda: {r["cell_id"] for r in rows_of(folder / "trials.csv")} - {failed["cell_id"]}, 10)
    assert process.poll() is None
