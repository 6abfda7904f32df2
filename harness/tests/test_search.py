# SPDX-License-Identifier: BSD-3-Clause
"""Searches ask for the right trials and make the right figures of them."""

import statistics
from typing import Any

import pytest

from harness import search
from harness.scenario import Search
from harness.search import Result
from harness.tests.support import direction, made, seeded
from harness.trial import Request, Trial


def plan_of(trials: int = 3, trial_s: float = 1.0, warmup_s: float = 0.5,
            fractions: tuple[float, ...] = (0.1, 0.5, 0.99),
            latency_trials: int = 1, latency_trial_s: float = 2.0, repeats: int = 0) -> Search:
    return Search("rplus", trials, trial_s, warmup_s, fractions, latency_trials, latency_trial_s,
                  invalid_repeats=repeats)


DEFAULT = plan_of()


def drive(plan: Search, with_latency: bool, answer: Any) -> tuple[list[Request], list[Result]]:
    """What a search asks for and gives when `answer(request)` is the trial."""
    steps, asked = search.run(plan, with_latency), []
    try:
        request = next(steps)
        while True:
            asked.append(request)
            request = steps.send(answer(request))
    except StopIteration as done:
        return asked, done.value


def trial_of(request: Request, rx_pps: float, *, valid: bool = True, loss_ratio: float = 0.25) -> Trial:
    """A trial with this rate; its `received` is what makes it so."""
    received = round(rx_pps * request.duration_s)
    sent = round(received / (1 - loss_ratio))
    bins = [[1000, 1001, received]]
    return made([direction(sent, received, intended=sent if request.rate_pps else None,
                           latency={"min_ns": 1000, "max_ns": 1000, "bins": bins})],
                phase=request.phase, rate_pps=request.rate_pps, duration_s=request.duration_s,
                clock_error_ppm=0 if valid else 1000)


def by_metric(results: list[Result]) -> dict[str, Result]:
    assert len({r.metric for r in results}) == len(results), "two results of one name"
    return {r.metric: r for r in results}


# ---- what is asked for ---------------------------------------------------------------------------------------------

def test_rplus_asks_for_the_warm_up_then_the_trials_then_latency_at_each_fraction() -> None:
    asked, _ = drive(DEFAULT, True, lambda r: trial_of(r, 4e6))
    assert [(r.phase, r.rate_pps, r.duration_s) for r in asked] == [
        ("warmup", None, 0.5), ("rplus", None, 1.0), ("rplus", None, 1.0), ("rplus", None, 1.0),
        ("latency@0.10rplus", pytest.approx(0.4e6), 2.0), ("latency@0.50rplus", pytest.approx(2e6), 2.0),
        ("latency@0.99rplus", pytest.approx(3.96e6), 2.0)]


def test_any_search_asks_for_exactly_what_it_says() -> None:
    r = seeded()
    for _ in range(100):
        n, warmup = r.randint(1, 9), r.choice([0, 0.3])
        fractions = tuple(sorted({round(r.uniform(0.01, 2), 2) for _ in range(r.randint(0, 4))}))
        plan = plan_of(n, r.uniform(0.1, 2), warmup, fractions, r.randint(1, 4), r.uniform(0.1, 2))
        rates = [r.uniform(1e5, 1e7) for _ in range(n)]
        left = list(rates)
        asked, _ = drive(plan, True, lambda q: trial_of(q, left.pop() if q.phase == "rplus" else 1e6))
        asked = [q for q in asked if q.phase != "drift"]    # which long latency trials ask for
        saturating = [q for q in asked if q.rate_pps is None]
        assert [q.phase for q in saturating] == ["warmup"] * bool(warmup) + ["rplus"] * n
        assert all(q.duration_s == (warmup if q.phase == "warmup" else plan.trial_s) for q in saturating)
        paced = asked[len(saturating):]
        got = [(q.rate_pps, q.duration_s) for q in paced]
        rounding = 1 / min(plan.trial_s, 0.1) / 1e5         # trial_of() gives whole frames
        assert got == [(pytest.approx(f * statistics.median(rates), rel=rounding),
                        plan.latency_trial_s) for f in fractions] * plan.latency_trials


def test_no_warm_up_is_asked_for_where_it_takes_no_time() -> None:
    asked, _ = drive(plan_of(1, warmup_s=0, fractions=()), True, lambda r: trial_of(r, 1e6))
    assert [r.phase for r in asked] == ["rplus"]


def test_no_latency_where_sender_and_receiver_are_apart() -> None:
    asked, results = drive(DEFAULT, False, lambda r: trial_of(r, 4e6))
    assert {r.phase for r in asked} == {"warmup", "rplus"}
    assert set(by_metric(results)) == {"rplus_pps", "rplus_loss_ratio"}


@pytest.mark.parametrize("answer", [lambda r: trial_of(r, 4e6, valid=False),
                                    lambda r: made([direction(1000, 0)], phase=r.phase)],
                         ids=["no valid trial", "nothing received"])
def test_no_latency_where_there_is_no_rate_to_load_with(answer: Any) -> None:
    asked, _ = drive(DEFAULT, True, answer)
    assert {r.phase for r in asked} == {"warmup", "rplus"}


