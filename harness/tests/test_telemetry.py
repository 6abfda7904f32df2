# SPDX-License-Identifier: BSD-3-Clause
"""What packets cost a switch: which trials are asked for, the arithmetic against a model of a switch, worker threads of
this very process, and perf, played by a script that prints what a machine with counters prints.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import perf, search, workers
from harness.compare.verdict import better
from harness.cost import NOT_SATURATED, OWN, PERF, SOURCES, Cost, Cycles, Seen, cost
from harness.errors import CellFailed
from harness.observe import Observer
from harness.perf import Perf
from harness.scenario import Search
from harness.search import Result
from harness.sim import Model, SimulatedSwitch
from harness.simulate import drive as simulate
from harness.switches.base import PortCounters
from harness.tests.support import direction, eventually, executable, made, seeded
from harness.trial import Request, Trial

TSC_HZ = 2.5e9
PLAN = Search("rplus", 1, 1.0, 0.0, (), 1, 1.0, telemetry_trials=2, telemetry_trial_s=0.5, telemetry_at_rplus=(0.5,))


# ---- the search ----------------------------------------------------------------------------------------------------

def drive(plan: Search, costs: Mapping[str, Sequence[Cost | None]], flags: Sequence[str] = (), slower: float = 1.0
          ) -> tuple[list[Request], dict[str, Result]]:
    """What is asked for behind the search, and what comes of it where trials of a phase cost so much. The machine has
    become `slower` when they come."""
    left = {phase: iter(of) for phase, of in costs.items()}
    steps, asked = search.run(plan, True), []
    try:
        request = next(steps)
        while True:
            trial = made([direction(10**6, 10**6)], phase=request.phase, rate_pps=request.rate_pps, cell_flags=flags)
            if request.telemetry:
                trial = replace(trial, rx_pps=trial.rx_pps * slower,
                                cost=next(left[request.phase], None) if request.phase in left else None)
            asked.append(request)
            request = steps.send(trial)
    except StopIteration as done:
        assert len({r.metric for r in done.value}) == len(done.value)
        return asked, {r.metric: r for r in done.value}


def costs(**values: float) -> Cost:
    return Cost(values, {name: f"s-{name}" for name in SOURCES})


def test_telemetry_comes_last_saturating_first_and_in_rounds() -> None:
    asked, _ = drive(replace(PLAN, latency_at_rplus=(0.1,)), {})
    assert [(q.phase, q.rate_pps, q.duration_s) for q in asked if q.telemetry] == 2 * [
        ("telemetry", None, 0.5), ("telemetry@0.50rplus", pytest.approx(5e5), 0.5)]
    assert [q.telemetry for q in asked] == [False, False, True, True, True, True]


def test_without_trials_of_telemetry_there_are_none() -> None:
    asked, results = drive(replace(PLAN, telemetry_trials=0), {})
    assert [q.phase for q in asked] == ["rplus"] and set(results) == {"rplus_pps", "rplus_loss_ratio"}


def test_fractions_of_rplus_are_found_also_by_a_search_that_does_not_need_it() -> None:
    asked, _ = drive(replace(PLAN, kind="fixed", rate_pps=(1e5,)), {})
    assert [q.phase for q in asked][:1] == ["rplus"] and "telemetry@0.50rplus" in [q.phase for q in asked]


def test_rates_come_from_the_trials_of_the_search_alone() -> None:
    with_it, without = drive(PLAN, {})[1], drive(replace(PLAN, telemetry_trials=0), {})[1]
    assert with_it == without


def test_a_figure_is_the_median_with_its_source() -> None:
    _, results = drive(PLAN, {"telemetry": [costs(cycles_per_packet=400.0), costs(cycles_per_packet=300.0)],
                              "telemetry@0.50rplus": [costs(switch_cycles_per_packet=7.0), None]})
    one, other = results["cycles_per_packet"], results["switch_cycles_per_packet@0.50rplus"]
    assert (one.value, one.ci_low, one.ci_high, one.n, one.unit) == (350, 300, 400, 2, "cycles")
    assert (other.value, other.n, other.unit) == (7, 1, "cycles")
    assert (one.goal, other.goal) == ("source=s-cycles_per_packet", "source=s-switch_cycles_per_packet")
    assert "cycles_per_packet@0.50rplus" not in results and "instructions_per_packet" not in results


def test_a_switch_with_time_to_spare_spoils_only_what_is_not_its_own_count() -> None:
    _, results = drive(PLAN, {"telemetry": 2 * [costs(cycles_per_packet=4.0, switch_cycles_per_packet=3.0)]},
                       [NOT_SATURATED, "tcg"])
    assert results["cycles_per_packet"].flags == (NOT_SATURATED, "tcg")
    assert results["switch_cycles_per_packet"].flags == ("tcg",)


@pytest.mark.parametrize("slower, flags", [(1.0, ()), (0.95, ()), (0.5, ("unstable",))])
def test_a_machine_that_has_changed_since_the_search_is_said(slower: float, flags: Sequence[str]) -> None:
    told = {"telemetry": 2 * [costs(cycles_per_packet=4.0)], "telemetry@0.50rplus": 2 * [costs(cycles_per_packet=4.0)]}
    _, results = drive(PLAN, told, slower=slower)
    assert results["cycles_per_packet"].flags == flags and results["cycles_per_packet@0.50rplus"].flags == ()


def test_a_simulated_switch_has_the_trials_and_tells_nothing_of_them() -> None:
    done = simulate(PLAN, True, SimulatedSwitch(Model(1e6)).measure)
    assert [t.request.phase for t in done.trials].count("telemetry") == 2
    assert not [r for r in done.results if "per_packet" in r.metric]


def test_less_of_it_is_better() -> None:
    assert {better(name) for name in (*SOURCES, OWN + "@0.50rplus")} == {"lower"} and better("rplus_pps") == "higher"


# ---- the arithmetic ------------------------------------------------------------------------------------------------

def test_a_model_of_a_switch_gets_back_what_its_packets_cost() -> None:
    """Of a poller that spends so many cycles on a packet and, where it has time left, polls in vain."""
    r = seeded()
    for _ in range(500):
        per_packet, workers_count, span_s = r.uniform(20, 5000), r.randint(1, 4), r.uniform(0.1, 30)
        running_ratio = workers_count * r.uniform(0.5, 1)       # the kernel lets others run too
        busy_ratio = r.choice([1.0, r.uniform(0.1, 1)])
        packets = max(1, int(busy_ratio * running_ratio * span_s * TSC_HZ / per_packet))
        # the switch's clock goes on while others run
        wall_per_packet = per_packet * workers_count / running_ratio
        own = Cycles(round(packets * wall_per_packet), packets, workers_count, "model")
        hz = {event: r.uniform(1, 1e10) for event in PERF.values()}
        found = cost(Seen(True, span_s, TSC_HZ, packets, running_ratio, own, hz))
        tolerance = 1e-3 + 2 / packets
        assert found.values[OWN] == pytest.approx(wall_per_packet, rel=tolerance)
        assert found.values["cycles_per_packet"] == pytest.approx(per_packet / busy_ratio, rel=tolerance)
        assert found.values["switch_busy_ratio"] == pytest.approx(busy_ratio, rel=tolerance)
        for name, event in PERF.items():        # events in the CPU time that all workers had, over all packets
            assert found.values[name] == pytest.approx(hz[event] * running_ratio * span_s / packets)
        assert found.flags == ((NOT_SATURATED,) if found.values["switch_busy_ratio"] < 0.95 else ())


def test_below_saturation_only_the_switchs_own_count_means_anything() -> None:
    found = cost(Seen(False, 1.0, TSC_HZ, 10**6, 1.0, Cycles(3 * 10**8, 10**6, 1, "x"), {"instructions": 1e9}))
    assert found.values[OWN] == 300 and found.flags == ()
    assert not {"cycles_per_packet", "instructions_per_packet"} & set(found.values)


@pytest.mark.parametrize("seen", [Seen(True, 1.0, TSC_HZ), Seen(True, 1.0, TSC_HZ, 0, 1.0, Cycles(5, 0, 1, "x")),
                                  Seen(True, 0.0, TSC_HZ, 5, 1.0), Seen(True, 1.0, TSC_HZ, 5, 0.0)],
                         ids=["nothing known", "no packet", "no time", "never ran"])
def test_what_cannot_be_divided_is_missing(seen: Seen) -> None:
    found = cost(seen)
    assert all(found.values.get(name) is None for name in SOURCES)


@pytest.mark.parametrize("full_ratio,waited_ratio,shared,flagged", [
    (0.5, 0.01, False, False), (0.0, 0.01, False, True), (None, None, False, False), (0.5, 0.01, True, True),
    (0.5, 0.1, False, True)])
def test_a_switch_that_does_not_tell_is_judged_by_what_the_generator_met(
        full_ratio: float | None, waited_ratio: float | None, shared: bool, flagged: bool) -> None:
    found = cost(Seen(True, 1.0, TSC_HZ, 10**6, 1.0, full_ratio=full_ratio, waited_ratio=waited_ratio, shared=shared))
    assert (NOT_SATURATED in found.flags) == flagged


# ---- threads -------------------------------------------------------------------------------------------------------

CPU = max(os.sched_getaffinity(0))


@pytest.fixture
def worker() -> Iterator[int]:
    """A thread that spins on one CPU, by its id."""
    over, started = threading.Event(), threading.Event()
    ids: list[int] = []

    def spin() -> None:
        ids.append(threading.get_native_id())
        os.sched_setaffinity(ids[0], {CPU})
        started.set()
        while not over.is_set():
            sum(range(1000))
    thread = threading.Thread(target=spin)
    thread.start()
    assert started.wait(5)
    yield ids[0]
    over.set()
    thread.join()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one CPU every thread is a worker")
def test_workers_are_the_threads_that_run_on_the_switchs_cpus_only(worker: int) -> None:
    assert workers.find([os.getpid()], [CPU]) == [worker]
    assert workers.find([os.getpid()], []) == []
    assert set(workers.find([os.getpid()], os.sched_getaffinity(0))) >= {worker, os.getpid()}


def test_the_time_of_a_thread_is_the_cpu_time_that_it_had(worker: int) -> None:
    before = workers.running_ns([worker]), time.process_time_ns(), time.thread_time_ns()
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        time.sleep(0.01)
    process, own = time.process_time_ns() - before[1], time.thread_time_ns() - before[2]
    # but for the ticks at which the kernel brings it up to date, 10 ms apart at most
    assert workers.running_ns([worker]) - before[0] == pytest.approx(process - own, abs=25e6)


def test_a_thread_that_is_gone_is_said_and_no_zero() -> None:
    with pytest.raises(CellFailed, match="/proc/4194305/schedstat"):
        workers.running_ns([4194305])
    assert workers.find([4194305], [0]) == []


# ---- what is seen of a trial ---------------------------------------------------------------------------------------

class Switch:
    """A driver whose switch is at work: every question finds it further on."""

    name = "fake"

    def __init__(self, answers: Sequence[int | Exception], own: bool = True) -> None:
        self._left, self._own = list(answers), own

    def counters(self, site: Any, output: Any) -> list[PortCounters]:
        at = self._left.pop(0)
        if isinstance(at, Exception):
            raise at
        return [PortCounters("p0", at, 0, 0), PortCounters("p1", 2 * at, 0, 0)]

    def cycles(self, site: Any, output: Any) -> Cycles | None:
        at = 2 - len(self._left)
        return Cycles(1000 + 500 * at, 10 + 5 * at, 1, "fake") if self._own else None


def observed(driver: Any, tmp_path: Path, rate_pps: float | None = None, cpus: Sequence[int] = (CPU,)) -> Trial:
    """A trial of 0.1 s in which 1000 frames a second came back, of a switch that is this process."""
    request = Request("telemetry", rate_pps, 0.1, telemetry=True)
    site: Any = SimpleNamespace(cores=SimpleNamespace(switch=cpus))
    process: Any = SimpleNamespace(pid=os.getpid())
    with Observer(driver, site, lambda argv: "", [process], request, tmp_path) as seen:
        seen.window()
    trial = made([direction(1000, 1000, sender={"tx_full_ns": 5 * 10**7})], duration_s=0.1, phase="telemetry")
    return seen.marked(trial, TSC_HZ, False)


@pytest.fixture
def busy(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker has a whole CPU, whatever else this machine does."""
    monkeypatch.setattr(workers, "running_ns", lambda threads: time.monotonic_ns() if threads == [worker] else 0)


