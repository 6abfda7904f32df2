# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench simulate --compare RATIO`: two simulated switches, of which B has RATIO times the capacity of A, in blocks,
and the verdicts of `vswbench compare` over them: how many blocks, which margin, which search does a difference take?
Exit status as of compare.
"""

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import results, scenario, simulate, terminal
from harness.bed import SwitchEntry
from harness.cell import Cell
from harness.compare import show, sides, verdict
from harness.compare.sides import Side
from harness.errors import BadInput
from harness.outcome import value_of
from harness.record import cell_columns
from harness.results import Results
from harness.sim import Model
from harness.simulate import Simulated

A, B = "A", "B"


@dataclass
class Compared:
    """All that was simulated: by block and cell the trials and results, and the same as the folder of a run."""

    run: Results = field(default_factory=lambda: Results(Path("simulated"), {"run_id": "simulated"}))
    done: list[tuple[int, Cell, Simulated]] = field(default_factory=list)


def run(cells: Sequence[Cell], model: Model, given: argparse.Namespace) -> int:
    """Simulate, compare, print; gives the exit status. BadInput."""
    if given.blocks is not None and not 1 <= given.blocks <= scenario.BLOCKS_MAX:
        raise BadInput(f"--blocks {given.blocks}: allowed is 1 to {scenario.BLOCKS_MAX}")
    compared = simulated(cells, model, given.compare, given.blocks, given.restart_noise, given.overhead_s)
    a, b = Side(compared.run, A), Side(compared.run, B)
    rows = verdict.judge(sides.pairs(a, b), given.margin)
    status = verdict.exit_status(rows)
    if given.json:
        print(_as_json(compared, model, given, [show.record(row, a, b) for row in rows], status))
        return status
    console = terminal.console()
    show.text(rows, a, b, given.margin, [], console)
    traffic_s, wall_s = (sum(getattr(s, name) for _, _, s in compared.done) for name in ("traffic_s", "wall_s"))
    blocks = max(block for block, _, _ in compared.done)
    console.print(f"{blocks} blocks of A and B: {traffic_s:.0f} s of traffic in {wall_s:.0f} s", markup=False)
    return status


def simulated(cells: Sequence[Cell], model: Model, ratio: float, blocks: int | None, restart_noise: float,
              overhead_s: float) -> Compared:
    """Every point of the matrix in every block, on a fresh A and a fresh B."""
    found = Compared()
    points = list({cell.point: cell for cell in cells if not cell.unsupported}.values())
    for number, cell in enumerate(points):
        for block in range(1, _blocks(cell, blocks) + 1):
            for name, factor in ((A, 1.0), (B, ratio)):
                mine = replace(cell, id=f"{cell.point}.{name}", switch=SwitchEntry(name, cell.switch.driver, ""))
                started = _start(model, f"{number}/{block}/{name}", factor, restart_noise)
                [(_, done)] = simulate.simulate([mine], started, overhead_s)
                found.done.append((block, mine, done))
                _keep(found.run, mine, block, done)
    if not found.done:
        raise BadInput("--compare: there is no cell that can be simulated")
    return found


def _blocks(cell: Cell, asked: int | None) -> int:
    """One block never tells anything: of scenarios that have no more, as many as comparisons take by default."""
    return asked or (cell.repeat.blocks if cell.repeat.blocks > 1 else verdict.BLOCKS)


def _start(model: Model, of: str, factor: float, restart_noise: float) -> Model:
    """The switch as it is after one start."""
    r = random.Random(f"{model.seed}/{of}")
    off = math.exp(r.gauss(0, restart_noise)) if restart_noise else 1.0
    return replace(model, capacity_pps=model.capacity_pps * factor * off, seed=r.randrange(2 ** 63))


def _keep(run_of: Results, cell: Cell, block: int, done: Simulated) -> None:
    columns = {**cell_columns(cell, "simulated", ""), "scenario": cell.scenario}
    run_of.cells[cell.id] = {key: "" if value is None else str(value) for key, value in columns.items()
                             if key in results.CELL_COLUMNS}
    run_of.take(cell.id, block, [value_of(r, block) for r in done.results])


def _as_json(compared: Compared, model: Model, given: argparse.Namespace, rows: Sequence[Mapping[str, Any]],
             status: int) -> str:
    def named(block: int, cell: Cell) -> dict[str, Any]:
        return {"block": block, "switch": cell.switch.name, "cell_id": cell.id}

    return json.dumps({
        "model": {**asdict(model), "overhead_s": given.overhead_s, "compare_ratio": given.compare,
                  "restart_noise_sd": given.restart_noise},
        "rows": rows, "exit_status": status,
        "cells": [{**named(b, c), "traffic_s": s.traffic_s, "wall_s": s.wall_s} for b, c, s in compared.done],
        "trials": [{**named(b, c), **simulate.trial_json(c, t)} for b, c, s in compared.done for t in s.trials],
        "results": [{**named(b, c), **asdict(r)} for b, c, s in compared.done for r in s.results]}, indent=1)
