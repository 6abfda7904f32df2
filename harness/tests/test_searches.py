# SPDX-License-Identifier: BSD-3-Clause
"""The other searches, what all of them have in common, and `vswbench simulate`."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli, scenario, search, simulate, traffic
from harness.search.settings import Search
from harness.search.soak import interval_losses
from harness.sim import Model, SimulatedSwitch
from harness.tests.support import NULL_CELL, ROOT, cells_of, direction, made, seeded, write
from harness.trial import Point, Request, Trial

Measure = Callable[[Request], Trial]


def asked_of(folder: Path, text: str) -> Search:
    file = write(folder / "t.toml", 'name = "t"\n' + NULL_CELL + "[search]\nwarmup_s = 0\n" + text)
    return scenario.load(file)[0].search


def done(asked: Search, measure: Measure, with_latency: bool = True) -> tuple[dict[str, search.Result], list[Trial]]:
    of = simulate.drive(asked, with_latency, measure)
    by_metric = {r.metric: r for r in of.results}
    assert len(by_metric) == len(of.results), "two results of one name"
    return by_metric, of.trials


def plain(capacity_pps: float, **more: Any) -> Measure:
    return SimulatedSwitch(Model(capacity_pps, **more)).measure


def loads(trials: Sequence[Trial], phase: str) -> list[float | None]:
    return [t.intended_pps for t in trials if t.request.phase.partition("@")[0] == phase]


# ---- discipline ----------------------------------------------------------------------------------------------------

def test_an_invalid_trial_is_made_again_a_bounded_number_of_times_on_its_flag_alone(tmp_path: Path) -> None:
    """The search gets the first valid one, whatever it measured."""
    r = seeded()
    for _ in range(100):
        repeats = r.randint(0, 3)
        asked = asked_of(tmp_path, f'kind = "rplus"\ntrials = 5\ninvalid_repeats = {repeats}\n')
        made_trials: list[Trial] = []

        def measure(request: Request) -> Trial:
            t = made([direction(10**6, r.randint(1, 10**6))], clock_error_ppm=r.choice([0, 0, 1000]))
            made_trials.append(replace(t, request=request))
            return made_trials[-1]
        results, _ = done(asked, measure)
        slots: list[list[Trial]] = []
        for t in made_trials:
            if t.request.attempt == 1:
                slots.append([])
            assert t.request.attempt == len(slots[-1]) + 1
            slots[-1].append(t)
        assert len(slots) == 5
        for slot in slots:
            assert all(t.status == "invalid" for t in slot[:-1]) and len(slot) <= repeats + 1
            assert slot[-1].status == "ok" or len(slot) == repeats + 1
        good = [slot[-1].rx_pps for slot in slots if slot[-1].status == "ok"]
        assert results["rplus_pps"].n == len(good)


def test_a_trial_with_a_flag_of_repeat_on_is_made_again_and_the_last_one_counts(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "rplus"\ntrials = 2\nrepeat_on = "stalled"\n')
    stalls = iter([True, False, True, True, True])
    rates = iter([10, 20, 30, 40, 50])
    seen: list[Request] = []

    def measure(request: Request) -> Trial:
        seen.append(request)
        loops = [{"gap_max_ns": 10**7}] if next(stalls) else []
        return made([direction(100, next(rates))], loops=loops)
    results, _ = done(asked, measure)
    assert [q.attempt for q in seen] == [1, 2, 1, 2, 3]
    assert (results["rplus_pps"].ci_low, results["rplus_pps"].ci_high, results["rplus_pps"].status) == (20, 50, "ok")


def test_what_was_made_again_counts_for_the_limit_of_time(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "mlr"\nmax_pps = 1e7\nsearch_max_s = 30\nrepeat_on = "generator_limited"\n')
    results, trials = done(asked, plain(5e6, generator_pps=6e6))
    assert sum(t.request.duration_s for t in trials) <= 32
    assert results["search_traffic_s"].value == sum(t.request.duration_s for t in trials)


def test_a_trial_that_was_made_again_says_so() -> None:
    assert made([direction(1, 1)]).flags == ()
    again = SimulatedSwitch(Model(1e6)).measure(Request("rplus", None, 1.0, attempt=2))
    assert again.flags == ("repeated",) and again.status == "ok"


def test_a_warm_up_is_not_made_again(tmp_path: Path) -> None:
    asked = replace(asked_of(tmp_path, 'kind = "rplus"\ntrials = 1\n'), warmup_s=1.0)
    seen: list[str] = []

    def measure(request: Request) -> Trial:
        seen.append(request.phase)
        return made([direction(10, 10)], clock_error_ppm=1000 if request.phase == "warmup" else 0)
    done(asked, measure)
    assert seen == ["warmup", "rplus"]


KINDS = {"rplus": "", "fixed": "rate_pps = [1e6, 2e6]\n", "mlr": "", "rfc2544": "", "bswlv": "", "b2b": "", "sweep": "",
         "soak": "soak_s = 60\ninterval_s = 10\n"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_search_ends_and_its_waits_and_phases_are_known(kind: str, tmp_path: Path) -> None:
    asked = asked_of(tmp_path, f'kind = "{kind}"\ndrain_s = 0.5\nsettle_s = 3\n{KINDS[kind]}')
    seen: list[Request] = []

    def measure(request: Request) -> Trial:
        seen.append(request)
        return switch.measure(request)
    switch = SimulatedSwitch(Model(3e6))
    results, _ = done(asked, measure)
    assert search.headline(asked)[0] in results and results[search.headline(asked)[0]].status == "ok"
    assert {(q.drain_s, q.settle_s) for q in seen} == {(0.5, 3.0)}
    assert all(q.phase.partition("@")[0] in traffic.PHASES for q in seen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [lambda q: made([direction(10**6, 0)], phase=q.phase, rate_pps=q.rate_pps),
                                    lambda q: made([direction(10, 20)], phase=q.phase, rate_pps=q.rate_pps)],
                         ids=["nothing comes through", "every trial is invalid"])
def test_where_nothing_can_be_found_nothing_is(kind: str, answer: Measure, tmp_path: Path) -> None:
    results, _ = done(asked_of(tmp_path, f'kind = "{kind}"\n{KINDS[kind]}'), answer)
    first = results.get(search.headline(asked_of(tmp_path, f'kind = "{kind}"\n{KINDS[kind]}'))[0])
    assert first is not None and not first.value


@pytest.mark.parametrize("rates, stable", [([1e6] * 3, True), ([1e6, 1.01e6, 0.99e6], True),
                                           ([1e6, 1.1e6, 0.9e6], False)])
def test_rplus_that_varies_is_flagged(rates: list[float], stable: bool, tmp_path: Path) -> None:
    left = iter(rates)
    results, _ = done(asked_of(tmp_path, 'kind = "rplus"\n'), lambda q: made([direction(2 * 10**6, round(next(left)))]))
    assert ("unstable" in results["rplus_pps"].flags) == (not stable)


@pytest.mark.parametrize("kind, metric", [("rplus", "rplus_pps"), ("sweep", "mfr_pps")])
@pytest.mark.parametrize("generator_pps, lost, full, capped", [(4e6, 0, 0, True), (4e6, 3, 0, True), (4e6, 0, 9, False),
                                                               (6e6, 0, 0, False), (0, 0, 0, False)])
def test_a_rate_that_the_generator_set_is_capped(kind: str, metric: str, generator_pps: float, lost: int, full: int,
                                                 capped: bool, tmp_path: Path) -> None:
    """Nothing was lost but by accident, and the port always had room: a faster generator might have found more."""
    def measure(q: Request) -> Trial:
        intended, [sent], [received] = switch.count(q)
        return made([direction(sent, received - lost, intended=intended, full=full)], phase=q.phase,
                    rate_pps=q.rate_pps, duration_s=q.duration_s)
    switch = SimulatedSwitch(Model(5e6, generator_pps=generator_pps))
    results, _ = done(asked_of(tmp_path, f'kind = "{kind}"\n'), measure)
    assert ("capped" in results[metric].flags) == capped


@pytest.mark.parametrize("kind, metrics", [("rfc2544", ["ndr"]), ("mlr", ["ndr", "pdr"]), ("bswlv", ["ndr"])])
def test_a_rate_without_loss_that_the_generator_set_is_capped(kind: str, metrics: list[str], tmp_path: Path) -> None:
    """However little of a load was not sent; a full port is the switch's doing."""
    asked = asked_of(tmp_path, f'kind = "{kind}"\nmax_pps = 14_880_000\ntrial_s = 1\n')
    for generator_pps, full in ((4e6, 0), (2.5e6, 0), (4e6, 1), (6e6, 0)):
        switch = SimulatedSwitch(Model(5e6, generator_pps=generator_pps))

        def measure(q: Request) -> Trial:
            intended, [sent], [received] = switch.count(q)
            return made([direction(sent, received, intended=intended, full=full)], phase=q.phase,
                        rate_pps=q.rate_pps, duration_s=q.duration_s)
        results, _ = done(asked, measure)
        for name in metrics:
            assert ("capped" in results[f"{name}_pps"].flags) == (generator_pps < 5e6 and not full)


