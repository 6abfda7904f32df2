# SPDX-License-Identifier: BSD-3-Clause
"""How far a run is: on a terminal one live line (cell i of n, phase, load, time left) below the lines that stay;
elsewhere plain lines only; with --quiet only what went wrong.

A Progress is the `say` of run.run: called with a line it prints it. run.py also tells it of each cell and trial,
through cell() and trial() below, which do nothing for a `say` that is a plain function. Nothing is drawn while a trial
runs, for the CPUs are being measured.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.plan import Cell
from harness.trial import Request

Say = Callable[[str], None]
GRAVE = ("FAILED", "invalid", "the run ends", "going on without", "without calibration", "no figure")


def cell(say: Say, number: int, cells: Sequence[Cell]) -> None:
    """The run begins with the `number`th of its cells, counted from 1."""
    if isinstance(say, Progress):
        say.cell(number, cells)


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
        self._began = self._cell_began = clock()
        self._first = 1             # a run that goes on does not begin with cell 1

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

    def cell(self, number: int, cells: Sequence[Cell]) -> None:
        """The `number`th of the cells begins."""
        now = self._clock()
        if not self._cells:
            self._first, self._began = number, now
        self._cells, self._number, self._cell_began, self._phase = cells, number, now, "coming up"
        self._show()

    def trial(self, request: Request) -> None:
        """A trial begins."""
        rate = "as fast as it takes them" if request.rate_pps is None else f"{request.rate_pps / 1e6:.3f} Mpps"
        self._phase = f"{request.phase}: {rate}, {request.duration_s:g} s"
        self._show()

    def seconds_left(self) -> float:
        """Estimated: what is planned for the cells to come, times how much longer than planned those before took. Of
        the cell at hand what is left of its plan, so that no time left becomes negative."""
        planned = [0.0 if c.unsupported else self._seconds_of(c) for c in self._cells]
        done = sum(planned[self._first - 1:self._number - 1])
        took = self._cell_began - self._began
        ratio = took / done if done > 0 and took > 0 else 1.0
        here = planned[self._number - 1] * ratio if planned else 0.0
        return max(0.0, here - (self._clock() - self._cell_began)) + sum(planned[self._number:]) * ratio

    def text(self) -> str:
        """The live line: "cell 3 of 32, about 6 min left | ovs-dpdk: p2p one-way 64 B | rplus: 6.1 Mpps, 1 s"."""
        here = self._cells[self._number - 1]
        return (f"cell {self._number} of {len(self._cells)}, about {_duration(self.seconds_left())} left | "
                f"{here.switch.name}: {here.title} | {self._phase}")

    def _show(self) -> None:
        if self._live and self._cells:
            line = Table.grid(padding=(0, 1))
            line.add_row(ProgressBar(len(self._cells), self._number - 1, width=20),
                         Text(self.text(), no_wrap=True, overflow="ellipsis"))
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
