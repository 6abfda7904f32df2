# SPDX-License-Identifier: BSD-3-Clause
"""Tests of harness.figures: from a results.csv to the three files of the throughput figure."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import figures
from harness.errors import BadInput
from harness.figures import barpage as page
from harness.figures import bars, data, drawing, reading, throughput

SAMPLE = Path(__file__).resolve().parents[2] / "plots" / "sample" / "results.csv"
COLUMNS = ("run_id", "cell_id", "switch", "switch_version", "topology", "guest", "nf", "chain_length", "direction",
           "port_kind", "accel", "frame_bytes", "flows", "metric", "value", "ci_low", "ci_high", "unit", "n", "status",
           "flags")
needs_gnuplot = pytest.mark.skipif(shutil.which("gnuplot") is None, reason="gnuplot is not installed")


def record(**fields) -> dict:
    row = dict(run_id="r", cell_id="c", switch="ovs-dpdk", switch_version="1", topology="p2p", guest="none", nf="",
               chain_length="0", direction="one-way", port_kind="vhost-user", accel="", frame_bytes="64", flows="1",
               metric="rplus_pps", value="4800000", ci_low="4700000", ci_high="4900000", unit="pps", n="3", status="ok",
               flags="")
    return row | fields


def to_csv(rows: list[dict], columns=COLUMNS) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def chart(*rows: dict, **options) -> bars.Chart:
    return bars.pivot(reading.read_results(to_csv(list(rows)), data.RESULTS).rows, throughput.RPLUS, **options)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def run_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "results.csv").write_text(text, encoding="utf-8", newline="")
    return tmp_path


def texts(svg: Path) -> list[str]:
    """Every text of an SVG, in drawing order."""
    root = ElementTree.parse(svg).getroot()
    return ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]


def block(dat: str, name: str) -> list[dict[str, str]]:
    """A block of a .dat as dictionaries by the column names of its first line."""
    part = next(p for p in dat.split("\n\n\n") if p.startswith(f"# {name}: "))
    head, *lines = part.strip().splitlines()
    columns = head.split(": ", 1)[1].split()
    return [dict(zip(columns, (f.strip('"') for f in line.split("\t")), strict=True)) for line in lines]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """The sample, drawn once: its figures folder."""
    if shutil.which("gnuplot") is None:
        pytest.skip("gnuplot is not installed")
    run = tmp_path_factory.mktemp("run")
    shutil.copy(SAMPLE, run / "results.csv")
    warnings: list[str] = []
    written = figures.draw(run, warn=warnings.append)
    assert [p.name for p in written][:4] == ["throughput.dat", "throughput.pdf", "throughput.png", "throughput.svg"]
    assert warnings == []
    return run / "figures"


# ---- the sample ----------------------------------------------------------------------------------------------------

def test_sample_gives_three_formats_and_nothing_else(drawn):
    assert sorted(p.name for p in drawn.iterdir()) == [f"{figure}.{kind}" for figure in
                                                       ("chain", "cycles", "latency", "throughput")
                                                       for kind in ("dat", "pdf", "png", "svg")]
    assert (drawn / "throughput.pdf").read_bytes().startswith(b"%PDF-")
    assert (drawn / "throughput.png").read_bytes().startswith(b"\x89PNG")


def test_svg_is_the_same_every_time(drawn, tmp_path):
    shutil.copy(SAMPLE, tmp_path / "results.csv")
    figures.draw(tmp_path, formats=("svg",))
    assert (tmp_path / "figures" / "throughput.svg").read_bytes() == (drawn / "throughput.svg").read_bytes()


def test_svg_says_every_switch_panel_size_and_mark(drawn):
    found = texts(drawn / "throughput.svg")
    for switch in ("testpmd (upper bound)", "ovs-dpdk", "ovs-kernel", "linux-bridge", "vpp"):
        assert found.count(switch) == 1
    for panel in ("(a) p2p", "(b) p2p", "(c) p2v", "(d) p2v", "(e) v2v", "(f) loopback, 1 nf", "(g) loopback, 1 nf",
                  "(h) loopback, 2 nfs"):
        assert found.count(panel) == 1
    assert found.count("one-way, no guest") == found.count("two-way, no guest") == 1
    assert [found.count(size) for size in ("64", "256", "1024")] == [8, 8, 8]
    assert found.count("one-way, QEMU (TCG) †") == found.count("one-way, QEMU (TCG) *†") == 1
    assert found.count("Mpps per direction") == 2
    with SAMPLE.open(newline="") as file:
        status = [row["status"] for row in csv.DictReader(file) if row["metric"] == "rplus_pps"]
    assert status.count("failed") > 0 and status.count("unsupported") > 0 and status.count("invalid") > 0
    assert found.count("failed") == status.count("failed")
    assert found.count("n/a") == status.count("unsupported")
    assert found.count("invalid") == status.count("invalid")
    assert found.count("*") == 4 and found.count("‡") == 4 and "missing" not in found
    footer = plain(" ".join(found))
    for part in ("median of n trials (n = 1 to 3)", "per direction", "smallest and largest trial",
                 "practical upper bound", "* oversubscribed:", "† TCG:", "‡ generator-limited:", "y axis is zoomed",
                 "n/a: the switch cannot", "failed: tried", "invalid (outline)", "Run: sample-invented-data."):
        assert part in footer


def test_prepared_values_are_those_of_the_csv(drawn):
    """Recomputed from the raw lines, without any of the module's code."""
    header, *lines = SAMPLE.read_text().splitlines()
    at = {name: i for i, name in enumerate(header.split(","))}
    rows = [line.split(",") for line in lines]      # the sample has no quoted field
    expected = {}
    for row in rows:
        if row[at["metric"]] != "rplus_pps":
            continue
        where = tuple(row[at[c]] for c in ("topology", "guest", "chain_length", "direction", "switch", "frame_bytes"))
        numbers = [f"{int(row[at[c]]) / 1e6:.6f}" if row[at[c]] else "nan" for c in ("value", "ci_low", "ci_high")]
        expected[where] = (numbers, {"unsupported": "n/a"}.get(row[at["status"]], row[at["status"]]))
    dat = (drawn / "throughput.dat").read_text()
    switches = [row["name"] for row in block(dat, "switches")]
    setups = [("p2p", "none", "0", "one-way"), ("p2p", "none", "0", "two-way"), ("p2v", "process", "1", "one-way"),
              ("p2v", "qemu", "1", "one-way"), ("v2v", "process", "1", "one-way"),
              ("loopback", "process", "1", "one-way"), ("loopback", "qemu", "1", "one-way"),
              ("loopback", "process", "2", "one-way")]
    found = {}
    for bar in block(dat, "bars"):
        where = (*setups[int(bar["panel"]) - 1], switches[int(bar["switch"]) - 1], bar["frame_bytes"])
        numbers = [f"{float(bar[c]):.6f}" for c in ("value", "low", "high")]
        found[where] = (numbers, bar["drawn"])
    assert found == expected
    assert len(found) == 8 * 5 * 3