@pytest.mark.parametrize("kind, at", [('"fixed"\nrate_pps = 6e6', "6000000pps"), ('"soak"\nrate_pps = 6e6', "soak"),
                                      ('"rplus"\n[latency]\nat_pps = 6e6', "6000000pps"),
                                      ('"sweep"\nmax_pps = 6e6\nfine_step_ratio = 0', "1.00max")])
@pytest.mark.parametrize("with_latency", [True, False])
def test_unsent_frames_are_missing_and_not_lost_whatever_the_search(kind: str, at: str, with_latency: bool,
                                                                    tmp_path: Path) -> None:
    """The generator sends 4 of 6 Mpps, and the switch loses none of them."""
    results, _ = done(asked_of(tmp_path, f"kind = {kind}\n"), plain(5e6, generator_pps=4e6), with_latency)
    if with_latency or not kind.startswith('"rplus"'):
        assert results[f"missing_ratio@{at}"].value == pytest.approx(1 / 3, abs=1e-5)
    assert (lost := results.get(f"loss_ratio@{at}")) is None or lost.value == 0


@pytest.mark.parametrize("lossy, stable", [(0, True), (1, True), (2, False)])
def test_a_machine_that_loses_at_a_tenth_of_rplus_is_unstable(lossy: int, stable: bool, tmp_path: Path) -> None:
    left = iter([1] * lossy + [0] * (30 - lossy))

    def measure(q: Request) -> Trial:
        if q.phase == "stability":
            assert q.rate_pps == pytest.approx(1e5)
            return made([direction(10**5, 10**5 - next(left), intended=10**5)], rate_pps=q.rate_pps)
        return made([direction(2 * 10**6, 10**6)])
    results, _ = done(asked_of(tmp_path, 'kind = "rplus"\nstability_trials = 30\n'), measure)
    assert {("unstable" in r.flags) for r in results.values()} == {not stable}


