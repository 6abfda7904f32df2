# SPDX-License-Identifier: BSD-3-Clause
"""What a person asked to have measured: files, switches, testbed, blocks. Kept in run.json, so that a run can be
continued or repeated, here or elsewhere, from its results folder alone.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import bed, expand, host, plan, scenario
from harness.cell import Cell
from harness.errors import BadInput


def _to_stderr(line: str) -> None:
    print(f"vswbench: {line}", file=sys.stderr)


@dataclass(frozen=True)
class Asked:
    """`blocks` None: as the scenarios say; `switches` empty: likewise."""

    files: tuple[Path, ...]
    switches: tuple[str, ...] = ()
    testbed: Path | None = None
    blocks: int | None = None

    def cells(self, say: Callable[[str], None] = _to_stderr) -> tuple[list[Cell], bed.Bed]:
        """The cells and the testbed. Says which switches "all" leaves out. Raises BadInput."""
        the_bed = bed.load(self.testbed)
        scenarios = [s for file in self.files for s in scenario.load(file)]
        if self.blocks is not None:
            if not 1 <= self.blocks <= scenario.BLOCKS_MAX:
                raise BadInput(f"--blocks {self.blocks}: allowed is 1 to {scenario.BLOCKS_MAX}")
            scenarios = [replace(s, repeat=replace(s.repeat, blocks=self.blocks)) for s in scenarios]
        found = _found(the_bed, say) if expand.asks_for_all(scenarios, self.switches) else None
        return expand.expand(scenarios, the_bed, cpus_of(the_bed), self.switches, found), the_bed

    def sources(self) -> dict[str, str]:
        """The text of every file that is read, by its path as it was typed."""
        paths = [inner for file in self.files for inner in scenario.files_of(file)]
        return {os.path.normpath(path): path.read_text(encoding="utf-8")
                for path in [*paths, *([self.testbed] if self.testbed else [])]}

    def as_json(self) -> dict[str, Any]:
        return {"files": [os.path.normpath(f) for f in self.files], "switches": list(self.switches),
                "testbed": os.path.normpath(self.testbed) if self.testbed else None, "blocks": self.blocks}


def _found(the_bed: bed.Bed, say: Callable[[str], None]) -> list[str]:
    """The switches that this machine has, those of the testbed first: all of which check() misses nothing. Says why the
    others are left out. BadInput if there is none."""
    names = dict.fromkeys([*(entry.name for entry in the_bed.switches), *expand.comparable()])
    there = []
    for entry in expand.switch_entries(list(names), the_bed):
        if missing := plan.driver_of(entry).check(entry.prefix).missing:
            say(f"switch 'all': without {entry.name}: {missing}")
        else:
            there.append(entry.name)
    if not there:
        raise BadInput("switch 'all': none is on this machine: `vswbench list` says what each lacks")
    return there


def of_run(about: Mapping[str, Any]) -> Asked:
    """As recorded in run.json. BadInput if it was not."""
    request = about.get("request")
    try:
        assert isinstance(request, Mapping)
        testbed, blocks = request["testbed"], request["blocks"]
        return Asked(tuple(map(Path, request["files"])), tuple(map(str, request["switches"])),
                     Path(testbed) if testbed else None, None if blocks is None else int(blocks))
    except (AssertionError, KeyError, TypeError, ValueError):
        raise BadInput("run.json does not say what was asked for: the run is of an older vswbench, or none of "
                       "`vswbench run`") from None


def unpacked(asked: Asked, sources: Mapping[str, str], into: Path, beside: Mapping[str, Path] = MappingProxyType({})
             ) -> Asked:
    """The same, its files written anew into a folder from their recorded texts, as they lay to each other. `beside`:
    files that they name, by their names, and where these are."""
    base = "/0/1/2/3/4/5/6/7/8/9"       # deep enough for every ../ that anyone types
    real = {name: os.path.abspath(os.path.join(base, name)) for name in (*sources, *beside)}
    top = os.path.commonpath([os.path.dirname(path) for path in real.values()]) if real else base
    new = {name: into / os.path.relpath(path, top) for name, path in real.items()}
    for name, text in sources.items():
        new[name].parent.mkdir(parents=True, exist_ok=True)
        new[name].write_text(text, encoding="utf-8")
    for name, path in beside.items():
        new[name].parent.mkdir(parents=True, exist_ok=True)
        new[name].symlink_to(path.resolve())
    try:
        return replace(asked, files=tuple(new[str(f)] for f in asked.files),
                       testbed=new[str(asked.testbed)] if asked.testbed else None)
    except KeyError as lost:
        raise BadInput(f"run.json does not hold the text of {lost}") from None


def cpus_of(the_bed: bed.Bed) -> Sequence[int]:
    """The CPUs to use. BadInput if the testbed names some that this process may not use."""
    usable = host.cpus()
    if absent := sorted(set(the_bed.cpus) - set(usable)):
        raise BadInput(f"{the_bed.source}: [cores]: key 'cpus' names CPU {absent[0]}: this process may use {usable}")
    return the_bed.cpus or usable
