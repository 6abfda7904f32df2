# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench report RUN`: one HTML file that holds everything of a run and needs no network.

Whatever a run says is shown as text only: names, reasons and console lines come from programs that are not trusted.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from harness import anchor, figures, results
from harness.cellname import cell_name
from harness.errors import BadInput
from harness.figures.cells import flags_of, mark_notes, marks, place
from harness.figures.data import Data
from harness.figures.loads import text as load_text
from harness.figures.reading import FigureError, Row, number
from harness.trial import FLAGS

HERE = Path(__file__).resolve().parent
FILE = "report.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
LEDGER = ("cell_id", "place", "in_count", "out_count", "lost_count")
HEADLINES = ("rplus_pps", "ndr_pps", "pdr_pps", "cycles_per_packet", "b2b_frames")
SVG_SCALE = 1.45             # figures are drawn at paper size; a screen is read from farther away
STATUS = {"ok": "measured", "failed": "failed", "invalid": "invalid", "unsupported": "n/a"}
BOUNDS = "<>\N{GREATER-THAN OR EQUAL TO}"     # of the marks of figures, those that stand before a number
MARK_RANK = ("failed", "invalid", "ok", "unsupported")
METRIC_NAMES = {"rplus_pps": "R+", "ndr_pps": "NDR", "pdr_pps": "PDR", "cycles_per_packet": "cycles per packet",
                "rplus_loss_ratio": "loss at R+", "b2b_frames": "back-to-back frames"}


class Cell(NamedTuple):
    """A field of a table. sort: its value where that is a number. kind: a class of report.css."""

    text: str
    sort: float | None = None
    kind: str = ""


def write(run_dir: Path) -> tuple[Path, list[str]]:
    """Draw the figures as SVG, write run_dir/report.html; gives its path, and what could not be read or drawn. Raises
    FigureError if this is no results folder."""
    warnings: list[str] = []
    drawn = figures.draw_all(run_dir, formats=("svg",), warn=warnings.append)
    warnings += [f"figure {name} could not be drawn: {why}" for name, why in drawn.failed.items()]
    pages = [(path.stem, path.read_text(encoding="utf-8")) for path in drawn.files if path.suffix == ".svg"]
    data = Data(lambda name: figures.text_of(run_dir / name))
    text = page(data, run_dir, pages, drawn.not_drawn, warnings, _steadiness(run_dir))
    target = run_dir / FILE
    part = target.with_suffix(".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise FigureError(f"{target} cannot be written: {error.strerror}") from None
    return target, warnings


def page(data: Data, run_dir: Path, drawn: Sequence[tuple[str, str]], not_drawn: Mapping[str, str],
         warnings: Sequence[str], steadiness: str = "") -> str:
    """The whole file. `drawn`: name and SVG of every page of figures; `steadiness`: what the anchor says."""
    try:
        rows = data.results
    except FigureError as error:
        rows, warnings = [], [*warnings, str(error)]
    said = list(dict.fromkeys([*warnings, *data.warnings]))
    name = str(data.about.get("run_id") or (rows[0]["run_id"] if rows else run_dir.resolve().name))
    parts = [_summary(data, rows, steadiness), _warnings(rows, said, data.about), _figures(drawn, not_drawn),
             _tables(rows, _losses(data)), _environment(data), _again(data.about, run_dir)]
    links = " ".join(f'<a href="#{key}">{title}</a>' for key, title in (
        ("summary", "Summary"), ("warnings", "Warnings"), ("figures", "Figures"), ("tables", "Tables"),
        ("environment", "Environment"), ("again", "Again")))
    css, js = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(name)}</title>'
            f'<style>{css}</style></head><body>\n<h1>{escape(name)}</h1>\n<nav>{links}</nav>\n'
            + "\n".join(parts) + f"\n<script>{js}</script></body></html>\n")


# ---- parts ---------------------------------------------------------------------------------------------------------

def _steadiness(run_dir: Path) -> str:
    """How steady the machine was, by the run's anchors; empty where it has none."""
    try:
        run = results.read(run_dir)
    except BadInput:
        return ""
    return anchor.said(run.anchors_pps, run.repeats)