@pytest.fixture
def no_perf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def test_differences_of_all_counters_make_the_figures(busy: None, no_perf: None, tmp_path: Path) -> None:
    done = observed(Switch([100, 700]), tmp_path).cost
    assert done and done.values["switch_rx_count"] == 1800 and done.values[OWN] == 100
    ratio = done.values["switch_running_ratio"]
    assert ratio == pytest.approx(1, abs=0.01)
    assert done.values["cycles_per_packet"] == pytest.approx(ratio * 0.1 * TSC_HZ / 1800)
    assert done.notes == ("telemetry of fake: perf is not there: apt-get install linux-perf",)


def test_what_cannot_be_seen_is_said_and_the_rest_is_there(busy: None, no_perf: None, tmp_path: Path) -> None:
    done = observed(Switch([CellFailed("no counters"), 700]), tmp_path).cost
    assert done and "telemetry of fake: no counters" in done.notes and done.values[OWN] == 100
    assert "cycles_per_packet" not in done.values
    done = observed(Switch([100, 700], own=False), tmp_path, cpus=()).cost
    assert done and "none of its threads" in done.notes[0] and done.values["switch_rx_count"] == 1800
    assert all(done.values.get(name) is None for name in SOURCES)


def test_below_saturation_perf_is_not_even_started(busy: None, no_perf: None, tmp_path: Path) -> None:
    done = observed(Switch([100, 700]), tmp_path, rate_pps=1e3).cost
    assert done and done.notes == () and done.values[OWN] == 100


