# SPDX-License-Identifier: BSD-3-Clause
"""A run: every cell of the plan, one after the other, each on a testbed of its own; failures stay with their cell."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from harness import accel, bed, blocks, calibration, commands, environment, host, plan, progress, resume, search
from harness.blocks import Turn
from harness.calibration import Calibration
from harness.errors import CannotRun, CellFailed
from harness.interrupts import Interrupted, Interrupts
from harness.outcome import Outcome, over_blocks, recorded
from harness.plan import Cell, Image
from harness.record import SCHEMA_VERSION, Record
from harness.scenario import ANCHOR, fingerprint
from harness.search import Result
from harness.switches import find, options
from harness.switches.base import Check
from harness.testbed import up as real_up

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("VSWBENCH_BUILD", ROOT / "build"))


def image() -> Image:
    """Where set-up has put what the peers are made of."""
    guest = BUILD / "guest"
    try:
        about = json.loads((guest / "image.json").read_text())
    except (OSError, ValueError):       # not built yet: missing() says so
        about = None
    about = about if isinstance(about, dict) else {}
    return Image(str(BUILD), str(guest / about.get("kernel_file", "vmlinux")),
                 str(guest / about.get("initramfs_file", "initramfs.cpio")))


def check_switches(cells: Sequence[Cell]) -> dict[str, Check]:
    """What check() says of every switch that the cells need, by the switch's name."""
    entries = {cell.switch.name: cell.switch for cell in cells if not cell.unsupported}
    checks = {}
    for name, entry in entries.items():
        driver = find(entry.driver)
        assert driver
        check = driver.check(entry.prefix)
        with_options = f"{check.version} {options.said(entry.options)}" if entry.options else check.version
        checks[name] = replace(check, version=with_options)
    return checks


def missing(cells: Sequence[Cell], checks: Mapping[str, Check], the_bed: bed.Bed) -> list[str]:
    """What this machine lacks for the cells: one line each, with the cure."""
    lines = [f"switch {name}: {check.missing}" for name, check in checks.items() if check.missing]
    cells = [cell for cell in cells if not cell.unsupported]
    where = image()
    needed = [f"{where.build}/{role}" for role in ("pktgen", "meter", "vnf")]
    if any(cell.guest == "qemu" for cell in cells):
        needed += [where.kernel, where.initramfs]
    lines += [f"{path} is not built: run `make setup`" for path in needed if not os.path.exists(path)]
    if any(cell.guest == "qemu" for cell in cells) and shutil.which(the_bed.qemu_binary) is None:
        lines.append(f"{the_bed.qemu_binary} is not there: apt-get install qemu-system-x86")
    pages = max((_hugepages(cell, the_bed) for cell in cells), default=0)
    if pages:
        try:
            host.check_hugepages_possible(pages)
        except CannotRun as why:
            lines.append(str(why))
    return lines


def _hugepages(cell: Cell, the_bed: bed.Bed) -> int:
    return plan.setup(cell, the_bed, image(), "/", "/", "tcg").hugepages


