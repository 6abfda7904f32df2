# SPDX-License-Identifier: BSD-3-Clause
"""The benchmarks of ourselves: ratios, verdicts, rows, rounds, exit status; without any tool being started."""

import argparse
import csv
import io
import json
import os
import shutil
import statistics
import subprocess
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import figures, host
from harness.bench import (FIGURES, GUEST_FIGURES, command, flows, foreign, guest_chains, known_delay, lab, one_core,
                           pacing, rows, runner)
from harness.bench.rows import Row, absent, at_least, at_most, below, failed, ratio, row
from harness.errors import BadInput, CannotRun, CellFailed, Unsupported
from harness.figures import flows as flows_figure
from harness.hops import Hop
from harness.tests.support import ROOT, direction, made, seeded, write

SAMPLE = ROOT / "plots" / "sample" / "bench-core.csv"


# ---- rows ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bar, good, bad", ((at_least(1.0), (1.0, 1.5), (0.999,)), (at_most(60), (60, 0), (60.1,)),
                                            (below(0.1), (0.0999,), (0.1, 1))))
def test_a_bar_holds_up_to_its_limit(bar, good, bad):
    assert all(row(1, "x", [v], "u", bar).verdict == "met" for v in good)
    assert all(row(1, "x", [v], "u", bar).verdict == "missed" for v in bad)


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians():
    ours, rival = [10.0, 40.0, 100.0], [20.0, 10.0, 50.0]       # 0.5, 4, 2
    made = ratio(1, "x", ours, rival, at_least(3))
    assert (made.value, made.low, made.high, made.n) == (2.0, 0.5, 4.0, 3)
    assert made.value == statistics.median([0.5, 4, 2]) and made.verdict == "missed"
    assert (made.ours, made.rival) == (40.0, 20.0)
    doubled = ratio(1, "x", [2 * ours[0], *ours[1:]], [2 * rival[0], *rival[1:]], None)
    assert doubled.value == made.value, "what slows both tools of a round down changes nothing"


def test_a_rival_that_did_nothing_is_no_victory():
    assert ratio(1, "x", [1.0, 2.0], [1.0, 0.0], at_least(1)).verdict == "failed"


def test_without_values_there_is_no_figure_and_no_verdict():
    for found in (row(4, "x", [], "%", at_least(99), "0 of 5 trials were clean"), ratio(4, "x", [], [], at_least(1))):
        assert (found.value, found.verdict, found.n) == (None, "n/a", 0)
    assert row(4, "x", [], "%", None, "0 of 5").reason == "0 of 5"


@pytest.mark.parametrize("made, status", ((row(1, "x", [1.0], "u", at_least(1)), 0), (row(1, "x", [1.0], "u"), 0),
                                          (absent(1, "x", "u", at_least(1), "not here"), 0),
                                          (row(1, "x", [0.9], "u", at_least(1)), 1), (failed(1, "x", "broke"), 1)))
def test_the_exit_status_is_1_when_a_bar_is_missed_or_something_failed(made, status):
    assert rows.status([made]) == status
    assert rows.status([row(1, "x", [1.0], "u", at_least(1)), made]) == status
    assert rows.status([]) == 0


def test_lines_say_figure_value_unit_bar_verdict_and_reason():
    words = rows.line(ratio(1, "ours : theirs", [3e7, 2.2e7], [2e7, 2e7], at_least(1.0))).split()
    assert words[:8] == ["1", "ours", ":", "theirs", "1.3", "ratio", ">=", "1"] and words[8] == "met"
    assert rows.line(absent(4, "gaps", "%", at_least(99), "refused")).endswith("n/a (refused)")
    assert rows.line(failed(2, "all of it", "it broke")).endswith("failed (it broke)")
    assert "no bar" in rows.line(row(6, "cycles", [44.7], "cycles"))
    assert "\n" not in rows.line(row(6, "cycles", [44.7], "cycles"))


