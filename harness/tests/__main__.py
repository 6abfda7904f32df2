# SPDX-License-Identifier: BSD-3-Clause
"""Runs all tests: ctest of the build folder, then pytest, as many at a time as there are CPUs, then those that want the
machine for themselves. What they say streams through; then come the skipped tests with their reasons, and as the last
line `total: N passed, M failed, K skipped`.

Counts are those of the JUnit XML that each writes, kept in the build folder. Exit status 0 if nothing failed and each
of them ran at least one test.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VSWBENCH_BUILD", ROOT / "build"))
NO_REASON = "no reason given"
FOLDERS = ("vnf/tests", "pktgen/tests", "harness/tests")    # whose longest files come first, so that none is left over
# What looks at a clock, and switches that run for real.
ALONE = ("harness/tests/test_built_switches.py", "harness/tests/test_kernelnf.py", "harness/tests/test_ports.py",
         "harness/tests/test_real_faults.py", "pktgen/tests/test_apart.py", "pktgen/tests/test_bare.py",
         "pktgen/tests/test_lanes.py", "pktgen/tests/test_meter.py", "pktgen/tests/test_requests.py",
         "pktgen/tests/test_trial.py", "vnf/tests/test_delay.py")


@dataclass(frozen=True)
class Suite:
    """A program that runs tests and writes `report`, a JUnit XML file."""

    name: str
    argv: Sequence[str]
    report: Path


@dataclass(frozen=True)
class Tally:
    """What became of a suite's tests: names, and names with reasons."""

    name: str
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def ran(self) -> bool:
        return bool(self.passed or self.failed)


def suites(build: Path) -> list[Suite]:
    """Those that there are."""
    ctest, pytest, alone = (build / f"junit-{name}.xml" for name in ("ctest", "pytest", "alone"))
    at_a_time = ["-n", str(len(os.sched_getaffinity(0))), "--dist", "loadfile"]      # of python3-pytest-xdist
    python = [sys.executable, "-m", "pytest", "-q"]
    return [
        Suite("ctest", ["ctest", "--test-dir", str(build), "--output-on-failure", "--output-junit", str(ctest)], ctest),
        Suite("pytest", [*python, f"--junitxml={pytest}", *at_a_time, *FOLDERS,
                         *(f"--ignore={file}" for file in ALONE)], pytest),
        Suite("pytest alone", [*python, f"--junitxml={alone}", *ALONE], alone),
    ]


def read(name: str, report: Path) -> Tally:
    """The tally of a JUnit XML file. ValueError if it is none."""
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ValueError(f"{report}: {error}") from None
    passed, failed, skipped = [], [], []
    for case in root.iter("testcase"):
        test = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed.append(test)
        elif skip is not None or case.get("status") in ("notrun", "disabled"):
            reason = "" if skip is None else skip.get("message") or (skip.text or "").strip()
            skipped.append((test, reason or NO_REASON))
        else:
            passed.append(test)
    return Tally(name, tuple(passed), tuple(dict.fromkeys(failed)), tuple(skipped))


def run(suite: Suite) -> Tally:
    """Run a suite. One that cannot run, leaves no report, or ends badly without a failed test, counts as failed."""
    suite.report.unlink(missing_ok=True)        # that of an earlier time would be taken for ours
    print(f"== {suite.name}", flush=True)
    try:
        status = subprocess.run(suite.argv, cwd=ROOT, check=False).returncode
        tally = read(suite.name, suite.report)
    except (OSError, ValueError) as error:
        return Tally(suite.name, failed=(f"{suite.name}: {error}",))
    if status != 0 and not tally.failed:
        return Tally(suite.name, tally.passed, (f"{suite.name}: ended with status {status}",), tally.skipped)
    return tally


def closing(tallies: Sequence[Tally]) -> list[str]:
    """The last lines: what was skipped and why, what failed, the total."""
    lines = [f"skipped: {test}: {reason}" for t in tallies for test, reason in t.skipped]
    lines += [f"failed: {test}" for t in tallies for test in t.failed]
    lines += [f"{t.name}: no test was run" for t in tallies if not t.ran]
    passed, failed, skipped = (sum(len(getattr(t, what)) for t in tallies) for what in ("passed", "failed", "skipped"))
    return [*lines, f"total: {passed} passed, {failed} failed, {skipped} skipped"]


def exit_status(tallies: Sequence[Tally]) -> int:
    """0 if nothing failed and each suite ran something."""
    return 0 if all(t.ran and not t.failed for t in tallies) else 1


def main(all_suites: Sequence[Suite]) -> int:
    tallies = [run(suite) for suite in all_suites]
    print("\n".join(closing(tallies)), flush=True)
    return exit_status(tallies)


if __name__ == "__main__":
    BUILD.mkdir(parents=True, exist_ok=True)
    sys.exit(main(suites(BUILD.resolve())))
