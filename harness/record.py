# SPDX-License-Identifier: BSD-3-Clause
"""A run on disk: trials.csv, results.csv, latency.csv, histograms.csv, series.csv, ports.csv, ledger.csv, nfs.csv,
blocks.csv, run.json, logs/. Every row is flushed the moment it is known, so that a run that dies keeps what it
measured. The row of a cell in blocks.csv comes last: what has none there was not finished, and is measured again when
the run is continued (resume.py).
"""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import cost, nfs
from harness.blocks import Turn
from harness.cell import Cell
from harness.errors import CannotRun
from harness.hops import Hop
from harness.ledger import Place
from harness.results import SCHEMA_VERSION
from harness.search import Result, headline
from harness.switches.base import PortCounters
from harness.trial import Trial

__all__ = ["SCHEMA_VERSION", "Record", "Table"]
CELL = ("switch", "switch_version", "topology", "guest", "nf", "chain_length", "direction", "port_kind", "accel",
        "frame_bytes", "flows")
TRIALS = ("run_id", "trial_id", "cell_id", "phase", "block", "started_utc", *CELL, "intended_pps", "intended_s",
          "sent_count", "received_count", "lost_count", "unsent_count", "duplicate_count", "reordered_count", "rx_pps",
          "loss_ratio", "latency_min_ns", "latency_p50_ns", "latency_p99_ns", "latency_p999_ns", "latency_max_ns",
          "status", "flags", "stale_count", "foreign_count", "gap_max_ns", "stall_ns", "involuntary_switches_count",
          "scenario", "reason", "traffic", "built_count", "late_count", "skipped_count", "tx_full_ns", "learning_count",
          "crossed_flows_count", "latency_intended_p50_ns", "latency_intended_p99_ns", "pdv_p99_ns", "pdv_p999_ns",
          "ipdv_p50_ns", "ipdv_p99_ns", "departure_gap_p50_ns", "departure_gap_p99_ns", "back_to_back_ratio",
          "run_delay_ns", "steal_ns", "voluntary_switches_count", "imissed_count", "ierrors_count", "rx_nombuf_count",
          "idle_ratio", "cpu", "replay_gap_error_p50_ns", "replay_gap_error_p99_ns",
          "reorder_extent_max_count", *cost.COLUMNS, "skew_s", "idle", "variant", "switch_sha256",
          "chain_count")
RESULTS = ("run_id", "cell_id", *CELL, "metric", "value", "ci_low", "ci_high", "unit", "n", "status", "flags",
           "scenario", "reason", "traffic", "block", "goal", "idle", "variant", "repeats", "switch_sha256",
           "chain_count")
LATENCY = ("trial_id", "bin_low_ns", "bin_high_ns", "count")
HISTOGRAMS = ("trial_id", "kind", "bin_low_ns", "bin_high_ns", "count")     # all but latency
SERIES = ("trial_id", "stream", "time_s", "sent_count", "received_count", "received_bytes")
PORTS = ("run_id", "cell_id", "switch", "port", "rx_count", "tx_count", "dropped_count", "block")
LEDGER = ("run_id", "cell_id", "block", "direction", "place", "in_count", "out_count", "lost_count")
# One row for each hop of each direction of a trial through nfs; the last one is whoever meters.
NFS = ("run_id", "trial_id", "cell_id", "block", "guest", "nf", "direction", "rx_port", "offered_count", "rx_count",
       "lost_before_count", "missed_count", "tx_count", "tx_full_count", *(f"dropped_{d}_count" for d in nfs.DROPS),
       "cycles_per_packet", "nf_cycles_per_packet", "cpu_ratio")
BLOCKS = ("run_id", "block", "position", "cell_id", "started_utc", "ended_utc", "status", "reason", "load_average",
          "repeats")
TABLES = {"trials": TRIALS, "results": RESULTS, "latency": LATENCY, "histograms": HISTOGRAMS, "series": SERIES,
          "ports": PORTS, "ledger": LEDGER, "nfs": NFS, "blocks": BLOCKS}


class Table:
    """An append-only CSV file with a header row, flushed per row (RFC 4180; empty = missing)."""

    def __init__(self, path: Path, columns: Sequence[str], go_on: bool = False) -> None:
        """`go_on`: the file is there and is added to."""
        self._columns = columns
        self._file = path.open("a" if go_on else "x", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, columns, restval="", extrasaction="raise", lineterminator="\r\n")
        if not go_on:
            self._writer.writeheader()
        self._file.flush()

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._writer.writerow({key: _text(value) for key, value in row.items()})
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(round(value, 9))
    if isinstance(value, (tuple, list)):
        return ";".join(map(str, value))
    return value


