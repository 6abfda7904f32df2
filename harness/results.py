# SPDX-License-Identifier: BSD-3-Clause
"""The one reader of results folders: for comparisons, figures, reports, and for going on with a run.

A folder is not trusted: it may be cut off in mid-row as after a power loss, be of another schema version, or lack cells
that were planned. What is sound is read; what is not is left out and named in `warnings`, one line each.
"""

import csv
import json
import math
import re
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import anchor
from harness.errors import BadInput
from harness.scenario import ANCHOR

SCHEMA_VERSION = 1
MOST = 1e20                 # no rate, count or time of a run is as large (2^64 is not)
Row = Mapping[str, str]
# Columns without which a table cannot be read. All others may be missing, as in older runs, or be more, as in newer.
NEEDED = {
    "trials": ("trial_id", "cell_id", "phase", "rx_pps", "status", "flags"),
    "results": ("cell_id", "switch", "topology", "metric", "value", "status", "flags"),
    "latency": ("trial_id", "bin_low_ns", "bin_high_ns", "count"),
    "histograms": ("trial_id", "kind", "bin_low_ns", "bin_high_ns", "count"),
    "series": ("trial_id", "stream", "time_s"),
    "ports": ("cell_id", "port"),
    "nfs": ("trial_id", "cell_id", "guest", "rx_port", "rx_count"),
    "blocks": ("block", "cell_id", "status"),
}
WARNINGS_MAX = 20           # of one table: a file of noise is not told line by line


@dataclass(frozen=True)
class Value:
    """A figure of a cell: of one block, or of the whole run (`block` None). `value` None: there is none, status and
    reason say why. ci_low and ci_high None: not given."""

    metric: str
    block: int | None
    value: float | None
    ci_low: float | None
    ci_high: float | None
    unit: str
    n: int
    status: str
    flags: tuple[str, ...]
    reason: str = ""
    goal: str = ""                  # of a search: "key=value;..."
    repeats: int | None = None      # the suspect block that this one was measured instead of