# ---- rfc2544 -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, metric", [("", "rfc2544_throughput_pps"), ("trial_s = 59\n", "ndr_pps"),
                                          ("drain_s = 1\n", "ndr_pps"), ("settle_s = 1\n", "ndr_pps")])
def test_a_throughput_of_rfc_2544_needs_its_durations_and_its_waits(text: str, metric: str, tmp_path: Path) -> None:
    results, trials = done(asked_of(tmp_path, f'kind = "rfc2544"\nmax_pps = 1e7\n{text}'), plain(5e6))
    assert results[metric].value == pytest.approx(5e6, rel=0.006)
    assert (results[metric].ci_low or 0) <= 5e6 < (results[metric].ci_high or 0)
    assert all(t.lost_count == 0 for t in trials if t.intended_pps == results[metric].value)


# ---- bswlv ---------------------------------------------------------------------------------------------------------

def test_binary_search_finds_the_highest_clean_step_of_any_hard_switch(tmp_path: Path) -> None:
    r = seeded()
    for _ in range(300):
        step, top = r.randint(1, 10**5), r.randint(10**5, 10**7)
        capacity = r.uniform(1, 1.2 * top)
        asked = asked_of(tmp_path, f'kind = "bswlv"\nmax_pps = {top}\nstep_pps = {step}\nmax_r = 1\n')
        results, trials = done(asked, plain(capacity))
        count = math.ceil(top / step)
        best = min(count, math.floor(math.floor(capacity) / step)) * step
        ndr = results["ndr_pps"]
        assert ndr.value == (best or None), (capacity, step, top)
        assert all((t.intended_pps or 0) % step == 0 for t in trials) and len(trials) <= math.log2(count) + 2
        assert ("capped" in ndr.flags) == (best == count * step)
        assert ("irregular" in ndr.flags) == (best == count * step or best == 0)


