# SPDX-License-Identifier: BSD-3-Clause
"""Trials: identities of the counts, and flags that are raised exactly where their condition holds."""

import re
from typing import Any

import pytest

from harness import table, trial
from harness.tests.support import ROOT, direction, made, seeded
from harness.trial import FLAGS, INVALIDATING, Trial


def hist(ns: int, count: int) -> dict[str, Any]:
    """So many samples of one value."""
    return {"count": count, "min_ns": ns, "max_ns": ns, "sum_ns": ns * count, "overflow_count": 0,
            "bins": [[ns, ns + 1, count]]}


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
    ("a flow at two receive queues", {"crossed_flows_count": 1}, {}, ["crossed_flows"]),
    ("it stood still for a moment", {}, {"loops": [{"gap_max_ns": 99_999, "stall_ns": 1_000_000}]}, []),
    ("it stood still once", {}, {"loops": [{"gap_max_ns": 5}, {"gap_max_ns": 100_001}]}, ["stalled"]),
    ("it stood still once, but latency is longer", {"latency": hist(10_001, 100_000)},
     {"loops": [{"gap_max_ns": 100_001}]}, []),
    ("it stood still all the time", {}, {"loops": [{"stall_ns": 1_000_001}]}, ["stalled"]),
    ("it was late by a little", {"latency": hist(100_000, 100_000), "latency_intended": hist(103_000, 100_000)},
     {"rate_pps": 1e5}, []),
    ("it was late", {"latency": hist(100_000, 100_000), "latency_intended": hist(103_001, 100_000)},
     {"rate_pps": 1e5}, ["late"]),
    ("it was late in the few highest only", {"latency": hist(100_000, 999), "latency_intended": hist(200_000, 999)},
     {"rate_pps": 1e5}, []),
    ("duplicates are no flag", {"duplicate_count": 5}, {}, []),
    ("reordering is no flag", {"reordered_count": 5}, {}, []),
    ("a thousandth unsent", {"intended": 100_100}, {}, []),
    ("more than a thousandth unsent, port had room", {"intended": 100_101}, {}, ["generator_limited"]),
    ("more than a thousandth unsent, port was full", {"intended": 100_101, "full": 1}, {}, ["backpressure"]),
    ("a full port alone", {"intended": 100_000, "full": 1}, {}, []),
    ("a full port under saturation", {"full": 1}, {}, []),
    ("two senders ended a little apart", {}, {"skew_s": 0.05}, []),
    ("two senders ended apart", {}, {"skew_s": 0.0501}, ["skewed"]),
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
    """All but those of results (test_calibrate.py, test_mlr.py, test_searches.py, test_blocks.py, test_anchor.py), of
    repeats, of what packets cost (test_telemetry.py), of devices (test_kernelnf.py), and of switches that hang
    (test_fake_switches.py)."""
    of_results = {"lower_bound", "irregular", "capped", "search_limit", "below_width", "unstable", "repeated",
                  "blocks_missing", "drift", "suspect", "not_saturated", "no_vhost_net",
                  "generic_xdp", "switch_silent"}
    assert {flag for _, _, _, flags in CONDITIONS for flag in flags} == set(FLAGS) - of_results


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
    lines = readme.read_text(encoding="utf-8").replace("`", "").splitlines()
    assert [flag for flag, told in FLAGS.items() if f"| {flag} | {' | '.join(told)} |".replace("`", "") not in lines] == []


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


# ---- what else a trial tells ---------------------------------------------------------------------------------------

def test_counts_of_the_sender_are_sums_and_missing_where_one_does_not_tell() -> None:
    told = {"built_count": 10, "late_count": 1, "skipped_count": 0, "tx_full_ns": 5}
    both = made([direction(9, 9, sender=told, learning_count=2), direction(9, 9, sender=told, learning_count=3)])
    assert dict(both.counts) == {"built_count": 20, "late_count": 2, "skipped_count": 0, "tx_full_ns": 10,
                                 "learning_count": 5, "crossed_flows_count": None,
                                 "reorder_extent_max_count": None}
    assert set(made([direction(9, 9, sender=told), direction(9, 9)]).counts.values()) == {None}


def test_the_reports_of_several_workers_are_the_worst_and_the_sum() -> None:
    one = made([direction(1, 1)], loops=[
        {"gap_max_ns": 5, "stall_ns": 9, "involuntary_switches": 1, "voluntary_switches": 2, "run_delay_ns": 3,
         "idle_ratio": 0.5, "cpu": 0},
        {"gap_max_ns": 7, "stall_ns": 8, "involuntary_switches": 10, "voluntary_switches": 20, "run_delay_ns": 30,
         "idle_ratio": 0.25, "cpu": 3}])
    assert one.tester == {"gap_max_ns": 7, "stall_ns": 9, "involuntary_switches": 11, "voluntary_switches": 22,
                          "run_delay_ns": 33, "idle_ratio": 0.25, "cpu": [0, 3], "imissed": 0, "steal_ns": None}


def test_delay_variation_is_counted_from_the_smallest_latency() -> None:
    """PDV, RFC 5481 section 4.2; against the samples themselves."""
    r = seeded()
    for _ in range(50):
        samples = sorted(r.randint(1000, 2000) for _ in range(10_000))
        bins = [[ns, ns + 1, samples.count(ns)] for ns in sorted(set(samples))]
        one = made([direction(10_000, 10_000, latency={"min_ns": samples[0], "max_ns": samples[-1], "bins": bins})])
        assert one.pdv_ns(0.99) == samples[9899] - samples[0]
        assert one.pdv_ns(0.999) == samples[9989] - samples[0]
        assert one.pdv_ns(0.9999) is None       # one sample beyond: too few


def test_latency_from_the_intended_time_needs_a_common_clock_and_gaps_do_not() -> None:
    apart = made([direction(100, 100, with_latency=False, latency_intended=hist(5, 100), ipdv=hist(7, 100),
                            sender={"departure_gap": hist(9, 100)})])
    assert set(apart.histograms) == {"ipdv", "departure_gap"}
    assert apart.quantile_ns("ipdv", 0.5) == 7 and apart.quantile_ns("latency_intended", 0.5) is None


def test_frames_without_a_gap_between_them_are_a_share() -> None:
    gaps = {"min_ns": 20, "max_ns": 1900, "bins": [[20, 30, 25], [990, 1010, 50], [1900, 1910, 25]]}
    one = made([direction(100, 100, sender={"departure_gap": gaps})], rate_pps=1e6)
    assert one.back_to_back_ratio == pytest.approx(0.25)
    assert made([direction(100, 100, sender={"departure_gap": gaps})]).back_to_back_ratio is None


def test_what_lies_beyond_the_bins_is_counted_and_never_guessed() -> None:
    one = made([direction(1000, 1000, latency={"min_ns": 5, "max_ns": 10**11, "bins": [[5, 6, 900]],
                                               "overflow_count": 100})])
    assert one.latency_ns(0.90) == 5 and one.latency_ns(0.95) is None and one.latency_max_ns == 10**11


def test_a_time_series_has_a_point_for_every_interval_of_either_side() -> None:
    one = made([direction(30, 30, sender={"sent_series": [[10, 600], [20, 1200]]},
                          series=[[5, 300], [15, 900], [10, 600]])], interval_s=0.5)
    assert [(p.stream, p.time_s, p.sent_count, p.received_count, p.received_bytes) for p in one.series] == [
        (0, 0.0, 10, 5, 300), (0, 0.5, 20, 15, 900), (0, 1.0, None, 10, 600)]
