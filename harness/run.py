# SPDX-License-Identifier: BSD-3-Clause
"""A run: every cell of the plan, one after the other, each on a testbed of its own; failures stay with their cell."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from harness import (accel, anchor, bed, blocks, calibration, cgroup, commands, environment, host, kernelnf, ledger,
                     plan, ports, proc, progress, replayed, resume, search)
from harness.blocks import Turn
from harness.calibration import Calibration
from harness.cell import Cell
from harness.errors import CannotRun, CellFailed
from harness.interrupts import Interrupted, Interrupts
from harness.isolation import Isolation
from harness.outcome import Outcome, flagged, over_blocks, recorded
from harness.peers import Image
from harness.record import SCHEMA_VERSION, Record
from harness.scenario import fingerprint
from harness.search import Result
from harness.switches import options
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
                 str(guest / about.get("initramfs_file", "initramfs.cpio.lz4")),
                 str(guest / about.get("programs_file", "programs.tar")))


def check_switches(cells: Sequence[Cell]) -> dict[str, Check]:
    """What check() says of every switch that the cells need, by the switch's name."""
    entries = {cell.switch.name: cell.switch for cell in cells if not cell.unsupported}
    checks = {}
    for name, entry in entries.items():
        check = plan.driver_of(entry).check(entry.prefix)
        with_options = f"{check.version} {options.said(entry.options)}" if entry.options else check.version
        checks[name] = replace(check, version=with_options)
    return checks


def missing(cells: Sequence[Cell], checks: Mapping[str, Check], the_bed: bed.Bed) -> list[str]:
    """What this machine lacks for the cells: one line each, with the cure."""
    lines = [f"switch {name}: {check.missing}" for name, check in checks.items() if check.missing]
    cells = [cell for cell in cells if not cell.unsupported]
    where = image()
    needed = [f"{where.build}/{role}" for role in ("pktgen", "meter", "vnf")]
    needed += dict.fromkeys(f"{where.build}/{name}" for cell in cells for name in plan.driver_of(cell.switch).built)
    if any(nf in kernelnf.NAMES for cell in cells for nf in cell.nf_names):
        needed.append(f"{where.build}/{kernelnf.PROGRAM}")
    if any(kernelnf.XDP in cell.nf_names for cell in cells):
        needed.append(f"{where.build}/{kernelnf.XDP_PROGRAM}")
    if any(cell.guest == "qemu" for cell in cells):
        needed += [where.kernel, where.initramfs]
    images = {cell.machine.image for cell in cells if cell.machine.image}
    lines += [f"the image {path} is not there ([guest] image)" for path in sorted(images) if not os.path.isfile(path)]
    if images:
        needed.append(where.programs)
        lines += [f"{tool} is not there: apt-get install openssh-client" for tool in ("ssh", "ssh-keygen")
                  if shutil.which(tool) is None]
    lines += [f"{path} is not built: run `make setup`" for path in needed if not os.path.exists(path)]
    if any(cell.guest == "qemu" for cell in cells) and shutil.which(the_bed.qemu_binary) is None:
        lines.append(f"{the_bed.qemu_binary} is not there: apt-get install qemu-system-x86")
    lines += _missing_tools(cells)
    lines += _missing_nics(cells)
    setups = [commands.setup_of(cell, the_bed, where) for cell in cells]
    pages = max((setup.hugepages for setup in setups), default=0)
    gigantic = max((setup.gigantic_pages for setup in setups), default=0)
    if gigantic > (there := host.gigantic_pages_free()):
        lines.append(f"{there} of {gigantic} hugepages of 1 GiB that guests take ([guest] hugepages = \"1G\") are free: "
                     f"boot with the kernel options hugepagesz=1G hugepages={gigantic}")
    if pages:
        try:
            host.check_hugepages_possible(pages)
        except CannotRun as why:
            lines.append(str(why))
    return lines


def _missing_nics(cells: Sequence[Cell]) -> list[str]:
    """NICs of the testbed that are not there, or not DPDK's."""
    lines = []
    for nic in sorted({nic for cell in cells for ends in cell.pci for nic in ends}):
        driver = host.nic_driver(nic)
        if driver is None:
            lines.append(f"there is no PCI device {nic} ([ports.pci] of the testbed): lspci -D lists them")
        elif driver not in host.NIC_DRIVERS:
            has = f"the driver {driver}" if driver else "no driver"
            lines.append(f"NIC {nic} has {has}, not one through which DPDK can take it: dpdk-devbind.py -b vfio-pci {nic}")
    return lines