def test_a_rate_may_be_written_as_everywhere_else(tmp_path: Path) -> None:
    one, other = (asked_of(tmp_path, f'kind = "bswlv"\nmax_pps = {text}\n') for text in ("14.88e6", "14_880_000"))
    assert one == other and one.options.max_pps == 14_880_000


@pytest.mark.parametrize("max_r, max_z, losses, trials, clean", [
    (1, 0, [5, 0], 1, False), (2, 0, [5, 0], 2, True), (2, 0, [5, 5, 0], 2, False), (3, 0, [5, 5, 0], 3, True),
    (3, 4, [5, 0], 1, False), (3, 5, [5, 0], 2, True)])
def test_a_loss_is_verified_as_often_as_said_unless_it_is_too_large(max_r: int, max_z: int, losses: list[int],
                                                                    trials: int, clean: bool, tmp_path: Path) -> None:
    left = iter(losses)
    asked = asked_of(tmp_path, f'kind = "bswlv"\nmax_pps = 1000\nstep_pps = 1000\nmax_r = {max_r}\nmax_z = {max_z}\n')
    results, made_trials = done(asked, lambda q: made([direction(1000, 1000 - next(left), intended=1000)],
                                                      rate_pps=q.rate_pps))
    assert len(made_trials) == trials and (results["ndr_pps"].value == 1000) == clean


# ---- b2b -----------------------------------------------------------------------------------------------------------

def queue(frames: int, capacity_pps: float) -> Measure:
    """A switch with a buffer: a burst of n frames at a rate fills it at the difference of the rates."""
    def measure(request: Request) -> Trial:
        rate = request.rate_pps or 2e7
        sent = math.floor(rate * request.duration_s + 1e-6)
        room = frames + math.floor(capacity_pps * request.duration_s + 1e-6)
        intended = sent if request.rate_pps else None
        return made([direction(sent, min(sent, room), intended=intended)], phase=request.phase,
                    rate_pps=request.rate_pps, duration_s=request.duration_s)
    return measure


def test_the_longest_burst_tells_the_buffer(tmp_path: Path) -> None:
    r = seeded()
    for _ in range(30):
        frames, capacity, rate = r.randint(100, 20_000), r.uniform(1e6, 5e6), r.uniform(6e6, 2e7)
        asked = asked_of(tmp_path, f'kind = "b2b"\nburst_pps = {rate}\nthroughput_pps = {capacity}\nstep_frames = 1\n')
        seen: list[Request] = []
        switch = queue(frames, capacity)

        def measure(request: Request) -> Trial:
            seen.append(request)
            return switch(request)
        results, _ = done(asked, measure)
        assert results["b2b_frames"].n == 5 and results["b2b_frames_stdev"].value == 0
        assert results["b2b_frames"].value == pytest.approx(frames / (1 - capacity / rate), abs=3)
        assert results["b2b_buffer_s"].value == pytest.approx(frames / rate, rel=0.05)
        assert {(q.phase, q.rate_pps, q.settle_s) for q in seen} == {("b2b", rate, 2.0)}


