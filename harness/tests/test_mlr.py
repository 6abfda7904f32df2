# SPDX-License-Identifier: BSD-3-Clause
"""MLRsearch: the published vectors trial by trial, and what holds for any switch, on thousands of simulated ones."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from harness import search
from harness.bench.vectors import MAX, MIN, NDR, PDR, VECTORS, Measure, Vector, reproduced, searched
from harness.search.goal import BILLION, Goal, Sample, Target, Verdict, classify, quantile_loss, targets
from harness.search.grid import Grid, middle
from harness.search.mlr import Measured, Options, goal_results
from harness.search.selector import bounds
from harness.search.settings import Search
from harness.sim import Model, SimulatedSwitch
from harness.tests.support import direction, made, seeded
from harness.trial import Request, Trial

def plain(capacity_pps: float, **more: float) -> Measure:
    return SimulatedSwitch(Model(capacity_pps, **more)).measure     # type: ignore[arg-type]


def value(measured: Measured, goal: Goal, name: str = "pps") -> float | None:
    return next(r.value for r in goal_results(measured, goal, "g") if r.metric == f"g_{name}")


# ---- published vectors ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("low, high, size", [(9001, 14.88e6, 1479), (1e3, 1e9, 2757), (9001, 4e6, 1217)])
def test_the_grid_is_as_fine_as_published(low: float, high: float, size: int) -> None:
    grid = Grid(low, high, [0.005])
    assert (grid.size, grid.steps(0.005), grid.load(0), grid.load(size)) == (size, 1, low, high)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_published_vectors_trial_by_trial(vector: Vector) -> None:
    checked, wrong = reproduced(vector)
    assert wrong == [] and len(checked) == 1 + (vector.runs is not None) + len(vector.values)


def test_a_vector_that_comes_out_otherwise_is_told() -> None:
    worse = replace(VECTORS[1], runs="1x1479", values={"ndr_rlb_pps": "4991530.475879", "pdr_rub_pps": "5041801.46"})
    assert [what.split()[0] for what in reproduced(worse)[1]] == ["trials", "ndr_rlb_pps", "pdr_rub_pps"]


def test_the_goal_of_rfc_2544_takes_trials_of_a_minute() -> None:
    assert [r.duration_s for r in searched(VECTORS[3].goals, MIN, MAX, plain(5e6))[1]] == [60.0] * 3


RFC_GOALS = [Goal("1", 0.0, 0.0, 60, 60, 60, preceding=0), Goal("2", 0.0, 0.5, 60, 60, 120, preceding=0),
             Goal("3", 0.005, 0.5, 1, 1, 120, preceding=0), Goal("4", 0.005, 0.2, 60, 60, 60, preceding=0)]
POINTS = [(59, 1, 0), (1, 1, 10), (59, 1, 10), (1, 1, 0), (1, 60, 1), (1, 60, 0)]     # trials, seconds, per mille lost
TABLE = ["????", "U???", "U??U", "U?LU", "U?LU", "ULLU"]


def samples_of(points: Sequence[tuple[int, float, int]]) -> list[Sample]:
    return [Sample(mille, 1000, round(s * BILLION), round(s * BILLION)) for n, s, mille in points for _ in range(n)]


def test_the_classification_example_of_rfc_9971() -> None:
    letter = {Verdict.LOWER: "L", Verdict.UPPER: "U", Verdict.UNDECIDED: "?"}
    got = ["".join(letter[classify(samples_of(POINTS[:k + 1]), targets(g, 1)[-1])] for g in RFC_GOALS)
           for k in range(6)]
    assert got == TABLE
    for goal in RFC_GOALS[1:3]:
        assert 10**6 * (1 - quantile_loss(samples_of(POINTS), targets(goal, 1)[-1])) == 10**6


@pytest.mark.parametrize("low, high, effective_s, verdict", [
    (11, 0, 1.0, Verdict.LOWER), (10, 0, 1.0, Verdict.UNDECIDED), (0, 11, 1.0, Verdict.UPPER),
    (10, 10, 1.0, Verdict.UNDECIDED), (7, 0, 1.5, Verdict.LOWER), (6, 0, 1.5, Verdict.UNDECIDED),
    (0, 8, 1.5, Verdict.UPPER), (0, 7, 1.5, Verdict.UNDECIDED), (0, 0, 1.0, Verdict.UNDECIDED)])
def test_how_many_trials_decide(low: int, high: int, effective_s: float, verdict: Verdict) -> None:
    ns = round(effective_s * BILLION)
    these = [Sample(0, 1, BILLION, ns)] * low + [Sample(1, 1, BILLION, ns)] * high
    assert classify(these, targets(NDR, 1)[-1]) is verdict


def test_the_loss_of_appendix_b_counts_what_was_not_measured() -> None:
    goal = replace(NDR, loss_ratio=0.02)
    these = [Sample(k, 1000, BILLION, BILLION) for k in range(11)]
    assert quantile_loss(these, targets(goal, 1)[-1]) == Fraction(10, 1000)       # section 6.2 has half of it
    assert quantile_loss(these[:10], targets(goal, 1)[-1]) == 1


def test_no_residue_makes_nothing_of_a_clean_load() -> None:
    """Trials of 0.1 s ten times are not 1 s in binary; in floating point this loss is 1."""
    these = [Sample(0, 100, BILLION // 10, BILLION // 10)] * 10
    assert quantile_loss(these, targets(Goal("g", 0, 0, 0.1, 0.1, 1.0, preceding=0), 1)[-1]) == 0


def test_the_targets_before_a_goal() -> None:
    chain = targets(NDR, 1)
    assert [(t.sum_ns / BILLION, t.width, t.duration_ns) for t in chain] == [
        (1, 4, BILLION), (pytest.approx(4.5826, abs=1e-4), 2, BILLION), (21, 1, BILLION)]


# ---- the grid ------------------------------------------------------------------------------------------------------

def test_the_grid_suits_every_width_and_rounds_down() -> None:
    r = seeded()
    for _ in range(300):
        low = 10 ** r.uniform(0, 6)
        high = low * 10 ** r.uniform(0.1, 6)
        widths = [r.choice([0.001, 0.005, 0.01, 0.05, r.uniform(0.001, 0.2)]) for _ in range(r.randint(1, 3))]
        grid = Grid(low, high, widths)
        for width in widths:
            k = grid.steps(width)
            assert 1 - grid.load(0) / grid.load(k) <= width * (1 + 1e-9) if k <= grid.size else True
            units = -math.log1p(-width) * grid.size / math.log(high / low)
            assert 0.99 <= k / units <= 1
        for _ in range(10):
            pps = r.uniform(low, high)
            i = grid.below(pps)
            assert grid.load(i) <= pps and (i == grid.size or grid.load(i + 1) > pps)
        for i in (0, 1, grid.size // 2, grid.size):
            assert grid.below(grid.load(i)) == i


def test_halving_leaves_parts_that_end_at_the_goal() -> None:
    r = seeded()
    for _ in range(2000):
        goal, low = r.randint(1, 16), r.randint(0, 1000)
        high = low + goal + r.randint(1, 300)
        half = middle(low, high, goal)
        assert low < half < high
        if high - low > 2 * goal:
            assert any(part == goal * 2**k for part in (half - low, high - half) for k in range(12))


def test_a_limited_load_keeps_away_from_bounds_and_never_repeats_them() -> None:
    r = seeded()
    for _ in range(3000):
        grid = Grid(1000, 1e6, [r.uniform(0.005, 0.1)])
        low, high = sorted(r.sample(range(grid.size + 1), 2))
        lows, highs = r.choice([None, low]), r.choice([None, high])
        width = r.randint(1, 20)
        at = grid.limit(r.randint(-5, grid.size + 5), width, lows, highs)
        if at is None:
            continue
        assert 0 <= at <= grid.size and (lows is None or at > lows) and (highs is None or at < highs)
        if lows is not None and highs is not None and highs - lows >= 2 * width:
            assert lows + width <= at <= highs - width


# ---- what holds for any switch -------------------------------------------------------------------------------------

def slow_model(samples: Sequence[Sample], t: Target) -> Verdict:
    """Section 6.1 of RFC 9971 in exact fractions, as it is written."""
    e = Fraction(t.exceed_ppm, 10**6)

    def total(full: bool, high: bool) -> int:
        return sum(s.effective_ns for s in samples if (s.duration_ns >= t.duration_ns) == full
                   and (s.loss > Fraction(t.loss_ppb, BILLION)) == high)
    bad = total(True, True) + max(Fraction(0), total(False, True) - total(False, False) * e / (1 - e))
    whole = max(total(True, False) + bad, Fraction(t.sum_ns))
    optimistic, pessimistic = bad <= whole * e, whole - total(True, False) <= whole * e
    if optimistic != pessimistic:
        return Verdict.UNDECIDED
    return Verdict.LOWER if optimistic else Verdict.UPPER


def any_target(r: random.Random) -> Target:
    return Target(r.choice([0, 5_000_000, r.randint(0, BILLION // 2)]),
                  r.choice([0, 5000, 500_000, r.randint(0, 990_000)]), r.choice([1, 2, 5]) * BILLION,
                  r.randint(1, 30) * BILLION, 1)


def any_samples(r: random.Random, count: int) -> list[Sample]:
    return [Sample(r.choice([0, 0, 1, 5, 50]), 1000, d, d + r.choice([0, 500_000_000]))
            for d in (r.choice([1, 2, 5]) * BILLION for _ in range(count))]


def test_classification_is_the_rfcs_whatever_the_order_and_a_clean_trial_harms_nothing() -> None:
    r = seeded()
    for _ in range(4000):
        target, these = any_target(r), any_samples(r, r.randint(0, 25))
        verdict = classify(these, target)
        assert verdict is slow_model(these, target)
        assert verdict is classify(r.sample(these, len(these)), target)
        more = [*these, Sample(0, 1000, target.duration_ns, target.duration_ns)]
        if verdict is Verdict.LOWER:
            assert classify(more, target) is Verdict.LOWER


def answer(request: Request, sent: int, received: int) -> Trial:
    return made([direction(sent, received, intended=sent)], rate_pps=request.rate_pps, duration_s=request.duration_s)


def soft(capacity_pps: float, r: random.Random) -> Measure:
    """Loses more and more from half of its capacity on."""
    power = r.uniform(2, 12)

    def measure(request: Request) -> Trial:
        load = request.rate_pps or 0
        sent, room = (math.floor(pps * request.duration_s) for pps in (load, capacity_pps))
        carried = 1 - 0.1 * min(1.0, max(0.0, load / capacity_pps - 0.5) ** power)
        return answer(request, sent, min(sent, math.floor(sent * carried), room))
    return measure


def inverting(capacity_pps: float, r: random.Random) -> Measure:
    """Loses in a band below its capacity, and not between the band and its capacity."""
    low = capacity_pps * r.uniform(0.05, 0.9)
    high = min(capacity_pps, low * r.uniform(1.01, 2))

    def measure(request: Request) -> Trial:
        load = request.rate_pps or 0
        sent, room = (math.floor(pps * request.duration_s) for pps in (load, capacity_pps))
        return answer(request, sent, math.floor(0.9 * sent) if low <= load <= high else min(sent, room))
    return measure


def switches(r: random.Random, count: int) -> Iterator[tuple[str, float, Measure, int]]:
    """Kind, capacity, the switch, and the seed of what it does at random."""
    for _ in range(count):
        capacity, seed = 10 ** r.uniform(4.5, 7), r.randrange(10**9)
        kind = r.choice(["hard", "noisy", "stalls", "soft", "inverting"])
        noisy = {"noisy": {"noise_sd": r.choice([0.001, 0.01, 0.05])},
                 "stalls": {"stall_s": 0.002, "stall_every_s": r.choice([1, 3, 60]), "noise_sd": 0.003}}.get(kind, {})
        if kind in ("soft", "inverting"):
            yield kind, capacity, (soft if kind == "soft" else inverting)(capacity, random.Random(seed)), seed
        else:
            yield kind, capacity, SimulatedSwitch(Model(capacity, seed=seed, **noisy)).measure, seed


def any_goals(r: random.Random) -> list[Goal]:
    """Three that differ in their loss only, lowest first."""
    width, exceed = r.choice([0.005, 0.01, 0.05]), r.choice([0.005, 0.5, 0.5, 0.2])
    final = r.choice([1.0, 1.0, 2.0])
    base = Goal("a", 0.0, exceed, r.choice([final, final / 2]), final, final * r.choice([1, 3, 7, 11]), width,
                r.randint(0, 2))
    return [base, replace(base, name="b", loss_ratio=width / 5), replace(base, name="c", loss_ratio=width)]


def test_what_holds_for_any_switch() -> None:
    """Invariants 1, 2, 3, 5, 8, 10 of the methodology; its 6 is 8 where a load of the band was measured."""
    r = seeded()
    ends = {"regular": 0, "irregular": 0}
    for kind, capacity, measure, _ in switches(r, 2000):
        goals, low, high = any_goals(r), r.choice([1000.0, 9001.0]), capacity * r.choice([0.8, 1.5, 4, 30])
        limit_s = r.choice([1200.0, 60.0])
        measured, asked = searched(goals, low, high, measure, limit_s, r.choice([1, 2, 4]))
        assert sum(q.duration_s for q in asked) <= limit_s
        on_grid = {measured.grid.load(i) for i in range(measured.grid.size + 1)}
        assert all(low <= (q.rate_pps or 0) <= high and q.rate_pps in on_grid for q in asked)
        found = []
        for goal in goals:
            [result, rlb, rub] = goal_results(measured, goal, goal.name)
            target = targets(goal, measured.grid.steps(goal.width_ratio))[-1]
            upper = [i for i, those in measured.samples.items() if classify(those, target) is Verdict.UPPER]
            assert rlb.value is None or all(measured.grid.load(i) > rlb.value for i in upper)
            regular = "irregular" not in result.flags
            ends["regular" if regular else "irregular"] += 1
            if regular:
                assert rlb.value and rub.value and rlb.value < rub.value
                assert (rub.value - rlb.value) / rub.value <= goal.width_ratio * (1 + 1e-9)
                if kind == "hard":
                    assert rlb.value <= (capacity + 1) / (1 - goal.loss_ratio) and rub.value > capacity - 1
                    if goal.loss_ratio and rlb.value > capacity + 1:
                        assert result.value == pytest.approx(capacity, abs=2)
            else:
                assert result.flags and (measured.cut_short or rlb.value is None or rub.value is None)
            found.append((rlb.value or 0, rub.value or math.inf))
        assert found == sorted(found) and [b for _, b in found] == sorted(b for _, b in found)
    assert min(ends.values()) > 100, ends


def test_the_same_switch_is_asked_the_same() -> None:
    r = seeded()
    for _ in range(50):
        model = Model(10 ** r.uniform(5, 7), noise_sd=0.01, stall_s=0.002, stall_every_s=3, seed=r.randrange(1000))
        first, again = (searched([NDR, PDR], MIN, MAX, SimulatedSwitch(model).measure)[1] for _ in range(2))
        assert first == again


def test_a_bad_trial_in_four_is_forgiven_by_half_and_ruins_a_goal_without_exceptions() -> None:
    measured, _ = searched([replace(NDR, exceed_ratio=0.0)], MIN, MAX, plain(5e6, loss_every=4, loss_ratio=0.01))
    assert (value(measured, replace(NDR, exceed_ratio=0.0), "rub_pps") or 0) < 1e6


def test_a_load_that_loses_hides_the_clean_ones_above_it() -> None:
    measured, _ = searched([NDR], MIN, MAX, plain(5e6))
    lossy = [Sample(1, 100, BILLION, BILLION)] * 21
    target = targets(NDR, 1)[-1]
    best = bounds(measured.samples, target).low
    assert best == 1261
    planted = {**measured.samples, 700: lossy, 699: [Sample(0, 100, BILLION, BILLION)] * 21}
    assert bounds(planted, target).low == 699


# ---- results and their marks ---------------------------------------------------------------------------------------

def search_of(*goals: Goal, max_pps: float = MAX, limit_s: float = 1200.0, **more: object) -> Search:
    options = Options(MIN, max_pps, limit_s, 2, goals or (NDR, PDR))
    return replace(Search("mlr", 3, 1.0, 0.0, (), 1, 1.0, options=options), **more)      # type: ignore[arg-type]


def results_of(asked: Search, measure: Measure) -> dict[str, search.Result]:
    steps = search.run(asked, True)
    try:
        request = next(steps)
        while True:
            request = steps.send(measure(request))
    except StopIteration as done:
        return {r.metric: r for r in done.value}


def test_all_attributes_of_a_goal_stand_with_its_result() -> None:
    goal = Goal("tight", 0.001, 0.25, 0.5, 2.0, 10.0, 0.01, 1)
    said = results_of(search_of(goal), plain(5e6))["tight_pps"].goal
    assert said == ("loss_ratio=0.001;exceed_ratio=0.25;initial_s=0.5;final_s=2.0;sum_s=10.0;width_ratio=0.01;"
                    "preceding=1;min_pps=9001.0;max_pps=14880000.0")


MARKS = [
    ("nothing amiss", search_of(NDR), plain(5e6), "ndr", set()),
    ("faster than the highest load", search_of(NDR, max_pps=4e6), plain(5e6), "ndr", {"irregular", "capped"}),
    ("the generator is the limit", search_of(NDR), plain(5e6, generator_pps=3e6), "ndr",
     {"capped", "generator_limited"}),
    ("slower than the lowest load", search_of(NDR), plain(8000), "ndr", {"irregular"}),
    ("out of time", search_of(NDR, limit_s=10), plain(5e6), "ndr", {"irregular", "search_limit"}),
    ("goals that cannot be told apart", search_of(), plain(5e6), "pdr", {"below_width"}),
    ("loss at all loads now and then", search_of(replace(NDR, exceed_ratio=0.0)),
     plain(5e6, loss_every=4, loss_ratio=0.01), "ndr", {"irregular", "unstable"}),
]


@pytest.mark.parametrize("asked, measure, name, flags", [row[1:] for row in MARKS], ids=[row[0] for row in MARKS])
def test_a_result_says_what_is_to_be_said_against_it(asked: Search, measure: Measure, name: str,
                                                     flags: set[str]) -> None:
    assert set(results_of(asked, measure)[f"{name}_pps"].flags) == flags


@pytest.mark.parametrize("capacity_pps", [5e6, 2e7])
def test_an_interval_holds_its_value_and_has_two_ends(capacity_pps: float) -> None:
    found = results_of(search_of(), plain(capacity_pps))
    for name in ("ndr", "pdr"):
        result, bound = found[f"{name}_pps"], found[f"{name}_rlb_pps"]
        assert result.value and bound.value and result.value <= bound.value
        assert (result.ci_low is None) == (result.ci_high is None) == (found[f"{name}_rub_pps"].value is None)
        assert result.ci_low is None or result.ci_high and result.ci_low <= result.value <= result.ci_high


def test_more_received_than_sent_never_becomes_a_result() -> None:
    def measure(request: Request) -> Trial:
        return made([direction(1000, 1001, intended=1000)], rate_pps=request.rate_pps, duration_s=request.duration_s)
    ndr = results_of(search_of(NDR), measure)["ndr_pps"]
    assert (ndr.value, ndr.status) == (None, "invalid") and "identity" in ndr.flags


def test_unsent_frames_are_lost_to_a_search() -> None:
    """A port that takes 3 Mpps and loses nothing has an NDR of 3 Mpps."""
    def measure(request: Request) -> Trial:
        intended = math.floor((request.rate_pps or 0) * request.duration_s)
        sent = min(intended, math.floor(3e6 * request.duration_s))
        return made([direction(sent, sent, intended=intended, full=1)], rate_pps=request.rate_pps,
                    duration_s=request.duration_s)
    assert results_of(search_of(NDR), measure)["ndr_pps"].value == pytest.approx(3e6, rel=0.006)


def test_without_a_highest_load_it_goes_half_above_rplus() -> None:
    got = results_of(search_of(NDR, max_pps=0.0), plain(5e6))
    assert got["rplus_pps"].value == pytest.approx(5e6)
    assert "max_pps=7500000.0" in got["ndr_pps"].goal and got["ndr_pps"].value == pytest.approx(5e6, rel=0.006)


def test_latency_is_measured_at_fractions_of_the_bounds_at_no_load_and_at_an_absolute_load() -> None:
    asked = search_of(latency_at_ndr=(0.5,), latency_at_pdr=(0.9,), latency_at_pps=(1e6,), latency_no_load=True,
                      latency_at_rplus=(0.1,))
    got = results_of(asked, plain(5e6))
    assert {m.partition("@")[2] for m in got if m.startswith("latency_p50_ns@")} == {
        "0.50ndr", "0.90pdr", "1000000pps", "no_load", "0.10rplus"}


def test_no_latency_at_a_fraction_of_what_was_not_found() -> None:
    got = results_of(search_of(latency_at_ndr=(0.5,), latency_no_load=True), plain(8000))
    assert {m.partition("@")[2] for m in got if m.startswith("latency_p50_ns@")} == {"no_load"}