def test_bars_stay_below_the_top_of_their_axis(drawn):
    dat = (drawn / "throughput.dat").read_text()
    top = {p["panel"]: float(p["y_max"]) for p in block(dat, "panels")}
    for bar in block(dat, "bars"):
        for column in ("value", "high"):
            assert not float(bar[column]) > top[bar["panel"]] * 0.8     # room for marks; nan is no bar


@needs_gnuplot
def test_redraw_from_the_prepared_data_alone(drawn, tmp_path):
    shutil.copy(drawn / "throughput.dat", tmp_path)
    subprocess.run(["gnuplot", "-d", "-c", str(drawing.PLOTS / "throughput.gp"), "svg"], cwd=tmp_path, check=True,
                   capture_output=True, timeout=30)
    again = drawing.finish_svg((tmp_path / "throughput.svg").read_text())
    assert again == (drawn / "throughput.svg").read_text()


# ---- panels, groups, bars ------------------------------------------------------------------------------------------

def test_panel_order_and_titles():
    c = chart(record(topology="loopback", guest="process", chain_length="10"),
              record(topology="loopback", guest="process", chain_length="2"),
              record(topology="v2v", guest="qemu", chain_length="2", accel="kvm"),
              record(topology="v2v-latency", guest="qemu", chain_length="0"), record(topology="p2p", direction="reverse"),
              record(topology="p2p", direction="two-way"), record(topology="p2p"), record(topology="mesh"))
    assert [(p.title, p.subtitle) for p in c.panels] == [
        ("(a) p2p", "one-way, no guest"), ("(b) p2p", "reverse, no guest"), ("(c) p2p", "two-way, no guest"),
        ("(d) v2v", "one-way, QEMU (KVM)"), ("(e) loopback, 2 nfs", "one-way, process guest"),
        ("(f) loopback, 10 nfs", "one-way, process guest"), ("(g) v2v-latency", "round trip, QEMU guest"),
        ("(h) mesh", "one-way, no guest")]