def run(name: str, cells: Sequence[Cell], the_bed: bed.Bed, out: Path, say: Callable[[str], None],
        sources: Mapping[str, Any], up: Any = real_up, request: Mapping[str, Any] | None = None,
        go_on: Path | None = None) -> tuple[Path, list[Outcome]]:
    """Measure all cells; gives the results folder and what became of each. CannotRun before anything is started.

    `request`: what the person asked for, as run.json keeps it; `go_on`: the results folder of a run to go on with."""
    simulated = up is not real_up
    anchor = blocks.anchor_for(cells, the_bed, the_bed.cpus or host.cpus())
    every = [*([anchor] if anchor else []), *cells]
    checks = check_switches(every) if not simulated else {c.switch.name: Check("simulated") for c in every}
    if not simulated and (lines := missing(every, checks, the_bed)):
        raise CannotRun("this machine cannot run it yet:\n  " + "\n  ".join(lines))
    started = datetime.now(timezone.utc)
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{name}-{fingerprint([str(started), secrets.token_hex(4)])}"
    summary = {"run_id": run_id, "name": name, "schema_version": SCHEMA_VERSION, "started_utc": started.isoformat(),
               "command": sys.argv, "sources": sources, "machine": host.facts(), "versions": _versions(checks),
               "request": {**(request or {}), "blocks_of": {c.id: c.repeat.blocks for c in cells}},
               "cells": [c.id for c in cells], "testbed": the_bed, "state": "running",
               "fingerprint": fingerprint([[asdict(c) for c in every], asdict(replace(the_bed, source=""))])}
    if go_on:
        before = resume.about(go_on)
        resume.check(go_on, before, summary)
        run_id, out = before["run_id"], go_on.parent
    with ExitStack() as stack:
        stack.enter_context(host.hold_machine(f"results in {go_on or out / run_id}"))
        folder = stack.enter_context(host.run_folder(run_id))
        old = resume.prepare(go_on, before, say) if go_on else None
        record = Record(go_on or out / run_id, run_id, old.last_trial if old else None)
        stack.callback(record.close)
        interrupts = Interrupts()
        stack.callback(interrupts.restore)
        pages = 0 if simulated else max((_hugepages(c, the_bed) for c in every if not c.unsupported), default=0)
        stack.enter_context(host.enough_hugepages(pages, folder, say))
        found, why = (None, "a simulation has none") if simulated else _calibration(record, the_bed, say)
        job = _Job(blocks.schedule(cells, anchor), the_bed, record, folder, checks, say, interrupts, up, found,
                   **_finished(old, every))
        summary |= {"environment": environment.of(BUILD, the_bed) if not simulated else {},
                    "plan": {c.id: commands.lines(commands.setup_of(c, the_bed, image()))
                             for c in every if not c.unsupported},
                    "order": [[t.block, t.cell.id] for t in job.turns],
                    "calibration": {"file": calibration.FILE, "date": found.date} if found else {"none": why}}
        if go_on:
            again = {"utc": started.isoformat(), "vswbench": summary["versions"]["vswbench"], "command": sys.argv}
            kept = ("run_id", "started_utc", "command", "request", "versions", "machine")
            summary |= {key: before[key] for key in kept}
            summary["resumed"] = [*before.get("resumed", []), again]
        record.write_json("run.json", summary)
        outcomes: list[Outcome] = []
        try:
            if not simulated and any(cell.guest == "qemu" and not cell.unsupported for cell in cells):
                job.accel = accel.decide(the_bed, image(), folder, record.logs, say)
            job.all_turns(outcomes)
        finally:
            ended = datetime.now(timezone.utc)
            whole = len(outcomes) == len(cells) and not any(o.ends_run for o in outcomes)
            summary |= {"state": "complete" if whole else "interrupted", "accel": job.accel,
                        "ended_utc": ended.isoformat(),
                        "duration_s": (ended - started).total_seconds() + (before.get("duration_s", 0) if go_on else 0),
                        "outcomes": {o.cell.id: {"status": o.status, "reason": o.reason,
                                                 "traffic_s": round(o.traffic_s, 3), "wall_s": round(o.wall_s, 3)}
                                     for o in outcomes}}
            record.write_json("run.json", summary)
    return record.folder, outcomes


def _finished(old: resume.Resume | None, cells: Sequence[Cell]) -> dict[str, Any]:
    """What a run to go on with has already."""
    if old is None:
        return {}
    return {"done": old.done, "known": recorded({c.id: c for c in cells}, old.values, old.done),
            "accels": {c: columns.get("accel", "") for c, columns in old.values.cells.items()}}


def _versions(checks: Mapping[str, Check]) -> Mapping[str, Any]:
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True,
                            check=False).stdout.strip()
    ours = {role: host.sha256(BUILD / role) for role in ("pktgen", "meter", "vnf")}
    switches = {name: {"version": check.version, "sha256": {f: host.sha256(f) for f in check.files}}
                for name, check in checks.items()}
    return {"vswbench": commit, "sha256": ours, "switches": switches}