# ---- perf ----------------------------------------------------------------------------------------------------------

# As perf 6.1 prints it on a machine that has counters; one that has none says "<not supported>".
GOOD = """# started on Sat Nov 21 17:02:25 2026

{"counter-value" : "1500000000.000000", "unit" : "", "event" : "cycles", "event-runtime" : 500000000, "pcnt-running" : 100.00, "metric-value" : 3.000000, "metric-unit" : "GHz"}
{"counter-value" : "4500000000.000000", "unit" : "", "event" : "instructions", "event-runtime" : 500000000, "pcnt-running" : 100.00, "metric-value" : 3.000000, "metric-unit" : "insn per cycle"}
{"counter-value" : "1000000.000000", "unit" : "", "event" : "cache-misses", "event-runtime" : 250000000, "pcnt-running" : 50.00, "metric-value" : 2.000000, "metric-unit" : "M/sec"}
{"counter-value" : "<not supported>", "unit" : "", "event" : "branch-misses", "event-runtime" : 0, "pcnt-running" : 100.00, "metric-value" : 0.000000, "metric-unit" : ""}
"""
NONE = GOOD.replace("1500000000.000000", "<not supported>").replace("4500000000.000000", "<not counted>").replace(
    "1000000.000000", "<not supported>")
FAKE = """#!{python}
import signal, sys
log = open({log!r}, "w")
print(*sys.argv[1:], file=log, flush=True)
{trouble}
def end(*_):
    open(sys.argv[sys.argv.index("--output") + 1], "w").write({text!r})
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGINT, end)
while line := sys.stdin.readline():
    print(line.strip(), file=log, flush=True)
    sys.stdout.write("ack\\n\\0")
    sys.stdout.flush()
"""