@dataclass
class Results:
    """A results folder, read. `cells` maps ids to the columns that describe the cell; `about` is run.json, or empty."""

    folder: Path
    about: Mapping[str, Any]
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)            # planned cells of which there is nothing
    warnings: list[str] = field(default_factory=list)
    repeats: dict[int, int] = field(default_factory=dict)       # blocks, and those they were measured instead of
    _values: dict[str, dict[str, dict[int | None, Value]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return printable(str(self.about.get("run_id") or self.folder.resolve().name))[:200]

    @property
    def switches(self) -> list[str]:
        """In the order in which they come."""
        return list(dict.fromkeys(cell["switch"] for cell in self.cells.values() if not is_anchor(cell)))

    def take(self, cell_id: str, block: int, values: Iterable[Value]) -> None:
        """Add figures of a block of a cell."""
        for value in values:
            self._values.setdefault(cell_id, {}).setdefault(value.metric, {})[block] = value

    def metrics(self, cell_id: str) -> list[str]:
        return list(self._values.get(cell_id, {}))

    def blocks(self, cell_id: str, metric: str) -> dict[int, Value]:
        """The figure of every block of the cell that counts. A run without blocks is one block."""
        known = self._values.get(cell_id, {}).get(metric, {})
        counts = self.counting(cell_id)
        by_block = {block: value for block, value in known.items() if block in counts}
        return by_block or ({1: known[None]} if None in known else {})

    def every_block(self, cell_id: str, metric: str) -> dict[int, Value]:
        """As blocks(), with those that were measured again."""
        known = self._values.get(cell_id, {}).get(metric, {})
        return {block: value for block, value in known.items() if block is not None}

    def counting(self, cell_id: str) -> set[int]:
        """The blocks of a cell that count: of suspect ones the repeat."""
        return anchor.counting({block for of_metric in self._values.get(cell_id, {}).values() for block in of_metric
                                if block is not None}, self.repeats)

    @property
    def anchors_pps(self) -> dict[int, float]:
        """What the generator alone reached in each block, those included that were measured again."""
        return {block: v.value for cell_id, cell in self.cells.items() if is_anchor(cell)
                for block, v in self.every_block(cell_id, "rplus_pps").items() if v.value and v.value > 0}

    def summary(self, cell_id: str, metric: str) -> Value | None:
        """The figure of the whole run: as it was recorded, or, where the run did not come so far, the median of its
        blocks."""
        known = self._values.get(cell_id, {}).get(metric, {})
        if None in known:
            return known[None]
        counted = self.blocks(cell_id, metric)
        return summarised(list(counted.values())) if counted else None

    def table(self, name: str) -> Iterator[Row]:
        """The sound rows of `name`.csv, one after the other; the rest goes to `warnings`. Nothing if there is no such
        file."""
        yield from read_table(self.folder / f"{name}.csv", NEEDED.get(name, ()), self.warnings)


def read(folder: Path) -> Results:
    """Read a results folder. BadInput if it is none, or has nothing that can be used."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder: give the results folder of a run")
    found = Results(folder, {})
    found.about = _about(folder, found.warnings)
    if not (folder / "results.csv").exists() and not (folder / "trials.csv").exists():
        raise BadInput(f"{folder}: neither results.csv nor trials.csv is there: is it the results folder of a run?")
    for row in found.table("results"):
        _take_result(found, row)
    _take_trials(found)
    _mark_suspects(found)
    _what_is_missing(found)
    return found


def _about(folder: Path, warnings: list[str]) -> Mapping[str, Any]:
    """run.json, or nothing of it."""
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        warnings.append("run.json is missing: machine, versions and planned cells are not known")
        return {}
    except (OSError, ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        warnings.append("run.json is cut off or damaged: machine, versions and planned cells are not known")
        return {}
    version = about.get("schema_version")
    if version != SCHEMA_VERSION:
        warnings.append(f"run.json is of schema version {version!r}, this is a reader of {SCHEMA_VERSION}: only the "
                        "columns that both know are read")
    if about.get("state") in ("running", "interrupted"):
        warnings.append("the run did not come to its end" + (
            " (or is still running)" if about["state"] == "running" else "") + ": see `vswbench run --resume`")
    return about


def _take_result(found: Results, row: Row) -> None:
    block = whole(row.get("block", ""))
    value, text = number(row["value"]), row["value"].strip()
    if text and value is None:
        found.warnings.append(f"results.csv: {row['cell_id']} {row['metric']}: {text[:40]!r} is no number; left out")
        return
    made = Value(row["metric"], block, value, number(row.get("ci_low", "")), number(row.get("ci_high", "")),
                 row.get("unit", ""), whole(row.get("n", "")) or 0, row["status"], words(row["flags"]),
                 row.get("reason", ""), row.get("goal", ""), whole(row.get("repeats", "")))
    if block is not None and made.repeats is not None:
        found.repeats[block] = made.repeats
    found.cells.setdefault(row["cell_id"], {}).update({k: v for k, v in row.items() if k in CELL_COLUMNS})
    of_metric = found._values.setdefault(row["cell_id"], {}).setdefault(row["metric"], {})
    if block in of_metric and of_metric[block] != made:
        found.warnings.append(f"results.csv: {row['cell_id']} {row['metric']}"
                              f"{'' if block is None else f' block {block}'} comes twice; the last one counts")
    of_metric[block] = made


CELL_COLUMNS = ("switch", "switch_version", "topology", "guest", "nf", "chain_length", "direction", "port_kind",
                "accel", "frame_bytes", "flows", "scenario", "traffic", "idle", "variant", "chain_count")


def _take_trials(found: Results) -> None:
    """R+ of cells and blocks that results.csv knows nothing of: cut off, or lost."""
    rates: dict[tuple[str, int], list[tuple[float, tuple[str, ...]]]] = {}
    rows: dict[str, Row] = {}
    for row in found.table("trials"):
        rate = number(row["rx_pps"])
        if row["phase"] == "rplus" and row["status"] == "ok" and rate is not None:
            rates.setdefault((row["cell_id"], whole(row.get("block", "")) or 1), []).append((rate, words(row["flags"])))
            rows[row["cell_id"]] = row
    without = [(cell, block) for cell, block in rates if not _has(found, cell, block)]
    for cell, block in without:
        values = [rate for rate, _ in rates[cell, block]]
        flags = tuple(dict.fromkeys(flag for _, flags in rates[cell, block] for flag in flags))
        found.cells.setdefault(cell, {k: v for k, v in rows[cell].items() if k in CELL_COLUMNS})
        found._values.setdefault(cell, {}).setdefault("rplus_pps", {})[block] = Value(
            "rplus_pps", block, statistics.median(values), min(values), max(values), "pps", len(values), "ok",
            (*flags, "from_trials"))
        found.warnings.append(f"results.csv has nothing of {cell} block {block}: R+ taken from its "
                              f"{len(values)} trials in trials.csv, which may not be all")


def _has(found: Results, cell: str, block: int) -> bool:
    of_cell = found._values.get(cell, {})
    return any(block in values or (None in values and len(values) == 1) for values in of_cell.values())


def _mark_suspects(found: Results) -> None:
    """Figures of suspect blocks say so: their rows were on disk before anybody could know."""
    suspect = anchor.suspects(found.anchors_pps, found.repeats)
    for cell_id, of_cell in found._values.items():
        for of_metric in of_cell.values():
            for block in set(suspect) & of_metric.keys():
                value = of_metric[block]
                if not is_anchor(found.cells[cell_id]) and anchor.SUSPECT not in value.flags:
                    of_metric[block] = replace(value, flags=(*value.flags, anchor.SUSPECT))


def _what_is_missing(found: Results) -> None:
    planned = found.about.get("cells")
    if isinstance(planned, list):
        found.missing = [printable(cell) for cell in planned if isinstance(cell, str) and cell not in found.cells]
    if found.missing:
        shown = ", ".join(found.missing[:3]) + (", ..." if len(found.missing) > 3 else "")
        found.warnings.append(f"{len(found.missing)} of {len(planned or ())} planned cells were not measured: {shown}")


def summarised(values: Sequence[Value]) -> Value:
    """One figure of those of several blocks, at least one: the median of the sound ones, its 95 % interval (of fewer
    than six blocks: lowest and highest), and all flags."""
    good = sorted(v.value for v in values if v.status == "ok" and v.value is not None)
    flags = tuple(dict.fromkeys(flag for v in values for flag in v.flags))
    first = values[0]
    if not good:
        bad = next((v for v in values if v.status != "ok"), first)
        return Value(first.metric, None, None, None, None, first.unit, 0, bad.status, flags, bad.reason,
                     first.goal)
    low, high = median_interval(good) if len(good) > 1 else (None, None)
    lost = [v for v in values if v.status != "ok"]
    reason = f"{len(lost)} of {len(values)} blocks have no value: {lost[0].reason}" if lost else ""
    return Value(first.metric, None, statistics.median(good), low, high, first.unit, len(good), "ok", flags, reason,
                 first.goal)


def median_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float]:
    """Of the median of independent values, by the binomial distribution of how many lie below it; lowest and highest
    where they are too few for a confidence of 1 - alpha."""
    ordered, n = sorted(values), len(values)
    below, k = 0.0, -1
    while 2 * (below := below + math.comb(n, k + 1) / 2 ** n) <= alpha:
        k += 1
    k = max(k, 0)
    return ordered[k], ordered[n - 1 - k]


def width_ratio(value: Value) -> float:
    """How near to each other the bounds of a search came by its settings, as a ratio: what is nearer cannot be told
    apart. 0 for what was not searched for."""
    pairs = (part.partition("=") for part in value.goal.split(";"))
    said = {key.strip(): number(text) or 0.0 for key, _, text in pairs}
    step = said.get("step_pps" if value.unit == "pps" else "step_frames", 0.0)
    width = said.get("width_ratio") or (step / value.value if value.value and value.value > 0 else 0.0)
    return width if 0 < width < 1 else 0.0


def is_anchor(cell: Mapping[str, str]) -> bool:
    """Is it the cell that watches the machine, and none to compare or draw with the others?"""
    return cell.get("scenario") == ANCHOR


# ---- tables --------------------------------------------------------------------------------------------------------

def read_table(path: Path, needed: Sequence[str], warnings: list[str]) -> Iterator[Row]:
    """The sound rows of a CSV file (RFC 4180 with a header row). A row with another number of fields than the header,
    and a last one without a line end, may be cut off: left out, and named in `warnings`."""
    said = _Warnings(path.name, warnings)
    try:
        file = path.open(newline="", encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        said(f"cannot be read: {error.strerror}")
        return
    with file:
        found = records(file)
        header = _header(found, needed, said)
        for line, record, whole_line in found if header else ():
            if record is None:
                said(f"line {line}: not CSV; left out")
            elif len(record) != len(header):
                said(f"line {line}: cut off or damaged, {len(record)} fields where the header has {len(header)}; left "
                     "out")
            elif not whole_line:
                said(f"line {line}: the last line has no line end, so it may be cut off; left out")
            else:
                yield dict(zip(header, map(printable, record)))
    said.close()


def _header(found: Iterator["_Record"], needed: Sequence[str], said: "_Warnings") -> list[str]:
    _, record, whole_line = next(found, (1, None, False))
    if not record or not whole_line:
        said("has no header row: nothing of it is read")
        return []
    header = [name.strip() for name in record]
    wrong = [name for name in needed if header.count(name) != 1]
    if wrong:
        said(f"lacks the column{'s'[:len(wrong) > 1]} {', '.join(wrong)} (or has it twice): nothing of it is read")
        return []
    return header


_Record = tuple[int, list[str] | None, bool]    # line number; fields, None if it is no CSV; had it a line end?
RECORD_LINES_MAX = 50       # a quoted field may hold line ends; a quote that is damage must not swallow the file


def records(file: Iterator[str]) -> Iterator[_Record]:
    """One record of CSV lines after the other. NULs, of which a power loss leaves whole blocks, become spaces."""
    ahead: deque[str] = deque()
    number_of_line = 0

    def line_at(i: int) -> str | None:
        while len(ahead) <= i:
            if (line := next(file, None)) is None:
                return None
            ahead.append(line.replace("\0", " "))
        return ahead[i]

    while (text := line_at(0)) is not None:
        taken, record = 1, _parsed(text)
        while record is None and taken < RECORD_LINES_MAX and (more := line_at(taken)) is not None:
            text, taken = text + more, taken + 1
            record = _parsed(text)
        taken = 1 if record is None else taken
        if record != []:
            yield number_of_line + 1, record, ahead[taken - 1].endswith(("\n", "\r"))
        for _ in range(taken):
            ahead.popleft()
        number_of_line += taken


def _parsed(text: str) -> list[str] | None:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return None


class _Warnings:
    """Warnings of one table, not more than some."""

    def __init__(self, name: str, warnings: list[str]) -> None:
        self._name, self._warnings, self._count = name, warnings, 0

    def __call__(self, text: str) -> None:
        self._count += 1
        line = f"{self._name} {text}" if text.startswith("line ") else f"{self._name}: {text}"
        if self._count <= WARNINGS_MAX and line not in self._warnings:
            self._warnings.append(line)

    def close(self) -> None:
        if self._count > WARNINGS_MAX:
            self._warnings.append(f"{self._name}: {self._count - WARNINGS_MAX} more rows are left out")


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Without characters that are commands to a terminal, or that turn the direction of what stands behind them."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def number(text: str) -> float | None:
    """A decimal number that can be, or None. Not nan, inf, 1e308, 1_000 or 0x10."""
    text = text.strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) <= MOST else None


def whole(text: str) -> int | None:
    """A number of at most nine digits, without sign, or None."""
    text = text.strip()
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def words(text: str) -> tuple[str, ...]:
    """A `;`-separated list."""
    return tuple(word for word in text.split(";") if word)
