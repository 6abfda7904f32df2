# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench simulate`: the searches of a scenario against a simulated switch, to try settings before spending hours;
with --compare a comparison of two of them.

Every cell is measured on a switch of the same model, whatever its topology or frame size. A simulated switch is always
warm, so warm-up trials are left out; their time is counted.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import bed, expand, host, scenario, search, terminal
from harness.cell import Cell
from harness.compare import verdict
from harness.errors import BadInput
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
    return of.measure(request, cell.topology.direction_count, cell.has_latency)


def as_json(done: Sequence[tuple[Cell, Simulated]], model: Model, overhead_s: float) -> str:
    """Flat lists, so that a program needs no knowledge of cells where there is one only. Rates per direction, counts of
    all directions together."""
    return json.dumps({
        "model": {**asdict(model), "overhead_s": overhead_s},
        "cells": [{"cell_id": c.id, "traffic_s": s.traffic_s, "wall_s": s.wall_s} for c, s in done],
        "trials": [trial_json(c, t) for c, s in done for t in s.trials],
        "results": [{"cell_id": c.id, **asdict(r)} for c, s in done for r in s.results]}, indent=1)


def trial_json(cell: Cell, t: Trial) -> dict[str, Any]:
    """A trial for programs."""
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


# ---- the command line ----------------------------------------------------------------------------------------------

def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Of the command line."""
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scenario or suite (TOML)")
    sub.add_argument("--capacity-pps", type=_number(1, 1e12), required=True, metavar="PPS",
                     help="what the switch forwards, per direction")
    sub.add_argument("--loss-every", type=_loss_every, default=(0, 0.0), metavar="N:RATIO",
                     help="every Nth trial loses RATIO of what it forwards")
    sub.add_argument("--noise", type=_number(0, 10), default=0.0, metavar="SD",
                     help="standard deviation of the capacity from trial to trial, relative: 0.01 is 1 %%")
    sub.add_argument("--stall-ms", type=_number(0, 1e6), default=0.0, metavar="MS", help="it stands still so long")
    sub.add_argument("--stall-every-s", type=_number(0.001, 1e9), default=None, metavar="S",
                     help="at random moments, on average so far apart")
    sub.add_argument("--generator-pps", type=_number(1, 1e12), default=0.0, metavar="PPS",
                     help="the generator sends no more than this (default: whatever is asked for)")
    sub.add_argument("--overhead-s", type=_number(0, 3600), default=0.0, metavar="S",
                     help="what a trial takes besides its traffic")
    sub.add_argument("--seed", type=int, default=1, metavar="K", help="of all that is random (default 1)")
    sub.add_argument("--compare", type=_number(0.01, 100), default=None, metavar="RATIO",
                     help="compare two such switches, of which B has RATIO times the capacity of A: in blocks, with "
                          "the verdicts of `vswbench compare`")
    sub.add_argument("--blocks", type=int, default=None, metavar="N",
                     help="of a comparison, instead of as many as the scenario says")
    sub.add_argument("--restart-noise", type=_number(0, 1), default=0.0, metavar="SD",
                     help="of a comparison: standard deviation of the capacity from start to start, relative")
    sub.add_argument("--margin", type=_number(0.0001, 0.99), default=verdict.MARGIN, metavar="RATIO",
                     help=f"of a comparison: differences up to this do not matter (default {verdict.MARGIN:g})")
    sub.add_argument("--switch", action="append", default=[], metavar="NAME[=DRIVER@PREFIX,KEY=VALUE]",
                     help="as of run")
    sub.add_argument("--json", action="store_true", help="for programs: every trial and every result")


def _number(low: float, high: float) -> Any:
    """A type of argparse."""
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no number from {low:g} to {high:g}")
        return value
    return parse


def _loss_every(text: str) -> tuple[int, float]:
    every, _, ratio = text.partition(":")
    try:
        asked = int(every), float(ratio)
    except ValueError:
        asked = 0, 0.0
    if not (asked[0] >= 1 and 0 <= asked[1] <= 1):
        raise argparse.ArgumentTypeError(f"'{text}' is not N:RATIO, such as 4:0.01")
    return asked


def main(arguments: argparse.Namespace) -> int:
    a = arguments
    if bool(a.stall_ms) != (a.stall_every_s is not None):
        raise BadInput("--stall-ms and --stall-every-s belong together: give both or none")
    scenarios = [s for file in a.files for s in scenario.load(file)]
    cells = expand.expand(scenarios, bed.load(None), host.cpus(), a.switch)
    model = Model(a.capacity_pps, *a.loss_every, a.noise, a.stall_ms / 1e3, a.stall_every_s or 0.0, a.generator_pps,
                  a.seed)
    if a.compare is not None:
        from harness import simulate_compare        # which drives simulate()
        return simulate_compare.run(cells, model, a)
    if a.blocks is not None or a.restart_noise:
        raise BadInput("--blocks and --restart-noise are of a comparison: give --compare RATIO too, or take them out")
    done = list(simulate(cells, model, a.overhead_s))
    if a.json:
        print(as_json(done, model, a.overhead_s))
    else:
        show(done, terminal.console())
    return 0