def _calibration(record: Record, the_bed: bed.Bed, say: Callable[[str], None]) -> tuple[Calibration | None, str]:
    """That of this machine, copied into the results; says so if there is none."""
    found, why = calibration.load(the_bed, the_bed.cpus or host.cpus(), BUILD)
    if found:
        record.write_json(calibration.FILE, found.content)
    else:
        say(f"without calibration: {why}")
    return found, why


@dataclass
class _Job:
    """The state of a run: what its cells share."""

    turns: Sequence[Turn]
    bed: bed.Bed
    record: Record
    folder: Path
    checks: Mapping[str, Check]
    say: Callable[[str], None]
    interrupts: Interrupts
    up: Any
    calibration: Calibration | None = None
    accel: str = ""
    traffic_s: float = 0.0      # of the cell at hand
    done: resume.Done = frozenset()     # turns that an earlier start of this run has finished
    known: dict[str, dict[int, Outcome]] = field(default_factory=dict)     # by cell and block
    accels: dict[str, str] = field(default_factory=dict)                    # by cell, as it was measured

    def all_turns(self, outcomes: list[Outcome]) -> None:
        """Measure one turn after the other; when all blocks of a cell are done, its outcome is added to `outcomes`."""
        left = Counter(turn.cell.id for turn in self.turns)
        several = blocks.blocks_of([turn.cell for turn in self.turns]) > 1
        for turn in self.turns:
            cell = turn.cell
            if (cell.id, turn.block) not in self.done:
                block = f" block {turn.block}:" if several else ""
                self.say(f"[{turn.position}/{len(self.turns)}]{block} {cell.switch.name}: {cell.title}")
                progress.cell(self.say, turn.position, [t.cell for t in self.turns])
                outcome = self._turn(turn, several)
                self.known.setdefault(cell.id, {})[turn.block] = outcome
                self.say("    " + describe(outcome))
                if outcome.ends_run and turn is not self.turns[-1]:
                    left_over = len(self.turns) - turn.position
                    self.say(f"the run ends here: {left_over} of {len(self.turns)} were not measured")
            left[cell.id] -= 1
            if left[cell.id] == 0 and cell.scenario != ANCHOR:
                outcomes.append(self._whole(cell, several))
            if any(o.ends_run for o in self.known.get(cell.id, {}).values()):
                break

    def _turn(self, turn: Turn, several: bool) -> Outcome:
        """A cell in a block; its row in blocks.csv is the last that is written of it."""
        self.record.begin(turn.block, several)
        started = _now()
        outcome = self._one(turn.cell, self.folder / f"c{turn.position}")
        self.record.turn(turn, started, _now(), outcome.status, outcome.reason)
        return outcome

    def _whole(self, cell: Cell, several: bool) -> Outcome:
        """What became of a cell over all its blocks. Its summary is recorded where there are several."""
        by_block = self.known[cell.id]
        if not several:
            return by_block[1]
        outcome = over_blocks(cell, [by_block[block] for block in sorted(by_block)])
        if outcome.status not in ("failed", "unsupported") and any((cell.id, b) not in self.done for b in by_block):
            version = self.checks[cell.switch.name].version
            self.record.results(cell, version, self.accels[cell.id], outcome.results, summary=True)
        return outcome

    def _one(self, cell: Cell, folder: Path) -> Outcome:
        version = self.checks[cell.switch.name].version if cell.switch.name in self.checks else ""
        flags = cell.flags
        if cell.unsupported:
            self.record.no_result(cell, version, "unsupported", cell.unsupported, flags)
            return Outcome(cell, "unsupported", cell.unsupported)
        began, self.traffic_s = time.monotonic(), 0.0
        try:
            results = self._measure(cell, version, folder)
        except (CellFailed, Interrupted) as why:
            host.end_processes(self.folder)     # a signal may have come between a start and its note of it
            self.record.no_result(cell, version, "failed", str(why), flags)
            ends_run = isinstance(why, Interrupted) and why.ends_run or self.interrupts.ending()
            return Outcome(cell, "failed", str(why), flags=flags, ends_run=ends_run)
        status = "ok" if all(r.status == "ok" for r in results) else "invalid"
        every_flag = tuple(dict.fromkeys(flag for r in results for flag in r.flags))
        return Outcome(cell, status, "", results, every_flag, self.interrupts.ending(), self.traffic_s,
                       time.monotonic() - began)

    def _measure(self, cell: Cell, version: str, folder: Path) -> list[Result]:
        logs = self.record.log_folder(cell)
        folder.mkdir()
        setup = plan.setup(cell, self.bed, image(), str(folder), str(logs.resolve()), self.accel or "tcg")
        with ExitStack() as stack, self.interrupts.armed():
            testbed = stack.enter_context(self.up(cell, setup, logs))
            steps = search.run(cell.search, cell.has_latency)
            results = calibration.marked(self.calibration, cell, self._search(cell, version, testbed, steps))
            self.accels[cell.id] = testbed.accel()
            self.record.results(cell, version, testbed.accel(), results)
            self._record_counters(cell, testbed)
        return results

    def _record_counters(self, cell: Cell, testbed: Any) -> None:
        """The switch's own counters: good to have, but no reason to lose what was measured."""
        try:
            self.record.ports(cell, testbed.counters())
        except CellFailed as why:
            self.say(f"    no counters of the switch: {why}")

    def _search(self, cell: Cell, version: str, testbed: Any, steps: search.Steps) -> list[Result]:
        """Drive the search: every trial is on disk before the next one starts."""
        try:
            request = next(steps)
            while True:
                progress.trial(self.say, request)
                trial = testbed.measure(request)
                self.traffic_s += request.duration_s
                self.record.trial(cell, version, testbed.accel(), trial)
                request = steps.send(trial)
        except StopIteration as done:
            results: list[Result] = done.value
            return results


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def headline(outcome: Outcome) -> tuple[str, Result | None]:
    """What stands for a cell: R+, NDR, ..., or of given rates the highest that was received."""
    metric, name = search.headline(outcome.cell.search)
    values = {r.metric: r for r in outcome.results}
    if metric in values:
        return name, values[metric]
    rates = [r for r in outcome.results if r.metric.startswith("rx_pps@") and r.value is not None]
    return name, max(rates, key=lambda r: r.value or 0.0, default=None)


