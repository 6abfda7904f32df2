# SPDX-License-Identifier: BSD-3-Clause
"""Results folders that are cut off, of another version, damaged or hostile: every reader reads what is sound, names
what is not, and ends with a sentence, never with a traceback. VSW_TEST_SEED repeats the places that were tried."""

import csv
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import bundle, cli, figures, report, results, resume
from harness.compare import sides, verdict
from harness.errors import BadInput, CannotRun
from harness.figures import drawing
from harness.figures.data import Data
from harness.figures.reading import FigureError
from harness.record import TABLES
from harness.tests.support import cells_of_text, seeded
from harness.tests.test_blocks import measure, noisy

SMALL = """
[matrix]
topology = "p2p"
switch = ["testpmd", "ovs-dpdk"]
[search]
trials = 2
[latency]
at_rplus = [0.1, 0.5]
trials = 1
[repeat]
blocks = 3
"""
FILES = (*(f"{name}.csv" for name in ("trials", "results", "latency", "blocks", "ports")), "compare.csv", "run.json")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run with a comparison in it."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.host.runtime_root", lambda: folder)
        patch.setattr("harness.host.lock_path", lambda: folder / "lock")
        r = random.Random(1)
        run, _ = measure(cells_of_text(folder, SMALL), folder / "out", noisy(factor=lambda s, c: r.uniform(0.99, 1.01)))
    cli.main(["compare", str(run), "--csv", str(run / "compare.csv"), "--json"])
    return run


@pytest.fixture
def run_of(small: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small, tmp_path / small.name)


def readers(folder: Path) -> dict[str, Callable[[], object]]:
    """All that reads results folders, but for gnuplot."""
    def compared() -> object:
        a, b = sides.sides([str(folder)])
        return verdict.judge(sides.pairs(a, b), cross_check=False), sides.notes(a, b)

    def drawn() -> object:
        data = Data(lambda name: figures.text_of(folder / name))
        for figure in drawing.FIGURES:
            try:
                figure.prepare(data)
            except FigureError as why:
                sentence(why)
        return report.page(data, folder, [], {}, data.warnings)

    def went_on() -> object:
        before = resume.about(folder)
        copy = shutil.copytree(folder, folder.parent / "going-on", dirs_exist_ok=True)
        try:
            return resume.prepare(copy, before, lambda line: None)
        finally:
            shutil.rmtree(copy)

    return {"read": lambda: results.read(folder), "compare": compared, "figures": drawn, "resume": went_on,
            "bundle": lambda: bundle.readme(results.read(folder))}


def sentence(why: Exception) -> None:
    """What is for people is one line."""
    assert str(why) and "\n" not in str(why), repr(why)


def survives(folder: Path, names: tuple[str, ...] = ("read", "compare", "figures", "resume", "bundle")) -> None:
    made = readers(folder)
    for name in names:
        try:
            made[name]()
        except (BadInput, CannotRun, FigureError, OSError) as why:      # all of them one line of main()
            sentence(why)


# ---- cut off -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".csv")])
def test_a_table_cut_off_at_any_byte_gives_its_whole_rows_and_names_the_other(name: str, small: Path,
                                                                              tmp_path: Path) -> None:
    """Every byte of the header and of three rows."""
    lines = (small / name).read_bytes().splitlines(keepends=True)
    content = b"".join([lines[0], *lines[-3:]])
    (tmp_path / name).write_bytes(content)
    true = list(results.read_table(tmp_path / name, (), []))
    for at in range(len(content)):
        (tmp_path / name).write_bytes(content[:at])
        warnings: list[str] = []
        rows = list(results.read_table(tmp_path / name, (), warnings))
        assert rows == true[:len(rows)] and len(rows) >= content[:at].count(b"\n") - 1, at
        assert warnings or content[:at].endswith((b"\n", b"\r")), at