def _summary(data: Data, rows: Sequence[Row], steadiness: str) -> str:
    about = data.about
    states: dict[Any, str] = {}
    for row in rows:
        best = states.get(place(row))
        if row["status"] in MARK_RANK and (best is None or MARK_RANK.index(row["status"]) < MARK_RANK.index(best)):
            states[place(row)] = row["status"]
    count = Counter(states.values())
    planned = about.get("cells")
    missing = max(0, len(planned) - len({row.get("cell_id") for row in rows})) if isinstance(planned, list) else 0
    cards = [(str(len(states)), "cells", False), *((str(count[s]), word, s in ("failed", "invalid"))
                                                   for s, word in STATUS.items() if count[s])]
    cards += [(str(missing), "planned, not measured", True)] if missing else []
    if (seconds := _number(about.get("duration_s"))) is not None:
        cards.append((_duration(seconds), "duration", False))
    versions = dict.fromkeys(f"{row['switch']} {row.get('switch_version')}".strip() for row in rows)
    machine = about.get("machine") if isinstance(about.get("machine"), dict) else {}
    facts = [str(machine.get("cpu_model", "")), f"{machine['cpu_count']} CPUs" if "cpu_count" in machine else "",
             f"Linux {machine['kernel']}" if "kernel" in machine else ""]
    lines = [f"Started {about['started_utc']}" if "started_utc" in about else "",
             f"State: {about['state']}" if "state" in about else "", ", ".join(filter(None, facts)),
             "Switches: " + "; ".join(versions) if versions else "",
             f"{steadiness[:1].upper()}{steadiness[1:]}." if steadiness else ""]
    shown = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    boxes = "".join(f'<div class="card{" bad" * bad}"><b>{escape(value)}</b><span>{escape(text)}</span></div>'
                    for value, text, bad in cards)
    return (f'<section id="summary"><h2>Summary</h2><div class="cards">{boxes}</div>{shown}{_matrix(data, rows)}'
            '</section>')


def _matrix(data: Data, rows: Sequence[Row]) -> str:
    """The headline: a row per setup and frame size, a column per switch."""
    parts: list[str] = []
    used: set[str] = set()
    for metric in HEADLINES[:3]:
        if not any(row["metric"] == metric and row["value"] for row in rows):
            continue
        chosen = data.rows_of(metric)
        switches = list(dict.fromkeys(row["switch"] for row in chosen))
        table: dict[str, dict[str, Row]] = {}
        for row in chosen:
            name = cell_name(row.fields)
            if row["switch"] in table.get(name, {}):        # what tells them apart is in the name of the cell only
                name += f" ({row.get('cell_id') or f'line {row.line}'})"
            table.setdefault(name, {})[row["switch"]] = row
        body = [[Cell(name, kind="name"), *(_headline(of.get(s)) for s in switches)] for name, of in table.items()]
        used |= set().union(*(flags_of(row) for row in chosen))
        goal = data.loss_goal(metric)
        goal_text = f", loss goal {goal * 100:.6g} %" if goal is not None else ""
        parts.append(f"<h3>{METRIC_NAMES[metric]} in Mpps per direction{goal_text}</h3>"
                     + _table(["cell", *switches], body, numbers=range(1, len(switches) + 1)))
    said = ["In brackets: smallest and largest trial or block, with six or more their 95 % interval.",
            *mark_notes(used, of_panels=False)]
    return "".join([*parts, f"<p class=soft>{escape(' '.join(said))}</p>"]) if parts else ""


def _headline(row: Row | None) -> Cell:
    if row is None:
        return Cell("not measured", kind="n soft")
    value = number(row["value"])
    if row["status"] != "ok" or value is None:
        return Cell(STATUS.get(row["status"], row["status"]), kind=f"n {_class(row['status'])}")
    low, high = number(row["ci_low"]), number(row["ci_high"])
    span = "" if low is None or high is None else f" ({low / 1e6:.2f}\N{EN DASH}{high / 1e6:.2f})"
    own = marks(flags_of(row))
    sign = "".join(mark for mark in own if mark in BOUNDS)
    rest = "".join(mark for mark in own if mark not in BOUNDS)
    return Cell(f"{sign}{value / 1e6:.3f}{rest}{span}", value, "n")


def _warnings(rows: Sequence[Row], said: Sequence[str], about: Mapping[str, Any]) -> str:
    cells: dict[str, set[Any]] = {}
    for row in rows:
        for flag in {flag.strip() for flag in row["flags"].split(";")} - {""}:
            cells.setdefault(flag, set()).add(place(row))
    body = [[Cell(flag, kind="name"), Cell(str(len(of)), len(of), "n"),
             Cell(FLAGS.get(flag, ("see the README", ""))[0]),
             Cell(FLAGS.get(flag, ("", ""))[1])] for flag, of in sorted(
                 cells.items(), key=lambda c: (-len(c[1]), c[0]))]
    parts = [_table(["flag", "cells", "means", "cure"], body, numbers=(1,)) if body else "<p>No flag.</p>"]
    reasons = {(cell_name(row.fields), row["switch"], row["status"], row.get("reason")): None for row in rows
               if row["status"] in ("failed", "unsupported", "invalid")}
    if reasons:
        parts.append("<h3>Cells without a result</h3>" + _table(
            ["cell", "switch", "status", "reason"], [[Cell(c, kind="name"), Cell(s), Cell(STATUS[st], kind=_class(st)),
                                                      Cell(why)] for c, s, st, why in reasons]))
    if about.get("state") not in (None, "complete"):
        said = [f"the run is not complete (state: {about['state']}): go on with `vswbench run --resume`", *said]
    if not about:
        said = ["run.json is missing or damaged: machine, versions and commands are not known", *said]
    if said:
        parts.append("<h3>What could not be read or drawn</h3><ul>" + "".join(f"<li>{escape(w)}</li>" for w in said)
                     + "</ul>")
    return f'<section id="warnings"><h2>Warnings</h2>{"".join(parts)}</section>'


