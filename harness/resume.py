# SPDX-License-Identifier: BSD-3-Clause
"""Going on with a run that was stopped or killed: what is finished stays, what is not is measured.

Finished is what has a row in blocks.csv that is ok, invalid or unsupported; what failed, or was given up by a signal,
is measured again. Rows of tries that did not come to their end, and a last row that a kill has cut off, are taken out
of the tables; the sound ones are kept in unfinished/.
"""

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import asked, record, replayed, results
from harness.asked import Asked
from harness.errors import BadInput
from harness.results import Row

FINISHED = ("ok", "invalid", "unsupported")
# Facts of the machine that must be the same, of host.facts().
FACTS = ("cpu_model", "cpu_microcode", "cpu_count", "cpus_usable", "hypervisor", "kernel", "kernel_cmdline",
         "transparent_hugepages", "governor", "clocksource", "smt_active")
Done = frozenset[tuple[str, int]]       # cell id and block


@dataclass(frozen=True)
class Resume:
    """A run to go on with. `done`: what is finished; `last_trial`: the highest number of a trial."""

    folder: Path
    about: Mapping[str, Any]
    done: Done
    last_trial: int
    values: results.Results
    took_s: Mapping[str, Sequence[float]]       # by cell, how long each of its finished blocks took
    summaries_kept: bool        # the run had come to its end, and nothing of it is measured again

    @property
    def run_id(self) -> str:
        return str(self.about["run_id"])


