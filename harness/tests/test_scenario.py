# SPDX-License-Identifier: BSD-3-Clause
"""Scenario, suite and testbed files: those of the project load and plan, and bad ones are refused in a line that says
file, key, and what is allowed, before anything is started.
"""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from harness import bed, cli, expand, host, plan, scenario
from harness.errors import BadInput
from harness.peers import Image
from harness.switches import SWITCHES
from harness.tests.support import CPUS, NULL_CELL, QUICK, ROOT, cells_of, cells_of_text, vswbench, words_missing, write
from harness.topology import TOPOLOGIES

SHIPPED = sorted(p for p in (ROOT / "scenarios").glob("**/*.toml") if "testbeds" not in p.parts)
TESTBEDS = sorted((ROOT / "scenarios" / "testbeds").glob("*.toml"))

MATRIX = '[matrix]\ntopology = "p2p"\nswitch = "ovs-dpdk"\n'
HEAD = 'name = "t"\n'


def refusal(call: object, *arguments: object) -> str:
    """The one line with which a call refuses its input."""
    with pytest.raises(BadInput) as caught:
        call(*arguments)  # type: ignore[operator]
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---- what is shipped -----------------------------------------------------------------------------------------------

def test_there_is_a_scenario_of_every_topology_and_the_two_suites() -> None:
    names = {p.stem for p in SHIPPED}
    assert {*TOPOLOGIES, "chain", "null", "quick", "smoke"} <= names


@pytest.mark.parametrize("driver", SWITCHES, ids=lambda d: d.name)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_file_plans_for_every_switch(path: Path, driver: object) -> None:
    cells = cells_of(path, switches=[driver.name])
    assert cells and {c.switch.driver for c in cells} == {driver.name}
    for cell in cells:
        if not cell.unsupported:
            assert plan.setup(cell, bed.load(None), Image("b", "k", "i"), "/r", "/l", "tcg").peers


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_file_can_be_measured_as_it_stands_on_two_cpus(path: Path) -> None:
    cells = cells_of(path, cpus=(0, 1))
    if path.stem not in ("all", "kernel-path"):     # there switches are asked for ports that they do not have
        assert not [c.unsupported for c in cells if c.unsupported]
    supported = Counter(c.point for c in cells if not c.unsupported)
    assert set(supported) == {c.point for c in cells} and min(supported.values()) >= (2 if path.stem == "all" else 1)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_file_opens_with_its_licence_and_its_purpose(path: Path) -> None:
    first, second = path.read_text().splitlines()[:2]
    assert first == "# SPDX-License-Identifier: BSD-3-Clause"
    assert second.startswith(f"# {path.stem}: ")


def test_every_shipped_testbed_plans_the_quick_suite() -> None:
    for path in TESTBEDS:
        assert expand.expand(scenario.load(QUICK), bed.load(path), bed.load(path).cpus or CPUS)


def test_the_quick_suite_is_what_the_issue_lists() -> None:
    """8 points of p2p and process guests twice over, in 64 and 1024 bytes, for two switches."""
    points = {(c.topology.name, c.direction, c.guest, c.chain_length) for c in cells_of(QUICK)}
    assert points == {("p2p", "one-way", "none", 0), ("p2p", "two-way", "none", 0), ("p2v", "one-way", "process", 0),
                      ("p2v", "one-way", "qemu", 0), ("v2v", "one-way", "process", 0),
                      ("v2v", "two-way", "process", 0), ("loopback", "one-way", "process", 1),
                      ("loopback", "one-way", "qemu", 1), ("loopback", "one-way", "process", 2)}
    assert {(c.frame_bytes, c.switch.name) for c in cells_of(QUICK)} == {
        (size, name) for size in (64, 1024) for name in ("ovs-dpdk", "testpmd")}


# ---- what a file means ---------------------------------------------------------------------------------------------

def test_defaults_are_filled_in(tmp_path: Path) -> None:
    [one] = scenario.load(write(tmp_path / "t.toml", HEAD + MATRIX))
    assert one.matrix["frame_bytes"] == (64,) and one.matrix["direction"] == ("one-way",)
    assert one.search.trials == 3 and one.search.latency_at_rplus == ()


def test_one_value_and_a_list_of_one_are_the_same(tmp_path: Path) -> None:
    one = scenario.load(write(tmp_path / "t.toml", HEAD + MATRIX + "frame_bytes = 128\n"))
    many = scenario.load(write(tmp_path / "t.toml", HEAD + MATRIX + "frame_bytes = [128]\n"))
    assert one == many


