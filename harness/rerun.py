# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench rerun RUN`: measure the same again, from what run.json keeps, and compare the two. Exit status as of
`compare`; 1 if something failed, 130 if it was interrupted."""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness import asked, host, ranks, replayed, resume, results, run, terminal
from harness.asked import Asked
from harness.compare import command as compare
from harness.errors import BadInput


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the results folder of a run")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="where the new run's folder is made (default: beside RUN)")
    parser.add_argument("--blocks", type=int, metavar="N", help="another number of blocks than RUN has")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME[=DRIVER@PREFIX,KEY=VALUE]",
                        help="measure only this switch of RUN, or another version of it under the same name; may be "
                             "repeated")
    parser.add_argument("--quiet", action="store_true", help="say only what went wrong, and the comparison")
    parser.add_argument("--json", action="store_true", help="for programs")
    compare.options(parser)


def do(given: argparse.Namespace,
       say_on: Callable[[Console, bool], AbstractContextManager[Callable[[str], None]]]) -> int:
    """Measure, compare, tell by the exit status. `say_on`: what tells of a run on a console, quietly or not."""
    compare.check(given)
    about = resume.about(given.run)
    names = _switches(given)
    facts = host.facts()
    changed = [fact for fact in resume.FACTS if facts.get(fact) != about["machine"].get(fact)]
    if changed and not given.any_machine:
        raise BadInput(f"{given.run} is of another machine, or of another state of it ({', '.join(changed)}): say "
                       "--any-machine if you mean to compare the machines too")
    console = terminal.console(stderr=given.json)
    with ExitStack() as stack:
        say = stack.enter_context(say_on(console, given.quiet))
        wanted = _asked(given.run, about, stack)
        wanted = replace(wanted, switches=tuple(given.switch) or wanted.switches,
                         blocks=wanted.blocks if given.blocks is None else given.blocks)
        cells, the_bed = wanted.cells()
        replayed.check(given.run, about, cells)
        few = ranks.fewest(ranks.ALPHA, is_paired=False)
        if all(cell.repeat.blocks < few for cell in cells):
            say(f"note: with fewer than {few} blocks in each run the comparison can only be inconclusive")
        out = given.out or given.run.resolve().parent
        out.mkdir(parents=True, exist_ok=True)
        request = {**asked.of_run(about).as_json(), "blocks": wanted.blocks, "switches": list(wanted.switches)}
        folder, outcomes = run.run(Path(about["name"]).name, cells, the_bed, out, say, about["sources"],
                                   request=request, beside=replayed.as_then(about, cells))
    say(f"results: {folder}")
    if len(outcomes) < len(cells) or any(o.ends_run for o in outcomes):
        return 130
    for name in _differences(about, resume.about(folder)):
        say(f"differs from {given.run.name}: {name}")
    of_one = f":{names[0]}" if len(names) == 1 else ""
    return compare.compare([f"{given.run}{of_one}", f"{folder}{of_one}"], given, console)


def _switches(given: argparse.Namespace) -> list[str]:
    """The names of --switch. BadInput if RUN has none of that name, before anything is measured."""
    names = [text.partition("=")[0] for text in given.switch]
    there = results.read(given.run).switches if names else []
    if unknown := [name for name in names if name not in there]:
        raise BadInput(f"--switch {unknown[0]}: {given.run} has no switch of this name to compare with; it has "
                       f"{', '.join(there) or 'none'}")
    return names


def _asked(folder: Path, about: dict[str, object], stack: ExitStack) -> Asked:
    """With the very texts of then: in the files they were in, if these have not changed, else in copies."""
    was, sources = asked.of_run(about), about["sources"]
    assert isinstance(sources, dict)
    files = replayed.found(folder, about)
    try:
        in_place = all(Path(name).is_file() and files.get(name, Path()).samefile(name)
                       for name in replayed.known(about))
        if in_place and all(Path(name).read_text(encoding="utf-8") == text for name, text in sources.items()):
            return was
    except (OSError, ValueError):
        pass
    copies = stack.enter_context(tempfile.TemporaryDirectory(prefix="vswbench-scenario-"))
    return asked.unpacked(was, sources, Path(copies), files)


def _differences(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """Versions and builds that are not the same."""
    one, other = before["versions"], now["versions"]
    assert isinstance(one, dict) and isinstance(other, dict)
    found = []
    for what in ("sha256", "switches"):
        a, b = one.get(what) or {}, other.get(what) or {}
        found += [f"build or version of {name}" for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    return found + (["vswbench itself"] if one.get("vswbench") != other.get("vswbench") else [])