def test_every_fraction_has_names_of_its_own_however_small() -> None:
    plan = plan_of(1, warmup_s=0, fractions=(0.0001, 0.001, 0.002, 0.101, 0.102, 0.1, 0.1234567, 0.1234568, 2.0))
    asked, results = drive(plan, True, lambda r: trial_of(r, 1e6))
    assert len({r.phase for r in asked}) == len(asked)
    names = set(by_metric(results))
    assert {"latency_p50_ns@0.10rplus", "latency_p50_ns@2.00rplus"} <= names


# ---- what comes of it ----------------------------------------------------------------------------------------------

def test_rplus_is_the_median_of_the_trials_and_never_of_the_warm_up() -> None:
    rates = iter([9e6, 3e6, 1e6, 2e6])      # the warm-up is the fastest
    results = by_metric(drive(DEFAULT, False, lambda r: trial_of(r, next(rates)))[1])
    rplus = results["rplus_pps"]
    assert (rplus.value, rplus.n, rplus.ci_low, rplus.ci_high) == (pytest.approx(2e6), 3, pytest.approx(1e6),
                                                                   pytest.approx(3e6))
    assert (rplus.unit, rplus.status, rplus.flags) == ("pps", "ok", ("unstable",))


def test_rplus_is_the_median_of_the_valid_trials_only() -> None:
    r = seeded()
    for _ in range(200):
        n = r.randint(1, 8)
        plan = plan_of(n, warmup_s=0, fractions=())
        given = [(float(r.randint(1, 10**7)), r.random() < 0.6) for _ in range(n)]
        left = iter(given)

        def answer(q: Request) -> Trial:
            rate, valid = next(left)
            return trial_of(q, rate, valid=valid)
        rplus = by_metric(drive(plan, True, answer)[1])["rplus_pps"]
        good = sorted(rate for rate, valid in given if valid)
        if not good:
            assert (rplus.value, rplus.status, rplus.n) == (None, "invalid", 0)
            continue
        middle = good[len(good) // 2] if len(good) % 2 else (good[len(good) // 2 - 1] + good[len(good) // 2]) / 2
        assert (rplus.value, rplus.n, rplus.status) == (pytest.approx(middle), len(good), "ok")
        assert (rplus.ci_low, rplus.ci_high) == ((good[0], good[-1]) if len(good) > 1 else (None, None))
        assert ("clock" in rplus.flags) == (len(good) < n)


def test_loss_under_saturation_is_given_with_rplus() -> None:
    loss = by_metric(drive(DEFAULT, False, lambda r: trial_of(r, 3e6, loss_ratio=0.25))[1])["rplus_loss_ratio"]
    assert (loss.value, loss.unit, loss.n) == (pytest.approx(0.25), "1", 3)


def test_latency_results_carry_their_load_and_their_unit() -> None:
    results = by_metric(drive(DEFAULT, True, lambda r: trial_of(r, 4e6))[1])
    for at in ("0.10rplus", "0.50rplus", "0.99rplus"):
        for name in ("p50", "p99", "p999", "min", "max"):
            one = results[f"latency_{name}_ns@{at}"]
            assert (one.value, one.unit, one.n) == (1000, "ns", 1)
        assert results[f"loss_ratio@{at}"].value == pytest.approx(0.25)


def test_a_quantile_without_enough_samples_is_missing_not_wrong() -> None:
    results = by_metric(drive(DEFAULT, True, lambda r: trial_of(r, 500 if r.rate_pps else 4e6))[1])
    assert results["latency_p50_ns@0.50rplus"].value == 1000
    assert results["latency_p99_ns@0.50rplus"].value == 1000        # 1000 samples in 2 s: just enough
    p999 = results["latency_p999_ns@0.50rplus"]
    assert (p999.value, p999.n, p999.status) == (None, 0, "ok")


def test_latency_trials_come_in_rounds_so_that_a_slow_moment_meets_all_loads() -> None:
    asked, _ = drive(plan_of(1, warmup_s=0, fractions=(0.1, 0.5), latency_trials=3), True, lambda r: trial_of(r, 1e6))
    assert [r.phase for r in asked[1:]] == ["latency@0.10rplus", "latency@0.50rplus"] * 3


def test_a_percentile_is_the_median_over_the_rounds() -> None:
    seen = {"latency@0.50rplus": iter([9000, 1000, 2000])}

    def answer(r: Request) -> Trial:
        ns = next(seen[r.phase]) if r.phase in seen else 5
        return made([direction(10**6, 10**6, latency={"min_ns": ns, "max_ns": ns, "bins": [[ns, ns + 1, 10**6]]})],
                    phase=r.phase, rate_pps=r.rate_pps)
    one = by_metric(drive(plan_of(1, warmup_s=0, fractions=(0.5,), latency_trials=3), True, answer)[1])
    for name in ("p50", "p99", "p999", "min", "max"):
        got = one[f"latency_{name}_ns@0.50rplus"]
        assert (got.value, got.n, got.ci_low, got.ci_high) == (2000, 3, 1000, 9000)


def test_an_invalid_latency_trial_gives_no_latency() -> None:
    results = by_metric(drive(DEFAULT, True, lambda r: trial_of(r, 4e6, valid=r.rate_pps is None))[1])
    assert results["rplus_pps"].status == "ok"
    for name in ("latency_p50_ns@0.10rplus", "latency_max_ns@0.99rplus", "loss_ratio@0.50rplus"):
        assert (results[name].value, results[name].status) == (None, "invalid")
        assert "clock" in results[name].flags