def test_the_csv_has_the_same_rows_and_quotes_what_must_be():
    made = [ratio(1, 'a, "quoted" one', [2.0, 3.0], [1.0, 1.0], at_least(1.0)),
            absent(2, "b", "ratio", below(1), "no, sorry"), row(6, "c", [1.25], "cycles", at=1e7)]
    text = rows.to_csv(made)
    assert text.endswith("\r\n")
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(read[0]) == rows.COLUMNS
    assert [r["what"] for r in read] == ['a, "quoted" one', "b", "c"]
    assert [(r["value"], r["bar"], r["verdict"], r["n"], r["ours"], r["rival"]) for r in read] == [
        ("2.5", ">= 1", "met", "2", "2.5", "1"), ("", "< 1", "n/a", "0", "", ""), ("1.25", "", "info", "1", "", "")]
    assert (read[1]["reason"], read[2]["at"]) == ("no, sorry", "10000000")
    assert json.loads(json.dumps(rows.as_json(made[1])))["bar"] == "< 1"


# ---- rounds --------------------------------------------------------------------------------------------------------

def a_lab(tmp_path: Path, rounds: int, say: Any = lambda line: None) -> lab.Lab:
    return lab.Lab(tmp_path, tmp_path, tmp_path, (0, 1), rounds, say)


def test_tools_take_turns_in_being_first(tmp_path):
    calls: list[str] = []
    tools = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    got = a_lab(tmp_path, 3).in_rounds("x", tools)
    assert calls == [*"abc", *"cba", *"abc"]
    assert got == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_a_disturbed_round_is_taken_again_as_a_whole_but_not_for_ever(tmp_path):
    the_lab = a_lab(tmp_path, 2)
    waits = iter([0.0, 0.5, 0.0, 0.0, 0.3, 0.0, 0.9, 0.0])      # of each measurement

    def measure(name: str) -> str:
        the_lab._disturbed_ratio = max(the_lab._disturbed_ratio, next(waits))
        return name + str(the_lab._disturbed_ratio)

    got = the_lab.in_rounds("x", {"a": lambda: measure("a"), "b": lambda: measure("b")})
    assert got == {"a": ["a0.0", "a0.9"], "b": ["b0.0", "b0.9"]}
    assert the_lab.kept_disturbed == 1 and next(waits, None) is None


def test_waiting_for_a_cpu_is_seen():
    assert lab.waited_s(os.getpid()) >= 0 and lab.waited_s(2 ** 30) == 0
    assert lab.stolen_s((0,)) >= 0


