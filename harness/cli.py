# SPDX-License-Identifier: BSD-3-Clause
"""The command line. Exit status: 0 fine, 1 a cell failed or the machine cannot run it, 2 bad input, 130 interrupted."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import bed, calibrate, calibration, figures, host, meter, plan, report, run, scenario, table, traffic
from harness.bench import command as bench
from harness.errors import BadInput, CannotRun, CellFailed
from harness.plan import Cell, Setup
from harness.progress import Progress
from harness.switches import SWITCHES
from harness.switches.base import Await, File, Spawn, Step

RUN_FOLDER = "$RUN"         # stands for the run's own folder
LOG_FOLDER = "$LOGS"        # for the cell's logs in the results folder


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and do. Errors that are meant for people become one line on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.do(arguments)
        return status
    except BadInput as error:
        print(f"vswbench: {error}", file=sys.stderr)
        return 2
    except (CannotRun, figures.FigureError) as error:
        print(f"vswbench: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:         # the reader of our output, such as head, has gone
        _to_nowhere(sys.stdout.fileno())
        return 0
    except OSError as error:        # most often: no space left on the device
        print(f"vswbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vswbench: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vswbench", description="Benchmarks software virtual switches.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Any, help_text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.set_defaults(do=do)
        return sub

    for name, do, help_text in (("run", _run, "measure the cells of scenarios or suites"),
                                ("plan", _plan, "print every cell and every command; starts nothing"),
                                ("check", _check, "what is missing on this machine, with the cure")):
        sub = command(name, do, help_text)
        sub.add_argument("files", nargs="*" if name == "check" else "+", type=Path, metavar="FILE",
                         help="scenario or suite (TOML)")
        sub.add_argument("--switch", action="append", default=[], metavar="NAME[=DRIVER@PREFIX]",
                         help="measure this switch instead of the scenario's; may be repeated")
        sub.add_argument("--testbed", type=Path, metavar="FILE",
                         help="testbed (TOML) instead of this machine's defaults")
        sub.add_argument("--json", action="store_true", help="for programs")
        if name == "run":
            sub.add_argument("--quiet", action="store_true",
                             help="say only what went wrong, and at the end where the results are")
            sub.add_argument("--out", type=Path, default=run.ROOT / "results", metavar="DIR",
                             help="where the run's folder is made (default results/)")
    command("list", _list, "the switches and the scenarios there are").add_argument("--json", action="store_true")
    sub = command("calibrate", _calibrate, "what this machine and our own programs can do, without a switch")
    sub.add_argument("--quick", action="store_true", help="in some 20 s: fewer frame sizes and rates")
    sub.add_argument("--if-needed", action="store_true", help="only if there is none of this machine and this build")
    sub.add_argument("--testbed", type=Path, metavar="FILE", help="testbed (TOML) instead of this machine's defaults")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command("figures", _figures, "draw the figures of a run")
    sub.add_argument("run", type=Path, metavar="RUN", help="a run's results folder")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command("report", _report, "write one HTML file with everything of a run: RUN/report.html")
    sub.add_argument("run", type=Path, metavar="RUN", help="a run's results folder")
    meter.add_arguments(command("meter", meter.main, "count any traffic on an interface or a DPDK port"))
    bench.arguments(command("bench", bench.do, "benchmarks of vswbench itself, against the tools people use now"))
    return parser


def _cells(arguments: argparse.Namespace) -> tuple[list[Cell], bed.Bed]:
    the_bed = bed.load(arguments.testbed)
    scenarios = [s for file in arguments.files for s in scenario.load(file)]
    return plan.expand(scenarios, the_bed, _cpus(the_bed), arguments.switch), the_bed


def _cpus(the_bed: bed.Bed) -> Sequence[int]:
    usable = host.cpus()
    if absent := sorted(set(the_bed.cpus) - set(usable)):
        raise BadInput(f"{the_bed.source}: [cores]: key 'cpus' names CPU {absent[0]}: this process may use {usable}")
    return the_bed.cpus or usable


def _run(arguments: argparse.Namespace) -> int:
    cells, the_bed = _cells(arguments)
    console = Console(stderr=arguments.json, highlight=False)
    sources = {str(f): f.read_text(encoding="utf-8") for f in [*arguments.files, *filter(None, [arguments.testbed])]}
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {arguments.out}: cannot be made: {error}") from None
    with Progress(console, _seconds, arguments.quiet, lambda: _to_nowhere(console.file.fileno())) as say:
        folder, outcomes = run.run(arguments.files[0].stem, cells, the_bed, arguments.out, say, sources)
    status = _status(cells, outcomes)
    drawn = _draw(folder, console) if any(o.status == "ok" for o in outcomes) else []
    if arguments.json:
        print(json.dumps({"run": str(folder), "figures": [str(p) for p in drawn],
                          "cells": {o.cell.id: {"status": o.status, "reason": o.reason} for o in outcomes}}))
    elif arguments.quiet:
        print(folder)
    else:
        table.show(outcomes, console)
        console.print(f"results: {folder}", markup=False, soft_wrap=True)
        for path in drawn:
            if path.suffix in (".pdf", ".png"):
                console.print(f"figure:  {path}", markup=False, soft_wrap=True)
    return status


def _status(cells: Sequence[Cell], outcomes: Sequence[run.Outcome]) -> int:
    if len(outcomes) < len(cells) or any(o.ends_run for o in outcomes):
        return 130
    return 1 if any(o.status in ("failed", "invalid") for o in outcomes) else 0


def _to_nowhere(fd: int) -> None:
    """What is written to this file descriptor is dropped from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def _draw(folder: Path, console: Console) -> list[Path]:
    try:
        return figures.draw(folder)
    except figures.FigureError as error:
        console.print(f"no figure: {error}", markup=False)
        return []


