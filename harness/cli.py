# SPDX-License-Identifier: BSD-3-Clause
"""The command line. Exit status: 0 fine, 1 a cell failed or the machine cannot run it, 2 bad input, 130 interrupted."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import (asked, bed, bisect, bundle, calibrate, calibration, commands, expand, figures, meter, plan,
                     report, rerun, results, resume, run, simulate, table, terminal, traffic)
from harness.asked import Asked
from harness.bench import command as bench
from harness.cell import Cell
from harness.compare import command as compare
from harness.errors import BadInput, CannotRun, CellFailed
from harness.progress import Progress
from harness.switches import SWITCHES, options
from harness.switches.base import Driver


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and do. Errors that are meant for people become one line on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.do(arguments)
        return status
    except BadInput as error:
        print(f"vswbench: {results.printable(str(error))}", file=sys.stderr)
        return 2
    except (CannotRun, figures.FigureError) as error:
        print(f"vswbench: {results.printable(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:         # the reader of our output, such as head, has gone
        _to_nowhere(sys.stdout.fileno())
        return 0
    except OSError as error:        # most often: no space left on the device
        print(f"vswbench: {results.printable(str(error))}", file=sys.stderr)
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

    simulate.add_arguments(command("simulate", simulate.main, "the searches of scenarios against a simulated switch"))
    for name, do, help_text in (("run", _run, "measure the cells of scenarios or suites"),
                                ("plan", _plan, "print every cell and every command; starts nothing"),
                                ("check", _check, "what is missing on this machine, with the cure")):
        sub = command(name, do, help_text)
        sub.add_argument("files", nargs="+" if name == "plan" else "*", type=Path, metavar="FILE",
                         help="scenario or suite (TOML)")
        sub.add_argument("--switch", action="append", default=[], metavar="NAME[=DRIVER@PREFIX,KEY=VALUE]",
                         help="measure this switch instead of the scenario's; may be repeated")
        sub.add_argument("--testbed", type=Path, metavar="FILE",
                         help="testbed (TOML) instead of this machine's defaults")
        sub.add_argument("--json", action="store_true", help="for programs")
        if name != "check":
            sub.add_argument("--blocks", type=int, metavar="N",
                             help="measure everything N times, each with a fresh start, instead of as often as the "
                                  "scenario says")
        if name == "run":
            sub.add_argument("--resume", type=Path, metavar="DIR",
                             help="go on with the run of this results folder: measure what is missing (FILE may be "
                                  "left out)")
            sub.add_argument("--quiet", action="store_true",
                             help="say only what went wrong, and at the end where the results are")
            sub.add_argument("--out", type=Path, default=run.ROOT / "results", metavar="DIR",
                             help="where the run's folder is made (default results/)")
    sub = command("list", _list, "the switches and the scenarios there are")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--testbed", type=Path, metavar="FILE", help="with the switches of this testbed (TOML)")
    sub = command("calibrate", _calibrate, "what this machine and our own programs can do, without a switch")
    sub.add_argument("--quick", action="store_true", help="in some 20 s: fewer frame sizes and rates")
    sub.add_argument("--if-needed", action="store_true", help="only if there is none of this machine and this build")
    sub.add_argument("--testbed", type=Path, metavar="FILE", help="testbed (TOML) instead of this machine's defaults")
    sub.add_argument("--json", action="store_true", help="for programs")
    compare.arguments(command("compare", compare.do,
                              "is B faster or slower than A? Exit status 3 if slower, 4 if not decided"))
    bisect.arguments(command("bisect", bisect.do, "the first slow version between a good and a bad one"))
    rerun.arguments(command("rerun", lambda given: rerun.do(given, _progress),
                          "measure a run again, and compare the two"))
    bundle.arguments(command("bundle", bundle.do, "pack a run, its figures and what draws them into one archive"))
    sub = command("figures", _figures, "draw the figures of a run")
    sub.add_argument("run", type=Path, metavar="RUN", help="a run's results folder")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command("report", _report, "write one HTML file with everything of a run: RUN/report.html")
    sub.add_argument("run", type=Path, metavar="RUN", help="a run's results folder")
    meter.add_arguments(command("meter", meter.main, "count any traffic on an interface or a DPDK port"))
    bench.arguments(command("bench", bench.do, "benchmarks of vswbench itself, against the tools people use now"))
    return parser


def _asked(arguments: argparse.Namespace) -> Asked:
    return Asked(tuple(arguments.files), tuple(arguments.switch), arguments.testbed, getattr(arguments, "blocks", None))


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.resume:
        if not arguments.files:
            raise BadInput("run: which scenario or suite? vswbench run FILE")
        return _measure(_asked(arguments), arguments)
    with resume.asked_for(arguments.resume, _asked(arguments) if arguments.files else None) as wanted:
        return _measure(wanted, arguments)


def _measure(wanted: Asked, arguments: argparse.Namespace) -> int:
    cells, the_bed = wanted.cells()
    console = terminal.console(stderr=arguments.json)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {arguments.out}: cannot be made: {error}") from None
    with _progress(console, arguments.quiet) as say:
        folder, outcomes = run.run(wanted.files[0].stem, cells, the_bed, arguments.out, say, wanted.sources(),
                                   request=wanted.as_json(), go_on=arguments.resume)
    status = _status(cells, outcomes)
    drawn = _draw(folder, console) if any(o.status == "ok" for o in outcomes) else []
    if arguments.json:
        print(json.dumps({"run": str(folder), "figures": [str(p) for p in drawn],
                          "cells": {o.cell.id: {"status": o.status, "reason": o.reason} for o in outcomes}}))
    elif arguments.quiet:
        print(folder)
    else:
        if outcomes:
            table.show(outcomes, console)
        _share(outcomes, console)
        console.print(f"results: {folder}", markup=False, soft_wrap=True)
        for path in drawn:
            if path.suffix in (".pdf", ".png"):
                console.print(f"figure:  {path}", markup=False, soft_wrap=True)
        if status == 130:
            console.print(f"to go on: vswbench run --resume {folder}", markup=False, soft_wrap=True)
    return status


def _share(outcomes: Sequence[run.Outcome], console: Console) -> None:
    """How much of the time was traffic."""
    traffic_s, wall_s = sum(o.traffic_s for o in outcomes), sum(o.wall_s for o in outcomes)
    if wall_s:
        console.print(f"traffic: {traffic_s:.0f} s of {wall_s:.0f} s ({traffic_s / wall_s:.0%})", markup=False)


def _progress(console: Console, quiet: bool = False) -> Progress:
    """Tells how far a run is, as long as somebody reads it."""
    return Progress(console, _seconds, quiet, lambda: _to_nowhere(console.file.fileno()))


def _status(cells: Sequence[Cell], outcomes: Sequence[run.Outcome]) -> int:
    if len(outcomes) < len(cells) or any(o.ends_run for o in outcomes):
        return 130
    return 1 if any(o.status in ("failed", "invalid") or "blocks_missing" in o.flags for o in outcomes) else 0


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
    cpus = asked.cpus_of(the_bed)
    console = terminal.console(stderr=arguments.json)
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


def _plan(arguments: argparse.Namespace) -> int:
    cells, the_bed = _asked(arguments).cells()
    if arguments.json:
        print(json.dumps([_cell_json(cell, the_bed) for cell in cells], indent=1))
        return 0
    for cell in cells:
        print(f"# {cell.id}: {cell.switch.name}, {cell.title}"
              + (" [oversubscribed]" if cell.cores.oversubscribed else ""))
        if cell.traffic:
            print(_traffic(cell))
        print(f"n/a: {cell.unsupported}\n" if cell.unsupported else _commands(cell, the_bed))
    blocks = f" in up to {most} blocks" if (most := max((c.repeat.blocks for c in cells), default=1)) > 1 else ""
    seconds, traffic_s = (sum(c.repeat.blocks * of(c) for c in cells) for of in (_seconds, _traffic_s))
    print(f"# {len(cells)} cells{blocks}; about {seconds / 60:.0f} min, of which {traffic_s / 60:.0f} min traffic")
    return 0


def _traffic_s(cell: Cell) -> float:
    return 0.0 if cell.unsupported else simulate.seconds(cell.search, cell.has_latency)[0]


def _seconds(cell: Cell) -> float:
    """With the search's waits, and coming up and down: some 4 s, and 8 s for each VM that boots."""
    guests = len(cell.topology.guests) if cell.guest == "qemu" else 0
    return 0.0 if cell.unsupported else simulate.seconds(cell.search, cell.has_latency)[1] + 4 + 8 * guests