class Record:
    """The results folder of one run. begin() says in which block the rows that follow are."""

    def __init__(self, folder: Path, run_id: str, last_trial: int | None = None) -> None:
        """`last_trial`: the folder is there and is added to; its last trial had this number."""
        self.folder = folder
        self.run_id = run_id
        self.logs = folder / "logs"
        self._trial_count = last_trial or 0
        self._block, self._of_several = 1, False
        self.hashes: Mapping[str, str] = {}     # one of each switch's files, by the switch's name
        self._repeats: int | None = None
        try:
            self.logs.mkdir(parents=True, exist_ok=last_trial is not None)
            self._tables = {name: Table(folder / f"{name}.csv", columns, last_trial is not None)
                            for name, columns in TABLES.items()}
        except OSError as error:
            raise CannotRun(f"results cannot be written in {folder}: {error.strerror}: give another folder with --out"
                            ) from None

    def close(self) -> None:
        for table in self._tables.values():
            table.close()

    def begin(self, block: int, of_several: bool, repeats: int | None = None) -> None:
        """What comes now is of this block, from 1 on; a run of one block only does not tell it in results.csv.
        `repeats`: the suspect block that it is measured instead of."""
        self._block, self._of_several, self._repeats = block, of_several, repeats

    def log_folder(self, cell: Cell) -> Path:
        """Of the cell in this block, new. One that is there is of a try that did not come to its end: it is renamed."""
        folder = self.logs / cell.id / (f"block{self._block}" if self._of_several else "")
        if folder.exists():
            tries = sum(1 for _ in folder.parent.glob(f"{folder.name}.unfinished*"))
            folder.rename(folder.with_name(f"{folder.name}.unfinished{tries + 1}"))
        folder.mkdir(parents=True)
        return folder

    def write_json(self, name: str, value: Any) -> None:
        """run.json and the like, replaced as a whole."""
        path = self.folder / name
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value, indent=1, sort_keys=True, default=_jsonable) + "\n", encoding="utf-8")
        with part.open("rb") as file:
            os.fsync(file.fileno())     # else a power loss may leave an empty file under the name
        part.replace(path)

    def trial(self, cell: Cell, version: str, accel: str, trial: Trial) -> None:
        self._trial_count += 1
        trial_id = f"{self._trial_count:05d}"
        row = {
            "run_id": self.run_id, "trial_id": trial_id, "cell_id": cell.id, "phase": trial.request.phase,
            "block": self._block, "started_utc": trial.started_utc, **cell_columns(cell, version, accel),
            "intended_pps": trial.intended_pps, "intended_s": trial.request.duration_s, "sent_count": trial.sent_count,
            "received_count": trial.received_count, "lost_count": trial.lost_count,
            "unsent_count": trial.unsent_count, "duplicate_count": trial.duplicate_count,
            "reordered_count": trial.reordered_count, "rx_pps": trial.rx_pps, "loss_ratio": trial.loss_ratio,
            "latency_min_ns": trial.latency_min_ns, "latency_p50_ns": trial.latency_ns(0.50),
            "latency_p99_ns": trial.latency_ns(0.99), "latency_p999_ns": trial.latency_ns(0.999),
            "latency_max_ns": trial.latency_max_ns, "status": trial.status, "flags": trial.flags,
            "stale_count": trial.stale_count, "foreign_count": trial.foreign_count,
            "gap_max_ns": trial.tester.get("gap_max_ns"), "stall_ns": trial.tester.get("stall_ns"),
            "involuntary_switches_count": trial.tester.get("involuntary_switches"), "scenario": cell.scenario,
            **_more(trial), "switch_sha256": self.hashes.get(cell.switch.name),
        }
        self._tables["trials"].rows([row])
        self._tables["latency"].rows({"trial_id": trial_id, "bin_low_ns": low, "bin_high_ns": high, "count": count}
                                     for low, high, count in trial.bins)
        self._tables["histograms"].rows(
            {"trial_id": trial_id, "kind": kind, "bin_low_ns": low, "bin_high_ns": high, "count": count}
            for kind, histogram in trial.histograms.items() if kind != "latency" for low, high, count in histogram.bins)
        self._tables["series"].rows({"trial_id": trial_id, **asdict(point)} for point in trial.series)
        self._tables["nfs"].rows(
            {"run_id": self.run_id, "trial_id": trial_id, "cell_id": cell.id, "block": self._block, **_hop(hop)}
            for hop in trial.hops)

    def results(self, cell: Cell, version: str, accel: str, results: Iterable[Result], summary: bool = False) -> None:
        """Of the cell in this block; `summary`: of all its blocks."""
        self._tables["results"].rows({
            "run_id": self.run_id, "cell_id": cell.id, **cell_columns(cell, version, accel), "metric": r.metric,
            "value": r.value, "ci_low": r.ci_low, "ci_high": r.ci_high, "unit": r.unit, "n": r.n, "status": r.status,
            "flags": r.flags, "scenario": cell.scenario, "goal": r.goal,
            "block": None if summary else self._block_column, "repeats": None if summary else self._repeats,
            "switch_sha256": self.hashes.get(cell.switch.name)}
            for r in results)

    def no_result(self, cell: Cell, version: str, status: str, reason: str, flags: Sequence[str]) -> None:
        """A cell without figures: `status` unsupported or failed, with the reason."""
        self._tables["results"].rows([{
            "run_id": self.run_id, "cell_id": cell.id, **cell_columns(cell, version, ""),
            "metric": headline(cell.search)[0], "unit": "pps", "n": 0, "status": status, "flags": flags,
            "scenario": cell.scenario, "reason": reason, "block": self._block_column, "repeats": self._repeats,
            "switch_sha256": self.hashes.get(cell.switch.name)}])

    def ports(self, cell: Cell, counters: Iterable[PortCounters]) -> None:
        self._tables["ports"].rows({"run_id": self.run_id, "cell_id": cell.id, "switch": cell.switch.name, **asdict(c),
                                    "block": self._block} for c in counters)

    def ledger(self, cell: Cell, places: Iterable[Place]) -> None:
        """Where frames of the cell were lost."""
        self._tables["ledger"].rows({"run_id": self.run_id, "cell_id": cell.id, "block": self._block, **asdict(place),
                                     "lost_count": place.lost_count} for place in places)

    def turn(self, turn: Turn, started_utc: str, ended_utc: str, status: str, reason: str) -> None:
        """A cell was measured in a block, or failed: the last row of it."""
        self._tables["blocks"].rows([{
            "run_id": self.run_id, "block": turn.block, "position": turn.position, "cell_id": turn.cell.id,
            "started_utc": started_utc, "ended_utc": ended_utc, "status": status, "reason": reason,
            "load_average": os.getloadavg()[0], "repeats": turn.repeats}])

    @property
    def _block_column(self) -> int | None:
        return self._block if self._of_several else None


