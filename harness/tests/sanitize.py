# SPDX-License-Identifier: BSD-3-Clause
"""Runs what tests the C programs (ctest, pktgen/tests, vnf/tests) once under the address and undefined-behaviour
sanitizers and once under the thread sanitizer. Slow, so not part of all tests: `make test-sanitize`.

The builds lie in sanitize-address/ and sanitize-thread/ of the build folder. Closing lines and exit status are those of
all tests, summed over both. The fuzz targets stay out: they are built with sanitizers anyway.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from harness.tests.__main__ import BUILD, ROOT, Suite, Tally, closing, exit_status, run, suites

BUILDS = {"sanitize-address": "address,undefined", "sanitize-thread": "thread"}
PYTEST = ["-q", "pktgen/tests", "vnf/tests", "--ignore=pktgen/tests/test_fuzz.py"]


def build(folder: Path, sanitizers: str) -> bool:
    """Configures and builds; False if that failed, which it then said."""
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), f"-DSANITIZE={sanitizers}"]
    make = ["cmake", "--build", str(folder), "--parallel", str(os.cpu_count() or 1)]
    for argv in (configure, make):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
            return False
    return True


def instrumented(folder: Path) -> list[Suite]:
    """The suites of all tests, without those that have no C program under test."""
    ctest, pytest, _ = suites(folder)
    report = f"--junitxml={pytest.report}"
    return [replace(ctest, name=f"{folder.name}: ctest"),
            replace(pytest, name=f"{folder.name}: pytest", argv=[sys.executable, "-m", "pytest", report, *PYTEST])]


def main() -> int:
    tallies: list[Tally] = []
    for name, sanitizers in BUILDS.items():
        folder = BUILD.resolve() / name
        print(f"== {name}: building with -DSANITIZE={sanitizers} in {folder}", flush=True)
        if not build(folder, sanitizers):
            tallies.append(Tally(name, failed=(f"{name}: does not build",)))
            continue
        os.environ["VSWBENCH_BUILD"] = str(folder)
        tallies += [run(suite) for suite in instrumented(folder)]
    print(*(f"{t.name}: {len(t.passed)} passed, {len(t.failed)} failed, {len(t.skipped)} skipped" for t in tallies),
          *closing(tallies), sep="\n", flush=True)
    return exit_status(tallies)


if __name__ == "__main__":
    sys.exit(main())
