# SPDX-License-Identifier: BSD-3-Clause
"""How far a run is: on a terminal one live line (cell i of n, phase, load, time left) below the lines that stay;
elsewhere plain lines only; with --quiet only what went wrong.

A Progress is the `say` of run.run: called with a line it prints it. run.py also tells it of each cell and trial,
through cell() and trial() below, which do nothing for a `say` that is a plain function. Nothing is drawn while a trial
runs, for the CPUs are being measured.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.cell import Cell
from harness.trial import Request

Say = Callable[[str], None]
BARS = ((120, 20), (70, 8), (0, 0))     # columns of the terminal, and of the bar: the text matters more
GRAVE = ("FAILED", "invalid", "the run ends", "going on without", "without calibration", "no figure")


def cell(say: Say, number: int, cells: Sequence[Cell], left: Sequence[Cell]) -> None:
    """The run begins with the `number`th of its cells, counted from 1; `left` are still to be measured after it."""
    if isinstance(say, Progress):
        say.cell(number, cells, left)


def took(say: Say, cell: Cell, seconds: float) -> None:
    """An earlier start of the run measured this cell in so long."""
    if isinstance(say, Progress):
        say.took(cell, seconds)


def trial(say: Say, request: Request) -> None:
    """The cell at hand begins a trial."""
    if isinstance(say, Progress):
        say.trial(request)


class Progress:
    """Context manager. `seconds_of` estimates how long a cell takes; what cells really took corrects it."""

    def __init__(self, console: Console, seconds_of: Callable[[Cell], float], quiet: bool = False,
                 on_gone: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._seconds_of = seconds_of
        self._quiet = quiet
        self._on_gone = on_gone
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                          redirect_stderr=False) if console.is_terminal and not quiet else None
        self._cells: Sequence[Cell] = ()
        self._number = 0
        self._phase = "coming up"
        self._left: Sequence[Cell] = ()
        self._cell_began = clock()
        self._took: dict[str, list[tuple[float, float]]] = {}       # by cell: what was planned, what it took

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *why: Any) -> None:
        if self._live:
            self._guarded(self._live.stop)
            self._live = None

    def __call__(self, line: str) -> None:
        """A line that stays. Nobody may be reading any more; the results are on disk all the same."""
        if not self._quiet or line.strip().startswith(GRAVE):
            self._guarded(lambda: self._console.print(line, markup=False, soft_wrap=True))

    def cell(self, number: int, cells: Sequence[Cell], left: Sequence[Cell]) -> None:
        """The `number`th of the cells begins."""
        now = self._clock()
        if self._cells:
            self.took(self._cells[self._number - 1], now - self._cell_began)
        self._cells, self._number, self._left = cells, number, left
        self._cell_began, self._phase = now, "coming up"
        self._show()

    def took(self, cell: Cell, seconds: float) -> None:
        """The cell was measured in so long, now or by an earlier start of the run."""
        if not cell.unsupported:
            self._took.setdefault(cell.id, []).append((self._seconds_of(cell), seconds))

    def trial(self, request: Request) -> None:
        """A trial begins."""
        rate = "as fast as it takes them" if request.rate_pps is None else f"{request.rate_pps / 1e6:.3f} Mpps"
        self._phase = f"{request.phase}: {rate}, {request.duration_s:g} s"
        self._show()

    def seconds_left(self) -> float:
        """Estimated: of a cell that was measured before, in another block, what it took then; of the others what is
        planned, times how much longer than planned those before took. Of the cell at hand what is left of that, so that
        no time left becomes negative."""
        every = [both for of_cell in self._took.values() for both in of_cell]
        planned, took = (sum(column) for column in zip(*every)) if every else (0.0, 0.0)
        ratio = took / planned if planned > 0 and took > 0 else 1.0

        def seconds(cell: Cell) -> float:
            if cell.unsupported:
                return 0.0
            before = [seconds for _, seconds in self._took.get(cell.id, ())]
            return statistics.median(before) if before else self._seconds_of(cell) * ratio

        here = seconds(self._cells[self._number - 1]) if self._cells else 0.0
        return max(0.0, here - (self._clock() - self._cell_began)) + sum(map(seconds, self._left))

    def text(self) -> str:
        """The live line: "cell 3 of 32, about 6 min left | rplus: 6.1 Mpps, 1 s | ovs-dpdk: p2p one-way 64 B". What a
        narrow terminal cuts off is the cell, which stands in the line above."""
        here = self._cells[self._number - 1]
        return (f"cell {self._number} of {len(self._cells)}, about {_duration(self.seconds_left())} left | "
                f"{self._phase} | {here.switch.name}: {here.title}")

    def _show(self) -> None:
        if self._live and self._cells:
            text = Text(self.text(), no_wrap=True, overflow="ellipsis")
            bar = next(width for columns, width in BARS if self._console.width >= columns)
            line = Table.grid(padding=(0, 1))
            line.add_row(*([ProgressBar(len(self._cells), self._number - 1, width=bar)] if bar else []), text)
            self._guarded(lambda: self._live.update(line, refresh=True) if self._live else None)

    def _guarded(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError:             # nobody reads any more, or what is read is full
            self._on_gone()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
