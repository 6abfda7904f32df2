# SPDX-License-Identifier: BSD-3-Clause
"""Results on disk: the columns that other tools rely on, RFC 4180, and rows that are there once they are known."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.cell import Cell
from harness.cost import COLUMNS, Seen, cost
from harness.record import Record, Table
from harness.search import Result
from harness.switches.base import PortCounters
from harness.tests.support import cells_of_text, direction, made, seeded

# What is promised. More columns may follow; none is renamed without a new schema_version.
PROMISED = {
    "trials.csv": ["run_id", "trial_id", "cell_id", "phase", "block", "started_utc", "switch", "switch_version",
                   "topology",
                   "guest", "nf", "chain_length", "direction", "port_kind", "accel", "frame_bytes", "flows",
                   "intended_pps",
                   "intended_s", "sent_count", "received_count", "lost_count", "unsent_count", "duplicate_count",
                   "reordered_count", "rx_pps", "loss_ratio", "latency_min_ns", "latency_p50_ns", "latency_p99_ns",
                   "latency_p999_ns", "latency_max_ns", "status", "flags"],
    "results.csv": ["run_id", "cell_id", "switch", "switch_version", "topology", "guest", "nf", "chain_length",
                    "direction",
                    "port_kind", "accel", "frame_bytes", "flows", "metric", "value", "ci_low", "ci_high", "unit", "n",
                    "status", "flags"],
    "latency.csv": ["trial_id", "bin_low_ns", "bin_high_ns", "count"],
}
EVIL = ['a,b', 'say "no"', "two\nlines", "two\r\nlines", "\r", '"', '""', ",", " space ", "ümläut", "", "=1+1", "\t",
        "'"]


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return cells_of_text(tmp_path, '[matrix]\ntopology = "loopback"\nguest = "process"', switches=["testpmd"])[0]


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Record]:
    one = Record(tmp_path / "run", "run-1")
    yield one
    one.close()


def parse(data: bytes) -> list[list[str]]:
    """RFC 4180, letter by letter; anything it does not allow is an error."""
    text, rows, row, at = data.decode("utf-8"), [], [], 0
    while at < len(text):
        if text[at] == '"':
            field, at = "", at + 1
            while True:
                end = text.index('"', at)
                field += text[at:end]
                if text[end + 1:end + 2] != '"':
                    at = end + 1
                    break
                field, at = field + '"', end + 2
        else:
            end = min(i for i in (text.find(",", at), text.find("\r\n", at)) if i >= 0)
            field, at = text[at:end], end
            assert not set(field) & set('"\r\n'), f"a bare field with {field!r}"
        row.append(field)
        if text.startswith("\r\n", at):
            rows, row, at = [*rows, row], [], at + 2
        else:
            assert text[at] == ",", f"{text[at]!r} behind a field"
            at += 1
    assert row == [], "the last line has no end"
    return rows


def rows_of(path: Path) -> list[dict[str, str]]:
    head, *rows = parse(path.read_bytes())
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row)) for row in rows]


# ---- columns -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_columns_come_first_and_in_order(name: str, rec: Record) -> None:
    head = parse((rec.folder / name).read_bytes())[0]
    assert head[:len(PROMISED[name])] == PROMISED[name]
    assert len(set(head)) == len(head)


def test_units_stand_in_every_name_of_a_quantity(rec: Record) -> None:
    plain = {"n", "value", "ci_low", "ci_high", "unit", "count", "flows", "chain_length", "block"}
    for name in PROMISED:
        for column in parse((rec.folder / name).read_bytes())[0]:
            words = {"run_id", "trial_id", "cell_id", "phase", "started_utc", "switch", "switch_version", "topology",
                     "guest",
                     "nf", "direction", "port_kind", "accel", "metric", "status", "flags", "scenario", "reason",
                     "traffic", "cpu", "goal", "idle", "variant", "repeats", "switch_sha256"}
            assert column in plain | words or column.endswith(("_pps", "_bps", "_ns", "_s", "_bytes", "_ratio",
                                                               "_count", "_hz", "_per_packet")), column


# ---- RFC 4180 ------------------------------------------------------------------------------------------------------

def test_values_of_every_kind_come_back_as_they_went_in(tmp_path: Path) -> None:
    r = seeded()
    table = Table(tmp_path / "t.csv", ("a", "b", "c"))
    rows = [dict(zip("abc", r.choices(EVIL, k=3))) for _ in range(200)]
    table.rows(rows)
    table.close()
    assert rows_of(tmp_path / "t.csv") == rows
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file, strict=True)) == rows


def test_missing_is_empty_and_zero_is_zero(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.csv", ("a", "b", "c", "d"))
    table.rows([{"a": None, "b": 0, "c": 0.0}])
    table.close()
    assert rows_of(tmp_path / "t.csv") == [{"a": "", "b": "0", "c": "0.0", "d": ""}]


def test_several_flags_are_joined_by_semicolons(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.csv", ("flags",))
    table.rows([{"flags": ("oversubscribed", "tcg")}, {"flags": ()}])
    table.close()
    assert [row["flags"] for row in rows_of(tmp_path / "t.csv")] == ["oversubscribed;tcg", ""]


def test_a_column_nobody_knows_is_an_error(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.csv", ("a",))
    with pytest.raises(ValueError):
        table.rows([{"b": 1}])
    table.close()


def test_numbers_keep_what_matters_of_them(tmp_path: Path) -> None:
    r = seeded()
    values = [r.uniform(0, 10.0 ** r.randint(-6, 9)) for _ in range(200)] + [10**18, 0.1, 2.5802e-05]
    table = Table(tmp_path / "t.csv", ("v",))
    table.rows({"v": v} for v in values)
    table.close()
    for text, value in zip((row["v"] for row in rows_of(tmp_path / "t.csv")), values, strict=True):
        assert float(text) == pytest.approx(value, rel=1e-6, abs=1e-9)


# ---- on disk at once -----------------------------------------------------------------------------------------------

def test_every_row_is_there_the_moment_it_is_known(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.csv", ("a",))
    sizes = [os.path.getsize(tmp_path / "t.csv")]
    assert sizes == [3]                 # the header row too
    for i in range(5):
        table.rows([{"a": i}])
        assert (tmp_path / "t.csv").read_bytes().endswith(f"{i}\r\n".encode())
    table.close()


def test_a_table_only_ever_grows(tmp_path: Path) -> None:
    table, before = Table(tmp_path / "t.csv", ("a", "b")), b""
    for i in range(20):
        table.rows([{"a": EVIL[i % len(EVIL)], "b": i}])
        now = (tmp_path / "t.csv").read_bytes()
        assert now.startswith(before) and len(now) > len(before)
        before = now
    table.close()


def test_an_old_table_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("precious")
    with pytest.raises(FileExistsError):
        Table(tmp_path / "t.csv", ("a",))
    assert (tmp_path / "t.csv").read_text() == "precious"


def test_a_trial_is_on_disk_with_its_histogram_right_after(rec: Record, cell: Cell) -> None:
    latency = {"min_ns": 5, "max_ns": 9, "bins": [[5, 6, 40], [8, 10, 60]]}
    rec.trial(cell, "1.0", "tcg", made([direction(120, 100, intended=130, full=1, latency=latency)], rate_pps=130.0))
    [row] = rows_of(rec.folder / "trials.csv")
    assert row["sent_count"] == "120" and row["received_count"] == "100" and row["lost_count"] == "20"
    assert row["unsent_count"] == "10" and row["flags"] == "backpressure" and row["status"] == "ok"
    assert row["cell_id"] == cell.id and row["run_id"] == "run-1" and row["accel"] == "tcg"
    assert (row["latency_min_ns"], row["latency_max_ns"], row["latency_p99_ns"]) == ("5", "9", "")
    bins = rows_of(rec.folder / "latency.csv")
    assert [(b["trial_id"], b["bin_low_ns"], b["bin_high_ns"], b["count"]) for b in bins] == [
        (row["trial_id"], "5", "6", "40"), (row["trial_id"], "8", "10", "60")]


def test_what_came_later_stands_in_the_last_columns_and_in_tables_of_its_own(rec: Record, cell: Cell) -> None:
    def hist(ns: int) -> dict[str, Any]:
        return {"count": 2000, "min_ns": ns, "max_ns": ns, "sum_ns": ns, "bins": [[ns, ns + 1, 2000]]}
    sender = {"built_count": 2001, "late_count": 4, "skipped_count": 5, "tx_full_ns": 6, "departure_gap": hist(1000),
              "lateness": hist(1), "sent_series": [[2000, 120_000]]}
    loops = [{"gap_max_ns": 1, "stall_ns": 0, "idle_ratio": 0.5, "cpu": 1, "run_delay_ns": 7, "voluntary_switches": 8}]
    rec.trial(cell, "1.0", "", made([direction(
        2000, 2000, intended=2000, sender=sender, latency=hist(100), latency_intended=hist(150), ipdv=hist(3),
        learning_count=9, crossed_flows_count=0, series=[[2000, 120_000]])], rate_pps=1e6, loops=loops, interval_s=1,
        skew_s=0.002))
    [row] = rows_of(rec.folder / "trials.csv")
    later = {key: row[key] for key in record.TRIALS[record.TRIALS.index("traffic"):]}
    assert {key: value for key, value in later.items() if value != ""} == {
        "built_count": "2001", "late_count": "4", "skipped_count": "5", "tx_full_ns": "6",
        "learning_count": "9", "crossed_flows_count": "0", "latency_intended_p50_ns": "150",
        "latency_intended_p99_ns": "150", "pdv_p99_ns": "0", "ipdv_p50_ns": "3", "ipdv_p99_ns": "3",
        "departure_gap_p50_ns": "1000", "departure_gap_p99_ns": "1000", "back_to_back_ratio": "0.0",
        "run_delay_ns": "7", "voluntary_switches_count": "8", "imissed_count": "0", "idle_ratio": "0.5", "cpu": "1",
        "skew_s": "0.002", "chain_count": "1"}
    assert {(r["kind"], r["bin_low_ns"], r["count"]) for r in rows_of(rec.folder / "histograms.csv")} == {
        ("latency_intended", "150", "2000"), ("ipdv", "3", "2000"), ("departure_gap", "1000", "2000"),
        ("lateness", "1", "2000")}
    assert rows_of(rec.folder / "series.csv") == [{
        "trial_id": row["trial_id"], "stream": "0", "time_s": "0", "sent_count": "2000", "received_count": "2000",
        "received_bytes": "120000"}]


def test_what_packets_cost_stands_behind_them(rec: Record, cell: Cell) -> None:
    seen = replace(made([direction(9, 9)], phase="telemetry"), cost=cost(Seen(True, 1.0, 2e9, 8, 1.0)))
    rec.trial(cell, "1.0", "", seen)
    [row] = rows_of(rec.folder / "trials.csv")
    assert {key: row[key] for key in COLUMNS if row[key]} == {
        "switch_rx_count": "8", "switch_running_ratio": "1.0", "tsc_hz": "2000000000.0",
        "cycles_per_packet": "250000000.0"}


def test_the_traffic_of_a_cell_stands_in_its_rows(rec: Record, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_text("x")
    for text, frame_bytes, flows, words in (('imix = "aag"', "549", "1", "imix=aag"),
                                            ('[traffic.replay]\nfile = "a.pcap"\ntiming = "rate"', "", "", "a.pcap")):
        one = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\n[traffic]\n' + text, switches=["testpmd"])[0]
        rec.trial(one, "1.0", "", made([direction(1, 1)]))
        rec.results(one, "1.0", "", [Result("rplus_pps", 1.0, "pps", 1)])
        for name in ("trials.csv", "results.csv"):
            row = rows_of(rec.folder / name)[-1]
            assert (row["frame_bytes"], row["flows"]) == (frame_bytes, flows) and words in row["traffic"]


def test_trials_are_numbered_and_their_numbers_are_unique(rec: Record, cell: Cell) -> None:
    for _ in range(12):
        rec.trial(cell, "1.0", "", made([direction(1, 1)]))
    ids = [row["trial_id"] for row in rows_of(rec.folder / "trials.csv")]
    assert ids == sorted(set(ids)) and len(ids) == 12


def test_results_are_on_disk_right_after(rec: Record, cell: Cell) -> None:
    rec.results(cell, "1.0", "", [Result("rplus_pps", 1.5e6, "pps", 3, 1e6, 2e6, ("tcg", "clock")),
                                  Result("latency_p50_ns@0.50rplus", None, "ns", 0, status="invalid")])
    first, second = rows_of(rec.folder / "results.csv")
    assert (first["metric"], float(first["value"]), float(first["ci_low"]), first["unit"], first["n"],
            first["flags"]) == (
        "rplus_pps", 1.5e6, 1e6, "pps", "3", "tcg;clock")
    assert (second["value"], second["ci_low"], second["n"], second["status"]) == ("", "", "0", "invalid")


def test_a_cell_without_figures_has_a_row_with_the_reason(rec: Record, cell: Cell) -> None:
    rec.no_result(cell, "", "failed", 'it said "no", and\nleft', ["oversubscribed"])
    [row] = rows_of(rec.folder / "results.csv")
    assert (row["status"], row["value"], row["reason"], row["flags"]) == ("failed", "", 'it said "no", and\nleft',
                                                                          "oversubscribed")


def test_counters_a_switch_does_not_have_are_empty(rec: Record, cell: Cell) -> None:
    rec.ports(cell, [PortCounters("p0", 5, None, 0)])
    [row] = rows_of(rec.folder / "ports.csv")
    assert (row["port"], row["rx_count"], row["tx_count"], row["dropped_count"]) == ("p0", "5", "", "0")


# ---- run.json ------------------------------------------------------------------------------------------------------

def test_run_json_is_replaced_as_a_whole(rec: Record) -> None:
    rec.write_json("run.json", {"state": "running", "long": "x" * 10_000})
    path = rec.folder / "run.json"
    with path.open() as reader:         # somebody who reads while it is written
        rec.write_json("run.json", {"state": "complete"})
        assert json.load(reader)["state"] == "running"
    assert json.loads(path.read_text()) == {"state": "complete"}
    assert [p.name for p in rec.folder.glob("run*")] == ["run.json"]


def test_run_json_keeps_its_old_state_if_writing_it_fails(rec: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    rec.write_json("run.json", {"state": "running"})
    whole = Path.write_text

    def half(self: Path, text: str, **more: Any) -> int:
        whole(self, text[:5], **more)
        raise OSError("no space left")
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError):
        rec.write_json("run.json", {"state": "complete"})
    assert json.loads((rec.folder / "run.json").read_text()) == {"state": "running"}


def test_run_json_can_hold_what_a_run_has_to_say(rec: Record, cell: Cell) -> None:
    rec.write_json("run.json", {"testbed": cell, "path": Path("/x")})
    said = json.loads((rec.folder / "run.json").read_text())
    assert said["path"] == "/x" and said["testbed"]["id"] == cell.id


def test_the_schema_has_a_version() -> None:
    assert isinstance(record.SCHEMA_VERSION, int)


def test_every_cell_has_a_folder_for_its_logs(rec: Record, cell: Cell) -> None:
    folder = rec.log_folder(cell)
    assert folder.is_dir() and folder.name == cell.id and folder.parent == rec.folder / "logs"