@pytest.fixture
def fake_perf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(text: str = GOOD, trouble: str = "pass") -> Path:
        executable(tmp_path / "bin/perf", FAKE.format(python=sys.executable, log=str(tmp_path / "log"), text=text,
                                                      trouble=trouble))
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        monkeypatch.setattr(perf, "ANSWER_S", 2.0)
        return tmp_path / "log"
    return make


def test_perf_counts_between_two_marks_and_gives_rates(fake_perf: Any, tmp_path: Path) -> None:
    log = fake_perf()
    one = Perf([11, 12], tmp_path)
    assert log.read_text().splitlines()[1:] == ["ping"]         # attached, and not counting
    one.begin()
    one.end()
    found = one.result()
    one.stop()
    assert found == {"cycles": 3e9, "instructions": 9e9, "cache-misses": 2e6}      # those by half a second of CPU time
    asked, *words = log.read_text().splitlines()
    assert words == ["ping", "enable", "disable"]
    assert "--tid 11,12" in asked and "--event cycles,instructions,cache-misses,branch-misses" in asked


def test_perfs_counts_become_figures_of_the_trial(fake_perf: Any, busy: None, tmp_path: Path) -> None:
    fake_perf()
    done = observed(Switch([100, 700]), tmp_path).cost
    assert done and done.notes == ()
    by_time = done.values["cycles_per_packet"]
    assert by_time and done.values["core_cycles_per_packet"] == pytest.approx(by_time * 3e9 / TSC_HZ)
    assert done.values["instructions_per_packet"] == pytest.approx(by_time * 9e9 / TSC_HZ)
    assert "branch_misses_per_packet" not in done.values