def cell_columns(cell: Cell, version: str, accel: str) -> dict[str, Any]:
    """The columns CELL, and traffic."""
    return {"switch": cell.switch.name, "switch_version": version, "topology": cell.topology.name, "guest": cell.guest,
            "nf": cell.nf, "chain_length": cell.chain_length, "direction": cell.direction, "port_kind": cell.port_kind,
            "accel": accel, "frame_bytes": None if cell.replays else cell.frame_bytes,
            "flows": None if cell.replays else cell.flows, "traffic": cell.traffic.text if cell.traffic else "",
            "idle": "" if cell.idle == "auto" else cell.idle, "variant": cell.variant,
            "chain_count": cell.chain_count}


def _hop(hop: Hop) -> dict[str, Any]:
    row = {**asdict(hop), "lost_before_count": hop.lost_before_count}
    return row | {f"dropped_{reason}_count": count for reason, count in row.pop("dropped").items()}


def _more(trial: Trial) -> dict[str, Any]:
    """The columns that came later."""
    quantiles = {f"{kind}_{name}_ns": trial.quantile_ns(kind, q)
                 for kind in ("latency_intended", "ipdv", "departure_gap", "replay_gap_error")
                 for name, q in (("p50", 0.50), ("p99", 0.99))}
    return {
        **trial.counts, **quantiles, "pdv_p99_ns": trial.pdv_ns(0.99), "pdv_p999_ns": trial.pdv_ns(0.999),
        "back_to_back_ratio": trial.back_to_back_ratio, "run_delay_ns": trial.tester.get("run_delay_ns"),
        "steal_ns": trial.tester.get("steal_ns"), "skew_s": trial.skew_s,
        "voluntary_switches_count": trial.tester.get("voluntary_switches"),
        "imissed_count": trial.tester.get("imissed"), "ierrors_count": trial.tester.get("ierrors"),
        "rx_nombuf_count": trial.tester.get("rx_nombuf"), "idle_ratio": trial.tester.get("idle_ratio"),
        "cpu": trial.tester.get("cpu"), **(trial.cost.values if trial.cost else {}),
    }


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else asdict(value)
