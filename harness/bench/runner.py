# SPDX-License-Identifier: BSD-3-Clause
"""Runs figures: holds the machine, sees to hugepages, puts everything back. A failing figure does not stop the next."""

import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from harness import host
from harness.bench import rows
from harness.bench.lab import DISTURBED_RATIO, Lab
from harness.bench.rows import Row
from harness.errors import BadInput, CannotRun, CellFailed, Unsupported
from harness.interrupts import Interrupted, Interrupts
from harness.peers import PAGE_MIB

ROUNDS = 5
PROGRAMS = ("pktgen", "meter", "bare", "vnf")


def choose(figures: Sequence[ModuleType], numbers: Sequence[int]) -> list[ModuleType]:
    """The figures of these numbers, all if there are none. BadInput for a number that no figure has."""
    known = {figure.NUMBER: figure for figure in figures}
    if unknown := [n for n in numbers if n not in known]:
        raise BadInput(f"--figure {unknown[0]}: there are {', '.join(map(str, known))}")
    return [known[n] for n in sorted(set(numbers))] if numbers else list(figures)


def run(figures: Sequence[ModuleType], build: Path, out: Path, rounds: int, say: Callable[[str], None],
        show: Callable[[Row], None]) -> list[Row]:
    """Measure; `show` gets every row as soon as it is there, `out` (CSV) all that is known by then. CannotRun before
    anything is started."""
    if missing := [name for name in PROGRAMS if not (build / name).exists()]:
        raise CannotRun(f"{build / missing[0]} is not built: run `make setup`")
    out.parent.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    with ExitStack() as stack:
        stack.enter_context(host.hold_machine(f"results in {out}"))
        folder = stack.enter_context(host.run_folder(f"bench-{secrets.token_hex(8)}"))
        logs = fresh(build / "bench-logs")
        interrupts = Interrupts()
        stack.callback(interrupts.restore)
        pages = max(figure.MIB for figure in figures) // PAGE_MIB
        stack.enter_context(host.enough_hugepages(pages, folder, say))
        lab = Lab(build, folder, logs, host.cpus(), rounds, say)
        for figure in figures:
            for r in _one(figure, lab, interrupts):
                found.append(r)
                show(r)
            out.write_text(rows.to_csv(found), newline="")
            if interrupts.ending():
                raise KeyboardInterrupt
    return found


def _one(figure: ModuleType, lab: Lab, interrupts: Interrupts) -> list[Row]:
    try:
        with interrupts.armed():
            lab.kept_disturbed = 0
            measured: list[Row] = figure.measure(lab)
            return measured + _disturbed(figure, lab)
    except Unsupported as why:
        return [rows.absent(figure.NUMBER, "all of it", "", None, str(why))]
    except CellFailed as why:
        host.end_processes(lab.folder)
        return [rows.failed(figure.NUMBER, "all of it", str(why))]
    except Interrupted:
        raise KeyboardInterrupt from None


def _disturbed(figure: ModuleType, lab: Lab) -> list[Row]:
    """A row that warns, if there is a reason."""
    if not lab.kept_disturbed:
        return []
    what = f"rounds in which other programs had over {DISTURBED_RATIO:.0%} of the time"
    return [rows.row(figure.NUMBER, what, [lab.kept_disturbed], "rounds", note="measure on a quiet machine")]


def fresh(folder: Path) -> Path:
    """This folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
