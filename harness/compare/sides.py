# SPDX-License-Identifier: BSD-3-Clause
"""Which cells of which runs belong together, and whether their machines do."""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import anchor, ranks, results
from harness.compare.verdict import Pair
from harness.errors import BadInput
from harness.results import Results, Value
from harness.resume import FACTS

METRICS = ("rplus_pps", "ndr_pps", "pdr_pps", "rx_pps@*", "*_throughput_pps")       # unless --metric names others
# What makes two cells the same, but for their switch.
KEY = ("scenario", "topology", "guest", "nf", "chain_length", "direction", "port_kind", "frame_bytes", "flows",
       "traffic", "idle", "variant")
MEMORY_RATIO = 0.02         # of two boots of one machine the kernel may keep that much more for itself


@dataclass(frozen=True)
class Side:
    """A run, or one switch of it."""

    run: Results
    switch: str | None

    @property
    def name(self) -> str:
        return f"{self.run.name}:{self.switch}" if self.switch else self.run.name

    def cells(self) -> Mapping[tuple[str, ...], str]:
        """Ids by what makes cells the same; the switch's name is part of that unless the side is one switch."""
        named = self.switch is None and len(self.run.switches) > 1
        found: dict[tuple[str, ...], str] = {}
        for cell_id, cell in self.run.cells.items():
            if results.is_anchor(cell) or self.switch not in (None, cell["switch"]):
                continue
            found[(*(cell.get(column, "") for column in KEY), cell["switch"] if named else "")] = cell_id
        return found


def sides(operands: Sequence[str]) -> tuple[Side, Side]:
    """A and B of what was typed: two of RUN or RUN:SWITCH; RUN SWITCH SWITCH; or RUN, which has just two switches.
    BadInput."""
    runs: dict[Path, Results] = {}

    def run_of(path: Path) -> Results:
        return runs.setdefault(path.resolve(), results.read(path))

    if len(operands) == 2:
        a, b = (_side(text, run_of) for text in operands)
    elif len(operands) == 3:
        run = run_of(Path(operands[0]))
        a, b = (_of_switch(run, name) for name in operands[1:])
    elif len(operands) == 1:
        run = run_of(Path(operands[0]))
        if len(run.switches) != 2:
            raise BadInput(f"{operands[0]}: the run has {len(run.switches)} switches ({_names(run)}): give two of them "
                           "behind it, or another run")
        a, b = (Side(run, name) for name in run.switches)
    else:
        raise BadInput("compare: give A and B: two runs, RUN:SWITCH twice, or RUN SWITCH SWITCH")
    if a == b:
        raise BadInput(f"{a.name}: A and B are the same")
    if a.run is not b.run and a.run.about.get("run_id") and a.run.about.get("run_id") == b.run.about.get("run_id"):
        raise BadInput(f"{a.run.folder} and {b.run.folder} are copies of one run: give two switches of one of them, or "
                       "another run")
    return a, b


def _side(text: str, run_of: Any) -> Side:
    path, colon, switch = text.rpartition(":")
    if colon and not Path(text).is_dir():
        return _of_switch(run_of(Path(path)), switch)
    return Side(run_of(Path(text)), None)


def _of_switch(run: Results, name: str) -> Side:
    if name not in run.switches:
        raise BadInput(f"{run.folder}: there is no switch '{name}' in this run; it has "
                       f"{_names(run) or 'none'}")
    return Side(run, name)


def _names(run: Results) -> str:
    """For a line of an error; damage may have put a line end into one."""
    return ", ".join(" ".join(name.split()) for name in run.switches)


def unlike(a: Side, b: Side) -> str:
    """Why the two runs cannot be of one machine, or cannot be told to be; empty if they are."""
    if a.run is b.run:
        return ""
    machines = [side.run.about.get("machine") for side in (a, b)]
    if not all(isinstance(m, dict) and m for m in machines):
        return f"of {a.name if not machines[0] else b.name} it is not known on which machine it ran"
    one, other = machines
    assert isinstance(one, dict) and isinstance(other, dict)
    for fact in FACTS:
        if one.get(fact) != other.get(fact):
            return f"{fact} is {one.get(fact)!r} and {other.get(fact)!r}"
    memory = [m.get("memory_mib") for m in machines if m]
    if all(isinstance(m, (int, float)) for m in memory) and abs(memory[0] - memory[1]) > MEMORY_RATIO * max(memory):
        return f"memory_mib is {memory[0]} and {memory[1]}"
    hosts = [(side.run.about.get("environment") or {}).get("host") for side in (a, b)]
    if all(hosts) and hosts[0] != hosts[1]:
        return "they have different names"
    return ""


