# SPDX-License-Identifier: BSD-3-Clause
"""Calibration: measured with programs that only pretend, kept, used where it fits, and refused where it does not."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness import bed, calibrate, calibration, cli, host, programs, run
from harness.calibration import Calibration
from harness.errors import CannotRun, CellFailed
from harness.search import Result
from harness.sim import simulated_up
from harness.tests.support import NULL_CELL, cells_of_text, executable, processes_of, seeded, write

CPUS = (0, 1, 2)
MAX_PPS = 8e6

# A generator whose frames take 1 us, 2 % of whose gaps are none; it is 0.1 % slow. Sockets are made as DPDK makes them.
PKTGEN = """#!{python}
import json, os, re, sys
def say(**message):
    print(json.dumps(message), flush=True)
for path in re.findall(r"path=([^,]+)", " ".join(sys.argv)):
    open(path, "w").close()
say(event="ready", tsc_hz=2e9)
for line in sys.stdin:
    q = json.loads(line)
    if q["cmd"] == "ports":
        say(id=q["id"], ok=True, ports=[{{"link_up": True}}])
        continue
    {trouble}
    streams = []
    for s in q["streams"]:
        rate = s["rate_pps"] or {max_pps} / len(q["streams"]) * 64 / s["frame_bytes"]
        n = int(rate * q["duration_s"])
        gap = int(1e9 / rate * 1.001)
        bins = [[5, 6, n // 50], [gap, gap + 1, n - n // 50]]
        gaps = dict(count=n, min_ns=5, max_ns=gap, sum_ns=gap * n, overflow_count=0, bins=bins)
        meter = dict(received_count=n, duplicate_count=0, reordered_count=0, old_count=0, stale_count=0,
                     foreign_count=0, span_s=0.0,
                     latency=dict(count=n, min_ns=1000, max_ns=1000, sum_ns=0, bins=[[1000, 1001, n]]))
        streams.append(dict(intended_count=n if s["rate_pps"] else None, sent_count=n, tx_full_count=0,
                            departure_gap=gaps if q.get("gaps") else None,
                            meter=meter if s["rx"] is not None else None))
    say(id=q["id"], ok=True, streams=streams, tx_span_s=q["duration_s"] * 1.001, clock_error_ppm=0.0, missed_count=0,
        drained=True, workers=[dict(gap_max_ns=1, stall_ns=2, involuntary_switches=3)])
"""
VNF = """#!{python}
import sys
sys.stdin.read()
"""


@pytest.fixture
def build(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a build folder with programs that pretend, on a machine with hugepages for all."""
    monkeypatch.setattr(host, "check_hugepages_possible", lambda needed: None)
    monkeypatch.setattr(host, "enough_hugepages", lambda *_: nullcontext())
    monkeypatch.setattr(host, "cpus", lambda: list(CPUS))
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")

    def make(trouble: str = "pass", max_pps: float | str = MAX_PPS) -> Path:
        folder = tmp_path / "build"
        executable(folder / "pktgen", PKTGEN.format(python=sys.executable, trouble=trouble, max_pps=max_pps))
        executable(folder / "vnf", VNF.format(python=sys.executable))
        return folder
    return make


EFFORT = calibrate.Effort((64, 1024), 1, 0.1, (1e3, 1e6), 0.1, 2)


def calibrated(build: Path, effort: calibrate.Effort = EFFORT) -> dict[str, Any]:
    return calibrate.run(bed.load(None), CPUS, build, effort, lambda line: None)


# ---- measuring -----------------------------------------------------------------------------------------------------

def test_every_port_kind_direction_and_size_is_measured(build: Any, runtime: Path) -> None:
    content = calibrated(build())
    points = {(p["port_kind"], p["direction"], p["frame_bytes"]): p for p in content["points"]}
    assert list(points) == [("null", "one-way", 64), ("null", "one-way", 1024),
                            *((kind, way, size) for kind in ("ring", "vhost-user") for way in ("one-way", "two-way")
                              for size in (64, 1024))]
    for (kind, way, size), p in points.items():
        assert p["max_pps"] == pytest.approx(MAX_PPS * 64 / size / (2 if way == "two-way" else 1), rel=2e-3)
        if kind != "null":
            slow = p["rate_error_ratio"]
            assert slow["1000"] == pytest.approx(99 / 100 / 1.001 - 1)      # 100 frames have 99 gaps
            assert slow.get("1000000", -0.001) == pytest.approx(-0.001, rel=0.02)
            assert ("1000000" in slow) == (p["max_pps"] > 1e6) == (p["gap_near_ratio"] is not None)
            assert (p["latency_min_ns"], p["latency_p50_ns"], p["latency_p99_ns"]) == (1000, 1000, 1000)
    assert points["ring", "one-way", 64]["gap_near_ratio"] == pytest.approx(0.98)
    assert points["ring", "one-way", 64]["back_to_back_ratio"] == pytest.approx(0.02)
    assert processes_of(runtime) == [] and [p.name for p in runtime.iterdir()] == ["vswbench.lock"]


def test_a_bad_start_lowers_no_ceiling(build: Any) -> None:
    """Memory lies where it lies from one start to the end."""
    points = calibrated(build(max_pps=f"(1e6 if '-0/' in ' '.join(sys.argv) else {MAX_PPS})"))["points"]
    [found] = [p["max_pps"] for p in points if (p["port_kind"], p["direction"], p["frame_bytes"]) == (
        "vhost-user", "one-way", 64)]
    assert found == pytest.approx(MAX_PPS, rel=2e-3)


def test_it_is_kept_and_found_again(build: Any) -> None:
    folder = build()
    content = calibrated(folder)
    assert json.loads((folder / "calibration.json").read_text()) == json.loads(json.dumps(content))
    found, why = calibration.load(bed.load(None), CPUS, folder)
    assert found and not why and found.content["points"] == content["points"] and found.date == content["date"]
    assert set(content) >= {"version", "machine", "cpus", "sha256", "date", "points"}


def test_a_port_kind_that_cannot_be_had_is_left_out_and_says_why(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(needed: int) -> None:
        raise CannotRun(f"{needed} pages: run as root")
    monkeypatch.setattr(host, "check_hugepages_possible", refuse)
    content = calibrated(build())
    assert {p["port_kind"] for p in content["points"]} == {"null", "ring"}
    assert "run as root" in content["left_out"]["vhost-user"]


def test_a_generator_in_trouble_leaves_the_old_calibration(build: Any, runtime: Path) -> None:
    folder = build()
    calibrated(folder)
    before = (folder / "calibration.json").read_bytes()
    with pytest.raises(CellFailed, match="out of mbufs"):
        calibrated(build("sys.exit('out of mbufs')"))
    assert (folder / "calibration.json").read_bytes() == before
    assert processes_of(runtime) == [] and [p.name for p in runtime.iterdir()] == ["vswbench.lock"]


def test_programs_that_are_not_built_are_named(tmp_path: Path, runtime: Path) -> None:
    with pytest.raises(CannotRun, match="pktgen is not built: run `make setup`"):
        calibrated(tmp_path)


def test_the_forwarder_is_at_the_switch_s_end_on_its_cpu(build: Any) -> None:
    folder = build()
    calibrated(folder)
    log = folder / "calibration-logs" / "vhost-user-one-way" / "vnf-io.log"
    starts = [line for line in log.read_text().splitlines() if line.startswith("$ ")]
    assert len(starts) == EFFORT.starts
    for argv in starts:
        assert f"--lcores {programs.lcores(0, [2])} " in argv and "--nf io" in argv
        assert "net_vhost0,iface=" in argv and "client=1" in argv


# ---- using ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("spoil, words", [
    (lambda c: c.update(version=0), "another version of vswbench"),
    (lambda c: c["machine"].update(cpu_model="6502"), r"another machine or state of it \(cpu_model\)"),
    (lambda c: c["machine"].pop("kernel"), r"\(kernel\)"),
    (lambda c: c.update(machine=None), "another machine"),
    (lambda c: c["cpus"].update(control=7), "other CPUs"),
    (lambda c: c.pop("cpus"), "other CPUs"),
    (lambda c: c.update(ring_size=5), "another ring_size"),
    (lambda c: c["sha256"].update(vnf="0"), "other builds of our programs"),
    (lambda c: c.update(points=3), "no calibration"),
])
def test_a_calibration_of_something_else_is_not_used(spoil: Any, words: str, build: Any) -> None:
    folder = build()
    content = calibrated(folder)
    spoil(content)
    calibration.save(folder, content)
    found, why = calibration.load(bed.load(None), CPUS, folder)
    assert found is None and "vswbench calibrate" in why
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(why)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", "[" * 9999, "\udcff"])
def test_a_file_that_is_no_calibration_is_not_used(text: str, build: Any) -> None:
    folder = build()
    (folder / "calibration.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    found, why = calibration.load(bed.load(None), CPUS, folder)
    assert found is None and "no calibration" in why and "\n" not in why


def test_other_cpus_than_those_of_the_calibration_are_noticed(build: Any) -> None:
    folder = build()
    calibrated(folder)
    assert calibration.load(bed.load(None), (1, 2), folder)[0] is None


def point(kind: str, way: str, size: int, pps: float) -> dict[str, Any]:
    return {"port_kind": kind, "direction": way, "frame_bytes": size, "max_pps": pps}


def marks(found: Calibration | None, text: str, pps: float | None, folder: Path) -> list[tuple[str, ...]]:
    [cell] = cells_of_text(folder, "[matrix]\n" + text, switches=["testpmd"])
    results = [Result("rplus_pps", pps, "pps", 3, flags=("tcg",)), Result("latency_p50_ns@0.50rplus", 1e9, "ns", 3)]
    return [r.flags for r in calibration.marked(found, cell, results)]


def test_a_rate_near_the_ceiling_is_a_lower_bound_and_any_other_is_not(tmp_path: Path) -> None:
    found = Calibration("", [point("vhost-user", "one-way", 64, 12e6), point("vhost-user", "one-way", 1024, 6e6),
                             point("vhost-user", "two-way", 64, 24e6), point("ring", "one-way", 64, 48e6)], {})
    p2p, yes, no = 'topology = "p2p"\n', [("tcg", "lower_bound"), ()], [("tcg",), ()]
    assert marks(found, p2p, 10e6, tmp_path) == marks(found, p2p, 15e6, tmp_path) == yes
    assert marks(found, p2p, 9.99e6, tmp_path) == no
    assert marks(found, p2p, None, tmp_path) == marks(None, p2p, 10e6, tmp_path) == no
    assert marks(found, p2p + "frame_bytes = 512", 5e6, tmp_path) == no     # nearer to 64
    assert marks(found, p2p + "frame_bytes = 1518", 5e6, tmp_path) == yes
    assert marks(found, p2p + 'direction = "reverse"', 10e6, tmp_path) == marks(found, p2p, 10e6, tmp_path)
    assert marks(found, p2p + 'direction = "two-way"', 10e6, tmp_path) == no
    assert marks(found, p2p + 'direction = "two-way"', 20e6, tmp_path) == yes
    assert marks(found, 'topology = "p2v"\nguest = "process"', 10e6, tmp_path) == no
    assert marks(found, 'topology = "loopback"\nguest = "process"', 10e6, tmp_path) == no


def test_without_a_point_of_its_kind_nothing_is_marked(tmp_path: Path) -> None:
    found = Calibration("", [point("ring", "one-way", 64, 1.0)], {})
    assert marks(found, 'topology = "p2p"', 1e6, tmp_path)[0] == ("tcg",)


def test_the_nearest_size_is_the_one_that_counts() -> None:
    r = seeded()
    for _ in range(100):
        sizes = r.sample(range(64, 9217), 5)
        found = Calibration("", [point("ring", "one-way", s, float(s)) for s in sizes], {})
        asked = r.randint(64, 9216)
        assert abs(found.ceiling_pps("ring", "one-way", asked) - asked) == min(abs(s - asked) for s in sizes)


# ---- in a run and on the command line ------------------------------------------------------------------------------

NULL = NULL_CELL + "[search]\ntrials = 1\ntrial_s = 0.1\nwarmup_s = 0\n"


@pytest.fixture
def may_run(build: Any) -> Path:
    folder: Path = build()
    executable(folder / "meter", "")
    return folder


def test_a_run_keeps_the_calibration_and_marks_what_is_near_it(may_run: Path, tmp_path: Path) -> None:
    calibrated(may_run)
    said: list[str] = []
    folder, [outcome] = run.run("t", cells_of_text(tmp_path, NULL, cpus=CPUS), bed.load(None), tmp_path / "results",
                                said.append, {})
    assert outcome.status == "ok" and "lower_bound" in outcome.flags, outcome
    about = json.loads((folder / "run.json").read_text())["calibration"]
    kept = json.loads((folder / "calibration.json").read_text())
    assert about["file"] == "calibration.json" and about["date"] == kept["date"]
    assert "lower_bound" in (folder / "results.csv").read_text()
    assert not any("calibration" in line for line in said)


def test_a_run_says_that_it_has_no_calibration(may_run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder, [outcome] = run.run("t", cells_of_text(tmp_path, NULL, cpus=CPUS), bed.load(None), tmp_path / "results",
                                said.append, {})
    assert "lower_bound" not in outcome.flags
    assert "vswbench calibrate" in json.loads((folder / "run.json").read_text())["calibration"]["none"]
    assert any("without calibration" in line and "vswbench calibrate" in line for line in said)
    assert not (folder / "calibration.json").exists()


def test_a_simulation_is_never_calibrated(may_run: Path, tmp_path: Path) -> None:
    calibrated(may_run)
    folder, _ = run.run("t", cells_of_text(tmp_path, NULL, cpus=CPUS), bed.load(None), tmp_path / "results",
                        lambda line: None, {}, up=simulated_up(1e9))
    assert "lower_bound" not in (folder / "results.csv").read_text()


def test_the_command_measures_shows_and_keeps(build: Any, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build()
    monkeypatch.setattr(calibrate, "QUICK", EFFORT)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["calibrate", "--quick"]) == 0
    out = capsys.readouterr().out
    for word in ("vhost-user", "two-way", "7.992", "98.00 %", "1.0 / 1.0 / 1.0", str(folder / "calibration.json")):
        assert word in out
    before = os.stat(folder / "calibration.json").st_mtime_ns
    assert cli.main(["calibrate", "--quick", "--if-needed"]) == 0
    assert capsys.readouterr().out == "" and os.stat(folder / "calibration.json").st_mtime_ns == before
    build(max_pps=1e6)      # another build
    assert cli.main(["calibrate", "--quick", "--if-needed", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["points"] and "other builds of our programs" in said.err


def test_a_calibration_that_fails_stops_the_command_and_not_a_bench(build: Any,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    build("sys.exit('out of mbufs')")
    assert cli.main(["calibrate", "--quick"]) == 1
    assert "out of mbufs" in capsys.readouterr().err
    assert cli.main(["calibrate", "--quick", "--if-needed"]) == 0
    assert "going on without" in capsys.readouterr().out


def test_a_bad_testbed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "b.toml", 'name = "b"\n[cores]\ncpu = 1')
    assert cli.main(["calibrate", "--testbed", str(file)]) == 2
    assert "did you mean 'cpus'" in capsys.readouterr().err