def test_a_burst_search_measures_the_throughput_first_and_says_where_no_buffer_can_fill(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "b2b"\nburst_pps = 1e7\n')
    results, trials = done(asked, queue(1000, 4e6))
    assert results["ndr_pps"].value == pytest.approx(4e6, rel=0.01) and results["b2b_frames"].value
    phases = [t.request.phase for t in trials]
    assert phases == sorted(phases, reverse=True) and set(phases) == {"throughput", "b2b"}
    fast, _ = done(asked, queue(1000, 2e7))
    assert (fast["b2b_frames"].value, fast["b2b_frames"].flags) == (None, ("capped",))


@pytest.mark.parametrize("full, flags", [(0, {"generator_limited", "capped"}), (1, set())])
def test_a_burst_that_was_not_sent_says_whose_fault_it_was(full: int, flags: set[str], tmp_path: Path) -> None:
    """The generator reaches 5 Mpps of 10: no buffer is filled. A port that takes no more is a buffer that is full."""
    def measure(q: Request) -> Trial:
        intended = round((q.rate_pps or 0) * q.duration_s)
        sent = intended if intended <= 1000 else intended // 2
        return made([direction(sent, sent, intended=intended, full=full)], phase=q.phase, rate_pps=q.rate_pps,
                    duration_s=q.duration_s)
    asked = asked_of(tmp_path, 'kind = "b2b"\nburst_pps = 1e7\nthroughput_pps = 4e6\nstep_frames = 1\n')
    got = done(asked, measure)[0]["b2b_frames"]
    assert set(got.flags) == flags and got.value == (1000 if full else None)


@pytest.mark.parametrize("frames, below", [(0, True), (1000, False)])
def test_a_burst_shorter_than_a_step_says_so(frames: int, below: bool, tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "b2b"\nburst_pps = 1e7\nthroughput_pps = 4e6\n')
    results, _ = done(asked, queue(frames, 4e6))
    assert (results["b2b_frames"].value == 0) == below
    assert all(("below_width" in r.flags) == below for m, r in results.items() if m.startswith("b2b_"))


def test_a_burst_near_the_limit_is_no_result(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "b2b"\nburst_pps = 1e7\nthroughput_pps = 4e6\nburst_max_s = 0.001\n')
    results, _ = done(asked, queue(100_000, 4e6))
    assert results["b2b_frames"].value is None and "capped" in results["b2b_frames"].flags


# ---- sweep, soak ---------------------------------------------------------------------------------------------------

def test_a_sweep_goes_down_until_two_loads_are_clean_and_then_around_rplus(tmp_path: Path) -> None:
    results, trials = done(asked_of(tmp_path, 'kind = "sweep"\nmax_pps = 1e7\n'), plain(5e6))
    coarse = [x for x in loads(trials, "sweep") if x and x % 1e6 == 0]
    assert [round(x / 1e6) for x in coarse if x][:7] == [10, 9, 8, 7, 6, 5, 4]
    fine = [f"{k / 100:.2f}rplus" for k in range(80, 112, 2)]
    assert [t.request.phase.partition("@")[2] for t in trials if t.request.phase.endswith("rplus")
            and t.request.phase != "rplus"] == fine
    assert results["missing_ratio@1.00max"].value == pytest.approx(0.5)
    assert results["missing_ratio@0.50max"].value == results["missing_ratio@1.00rplus"].value == 0
    assert results["missing_ratio@1.10rplus"].value == pytest.approx(1 - 1 / 1.1, abs=1e-5)
    assert results["mfr_pps"].value == pytest.approx(5e6) and not results["mfr_pps"].flags


def test_a_load_that_loses_more_than_a_higher_one_is_unstable(tmp_path: Path) -> None:
    def measure(q: Request) -> Trial:
        sent = round(q.rate_pps or 1e7)
        received = sent // 2 if sent == 7_000_000 else min(sent, 8_000_000)
        return made([direction(sent, received, intended=sent)], rate_pps=q.rate_pps)
    results, _ = done(asked_of(tmp_path, 'kind = "sweep"\nmax_pps = 1e7\nfine_step_ratio = 0\n'), measure)
    assert [m for m, r in results.items() if "unstable" in r.flags] == ["missing_ratio@0.70max", "rx_pps@0.70max"]


def test_a_sweep_that_never_loses_is_capped(tmp_path: Path) -> None:
    results, trials = done(asked_of(tmp_path, 'kind = "sweep"\nmax_pps = 1e6\nfine_step_ratio = 0\n'), plain(5e6))
    assert "capped" in results["mfr_pps"].flags and len(trials) == 2


def test_a_soak_is_one_trial_with_its_loss_per_interval(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, 'kind = "soak"\nsoak_s = 600\ninterval_s = 10\nrate_pps = 4e6\n')
    results, trials = done(asked, plain(5e6))
    assert [(t.request.duration_s, t.request.interval_s) for t in trials] == [(600, 10)]
    assert (results["lossy_intervals_count@soak"].value, results["lossy_intervals_count@soak"].n) == (0, 60)
    lossy, _ = done(asked, plain(5e6, stall_s=0.002, stall_every_s=30, seed=3))
    assert 0 < (lossy["lossy_intervals_count@soak"].value or 0) < 60
    assert (lossy["interval_loss_ratio@soak"].ci_high or 0) > (lossy["missing_ratio@soak"].value or 0) > 0


def test_what_is_under_way_at_the_end_of_an_interval_is_not_lost() -> None:
    """A model that knows of every frame when it was sent, whether it was lost, and when it came."""
    r = seeded()
    for _ in range(200):
        count, late = r.randint(2, 20), r.randint(0, 3)
        sent, received, lost = [0] * (count + 4), [0] * (count + 4), [0] * (count + 4)
        for i in range(count):
            sent[i] = r.randint(50, 100)
            lost[i] = r.choice([0, 0, 0, r.randint(1, 20)])
            waits = r.randint(0, late) if late else 0
            received[i] += sent[i] - lost[i] - waits
            received[i + 1] += waits
        points = [Point(0, i * 1.0, s, n, None) for i, (s, n) in enumerate(zip(sent, received))]
        got = interval_losses(points)
        assert sum(n for _, n in got) == sum(lost) and all(n >= 0 for _, n in got)
        assert sum(abs(a - b) for (_, a), b in zip(got, lost)) <= 2 * late * count
        if not any(lost):
            assert {n for _, n in got} == {0}


# ---- the scenario's keys -------------------------------------------------------------------------------------------

BAD = [
    ("a key of another kind", 'kind = "rplus"\nmin_pps = 5\n', ["'min_pps'"]),
    ("an unknown key of a goal", 'kind = "mlr"\n[search.goals.ndr]\nloss = 0\n', ["goals.ndr", "'loss'", "loss_ratio"]),
    ("a goal that is no table", 'kind = "mlr"\n[search.goals]\nndr = 1\n', ["goals.ndr", "table"]),
    ("no goals", 'kind = "mlr"\n[search.goals]\n', ["goals", "empty"]),
    ("a name that is none", 'kind = "mlr"\n[search.goals."a b"]\n', ["'a b'"]),
    ("a name that is taken", 'kind = "mlr"\n[search.goals.rplus]\n', ["'rplus'"]),
    ("a sum shorter than a trial", 'kind = "mlr"\n[search.goals.ndr]\nfinal_s = 30\n', ["'sum_s'", "final_s"]),
    ("an initial trial longer than the final", 'kind = "mlr"\n[search.goals.ndr]\ninitial_s = 2\n', ["'initial_s'"]),
    ("a highest load below the lowest", 'kind = "mlr"\nmax_pps = 5000\n', ["'max_pps'", "min_pps"]),
    ("an exceed ratio of one", 'kind = "mlr"\n[search.goals.ndr]\nexceed_ratio = 1\n', ["'exceed_ratio'", "0.99"]),
    ("a step above all", 'kind = "bswlv"\nmax_pps = 10\nstep_pps = 11\n', ["'step_pps'"]),
    ("bursts slower than the switch", 'kind = "b2b"\nburst_pps = 1e6\nthroughput_pps = 2e6\n', ["'throughput_pps'"]),
    ("a range from high to low", 'kind = "sweep"\nfine_from_ratio = 1.5\n', ["'fine_from_ratio'"]),
    ("two rates for a soak", 'kind = "soak"\nrate_pps = [1, 2]\n', ["'rate_pps'", "one"]),
    ("too many intervals", 'kind = "soak"\ninterval_s = 0.001\n', ["'interval_s'"]),
    ("latency beside a soak", 'kind = "soak"\n[latency]\nno_load = true\n', ["'soak'", "latency"]),
    ("latency at what is not found", 'kind = "rfc2544"\n[latency]\nat_pdr = 0.5\n', ["'at_pdr'", "ndr"]),
    ("an unknown kind", 'kind = "mlrs"\n', ["'mlrs'", "mlr"]),
    ("a kind that is no word", 'kind = 5\n', ["'kind'"]),
]


@pytest.mark.parametrize("text, words", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_searches_are_refused_in_a_sentence(text: str, words: list[str], tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", 'name = "t"\n' + NULL_CELL + "[search]\n" + text)
    assert cli.main(["simulate", str(file), "--capacity-pps", "1e6"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Traceback" not in err and [w for w in words if w not in err] == []


# ---- vswbench simulate ---------------------------------------------------------------------------------------------

MLR = 'name = "t"\n' + NULL_CELL + '[search]\nkind = "mlr"\nmin_pps = 9001\nmax_pps = 14.88e6\n'


def simulated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert cli.main(["simulate", *map(str, arguments), "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_simulate_prints_every_trial_and_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = simulated(capsys, write(tmp_path / "t.toml", MLR), "--capacity-pps", "5e6", "--overhead-s", 0.5)
    assert len(said["trials"]) == 35
    for t in said["trials"]:
        assert t["sent_count"] == math.floor(t["duration_s"] * t["intended_pps"])
        assert t["received_count"] == min(t["sent_count"], math.floor(t["duration_s"] * 5e6))
    results = {r["metric"]: r for r in said["results"]}
    assert results["pdr_pps"]["value"] == pytest.approx(5000000.985665617)
    [cell] = said["cells"]
    assert (cell["traffic_s"], cell["wall_s"]) == (35.5, 35.5 + 36 * 0.5)


def test_simulate_takes_bad_trials_noise_and_stalls_and_repeats_itself(tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", MLR)
    assert len(simulated(capsys, file, "--capacity-pps", "5e6", "--loss-every", "4:0.01")["trials"]) == 42
    noisy = ["--capacity-pps", "5e6", "--noise", "0.01", "--stall-ms", "2", "--stall-every-s", "3"]
    one, again, other = (simulated(capsys, file, *noisy, "--seed", seed) for seed in (7, 7, 8))
    assert one == again and one["trials"] != other["trials"]
    assert any(r["value"] and 4e6 < r["value"] < 6e6 for r in one["results"] if r["metric"] == "ndr_pps")


def test_simulate_for_people_names_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", str(write(tmp_path / "t.toml", MLR)), "--capacity-pps", "5e6"]) == 0
    out = capsys.readouterr().out
    assert "ndr_pps = " in out and "35 trials" in out


@pytest.mark.parametrize("arguments", [["--capacity-pps", "x"], ["--capacity-pps", "nan"], ["--capacity-pps", "-1"], [],
                                       ["--capacity-pps", "1e6", "--loss-every", "4"],
                                       ["--capacity-pps", "1e6", "--loss-every", "0:1"],
                                       ["--capacity-pps", "1e6", "--noise", "inf"],
                                       ["--capacity-pps", "1e6", "--stall-ms", "1"]])
def test_simulate_refuses_what_makes_no_sense(arguments: list[str], tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(["simulate", str(write(tmp_path / "t.toml", MLR)), *arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2 and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mlr", "rfc2544", "sweep", "soak", "b2b"])
def test_the_shipped_scenarios_of_searches_find_the_capacity(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "scenarios" / f"{name}.toml"
    [asked, *_] = cells_of(file)
    said = simulated(capsys, file, "--capacity-pps", "5e6")
    metric = search.headline(asked.search)[0]
    [value, *_] = [r["value"] for r in said["results"] if r["metric"] == metric]
    assert value == (0 if name == "b2b" else pytest.approx(5e6, rel=0.15))      # the simulated switch has no buffer


# ---- does R+ still hold at the end? --------------------------------------------------------------------------------

def fading(last_factor: float, first: Sequence[float] = (1.0, 1.0, 1.0)) -> Measure:
    """A machine whose speed is another one in the last trial; `first`: in the trials of R+ at the beginning."""
    rplus = iter(first)

    def measure(request: Request) -> Trial:
        factor = {"rplus": lambda: next(rplus), "drift": lambda: last_factor}.get(request.phase, lambda: 1.0)()
        return plain(5e6 * factor)(request)
    return measure


LONG = 'kind = "mlr"\n'       # two goals of 21 s


@pytest.mark.parametrize("factor, first, drifted", [
    (1.0, (1, 1, 1), False), (0.975, (1, 1, 1), False), (0.96, (1, 1, 1), True), (1.04, (1, 1, 1), True),
    (0.96, (0.95, 1, 1.02), False), (0.94, (0.95, 1, 1.02), True)])
def test_a_long_search_sees_at_its_end_whether_rplus_still_holds(factor: float, first: Sequence[float], drifted: bool,
                                                                 tmp_path: Path) -> None:
    asked = asked_of(tmp_path, LONG)
    results, trials = done(asked, fading(factor, first), with_latency=False)
    assert [t.request.phase for t in trials].count("drift") == 1 and trials[-1].request.phase == "drift"
    assert trials[-1].intended_pps is None and trials[-1].request.duration_s == asked.trial_s
    assert results["rplus_end_pps"].value == pytest.approx(5e6 * factor, rel=1e-6)
    assert all(("drift" in r.flags) == drifted for r in results.values())


@pytest.mark.parametrize("text", ['kind = "rplus"\n', 'kind = "mlr"\nmax_pps = 6e6\n', 'kind = "soak"\nsoak_s = 20\n',
                                  'kind = "fixed"\nrate_pps = 1e6\ntrial_s = 100\n'])
def test_a_short_search_and_one_without_rplus_do_not_pay_for_that(text: str, tmp_path: Path) -> None:
    _, trials = done(asked_of(tmp_path, text), plain(5e6))
    assert not loads(trials, "drift")


def test_latency_trials_count_as_time_in_which_a_machine_may_change(tmp_path: Path) -> None:
    text = 'kind = "rplus"\n[latency]\nat_rplus = [0.1, 0.5]\ntrials = 10\ntrial_s = 4.0\n'
    _, trials = done(asked_of(tmp_path, text), plain(5e6))
    assert len(loads(trials, "drift")) == 1


# ---- simulate --compare --------------------------------------------------------------------------------------------

COMPARED = 'name = "c"\n' + NULL_CELL + '[search]\ntrials = 3\n[repeat]\nblocks = 14\n'


def of_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, dict[str, Any]]:
    file = write(tmp_path / "c.toml", COMPARED)
    status = cli.main(["simulate", str(file), "--capacity-pps", "5e6", "--json", *map(str, more)])
    return status, json.loads(capsys.readouterr().out)


def test_a_comparison_can_be_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = ("--noise", "0.003", "--restart-noise", "0.01")
    for ratio, status, verdict in ((0.95, 3, "slower"), (1.05, 0, "faster"),
                                   (1.0, (0, 4), ("equivalent", "inconclusive"))):
        got, said = of_comparison(tmp_path, capsys, "--compare", ratio, *noise)
        [row] = said["rows"]
        assert got == said["exit_status"] and got in (status if isinstance(status, tuple) else (status,))
        assert row["verdict"] in verdict and (row["switch_a"], row["switch_b"], row["n_a"]) == ("A", "B", 14)
        assert row["ratio"] == pytest.approx(ratio, abs=0.012)
    assert {(r["block"], r["switch"]) for r in said["results"]} == {(b, s) for b in range(1, 15) for s in "AB"}
    assert of_comparison(tmp_path, capsys, "--compare", 1.0, *noise) == (got, said)         # the seed gives all of it
    assert of_comparison(tmp_path, capsys, "--compare", 1.0, *noise, "--seed", 2)[1]["rows"] != said["rows"]


def test_the_verdict_of_a_simulated_comparison_depends_on_blocks_and_margin(tmp_path: Path,
                                                                            capsys: pytest.CaptureFixture[str]) -> None:
    status, said = of_comparison(tmp_path, capsys, "--compare", 0.5, "--blocks", 5)
    assert status == 4 and said["rows"][0]["n_a"] == 5
    assert of_comparison(tmp_path, capsys, "--compare", 0.985)[1]["rows"][0]["verdict"] == "equivalent"
    assert of_comparison(tmp_path, capsys, "--compare", 0.985, "--margin", 0.01)[1]["rows"][0]["verdict"] == "slower"


@pytest.mark.parametrize("more, why", [(["--compare", "1", "--blocks", "0"], "--blocks 0"),
                                       (["--blocks", "7"], "--compare RATIO too")])
def test_options_of_a_simulated_comparison_are_checked(more: list[str], why: str, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "c.toml", COMPARED)
    assert cli.main(["simulate", str(file), "--capacity-pps", "5e6", *more]) == 2
    assert why in capsys.readouterr().err