def about(folder: Path) -> dict[str, Any]:
    """run.json of a run that can be gone on with, or repeated. BadInput."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{folder}: run.json cannot be read ({error}): is it the results folder of a run?") from None
    texts = content.get("sources") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not all(isinstance(content.get(k), t) for k, t in NEEDED.items()) or not (
            all(isinstance(text, str) for text in texts.values())):
        raise BadInput(f"{folder}: run.json lacks what it takes ({', '.join(NEEDED)}): it is of an older vswbench")
    return content


@contextmanager
def asked_for(folder: Path, given: Asked | None = None) -> Iterator[Asked]:
    """What a run was asked for: with its files where they were, else, if they are gone, with copies of them. `given`:
    as typed now, if it was."""
    before = about(folder)
    was = asked.of_run(before)
    if given:
        yield Asked(given.files, given.switches or was.switches, given.testbed or was.testbed,
                    was.blocks if given.blocks is None else given.blocks)
    elif all(Path(name).exists() for name in (*before["sources"], *replayed.known(before))):
        yield was
    else:
        with tempfile.TemporaryDirectory(prefix="vswbench-scenario-") as copies:
            yield asked.unpacked(was, before["sources"], Path(copies), replayed.found(folder, before))


NEEDED: Mapping[str, type] = {"run_id": str, "name": str, "sources": dict, "request": dict, "machine": dict,
                              "versions": dict,
                              "cells": list, "fingerprint": str, "schema_version": int}


def check(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """BadInput with the reason if what would be measured now would not belong to the same run. `now` holds the same
    keys as run.json."""
    def refuse(why: str) -> None:
        raise BadInput(f"--resume {folder}: {why}: start a new run, which `vswbench compare` can compare with this one")

    if before["schema_version"] != now["schema_version"]:
        refuse(f"it is of schema version {before['schema_version']}, this vswbench writes {now['schema_version']}")
    if sorted(before["sources"].values()) != sorted(now["sources"].values()):
        changed = [name for name, text in now["sources"].items() if text not in before["sources"].values()]
        refuse(f"the text of {changed[0] if changed else 'a file'} is another one than it was")
    if before["fingerprint"] != now["fingerprint"]:
        refuse("the plan is another one (other cells, testbed or way of searching)")
    for fact in FACTS:
        if before["machine"].get(fact) != now["machine"].get(fact):
            refuse(f"the machine or its state is another one ({fact} was {before['machine'].get(fact)!r} and is "
                   f"{now['machine'].get(fact)!r})")
    for what in ("sha256", "switches"):
        if (old := before["versions"].get(what)) != (new := now["versions"].get(what)):
            name = next(n for n in sorted({*(old or {}), *(new or {})}) if (old or {}).get(n) != (new or {}).get(n))
            refuse(f"{name} is another build or version than it was")


def prepare(folder: Path, before: Mapping[str, Any], say: Callable[[str], None]) -> Resume:
    """Take out of the tables what is not finished. Call it while holding the machine: then the run is not running."""
    done, begun, took_s, warnings = _done(folder)
    several = _several(before)
    all_done = before.get("state") == "complete" and done >= begun | {
        (cell, block) for cell, count in several.items() for block in range(1, count + 1)}
    lines: list[str] = []
    trials: set[str] = set()
    last = 0

    def finished(row: Row) -> bool:
        block = results.whole(row.get("block", ""))
        if block is None and several:               # a summary, which is made anew when there are other blocks
            return all_done
        return (row["cell_id"], block or 1) in done

    def of_trials(row: Row) -> bool:
        nonlocal last
        last = max(last, results.whole(row["trial_id"]) or 0)
        if keep := finished(row):
            trials.add(row["trial_id"])
        return keep

    tests: Mapping[str, Callable[[Row], bool]] = {
        "trials": of_trials, "results": finished, "ports": finished, "ledger": finished, "nfs": finished,
        "blocks": finished,
        **dict.fromkeys(("latency", "histograms", "series"), lambda row: row["trial_id"] in trials)}
    aside = folder / "unfinished" / str(1 + sum(1 for _ in (folder / "unfinished").glob("*")))
    for name, keep in tests.items():
        if moved := _sift(folder, name, keep, aside, warnings):
            lines.append(f"{moved} rows of {name}.csv")
    for warning in warnings:
        say(f"    {warning}")
    if lines:
        say(f"    of tries that did not come to their end, set aside in {aside}: {', '.join(lines)}")
    return Resume(folder, before, done, last, results.read(folder), took_s, all_done)


def _several(before: Mapping[str, Any]) -> dict[str, int]:
    """Blocks by cell; empty for a run of one block."""
    blocks = before["request"].get("blocks_of")
    blocks = {str(c): n for c, n in blocks.items() if isinstance(n, int)} if isinstance(blocks, dict) else {}
    return blocks if any(n > 1 for n in blocks.values()) else {}


def _done(folder: Path) -> tuple[Done, Done, dict[str, list[float]], list[str]]:
    """What is finished, all that has a row in blocks.csv, how long finished cells took, and warnings."""
    warnings: list[str] = []
    if not (folder / "blocks.csv").exists():
        raise BadInput(f"--resume {folder}: there is no blocks.csv, so what is finished cannot be told")
    rows = list(results.read_table(folder / "blocks.csv", results.NEEDED["blocks"], warnings))
    last = {(row["cell_id"], results.whole(row["block"]) or 1): row["status"] for row in rows}
    took_s: dict[str, list[float]] = {}
    for row in rows:
        if row["status"] in FINISHED and (seconds := _seconds(row)) is not None:
            took_s.setdefault(row["cell_id"], []).append(seconds)
    # a row there without any figure is of a file system that lost what was written before
    known = {(row["cell_id"], results.whole(row.get("block", "")) or 1)
             for row in results.read_table(folder / "results.csv", ("cell_id",), [])}
    done = frozenset(key for key, status in last.items() if status in FINISHED and key in known)
    return done, frozenset(last), took_s, warnings


def duration_s(old: Resume) -> float:
    """How long the run took so far: by its own word, or that of its finished cells where it was killed and has none."""
    said = old.about.get("duration_s")
    return said if isinstance(said, float) else sum(sum(seconds) for seconds in old.took_s.values())


def _seconds(row: Row) -> float | None:
    """How long a row of blocks.csv took; None where its times are damaged."""
    try:
        began, ended = (datetime.fromisoformat(row[column]) for column in ("started_utc", "ended_utc"))
        return max(0.0, (ended - began).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _sift(folder: Path, name: str, keep: Callable[[Row], bool], aside: Path, warnings: list[str]) -> int:
    """Leave only the rows to keep in a table, whole; gives how many sound ones were moved to `aside`."""
    path, columns = folder / f"{name}.csv", record.TABLES[name]
    if not path.exists() or path.stat().st_size == 0:
        path.write_text(_line(columns), newline="", encoding="utf-8")
        return 0
    _check_columns(path, columns)
    part, moved = path.with_suffix(".part"), 0
    here: list[str] = []
    with part.open("w", newline="", encoding="utf-8") as file:
        file.write(_line(columns))
        for row in results.read_table(path, (), here):
            line = _line([row[column] for column in columns])
            if keep(row):
                file.write(line)
            else:
                moved += 1
                _set_aside(aside / path.name, columns, line)
        file.flush()
        os.fsync(file.fileno())
    warnings += [warning for warning in here if warning not in warnings]
    if moved or here:
        part.replace(path)
    else:
        part.unlink()
    return moved


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        if next(csv.reader(file), []) != list(columns):
            raise BadInput(f"--resume {path.parent}: {path.name} has other columns than this vswbench writes")


def _set_aside(path: Path, columns: Sequence[str], line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        if file.tell() == 0:
            file.write(_line(columns))
        file.write(line)


def _line(values: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue()
