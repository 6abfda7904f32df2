# SPDX-License-Identifier: BSD-3-Clause
"""Progress of a run: a live line on a terminal, plain lines elsewhere, and little with --quiet."""

import io
import random
import re
import types
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import cli, figures, host, progress, run, terminal
from harness.progress import Progress
from harness.sim import simulated_up
from harness.tests.support import write
from harness.trial import Request

SCENARIO = """name = "t"
[matrix]
topology = "p2p"
frame_bytes = [64, 128]
switch = ["null", "testpmd"]
[latency]
at_rplus = 0.5
"""


def fake_cells(count: int) -> list[Any]:
    return [types.SimpleNamespace(id=f"c{i}", unsupported="", switch=types.SimpleNamespace(name="s"), title=f"t{i}",
                                  seconds=10.0)
            for i in range(count)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def made(is_terminal: bool = False, quiet: bool = False) -> tuple[Progress, io.StringIO, Clock]:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=is_terminal, width=160, highlight=False)
    return Progress(console, lambda cell: cell.seconds, quiet, clock=clock), out, clock  # type: ignore[attr-defined]


def test_the_live_line_says_cell_phase_load_and_time_left() -> None:
    shown, out, clock = made(is_terminal=True)
    cells = fake_cells(4)
    with shown as say:
        say.cell(1, cells, cells[1:])
        say.trial(Request("rplus", None, 1.0))
        assert say.text() == ("cell 1 of 4, about 40 s left | rplus: as fast as it takes them, 1 s | s: t0")
        clock.now += 20
        say.cell(2, cells, cells[2:])
        say.trial(Request("latency@0.50rplus", 3.1e6, 0.5))
        assert say.text() == "cell 2 of 4, about 60 s left | latency@0.50rplus: 3.100 Mpps, 0.5 s | s: t1"
        say("a line that stays")
    assert "cell 2 of 4" in out.getvalue() and "a line that stays\n" in out.getvalue()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1     # the cursor is back


def test_time_left_is_that_of_the_plan_times_what_cells_took_and_never_negative() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        cells = fake_cells(rng.randrange(1, 20))
        for cell in cells:
            cell.seconds, cell.unsupported = rng.uniform(1, 100), rng.choice(["", "", "", "no"])
        shown, _, clock = made()
        slow = rng.uniform(0.2, 5)
        first = rng.randrange(1, len(cells) + 1)        # a run that goes on begins somewhere
        for number in range(first, len(cells) + 1):
            shown.cell(number, cells, cells[number:])
            left = sum(c.seconds for c in cells[number - 1:] if not c.unsupported)
            known = any(not c.unsupported for c in cells[first - 1:number - 1])
            assert shown.seconds_left() == pytest.approx(left * (slow if known else 1))
            clock.now += 0 if cells[number - 1].unsupported else cells[number - 1].seconds * slow
        clock.now += 1e6
        assert shown.seconds_left() == 0


def test_a_cell_takes_as_long_as_it_took_in_other_blocks_or_before_the_run_was_stopped() -> None:
    shown, _, clock = made()
    a, b = fake_cells(2)                # planned: 10 s each
    turns = [a, b, a, b]
    for seconds in (30.0, 34.0, 500.0):
        shown.took(a, seconds)
    shown.cell(2, turns, [a])           # the last b is finished already
    assert shown.seconds_left() == pytest.approx(10 * 564 / 30 + 34)
    clock.now += 50
    shown.cell(3, turns, [b])
    assert shown.seconds_left() == pytest.approx(34 + 50)


@pytest.mark.parametrize("seconds, says", [(0, "5 s"), (42, "40 s"), (100, "2 min"), (3600, "60 min"),
                                           (7500, "2 h 05 min")])
def test_durations(seconds: float, says: str) -> None:
    assert progress._duration(seconds) == says


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_line_is_one_line_and_the_phase_is_in_it(width: int) -> None:
    out = io.StringIO()
    shown = Progress(Console(file=out, force_terminal=True, width=width, highlight=False), lambda cell: 10.0)
    cells = fake_cells(32)
    cells[2].title = "loopback two-way 5 x macswap 1518 B 100000 flows, qemu guest"
    with shown as say:
        say.cell(3, cells, cells[3:])
        say.trial(Request("rplus", 5.5e6, 1.0))
    drawn = [line for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", out.getvalue()) if "cell 3 of 32" in line]
    assert drawn and all(len(line) <= width for line in drawn)
    assert "rplus" in out.getvalue() and (width < 80 or "rplus: 5.500 Mpps" in out.getvalue())


def test_elsewhere_there_are_plain_lines_only() -> None:
    shown, out, _ = made()
    with shown as say:
        say.cell(1, fake_cells(2), [])
        say.trial(Request("rplus", None, 1.0))
        say("[1/2] s: t0")
    assert out.getvalue() == "[1/2] s: t0\n"


def test_quiet_keeps_what_went_wrong() -> None:
    shown, out, _ = made(is_terminal=True, quiet=True)
    with shown as say:
        say.cell(1, fake_cells(2), [])
        say("[1/2] s: t0")
        say("    R+ 5.000 Mpps")
        say("    FAILED: the switch went away")
    assert out.getvalue() == "    FAILED: the switch went away\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_a_reader_that_has_gone_ends_nothing(error: OSError) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    told = []
    shown = Progress(Console(file=Gone(), force_terminal=True), lambda cell: 1.0, on_gone=lambda: told.append(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown, "_live", None)
        with shown as say:
            say("x")
    assert told


@pytest.mark.parametrize("options, lines", [([], 8), (["--quiet"], 0)])
def test_a_run_tells_of_every_cell(options: list[str], lines: int, tmp_path: Path, runtime: Path,
                                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    real = run.run
    monkeypatch.setattr(run, "run", lambda *given, **more: real(*given, up=simulated_up(5e6), **more))
    monkeypatch.setattr(figures, "draw", lambda folder: [])
    monkeypatch.setattr(host, "cpus", lambda: [0, 1])
    monkeypatch.setattr(Progress, "_show", lambda self: seen.append(self.text()))
    file = write(tmp_path / "t.toml", SCENARIO)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "results"), *options]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith(("[", "    R+", "    n/a"))]) == lines
    if options:
        assert out.strip() == str(next((tmp_path / "results").iterdir()))
    for words in ("cell 1 of 4", "cell 4 of 4", "coming up", "rplus: as fast", "latency@0.50rplus: 2.5"):
        assert any(words in line for line in seen), words


def test_tables_in_a_pipe_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.console().width == terminal.console(stderr=True).width == 200
    monkeypatch.setenv("COLUMNS", "120")
    assert terminal.console().width == 120
