# SPDX-License-Identifier: BSD-3-Clause
"""The program behind `make test`: it counts what JUnit XML says, and is green only if everything ran and passed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.tests import __main__ as tests
from harness.tests.__main__ import Suite, Tally
from harness.tests.support import ROOT, write

PYTEST_XML = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="6">
<testcase classname="a.test_x" name="test_good" time="0.001" />
<testcase classname="a.test_x" name="test_bad[1-two]"><failure message="assert 1 == 2">long</failure></testcase>
<testcase classname="a.test_x" name="test_broken"><error message="failed on setup">long</error></testcase>
<testcase classname="a.test_x" name="test_skipped">
  <skipped type="pytest.skip" message="gnuplot is not installed">x</skipped></testcase>
<testcase classname="a.test_x" name="test_xfail"><skipped type="pytest.xfail" message="" /></testcase>
<testcase classname="a.test_x" name="test_worse"><failure message="x" /><error message="and at teardown" /></testcase>
</testsuite></testsuites>"""
CTEST_XML = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="Linux-c++" tests="4" failures="1" disabled="1" skipped="1" hostname="" time="0">
<testcase name="frame" classname="frame" time="0.01" status="run"><system-out>1 ok</system-out></testcase>
<testcase name="hist" classname="hist" time="0.01" status="fail"><failure message=""/></testcase>
<testcase name="pace" classname="pace" time="0.01" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
<testcase name="off" classname="off" time="0" status="disabled"/>
</testsuite>"""
GREEN = '<testsuite><testcase classname="a" name="b" status="run"/></testsuite>'


def of(tmp_path: Path, text: str) -> Tally:
    return tests.read("suite", write(tmp_path / "j.xml", text))


# ---- reading reports -----------------------------------------------------------------------------------------------

def test_a_report_of_pytest_is_counted(tmp_path: Path) -> None:
    tally = of(tmp_path, PYTEST_XML)
    assert tally.passed == ("a.test_x.test_good",)
    assert tally.failed == ("a.test_x.test_bad[1-two]", "a.test_x.test_broken", "a.test_x.test_worse")
    assert tally.skipped == (("a.test_x.test_skipped", "gnuplot is not installed"),
                             ("a.test_x.test_xfail", tests.NO_REASON))


def test_a_report_of_ctest_is_counted(tmp_path: Path) -> None:
    tally = of(tmp_path, CTEST_XML)
    assert (tally.passed, tally.failed) == (("frame.frame",), ("hist.hist",))
    assert tally.skipped == (("pace.pace", "SKIP_RETURN_CODE=77"), ("off.off", tests.NO_REASON))


def test_a_test_with_two_reports_of_failure_failed_once(tmp_path: Path) -> None:
    """pytest writes a second testcase of the same name for an error at teardown."""
    twice = "<testsuite>" + '<testcase classname="a" name="b"><error/></testcase>' * 2 + "</testsuite>"
    assert of(tmp_path, twice).failed == ("a.b",)


@pytest.mark.parametrize("text", ["", "<testsuite>", "hello", "\0"])
def test_a_report_that_is_none_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="j.xml"):
        of(tmp_path, text)


def test_a_report_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.xml"):
        tests.read("suite", tmp_path / "none.xml")


# ---- the verdict ---------------------------------------------------------------------------------------------------

PASSED, FAILED = Tally("x", passed=("a", "b")), Tally("x", passed=("a",), failed=("b",))
SKIPPED, NOTHING = Tally("y", skipped=(("c", "no KVM"), ("d", "not root"))), Tally("z")


def test_the_last_line_is_the_total() -> None:
    assert tests.closing([PASSED, FAILED, SKIPPED])[-1] == "total: 3 passed, 1 failed, 2 skipped"
    assert tests.closing([])[-1] == "total: 0 passed, 0 failed, 0 skipped"


def test_skipped_tests_stand_there_with_their_reasons() -> None:
    assert tests.closing([PASSED, SKIPPED])[:2] == ["skipped: c: no KVM", "skipped: d: not root"]


def test_failed_tests_stand_there_by_name() -> None:
    assert "failed: b" in tests.closing([FAILED])


@pytest.mark.parametrize("tallies, status", [
    ([PASSED, PASSED], 0), ([PASSED, FAILED], 1), ([FAILED, PASSED], 1), ([PASSED, NOTHING], 1),
    ([PASSED, SKIPPED], 1)],
    ids=["all passed", "one failed last", "one failed first", "one ran nothing", "one skipped everything"])
def test_green_is_only_what_ran_and_passed(tallies: list[Tally], status: int) -> None:
    assert tests.exit_status(tallies) == status


# ---- running -------------------------------------------------------------------------------------------------------

def fake(tmp_path: Path, report: str | None, status: int = 0, name: str = "fake") -> Suite:
    """A suite that says hello, writes this report and ends so."""
    file = tmp_path / f"{name}.xml"
    text = f"import sys; print('hello of {name}'); "
    text += f"open({str(file)!r}, 'w').write({report!r}); " if report is not None else ""
    return Suite(name, [sys.executable, "-c", text + f"sys.exit({status})"], file)


def test_all_that_passes_is_green_and_streams_through(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert tests.main([fake(tmp_path, GREEN, name="one"), fake(tmp_path, GREEN, name="two")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("hello")] == ["hello of one", "hello of two"]
    assert lines[-1] == "total: 2 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize("report, status, words", [
    (PYTEST_XML, 1, ["test_broken"]), (None, 0, ["fake.xml"]), (None, 5, ["fake.xml"]), ("", 0, ["fake.xml"]),
    (GREEN, 3, ["status 3"]), ("<testsuite/>", 0, ["no test was run"])],
    ids=["a failed test", "no report", "no report and a bad end", "an empty report", "a bad end alone",
         "no test at all"])
def test_whatever_goes_wrong_is_red(report: str | None, status: int, words: list[str], tmp_path: Path,
                                    capfd: pytest.CaptureFixture[str]) -> None:
    assert tests.main([fake(tmp_path, GREEN, name="other"), fake(tmp_path, report, status)]) == 1
    out = capfd.readouterr().out
    assert [w for w in words if w not in out] == [] and out.splitlines()[-1].startswith("total: ")


def test_a_report_of_an_earlier_time_does_not_count(tmp_path: Path) -> None:
    suite = fake(tmp_path, None)
    write(suite.report, GREEN)
    assert tests.run(suite).failed and not tests.run(suite).passed


def test_a_suite_that_cannot_be_started_is_red(tmp_path: Path) -> None:
    assert tests.run(Suite("x", [str(tmp_path / "none")], tmp_path / "x.xml")).failed


def test_the_second_suite_runs_even_if_the_first_fails(tmp_path: Path) -> None:
    second = fake(tmp_path, GREEN, name="second")
    tests.main([fake(tmp_path, None, 1, name="first"), second])
    assert second.report.exists()


@pytest.mark.skipif(shutil.which("ctest") is None, reason="ctest is not installed")
def test_ctest_writes_what_we_read(tmp_path: Path) -> None:
    """A build folder of three tests, without CMake."""
    write(tmp_path / "CTestTestfile.cmake",
          'add_test(good "true")\nadd_test(bad "false")\nadd_test(skip "sh" "-c" "exit 77")\n'
          'set_tests_properties(skip PROPERTIES SKIP_RETURN_CODE 77)\n')
    ctest = tests.suites(tmp_path)[0]
    subprocess.run(ctest.argv, capture_output=True, check=False)
    tally = tests.read("ctest", ctest.report)
    assert (tally.passed, tally.failed) == (("good.good",), ("bad.bad",))
    assert [name for name, _ in tally.skipped] == ["skip.skip"]


def test_pytest_writes_what_we_read(tmp_path: Path) -> None:
    write(tmp_path / "test_it.py", "import pytest\ndef test_good(): pass\ndef test_bad(): assert 0\n"
          "def test_skip(): pytest.skip('for a reason')\n")
    for suite in tests.suites(tmp_path)[1:]:        # side by side, and alone
        argv = [*(word for word in suite.argv if "/tests" not in word), "-p", "no:cacheprovider", str(tmp_path)]
        subprocess.run(argv, capture_output=True, check=False, cwd=tmp_path)
        tally = tests.read("pytest", suite.report)
        assert [len(x) for x in (tally.passed, tally.failed, tally.skipped)] == [1, 1, 1]
        assert "for a reason" in tally.skipped[0][1]


def test_every_test_is_run_once(tmp_path: Path) -> None:
    _, together, alone = (suite.argv for suite in tests.suites(tmp_path))
    files = {word for word in alone if word.endswith(".py")}
    assert files == {word.partition("=")[2] for word in together if word.startswith("--ignore=")}
    assert files and all((ROOT / file).is_file() and file.startswith(tests.FOLDERS) for file in files)
    assert {str(p.parent.relative_to(ROOT)) for p in ROOT.glob("*/**/test_*.py") if "results" not in p.parts
            and "build" not in p.parts} == set(tests.FOLDERS) <= set(together)


def test_the_current_folder_is_no_part_of_vswbench(tmp_path: Path) -> None:
    """Another checkout, or a file of the person's that is named as a module, is not what runs."""
    for name in ("harness/__main__.py", "json.py"):
        write(tmp_path / name, "raise SystemExit(7)")
    done = subprocess.run([ROOT / "vswbench", "plan", ROOT / "scenarios" / "null.toml"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
