# SPDX-License-Identifier: BSD-3-Clause
"""The commands `vswbench bench core` and `vswbench bench guests`."""

import argparse
import json
import sys
from pathlib import Path

from harness import figures, run
from harness.bench import SUITES, flows, rows, runner
from harness.errors import BadInput

RESULTS = run.ROOT / "results"
ROUNDS_MAX = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", choices=tuple(SUITES),
                        help="core: the generator and the meter; guests: VMs, chains and nfs")
    parser.add_argument("--figure", type=int, action="append", default=[], metavar="N",
                        help="measure this figure only; may be repeated")
    parser.add_argument("--rounds", type=int, default=runner.ROUNDS, metavar="N",
                        help=f"values behind each median (default {runner.ROUNDS}; fewer only to try something)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="where the rows go as CSV (default results/bench-WHAT.csv)")
    parser.add_argument("--json", action="store_true", help="for programs")


def do(given: argparse.Namespace) -> int:
    """Measure, print a line a row, exit with 1 if a bar is missed."""
    if not 1 <= given.rounds <= ROUNDS_MAX:
        raise BadInput(f"--rounds {given.rounds}: allowed is 1 to {ROUNDS_MAX}")
    out = given.out or RESULTS / f"bench-{given.what}.csv"
    if out.is_dir():
        raise BadInput(f"--out {out}: is a folder: give a file, such as {out / f'bench-{given.what}.csv'}")
    chosen = runner.choose(SUITES[given.what], given.figure)

    def say(line: str) -> None:
        print(f"# {line}", file=sys.stderr, flush=True)

    def show(r: rows.Row) -> None:
        if not given.json:
            print(rows.line(r), flush=True)

    found = runner.run(chosen, run.BUILD, out, given.rounds, say, show)
    drawn = []
    if given.what == "core" and any(r.figure == flows.NUMBER and r.at is not None for r in found):
        try:
            drawn = figures.draw_flows(out, out.with_suffix(""))
        except figures.FigureError as error:
            say(f"no figure: {error}")
    if given.json:
        print(json.dumps({"rows": [rows.as_json(r) for r in found], "csv": str(out),
                          "figures": [str(path) for path in drawn]}))
    else:
        for path in (out, *(p for p in drawn if p.suffix in (".pdf", ".png"))):
            print(f"# written: {path}")
    return rows.status(found)