def _calibrate(arguments: argparse.Namespace) -> int:
    the_bed = bed.load(arguments.testbed)
    cpus = _cpus(the_bed)
    console = Console(stderr=arguments.json, highlight=False)
    found, why = calibration.load(the_bed, cpus, run.BUILD)
    if found and arguments.if_needed:
        return 0
    if arguments.if_needed:
        console.print(f"calibration: {why.partition(': run')[0]}; making one", markup=False, soft_wrap=True)
    effort = calibrate.QUICK if arguments.quick else calibrate.FULL
    try:
        content = calibrate.run(the_bed, cpus, run.BUILD, effort,
                                lambda line: console.print(line, markup=False, soft_wrap=True))
    except CellFailed as error:
        if not arguments.if_needed:
            raise CannotRun(f"calibration failed: {error}") from None
        console.print(f"going on without calibration: {error}", markup=False, soft_wrap=True)   # good to have, no more
        return 0
    if arguments.json:
        print(json.dumps(content))
    else:
        calibrate.show(content, console)
        console.print(f"kept in {run.BUILD / calibration.FILE}", markup=False, soft_wrap=True)
    return 0


def _figures(arguments: argparse.Namespace) -> int:
    drawn = figures.draw_all(arguments.run)
    if arguments.json:
        print(json.dumps({"figures": [str(p) for p in drawn.files], "not_drawn": drawn.not_drawn,
                          "failed": drawn.failed}))
    else:
        for path in drawn.files:
            print(path)
        for name, why in drawn.not_drawn.items():
            print(f"not drawn: {name}: {why}")
    for name, why in drawn.failed.items():
        print(f"vswbench: figure {name} cannot be drawn: {why}", file=sys.stderr)
    return 1 if drawn.failed or not drawn.files else 0


def _report(arguments: argparse.Namespace) -> int:
    path, warnings = report.write(arguments.run)
    for line in warnings:
        print(f"report: {line}", file=sys.stderr)
    print(path)
    return 0


def _setup_of(cell: Cell, the_bed: bed.Bed) -> Setup:
    accel = "tcg" if the_bed.accel == "auto" else the_bed.accel
    return plan.setup(cell, the_bed, run.image(), RUN_FOLDER, LOG_FOLDER, accel)


def _plan(arguments: argparse.Namespace) -> int:
    cells, the_bed = _cells(arguments)
    if arguments.json:
        print(json.dumps([_cell_json(cell, the_bed) for cell in cells], indent=1))
        return 0
    for cell in cells:
        print(f"# {cell.id}: {cell.switch.name}, {cell.title}"
              + (" [oversubscribed]" if cell.cores.oversubscribed else ""))
        if cell.traffic:
            print(_traffic(cell))
        print(f"n/a: {cell.unsupported}\n" if cell.unsupported else _commands(_setup_of(cell, the_bed)))
    print(f"# {len(cells)} cells; about {sum(map(_seconds, cells)) / 60:.0f} min, of which "
          f"{sum(map(_traffic_s, cells)) / 60:.0f} min traffic")
    return 0


