# SPDX-License-Identifier: BSD-3-Clause
"""A run: every cell of the plan, one after the other, each on a testbed of its own; failures stay with their cell."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from harness import accel, bed, calibration, host, plan, progress, search
from harness.calibration import Calibration
from harness.errors import CannotRun, CellFailed
from harness.interrupts import Interrupted, Interrupts
from harness.plan import Cell, Image
from harness.record import SCHEMA_VERSION, Record
from harness.scenario import fingerprint
from harness.search import Result
from harness.switches import find
from harness.switches.base import Check
from harness.testbed import up as real_up

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("VSWBENCH_BUILD", ROOT / "build"))


@dataclass(frozen=True)
class Outcome:
    """What became of a cell. status: ok, invalid, unsupported, failed."""

    cell: Cell
    status: str
    reason: str
    results: Sequence[Result] = ()
    flags: Sequence[str] = ()
    ends_run: bool = False      # a signal asked for the end


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
        checks[name] = driver.check(entry.prefix)
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
        sources: Mapping[str, Any], up: Any = real_up) -> tuple[Path, list[Outcome]]:
    """Measure all cells; gives the results folder and what became of each. CannotRun before anything is started."""
    simulated = up is not real_up
    checks = check_switches(cells) if not simulated else {c.switch.name: Check("simulated") for c in cells}
    if not simulated and (lines := missing(cells, checks, the_bed)):
        raise CannotRun("this machine cannot run it yet:\n  " + "\n  ".join(lines))
    started = datetime.now(timezone.utc)
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{name}-{fingerprint([str(started), secrets.token_hex(4)])}"
    with ExitStack() as stack:
        stack.enter_context(host.hold_machine(f"results in {out / run_id}"))
        folder = stack.enter_context(host.run_folder(run_id))
        record = Record(out / run_id, run_id)
        stack.callback(record.close)
        interrupts = Interrupts()
        stack.callback(interrupts.restore)
        pages = 0 if simulated else max((_hugepages(c, the_bed) for c in cells if not c.unsupported), default=0)
        stack.enter_context(host.enough_hugepages(pages, folder, say))
        found, why = (None, "a simulation has none") if simulated else _calibration(record, the_bed, say)
        job = _Job(cells, the_bed, record, folder, checks, say, interrupts, up, found)
        summary = {"run_id": run_id, "name": name, "schema_version": SCHEMA_VERSION, "started_utc": started.isoformat(),
                   "command": sys.argv, "sources": sources, "machine": host.facts(), "versions": _versions(checks),
                   "cells": [c.id for c in cells], "testbed": the_bed, "state": "running",
                   "calibration": {"file": calibration.FILE, "date": found.date} if found else {"none": why}}
        record.write_json("run.json", summary)
        outcomes: list[Outcome] = []
        try:
            if not simulated and any(cell.guest == "qemu" and not cell.unsupported for cell in cells):
                job.accel = accel.decide(the_bed, image(), folder, record.logs, say)
            job.all_cells(outcomes)
        finally:
            ended = datetime.now(timezone.utc)
            whole = len(outcomes) == len(cells) and not any(o.ends_run for o in outcomes)
            summary |= {"state": "complete" if whole else "interrupted", "accel": job.accel,
                        "ended_utc": ended.isoformat(), "duration_s": (ended - started).total_seconds(),
                        "outcomes": {o.cell.id: {"status": o.status, "reason": o.reason} for o in outcomes}}
            record.write_json("run.json", summary)
    return out / run_id, outcomes


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

    cells: Sequence[Cell]
    bed: bed.Bed
    record: Record
    folder: Path
    checks: Mapping[str, Check]
    say: Callable[[str], None]
    interrupts: Interrupts
    up: Any
    calibration: Calibration | None = None
    accel: str = ""

    def all_cells(self, outcomes: list[Outcome]) -> None:
        """Measure one cell after the other; each outcome is added to `outcomes`."""
        for number, cell in enumerate(self.cells, start=1):
            self.say(f"[{number}/{len(self.cells)}] {cell.switch.name}: {cell.title}")
            progress.cell(self.say, number, self.cells)
            outcome = self._one(cell, self.folder / f"c{number}")
            outcomes.append(outcome)
            self.say("    " + describe(outcome))
            if outcome.ends_run:
                self.say(f"the run ends here: {len(self.cells) - number} cells were not measured")
                break

    def _one(self, cell: Cell, folder: Path) -> Outcome:
        version = self.checks[cell.switch.name].version if cell.switch.name in self.checks else ""
        flags = cell.flags
        if cell.unsupported:
            self.record.no_result(cell, version, "unsupported", cell.unsupported, flags)
            return Outcome(cell, "unsupported", cell.unsupported)
        try:
            results = self._measure(cell, version, folder)
        except (CellFailed, Interrupted) as why:
            host.end_processes(self.folder)     # a signal may have come between a start and its note of it
            self.record.no_result(cell, version, "failed", str(why), flags)
            ends_run = isinstance(why, Interrupted) and why.ends_run or self.interrupts.ending()
            return Outcome(cell, "failed", str(why), flags=flags, ends_run=ends_run)
        status = "ok" if all(r.status == "ok" for r in results) else "invalid"
        every_flag = tuple(dict.fromkeys(flag for r in results for flag in r.flags))
        return Outcome(cell, status, "", results, every_flag, self.interrupts.ending())

    def _measure(self, cell: Cell, version: str, folder: Path) -> list[Result]:
        logs = self.record.log_folder(cell)
        folder.mkdir()
        setup = plan.setup(cell, self.bed, image(), str(folder), str(logs.resolve()), self.accel or "tcg")
        with ExitStack() as stack, self.interrupts.armed():
            testbed = stack.enter_context(self.up(cell, setup, logs))
            steps = search.run(cell.search, cell.has_latency)
            results = calibration.marked(self.calibration, cell, self._search(cell, version, testbed, steps))
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
                self.record.trial(cell, version, testbed.accel(), trial)
                request = steps.send(trial)
        except StopIteration as done:
            results: list[Result] = done.value
            return results


def headline(outcome: Outcome) -> tuple[str, Result | None]:
    """The rate that stands for a cell: R+, or what was received at the highest of the fixed rates that has a value."""
    rates = [r for r in outcome.results if r.metric.startswith("rx_pps@") and r.value is not None]
    best = max(rates, key=lambda r: r.value or 0.0, default=None)
    rplus = next((r for r in outcome.results if r.metric == "rplus_pps"), None)
    return ("R+", rplus) if rplus else ("received", best)


def describe(outcome: Outcome) -> str:
    """A cell's outcome in a line."""
    if outcome.status in ("failed", "unsupported"):
        return f"{'n/a' if outcome.status == 'unsupported' else 'FAILED'}: {outcome.reason}"
    values = {r.metric: r for r in outcome.results}
    name, rate = headline(outcome)
    if rate is None or rate.value is None:
        return f"{outcome.status}: no valid trial; flags: {', '.join(outcome.flags)}"
    text = f"{name} {rate.value / 1e6:.3f} Mpps per direction (n={rate.n})"
    for key, r in values.items():
        if key.startswith("latency_p50_ns@") and r.value is not None:
            text += f", p50 {r.value / 1e3:.1f} us at {key.partition('@')[2]}"
    return text + (f"  [{', '.join(outcome.flags)}]" if outcome.flags else "")