@pytest.mark.parametrize("name", FILES)
def test_a_run_cut_off_anywhere_gives_no_figure_that_is_not_in_it(name: str, small: Path, run_of: Path) -> None:
    content = (small / name).read_bytes()
    true = {(c, m, b): v.value for r in [results.read(small)] for c in r.cells for m in r.metrics(c)
            for b, v in r.every_block(c, m).items()}
    r = seeded()
    for at in r.choices(range(len(content)), k=30):
        (run_of / name).write_bytes(content[:at])
        try:
            found = results.read(run_of)
        except BadInput as why:
            sentence(why)
            continue
        for cell in found.cells:
            for metric in found.metrics(cell):
                for block, value in found.every_block(cell, metric).items():
                    assert value.value == true[cell, metric, block] or "from_trials" in value.flags, (at, metric)
    for at in r.choices(range(len(content)), k=3):
        (run_of / name).write_bytes(content[:at])
        survives(run_of)


def test_a_block_of_zeros_as_a_power_loss_leaves_it(small: Path, run_of: Path) -> None:
    r = seeded()
    for _ in range(8):
        name = r.choice(FILES)
        content = bytearray((small / name).read_bytes())
        at = r.randrange(len(content))
        content[at:at + r.choice([1, 64, 4096])] = bytes(min(len(content) - at, 64))
        (run_of / name).write_bytes(content)
        survives(run_of)
        (run_of / name).write_bytes((small / name).read_bytes())


def test_random_bytes_anywhere(small: Path, run_of: Path) -> None:
    r = seeded()
    for _ in range(10):
        name = r.choice(FILES)
        content = bytearray((small / name).read_bytes())
        for _ in range(r.choice([1, 5, 50])):
            content[r.randrange(len(content))] = r.choice([0, 10, 13, 34, 44, 45, 57, 255, r.randrange(256)])
        (run_of / name).write_bytes(content)
        survives(run_of)
        (run_of / name).write_bytes((small / name).read_bytes())


# ---- values that cannot be -----------------------------------------------------------------------------------------

VALUES = ("nan", "inf", "-inf", "-1", "1e308", "1e999", "9" * 5000, "0x10", "1_000", " ", "-0", "١٢", "1e-320",
          "<script>alert(1)</script>", "[red]x[/red]", "a\nb", "\x1b[31mred", "=cmd()", "'; DROP",
          "\N{RIGHT-TO-LEFT OVERRIDE}x")


