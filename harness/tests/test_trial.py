# SPDX-License-Identifier: BSD-3-Clause
"""Trials: identities of the counts, and flags that are raised exactly where their condition holds."""

import re
from typing import Any

import pytest

from harness import table, trial
from harness.tests.support import ROOT, direction, made, seeded
from harness.trial import FLAGS, INVALIDATING, Trial


def latency(*bins: tuple[int, int, int]) -> dict[str, Any]:
    return {"min_ns": bins[0][0], "max_ns": bins[-1][1] - 1, "bins": [list(b) for b in bins]}


# ---- counts --------------------------------------------------------------------------------------------------------

def test_sent_is_received_plus_lost_whatever_comes() -> None:
    r = seeded()
    for _ in range(500):
        directions = [direction(sent := r.choice([0, 1, r.randint(0, 10**9)]), r.randint(0, sent + r.choice([0, 0, 5])),
                                intended=r.choice([None, sent + r.randint(0, 1000)]), span_s=r.uniform(0.5, 2),
                                duplicate_count=r.randint(0, 9), reordered_count=r.randint(0, 9))
                      for _ in range(r.randint(1, 2))]
        one = made(directions)
        assert one.sent_count == one.received_count + one.lost_count
        assert one.sent_count == sum(d.sent_count for d in directions)
        assert one.received_count == sum(d.meter["received_count"] for d in directions)
        assert one.duplicate_count == sum(d.meter["duplicate_count"] for d in directions)
        assert one.reordered_count == sum(d.meter["reordered_count"] for d in directions)
        assert (one.status == "invalid") == ("identity" in one.flags) == any(
            d.meter["received_count"] > d.sent_count for d in directions)


def test_intended_is_sent_plus_unsent_and_saturation_has_no_intention() -> None:
    assert made([direction(900, 900, intended=1000), direction(1000, 1000, intended=1000)],
                rate_pps=1e3).unsent_count == 100
    assert made([direction(900, 900)]).unsent_count is None
    assert made([direction(900, 900)]).intended_pps is None


def test_one_direction_that_received_too_much_cannot_hide_behind_the_other() -> None:
    one = made([direction(100, 150), direction(100, 10)])
    assert one.lost_count == 40
    assert one.flags == ("identity",) and one.status == "invalid"


def test_rates_are_per_direction() -> None:
    both = made([direction(1000, 1000), direction(3000, 2000)], duration_s=2.0)
    assert both.rx_pps == pytest.approx((500 + 1000) / 2)
    assert both.loss_ratio == pytest.approx(1000 / 4000)


def test_a_queue_that_empties_late_does_not_make_a_switch_faster() -> None:
    assert made([direction(1000, 1000, span_s=2.0)], duration_s=1.0).rx_pps == pytest.approx(500)
    assert made([direction(1000, 1000, span_s=0.1)], duration_s=1.0).rx_pps == pytest.approx(1000)


def test_a_trial_in_which_nothing_was_sent_has_no_loss_ratio() -> None:
    none = made([direction(0, 0, intended=10)], rate_pps=10)
    assert none.loss_ratio is None and none.rx_pps == 0 and none.unsent_count == 10


def test_a_trial_of_no_time_has_no_rate_and_no_exception() -> None:
    assert made([direction(0, 0)], duration_s=0.0).rx_pps == 0


# ---- flags ---------------------------------------------------------------------------------------------------------

CONDITIONS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("nothing amiss", {}, {}, []),
    ("lost frames are no flag", {"received": 10}, {}, []),
    ("the clock is at its limit", {}, {"clock_error_ppm": 100.0}, []),
    ("the clock is fast", {}, {"clock_error_ppm": 100.1}, ["clock"]),
    ("the clock is slow", {}, {"clock_error_ppm": -100.1}, ["clock"]),
    ("the tester dropped one", {}, {"missed_count": 1}, ["tester_drops"]),
    ("frames still came", {}, {"drained": False}, ["not_drained"]),
    ("a frame of others", {"foreign_count": 1}, {}, ["foreign_frames"]),
    ("a frame of an earlier trial", {"stale_count": 1}, {}, ["stale_frames"]),
    ("a frame before the window", {"old_count": 1}, {}, ["window_exceeded"]),
    ("one received too many", {"received": 100_001}, {}, ["identity"]),
    ("duplicates are no flag", {"duplicate_count": 5}, {}, []),
    ("reordering is no flag", {"reordered_count": 5}, {}, []),
    ("a thousandth unsent", {"intended": 100_100}, {}, []),
    ("more than a thousandth unsent, port had room", {"intended": 100_101}, {}, ["generator_limited"]),
    ("more than a thousandth unsent, port was full", {"intended": 100_101, "full": 1}, {}, ["backpressure"]),
    ("a full port alone", {"intended": 100_000, "full": 1}, {}, []),
    ("a full port under saturation", {"full": 1}, {}, []),
    ("what is true of the cell", {}, {"cell_flags": ["oversubscribed", "tcg"]}, ["oversubscribed", "tcg"]),
    ("all at once", {"foreign_count": 1, "stale_count": 1}, {"missed_count": 2, "drained": False},
     ["tester_drops", "not_drained", "foreign_frames", "stale_frames"]),
]