def test_threads_that_give_way_are_not_disturbed(tmp_path):
    """A thread that is no worker becomes idle-class, and its waiting is nobody's fault."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        lab.Rival(SimpleNamespace(pid=process.pid), tmp_path, 1).only_workers_count()
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
        assert lab.waited_s(process.pid) == 0
    finally:
        process.kill()
        process.communicate()


def test_memory_counts_hugepages_too(tmp_path, monkeypatch):
    text = "Name:\tpktgen\nVmPeak:\t  999999 kB\nVmHWM:\t   10240 kB\nVmRSS:\t    5120 kB\nHugetlbPages:\t  131072 kB\n"
    status = write(tmp_path / "proc" / "7" / "status", text)
    tool = SimpleNamespace(process=SimpleNamespace(pid=7))
    monkeypatch.setattr(lab, "Path", lambda p: status if p == "/proc/7/status" else Path(p))
    assert lab.Ours.memory_mib(tool) == 138


# ---- figures' arithmetic -------------------------------------------------------------------------------------------

def reply(sent: int, intended: int, span_s: float, ppm: float = 0.0) -> dict[str, Any]:
    return {"streams": [{"sent_count": sent, "intended_count": intended}], "tx_span_s": span_s, "clock_error_ppm": ppm}


def test_the_rate_is_that_of_the_gaps():
    assert pacing.rate_error(reply(10_000, 10_000, 9.999), 1e3) < 1e-9      # 9999 gaps of 1 ms
    assert pacing.rate_error(reply(10_000, 10_000, 9.999 * 1.001), 1e3) == pytest.approx(0.001, rel=0.01)


def test_a_clock_that_is_off_is_taken_out():
    """A TSC that runs 200 ppm ahead makes a trial look 200 ppm longer than it was."""
    assert pacing.rate_error(reply(1001, 1001, 1.0002, ppm=200.0), 1e3) < 1e-9
    assert pacing.rate_error(reply(1001, 1001, 1.0, ppm=200.0), 1e3) == pytest.approx(2e-4, rel=0.01)


def test_what_was_not_sent_is_an_error_of_the_rate():
    assert pacing.rate_error(reply(9_000, 10_000, 8.999), 1e3) == pytest.approx(0.1)


def test_shares_of_a_histogram_against_single_values():
    rng = seeded()
    values = [rng.randrange(0, 256) if rng.random() < 0.3 else rng.choice((600, 743, 744, 1000, 1256, 1257, 1300))
              for _ in range(2000)]
    bins = [[v, v + 1, values.count(v)] for v in sorted(set(values))]
    for low, high in ((0, 68), (744, 1257), (0, 2000), (68, 69)):
        assert pacing.share(bins, low, high) == pytest.approx(sum(low <= v < high for v in values) / len(values))
    assert pacing.share([], 0, 10) == 0
    assert pacing.share([[1256, 1264, 8]], 744, 1257) == pytest.approx(1 / 8)


@pytest.mark.parametrize("stall_ns, is_clean", ((0, True), (200_000, True), (200_001, False)))
def test_which_trials_are_clean(stall_ns, is_clean):
    assert pacing.clean({"workers": [{"stall_ns": stall_ns}]}, 1.0) is is_clean


def off(counts: list[int], no_room: int = 0, more: int = 0) -> float:
    """Of a meter that saw flows with these counts, and `more` packets than they add up to."""
    table = {"flow_count": len(counts), "no_room_count": no_room, "top": [{"packets": max(counts)}] if counts else []}
    return foreign.off(table, sum(counts) + no_room + more, 10, 3)


@pytest.mark.parametrize("seen, exact", (
    (off([3] * 10), True), (off([3] * 9 + [2]), False), (off([3] * 9 + [4]), False), (off([3] * 9), False),
    (off([3] * 8 + [6]), False), (off([3] * 9, no_room=3), False), (off([2, 4] + [3] * 8), False), (off([]), False),
    (off([3] * 10, more=1), False)))
def test_the_count_of_flows_is_exact_only_if_every_flow_is(seen, exact):
    assert (seen == 0) is exact


def test_random_tables_are_exact_only_if_all_flows_are():
    rng = seeded()
    for _ in range(500):
        counts = [3 if rng.random() < 0.9 else rng.randrange(1, 6) for _ in range(rng.randrange(8, 13))]
        assert (off(counts) == 0) is (counts == [3] * 10)


@pytest.mark.parametrize("flow_count", (1, 1000, 65536, 1_000_000))
def test_a_table_has_room_to_spare(flow_count):
    size = foreign.capacity(flow_count)
    assert size & (size - 1) == 0 and 1.2 * flow_count <= size <= 4 * flow_count


@pytest.mark.parametrize("delay_ns, us", ((10_000, 1.2), (100_000, 3.0), (1_000_000, 21.0)))
def test_tolerance_of_a_known_delay(delay_ns, us):
    assert known_delay.tolerance_us(delay_ns) == pytest.approx(us)
    assert known_delay.errors([delay_ns / 1e3 - 1, delay_ns / 1e3 + 3], delay_ns / 1e3) == pytest.approx([1, 3])


def test_instructions_are_read_from_callgrinds_file(tmp_path):
    text = "# callgrind format\nversion: 1\nevents: Ir\nsummary: 208490371\n\nfn=(1) x\n1 7\n"
    assert one_core.instructions(write(tmp_path / "a", text)) == 208490371
    assert one_core.instructions(write(tmp_path / "b", text.replace("summary", "totals"))) == 208490371
    for broken in ("", "fn=(1) totals: x\n"):
        with pytest.raises(CellFailed, match="no line of totals"):
            one_core.instructions(write(tmp_path / "c", broken))
    with pytest.raises(CellFailed, match="left no nothing"):
        one_core.instructions(tmp_path / "nothing")


def test_a_generator_that_loses_packets_in_a_ring_is_broken():
    one_core.check_whole({"streams": [{"sent_count": 5, "meter": {"received_count": 5}}]})
    with pytest.raises(CellFailed, match="sent 5 and received 4"):
        one_core.check_whole({"streams": [{"sent_count": 5, "meter": {"received_count": 4}}]})


# ---- figures against a pktgen that answers as its contract says ----------------------------------------------------

class Replies:
    """A pktgen that gives the same reply to every trial, or refuses what it does not know."""

    tsc_hz = 2.4e9

    def __init__(self, answer: dict[str, Any], refusal: str = "") -> None:
        self.answer, self.refusal, self.asked = answer, refusal, []

    def trial(self, streams, duration_s, **more):
        self.asked.append(more)
        return self.answer

    def warmed(self, streams, **more):
        return self.trial(streams, 1.0, **more)

    def refuses(self, streams, **more):
        return self.refusal


def with_pktgen(monkeypatch: Any, tool: Replies) -> None:
    monkeypatch.setattr(lab, "ours", lambda *arguments, **more: nullcontext(tool))


def gap_reply(gaps: dict[int, int], stall_ns: int) -> dict[str, Any]:
    return {"streams": [{"departure_gap": {"bins": [[ns, ns + 1, count] for ns, count in gaps.items()]}}],
            "workers": [{"stall_ns": stall_ns}]}


def test_cycles_by_part_are_those_of_the_profile(tmp_path, monkeypatch):
    tool = Replies({"workers": [{"profile": {"build": 11.5, "pace": 1, "tx": 9, "rx": 8, "meter": 14}}]})
    with_pktgen(monkeypatch, tool)
    found = one_core._by_part(a_lab(tmp_path, 3))
    assert [(r.value, r.n, r.verdict) for r in found] == [(v, 3, "info") for v in (11.5, 1, 9, 8, 14)]
    assert tool.asked == [{"profile": True}] * 3


@pytest.mark.parametrize("tool, why", ((Replies({"workers": [{"profile": None}]}), "has no profile"),
                                       (Replies({"workers": [{}]}), "has no profile"),
                                       (Replies({}, "refused 'trial': profile"), "refused")))
def test_without_a_profile_the_parts_are_na(tmp_path, monkeypatch, tool, why):
    with_pktgen(monkeypatch, tool)
    found = one_core._by_part(a_lab(tmp_path, 2))
    assert len(found) == 5 and all(r.verdict == "n/a" and why in r.reason for r in found)


def test_gaps_are_judged_in_clean_trials(tmp_path, monkeypatch):
    with_pktgen(monkeypatch, Replies(gap_reply({1000: 9950, 1256: 45, 10: 5}, stall_ns=100)))
    within, back, share, seconds = pacing._gaps(a_lab(tmp_path, 2))
    assert (within.value, within.verdict, within.n) == (pytest.approx(99.95), "met", 2)
    assert (seconds.value, seconds.verdict) == (pytest.approx(99.95), "info")
    assert (back.value, back.verdict) == (pytest.approx(0.05), "met")
    assert share.value == 100 and within.reason == "200 of 200 trials were clean"


def test_gaps_that_are_bad_in_clean_trials_miss(tmp_path, monkeypatch):
    with_pktgen(monkeypatch, Replies(gap_reply({1000: 980, 3000: 10, 10: 10}, stall_ns=0)))
    within, back, *_ = pacing._gaps(a_lab(tmp_path, 1))
    assert (within.verdict, back.verdict) == ("missed", "missed")


def test_without_a_clean_trial_gaps_are_na(tmp_path, monkeypatch):
    with_pktgen(monkeypatch, Replies(gap_reply({1000: 1}, stall_ns=10 ** 9)))
    within, back, share, _ = pacing._gaps(a_lab(tmp_path, 1))
    assert (within.verdict, back.verdict, share.value) == ("n/a", "n/a", 0)
    assert within.reason == "0 of 100 trials were clean"


# ---- a run of figures ----------------------------------------------------------------------------------------------

def figure(number: int, *found: Row, error: Exception | None = None) -> Any:
    def measure(the_lab: lab.Lab) -> list[Row]:
        if error:
            raise error
        return list(found)

    return SimpleNamespace(NUMBER=number, MIB=0, measure=measure)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A build folder with all programs, and no real lock or run folder."""
    @contextmanager
    def run_folder(name):
        (tmp_path / "run").mkdir()
        yield tmp_path / "run"
        shutil.rmtree(tmp_path / "run")

    for name in runner.PROGRAMS:
        write(tmp_path / "build" / name, "")
    monkeypatch.setattr(host, "hold_machine", lambda what: nullcontext())
    monkeypatch.setattr(host, "run_folder", run_folder)
    monkeypatch.setattr(command.run, "BUILD", tmp_path / "build")
    return tmp_path