def _missing_tools(cells: Sequence[Cell]) -> list[str]:
    """What programs are started with, devices are made with, and switches take of the machine."""
    on_devices = any(cell.port_kind in ports.ON_DEVICES for cell in cells)
    tools = {**(proc.TOOLS if cells else {}), **(ports.TOOLS if on_devices else {})}
    for cell in cells:
        tools |= plan.driver_of(cell.switch).tools
    lines = [f"{tool} is not there: apt-get install {package}" for tool, package in tools.items()
             if shutil.which(tool) is None]
    if on_devices and os.geteuid() != 0:
        lines.append("network devices are needed, which only root can make: run as root, or the null switch "
                     "(scenarios/null.toml)")
    return lines


def run(name: str, cells: Sequence[Cell], the_bed: bed.Bed, out: Path, say: Callable[[str], None],
        sources: Mapping[str, Any], up: Any = real_up, request: Mapping[str, Any] | None = None,
        go_on: Path | None = None, beside: Mapping[str, Any] | None = None) -> tuple[Path, list[Outcome]]:
    """Measure all cells; gives the results folder and what became of each. CannotRun before anything is started.

    `request`: what the person asked for, as run.json keeps it; `go_on`: the results folder of a run to go on with;
    `beside`: what run.json says of files beside scenarios, where these are copies (replayed.as_then())."""
    simulated = up is not real_up
    watch = blocks.anchor_for(cells, the_bed, the_bed.cpus or host.cpus())
    every = [*([watch] if watch else []), *cells]
    checks = check_switches(every) if not simulated else {c.switch.name: Check("simulated") for c in every}
    if not simulated and (lines := missing(every, checks, the_bed)):
        raise CannotRun("this machine cannot run it yet:\n  " + "\n  ".join(lines))
    started = datetime.now(timezone.utc)
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{name}-{fingerprint([str(started), secrets.token_hex(4)])}"
    summary = {"run_id": run_id, "name": name, "schema_version": SCHEMA_VERSION, "started_utc": started.isoformat(),
               "command": sys.argv, "sources": sources, "machine": host.facts(),
               "versions": _versions(checks, cells, the_bed),
               "request": {**(request or {}), "blocks_of": {c.id: c.repeat.blocks for c in cells}},
               "cells": [c.id for c in cells],
               **(beside or {"replayed": replayed.of_cells(cells), "images": replayed.images_of(cells)}),
               "testbed": the_bed, "state": "running",
               "fingerprint": fingerprint([[replayed.comparable(c) for c in every],
                                           asdict(replace(the_bed, source="", switches=()))])}
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
        record.hashes = {name: host.one_sha256(list(known["sha256"].values()))
                         for name, known in summary["versions"]["switches"].items()}
        interrupts = Interrupts()
        stack.callback(interrupts.restore)
        where = image()
        apart, notes = _isolation(every, simulated)
        setups = {c.id: commands.setup_of(c, the_bed, where, apart) for c in every if not c.unsupported}
        pages = 0 if simulated else max((setup.hugepages for setup in setups.values()), default=0)
        stack.enter_context(host.enough_hugepages(pages, folder, say))
        found, why = (None, "a simulation has none") if simulated else _calibration(record, the_bed, say)
        for cell, seconds in [(c, s) for c in every for s in old.took_s.get(c.id, ())] if old else ():
            progress.took(say, cell, seconds)
        job = _Job(cells, watch, blocks.schedule(cells, watch), the_bed, record, folder, checks, say, interrupts, up,
                   found, apart=apart, **_finished(old, every))
        unknown = [] if summary["versions"]["vswbench"] else [
            "the version of vswbench is not known: it is git that tells it, of a checkout: apt-get install git"]
        for note in (*unknown, *notes):
            say(note)
        summary |= {"environment": environment.of(BUILD, the_bed) if not simulated else {},
                    "isolation": {**asdict(apart), "notes": notes},
                    "plan": {cell_id: commands.lines(setup) for cell_id, setup in setups.items()},
                    "order": [[t.block, t.cell.id] for t in job.turns],
                    "calibration": {"file": calibration.FILE, "date": found.date} if found else {"none": why}}
        if go_on:
            again = {"utc": started.isoformat(), "vswbench": summary["versions"]["vswbench"], "command": sys.argv}
            kept = ("run_id", "started_utc", "command", "request", "versions", "machine", "replayed", "images")
            summary |= {key: before[key] for key in kept if key in before}
            summary["resumed"] = [*before.get("resumed", []), again]
        record.write_json("run.json", summary)
        outcomes: list[Outcome] = []
        try:
            if not simulated and any(cell.guest == "qemu" and not cell.unsupported for cell in cells):
                with interrupts.armed():
                    job.accel = accel.decide(the_bed, where, folder, record.logs, say)
            job.all_turns(outcomes)
        except Interrupted as why:      # of accel.decide(), which may take a while
            host.end_processes(folder)
            say(f"{why}: the run ends here")
        finally:
            ended = datetime.now(timezone.utc)
            whole = len(outcomes) == len(cells) and not any(o.ends_run for o in outcomes)
            summary |= {"state": "complete" if whole else "interrupted", "accel": job.accel,
                        "ended_utc": ended.isoformat(),
                        "duration_s": (ended - started).total_seconds() + (resume.duration_s(old) if old else 0.0),
                        "outcomes": {o.cell.id: {"status": o.status, "reason": o.reason,
                                                 "traffic_s": round(o.traffic_s, 3), "wall_s": round(o.wall_s, 3)}
                                     for o in outcomes}}
            summary |= {"order": [[t.block, t.cell.id] for t in job.turns], "anchor": job.anchor_json()}
            record.write_json("run.json", summary)
    return record.folder, outcomes


