# SPDX-License-Identifier: BSD-3-Clause
"""Every figure, from plots/sample/run to its SVG: drawn, the same every time, true to the data, and honest about
damage.
"""

import csv
import io
import math
import random
import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import figures
from harness.figures import drawing, latency, loads, sheet
from harness.figures.data import Data
from harness.figures.reading import FigureError, NotDrawn
from harness.figures.text import COLUMN_PT, SMALL_PT, TEXT_PT, text_width

SAMPLE = drawing.PLOTS / "sample" / "run"
NAMES = [figure.name for figure in drawing.FIGURES]
SHARED = {"style", "page", "panel", "legend", "bars", "curves"}
OTHERS = {"flows"}          # not of a run
needs_gnuplot = pytest.mark.skipif(shutil.which("gnuplot") is None, reason="gnuplot is not installed")


def sample_text(name: str) -> str | None:
    path = SAMPLE / name
    return path.read_bytes().decode() if path.exists() else None


def of(files: dict[str, str | None]) -> Data:
    """The sample with some files replaced; None: not there."""
    return Data(lambda name: files[name] if name in files else sample_text(name))


def rows(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def dats(data: Data, name: str) -> list[str]:
    figure = next(f for f in drawing.FIGURES if f.name == name)
    return [page if isinstance(page, str) else sheet.dat(page) for page in figure.prepare(data)]


def block(dat: str, name: str) -> list[dict[str, str]]:
    part = next(p for p in dat.split("\n\n\n") if p.startswith(f"# {name}: "))
    head, *lines = part.strip("\n").splitlines()
    columns = head.split(": ", 1)[1].split()
    return [dict(zip(columns, (f.strip('"') for f in line.split("\t")), strict=True)) for line in lines]


def csv_text(found: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue()


def texts(svg: Path) -> str:
    root = ElementTree.parse(svg).getroot()
    found = " ".join("".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text"))
    return re.sub(r"\s+", " ", found.replace("\N{NO-BREAK SPACE}", " "))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, drawn once in all formats: its figures folder."""
    if shutil.which("gnuplot") is None:
        pytest.skip("gnuplot is not installed")
    run = tmp_path_factory.mktemp("run")
    shutil.copytree(SAMPLE, run, dirs_exist_ok=True)
    warnings: list[str] = []
    result = figures.draw_all(run, warn=warnings.append)
    assert (result.not_drawn, result.failed, warnings) == ({}, {}, [])
    return run / "figures"


# ---- drawn ---------------------------------------------------------------------------------------------------------

def test_every_figure_has_its_script_and_every_script_its_figure() -> None:
    scripts = {path.stem for path in drawing.PLOTS.glob("*.gp")}
    assert scripts == set(NAMES) | SHARED | OTHERS and len(set(NAMES)) == len(NAMES)


def test_every_figure_is_drawn_in_every_format(drawn: Path) -> None:
    assert sorted(p.name for p in drawn.iterdir()) == sorted(
        f"{name}.{kind}" for name in NAMES for kind in ("dat", "pdf", "png", "svg"))
    for name in NAMES:
        assert (drawn / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
        assert (drawn / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_svg_is_byte_identical_from_run_to_run(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
    figures.draw_all(tmp_path, formats=("svg",))
    for name in NAMES:
        assert (tmp_path / "figures" / f"{name}.svg").read_bytes() == (drawn / f"{name}.svg").read_bytes(), name


@pytest.mark.parametrize("name, says", [
    ("throughput", ["n = 8", "95 % confidence interval", "without a loss goal", "the tester's own ceiling",
                    "* oversubscribed:", "\N{DAGGER} TCG:", "> lower bound:", "n/a: the switch", "failed: tried",
                    "invalid"]),
    ("ndr", ["NDR", "loss goal 0 %", "n = 21", "bound that the search found"]),
    ("pdr", ["PDR", "loss goal 0.5 %", "\N{GREATER-THAN OR EQUAL TO} capped:"]),
    ("chain", ["n = 8 blocks", "no loss goal", "Whiskers: 95 %", "failed: vpp at 4", "n/a: linux-bridge at 4,5",
               "* oversubscribed:", "Cross: invalid", " 2* "]),
    ("latency", ["n = 2 trials", "Dot: median", "to p99.9", "0.10 R+", "0.99 R+"]),
    ("latency_cdf", ["n = 2 trials, 200,000 packets", "no error bars", "(CDF)"]),
    ("latency_ccdf", ["(CCDF)", "Lost packets are not in it", "10 ms"]),
    ("loss", ["n = 2 to 5", "smallest and largest trial", "loss goal of PDR, 0.5 %", "no loss at all"]),
    ("cycles", ["n = 3", "trials of their own", "cycles per packet"]),
    ("heatmap", ["n = 8 blocks", "failed", "100k", "1M", "no loss goal"]),
    ("repeats", ["n = 7 to 8 blocks", "Grey band: 95 %", "Cross: invalid", ">10."]),
    ("forest", ["n = 10 blocks", "its 95 % interval", "margin of 1 %", "0.947 slower", "1.000 capped", "failed",
                "Ratio ovs-3.5 / ovs-3.1"]),
    ("anchor", ["n = 36 trials, 12 blocks", "around the median of the first blocks", "does not begin at 0"]),
])
def test_each_says_what_it_rests_on(drawn: Path, name: str, says: list[str]) -> None:
    found = texts(drawn / f"{name}.svg")
    assert [phrase for phrase in says if phrase not in found] == []
    assert name == "forest" or "Run: sample-invented-run" in found


@pytest.mark.parametrize("name", NAMES)
def test_sheets_are_of_paper_size_and_nothing_overlaps(drawn: Path, name: str) -> None:
    dat = (drawn / f"{name}.dat").read_text()
    page = block(dat, "figure")[0]
    width, height = float(page["width_pt"]), float(page["height_pt"])
    assert width in (COLUMN_PT, TEXT_PT) and height < 700
    places = [tuple(float(p[c]) for c in ("left_pt", "top_pt", "width_pt", "height_pt")) for p in block(dat, "panels")]
    for i, (left, top, wide, high) in enumerate(places):
        assert left > 8 and left + wide <= width and top >= 4 and top + high < height
        for left_2, top_2, _, _ in places[i + 1:]:
            assert left_2 >= left + wide + 15 or abs(top_2 - top) >= high + 20 or left >= left_2 + wide + 15
    notes = block(dat, "footer" if any(b.startswith("# footer") for b in dat.split("\n\n\n")) else "texts")
    assert all(text_width(line["text"], SMALL_PT) <= width for line in notes)


# ---- true ----------------------------------------------------------------------------------------------------------

def test_chain_values_are_those_of_the_csv() -> None:
    dat = dats(of({}), "chain")[0]
    names = [s["name"] for s in block(dat, "series")]
    found = {(p["panel"], names[int(p["series"]) - 1], p["chain_length"], p["drawn"]): float(p["rplus_mpps"])
             for p in block(dat, "points")}
    expected = {(("1" if r["frame_bytes"] == "64" else "2"), r["switch"], r["chain_length"], r["status"]):
                float(f"{float(r['value']) / 1e6:.9g}") for r in rows("results.csv")
                if (r["metric"], r["topology"], r["guest"], r["block"]) == ("rplus_pps", "loopback", "process", "")
                and r["value"]}
    assert found == expected and len(found) == 2 * (5 + 5 + 5 + 3) - 1


def test_a_chain_is_not_joined_across_a_missing_length() -> None:
    dat = dats(of({}), "chain")[0]
    vpp = str([s["name"] for s in block(dat, "series")].index("vpp") + 1)
    pieces = [(p["chain_length"], p["to_length"]) for p in block(dat, "lines")
              if (p["panel"], p["series"]) == ("1", vpp)]
    assert pieces == [("1", "2"), ("2", "3")]


def test_distributions_are_those_of_the_histograms() -> None:
    """Independently: share of all samples at or above a latency, from the raw rows."""
    trials = [r["trial_id"] for r in rows("trials.csv") if r["switch"] == "vpp" and r["phase"] == "latency@0.50rplus"
              and (r["topology"], r["frame_bytes"]) == ("p2p", "64")]
    samples = [(float(r["bin_high_ns"]) / 1e3, int(r["count"])) for r in rows("latency.csv") if r["trial_id"] in trials]
    total = sum(n for _, n in samples)
    for name in ("latency_cdf", "latency_ccdf"):
        dat = dats(of({}), name)[0]
        vpp = str([s["name"] for s in block(dat, "series")].index("vpp") + 1)
        points = [(float(p["latency_us"]), float(p["share"])) for p in block(dat, "curves")
                  if (p["panel"], p["series"]) == ("2", vpp)]
        assert len(points) > 20 and len(trials) == 2
        for us, share in points[1:-1]:
            above = sum(n for high, n in samples if high > us * (1 + 1e-6)) / total
            assert share == pytest.approx(above if name == "latency_ccdf" else 1 - above, abs=1e-6)
        assert points == sorted(points)


def test_a_distribution_in_one_bin_is_drawn_all_the_same() -> None:
    found = [dict(r, bin_low_ns="2000", bin_high_ns="2016", count="500") for r in rows("latency.csv")]
    one = list({r["trial_id"]: r for r in found}.values())
    for name, shares in (("latency_cdf", [0.0, 1.0]), ("latency_ccdf", [1.0, 0.01])):
        dat = dats(of({"latency.csv": csv_text(one)}), name)[0]
        curve = [p for p in block(dat, "curves") if (p["panel"], p["series"]) == ("1", "1")]
        assert [float(p["share"]) for p in curve] == shares and [p["latency_us"] for p in curve] == ["2", "2.016"]
        assert any(p["has_point"] == "1" for p in curve)


def test_loss_counts_what_was_not_sent_as_lost() -> None:
    found = rows("trials.csv")
    for row in found:
        if row["phase"] == "sweep":
            row["unsent_count"] = row["sent_count"]         # half of what was intended
    dat = dats(of({"trials.csv": csv_text(found)}), "loss")[0]
    assert {p["panel"] for p in block(dat, "points")} == {"1", "2", "3", "4"}
    sweeps = [float(p["loss_ratio"]) for p in block(dat, "points") if p["panel"] == "1" and p["series"] == "1"]
    assert statistics.median(sweeps) == pytest.approx(0.5, abs=0.001)


def test_no_loss_is_drawn_on_a_line_of_its_own() -> None:
    dat = dats(of({}), "loss")[0]
    zero = next(float(t["at"]) for t in block(dat, "tics") if t["axis"] == "y" and t["text"] == "0")
    assert min(float(p["loss_ratio"]) for p in block(dat, "points")) == pytest.approx(zero)
    assert all(zero * 9 < float(p["loss_ratio"]) or float(p["loss_ratio"]) == pytest.approx(zero)
               for p in block(dat, "points"))


def test_heat_map_and_comparison_show_the_numbers_of_the_csv() -> None:
    fields = {(f["panel"], f["size"], f["flows"]): f["text"] for f in block(dats(of({}), "heatmap")[0], "fields")}
    wanted = next(r for r in rows("results.csv") if (r["switch"], r["flows"], r["frame_bytes"], r["metric"], r["block"])
                  == ("vpp", "1000", "256", "rplus_pps", ""))
    assert fields["2", "2", "2"] == f"{float(wanted['value']) / 1e6:.3g}" and fields["2", "1", "4"] == "failed"
    ratios = block(dats(of({}), "forest")[0], "ratios")
    slower = [r for r in ratios if "slower" in r["text"]]
    assert [(r["ratio"], r["low"], r["high"]) for r in slower] == [("0.947", "0.935636", "0.958364")]
    assert [float(r["ratio"]) for r in ratios[:-1]] == sorted((float(r["ratio"]) for r in ratios[:-1]), reverse=True)


def test_the_ceiling_is_drawn_in_p2p_only_and_named_where_it_is_off_the_axis() -> None:
    far = re.sub(r'"max_pps": 12500000.0', '"max_pps": 99000000.0', sample_text("calibration.json") or "")
    for text, says in ((sample_text("calibration.json"), ""), (far, "ceiling 99")):
        dat = dats(of({"calibration.json": text}), "throughput")[0]
        ceilings = block(dat, "ceilings")
        titles = {p["panel"]: p["title"] for p in block(dat, "panels")}
        assert len(ceilings) == 4 and all("p2p" in titles[c["panel"]] for c in ceilings)
        assert ceilings[0]["text"].strip() == says
    assert "Dotted" not in dats(of({"calibration.json": None}), "throughput")[0]


def test_rows_of_blocks_are_not_drawn_as_cells_and_the_anchor_is_no_cell() -> None:
    found = rows("results.csv")
    found += [dict(r, scenario="anchor", value="1", ci_low="", ci_high="") for r in found
              if r["metric"] == "rplus_pps" and r["topology"] == "p2p"]
    data = of({"results.csv": csv_text(found)})
    assert dats(data, "throughput") == dats(of({}), "throughput") and data.warnings == []


@pytest.mark.parametrize("status", ["failed", "unsupported"])
def test_a_cell_without_anything_in_any_block_is_absent_by_name(status: str) -> None:
    """A run records no summary of such a cell, and does not know what would have accelerated it."""
    found = [r for r in rows("results.csv") if r["metric"] == "rplus_pps"]
    gone = next(r["cell_id"] for r in found if r["block"])
    kept = [dict(r) for r in found if r["cell_id"] != gone or r["block"]]
    for row in kept:
        if row["cell_id"] == gone:
            row |= {"status": status, "value": "", "ci_low": "", "ci_high": "", "n": "0", "accel": ""}
    data = of({"results.csv": csv_text(kept)})
    assert [(r["status"], r.get("block")) for r in data.results if r["cell_id"] == gone] == [(status, "")]
    assert not any("no summary" in w for w in data.warnings)
    other = sorted((r for r in found if r["cell_id"] == gone), key=lambda r: r["block"])
    other[-1] = other[-1] | {"status": "failed", "value": "", "accel": "", "metric": "other_pps"}
    data = of({"results.csv": csv_text([r for r in found if r["cell_id"] != gone] + other)})
    assert {r["status"] for r in data.results if r["cell_id"] == gone} == {"ok"}


def test_another_schema_version_is_said() -> None:
    data = of({"run.json": '{"schema_version": 7}'})
    assert data.results and any("schema version 7" in w for w in data.warnings)


def test_a_stopped_run_shows_the_median_of_its_blocks_and_says_so() -> None:
    found = [r for r in rows("results.csv") if r["block"]]
    data = of({"results.csv": csv_text(found)})
    bars = block(dats(data, "throughput")[0], "bars")
    here = [float(r["value"]) / 1e6 for r in found if (r["switch"], r["topology"], r["direction"], r["frame_bytes"])
            == ("testpmd", "p2p", "one-way", "64")]
    assert float(bars[0]["value"]) == pytest.approx(statistics.median(here)) and len(here) == 8
    assert any("no summary row" in line for line in data.warnings)


def test_different_flows_do_not_fall_into_one_panel() -> None:
    dat = dats(of({}), "repeats")[0]
    assert sum("flows" in p["title"] for p in block(dat, "panels")) == 4
    assert not any("1 flow" in p["title"] for p in block(dat, "panels"))    # where nothing is to be told apart


# ---- damage --------------------------------------------------------------------------------------------------------

def test_a_run_cut_off_anywhere_draws_nothing_that_is_not_in_it() -> None:
    """Each file cut at a random byte: no error but those for people, and of what is drawn every value is a true one."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for name in ("results.csv", "trials.csv", "latency.csv", "compare.csv", "calibration.json", "run.json"):
        text = sample_text(name) or ""
        for _ in range(4):
            data = of({name: text[:rng.randrange(len(text))]})
            for figure in ("throughput", "chain", "latency", "latency_ccdf", "loss", "repeats", "forest", "anchor"):
                try:
                    made = dats(data, figure)
                except FigureError as why:
                    assert str(why) and "\n" not in str(why)
                    continue
                if (figure, name) == ("throughput", "results.csv"):
                    whole = {r["value"] for r in rows(name) if r["value"] and r["metric"] == "rplus_pps"}
                    known = {f"{float(v) / 1e6:.5g}" for v in whole}
                    for bar in block(made[0], "bars"):
                        one_of_blocks = any("no summary" in w for w in data.warnings)
                        assert bar["value"] == "NaN" or one_of_blocks or f"{float(bar['value']):.5g}" in known


@pytest.mark.parametrize("name", NAMES)
def test_a_run_without_data_says_so_in_a_line(name: str) -> None:
    head = (sample_text("results.csv") or "").splitlines()[0] + "\r\n"
    for results in (None, head):
        with pytest.raises(NotDrawn) as why:
            dats(Data(lambda file: results if file == "results.csv" else None), name)
        assert str(why.value) and "\n" not in str(why.value)


@pytest.mark.parametrize("name, file, column, bad", [
    ("loss", "trials.csv", "received_count", "many"), ("anchor", "trials.csv", "started_utc", "yesterday"),
    ("forest", "compare.csv", "ratio", "-1"), ("chain", "results.csv", "value", "1e99999"),
    ("latency_cdf", "latency.csv", "count", "-5"), ("heatmap", "results.csv", "frame_bytes", "x")])
def test_a_damaged_field_is_left_out_and_named(name: str, file: str, column: str, bad: str) -> None:
    found = rows(file)
    used: Callable[[dict[str, str]], bool] = {
        "loss": lambda r: r["phase"] == "sweep", "anchor": lambda r: r["scenario"] == "anchor",
        "chain": lambda r: (r["topology"], r["chain_length"], r["metric"]) == ("loopback", "2", "rplus_pps")
        and not r["block"],
        "heatmap": lambda r: r["topology"] == "p2v" and not r["block"]}.get(name, lambda r: True)
    next(r for r in found if used(r))[column] = bad
    data = of({file: csv_text(found)})
    dats(data, name)
    assert any(line.startswith(file.partition(".")[0]) for line in data.warnings), data.warnings


def test_a_run_whose_calibration_or_description_is_damaged_is_drawn_without_it() -> None:
    data = of({"calibration.json": '{"points": [{"port_kind": 3}, 7, {"max_pps": "x"}]}', "run.json": "{"})
    assert "Dotted" not in dats(data, "throughput")[0] and data.about == {}


@needs_gnuplot
def test_hostile_names_are_shown_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ("chain", "loss", "latency", "forest")
    monkeypatch.setattr(drawing, "FIGURES", [f for f in drawing.FIGURES if f.name in shown])
    name = "a'; system('touch pwned'); `touch pwned` \"x"
    shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
    for file, column in (("trials.csv", "switch"), ("results.csv", "switch"), ("compare.csv", "cell")):
        found = rows(file)
        for row in found:
            row[column] = name if row[column] in ("vpp", "p2p.one-way.64B") else row[column]
        (tmp_path / file).write_text(csv_text(found), newline="")
    result = figures.draw_all(tmp_path, formats=("svg",))
    assert not result.failed and not list(tmp_path.rglob("pwned")) and not Path("pwned").exists()
    for figure in shown:
        assert "a'; system('touch pwned'); `touch pwn" in texts(tmp_path / "figures" / f"{figure}.svg")


@needs_gnuplot
def test_figures_that_the_data_no_longer_has_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "FIGURES", [f for f in drawing.FIGURES if f.name in ("chain", "forest")])
    shutil.copy(SAMPLE / "results.csv", tmp_path)
    shutil.copy(SAMPLE / "compare.csv", tmp_path)
    figures.draw_all(tmp_path, formats=("svg",))
    (tmp_path / "figures" / "chain-2.svg").touch()
    (tmp_path / "figures" / "forest-mine.svg").touch()
    (tmp_path / "compare.csv").unlink()
    result = figures.draw_all(tmp_path, formats=("svg",))
    left = {p.name for p in (tmp_path / "figures").iterdir()}
    assert {"chain.svg", "forest-mine.svg"} <= left and not {"chain-2.svg", "forest.svg", "forest.dat"} & left
    assert result.not_drawn["forest"] == "the run has no compare.csv"


# ---- pieces --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("load, says", [("0.50rplus", "0.50 R+"), ("0.90ndr", "0.90 NDR"), ("1500000pps", "1.5 Mpps"),
                                        ("200pps", "200 pps"), ("no_load", "no load"), ("replay", "replay")])