def bench(machine: Path, monkeypatch: Any, *made: Any, **more: Any) -> int:
    monkeypatch.setitem(command.SUITES, "core", made)
    given = {"what": "core", "figure": [], "rounds": 1, "out": machine / "out" / "bench-core.csv", "json": False}
    return command.do(argparse.Namespace(**given | more))


GOOD = row(1, "good", [2.0], "ratio", at_least(1))
BAD = row(2, "bad", [0.5], "ratio", at_least(1))


def test_all_bars_met(machine, monkeypatch, capsys):
    assert bench(machine, monkeypatch, figure(1, GOOD)) == 0
    assert capsys.readouterr().out.splitlines()[0] == rows.line(GOOD)
    assert (machine / "out" / "bench-core.csv").read_bytes().decode() == rows.to_csv([GOOD])
    assert not (machine / "run").exists()


def test_a_missed_bar_is_exit_status_1(machine, monkeypatch, capsys):
    assert bench(machine, monkeypatch, figure(1, GOOD), figure(2, BAD)) == 1
    assert "missed" in capsys.readouterr().out


def test_a_figure_that_fails_does_not_take_the_others_along(machine, monkeypatch, capsys):
    assert bench(machine, monkeypatch, figure(1, error=CellFailed("it broke; see x.log")), figure(2, GOOD),
                 figure(3, error=Unsupported("no such switch"))) == 1
    read = list(csv.DictReader(io.StringIO((machine / "out" / "bench-core.csv").read_text())))
    assert [(r["figure"], r["verdict"], r["reason"]) for r in read] == [
        ("1", "failed", "it broke; see x.log"), ("1", "met", ""), ("3", "n/a", "no such switch")]