def _isolation(cells: Sequence[Cell], simulated: bool) -> tuple[Isolation, list[str]]:
    """What keeps process guests apart, if there are any, and what is missing of it."""
    if simulated or not any(cell.guest == "process" and not cell.unsupported for cell in cells):
        return Isolation(), []
    return cgroup.isolation()


def _finished(old: resume.Resume | None, cells: Sequence[Cell]) -> dict[str, Any]:
    """What a run to go on with has already."""
    if old is None:
        return {}
    return {"done": old.done, "known": recorded({c.id: c for c in cells}, old.values, old.done),
            "repeats": dict(old.values.repeats), "summaries_kept": old.summaries_kept,
            "accels": {c: columns.get("accel", "") for c, columns in old.values.cells.items()}}


def _versions(checks: Mapping[str, Check], cells: Sequence[Cell], the_bed: bed.Bed) -> Mapping[str, Any]:
    """Of all that is measured with, by content: our programs, QEMU and what its VMs boot, and the switches."""
    ours = {role: host.sha256(BUILD / role) for role in ("pktgen", "meter", "vnf")}
    cells = [cell for cell in cells if not cell.unsupported]
    if any(nf in kernelnf.NAMES for cell in cells for nf in cell.nf_names):
        ours |= {name: host.sha256(BUILD / name) for name in (kernelnf.PROGRAM, kernelnf.XDP_PROGRAM)}
    if any(cell.guest == "qemu" for cell in cells):
        where = image()
        ours |= {"qemu": host.sha256(shutil.which(the_bed.qemu_binary) or the_bed.qemu_binary),
                 "guest kernel": host.sha256(where.kernel), "guest initramfs": host.sha256(where.initramfs)}
    images = _short({cell.machine.image for cell in cells} - {""})
    ours |= {f"image {name}": host.sha256(path) for name, path in images.items()}
    built = {cell.switch.name: [str(BUILD / file) for file in plan.driver_of(cell.switch).built] for cell in cells}
    switches = {name: {"version": check.version,
                       "sha256": {f: host.sha256(f) for f in (*built.get(name, ()), *check.files)}}
                for name, check in checks.items()}
    return {"vswbench": _commit(), "sha256": ours, "switches": switches}


