# SPDX-License-Identifier: BSD-3-Clause
"""Draws: reads results.csv, writes .dat files, starts gnuplot. All effects of the figures are here."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.figures.flows import flows_dat
from harness.figures.page import layout, throughput_dat
from harness.figures.reading import FigureError, Row, clean, read_results
from harness.figures.throughput import THROUGHPUT_COLUMNS, pivot

PLOTS = Path(__file__).resolve().parents[2] / "plots"
FORMATS = ("pdf", "png", "svg")
GNUPLOT_TIMEOUT_S = 60


def throughput(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Throughput by frame size and topology, grouped by switch: the text of throughput.dat, and warnings."""
    chart = pivot(rows)
    return throughput_dat(chart, layout(chart)), list(chart.warnings)


class Figure(NamedTuple):
    """name: of plots/<name>.gp and of the files written. columns: what it needs of results.csv.
    prepare: rows -> (the text of <name>.dat, warnings); pure; may raise FigureError."""

    name: str
    columns: tuple[str, ...]
    prepare: Callable[[Sequence[Row]], tuple[str, list[str]]]


FIGURES: tuple[Figure, ...] = (
    Figure("throughput", THROUGHPUT_COLUMNS, throughput),
)


def warn_stderr(line: str) -> None:
    print(f"figures: {line}", file=sys.stderr)


def draw(run_dir: Path, formats: Sequence[str] = FORMATS, warn: Callable[[str], None] = warn_stderr) -> list[Path]:
    """Draw every figure of FIGURES from run_dir/results.csv into run_dir/figures/.

    Writes <name>.dat, which plots/<name>.gp draws (so a figure can be redrawn without this program), and one file per
    format. Returns their paths, .dat first. Calls warn with one line for each row that was left out. Files of an
    earlier drawing are replaced only by whole new ones. Raises FigureError.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise FigureError(f"figure format {unknown[0]!r} is unknown: there are {', '.join(FORMATS)}")
    source = Path(run_dir) / "results.csv"
    written: list[Path] = []
    try:
        text = source.read_bytes().decode("utf-8-sig", errors="replace")
        folder = Path(run_dir) / "figures"
        for figure in FIGURES:
            try:
                results = read_results(text, figure.columns)
                dat, warnings = figure.prepare(results.rows)
            except FigureError as error:
                raise FigureError(f"{figure.name}: {error} [{source}]") from None
            _say(results.warnings + warnings, warn)
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as scratch:
                written += _draw_one(figure.name, dat, formats, Path(scratch), folder)
    except FileNotFoundError as error:
        raise FigureError(f"{error.filename} does not exist: give the folder of a run, results/<run>") from None
    except OSError as error:
        raise FigureError(f"cannot read or write {error.filename or run_dir}: {error.strerror}") from None
    return written


def draw_flows(source: Path, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw what flows cost from a bench-core.csv into `folder`, which is made. Gives the files, .dat first. Raises
    FigureError."""
    try:
        dat = flows_dat(source.read_text(encoding="utf-8", errors="replace"))
    except FigureError as error:
        raise FigureError(f"flows: {error} [{source}]") from None
    except OSError as error:
        raise FigureError(f"cannot read {source}: {error.strerror}") from None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as scratch:
        return _draw_one("flows", dat, formats, Path(scratch), folder)


def _say(warnings: Sequence[str], warn: Callable[[str], None], most: int = 12) -> None:
    for line in warnings[:most]:
        warn(line)
    if len(warnings) > most:
        warn(f"and {len(warnings) - most} more rows like these")


def _draw_one(name: str, dat: str, formats: Sequence[str], scratch: Path, folder: Path) -> list[Path]:
    (scratch / f"{name}.dat").write_text(dat, encoding="utf-8")
    for kind in formats:
        _gnuplot(name, kind, scratch, folder)
    written = []
    for kind in ("dat", *formats):
        target = folder / f"{name}.{kind}"
        os.replace(scratch / f"{name}.{kind}", target)
        written.append(target)
    return written


def _gnuplot(name: str, kind: str, scratch: Path, folder: Path) -> None:
    """Let gnuplot draw scratch/<name>.dat as scratch/<name>.<kind>."""
    script = PLOTS / f"{name}.gp"
    if not script.is_file():
        raise FigureError(f"{script} does not exist: the figure {name} has no drawing")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GNUPLOT", "GNUTERM", "LC_"))}
    env |= {"LC_ALL": "C"}
    try:
        done = subprocess.run(["gnuplot", "-d", "-c", str(script), kind], cwd=scratch, env=env, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=GNUPLOT_TIMEOUT_S)
    except FileNotFoundError:
        raise FigureError("gnuplot is not installed, so no figure can be drawn: install the package "
                          "gnuplot-nox") from None
    except subprocess.TimeoutExpired:
        raise FigureError(f"gnuplot did not finish {name}.{kind} in {GNUPLOT_TIMEOUT_S} s: is the machine "
                          "busy?") from None
    drawing = scratch / f"{name}.{kind}"
    if done.returncode != 0 or not drawing.is_file() or drawing.stat().st_size == 0:
        said = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "it gave no reason")
        kept = folder / f"{name}.dat"
        os.replace(scratch / f"{name}.dat", kept)
        raise FigureError(f"gnuplot could not draw {name}.{kind} ({clean(said, 160)}); to see more: "
                          f"cd {folder} && gnuplot -d -c {script} {kind}")
    if kind == "svg":
        drawing.write_text(finish_svg(drawing.read_text(encoding="utf-8")), encoding="utf-8")


def finish_svg(svg: str) -> str:
    """gnuplot's SVG with fonts named as viewers expect them: bold as a weight, and other families to fall back on."""
    def font(match: re.Match) -> str:
        family, bold = match.group(1), match.group(2)
        return f'font-family="{family}, Verdana, sans-serif"' + (' font-weight="bold"' if bold else "")

    return re.sub(r'(?<=\s)font-family="([A-Za-z ]+)(:Bold)?"(?=\s+font-size="[\d.]+"\s)', font, svg)