def _figures(drawn: Sequence[tuple[str, str]], not_drawn: Mapping[str, str]) -> str:
    says = {figure.name: figure.says for figure in figures.FIGURES}
    parts = []
    for i, (stem, svg) in enumerate(drawn):
        name, _, number_ = stem.partition("-")
        title = says.get(name, name) + (f", page {number_}" if number_ else "")
        parts.append(f"<figure><figcaption><b>{escape(title[:1].upper() + title[1:])}</b> "
                     f"(figures/{escape(stem)}.pdf, .png, .svg)</figcaption>{inline(svg, f'f{i}-', title)}</figure>")
    if not_drawn:
        parts.append("<details><summary>Figures that this run has no data for</summary><ul>" + "".join(
            f"<li>{escape(says.get(name, name))}: {escape(why)}</li>" for name, why in not_drawn.items())
            + "</ul></details>")
    return f'<section id="figures"><h2>Figures</h2>{"".join(parts) or "<p>None could be drawn.</p>"}</section>'


def inline(svg: str, prefix: str, title: str) -> str:
    """An SVG of gnuplot's to stand in HTML: without its XML head, its ids made unique, with a title for readers."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"\bid\s*=\s*(['\"])", rf"id=\1{prefix}", svg)
    svg = re.sub(r"((?:xlink:)?href\s*=\s*['\"]#|url\(\s*['\"]?#)", rf"\1{prefix}", svg)
    svg = re.sub(r"<title>.*?</title>|<desc>.*?</desc>", "", svg, flags=re.S)
    width = re.search(r'<svg[^>]*\bwidth="(\d+)"', svg)
    pixels = int(width.group(1)) if width else 0        # below paper size it is moved sideways, not made smaller
    style = f' style="width: {pixels * SVG_SCALE:.0f}px; min-width: {pixels}px"' if width else ""
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"{style}', 1)


def _losses(data: Data) -> str:
    """Where frames were lost, by the switches' own counters (harness/ledger.py); empty where nothing is known of any."""
    try:
        places = data.table("ledger.csv", LEDGER)
    except FigureError:
        return ""
    lost = [row for row in places if (number(row["lost_count"]) or 0) > 0]
    if not lost:
        return ""
    body = [[Cell(row["cell_id"], kind="name"), Cell(row["place"]),
             *(Cell(row[key], number(row[key]), "n") for key in ("in_count", "out_count", "lost_count"))]
            for row in lost]
    table = _table(["cell", "where", "went in", "came out", "lost"], body, (2, 3, 4))
    return (f"<details><summary>Where frames were lost, over all trials of a cell: {len(lost)} places</summary>{table}"
            "</details>")


def _tables(rows: Sequence[Row], losses: str) -> str:
    sizes = [(key, head) for key, head in (("frame_bytes", "frame"), ("flows", "flows"))
             if len({row.get(key) for row in rows}) > 1]
    heads = ["switch", "cell", *(head for _, head in sizes), "figure", "value", "low", "high", "unit", "n", "status",
             "flags"]
    at = 2 + len(sizes)
    numeric = [*range(2, at), at + 1, at + 2, at + 3, at + 5]

    def body(chosen: Iterable[Row]) -> list[list[Cell]]:
        return [[Cell(row["switch"], kind="name"), Cell(cell_name(row.fields, with_sizes=not sizes), kind="name"),
                 *(Cell(row.get(key), number(row.get(key)), "n") for key, _ in sizes),
                 Cell(_metric_name(row["metric"]), kind="name"), *_values(row), Cell(row["n"], number(row["n"]), "n"),
                 Cell(STATUS.get(row["status"], row["status"]), kind=_class(row["status"])),
                 Cell(row["flags"].replace(";", ", "))] for row in chosen]

    main = [row for row in rows if row["metric"] in HEADLINES or row["metric"].startswith("latency_p50_ns@")
            or row["metric"].startswith("latency_p99_ns@")]
    rest = [row for row in rows if row not in main]
    parts = ["<p class=soft>A click on a column's head sorts. Rates are per direction. low and high: smallest and "
             "largest "
             "trial or block, with six or more their 95 % interval.</p>", _table(heads, body(main), numeric)]
    if rest:
        parts.append(f"<details><summary>{len(rest)} further "
                     f"figures</summary>{_table(heads, body(rest), numeric)}</details>")
    return f'<section id="tables"><h2>Tables</h2>{"".join(parts)}{losses}</section>'


