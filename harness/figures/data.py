# SPDX-License-Identifier: BSD-3-Clause
"""What a run has, as figures ask for it: rows of its CSV files, its calibration, its scenario. Nothing is trusted, and
what is damaged is named in `warnings`. Reads files through the function that it is given.
"""

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from harness import anchor
from harness.figures.cells import Key, Place, absent_note, belongs, place
from harness.figures.reading import FigureError, NotDrawn, Row, number, read_results, whole
from harness.results import SCHEMA_VERSION
from harness.scenario import ANCHOR      # whose cells watch the machine; no figure but their own shows them
from harness.topology import ceiling_direction

Bins = list[tuple[float, float, int]]
HEAD = ("run_id", "switch", "topology", "guest", "chain_length", "direction", "frame_bytes", "port_kind", "accel", "nf",
        "flows", "status", "flags")
RESULTS = (*HEAD, "metric", "value", "ci_low", "ci_high", "unit", "n")
ABSENT = {"unsupported": "n/a", "failed": "failed", "invalid": "invalid"}
TRIALS = (*HEAD, "trial_id", "cell_id", "phase", "block", "started_utc", "intended_pps", "sent_count", "received_count",
          "unsent_count", "rx_pps")


class Value(NamedTuple):
    """A row of results.csv as numbers. `value` is None where the row has none; `drawn` as in throughput.Bar."""

    row: Row
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    drawn: str


