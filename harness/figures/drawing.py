# SPDX-License-Identifier: BSD-3-Clause
"""Draws: reads a run, writes .dat files, starts gnuplot. All effects of the figures are here."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import BadInput
from harness.figures import anchor, chain, cycles, forest, heatmap, latency, loss, repeats, throughput
from harness.figures.data import Data
from harness.figures.flows import flows_dat
from harness.figures.reading import FigureError, NotDrawn, clean
from harness.figures.sheet import Sheet, dat

PLOTS = Path(__file__).resolve().parents[2] / "plots"
FORMATS = ("pdf", "png", "svg")
GNUPLOT_TIMEOUT_S = 60


class Figure(NamedTuple):
    """name: of plots/<name>.gp and of the files written. says: what it shows, for people.
    prepare: a run -> its pages, as sheets or as texts of .dat files; pure; may raise FigureError, NotDrawn."""

    name: str
    says: str
    prepare: Callable[[Data], Sequence[Sheet | str]]


FIGURES: tuple[Figure, ...] = (
    Figure("throughput", "throughput by frame size and topology", throughput.rplus),
    Figure("ndr", "throughput without loss (NDR) by frame size and topology", throughput.ndr),
    Figure("pdr", "throughput with little loss (PDR) by frame size and topology", throughput.pdr),
    Figure("chain", "throughput by chain length", chain.chain),
    Figure("latency", "latency percentiles at each load", latency.percentiles),
    Figure("latency_cdf", "distribution of latency at each load", latency.cdf),
    Figure("latency_ccdf", "tail of the distribution of latency at each load", latency.ccdf),
    Figure("loss", "loss against load", loss.loss),
    Figure("cycles", "CPU cycles per packet", cycles.cycles),
    Figure("heatmap", "throughput by number of flows and frame size", heatmap.heatmap),
    Figure("repeats", "every trial or block, with median and interval", repeats.repeats),
    Figure("forest", "comparison: ratio of every cell", forest.forest),
    Figure("anchor", "the anchor cell over time", anchor.anchor),
)


class Drawn(NamedTuple):
    """files: all that were written. not_drawn: figures that the run has no data for, and why. failed: figures whose
    data are there and cannot be drawn, and why."""

    files: list[Path]
    not_drawn: dict[str, str]
    failed: dict[str, str]


def warn_stderr(line: str) -> None:
    print(f"figures: {line}", file=sys.stderr)


def draw(run_dir: Path, formats: Sequence[str] = FORMATS, warn: Callable[[str], None] = warn_stderr) -> list[Path]:
    """As draw_all(), gives the files; FigureError if there is none or a figure could not be drawn."""
    drawn = draw_all(run_dir, formats, warn)
    source = Path(run_dir) / "results.csv"
    for name, why in drawn.failed.items():
        raise FigureError(f"{name}: {why} [{source}]")
    if not drawn.files:
        raise FigureError(f"no figure can be drawn: {next(iter(drawn.not_drawn.values()))} [{source}]")
    return drawn.files


def draw_all(run_dir: Path, formats: Sequence[str] = FORMATS, warn: Callable[[str], None] = warn_stderr) -> Drawn:
    """Draw every figure of FIGURES that the run has data for into run_dir/figures/.

    Writes <name>.dat, which plots/<name>.gp draws (so a figure can be redrawn without this program), and one file per
    format; where a figure takes several pages, these are <name>-2 and so on. Calls warn with one line for each thing
    that was left out. Files of an earlier drawing are replaced only by whole new ones; those of figures that are not
    drawn any more are removed, since they would show something else than the data beside them. Raises FigureError.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise FigureError(f"figure format {unknown[0]!r} is unknown: there are {', '.join(FORMATS)}")
    run_dir = Path(run_dir)
    data = Data(lambda name: text_of(run_dir / name))
    drawn = Drawn([], {}, {})
    try:
        _check_run(run_dir)
        for figure in FIGURES:
            _draw_figure(figure, data, formats, run_dir, drawn)
    except FigureError:
        _say(data.warnings, warn)
        raise
    except OSError as error:
        raise FigureError(f"cannot read or write {error.filename or run_dir}: {error.strerror}") from None
    _say(data.warnings, warn)
    return drawn


def _check_run(run_dir: Path) -> None:
    if not any((run_dir / name).is_file() for name in ("results.csv", "trials.csv", forest.FILE)):
        raise BadInput(f"{run_dir / 'results.csv'} does not exist: give the folder of a run, results/<run>")


def text_of(path: Path) -> str | None:
    """The text of a file, damaged characters replaced; None if there is no such file."""
    try:
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        return None


