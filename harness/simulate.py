# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench simulate`: the searches of a scenario against a simulated switch, to try settings before spending hours.

Every cell is measured on a switch of the same model, whatever its topology or frame size. A simulated switch is always
warm, so warm-up trials are left out; their time is counted. Pure, but for printing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import search
from harness.plan import Cell
from harness.search import Result, Search
from harness.sim import Model, SimulatedSwitch
from harness.trial import Request, Trial

IDEAL = Model(5e6)          # for telling how long a search takes


@dataclass
class Simulated:
    """A cell's trials and results; traffic_s is the sending alone, wall_s with waits and overhead."""

    trials: list[Trial] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    traffic_s: float = 0.0
    wall_s: float = 0.0


def drive(asked: Search, with_latency: bool, measure: Callable[[Request], Trial], overhead_s: float = 0.0) -> Simulated:
    """Run a search to its end."""
    done = Simulated()
    steps = search.run(asked, with_latency)
    try:
        request = next(steps)
        while True:
            done.traffic_s += request.duration_s
            done.wall_s += request.duration_s + request.drain_s + request.settle_s + overhead_s
            answer = measure(request)
            if request.phase != "warmup":
                done.trials.append(answer)
            request = steps.send(answer)
    except StopIteration as end:
        done.results = end.value
        return done


@lru_cache(maxsize=1000)
def seconds(asked: Search, with_latency: bool) -> tuple[float, float]:
    """(traffic, traffic and waits) of a search on an ideal switch: what a plan says of its duration."""
    done = drive(replace(asked, warmup_s=0), with_latency, SimulatedSwitch(IDEAL).measure)
    return done.traffic_s + asked.warmup_s, done.wall_s + asked.warmup_s


def simulate(cells: Sequence[Cell], model: Model, overhead_s: float) -> Iterator[tuple[Cell, Simulated]]:
    """Each cell on a switch of its own, with a seed of its own."""
    for number, cell in enumerate(cells):
        if cell.unsupported:
            continue
        switch = SimulatedSwitch(replace(model, seed=model.seed + number))

        def measure(request: Request, cell: Cell = cell, switch: SimulatedSwitch = switch) -> Trial:
            return _answer(switch, cell, request)
        yield cell, drive(cell.search, cell.has_latency, measure, overhead_s)


def _answer(switch: SimulatedSwitch, cell: Cell, request: Request) -> Trial:
    """A warm-up must not use up the model's luck."""
    of = SimulatedSwitch(IDEAL) if request.phase == "warmup" else switch
    return of.measure(request, len(cell.topology.flows), cell.has_latency)


def as_json(done: Sequence[tuple[Cell, Simulated]], model: Model, overhead_s: float) -> str:
    """Flat lists, so that a program needs no knowledge of cells where there is one only. Rates per direction, counts of
    all directions together."""
    return json.dumps({
        "model": {**asdict(model), "overhead_s": overhead_s},
        "cells": [{"cell_id": c.id, "traffic_s": s.traffic_s, "wall_s": s.wall_s} for c, s in done],
        "trials": [_trial(c, t) for c, s in done for t in s.trials],
        "results": [{"cell_id": c.id, **asdict(r)} for c, s in done for r in s.results]}, indent=1)


def _trial(cell: Cell, t: Trial) -> dict[str, Any]:
    return {"cell_id": cell.id, "phase": t.request.phase, "intended_pps": t.intended_pps,
            "duration_s": t.request.duration_s, "sent_count": t.sent_count, "received_count": t.received_count,
            "lost_count": t.lost_count, "unsent_count": t.unsent_count, "status": t.status, "flags": list(t.flags)}


def show(done: Sequence[tuple[Cell, Simulated]], console: Console) -> None:
    """For people: every trial in a line, then what came of them."""
    for cell, of in done:
        table = Table("phase", title=f"{cell.switch.name}: {cell.title}")
        for name in ("intended Mpps", "s", "sent", "received", "not received"):
            table.add_column(name, justify="right")
        for t in of.trials:
            intended = "-" if t.intended_pps is None else f"{t.intended_pps / 1e6:.6f}"
            table.add_row(t.request.phase, intended, f"{t.request.duration_s:g}", str(t.sent_count),
                          str(t.received_count), str(t.lost_count + (t.unsent_count or 0)))
        console.print(table)
        for r in of.results:
            if r.metric.startswith("latency_") or "dv_" in r.metric:     # simulated, these tell nothing
                continue
            value = "-" if r.value is None else f"{r.value:.12g}"
            console.print(f"{r.metric} = {value} {r.unit} (n={r.n})" + (f"  [{', '.join(r.flags)}]" if r.flags else ""),
                          markup=False, soft_wrap=True)
        console.print(f"{len(of.trials)} trials, {of.traffic_s:.1f} s of traffic in {of.wall_s:.1f} s "
                      f"({of.traffic_s / of.wall_s:.0%})", markup=False, soft_wrap=True)