def test_every_switch_has_a_place_in_every_group():
    c = chart(record(switch="vpp"), record(switch="testpmd", frame_bytes="1518"), record(switch="null", topology="p2v"),
              record(switch="ovs-3.10"), record(switch="ovs-3.5"))
    assert c.switches == ("testpmd", "ovs-3.5", "ovs-3.10", "vpp", "null")
    assert [len(p.bars) for p in c.panels] == [10, 5]
    assert [b.drawn for b in c.panels[0].bars] == ["missing", "ok", "ok", "ok", "missing"] + ["ok"] + ["missing"] * 4


def test_na_failed_and_zero_are_three_things():
    bars = chart(record(switch="a", status="unsupported", value="", ci_low="", ci_high=""),
                 record(switch="b", status="failed", value="", ci_low="", ci_high=""),
                 record(switch="c", value="0", ci_low="0", ci_high="0")).panels[0].bars
    assert [(b.drawn, b.value) for b in bars] == [("n/a", None), ("failed", None), ("ok", 0.0)]


def test_a_value_beside_failed_or_unsupported_is_not_drawn():
    bars = chart(record(switch="a", status="failed", value="5000000"),
                 record(switch="b", status="unsupported", value="5000000")).panels[0].bars
    assert [b.value for b in bars] == [None, None]


def test_marks_of_all_bars_move_to_the_panel():
    one = chart(record(flags="oversubscribed"), record(switch="vpp", flags="generator_limited; oversubscribed"),
                record(switch="x", status="unsupported", value="")).panels[0]
    assert one.marks == "*" and [b.marks for b in one.bars] == ["", "‡", ""]
    some = chart(record(flags="oversubscribed"), record(switch="vpp")).panels[0]
    assert some.marks == "" and [b.marks for b in some.bars] == ["*", ""]
    assert chart(record(accel="tcg", guest="qemu")).panels[0].marks == "†"


def test_varying_flows_split_panels_instead_of_drawing_one_of_them():
    c = chart(record(flows="1000", value="3000000", ci_low="", ci_high=""), record(flows="1"),
              record(switch="vpp", flows="", status="failed", value=""))
    assert [(p.extra, p.bars[0].value, p.bars[1].drawn) for p in c.panels] == [
        ("1 flow", 4.8, "failed"), ("1000 flows", 3.0, "failed")]


def test_port_kinds_of_different_switches_share_a_panel():
    c = chart(record(), record(switch="linux-bridge", port_kind="veth"))
    assert len(c.panels) == 1 and c.panels[0].extra == ""


def test_second_row_of_a_bar_wins_and_is_named():
    c = chart(record(), record(value="5000000", ci_high="5100000"))
    assert c.panels[0].bars[0].value == 5.0
    assert c.warnings == ("results.csv lines 2 and 3 are of the same bar (ovs-dpdk, 64 bytes); the later one is drawn",)


def test_whiskers_that_do_not_enclose_the_value_are_left_out():
    c = chart(record(ci_low="4900000"), record(switch="vpp", ci_high=""), record(switch="x", ci_low="", ci_high=""))
    assert [(b.low, b.high) for b in c.panels[0].bars] == [(None, None)] * 3
    assert len(c.warnings) == 2


@pytest.mark.parametrize("field, bad", [("value", "nan"), ("value", "-1"), ("value", "4_800"), ("value", "0x10"),
                                        ("value", ""), ("value", "inf"), ("value", "1e13"), ("value", "١"),
                                        ("frame_bytes", "64 x"), ("frame_bytes", "0"), ("status", "fine"),
                                        ("unit", "Mpps"), ("chain_length", "-1"), ("switch", " ")])
def test_unreadable_field_leaves_out_the_row_and_names_it(field, bad):
    c = chart(record(switch="good"), record(switch="bad") | {field: bad})
    assert c.switches == ("good",)
    assert len(c.warnings) == 1 and c.warnings[0].startswith("results.csv line 3: ")


@pytest.mark.parametrize("peaks, zooms", [
    ([4.8], [1]), ([], []), ([0.0], [1]),
    ([24, 10, 9.5, 4.8, 0.09, 0.0], [1, 1, 24 / 9.5, 24 / 9.5, 24 / 0.09, 1])])
def test_scales_are_shared_where_they_can_be(peaks, zooms):
    axes = bars.scales(peaks)
    assert [zoom for _, _, zoom in axes] == pytest.approx(zooms)
    for peak, (y_max, y_step, _) in zip(peaks, axes):
        assert y_max > peak and 2 <= y_max / y_step <= 8