def _draw_figure(figure: Figure, data: Data, formats: Sequence[str], run_dir: Path, drawn: Drawn) -> None:
    folder = run_dir / "figures"
    try:
        pages = figure.prepare(data)
    except NotDrawn as why:
        drawn.not_drawn[figure.name] = str(why)
        _remove_old(folder, figure.name, 1)
        return
    except FigureError as why:
        drawn.failed[figure.name] = str(why)
        _remove_old(folder, figure.name, 1)
        return
    folder.mkdir(exist_ok=True)
    for number, page in enumerate(pages, 1):
        stem = figure.name if number == 1 else f"{figure.name}-{number}"
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as scratch:
            text = page if isinstance(page, str) else dat(page)
            drawn.files.extend(_draw_one(figure.name, stem, text, formats, Path(scratch), folder))
    _remove_old(folder, figure.name, len(pages) + 1)


def _remove_old(folder: Path, name: str, first: int) -> None:
    """Pages of an earlier drawing, from the page `first` on."""
    for path in folder.glob(f"{name}*") if folder.is_dir() else ():
        page = re.fullmatch(rf"{name}(?:-(\d+))?\.(?:dat|{'|'.join(FORMATS)})", path.name)
        if page and int(page.group(1) or 1) >= first:
            path.unlink()


def draw_flows(source: Path, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw what flows cost from a bench-core.csv into `folder`, which is made. Gives the files, .dat first. Raises
    FigureError."""
    try:
        text = flows_dat(source.read_text(encoding="utf-8", errors="replace"))
    except FigureError as error:
        raise FigureError(f"flows: {error} [{source}]") from None
    except OSError as error:
        raise FigureError(f"cannot read {source}: {error.strerror}") from None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as scratch:
        return _draw_one("flows", "flows", text, formats, Path(scratch), folder)


def _say(warnings: Sequence[str], warn: Callable[[str], None], most: int = 12) -> None:
    for line in warnings[:most]:
        warn(line)
    if len(warnings) > most:
        warn(f"and {len(warnings) - most} more like these")


def _draw_one(name: str, stem: str, text: str, formats: Sequence[str], scratch: Path, folder: Path) -> list[Path]:
    (scratch / f"{stem}.dat").write_text(text, encoding="utf-8")
    for kind in formats:
        _gnuplot(name, stem, kind, scratch, folder)
    written = []
    for kind in ("dat", *formats):
        target = folder / f"{stem}.{kind}"
        os.replace(scratch / f"{stem}.{kind}", target)
        written.append(target)
    return written


def _gnuplot(name: str, stem: str, kind: str, scratch: Path, folder: Path) -> None:
    """Let plots/<name>.gp draw scratch/<stem>.dat as scratch/<stem>.<kind>."""
    script = PLOTS / f"{name}.gp"
    if not script.is_file():
        raise FigureError(f"{script} does not exist: the figure {name} has no drawing")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GNUPLOT", "GNUTERM", "LC_"))}
    env |= {"LC_ALL": "C"}
    try:
        done = subprocess.run(["gnuplot", "-d", "-c", str(script), kind, stem], cwd=scratch, env=env, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=GNUPLOT_TIMEOUT_S)
    except FileNotFoundError:
        raise FigureError("gnuplot is not installed, so no figure can be drawn: install the package "
                          "gnuplot-nox") from None
    except subprocess.TimeoutExpired:
        raise FigureError(f"gnuplot did not finish {stem}.{kind} in {GNUPLOT_TIMEOUT_S} s: is the machine "
                          "busy?") from None
    drawing = scratch / f"{stem}.{kind}"
    if done.returncode != 0 or not drawing.is_file() or drawing.stat().st_size == 0:
        said = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "it gave no reason")
        os.replace(scratch / f"{stem}.dat", folder / f"{stem}.dat")
        raise FigureError(f"gnuplot could not draw {stem}.{kind} ({clean(said, 160)}); to see more: "
                          f"cd {folder} && gnuplot -d -c {script} {kind} {stem}")
    if kind == "svg":
        drawing.write_text(finish_svg(drawing.read_text(encoding="utf-8")), encoding="utf-8")


def finish_svg(svg: str) -> str:
    """gnuplot's SVG with fonts named as viewers expect them: bold as a weight, and other families to fall back on."""
    def font(match: re.Match) -> str:
        family, bold = match.group(1), match.group(2)
        return f'font-family="{family}, Verdana, sans-serif"' + (' font-weight="bold"' if bold else "")

    return re.sub(r'(?<=\s)font-family="([A-Za-z ]+)(:Bold)?"(?=\s+font-size="[\d.]+"\s)', font, svg)
