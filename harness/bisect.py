# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench bisect`: the first slow version between a good and a bad one.

A command of the person's puts a version in place. Its exit status means what it does to `git bisect run`: 0: measure
it; 125: it cannot be tested, skip it; 1 to 127: it is bad, without measuring; above: stop. A version is bad if it is
slower than the good one, good if it is faster than the bad one or not different from the good one, and skipped if
neither can be told. Exit status: 0 found, 1 stopped, 2 bad input, 4 not to be told.
"""

import argparse
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import run
from harness.asked import Asked
from harness.compare import command as compare
from harness.compare import sides, verdict
from harness.errors import BadInput, CannotRun

GOOD, BAD, SKIP = "good", "bad", "skip"
CANNOT_TEST, LAST_BAD = 125, 127        # git-bisect(1), "Bisect run"
NOT_TOLD = 4
STDERR = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scenario or suite (TOML) to measure")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME[=DRIVER@PREFIX,KEY=VALUE]",
                        help="the switch whose versions are measured, as they lie where --command puts them")
    parser.add_argument("--good", required=True, metavar="VERSION", help="a version that is fast")
    parser.add_argument("--bad", required=True, metavar="VERSION", help="a later version that is slow")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the git repository that the versions are commits of")
    parser.add_argument("--versions", type=Path, metavar="FILE",
                        help="instead of --repo: versions, one a line, oldest first")
    parser.add_argument("--command", required=True, metavar="COMMAND",
                        help="puts a version in place: {} in it stands for the version, as VSWBENCH_VERSION does; exit "
                             "status as for git bisect run")
    parser.add_argument("--testbed", type=Path, metavar="FILE",
                        help="testbed (TOML) instead of this machine's defaults")
    parser.add_argument("--blocks", type=int, default=verdict.BLOCKS, metavar="N",
                        help=f"starts of each version (default {verdict.BLOCKS})")
    parser.add_argument("--out", type=Path, default=run.ROOT / "results", metavar="DIR",
                        help="where the runs' folders go")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    compare.options(parser)


class Stopped(Exception):
    """The command, or a person, asked for the end."""


def first_bad(versions: Sequence[str], judge: Callable[[str], str]) -> list[str]:
    """The first bad of the versions, oldest first, of which the last is known to be bad, as the one before the first is
    to be good. Several if some in front of it could not be tested. Pure but for judge(), which gives GOOD, BAD or
    SKIP."""
    low, high = -1, len(versions) - 1       # the last good, the first bad
    skipped: set[int] = set()
    while open_ones := [i for i in range(low + 1, high) if i not in skipped]:
        middle = (low + high) / 2
        tried = min(open_ones, key=lambda i: abs(i - middle))
        said = judge(versions[tried])
        if said == SKIP:
            skipped.add(tried)
        elif said == GOOD:
            low = tried
        else:
            high = tried
    return list(versions[low + 1:high + 1])


def versions_between(repo: Path | None, listed: Path | None, good: str, bad: str) -> list[str]:
    """All after the good one up to the bad one, oldest first. BadInput."""
    if (repo is None) == (listed is None):
        raise BadInput("bisect: say either --repo DIR or --versions FILE")
    if listed:
        try:
            names = listed.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            raise BadInput(f"--versions {listed}: cannot be read: {error}") from None
        if good not in names or bad not in names or names.index(good) >= names.index(bad):
            raise BadInput(f"--versions {listed}: must hold {good} and, behind it, {bad}")
        return names[names.index(good) + 1:names.index(bad) + 1]
    if shutil.which("git") is None:
        raise BadInput(f"--repo {repo}: git is not there: apt-get install git, or give --versions FILE")
    done = subprocess.run(["git", "-C", str(repo), "rev-list", "--reverse", "--first-parent", f"{good}..{bad}", "--"],
                          capture_output=True, text=True, check=False)
    back = subprocess.run(["git", "-C", str(repo), "merge-base", "--is-ancestor", good, bad], capture_output=True,
                          check=False)
    if done.returncode or back.returncode or not done.stdout.split():
        raise BadInput(f"--repo {repo}: {good} is no ancestor of {bad}" if not done.returncode else
                       f"--repo {repo}: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else 'no commits'}")
    return done.stdout.split()


@dataclass
class Bisection:
    """Measures versions and says what they are. `measure` gives the results folder of the version in place."""

    command: str
    folder: Path | None                 # in which the command runs
    measure: Callable[[str], Path]
    given: argparse.Namespace           # options of the comparison
    say: Callable[[str], None]
    good_run: Path | None = None
    bad_run: Path | None = None

    def place(self, version: str) -> str | None:
        """Have the version put in place. None if it can be measured, else what it is. Stopped."""
        argv = [word.replace("{}", version) for word in shlex.split(self.command)]
        self.say(f"{version}: {shlex.join(argv)}")
        try:
            status = subprocess.run(argv, cwd=self.folder, env={**os.environ, "VSWBENCH_VERSION": version},
                                    stdin=subprocess.DEVNULL, stdout=STDERR, check=False).returncode
        except OSError as error:
            raise BadInput(f"--command: {argv[0]} cannot be run: {error.strerror or error}") from None
        if status < 0 or status > LAST_BAD:
            raise Stopped(f"the command ended with status {status} for {version}")
        return None if status == 0 else SKIP if status == CANNOT_TEST else BAD

    def judge(self, version: str) -> str:
        """GOOD, BAD or SKIP."""
        said = self.place(version)
        if said is None:
            path = self.measure(version)
            said = self._compared(path)
        self.say(f"{version}: {said}")
        return said

    def _compared(self, path: Path) -> str:
        assert self.good_run and self.bad_run
        to_good, to_bad = self.compared(self.good_run, path), self.compared(self.bad_run, path)
        if verdict.SLOWER in to_good:
            return BAD if verdict.FASTER not in to_bad else SKIP       # in between: no version to build on
        if verdict.FASTER in to_bad or to_good <= {verdict.EQUIVALENT, verdict.FASTER}:
            return GOOD
        return SKIP

    def compared(self, one: Path, other: Path) -> set[str]:
        """The verdicts of all rows. The measurements are of one machine and one session by their making."""
        a, b = sides.sides([str(one), str(other)])
        return {row.verdict for row in verdict.judge(sides.pairs(a, b, self.given.metric), self.given.margin)}


def do(given: argparse.Namespace) -> int:
    """Find it, print it."""
    compare.check(given)
    if len(given.switch) > 1:
        raise BadInput("bisect: one --switch: the one whose versions are measured")
    wanted = Asked(tuple(given.files), tuple(given.switch), given.testbed, given.blocks)
    cells, _ = wanted.cells()
    if len({cell.switch.name for cell in cells}) != 1:
        raise BadInput("bisect: the scenario has several switches: say with --switch which one's versions are measured")
    versions = versions_between(given.repo, given.versions, given.good, given.bad)
    given.out.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        print(line, flush=True)

    def measure(version: str) -> Path:
        cells, the_bed = wanted.cells()         # anew: the binaries are others now
        folder, outcomes = run.run("bisect", cells, the_bed, given.out, say, wanted.sources(),
                                   request={**wanted.as_json(), "version": version})
        if len(outcomes) < len(cells) or any(o.ends_run for o in outcomes):
            raise Stopped("interrupted")
        return folder

    bisection = Bisection(given.command, given.repo, measure, given, say)
    try:
        return _find(bisection, given, versions, say)
    except Stopped as why:
        raise CannotRun(f"bisect stopped: {why}") from None


def _find(bisection: Bisection, given: argparse.Namespace, versions: Sequence[str], say: Callable[[str], None]) -> int:
    for what, version in (("good", given.good), ("bad", given.bad)):
        if (said := bisection.place(version)) is not None:
            raise BadInput(f"--{what} {version}: the command says that it is {said}: give one that can be measured")
        setattr(bisection, f"{what}_run", bisection.measure(version))
    assert bisection.good_run and bisection.bad_run
    if verdict.SLOWER not in (between := bisection.compared(bisection.good_run, bisection.bad_run)):
        say(f"{given.bad} is not slower than {given.good} ({', '.join(sorted(between))}): there is nothing to look "
            "for; give more --blocks, or another scenario")
        return NOT_TOLD
    found = first_bad(versions, bisection.judge)
    if len(found) == 1:
        say(f"first bad version: {found[0]}")
        return 0
    say(f"the first bad version is one of {len(found)}, since some could not be told: {' '.join(found)}")
    return NOT_TOLD
