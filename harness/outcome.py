# SPDX-License-Identifier: BSD-3-Clause
"""What became of a cell: in one block, or over all of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.cell import Cell
from harness.results import Results, Value, summarised
from harness.search import Result
from harness.search.base import flagged as with_flag
from harness.search.base import varies


@dataclass(frozen=True)
class Outcome:
    """status: ok, invalid, unsupported, failed."""

    cell: Cell
    status: str
    reason: str
    results: Sequence[Result] = ()
    flags: Sequence[str] = ()
    ends_run: bool = False      # a signal asked for the end
    traffic_s: float = 0.0      # of the trials,
    wall_s: float = 0.0         # of the cell with all that comes before and after them


def over_blocks(cell: Cell, outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of those of a cell's blocks: of each figure the median over the blocks that have it. Blocks without
    figures are flagged `blocks_missing`; if none has any, the cell is what the first of them is."""
    measured = [o for o in outcomes if o.status in ("ok", "invalid")]
    ends_run = any(o.ends_run for o in outcomes)
    if not measured:
        return replace(outcomes[0], ends_run=ends_run)
    values: dict[str, list[Value]] = {}
    for outcome in measured:
        for r in outcome.results:
            values.setdefault(r.metric, []).append(value_of(r))
    lost = [o for o in outcomes if o not in measured]
    flags = ("blocks_missing",) if lost else ()
    results = [_result(summarised(of_metric), (*flags, *_unsteady(of_metric))) for of_metric in values.values()]
    status = "ok" if all(r.status == "ok" for r in results) else "invalid"
    reason = f"{len(lost)} of {len(outcomes)} blocks failed; the first: {lost[0].reason}" if lost else ""
    return Outcome(cell, status, reason, results, tuple(dict.fromkeys(f for r in results for f in r.flags)), ends_run,
                   sum(o.traffic_s for o in outcomes), sum(o.wall_s for o in outcomes))


def value_of(result: Result, block: int | None = None) -> Value:
    """The result as results.csv has it."""
    return Value(result.metric, block, result.value, result.ci_low, result.ci_high, result.unit, result.n,
                 result.status, tuple(result.flags), goal=result.goal)


def _unsteady(values: Sequence[Value]) -> tuple[str, ...]:
    """`unstable` for a rate that varied over the blocks more than it does on a steady machine (methodology D.3)."""
    rates = [v.value for v in values if v.unit == "pps" and v.status == "ok" and v.value]
    return ("unstable",) if varies(rates) else ()


def flagged(outcome: Outcome, flag: str) -> Outcome:
    """The same with a flag more on it and on each of its figures."""
    return replace(outcome, results=with_flag(outcome.results, flag),
                   flags=tuple(dict.fromkeys((*outcome.flags, flag))))


def _result(value: Value, flags: Sequence[str]) -> Result:
    return Result(value.metric, value.value, value.unit, value.n, value.ci_low, value.ci_high,
                  tuple(dict.fromkeys((*value.flags, *flags))), value.status, value.goal)


def recorded(cells: Mapping[str, Cell], values: Results, done: frozenset[tuple[str, int]]
             ) -> dict[str, dict[int, Outcome]]:
    """The outcomes of the finished blocks of a recorded run, by cell and block."""
    found: dict[str, dict[int, Outcome]] = {}
    for cell_id, block in sorted(done):
        if cell_id in cells:
            found.setdefault(cell_id, {})[block] = _recorded(cells[cell_id], block, values)
    return found


def _recorded(cell: Cell, block: int, values: Results) -> Outcome:
    of_block = [v for m in values.metrics(cell.id)
                if (v := (values.every_block(cell.id, m) or values.blocks(cell.id, m)).get(block))]
    if none := next((v for v in of_block if v.status in ("unsupported", "failed")), None):
        return Outcome(cell, none.status, none.reason, flags=none.flags)
    results = [_result(v, ()) for v in of_block]
    status = "ok" if all(r.status == "ok" for r in results) else "invalid"
    return Outcome(cell, status, "", results, tuple(dict.fromkeys(f for r in results for f in r.flags)))