def _commit() -> str:
    """Of vswbench itself; empty if it is not known: no git, or no checkout of it."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True,
                              text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _short(paths: Collection[str]) -> dict[str, str]:
    """By their paths from the folder that holds them all, which tell them apart and stay as they are in a copy."""
    top = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]) if paths else ""
    return {os.path.relpath(path, top): path for path in sorted(paths)}


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
    watch: Cell | None          # the anchor
    turns: Sequence[Turn]       # grow when suspect blocks are measured again
    bed: bed.Bed
    record: Record
    folder: Path
    checks: Mapping[str, Check]
    say: Callable[[str], None]
    interrupts: Interrupts
    up: Any
    calibration: Calibration | None = None
    accel: str = ""
    apart: Isolation = Isolation()      # what the machine has of it
    traffic_s: float = 0.0      # of the cell at hand
    done: resume.Done = frozenset()     # turns that an earlier start of this run has finished
    known: dict[str, dict[int, Outcome]] = field(default_factory=dict)     # by cell and block
    accels: dict[str, str] = field(default_factory=dict)                    # by cell, as it was measured
    said: set[str] = field(default_factory=set)     # notes, each once a run
    repeats: dict[int, int] = field(default_factory=dict)       # blocks, and those they are measured instead of
    summaries_kept: bool = False    # the summaries of an earlier start stand
    ended: bool = False             # by a signal

    def all_turns(self, outcomes: list[Outcome]) -> None:
        """Measure one turn after the other, then suspect blocks again. Outcomes of cells that have all their blocks are
        added to `outcomes`: of one block at once, of several at the end."""
        several = blocks.blocks_of(self.cells) > 1
        planned = self.turns
        self._these(planned, several, outcomes)
        while several and not self.ended:
            repeated = blocks.again(self.cells, self.watch, self._anchors_pps(), self.repeats, len(planned))
            new = {turn.block for turn in repeated} - self.repeats.keys()
            if new:
                self.say(anchor.said(self._anchors_pps(), self.repeats, at_end=False) + f"; measuring again as block"
                         f"{'s'[:len(new) > 1]} {', '.join(map(str, sorted(new)))}")
            self.turns = [*planned, *repeated]
            self.repeats |= {turn.block: turn.repeats for turn in repeated if turn.repeats}
            to_do = [turn for turn in repeated if turn.block not in self.known.get(turn.cell.id, {})]
            if not to_do:
                break
            self._these(to_do, several, outcomes)
        if several:
            all_of = [c for c in self.cells if len(self.known.get(c.id, {})) >= c.repeat.blocks]
            outcomes += [self._whole(cell) for cell in all_of]

    def _these(self, turns: Sequence[Turn], several: bool, outcomes: list[Outcome]) -> None:
        """Measure these turns, or as far as a signal lets them come."""
        for turn in turns:
            cell = turn.cell
            if (cell.id, turn.block) not in self.done:
                block = f" block {turn.block}:" if several else ""
                self.say(f"[{turn.position}/{len(self.turns)}]{block} {cell.switch.name}: {cell.title}")
                progress.cell(self.say, turn.position, [t.cell for t in self.turns], [
                    t.cell for t in self.turns[turn.position:] if (t.cell.id, t.block) not in self.done])
                outcome = self._turn(turn, several)
                self.known.setdefault(cell.id, {})[turn.block] = outcome
                self.say("    " + describe(outcome))
                self.ended = outcome.ends_run
            if not several:
                outcomes.append(self.known[cell.id][turn.block])
            if self.ended:
                if turn.position < len(self.turns):
                    left_over = len(self.turns) - turn.position
                    self.say(f"the run ends here: {left_over} of {len(self.turns)} were not measured")
                return

    def _anchors_pps(self) -> dict[int, float]:
        """By block, as far as they are known."""
        of_blocks = self.known.get(self.watch.id, {}) if self.watch else {}
        return {block: r.value for block, outcome in of_blocks.items() for r in outcome.results
                if r.metric == "rplus_pps" and r.value}

    def anchor_json(self) -> dict[str, Any]:
        """What run.json says of the anchor."""
        values = self._anchors_pps()
        allowed = anchor.first_blocks(values, self.repeats)
        return {"band": allowed, "suspect_blocks": anchor.suspects(values, self.repeats),
                "repeats": {str(new): old for new, old in self.repeats.items()}}

    def _turn(self, turn: Turn, several: bool) -> Outcome:
        """A cell in a block; its row in blocks.csv is the last that is written of it."""
        self.record.begin(turn.block, several, turn.repeats)
        started = _now()
        outcome = self._one(turn.cell, self.folder / f"c{turn.position}")
        self.record.turn(turn, started, _now(), outcome.status, outcome.reason)
        return outcome

    def _whole(self, cell: Cell) -> Outcome:
        """What became of a cell over those of its blocks that count. Its summary is recorded."""
        by_block = self.known[cell.id]
        suspect = anchor.suspects(self._anchors_pps(), self.repeats)
        outcome = over_blocks(cell, [flagged(by_block[b], anchor.SUSPECT) if b in suspect else by_block[b]
                                     for b in sorted(anchor.counting(by_block, self.repeats))])
        if outcome.status not in ("failed", "unsupported") and not self.summaries_kept:
            version = self.checks[cell.switch.name].version
            self.record.results(cell, version, self.accels[cell.id], outcome.results, summary=True)
        return replace(outcome, ends_run=outcome.ends_run or self.ended)

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
        setup = plan.setup(cell, self.bed, image(), str(folder), str(logs.resolve()), self.accel or "tcg",
                           host.has_vhost_net(), self.apart)
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
            counted = testbed.counters()
            self.record.ports(cell, counted)
            places = testbed.ledger(counted)
            self.record.ledger(cell, places)
            if line := ledger.said(places):
                self.say("    " + line)
        except CellFailed as why:
            self.say(f"    no counters of the switch: {why}")

    def _say_once(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self.said:
                self.say(f"    {note}")
        self.said.update(notes)

    def _search(self, cell: Cell, version: str, testbed: Any, steps: search.Steps) -> list[Result]:
        """Drive the search: every trial is on disk before the next one starts."""
        try:
            request = next(steps)
            while True:
                progress.trial(self.say, request)
                trial = testbed.measure(request)
                self.traffic_s += request.duration_s
                self.record.trial(cell, version, testbed.accel(), trial)
                self._say_once(trial.cost.notes if trial.cost else ())
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
        if r.metric == "cycles_per_packet" and r.value is not None:
            text += f", {r.value:.0f} cycles per packet"
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