@pytest.mark.parametrize("panels", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("switches", [1, 4, 8])
@pytest.mark.parametrize("sizes", [1, 3, 5])
def test_layout_keeps_panels_apart_and_bars_visible(panels, switches, sizes):
    c = chart(*(record(topology="loopback", chain_length=str(p), switch=f"s{s}", frame_bytes=str(64 << f))
                for p in range(panels) for s in range(switches) for f in range(sizes)))
    sheet = page.layout(c)
    assert sheet.width in (page.COLUMN_PT, page.TEXT_PT) and len(sheet.places) == panels
    for i, a in enumerate(sheet.places):
        assert a.left > 20 and a.left + a.width <= sheet.width and a.top + a.height < sheet.axis[1]
        assert a.bar_width * a.width / sizes >= page.MIN_BAR_PT
        assert a.bar_width * switches <= page.GROUP_SHARE + 1e-9
        for b in sheet.places[i + 1:]:
            assert (abs(a.left - b.left) >= a.width + page.TICS_PT) or abs(a.top - b.top) >= a.height + 30
    assert all(page.text_width(line, page.SMALL_PT) <= sheet.width for _, _, line in sheet.footer)
    assert all(0 <= x and x < sheet.width for x, _ in sheet.legend)
    assert sheet.footer[-1][1] < sheet.height


@pytest.mark.parametrize("ns, says", [(("3",), "(n < 6 gives no confidence interval)"), (("10",), "Whiskers: 95 %"),
                                      (("3", "10"), "where n < 6, smallest"), (("",), "(n unknown)")])
def test_footer_says_what_whiskers_are(ns, says):
    c = chart(*(record(switch=f"s{i}", n=n) for i, n in enumerate(ns)))
    assert says in plain(" ".join(page.footer_text(c)))


def test_footer_tells_when_there_is_no_bound():
    assert "No upper bound" in page.footer_text(chart(record()))[0]
    assert "No upper bound" in page.footer_text(chart(record(switch="testpmd", status="failed")))[0]
    assert "practical upper bound" in page.footer_text(chart(record(switch="testpmd")))[0]


# ---- hostile and damaged input -------------------------------------------------------------------------------------

@needs_gnuplot
def test_hostile_names_are_shown_and_never_run(tmp_path):
    names = ["a'; system('touch pwned'); '", "x_y^{z}@q", '<b>&"q" #h', "back\\n\\\\slash %d `touch pwned`", "*",
             "{/:Bold x}"]
    rows = [record(switch=name, run_id="r\\n'\"`touch pwned`", topology="t'_{1}\\n", nf=name) for name in names]
    rows.append(record(switch="bell\a\x1b[0m\u202e\r\nnext", guest="'; !touch pwned"))
    run = run_with(tmp_path, to_csv(rows))
    figures.draw(run, formats=figures.FORMATS)
    found = texts(run / "figures" / "throughput.svg")
    for name in names:
        assert found.count(name) == 1
    assert "bell" + "\N{REPLACEMENT CHARACTER}" * 2 + "[0m" + "\N{REPLACEMENT CHARACTER}" * 3 + "next" in found
    assert "(b) t'_{1}\\n" in found
    assert any("r\\n'\"`touch pwned`" in plain(text) for text in found)
    assert not list(tmp_path.rglob("pwned")) and not Path("pwned").exists()


def test_unknown_switches_get_styles_of_their_own():
    """plots/style.gp: rows of four words, all different, the known names as the design lists them."""
    style = (drawing.PLOTS / "style.gp").read_text()
    known, spare = (re.search(rf'^{name} = "(.*?)"', style, re.S | re.M).group(1).replace("\\\n", " ").split()
                    for name in ("STYLES", "SPARE_STYLES"))
    assert set(known[::4]) == set("ovs-dpdk ovs-kernel ovs-userspace linux-bridge macvtap xdp testpmd vpp bess "
                                  "fastclick snabb t4p4s vale null".split())
    looks = [(words[i + 1], words[i + 2], words[i + 3] if words[i + 2] != "0" else "")
             for words in (known, spare) for i in range(0, len(words), 4)]
    assert len(set(looks)) == len(looks)
    assert len(spare) // 4 >= bars.MAX_SWITCHES


@needs_gnuplot
def test_cut_off_file_draws_the_whole_rows_and_names_the_rest(tmp_path):
    whole = to_csv([record(switch="testpmd"), record(), record(switch="vpp")])
    run = run_with(tmp_path, whole[:whole.index("vpp") + 60])
    warnings: list[str] = []
    figures.draw(run, formats=("svg",), warn=warnings.append)
    assert len(warnings) == 1 and "results.csv line 4: cut off" in warnings[0]
    assert "vpp" not in texts(run / "figures" / "throughput.svg")


def test_last_line_without_line_end_is_not_trusted():
    columns = tuple(c for c in COLUMNS if c != "value") + ("value",)
    text = to_csv([record(), record(switch="vpp")], columns).rstrip("\r\n")[:-3]    # ...,4800000 became ...,4800
    results = reading.read_results(text, columns)
    assert [row["switch"] for row in results.rows] == ["ovs-dpdk"]
    assert len(results.warnings) == 1 and "line 3" in results.warnings[0]


def test_open_quote_and_long_rows_are_named():
    text = to_csv([record()]) + 'a,b\r\n' + ",".join(["x"] * 30) + '\r\n"open,1,2\r\nmore\r\n'
    results = reading.read_results(text, COLUMNS)
    assert len(results.rows) == 1 and len(results.warnings) == 4
    assert [re.search(r"line (\d+)", w).group(1) for w in results.warnings] == ["3", "4", "5", "6"]


def test_columns_are_found_by_name():
    text = to_csv([record(flags="oversubscribed")], tuple(reversed(COLUMNS)) + ("later_column",))
    rows = reading.read_results(text, COLUMNS).rows
    assert rows[0]["switch"] == "ovs-dpdk" and rows[0]["flags"] == "oversubscribed"


@pytest.mark.parametrize("text, says", [
    ("", "is empty"),
    ("\r\n\r\n", "is empty"),
    (to_csv([]), "no row of metric rplus_pps"),
    (to_csv([record(metric="mfr_pps")]), "no row of metric rplus_pps"),
    (to_csv([record(value="lots")]), "results.csv line 2: value is 'lots'"),
    (to_csv([record()], [c for c in COLUMNS if c not in ("ci_low", "status")]), "lacks the columns status, ci_low"),
    (to_csv([record()]).replace("run_id", "switch", 1), "lacks the column run_id"),
    (to_csv([record()]).replace("cell_id", "switch", 1), "column switch twice"),
    (to_csv([record(switch=f"s{i}") for i in range(21)]), "21 switches"),
    (to_csv([record(topology="loopback", chain_length=str(i)) for i in range(61)]), "61 setups"),
    ("\x00\x01\x02 not a table at all", "lacks the columns"),
])
def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path, text, says):
    run = run_with(tmp_path, text)
    with pytest.raises(figures.FigureError) as error:
        figures.draw(run)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert str(run / "results.csv") in str(error.value)
    assert not list(run.glob("figures/throughput*"))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_gnuplot", lambda name, stem, kind, scratch, folder: (scratch / f"{stem}.{kind}").touch())
    assert figures.draw(run_with(tmp_path, "\ufeff" + to_csv([record()])), formats=("svg",))