@pytest.mark.parametrize("text,trouble,words", [
    (NONE, "pass", ["no hardware counters"]), ("", "pass", ["no hardware counters"]),
    (GOOD, "sys.exit('Access to performance monitoring is limited')", ["perf ended", "is limited", "perf.log"]),
    (GOOD, "signal.pause()", ["perf", "does not answer 'ping'", "perf.log"])],
    ids=["no counters", "no output", "not permitted", "hangs"])
def test_a_perf_that_cannot_is_said_and_the_trial_goes_on(text: str, trouble: str, words: list[str], fake_perf: Any,
                                                          busy: None, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    fake_perf(text, trouble)
    if trouble == "signal.pause()":
        monkeypatch.setattr(perf, "ANSWER_S", 0.2)
    done = observed(Switch([100, 700]), tmp_path).cost
    assert done and len(done.notes) == 1 and all(word in done.notes[0] for word in words), done and done.notes
    assert done.values["cycles_per_packet"] and "instructions_per_packet" not in done.values


def test_perf_is_ended_whatever_happens_to_the_trial(fake_perf: Any, busy: None, tmp_path: Path) -> None:
    fake_perf()
    request, process = Request("telemetry", None, 0.1, telemetry=True), SimpleNamespace(pid=os.getpid())
    site: Any = SimpleNamespace(cores=SimpleNamespace(switch=[CPU]))
    seen = Observer(Switch([1, 2]), site, lambda argv: "", [process], request, tmp_path)  # type: ignore[arg-type,list-item]
    with pytest.raises(CellFailed, match="generator"), seen:
        raise CellFailed("the generator died")
    assert seen._perf and seen._perf._process.popen.poll() is not None


def line(event: str, value: str, runtime: int = 10**9, share: float = 100.0) -> str:
    return json.dumps({"counter-value": value, "unit": "", "event": event, "event-runtime": runtime,
                       "pcnt-running": share})


@pytest.mark.parametrize("text,found", [
    (line("cycles:u", "5.0"), {"cycles": 5.0}),
    (line("cpu_core/cycles/", "7.0") + "\n" + line("cpu_atom/cycles/", "<not counted>", 0), {"cycles": 7.0}),
    (line("cycles", "6.0", 5 * 10**8, 25.0), {"cycles": 3.0}),          # scaled by perf to 2 s, of which it saw 0.5
    (line("cycles", "6.0", 0), {}), (line("cycles", "6.0", 10**9, 0.0), {}), (line("cycles", "many"), {}),
    ('{"event" : "cycles"}\n[1]\n"x"\n{', {}), ("", {})])
def test_lines_of_perf(text: str, found: dict[str, float]) -> None:
    assert perf.parse(text) == found


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed (apt-get install linux-perf)")
def test_the_real_perf_takes_our_commands(worker: int, tmp_path: Path) -> None:
    """With an event that needs no hardware: a thread has a second of CPU time in a second of CPU time."""
    try:
        one = Perf([worker], tmp_path, ["task-clock"])
    except CellFailed as why:
        pytest.skip(f"perf may not be used here: {why}")
    try:
        one.begin()
        ran = workers.running_ns([worker])
        eventually(lambda: workers.running_ns([worker]) > ran + 10**7)
        one.end()
        assert one.result() == {"task-clock": pytest.approx(1000)}       # in ms
    finally:
        one.stop()