def test_loads_in_words(load: str, says: str) -> None:
    assert loads.text(load) == says


def test_loads_are_in_order() -> None:
    right = ["no_load", "0.10rplus", "0.99rplus", "0.50ndr", "1000pps", "20000pps", "replay"]
    assert sorted(reversed(right), key=loads.order) == right


@pytest.mark.parametrize("exponent, says", [(-3, "1 ns"), (-1, "100 ns"), (0, "1 µs"), (4, "10 ms"), (6, "1 s"),
                                            (8, "100 s")])
def test_durations_in_words(exponent: int, says: str) -> None:
    assert latency.duration(exponent) == says


def test_axes_hold_their_data_and_have_few_tics() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(2000):
        low = rng.choice([0.0, -10 ** rng.uniform(-6, 6), 10 ** rng.uniform(-6, 6)])
        axis = sheet.linear(low, low + 10 ** rng.uniform(-5, 7))
        slack = 1e-6 * (axis.high - axis.low) + 1e-8 * max(abs(axis.low), abs(axis.high))
        assert 1 <= len(axis.tics) <= 8 and all(axis.low - slack <= at <= axis.high + slack
                                                for at, _ in axis.tics)
        small = 10 ** rng.uniform(-6, 6)
        log = sheet.logarithmic(small, small * 10 ** rng.uniform(0, 6))
        assert log.low <= small * (1 + 1e-6) and 2 <= len(log.tics) <= 8
        assert math.log10(log.high / log.low) >= 0.999


