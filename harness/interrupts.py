# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C and SIGTERM, delivered only where they can be dealt with: inside `armed()` they raise Interrupted, elsewhere
(while things are being stopped) they wait until the next armed().

One Ctrl-C gives up the cell at hand; two within SECOND_S, or SIGTERM, end the run.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECOND_S = 2.0


class Interrupted(Exception):
    """A signal came. `ends_run`: not only the cell."""

    def __init__(self, name: str, ends_run: bool) -> None:
        super().__init__(f"interrupted by {name}")
        self.ends_run = ends_run


class Interrupts:
    """Handles the two signals from its making to restore()."""

    def __init__(self) -> None:
        self._armed = False
        self._pending: Interrupted | None = None
        self._last_int = float("-inf")
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        twice = number == signal.SIGINT and now - self._last_int < SECOND_S
        if number == signal.SIGINT:
            self._last_int = now
        if not self.ending():       # a Ctrl-C does not take back a SIGTERM
            self._pending = Interrupted(signal.Signals(number).name, twice or number != signal.SIGINT)
        if self._armed:
            self._raise()

    def _raise(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            self._armed = False     # what follows is clearing up
            raise pending

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Signals raise Interrupted inside this block."""
        self._armed = True
        try:
            self._raise()
            yield
        finally:
            self._armed = False

    def ending(self) -> bool:
        """Did a signal come while disarmed that ends the run?"""
        return self._pending is not None and self._pending.ends_run