def _traffic_s(cell: Cell) -> float:
    s = cell.search
    latency_s = len(s.latency_at_rplus) * s.latency_trials * s.latency_trial_s if cell.has_latency else 0
    rates = max(1, len(s.rate_pps))
    return 0.0 if cell.unsupported else s.warmup_s + s.trials * rates * s.trial_s + latency_s


def _seconds(cell: Cell) -> float:
    """With coming up and down: some 4 s, and 8 s for each VM that boots."""
    guests = len(cell.topology.guests) if cell.guest == "qemu" else 0
    return 0.0 if cell.unsupported else _traffic_s(cell) + 4 + 8 * guests


def _traffic(cell: Cell) -> str:
    """What is sent in each direction, at a rate that the search will choose; the file's keys before it."""
    assert cell.traffic
    rate_pps = (cell.search.rate_pps or (1.0,))[0]
    streams = [traffic.stream(cell.traffic, cell.frame_bytes, cell.flows, rate_pps, back=bool(i))
               for i in range(len(cell.topology.flows))]
    asked = [json.dumps({key: value for key, value in s.items() if key != "rate_pps"}) for s in streams]
    return "\n".join([f"traffic {cell.traffic.label}: {cell.traffic.text}",
                      *(f"  direction {i}: {text}" for i, text in enumerate(asked))])


def _commands(setup: Setup) -> str:
    lines = [f"hugepages of 2 MiB: {setup.hugepages}"]
    for peer in setup.peers:
        if peer.vm:
            cpus = ",".join(map(str, peer.vm.cpus))
            lines.append(f"start {peer.name} (VM) on CPU {cpus}: {shlex.join(plan.qemu.argv(peer.vm))}")
            lines.append(f"  in it: {shlex.join(peer.argv)}")
        else:
            lines.append(f"start {peer.name}: {shlex.join(peer.argv)}")
    lines += [_step(step) for step in (*setup.launch, *setup.wire)]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> str:
    if isinstance(step, File):
        return f"write {step.path}:\n{step.text}"
    if isinstance(step, Await):
        return f"wait for {step.path}"
    env = "".join(f"{key}={shlex.quote(value)} " for key, value in step.env)
    verb = "start" if isinstance(step, Spawn) else "run"
    return f"{verb} {env}{shlex.join(step.argv)}"


def _cell_json(cell: Cell, the_bed: bed.Bed) -> dict[str, Any]:
    setup = None if cell.unsupported else asdict(_setup_of(cell, the_bed))
    return {"cell": asdict(cell), "setup": setup}


def _check(arguments: argparse.Namespace) -> int:
    """Without files: of the quick suite."""
    arguments.files = arguments.files or [run.ROOT / "scenarios" / "suites" / "quick.toml"]
    cells, the_bed = _cells(arguments)
    checks = run.check_switches(cells)
    lines = run.missing(cells, checks, the_bed)
    if arguments.json:
        print(json.dumps({"missing": lines, "switches": {name: asdict(c) for name, c in checks.items()}}))
    else:
        for name, check in checks.items():
            print(f"{name}: {check.version if not check.missing else 'missing'}")
        for line in lines:
            print(f"missing: {line}")
        print("this machine can run it" if not lines else "this machine cannot run it yet")
    return 1 if lines else 0


def _list(arguments: argparse.Namespace) -> int:
    files = sorted((run.ROOT / "scenarios").glob("**/*.toml"))
    scenarios = {str(f.relative_to(run.ROOT)): _purpose(f) for f in files if "testbeds" not in f.parts}
    if arguments.json:
        print(json.dumps({"switches": [d.name for d in SWITCHES], "scenarios": scenarios}))
        return 0
    print("switches:")
    for driver in SWITCHES:
        check = driver.check("/usr")
        print(f"  {driver.name:12} {check.version if not check.missing else 'missing: ' + check.missing}"
              f"  (ports: {', '.join(driver.ports)})")
    print("scenarios:")
    for name, purpose in scenarios.items():
        print(f"  {name:32} {purpose}")
    return 0


def _purpose(file: Path) -> str:
    """The first comment line of a scenario behind its licence line."""
    lines = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    return next((line for line in lines if line and not line.startswith("SPDX")), "")