class Data:
    """A run. read(name) gives the text of a file of its folder, or None where it is not there."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self.read = read
        self.warnings: list[str] = []
        self._warned: set[str] = set()
        self._histograms: dict[frozenset[str], dict[str, Bins]] = {}

    def table(self, file: str, columns: Sequence[str]) -> list[Row]:
        """All sound rows of a CSV file; NotDrawn if the run has no such file."""
        text = self.read(file)
        if text is None:
            raise NotDrawn(f"the run has no {file}")
        found = read_results(text, columns, file)
        self.warn(found.warnings)
        return found.rows

    def warn(self, lines: Sequence[str]) -> None:
        """Add warnings; of a line of a file only the first (several figures read one file)."""
        for line in lines:
            about = line.partition(":")[0] if " line " in line.partition(":")[0] else line
            if about not in self._warned:
                self._warned.add(about)
                self.warnings.append(line)

    @cached_property
    def results(self) -> list[Row]:
        """Rows of results.csv that stand for a whole cell, not for one of its blocks."""
        return self._whole_cells(self._every_result)

    def absent(self, key: Key, drawn: Collection[Place], names: Sequence[str], vary: str = "") -> str:
        """What of a panel's cells is not drawn in it and why, as absent_note() says it. `drawn`: the cells that are;
        names: the figure's switches; vary: the field of Place in which the cells of a switch differ in a panel."""
        try:
            rows = [row for row in self.results if place(row).sound and belongs(place(row), key)]
        except FigureError:         # without results.csv nothing is known of them
            return ""
        there = {(p.switch, getattr(p, vary, None)) for p in drawn}
        known = there | {(p.switch, getattr(p, vary, None)) for p in map(place, rows)}
        has_some = {switch for switch, _ in there}
        items = [(state, p.switch, at) for row in rows if (state := ABSENT.get(row["status"]))
                 and (p := place(row)) and (p.switch, (at := getattr(p, vary, None))) not in there]
        every = dict.fromkeys(at for _, at in sorted(known, key=lambda k: k[1] or 0))
        items += [("missing", switch, at) for at in every for switch in names if (switch, at) not in known]
        return absent_note((state, switch, str(at or "") if switch in has_some else "")
                           for state, switch, at in items)

    @cached_property
    def _every_result(self) -> list[Row]:
        _ = self.about          # which warns of another schema version
        return self._counting([row for row in self._result_rows if row.get("scenario") != ANCHOR])

    @cached_property
    def _result_rows(self) -> list[Row]:
        return self.table("results.csv", RESULTS)

    @cached_property
    def repeats(self) -> dict[int, int]:
        """Blocks, and the suspect ones that they were measured instead of."""
        try:
            rows = self._result_rows
        except FigureError:
            return {}
        return {block: old for row in rows
                if (block := whole(row.get("block"))) and (old := whole(row.get("repeats")))}

    def _counting(self, rows: Sequence[Row]) -> list[Row]:
        """Without those of suspect blocks that were measured again."""
        if not self.repeats:
            return list(rows)
        blocks: dict[str, set[int]] = {}
        for row in rows:
            blocks.setdefault(row.get("cell_id"), set()).add(whole(row.get("block")) or 0)
        counts = {cell: anchor.counting(of_cell, self.repeats) for cell, of_cell in blocks.items()}
        return [row for row in rows if (whole(row.get("block")) or 0) in counts[row.get("cell_id")]]

    @cached_property
    def blocks(self) -> list[Row]:
        """Rows of results.csv that are of one block."""
        return [row for row in self._every_result if row.get("block")]

    @cached_property
    def trials(self) -> list[Row]:
        """Rows of trials.csv, but those of anchor cells and of suspect blocks that were measured again."""
        return self._counting([row for row in self.every_trial if row.get("scenario") != ANCHOR])

    @cached_property
    def every_trial(self) -> list[Row]:
        """Rows of trials.csv."""
        return self.table("trials.csv", TRIALS)

    def rows_of(self, metric: str) -> list[Row]:
        """The cells' rows of one metric, and of cells of the same scenarios that gave nothing at all the row that says
        so, whatever its metric. NotDrawn where no cell has the metric."""
        rows = [row for row in self.results if row["metric"] == metric]
        if not rows:
            raise NotDrawn(f"results.csv has no row of metric {metric}")
        has = {place(row) for row in rows}
        scenarios = {row.get("scenario") for row in rows}
        return rows + [row for row in self.results if row["status"] in ("failed", "unsupported")
                       and place(row) not in has and row.get("scenario") in scenarios]

    def values(self, metric: str) -> list[Value]:
        """rows_of(metric) as numbers, but rows that are damaged, which are named."""
        return [value for row in self.rows_of(metric) if (value := self._value(row)) is not None]

    def metrics(self, prefix: str) -> list[str]:
        """The metrics there are with this beginning, as the file has them."""
        return list(dict.fromkeys(row["metric"] for row in self.results if row["metric"].startswith(prefix)))

    def _value(self, row: Row) -> Value | None:
        drawn = {"ok": "ok", "invalid": "invalid", "failed": "failed", "unsupported": "n/a"}.get(row["status"])
        if drawn is None or not place(row).sound:
            self.warn([f"{row.file} line {row.line}: status, frame_bytes or chain_length cannot be read; left out"])
            return None
        value = number(row["value"]) if drawn in ("ok", "invalid") else None
        if value is None and drawn == "ok":
            if row["value"]:
                self.warn([f"{row.file} line {row.line}: value is {row['value'][:40]!r}, not a number; left out"])
            return None         # a percentile without enough samples: nothing to draw, and nothing wrong
        if value is not None and value < 0:
            self.warn([f"{row.file} line {row.line}: value is below 0; left out"])
            return None
        low, high = number(row["ci_low"]), number(row["ci_high"])
        if low is None or high is None or value is None or not 0 <= low <= value <= high:
            low = high = None
        return Value(row, value, low, high, whole(row["n"]), drawn)

    def _whole_cells(self, rows: Sequence[Row]) -> list[Row]:
        """Summary rows; of a cell that has rows of blocks only (its run was stopped) the median of these; of one whose
        blocks all failed, or were not measured at all, one row that says so."""
        summary = [row for row in rows if not row.get("block")]
        has = {(place(row), row["metric"]) for row in summary}
        left: dict[Any, list[Row]] = {}
        absent: dict[Place, Row] = {}         # cells of which no block has anything: failed, or n/a
        for row in rows:
            if row.get("block") and (key := (place(row), row["metric"])) not in has:
                left.setdefault(key, []).append(row)
        stopped = 0
        for of_cell in left.values():
            values = [v for row in of_cell if row["status"] == "ok" and (v := number(row["value"])) is not None]
            first = of_cell[0]
            if not values:
                absent.setdefault(_cell(first), Row(first.line, {**first.fields, "block": ""}, first.file))
                continue
            stopped += 1
            flags = dict.fromkeys(f for row in of_cell for f in row["flags"].split(";") if f)
            summary.append(Row(first.line, {**first.fields, "value": repr(statistics.median(values)), "status": "ok",
                                            "ci_low": repr(min(values)), "ci_high": repr(max(values)), "block": "",
                                            "n": str(len(values)), "flags": ";".join(flags)}, first.file))
        known = {_cell(row) for row in summary}
        summary += [row for at, row in absent.items() if at not in known]
        if stopped:
            self.warn([f"results.csv has no summary row of {stopped} figures (was the run stopped?): the median of "
                       "their blocks is drawn, with the smallest and the largest"])
        return summary

    def by_blocks(self, metric: str) -> bool:
        """Values of this metric are medians over blocks, not over trials."""
        return any(row["metric"] == metric for row in self.blocks)

    def histograms(self, wanted: Collection[str]) -> dict[str, Bins]:
        """Latency histograms by trial_id, of the trials named; read once for all figures that ask for the same."""
        key = frozenset(wanted)
        if key not in self._histograms:
            self._histograms[key] = self._read_histograms(key)
        return self._histograms[key]

    def _read_histograms(self, wanted: Collection[str]) -> dict[str, Bins]:
        """Rows that make no sense are left out and counted."""
        text = self.read("latency.csv")
        if text is None:
            raise NotDrawn("the run has no latency.csv")
        found: dict[str, Bins] = {}
        bad = 0
        reader = csv.reader(io.StringIO(text, newline=""))
        columns = ("trial_id", "bin_low_ns", "bin_high_ns", "count")
        try:
            header = next(reader, [])
            if any(header.count(name) != 1 for name in columns):
                raise NotDrawn("latency.csv lacks one of the columns " + ", ".join(columns))
            at = [header.index(name) for name in columns]
            for record in reader:
                if len(record) != len(header):
                    bad += 1
                elif record[at[0]] in wanted:
                    low, high, count = number(record[at[1]]), number(record[at[2]]), whole(record[at[3]])
                    if low is None or high is None or count is None or not 0 <= low < high:
                        bad += 1
                    else:
                        found.setdefault(record[at[0]], []).append((low, high, count))
        except csv.Error:
            bad += 1
        if bad:
            self.warn([f"latency.csv: {bad} rows are cut off or damaged; left out"])
        return found

    def ceiling_pps(self, port_kind: str, direction: str, frame_bytes: int) -> float | None:
        """The tester's own rate on such ports, from the run's calibration.json; only of a size that was measured."""
        for point in self._points:
            if (point.get("port_kind"), point.get("direction"), point.get("frame_bytes")) == (
                    port_kind, ceiling_direction(direction), frame_bytes):
                rate = point.get("max_pps")
                is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
                good = is_number and math.isfinite(rate) and rate > 0
                return float(rate) if good else None
        return None

    @cached_property
    def _points(self) -> list[Mapping[str, Any]]:
        content = self._json("calibration.json")
        points = content.get("points") or content.get("rows") if isinstance(content, dict) else None
        return [p for p in points if isinstance(p, dict)] if isinstance(points, list) else []

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """run.json; empty where it is not there or damaged."""
        content = self._json("run.json")
        about = content if isinstance(content, dict) else {}
        version = about.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            self.warn([f"run.json is of schema version {str(version)[:20]}, this is a reader of {SCHEMA_VERSION}: only "
                       "the columns that both know are read"])
        return about

    def _json(self, file: str) -> Any:
        text = self.read(file)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            self.warn([f"{file} is damaged: what it says is missing from the figures"])
            return None

    def loss_goal(self, metric: str) -> float | None:
        """The loss ratio that a search of this metric aimed at, from the column `goal` ("loss_ratio=0.005;..."); None
        where rows do not say or differ."""
        found = {goal for row in self.results if row["metric"] == metric and row["status"] == "ok"
                 and (goal := loss_ratio_of(row.get("goal"))) is not None}
        return found.pop() if len(found) == 1 else None


def _cell(row: Row) -> Place:
    """Its place, whatever accelerated it: a row of a failure does not say that."""
    return place(row)._replace(accel="")


def loss_ratio_of(goal: str) -> float | None:
    """The loss ratio that a search aimed at, of a column `goal`; None where it says none."""
    pairs = (part.partition("=") for part in goal.split(";"))
    return next((number(value) for key, _, value in pairs if key.strip() == "loss_ratio"), None)
