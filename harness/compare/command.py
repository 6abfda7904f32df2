# SPDX-License-Identifier: BSD-3-Clause
"""The command `vswbench compare`. Exit status: 0 nothing is slower, 3 something is, 4 not decided, 2 error."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness import terminal
from harness.compare import show, sides, verdict
from harness.errors import BadInput


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("operands", nargs="+", metavar="A B",
                        help="two of RUN or RUN:SWITCH; or RUN SWITCH SWITCH; or a RUN of two switches")
    options(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows as CSV")
    parser.add_argument("--json", action="store_true", help="for programs")


def options(parser: argparse.ArgumentParser) -> None:
    """Those that other commands which compare share."""
    parser.add_argument("--margin", type=float, default=verdict.MARGIN, metavar="RATIO",
                        help=f"differences up to this do not matter (default {verdict.MARGIN:g})")
    parser.add_argument("--metric", action="append", default=[], metavar="PATTERN",
                        help=f"compare these figures (default {' '.join(sides.METRICS)}); may be repeated")
    parser.add_argument("--any-machine", action="store_true", help="compare runs of unlike machines too")


def do(given: argparse.Namespace) -> int:
    """Compare, print, tell by the exit status."""
    check(given)
    return compare(given.operands, given, terminal.console())


def check(given: argparse.Namespace) -> None:
    """BadInput for a margin that is none."""
    if not 0 < given.margin < 1:
        raise BadInput(f"--margin {given.margin}: allowed is a ratio between 0 and 1, such as 0.02")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, newline="", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--csv {path}: cannot be written: {error.strerror}") from None


def compare(operands: Sequence[str], given: argparse.Namespace, console: Console) -> int:
    """Of what was typed; gives the exit status. BadInput."""
    a, b = sides.sides(operands)
    if (why := sides.unlike(a, b)) and not given.any_machine:
        raise BadInput(f"{a.name} and {b.name} are of unlike machines: {why}; say --any-machine if you mean to compare "
                       "the machines too")
    rows = verdict.judge(sides.pairs(a, b, given.metric), given.margin)
    notes = sides.notes(a, b) + ([f"A and B are of unlike machines: {why}"] if why else [])
    records = [show.record(row, a, b) for row in rows]
    status = verdict.exit_status(rows)
    if getattr(given, "csv", None):
        _write(given.csv, show.to_csv(records))
    if given.json:
        print(json.dumps({"rows": records, "notes": notes, "exit_status": status}, indent=1))
    else:
        show.text(rows, a, b, given.margin, notes, console)
    return status
