# SPDX-License-Identifier: BSD-3-Clause
"""Figure 2 of bench search: does a comparison at the default number of blocks say what is true? Pure, simulated.

Every block starts both switches once. A start is off by 1 % (standard deviation), one in twenty is 10 % slower as a
whole; of its three trials each is off by 0.3 %, one in twenty is 10 % slower. All blocks together go through a slow
drift of the machine. What is judged is what `vswbench compare` prints: the same code, from values of blocks on.
"""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats

from harness.bench import rows
from harness.bench.rows import Bar, Row
from harness.compare import verdict
from harness.compare.verdict import EQUIVALENT, FASTER, SLOWER, Pair
from harness.results import Value

NUMBER = 2
COMPARISONS = 1000
SEED = 2026


@dataclass(frozen=True)
class Noise:
    """Of a machine: standard deviations and probabilities as above; `drift` is the whole change over a session."""

    start: float = 0.01
    trial: float = 0.003
    slow_starts: float = 0.05
    slow_trials: float = 0.05
    slow_down: float = 0.10
    drift: float = 0.02
    trials: int = 3


def verdicts(r: random.Random, difference: float, blocks: int, noise: Noise, paired: bool = True, cells: int = 1,
             margin: float = verdict.MARGIN) -> list[str]:
    """Of one comparison, in which B is slower than A by `difference` in every cell."""
    pairs = [Pair(str(cell), "rplus_pps", {}, _side(r, 1.0, blocks, noise), _side(r, 1 - difference, blocks, noise),
                  paired)
             for cell in range(cells)]
    return [row.verdict for row in verdict.judge(pairs, margin, cross_check=False)]


def _side(r: random.Random, speed: float, blocks: int, noise: Noise) -> dict[int, Value]:
    def slow(probability: float) -> float:
        return 1 - noise.slow_down if r.random() < probability else 1.0

    values = {}
    for block in range(1, blocks + 1):
        fading = 1 - noise.drift * block / blocks
        start = 5e6 * speed * fading * math.exp(r.gauss(0, noise.start)) * slow(noise.slow_starts)
        value = statistics.median(start * math.exp(r.gauss(0, noise.trial)) * slow(noise.slow_trials)
                                  for _ in range(noise.trials))
        values[block] = Value("rplus_pps", block, value, None, None, "pps", noise.trials, "ok", ())
    return values


def measure(comparisons: int = COMPARISONS, blocks: int = verdict.BLOCKS) -> list[Row]:
    """The rows, with the issue's bars where there are any."""
    r = random.Random(SEED)
    noise = Noise()

    def share(what: str, wanted: Sequence[str], bar: Bar | None, difference: float, **more: object) -> Row:
        named: Any = {"noise": noise, **more}
        said = [verdicts(r, difference, blocks, **named) for _ in range(comparisons)]
        hit = sum(any(v in wanted for v in one) for one in said) / comparisons
        row = rows.row(NUMBER, f"{what}, {blocks} blocks", [hit], "ratio", bar, f"95 % interval; seed {SEED}")
        interval = stats.binomtest(round(hit * comparisons), comparisons).proportion_ci()
        return replace(row, n=comparisons, low=float(interval.low), high=float(interval.high))

    found = (FASTER, SLOWER)
    hard = Noise(slow_starts=0.10, slow_trials=0.10)
    return [
        share("A/A: false verdicts", found, rows.at_most(0.05), 0.0),
        share("A/A, two runs: false verdicts", found, rows.at_most(0.05), 0.0, paired=False,
              noise=replace(noise, drift=0.0)),
        share("A/A, 16 cells: any false verdict", found, rows.at_most(0.05), 0.0, cells=16),
        share("A/B of 5 %: found", [SLOWER], rows.at_least(0.95), 0.05),
        share("A/B of 5 %: false verdicts", [FASTER, EQUIVALENT], rows.at_most(0.05), 0.05),
        share("A/B of 2 %: found", [SLOWER], rows.at_least(0.60), 0.02),
        share("A/B of 2 %: false verdicts", [FASTER, EQUIVALENT], rows.at_most(0.05), 0.02),
        share("A/A: said to be equivalent", [EQUIVALENT], None, 0.0),
        share("A/A, margin 1 %: said to be equivalent", [EQUIVALENT], None, 0.0, margin=0.01),
        share("A/A, margin 1 %: false verdicts", found, None, 0.0, margin=0.01),
        share("A/B of 2 %, margin 1 %: found", [SLOWER], None, 0.02, margin=0.01),
        share("A/A, twice as many slow-downs: false verdicts", found, rows.at_most(0.05), 0.0, noise=hard),
        share("A/B of 5 %, twice as many slow-downs: found", [SLOWER], None, 0.05, noise=hard),
    ]
