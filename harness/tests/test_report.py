# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench report`: whole, self-contained, and safe whatever a run says. (How it looks and that its tables sort was
seen in Chromium.)"""

import csv
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import cli, report
from harness.figures import drawing
from harness.tests.test_every_figure import SAMPLE, csv_text, of, rows
from harness.trial import FLAGS

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """What a browser would see: tags that nest, ids, links, texts by table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: Counter[str] = Counter()
        self.refers: list[str] = []
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open += [] if tag in VOID else [tag]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th") and self.tables:
            self.tables[-1][-1].append("")
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.refers.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The sample's report, with two figures: the run's folder, the text."""
    if shutil.which("gnuplot") is None:
        pytest.skip("gnuplot is not installed")
    run = tmp_path_factory.mktemp("run")
    shutil.copytree(SAMPLE, run, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "FIGURES", [f for f in drawing.FIGURES if f.name in ("throughput", "chain", "anchor")])
        path, warnings = report.write(run)
    assert path == run / "report.html" and warnings == []
    return run, path.read_text()


def test_it_is_one_file_that_needs_no_network(written: tuple[Path, str]) -> None:
    page = Page(written[1])
    assert page.wrong == [] and page.open == []
    assert all(target.startswith("#") for target in page.refers) and page.refers
    assert "default-src 'none'" in written[1] and not re.search(r"@import|url\((?!\s*['\"]?#)", written[1])
    assert {target[1:] for target in page.refers} <= set(page.ids)
    assert [name for name, n in page.ids.items() if n > 1] == []        # those of several SVGs too
    assert page.tags["script"] == 1 and page.tags["svg"] == 3 and page.handlers == []


def test_it_has_all_its_parts(written: tuple[Path, str]) -> None:
    text = written[1]
    for part in ("summary", "warnings", "figures", "tables", "environment", "again"):
        assert f'<section id="{part}">' in text
    for words in ("Invented CPU", "./vswbench run scenarios/sample.toml", "guest 3 did not start", "90 min",
                  "use a machine with a working /dev/kvm", "kind = &quot;mlr&quot;", "git checkout 0000000"):
        assert words in text


def test_the_tables_hold_the_numbers_of_the_csv(written: tuple[Path, str]) -> None:
    tables = Page(written[1]).tables
    main = next(t for t in tables if t[0][:2] == ["switch", "cell"])
    value = next(r for r in rows("results.csv") if (r["switch"], r["topology"], r["direction"], r["frame_bytes"],
                                                    r["metric"], r["block"]) == ("vpp", "p2p", "two-way", "1024",
                                                                                 "rplus_pps", ""))
    row = next(r for r in main if r[:5] == ["vpp", "p2p two-way", "1024", "1", "R+"])
    assert row[5] == f"{float(value['value']) / 1e6:.3f}" and row[9:11] == ["8", "measured"]
    shown = {t[0][0] for t in tables if t and t[0]}
    assert {"cell", "flag", "switch"} <= shown
    summary = [r for r in rows("results.csv") if not r["block"]]
    assert sum(len(t) - 1 for t in tables if t[0][:2] == ["switch", "cell"]) == len(summary)


def test_each_flag_of_the_run_is_explained(written: tuple[Path, str]) -> None:
    table = next(t for t in Page(written[1]).tables if t[0][0] == "flag")
    assert {row[0]: tuple(row[2:4]) for row in table[1:]} == {row[0]: FLAGS[row[0]] for row in table[1:]}
    assert "oversubscribed" in [row[0] for row in table]


def test_what_a_run_says_is_text_and_nothing_else() -> None:
    bad = '</pre></td><script>alert(1)</script><img src=x onerror="alert(1)">\'"&'
    found = [dict(r) for r in rows("results.csv") if not r["block"]][:40]
    for row in found:
        row |= {"switch": bad, "flags": bad, "reason": bad, "switch_version": bad, "guest": bad, "run_id": bad,
                "status": "failed", "traffic": bad}
    import io
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(found)
    about = {"run_id": bad, "command": [bad, bad], "sources": {bad: bad}, "machine": {bad: {bad: [bad]}}, "state": bad,
             "versions": {"vswbench": bad}, "duration_s": bad, "cells": bad, "started_utc": bad, "testbed": bad}
    text = report.page(of({"results.csv": out.getvalue(), "run.json": json.dumps(about)}), Path(bad), [], {bad: bad},
                       [bad])
    page = Page(text)
    assert page.tags["script"] == 1 and page.tags["img"] == 0 and page.handlers == []
    assert page.wrong == [] and page.open == []


@pytest.mark.parametrize("name, text, says", [
    ("run.json", None, "run.json is missing or damaged"), ("run.json", "[1]", "run.json is missing or damaged"),
    ("results.csv", None, "the run has no results.csv"), ("results.csv", "a,b\r\n1,2\r\n", "lacks the columns"),
    ("run.json", '{"state": "interrupted"}', "not complete")])
def test_what_is_missing_is_said(name: str, text: str | None, says: str) -> None:
    made = report.page(of({name: text}), Path("r"), [], {}, [])
    assert says in made and Page(made).wrong == []


def test_the_command_says_where_it_is_or_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "give the folder of a run" in capsys.readouterr().err
    (tmp_path / "results.csv").write_text((SAMPLE / "results.csv").read_text()[:3000])
    assert cli.main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr()
    assert out.out.strip() == str(tmp_path / "report.html") and "results.csv line" in out.err


def test_losses_are_shown_where_they_were() -> None:
    text = ("cell_id,place,in_count,out_count,lost_count\r\np2p.vpp,before p0,10,10,0\r\np2p.vpp,in p0>p1,10,7,3\r\n"
            "p2p.vpp,after p1,,7,\r\n")
    made = report.page(of({"ledger.csv": text}), Path("r"), [], {}, [])
    [table] = [t for t in Page(made).tables if t[0][:2] == ["cell", "where"]]
    assert table[1:] == [["p2p.vpp", "in p0>p1", "10", "7", "3"]]
    assert "Where frames were lost" not in report.page(of({"ledger.csv": text.replace("7,3", "10,0")}), Path("r"), [], {},
                                                       [])


@pytest.mark.parametrize("column, value", [("variant", "packed"), ("port_kind", "vhost-kernel"), ("idle", "poll"),
                                           ("traffic", "imix"), ("scenario", "other")])
def test_cells_that_differ_in_one_column_are_all_in_the_summary_by_names_of_their_own(column: str, value: str) -> None:
    """Half the rate of each cell once more, as another variant: no value may stand in place of another."""
    found = [{"idle": "", "traffic": "", **row} for row in rows("results.csv")
             if row["metric"] == "rplus_pps" and not row["block"]]
    found = [{**row, "variant": ""} for row in found if row["status"] == "ok"]
    twins = [{**row, column: value, "cell_id": f"{row['cell_id']}.x", "value": f"{float(row['value']) / 2:.3f}",
              "ci_low": "", "ci_high": ""} for row in found]
    made = Page(report.page(of({"results.csv": csv_text(found + twins)}), Path("r"), [], {}, []))
    [table] = [t for t in made.tables if t[0][0] == "cell" and t[0][1] in {row["switch"] for row in found}]
    shown = Counter(re.sub(r"[^0-9.]", "", text.split(" (")[0]) for row in table[1:] for text in row[1:])
    assert Counter(f"{float(row['value']) / 1e6:.3f}" for row in found + twins) <= shown
    assert len({row[0] for row in table[1:]}) == len(table) - 1


def test_the_summary_gives_each_number_its_loss_goal_and_marks() -> None:
    text = report.page(of({}), Path("r"), [], {}, [])
    assert "NDR in Mpps per direction, loss goal 0 %" in text and "PDR in Mpps per direction, loss goal 0.5 %" in text
    assert "In brackets: smallest and largest" in text
    found = [row for row in rows("results.csv") if row["metric"] == "pdr_pps" and "capped" in row["flags"].split(";")
             and not row["block"]]
    shown = {field for table in Page(text).tables for row in table for field in row}
    for row in found:
        assert any(field.startswith(f"\N{GREATER-THAN OR EQUAL TO}{float(row['value']) / 1e6:.3f}") for field in shown)
    assert found and "capped: the highest load" in text.replace("\N{NO-BREAK SPACE}", " ")