@pytest.mark.parametrize("of_direction, of_trial, flags", [row[1:] for row in CONDITIONS],
                         ids=[row[0] for row in CONDITIONS])
@pytest.mark.parametrize("place", [0, 1], ids=["first direction", "second direction"])
def test_a_flag_is_raised_exactly_where_its_condition_holds(place: int, of_direction: dict[str, Any],
                                                            of_trial: dict[str, Any],
                                                            flags: list[str]) -> None:
    idle = direction(0, 0, intended=0 if "intended" in of_direction else None)
    directions = [idle, idle]
    directions[place] = direction(**{"sent": 100_000, "received": 100_000, **of_direction})
    got = made(directions, **of_trial)
    assert sorted(got.flags) == sorted(flags)
    assert got.status == ("invalid" if set(flags) & {"clock", "identity"} else "ok")


def test_every_flag_can_be_raised_and_has_a_row_above() -> None:
    assert {flag for _, _, _, flags in CONDITIONS for flag in flags} == set(FLAGS)


def test_a_flag_is_named_once_however_often_it_holds() -> None:
    one = made([direction(1, 1, stale_count=1), direction(1, 1, stale_count=1)], cell_flags=["tcg", "tcg"])
    assert sorted(one.flags) == ["stale_frames", "tcg"]


def test_invalidating_flags_are_flags() -> None:
    assert set(INVALIDATING) <= set(FLAGS)
    assert all(re.fullmatch("[a-z_]+", flag) for flag in FLAGS)
    assert all(meaning and cure for meaning, cure in FLAGS.values())


def test_every_flag_is_documented_in_the_readme() -> None:
    readme = ROOT / "README.md"
    assert readme.exists(), "README.md is not written yet"
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert [flag for flag in FLAGS if not any(line.startswith(f"| `{flag}`") for line in lines)] == []


def test_every_flag_has_a_mark_in_the_table() -> None:
    assert set(table.MARKS) == set(FLAGS)


# ---- latency -------------------------------------------------------------------------------------------------------

def test_without_samples_there_is_no_latency() -> None:
    one = made([direction(100, 0)])
    assert (one.latency_min_ns, one.latency_max_ns, list(one.bins), one.latency_ns(0.5)) == (None, None, [], None)


def test_latency_of_a_receiver_elsewhere_is_no_latency() -> None:
    apart = made([direction(100, 100, with_latency=False, latency=latency((5, 6, 100)))])
    assert (apart.latency_min_ns, list(apart.bins), apart.latency_ns(0.5)) == (None, [], None)


def test_latencies_of_two_directions_are_one_histogram() -> None:
    both = made([direction(30, 30, latency=latency((5, 6, 30))),
                 direction(70, 70, latency=latency((5, 6, 10), (9, 10, 60)))])
    assert list(both.bins) == [(5, 6, 40), (9, 10, 60)]
    assert (both.latency_min_ns, both.latency_max_ns) == (5, 9)
    assert both.latency_ns(0.3) == 5 and both.latency_ns(0.5) == 9


def test_a_quantile_lies_between_the_smallest_and_the_largest_latency() -> None:
    r = seeded()
    for _ in range(100):
        low = r.randint(0, 10**6)
        width = r.randint(1, 10**4)
        smallest = r.randint(low, low + width - 1)
        largest = r.randint(smallest, low + width - 1)
        one = made([direction(100, 100, latency={"min_ns": smallest, "max_ns": largest,
                                                 "bins": [[low, low + width, 100]]})])
        assert smallest <= one.latency_ns(0.5) <= largest


def test_a_trial_keeps_what_was_asked_for() -> None:
    one: Trial = made([direction(10, 10, intended=10)], phase="latency@0.50rplus", rate_pps=10.0, duration_s=1.0)
    assert (one.request, one.intended_pps) == (trial.Request("latency@0.50rplus", 10.0, 1.0), 10.0)