@pytest.mark.parametrize("name", [f"{name}.csv" for name in ("trials", "results", "latency", "blocks", "compare")])
def test_values_that_cannot_be_are_left_out(name: str, small: Path, run_of: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """One column of all rows, one value: chosen at random."""
    r = seeded()
    text = (small / name).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    for column in rows[0]:
        for value in r.sample(VALUES, 1):
            out = io.StringIO()
            writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\r\n")
            writer.writeheader()
            some = {id(row) for row in rows if r.random() < 0.5}
            writer.writerows({**row, column: value} if id(row) in some else row for row in rows)
            (run_of / name).write_text(out.getvalue(), newline="")
            survives(run_of, ("read", "compare", "figures", "bundle") if name != "blocks.csv" else ("read", "resume"))


def test_a_line_end_in_the_name_of_a_switch_makes_no_second_line_of_an_error(run_of: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((run_of / "results.csv").read_text())))
    with (run_of / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({**row, "switch": "a\nb"} for row in rows)
    with pytest.raises(BadInput, match="1 switches .a b.: give two") as caught:
        sides.sides([str(run_of)])
    sentence(caught.value)


def spoil(table: Path, to: Path, column: str, value: str, sound_every: int) -> None:
    """A copy of the table with this value in all rows but each `sound_every`th, from the first on."""
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({**row, column: value} if i % sound_every else row for i, row in enumerate(rows))
    to.write_text(out.getvalue(), newline="")


@pytest.mark.parametrize("column, value", [("ci_low", "-1"), ("ci_high", "1e308"), ("value", "1.7e308"),
                                           ("value", "1e-320"), ("value", "-1"), ("value", "0")])
def test_values_of_results_that_no_axis_can_hold(column: str, value: str, small: Path, run_of: Path) -> None:
    spoil(small / "results.csv", run_of / "results.csv", column, value, sound_every=3)
    survives(run_of, ("read", "compare", "figures"))


@pytest.mark.parametrize("value", ["1e308", "1e19", "1e-300", "1e-320"])
@pytest.mark.parametrize("column", ["intended_pps", "rx_pps"])
def test_loads_and_rates_of_trials_that_no_axis_can_hold(column: str, value: str, small: Path, run_of: Path) -> None:
    spoil(small / "trials.csv", run_of / "trials.csv", column, value, sound_every=2)
    survives(run_of, ("read", "compare", "figures"))


def test_no_value_of_a_run_becomes_markup_or_a_command_of_the_terminal(small: Path, run_of: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    evil = "<script>alert(1)</script>"
    text = (small / "results.csv").read_text()
    (run_of / "results.csv").write_text(text.replace("testpmd", evil), newline="")
    about = (small / "run.json").read_text().replace("testpmd", evil)
    (run_of / "run.json").write_text(about)
    data = Data(lambda name: figures.text_of(run_of / name))
    page = report.page(data, run_of, [], {"x": evil}, [evil])
    assert page.count("<script") == 1 and "&lt;script&gt;" in page
    (run_of / "results.csv").write_text(text.replace("testpmd", "a\x1b]0;x\x07[red]b"), newline="")
    cli.main(["compare", str(run_of)])
    assert "\x1b" not in "".join(capsys.readouterr())


# ---- run.json ------------------------------------------------------------------------------------------------------

def test_a_run_json_with_anything_in_place_of_anything(small: Path, run_of: Path) -> None:
    r = seeded()
    about = json.loads((small / "run.json").read_text())
    for key in about:
        for value in r.sample([None, 7, -1e308, "x", [], {}, [[1]], {"a": {"b": None}}, [None], True], 1):
            (run_of / "run.json").write_text(json.dumps({**about, key: value}))
            survives(run_of)
    for name in ("blocks_of", "files", "switches", "testbed", "blocks"):
        (run_of / "run.json").write_text(json.dumps({**about, "request": {**about["request"], name: 7}}))
        survives(run_of, ("read", "resume", "bundle"))
    inner = [(key, name) for key, value in about.items() if isinstance(value, dict) for name in value]
    for key, name in r.sample(inner, 5):
        (run_of / "run.json").write_text(json.dumps({**about, key: {**about[key], name: r.choice(
            [None, 7, "x", [], {}, {"a": 1}, ["a"]])}}))
        survives(run_of)
    for text in ("[" * 100_000, '{"a":' * 50_000, "NaN", '{"schema_version": Infinity}', "\ufeff{}", "\0", ""):
        (run_of / "run.json").write_text(text)
        survives(run_of)


def test_another_schema_version_is_named_and_what_is_known_is_read(small: Path, run_of: Path) -> None:
    about = json.loads((small / "run.json").read_text())
    (run_of / "run.json").write_text(json.dumps({**about, "schema_version": 7}))
    found = results.read(run_of)
    assert any("schema version 7" in w for w in found.warnings) and len(found.cells) == 3
    data = Data(lambda name: figures.text_of(run_of / name))
    assert data.rows_of("rplus_pps") and any("schema version 7" in w for w in data.warnings)
    with pytest.raises(BadInput, match="schema version"):
        resume.check(run_of, resume.about(run_of), {**about, "schema_version": results.SCHEMA_VERSION})


@pytest.mark.parametrize("name", [f"{name}.csv" for name in TABLES] + ["run.json"])
def test_a_file_that_is_not_there_a_folder_or_a_link_to_nowhere(name: str, run_of: Path) -> None:
    (run_of / name).unlink()
    survives(run_of)
    (run_of / name).mkdir()
    survives(run_of)
    (run_of / name).rmdir()
    (run_of / name).symlink_to("nowhere")
    survives(run_of)


def test_missing_cells_are_named(small: Path, run_of: Path) -> None:
    text = (small / "results.csv").read_text().splitlines(keepends=True)
    (run_of / "results.csv").write_text("".join(line for line in text if "ovs-dpdk" not in line), newline="")
    trials = (small / "trials.csv").read_text().splitlines(keepends=True)
    (run_of / "trials.csv").write_text("".join(line for line in trials if "ovs-dpdk" not in line), newline="")
    found = results.read(run_of)
    assert len(found.missing) == 1 and any(re.search(r"1 of 2 planned cells were not measured: .*ovs-dpdk", w)
                                           for w in found.warnings)