def _traffic(cell: Cell) -> str:
    """What is sent in each direction, at a rate that the search will choose; the file's keys before it."""
    assert cell.traffic
    rate_pps = (cell.search.rate_pps or (1.0,))[0]
    streams = [traffic.stream(cell.traffic, cell.frame_bytes, cell.flows, rate_pps, back=flow.back)
               for flow in cell.topology.flows[:cell.topology.direction_count]]      # chains are alike
    asked = [json.dumps({key: value for key, value in s.items() if key != "rate_pps"}) for s in streams]
    return "\n".join([f"traffic {cell.traffic.label}: {cell.traffic.text}",
                      *(f"  direction {i}: {text}" for i, text in enumerate(asked))])


def _commands(cell: Cell, the_bed: bed.Bed) -> str:
    return "\n".join(commands.lines(commands.setup_of(cell, the_bed, run.image()))) + "\n"


def _cell_json(cell: Cell, the_bed: bed.Bed) -> dict[str, Any]:
    setup = None if cell.unsupported else asdict(commands.setup_of(cell, the_bed, run.image()))
    return {"cell": asdict(cell), "setup": setup}


def _check(arguments: argparse.Namespace) -> int:
    """Without files: of the quick suite."""
    arguments.files = arguments.files or [run.ROOT / "scenarios" / "suites" / "quick.toml"]
    cells, the_bed = _asked(arguments).cells()
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
    the_bed = bed.load(arguments.testbed)
    names = dict.fromkeys([*(driver.name for driver in SWITCHES), *(entry.name for entry in the_bed.switches)])
    for entry in expand.switch_entries(list(names), the_bed):
        driver = plan.driver_of(entry)
        check = driver.check(entry.prefix)
        print(f"  {entry.name:13} {check.version if not check.missing else 'missing: ' + check.missing}"
              f"  (ports: {', '.join(driver.ports)}{_options(driver)})")
    print("scenarios:")
    for name, purpose in scenarios.items():
        print(f"  {name:32} {purpose}")
    return 0


def _options(driver: Driver) -> str:
    """"; options: forward=io" with the default of each."""
    defaults = options.said(tuple(options.complete(driver.options, ()).items()))
    return f"; options: {defaults}" if defaults else ""


def _purpose(file: Path) -> str:
    """The first comment line of a scenario behind its licence line."""
    lines = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    return next((line for line in lines if line and not line.startswith("SPDX")), "")