def test_an_override_replaces_key_by_key_and_leaves_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "t.toml",
          HEAD + MATRIX + "frame_bytes = [64, 128]\nflows = 7\n[search]\ntrials = 9\nwarmup_s = 3\n")
    [one] = scenario.load(write(tmp_path / "s.toml", 'scenarios = ["t.toml"]\n[override.matrix]\nframe_bytes = 256\n'
                                '[override.search]\ntrials = 1\n'))
    assert one.matrix["frame_bytes"] == (256,) and one.matrix["flows"] == (7,)
    assert (one.search.trials, one.search.warmup_s) == (1, 3)


def test_files_of_a_suite_are_found_beside_the_suite_wherever_we_are(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a" / "t.toml", HEAD + MATRIX)
    suite = write(tmp_path / "a" / "s" / "s.toml", 'scenarios = ["../t.toml"]')
    monkeypatch.chdir("/")
    assert [s.name for s in scenario.load(suite)] == ["t"]


def test_the_order_of_a_suite_is_the_order_of_measurement(tmp_path: Path) -> None:
    for name in "bca":
        write(tmp_path / f"{name}.toml", f'name = "{name}"\n' + MATRIX)
    suite = write(tmp_path / "s.toml", 'scenarios = ["b.toml", "c.toml", "a.toml"]')
    assert [c.scenario for c in cells_of(suite)] == ["b", "c", "a"]


def test_a_switch_of_the_command_line_replaces_those_of_the_scenario(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, MATRIX, switches=["old=ovs-dpdk@/opt/old", "new=ovs-dpdk@/opt/new", "testpmd"])
    assert [(c.switch.name, c.switch.driver, c.switch.prefix) for c in cells] == [
        ("old", "ovs-dpdk", "/opt/old"), ("new", "ovs-dpdk", "/opt/new"), ("testpmd", "testpmd", "/usr")]


def test_options_of_a_switch_are_typed_behind_it(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, MATRIX, switches=["a=testpmd,forward=macswap", "b=ovs-dpdk@/opt/ovs,smc,emc=false",
                                                      "c=testpmd,forward=io"])
    assert [(c.switch.prefix, c.switch.options) for c in cells] == [
        ("/usr", (("forward", "macswap"),)), ("/opt/ovs", (("emc", False), ("smc", True))), ("/usr", ())]


def test_options_of_a_testbed_entry_are_checked_when_it_is_used(tmp_path: Path) -> None:
    text = 'name = "b"\n[switch.swap]\ndriver = "testpmd"\noptions = {forward = "%s"}\n'
    testbed = write(tmp_path / "bed.toml", text % "macswap")
    [cell] = cells_of_text(tmp_path, MATRIX, switches=["swap"], testbed=testbed)
    assert cell.switch.options == (("forward", "macswap"),)
    with pytest.raises(BadInput, match="switch 'swap': options: key 'forward' is 'swop'"):
        cells_of_text(tmp_path, MATRIX, switches=["swap"], testbed=write(tmp_path / "bed.toml", text % "swop"))


@pytest.mark.parametrize("typed, said", [
    ("a=testpmd,forwrd=io", "unknown key 'forwrd'; did you mean 'forward'"), ("a=testpmd,forward", "allowed is one of"),
    ("a=ovs-dpdk,emc=maybe", "option 'emc=maybe': allowed is emc=true or false"),
    ("a=null,fast=1", "unknown key 'fast'"), ("a=vpp,rules=10,rules=10", "option 'rules' comes twice"),
    ("vpp,rules=10", "options stand behind NAME=DRIVER: say 'vpp=vpp,rules=10'"),
    ("ovs-dpdk,smc", "options stand behind NAME=DRIVER: say 'ovs-dpdk=ovs-dpdk,smc'")])
def test_options_that_a_switch_does_not_have_are_named(tmp_path: Path, typed: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        cells_of_text(tmp_path, MATRIX, switches=[typed])


def test_a_switch_of_the_testbed_is_known_by_its_name(tmp_path: Path) -> None:
    testbed = write(tmp_path / "bed.toml", 'name = "b"\n[switch.newer]\ndriver = "testpmd"\nprefix = "/opt/dpdk"\n')
    [cell] = cells_of_text(tmp_path, MATRIX, switches=["newer"], testbed=testbed)
    assert (cell.switch.name, cell.switch.driver, cell.switch.prefix) == ("newer", "testpmd", "/opt/dpdk")


# ---- bad input through the command line ----------------------------------------------------------------------------

LONG = "9" * 400
BAD_SCENARIOS = [
    ("unknown key, with a near one", HEAD + MATRIX + "frame_byte = 64", ["frame_byte'", "did you mean 'frame_bytes'?"]),
    ("unknown key, with none near", HEAD + MATRIX + "zzz = 64", ["'zzz'", "known are", "topology", "frame_bytes"]),
    ("unknown table", HEAD + MATRIX + "[serach]\ntrials = 1", ["'serach'", "did you mean 'search'?"]),
    ("unknown key of [search]", HEAD + MATRIX + "[search]\ntrails = 1",
     ["[search]", "'trails'", "did you mean 'trials'?"]),
    ("unknown key of [latency]", HEAD + MATRIX + "[latency]\nat_rplu = 1", ["[latency]", "did you mean 'at_rplus'?"]),
    ("unknown key of [telemetry]", HEAD + MATRIX + "[telemetry]\ntrial = 1",
     ["[telemetry]", "'trial'", "did you mean 'trials'?"]),
    ("a negative number of telemetry trials", HEAD + MATRIX + "[telemetry]\ntrials = -1",
     ["[telemetry]", "'trials'", "from 0 to"]),
    ("telemetry too short to see anything", HEAD + MATRIX + "[telemetry]\ntrial_s = 0.01",
     ["[telemetry]", "'trial_s'", "from 0.1 to"]),
    ("telemetry at loads, in no trial", HEAD + MATRIX + "[telemetry]\nat_rplus = 0.5",
     ["[telemetry]", "'at_rplus'", "trials = 1"]),
    ("telemetry that is no table", HEAD + "telemetry = 1\n" + MATRIX, ["[telemetry]", "table"]),
    ("a string for a number", HEAD + MATRIX + 'frame_bytes = "64"',
     ["'frame_bytes'", "'64'", "a whole number from 64 to 9216"]),
    ("true for a number", HEAD + MATRIX + "frame_bytes = true", ["'frame_bytes'", "whole number from 64 to 9216"]),
    ("a fraction for a count", HEAD + MATRIX + "frame_bytes = 64.5", ["'frame_bytes'", "whole number from 64 to 9216"]),
    ("a table for a number", HEAD + MATRIX + "frame_bytes = {a = 1}", ["'frame_bytes'", "whole number"]),
    ("a list in a list", HEAD + MATRIX + "frame_bytes = [[64]]", ["'frame_bytes'", "whole number"]),
    ("a number for a word", HEAD + '[matrix]\ntopology = 2\nswitch = "ovs-dpdk"',
     ["'topology'", "one of p2p, p2v, v2v, loopback"]),
    ("a frame too small", HEAD + MATRIX + "frame_bytes = 63", ["'frame_bytes'", "63", "from 64 to 9216"]),
    ("a frame too large", HEAD + MATRIX + "frame_bytes = [64, 9217]", ["'frame_bytes'", "9217", "from 64 to 9216"]),
    ("a negative number of flows", HEAD + MATRIX + "flows = -1", ["'flows'", "-1", "from 1 to"]),
    ("no flows", HEAD + MATRIX + "flows = 0", ["'flows'", "from 1 to"]),
    ("a chain too long", HEAD + MATRIX + "chain_length = 17", ["'chain_length'", "17", "from 1 to 16"]),
    ("no trials", HEAD + MATRIX + "[search]\ntrials = 0", ["'trials'", "from 1 to"]),
    ("half a trial", HEAD + MATRIX + "[search]\ntrials = 1.5", ["'trials'", "whole number"]),
    ("a trial of no time", HEAD + MATRIX + "[search]\ntrial_s = 0", ["'trial_s'", "a number from 0.01 to 3600"]),
    ("a trial without end", HEAD + MATRIX + "[search]\ntrial_s = inf", ["'trial_s'", "a number from"]),
    ("a time that is no number", HEAD + MATRIX + "[search]\ntrial_s = nan", ["'trial_s'", "a number from"]),
    ("a time beyond all numbers", HEAD + MATRIX + f"[search]\ntrial_s = {LONG}", ["'trial_s'", "a number from"]),
    ("a count beyond all numbers", HEAD + MATRIX + f"flows = {LONG}", ["'flows'", "from 1 to"]),
    ("a count Python does not even read", HEAD + MATRIX + f"flows = {LONG * 20}", ["t.toml"]),
    ("a negative warm-up", HEAD + MATRIX + "[search]\nwarmup_s = -0.1", ["'warmup_s'", "from 0 to"]),
    ("a fraction above all", HEAD + MATRIX + "[latency]\nat_rplus = [0.5, 2.1]", ["'at_rplus'", "2.1", "to 2"]),
    ("a fraction of nothing", HEAD + MATRIX + "[latency]\nat_rplus = 0", ["'at_rplus'", "from 0.0001"]),
    ("an unknown search", HEAD + MATRIX + '[search]\nkind = "rplsu"', ["'kind'", "rplus", "did you mean"]),
    ("an empty list", HEAD + MATRIX + "frame_bytes = []", ["'frame_bytes'", "empty list", "whole number"]),
    ("an empty list of switches", HEAD + '[matrix]\ntopology = "p2p"\nswitch = []', ["'switch'", "empty list"]),
    ("a value twice", HEAD + MATRIX + "frame_bytes = [64, 128, 64]", ["'frame_bytes'", "twice"]),
    ("a fraction twice, written differently", HEAD + MATRIX + "[latency]\nat_rplus = [1, 1.0]",
     ["'at_rplus'", "twice"]),
    ("an unknown topology", HEAD + MATRIX.replace("p2p", "p2q"),
     ["'topology'", "one of p2p, p2v, v2v, loopback", "did you mean"]),
    ("an unknown guest", HEAD + MATRIX + 'guest = "qmu"', ["'guest'", "did you mean 'qemu'?"]),
    ("an unknown nf", HEAD + MATRIX + 'nf = "oi"', ["'nf'", "io, macswap"]),
    ("no topology", HEAD + '[matrix]\nswitch = "ovs-dpdk"', ["'topology'", "missing", "one of p2p"]),
    ("no matrix", HEAD, ["[matrix]", "'topology'", "missing"]),
    ("a matrix that is no table", HEAD + "matrix = 3", ["[matrix]", "table"]),
    ("a search that is no table", HEAD + "search = [1]\n" + MATRIX, ["[search]", "table"]),
    ("no guest where one is needed", HEAD + MATRIX.replace("p2p", "p2v"), ["'guest'", "p2v", "process", "qemu"]),
    ("two-way where there is none", HEAD + MATRIX.replace("p2p", "v2v-latency")
     + 'guest = "process"\ndirection = "two-way"', ["v2v-latency", "direction", "round trips", "one-way"]),
    ("an unknown switch", HEAD + MATRIX.replace("ovs-dpdk", "ovs-dpkd"), ["'ovs-dpkd'", "ovs-dpdk", "testpmd", "null"]),
    ("a switch with an evil name", HEAD + MATRIX.replace("ovs-dpdk", "../x=null"), ["'../x=null'", "letters"]),
    ("no switch", HEAD + '[matrix]\ntopology = "p2p"', ["switch", "--switch"]),
    ("no name", MATRIX, ["'name'", "letters"]),
    ("an empty name", 'name = ""\n' + MATRIX, ["'name'", "letters"]),
    ("a name with a path", 'name = "../x"\n' + MATRIX, ["'name'", "letters", "../x"]),
    ("a name that is no word", "name = 5\n" + MATRIX, ["'name'", "5"]),
    ("a name in another alphabet", 'name = "наме"\n' + MATRIX, ["'name'"]),
    ("a name longer than a file name", f'name = "{"x" * 300}"\n' + MATRIX, ["'name'"]),
    ("no TOML", "name = }", ["not TOML", "line 1"]),
    ("a key twice", HEAD + MATRIX + "flows = 1\nflows = 2", ["not TOML"]),
    ("an empty file", "", ["'name'"]),
    ("lists too deep", HEAD + "a = " + "[" * 5000, ["not TOML"]),
]
BAD_SUITES = [
    ("a missing file, with a near one", 'scenarios = ["innre.toml"]',
     ["innre.toml", "no such file", "did you mean 'inner.toml'?"]),
    ("a missing file, with none near", 'scenarios = ["zzzzzz"]', ["zzzzzz", "no such file"]),
    ("a folder for a file", 'scenarios = ["."]', ["cannot be read"]),
    ("a name no file can have", 'scenarios = ["a\\u0000b"]', ["cannot be read"]),
    ("a suite in a suite", 'scenarios = ["suite2.toml"]', ["suite2.toml", "a suite cannot hold a suite"]),
    ("no list", 'scenarios = "inner.toml"', ["'scenarios'", "list of file names"]),
    ("an empty list", "scenarios = []", ["'scenarios'", "list of file names"]),
    ("numbers for files", "scenarios = [1]", ["'scenarios'", "list of file names"]),
    ("an unknown key", 'scenarios = ["inner.toml"]\noveride = 1', ["'overide'", "did you mean 'override'?"]),
    ("a file twice", 'scenarios = ["inner.toml", "inner.toml"]', ["two scenarios", "'inner'"]),
    ("an override of no table", 'scenarios = ["inner.toml"]\noverride = 3', ["override", "table"]),
    ("an override that is a list", 'scenarios = ["inner.toml"]\noverride = [1]', ["override", "table"]),
    ("an override of a table there is not", 'scenarios = ["inner.toml"]\n[override.latncy]\ntrial_s = 1',
     ["[override]", "'latncy'", "did you mean 'latency'?"]),
    ("an override of a key there is not", 'scenarios = ["inner.toml"]\n[override.search]\ntrails = 1',
     ["inner.toml", "[override]", "did you mean 'trials'?"]),
    ("an override out of range", 'scenarios = ["inner.toml"]\n[override.matrix]\nframe_bytes = 1',
     ["inner.toml", "[override]", "'frame_bytes'", "from 64 to 9216"]),
    ("an override that replaces a table", 'scenarios = ["inner.toml"]\n[override]\nmatrix = 3', ["[matrix]", "table"]),
]
BAD_TESTBEDS = [
    ("no name", "[cores]\ncpus = 0", ["'name'", "string"]),
    ("an unknown table", 'name = "b"\n[core]\ncpus = 0', ["'core'", "did you mean 'cores'?"]),
    ("an unknown key", 'name = "b"\n[cores]\ncpu = 0', ["[cores]", "did you mean 'cpus'?"]),
    ("a negative CPU", 'name = "b"\n[cores]\ncpus = [0, -1]', ["'cpus'", "-1", "from 0 to 4095"]),
    ("a CPU twice", 'name = "b"\n[cores]\ncpus = [0, 0]', ["'cpus'", "twice"]),
    ("a CPU there is not", 'name = "b"\n[cores]\ncpus = [4095]', ["'cpus'", "4095", "may use"]),
    ("no CPU", 'name = "b"\n[cores]\ncpus = []', ["'cpus'", "empty list"]),
    ("all CPUs for the switch", 'name = "b"\n[cores]\nswitch_cpus = 64', ["'switch_cpus'", "64"]),
    ("a ring of another size", 'name = "b"\n[ports]\nring_size = 100', ["'ring_size'", "one of 256, 512, 1024"]),
    ("an unknown accelerator", 'name = "b"\n[qemu]\naccel = "kvn"', ["'accel'", "did you mean 'kvm'?"]),
    ("memory that is no pages of 2 MiB", 'name = "b"\n[qemu]\nmemory_mib = 385', ["'memory_mib' is 385", "even"]),
    ("too little memory", 'name = "b"\n[qemu]\nmemory_mib = 100', ["'memory_mib'", "from 256"]),
    ("switches that are no tables", 'name = "b"\nswitch = 3', ["[switch.NAME]", "tables"]),
    ("a switch that is no table", 'name = "b"\n[switch]\nx = 3', ["[switch.x]", "table"]),
    ("a switch without a driver", 'name = "b"\n[switch.x]\nprefix = "/usr"', ["[switch.x]", "'driver'", "missing"]),
    ("a switch with an unknown key", 'name = "b"\n[switch.x]\ndriver = "null"\npath = 1', ["[switch.x]", "'path'"]),
]


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if a process is started or the machine is taken."""
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was started")
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(host, "hold_machine", refuse)
    monkeypatch.setattr(host, "run_folder", refuse)


def check_refused(command: str, arguments: list[object], named: str, words: list[str], tmp_path: Path,
                  capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "results")] if command == "run" else []
    status = cli.main([command, *map(str, arguments), *out])
    said = capsys.readouterr()
    assert status == 2, said
    assert said.out == ""
    assert said.err.startswith("vswbench: ") and said.err.count("\n") == 1, said.err
    assert words_missing(said.err, [named, *words]) == [], said.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("text, words", [row[1:] for row in BAD_SCENARIOS], ids=[row[0] for row in BAD_SCENARIOS])
def test_a_bad_scenario_is_refused(text: str, words: list[str], tmp_path: Path, nothing_starts: None,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", text)
    check_refused("run", [file], "t.toml", words, tmp_path, capsys)


@pytest.mark.parametrize("command", ["plan", "check"])
def test_plan_and_check_refuse_what_run_refuses(command: str, tmp_path: Path, nothing_starts: None,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", HEAD + MATRIX + "frame_byte = 64")
    check_refused(command, [file], "t.toml", ["did you mean 'frame_bytes'?"], tmp_path, capsys)


@pytest.mark.parametrize("text, words", [row[1:] for row in BAD_SUITES], ids=[row[0] for row in BAD_SUITES])
def test_a_bad_suite_is_refused(text: str, words: list[str], tmp_path: Path, nothing_starts: None,
                                capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "inner.toml", 'name = "inner"\n' + MATRIX)
    write(tmp_path / "suite2.toml", 'scenarios = ["inner.toml"]')
    file = write(tmp_path / "suite.toml", text)
    check_refused("run", [file], str(tmp_path), words, tmp_path, capsys)


@pytest.mark.parametrize("text, words", [row[1:] for row in BAD_TESTBEDS], ids=[row[0] for row in BAD_TESTBEDS])
def test_a_bad_testbed_is_refused(text: str, words: list[str], tmp_path: Path, nothing_starts: None,
                                  capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cpus", lambda: [0, 1, 2])
    file = write(tmp_path / "b.toml", text)
    scenario_file = write(tmp_path / "t.toml", HEAD + NULL_CELL)
    check_refused("run", [scenario_file, "--testbed", file], "b.toml", words, tmp_path, capsys)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path, nothing_starts: None,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.toml").write_bytes(b"name = \"\xff\"\n")
    check_refused("run", [tmp_path / "t.toml"], "t.toml", ["cannot be read"], tmp_path, capsys)


def test_a_missing_file_is_refused(tmp_path: Path, nothing_starts: None, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "loopback.toml", HEAD + MATRIX)
    check_refused("run", [tmp_path / "lopback.toml"], "lopback.toml", ["no such file", "did you mean 'loopback.toml'?"],
                  tmp_path, capsys)


def test_a_missing_testbed_is_refused(tmp_path: Path, nothing_starts: None, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", HEAD + NULL_CELL)
    check_refused("run", [file, "--testbed", tmp_path / "none.toml"], "none.toml", ["no such file"], tmp_path, capsys)


def test_the_same_cell_twice_is_refused(tmp_path: Path, nothing_starts: None,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", HEAD + NULL_CELL)
    check_refused("run", [file, file], "t.toml", ["twice"], tmp_path, capsys)
    check_refused("run", [file, "--switch", "null", "--switch", "null"], "t.toml", ["twice"], tmp_path, capsys)


@pytest.mark.parametrize("switch", ["nul", "=null", "a=b", "a b=null", "x/y=null", "a=@/usr", ""])
def test_a_bad_switch_on_the_command_line_is_refused(switch: str, tmp_path: Path, nothing_starts: None,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.toml", HEAD + NULL_CELL)
    check_refused("run", [file, "--switch", switch], f"switch '{switch}'", [], tmp_path, capsys)


@pytest.mark.parametrize("arguments", [[], ["mesure"], ["plan"], ["run", "x.toml", "--swich", "null"]],
                         ids=["nothing", "an unknown command", "plan without a file",
                              "an unknown option"])
def test_a_bad_command_line_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: vswbench" in capsys.readouterr().err


def test_a_whole_process_says_one_line_and_no_traceback(tmp_path: Path) -> None:
    file = write(tmp_path / "t.toml", HEAD + NULL_CELL + "frame_byte = 64\n")
    status, out, err = vswbench(tmp_path, "run", file, "--out", tmp_path / "results")
    assert (status, out) == (2, "")
    assert err == f"vswbench: {file}: [matrix]: unknown key 'frame_byte'; did you mean 'frame_bytes'?\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.toml"]


def test_a_results_folder_that_cannot_be_made_is_said_in_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "t.toml", HEAD + NULL_CELL)
    status, _, err = vswbench(tmp_path, "run", file, "--out", file)
    assert status in (1, 2) and "Traceback" not in err and str(file) in err and err.count("\n") == 1, err


def test_refusals_of_a_library_call_are_one_line_too(tmp_path: Path) -> None:
    assert "t.toml" in refusal(scenario.load, write(tmp_path / "t.toml", "x = 1"))
    assert "b.toml" in refusal(bed.load, write(tmp_path / "b.toml", "x = 1"))