def notes(a: Side, b: Side) -> list[str]:
    """What a reader of the comparison should know of the runs."""
    runs = [a.run] if a.run is b.run else [a.run, b.run]
    found = [f"{run.name}: {warning}" for run in runs for warning in run.warnings]
    if a.run is b.run:
        return found + _anchor(a.run)
    builds = [(side.run.about.get("versions") or {}).get("sha256") for side in (a, b)]
    if builds[0] != builds[1]:
        found.append("A and B were measured by different builds of pktgen, meter or vnf")
    found.append("A and B are two runs, one after the other; measure both in one run where you can (--switch twice)"
                 + ("" if _anchor_blocks(a.run) and _anchor_blocks(b.run) else
                    ": without anchors in both, what the machine did in between is in the ratio"))
    return [*found, *_anchor(a.run), *_anchor(b.run)]


def drift(a: Results, b: Results) -> tuple[float, float]:
    """How far the machine moved from one run to the other, as logarithms, at least and at most: the interval of the
    ratio of their anchors, and no change. (0, 0) within one run, whose blocks see to that, and where there are no
    anchors."""
    values = [[math.log(v.value) for v in _anchor_blocks(run).values() if v.value and v.value > 0] for run in (a, b)]
    if a is b or not all(values):
        return 0.0, 0.0
    shift = ranks.unpaired(*values)
    low, high = shift.interval() or (shift.points[0], shift.points[-1])
    return min(low, 0.0), max(high, 0.0)


def _anchor_blocks(run: Results) -> Mapping[int, Value]:
    cell = next((cell_id for cell_id, columns in run.cells.items() if results.is_anchor(columns)), None)
    return run.blocks(cell, "rplus_pps") if cell else {}


def _anchor(run: Results) -> list[str]:
    """How steady the machine was, by the cell that has no switch in it."""
    said = anchor.said(run.anchors_pps, run.repeats)
    return [f"{run.name}: {said}"] if said else []


def pairs(a: Side, b: Side, metrics: Sequence[str] = ()) -> list[Pair]:
    """What is to compare: every figure that both sides have, and every cell that one of them lacks. BadInput if there
    is nothing."""
    cells_a, cells_b = a.cells(), b.cells()
    moved = drift(a.run, b.run)
    patterns = metrics or METRICS
    found = []
    for key in {**cells_a, **cells_b}:
        found += _cell(a, b, cells_a.get(key), cells_b.get(key), patterns, moved)
    if not found:
        known = sorted({m for side in (a, b) for cell in side.run.cells for m in side.run.metrics(cell)})
        raise BadInput(f"{a.name} and {b.name} have no figure in common that {', '.join(patterns)} names; there are "
                       f"{', '.join(known[:12]) or 'none at all'}{', ...' if len(known) > 12 else ''}")
    return found


def _cell(a: Side, b: Side, id_a: str | None, id_b: str | None, patterns: Sequence[str],
          moved: tuple[float, float]) -> list[Pair]:
    has = [side.run.metrics(cell) if cell else [] for side, cell in ((a, id_a), (b, id_b))]
    here = a if id_a else b
    columns = here.run.cells[id_a or id_b or ""]
    by_name = any(side.switch is None and len(side.run.switches) > 1 for side in (a, b))
    known_id = id_a or id_b or ""
    title = known_id if by_name else known_id.removesuffix(f".{columns['switch']}")
    reason = _accel(a, b, id_a, id_b) if id_a and id_b else f"{'B' if id_a else 'A'} does not have the cell"
    made = []
    for metric in dict.fromkeys((*has[0], *has[1])):
        if not any(fnmatch.fnmatchcase(metric, pattern) for pattern in patterns):
            continue
        values = [_blocks(side.run, cell, metric) for side, cell in ((a, id_a), (b, id_b))]
        if all(v.status == "unsupported" for side in values for v in side.values()):
            continue            # n/a on both sides, or on the only one: nothing to say
        made.append(Pair(title, metric, columns, *values, paired=a.run is b.run, reason=reason, drift=moved,
                         switch=columns["switch"] if by_name else ""))
    return made


def _blocks(run: Results, cell: str | None, metric: str) -> dict[int, Value]:
    """With what a failed cell says in place of any figure."""
    if cell is None:
        return {}
    return run.blocks(cell, metric) or {
        block: v for m in run.metrics(cell) for block, v in run.blocks(cell, m).items()
        if v.status in ("failed", "unsupported")}


def _accel(a: Side, b: Side, id_a: str, id_b: str) -> str:
    """Guests under KVM and guests under emulation are not the same cell."""
    accels = [side.run.cells[cell].get("accel", "") for side, cell in ((a, id_a), (b, id_b))]
    both = all(accels) and accels[0] != accels[1]
    return f"its guests ran under {accels[0]} in A and under {accels[1]} in B" if both else ""