@needs_gnuplot
@pytest.mark.parametrize("factor", [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])
def test_every_tic_is_written_wherever_a_logarithmic_axis_begins(factor: float, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """gnuplot takes the logarithm of an axis' end and of what stands there, and clips what rounding puts outside."""
    scaled = [{**row, **{column: repr(float(row[column]) * factor) for column in ("value", "ci_low", "ci_high")
                         if row["metric"].startswith("latency") and row[column]}} for row in rows("results.csv")]
    (tmp_path / "results.csv").write_text(csv_text(scaled))
    monkeypatch.setattr(drawing, "FIGURES", [f for f in drawing.FIGURES if f.name == "latency"])
    figures.draw_all(tmp_path, formats=("svg",), warn=lambda line: None)
    [written] = (tmp_path / "figures").glob("latency.svg")
    planned = [tic["text"] for tic in block((tmp_path / "figures" / "latency.dat").read_text(), "tics")]
    shown = texts(written)
    assert {text: shown.count(text) for text in planned} == {text: planned.count(text) for text in planned}


@pytest.mark.parametrize("name", ["repeats", "latency", "loss", "latency_ccdf", "chain"])
@pytest.mark.parametrize("status", ["failed", "missing"])
def test_a_single_absent_cell_is_named_in_its_panel(name: str, status: str) -> None:
    """Its switch is drawn in the same figure elsewhere; so nothing but the note tells an empty place from a small
    value."""
    topology, where = ("loopback", {"chain_length": "1"}) if name == "chain" else ("p2p", {"frame_bytes": "64"})

    def hit(row: dict[str, str]) -> bool:
        return row["switch"] == "vpp" and row["topology"] == topology and all(row[k] == v for k, v in where.items())

    found = [{**row, "status": "failed", "value": "", "ci_low": "", "ci_high": ""} if hit(row) else row
             for row in rows("results.csv") if not (hit(row) and status == "missing")]
    trials = [row for row in rows("trials.csv") if not hit(row)]
    pages = dats(of({"results.csv": csv_text(found), "trials.csv": csv_text(trials)}), name)
    extras = [panel["extra"] for page in pages for panel in block(page, "panels") if panel["title"].find(topology) >= 0]
    at = {"repeats": " at 64", "chain": " at 1"}.get(name, "")
    assert any(f"{status}: vpp{at}" in extra for extra in extras), extras


def test_a_comparison_says_metric_runs_marks_and_what_is_corrected() -> None:
    found = [{**row, "flags": "tcg;oversubscribed" if i == 0 else ""} for i, row in enumerate(rows("compare.csv"))]
    [page] = dats(of({"compare.csv": csv_text(found)}), "forest")
    names = [tic["text"] for tic in block(page, "tics") if tic["axis"] == "y"]
    assert len(names) == len(found) and sum(name.endswith(" R+") for name in names) == sum(
        row["metric"] == "rplus_pps" for row in found)
    assert [row["text"].endswith("faster *\N{DAGGER}") for row in block(page, "ratios")].count(True) == 1
    notes = " ".join(text["text"] for text in block(page, "texts")).replace("\N{NO-BREAK SPACE}", " ")
    assert "sample-invented-run" in notes and "Holm" in notes and "TCG: the guest" in notes