def test_json_is_one_object_on_stdout(machine, monkeypatch, capsys):
    assert bench(machine, monkeypatch, figure(2, BAD), json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["rows"][0]["verdict"] == "missed" and said["figures"] == []


def test_figures_are_chosen_by_number(machine, monkeypatch, capsys):
    assert bench(machine, monkeypatch, figure(1, GOOD), figure(2, BAD), figure=[1, 1]) == 0
    with pytest.raises(BadInput, match="--figure 7: there are 1, 2"):
        bench(machine, monkeypatch, figure(1, GOOD), figure(2, BAD), figure=[7])
    with pytest.raises(BadInput, match="--rounds 0"):
        bench(machine, monkeypatch, figure(1, GOOD), rounds=0)


def test_a_program_that_is_not_built_is_said_before_anything_starts(machine, monkeypatch):
    (machine / "build" / "bare").unlink()
    with pytest.raises(CannotRun, match="bare is not built: run `make setup`"):
        bench(machine, monkeypatch, figure(1, GOOD))
    assert not (machine / "out").exists()


def test_rounds_that_were_disturbed_are_warned_of(machine, monkeypatch, capsys):
    def measure(the_lab: lab.Lab) -> list[Row]:
        the_lab.kept_disturbed = 2
        return [GOOD]

    assert bench(machine, monkeypatch, SimpleNamespace(NUMBER=1, MIB=0, measure=measure), figure(2, GOOD)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "other programs" in line]
    assert len(lines) == 1 and " 2 rounds " in lines[0]


def test_every_figure_of_the_issue_is_there_once():
    assert [f.NUMBER for f in FIGURES] == [1, 2, 3, 4, 5, 6]
    assert [f.NUMBER for f in GUEST_FIGURES] == [1, 2, 3, 4, 5]


# ---- long chains ---------------------------------------------------------------------------------------------------

def chain(*hops: Hop, received: int, broken: str = "", dead: str = "") -> Any:
    """A testbed of two guests that measures this trial, or fails; guest `dead` does not answer."""
    def measure(request: Any) -> Any:
        if broken:
            raise CellFailed(broken)
        return replace(made([direction(100, received)]), hops=hops)

    def peer(name: str) -> Any:
        def request(cmd: str, timeout_s: float) -> None:
            if name == dead:
                raise CellFailed(f"{name}: no answer")
        return SimpleNamespace(process=SimpleNamespace(check_alive=lambda: None),
                               channel=SimpleNamespace(request=request))

    names = ["guest1", "guest2"]
    guests = [SimpleNamespace(name=name) for name in names]
    return SimpleNamespace(measure=measure, peers={name: peer(name) for name in ("generator", *names)},
                           cell=SimpleNamespace(topology=SimpleNamespace(guests=guests)))


GUEST1 = Hop("guest1", "io", 0, 0, 100, 90, 85, 3, 7, {"denied": 2})
GUEST2 = Hop("guest2", "io", 0, 0, 85, 85, 80, 5)


@pytest.mark.parametrize("bed_up, verdicts", (
    (chain(GUEST1, GUEST2, Hop("generator", "", 0, 1, 80, 73), received=73), ["met"] * 3),
    (chain(GUEST1, replace(GUEST2, tx_full_count=4), Hop("generator", "", 0, 1, 80, 73), received=73),
     ["met", "missed", "met"]),
    (chain(GUEST1, GUEST2, Hop("generator", "", 0, 1, 80, 73), received=72), ["met", "missed", "met"]),
    (chain(received=99), ["met", "missed", "met"]),
    (chain(received=100, dead="guest2"), ["met", "met", "missed"]),
    (chain(received=100, broken="guest1 was killed", dead="guest1"), ["failed", "missed"]),
), ids=["all told", "one without a reason", "another meter", "no hops", "a silent guest", "a dead one"])
def test_a_long_chain_must_account_for_every_lost_frame_and_keep_its_guests(bed_up, verdicts):
    found = guest_chains._judged(bed_up, "chain of 2")
    assert [r.verdict for r in found] == verdicts
    assert all("guest" in r.reason for r in found if r.verdict == "failed" or r.what.endswith("lost") and r.value)


# ---- the drawing of figure 6 ---------------------------------------------------------------------------------------

@pytest.mark.skipif(shutil.which("gnuplot") is None, reason="gnuplot is not installed")
def test_the_sample_is_drawn(tmp_path):
    written = figures.draw_flows(SAMPLE, tmp_path / "new")
    assert [p.name for p in written] == ["flows.dat", "flows.pdf", "flows.png", "flows.svg"]
    assert (tmp_path / "new" / "flows.pdf").read_bytes().startswith(b"%PDF-")
    svg = (tmp_path / "new" / "flows.svg").read_text()
    for text in ("(a) TSC cycles a packet", "(b) Memory, MiB", ">64 k<", ">10 M<"):
        assert text in svg


def test_what_is_drawn_is_what_stands_in_the_rows():
    made = [row(1, "other", [1.0], "cycles", at=5), ratio(6, "no place", [2.0], [1.0], None)]
    for flows_count, cycles, mib in ((1, 40.0, 100.0), (65536, 50.0, 110.5)):
        made += [row(6, "c", [cycles - 1, cycles, cycles + 3], flows.CYCLES, at=flows_count),
                 row(6, "m", [mib], flows.MEMORY, at=flows_count)]
    made.append(row(6, "c", [70.0], flows.CYCLES, at=10_000_000))
    lines = flows_figure.flows_dat(rows.to_csv(made)).splitlines()
    assert [line.split("\t") for line in lines[1:]] == [
        ["1", '"1"', "40", "39", "43", "100", "100", "100"],
        ["65536", '"64 k"', "50", "49", "53", "110.5", "110.5", "110.5"],
        ["10000000", '"10 M"', "70", "70", "70", "nan", "nan", "nan"]]


@pytest.mark.parametrize("count, label", ((1, "1"), (999, "999"), (1000, "1 k"), (1024, "1 k"), (65536, "64 k"),
                                          (1_000_000, "1 M"), (10_000_000, "10 M")))
def test_labels(count, label):
    assert flows_figure.label(count) == label


@pytest.mark.parametrize("text, says", (("", "lacks the columns"), (rows.to_csv([]), "no row of figure 6"),
                                        (rows.to_csv([GOOD]), "no row of figure 6")))
def test_nothing_to_draw_is_said(tmp_path, text, says):
    with pytest.raises(figures.FigureError, match=says):
        figures.draw_flows(write(tmp_path / "x.csv", text), tmp_path / "f")
    with pytest.raises(figures.FigureError, match="cannot read"):
        figures.draw_flows(tmp_path / "no.csv", tmp_path / "f")
