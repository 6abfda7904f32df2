# SPDX-License-Identifier: BSD-3-Clause
"""Figure 1 of bench search: the published vectors of MLRsearch (RFC 9971), trial by trial. Pure, simulated."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from harness.bench import rows
from harness.bench.rows import Row
from harness.search.goal import Goal
from harness.search.mlr import Measured, controller, goal_results
from harness.sim import Model, SimulatedSwitch
from harness.trial import Request, Trial

NUMBER = 1
NDR, PDR = Goal("ndr"), Goal("pdr", loss_ratio=0.005)
MIN, MAX = 9001.0, 14.88e6
PRECISION = 1e-13           # of the arithmetic, relative

Measure = Callable[[Request], Trial]


@dataclass(frozen=True)
class Vector:
    """`runs`: "2x5 1x3" for two trials at index 5 of the grid, then one at 3 (None: not published); `values` as they
    are printed there, by metric."""

    name: str
    goals: Sequence[Goal]
    model: Model
    count: int
    values: Mapping[str, str]
    runs: str | None = None
    min_pps: float = MIN
    max_pps: float = MAX


OF_5_MPPS = {"ndr_rlb_pps": "4991530.475875629", "ndr_rub_pps": "5016602.988938421",
             "pdr_rlb_pps": "5016602.988938421", "pdr_rub_pps": "5041801.44"}
VECTORS = (
    Vector("1", [replace(NDR, exceed_ratio=0.005), replace(PDR, exceed_ratio=0.005)], Model(1e6), 45,
           {"ndr_pps": "997497.6029392382", "pdr_pps": "1000000.6730730429", "pdr_rlb_pps": "1002508.6747611101",
            "pdr_rub_pps": "1007544.92"},
           "1x2757 1x1378 1x1382 1x1380 4x1378 1x1379 16x1378 20x1379", 1e3, 1e9),
    Vector("2", [NDR, PDR], Model(5e6), 35, {**OF_5_MPPS, "pdr_pps": "5000000.985665617"},
           "1x1479 1x1261 1x1265 3x1263 2x1261 11x1262 8x1261 8x1263"),
    Vector("3: every fourth trial is bad", [NDR, PDR], Model(5e6, loss_every=4, loss_ratio=0.01), 42, OF_5_MPPS),
    Vector("7: the goal of RFC 2544", [Goal("ndr", 0.0, 0.0, 60.0, 60.0, 60.0, 0.005, 0)], Model(5e6), 3, {},
           "1x1479 1x1261 1x1262"),
)


def searched(goals: Sequence[Goal], min_pps: float, max_pps: float, measure: Measure, limit_s: float = 1200.0,
             expansion: int = 2) -> tuple[Measured, list[Request]]:
    """A search to its end, and what it asked for."""
    steps, asked = controller("mlr", goals, min_pps, max_pps, limit_s, expansion), []
    try:
        request = next(steps)
        while True:
            asked.append(request)
            request = steps.send(measure(request))
    except StopIteration as done:
        return done.value, asked


def runs_of(measured: Measured, asked: Sequence[Request]) -> str:
    """As in Vector.runs."""
    index = {measured.grid.load(i): i for i in measured.trials}
    return " ".join(f"{len(list(same))}x{i}" for i, same in itertools.groupby(index[r.rate_pps or 0] for r in asked))


def reproduced(vector: Vector) -> tuple[list[str], list[str]]:
    """What was checked of a vector, and what of it came out otherwise, in words."""
    measured, asked = searched(vector.goals, vector.min_pps, vector.max_pps, SimulatedSwitch(vector.model).measure)
    results = {r.metric: r.value for goal in vector.goals for r in goal_results(measured, goal, goal.name)}
    checks = {"number of trials": (len(asked), len(asked) == vector.count)}
    if vector.runs is not None:
        runs = runs_of(measured, asked)
        checks["trials"] = (runs, runs == vector.runs)
    for metric, text in vector.values.items():
        checks[metric] = (results[metric], _agrees(text, results[metric]))
    return list(checks), [f"{what} is {got}" for what, (got, good) in checks.items() if not good]


def _agrees(printed: str, value: float | None) -> bool:
    """To all digits that are printed, or that a double has."""
    number = Decimal(printed)
    half_unit = Decimal((0, (5,), int(number.as_tuple().exponent) - 1))
    return value is not None and abs(number - Decimal(value)) <= max(half_unit, Decimal(PRECISION) * number)


def measure() -> list[Row]:
    """A row a vector: the share of published trials and values that came out as they are printed."""
    found = []
    for vector in VECTORS:
        checked, wrong = reproduced(vector)
        found.append(rows.row(NUMBER, f"MLRsearch vector {vector.name}: as published",
                              [1 - len(wrong) / len(checked)], "ratio", rows.at_least(1.0),
                              "; ".join(wrong) or f"{vector.count} trials"))
    return found