def _values(row: Row) -> list[Cell]:
    """value, low, high and unit, in a unit that reads well."""
    scale, unit, digits = {"pps": (1e-6, "Mpps", 3), "ns": (1e-3, "\N{MICRO SIGN}s", 1),
                           "1": (1.0, "", 0)}.get(row["unit"], (1.0, row["unit"], 1))
    cells = []
    for column in ("value", "ci_low", "ci_high"):
        v = number(row[column])
        text = "" if v is None else f"{v:.3g}" if row["unit"] == "1" and v < 100 else f"{v * scale:.{digits}f}"
        cells.append(Cell(text, v, "n"))
    return [*cells, Cell(unit)]


def _environment(data: Data) -> str:
    about = data.about
    parts = []
    for key, title in (("machine", "Machine"), ("versions", "Versions and hashes"), ("testbed", "Testbed"),
                       ("calibration", "Calibration"), ("environment", "Environment")):
        if about.get(key):
            parts.append(f"<details{' open' * (key == 'machine')}><summary><b>{title}</b></summary>"
                         + _tree(about[key]) + "</details>")
    sources = about.get("sources")
    for name, text in sources.items() if isinstance(sources, dict) else ():
        parts.append(f"<details><summary><b>{escape(str(name))}</b></summary><pre>{escape(str(text))}</pre></details>")
    return (f'<section id="environment"><h2>Environment</h2>'
            f'{"".join(parts) or "<p>Not known: run.json is missing or damaged.</p>"}</section>')


def _tree(value: Any, name: str = "") -> str:
    """Nested facts as a table of two columns."""
    rows: list[list[Cell]] = []

    def walk(at: str, v: Any, depth: int) -> None:
        if isinstance(v, dict) and v and depth < 6:
            for key, inner in v.items():
                walk(f"{at} {key}".strip(), inner, depth + 1)
        else:
            text = v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)
            rows.append([Cell(at, kind="name"), Cell(text, kind="long")])

    walk(name, value, 0)
    return _table(["", ""], rows, sorts=False, head=False)


def _again(about: Mapping[str, Any], run_dir: Path) -> str:
    command = about.get("command")
    words = [str(w) for w in command] if isinstance(command, list) else []
    if words:
        words[0] = "./vswbench"
    lines = [*(["sudo " + shlex.join(words)] if words else []), f"./vswbench figures "
                                                                f"{shlex.quote('results/' + run_dir.resolve().name)}",
             f"./vswbench report {shlex.quote('results/' + run_dir.resolve().name)}"]
    commit = about.get("versions", {}).get("vswbench") if isinstance(about.get("versions"), dict) else None
    if commit:
        lines.insert(0, f"git checkout {shlex.quote(str(commit).removesuffix('-dirty'))}")
    dirty = "<p>The program had changes that are in no commit.</p>" if str(commit).endswith("-dirty") else ""
    return (f'<section id="again"><h2>Again</h2><p>In a clone of vswbench, after <code>make setup</code>, with the '
            f'scenario files above:</p><pre>{escape(chr(10).join(lines))}</pre>{dirty}</section>')


# ---- pieces --------------------------------------------------------------------------------------------------------

def _table(heads: Sequence[str], body: Sequence[Sequence[Cell]], numbers: Iterable[int] = (), sorts: bool = True,
           head: bool = True) -> str:
    numeric = set(numbers)
    top = "".join(f'<th{" class=n" * (i in numeric)}>{escape(h)}</th>' for i, h in enumerate(heads))

    def field(cell: Cell, i: int) -> str:
        value = f' data-v="{cell.sort!r}"' if cell.sort is not None else ' data-v=""' if i in numeric else ""
        kind = f' class="{cell.kind}"' if cell.kind else ""
        return f"<td{kind}{value}>{escape(cell.text)}</td>"

    lines = "".join("<tr>" + "".join(field(c, i) for i, c in enumerate(row)) + "</tr>\n" for row in body)
    thead = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="scroll"><table{" class=sorts" * sorts}>{thead}<tbody>\n{lines}</tbody></table></div>'


def _class(status: str) -> str:
    return status if status in STATUS else "soft"


def _metric_name(metric: str) -> str:
    """latency_p50_ns@0.50rplus as "latency p50 at 0.50 R+"."""
    name, at, load = metric.partition("@")
    plain = re.sub(r"_(ns|ratio|pps)$", "", name).replace("_", " ")
    text = METRIC_NAMES.get(name, plain)
    return f"{text} at {load_text(load)}" if at else text


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