def test_no_run_folder(tmp_path):
    with pytest.raises(BadInput, match="does not exist: give the folder of a run"):
        figures.draw(tmp_path / "nowhere")


def test_unknown_format(tmp_path):
    with pytest.raises(figures.FigureError, match="'jpg' is unknown"):
        figures.draw(run_with(tmp_path, to_csv([record()])), formats=("jpg",))


def test_without_gnuplot_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(figures.FigureError, match="gnuplot-nox"):
        figures.draw(run_with(tmp_path, to_csv([record()])))


@pytest.mark.parametrize("script", ["#!/bin/sh\necho 'line 7: it broke' >&2\nexit 3\n", "#!/bin/sh\nexit 0\n"])
def test_failing_gnuplot_keeps_the_old_drawing(tmp_path, monkeypatch, script):
    run = run_with(tmp_path, to_csv([record()]))
    (run / "figures").mkdir()
    (run / "figures" / "throughput.svg").write_text("old")
    fake = tmp_path / "bin" / "gnuplot"
    fake.parent.mkdir()
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(figures.FigureError, match="could not draw throughput.svg .*(it broke|no reason)"):
        figures.draw(run, formats=("svg",))
    assert sorted(p.name for p in (run / "figures").iterdir()) == ["throughput.dat", "throughput.svg"]
    assert (run / "figures" / "throughput.svg").read_text() == "old"


def test_many_warnings_are_cut_short(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(drawing, "_gnuplot", lambda name, stem, kind, scratch, folder: (scratch / f"{stem}.{kind}").touch())
    figures.draw(run_with(tmp_path, to_csv([record()] + [record(value="?")] * 50)), formats=("svg",))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 13 and lines[-1] == "figures: and 38 more like these"