def quantity(result: Result, unit: bool = True) -> str:
    """A figure with its unit, rates in Mpps."""
    assert result.value is not None
    text, name = (f"{result.value / 1e6:.3f}", "Mpps per direction") if result.unit == "pps" else (
        f"{result.value:.6g}", "frames" if result.metric.endswith("_frames") else result.unit)
    return f"{text} {name}" if unit else text


def describe(outcome: Outcome) -> str:
    """A cell's outcome in a line."""
    if outcome.status in ("failed", "unsupported"):
        return f"{'n/a' if outcome.status == 'unsupported' else 'FAILED'}: {outcome.reason}"
    name, first = headline(outcome)
    if first is None or first.value is None:
        return f"{outcome.status}: {_nothing(first)}; flags: {', '.join(outcome.flags)}"
    text = f"{name} {quantity(first)} (n={first.n})"
    for r in outcome.results:
        further = r.goal and r.metric.endswith("_pps") and not r.metric.endswith(("_rlb_pps", "_rub_pps"))
        if further and r.metric != first.metric and r.value is not None:
            text += f", {r.metric.removesuffix('_pps')} {r.value / 1e6:.3f}"
        if r.metric.startswith("latency_p50_ns@") and r.value is not None:
            text += f", p50 {r.value / 1e3:.1f} us at {r.metric.partition('@')[2]}"
    text += f"; {outcome.traffic_s:.0f} s of traffic in {outcome.wall_s:.0f} s" if outcome.wall_s >= 1 else ""
    return text + (f"  [{', '.join(outcome.flags)}]" if outcome.flags else "")


def _nothing(first: Result | None) -> str:
    """Why a cell that did not fail has no figure."""
    if first is None or first.status != "ok":
        return "no valid trial"
    if "search_limit" in first.flags:
        return "the search ran out of time before it had a lower bound"
    if "irregular" in first.flags:
        return "not even the lowest load is within the goal"
    return "the figure could not be had"
