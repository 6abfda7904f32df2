# SPDX-License-Identifier: BSD-3-Clause
"""Scenario files: what to measure. Read and checked here, wholly, before anything is started.

A scenario is a TOML file with the tables below; where a list is welcome, the cells are the cross product.
A suite is a TOML file with `scenarios = [files]` and, optionally, an [override] laid on each of them.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import machine, nfs, traffic, virtio
from harness import search as searches
from harness.errors import BadInput
from harness.machine import Machine
from harness.ports import PORT_KINDS
from harness.schema import Field, check_keys, check_table, merge, read_toml
from harness.search import Search
from harness.topology import CHAIN_MAX, CHAINS_MAX, DIRECTIONS, GUESTS, TOPOLOGIES
from harness.traffic import FRAME_MAX_BYTES, Traffic
from harness.trial import REPEATABLE

AUTO = "auto"           # of port kinds: whichever most of the switches have
IDLES = ("auto", "busy", "yield", "sleep", "interrupt")
ANCHOR = "anchor"       # the scenario of the cell that watches the machine, see blocks.py
BLOCKS_MAX = 1000
NAME_MAX = 64           # names become part of a cell's id, which names a folder

MATRIX = {
    "topology": Field(str, choices=TOPOLOGIES, many=True, required=True),
    "direction": Field(str, ("one-way",), choices=DIRECTIONS, many=True),
    "guest": Field(str, ("none",), choices=GUESTS, many=True),
    "nf": Field(str, ("io",), many=True),
    "chain_length": Field(int, (1,), low=1, high=CHAIN_MAX, many=True),
    "chains": Field(int, (1,), low=1, high=CHAINS_MAX, many=True),      # beside each other
    "frame_bytes": Field(int, (64,), low=64, high=FRAME_MAX_BYTES, many=True),
    "flows": Field(int, (1,), low=1, high=16_777_216, many=True),
    "port_kind": Field(str, ("vhost-user",), choices=(*PORT_KINDS, AUTO), many=True),
    "switch": Field(str, (), many=True),
    "idle": Field(str, ("auto",), choices=IDLES, many=True),    # what an nf does without packets
    **virtio.MATRIX,
}
# The keys of all kinds of search; each kind has its own besides, and may have other defaults for these.
SEARCH = {
    "kind": Field(str, "rplus", choices=tuple(kind.name for kind in searches.SEARCHES)),
    "trials": Field(int, 3, low=1, high=1000),
    "trial_s": Field(float, 1.0, low=0.01, high=3600),
    "warmup_s": Field(float, 0.5, low=0, high=3600),
    "rate_pps": Field(float, (), low=0.01, high=1e9, many=True),
    "invalid_repeats": Field(int, 2, low=0, high=100),
    "repeat_on": Field(str, (), choices=REPEATABLE, many=True),
    "stability_trials": Field(int, 0, low=0, high=1000),
    "drain_s": Field(float, 0.0, low=0, high=600),
    "settle_s": Field(float, 0.0, low=0, high=600),
}
LATENCY = {
    "at_rplus": Field(float, (), low=0.0001, high=2.0, many=True),
    "at_ndr": Field(float, (), low=0.0001, high=2.0, many=True),
    "at_pdr": Field(float, (), low=0.0001, high=2.0, many=True),
    "at_pps": Field(float, (), low=1, high=1e9, many=True),
    "no_load": Field(bool, False),
    "trials": Field(int, 3, low=1, high=1000),
    "trial_s": Field(float, 1.0, low=0.01, high=3600),
}
TELEMETRY = {
    "trials": Field(int, 0, low=0, high=1000),
    "trial_s": Field(float, 1.0, low=0.1, high=3600),
    "at_rplus": Field(float, (), low=0.0001, high=2.0, many=True),
}
REPEAT = {
    "blocks": Field(int, 1, low=1, high=BLOCKS_MAX),
    "order": Field(str, "shuffled", choices=("shuffled", "abba")),
    "seed": Field(int, 1, low=0, high=2**63 - 1),
    "anchor": Field(bool, True),
    "again": Field(int, 1, low=0, high=10),
}
TABLES = ("matrix", "guest", "search", "latency", "telemetry", "repeat", "nf")


@dataclass(frozen=True)
class Repeat:
    """How often every cell is measured afresh, and in which order; see blocks.py."""

    blocks: int = 1
    order: str = "shuffled"
    seed: int = 1
    anchor: bool = True
    again: int = 1      # how often a block with a suspect anchor is measured again, see anchor.py


@dataclass(frozen=True)
class Scenario:
    """A checked scenario. `matrix` maps every key of MATRIX to the tuple of its values."""

    name: str
    source: str                             # the file, as the person named it
    matrix: Mapping[str, tuple[Any, ...]]
    search: Search
    traffic: Traffic | None = None          # None: constant rate, plain UDP
    repeat: Repeat = Repeat()
    nf_arguments: tuple[tuple[str, str], ...] = ()      # (nf, argument) of those that take one
    machine: Machine = Machine()


def from_table(where: str, table: Mapping[str, Any]) -> Scenario:
    """A scenario that stands in no file. `where` names it in errors."""
    return _scenario(where, table, Path())


def files_of(path: Path) -> list[Path]:
    """The file, those that it names if it is a suite, and those with rules and the like that these name. Raises
    BadInput."""
    scenarios = [path, *(path.parent / file for file in read_toml(path).get("scenarios", []))]
    return scenarios + list(dict.fromkeys(
        file.parent / name for file in scenarios for name in nfs.files(read_toml(file).get("nf"))))


def load(path: Path) -> list[Scenario]:
    """The scenarios of a file: one, or those of a suite in order. Raises BadInput."""
    table = read_toml(path)
    if "scenarios" not in table:
        return [_named(_scenario(str(path), table, path.parent))]
    check_keys(str(path), table, ["scenarios", "override"])
    files = table["scenarios"]
    if not isinstance(files, list) or not files or not all(isinstance(f, str) for f in files):
        raise BadInput(f"{path}: key 'scenarios' must be a list of file names")
    override = table.get("override", {})
    if not isinstance(override, Mapping):
        raise BadInput(f"{path}: [override]: must be a table, not {override!r}")
    check_keys(f"{path}: [override]", override, [*TABLES, "traffic"])
    result = []
    for file in files:
        inner = path.parent / file
        inner_table = read_toml(inner)
        if "scenarios" in inner_table:
            raise BadInput(f"{inner}: a suite cannot hold a suite")
        result.append(_named(_scenario(f"{inner} (with [override] of {path})" if override else str(inner),
                                       merge(inner_table, override), inner.parent)))
    names = [s.name for s in result]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise BadInput(f"{path}: two scenarios are named '{twice.pop()}'")
    return result


def _named(scenario: Scenario) -> Scenario:
    if scenario.name == ANCHOR:
        raise BadInput(f"{scenario.source}: key 'name': '{ANCHOR}' is the name of a cell of ours: take another")
    return scenario


def _scenario(where: str, table: Mapping[str, Any], folder: Path) -> Scenario:
    check_keys(where, table, ["name", *TABLES, "traffic"])
    name = table.get("name")
    if not isinstance(name, str) or not re.fullmatch(f"[A-Za-z0-9_-]{{1,{NAME_MAX}}}", name):
        raise BadInput(f"{where}: key 'name' must be a word of at most {NAME_MAX} letters, digits, '-' and '_', "
                       f"not {name!r}")
    matrix = check_table(f"{where}: [matrix]", table.get("matrix", {}), MATRIX)
    search = _search(where, table)
    if table.get("guest") and ("qemu" not in matrix["guest"] or set(matrix["topology"]) == {"p2p"}):
        raise BadInput(f"{where}: [guest]: no cell has a VM: take the table out, or set [matrix] guest = \"qemu\"")
    _check_matrix(where, matrix, table["matrix"])
    sent = _traffic(where, table, matrix, folder)
    _check_search(where, table, search, sent)
    repeat = check_table(f"{where}: [repeat]", table.get("repeat", {}), REPEAT)
    used = {name for value in matrix["nf"] for name in value.split("+")} if "loopback" in matrix["topology"] else set()
    return Scenario(name, where, matrix, search, sent, Repeat(**repeat),
                    nfs.check(where, table.get("nf", {}), folder, used, max(matrix["flows"])),
                    machine.check(f"{where}: [guest]", table.get("guest", {}), folder))


def _search(where: str, whole: Mapping[str, Any]) -> Search:
    here, table = f"{where}: [search]", whole.get("search", {})
    named = {key: value for key, value in table.items() if key == "kind"} if isinstance(table, Mapping) else table
    kind = searches.find(check_table(here, named, {"kind": SEARCH["kind"]})["kind"])
    fields = {key: replace(f, default=kind.defaults.get(key, f.default)) for key, f in SEARCH.items()}
    checked = check_table(here, table, fields | kind.fields)
    more = {f"{name}_{key}": value for name, fields in (("latency", LATENCY), ("telemetry", TELEMETRY))
            for key, value in check_table(f"{where}: [{name}]", whole.get(name, {}), fields).items()}
    return Search(**{key: checked[key] for key in SEARCH}, **more, options=kind.options(here, checked))


def _traffic(where: str, table: Mapping[str, Any], matrix: Mapping[str, Any], folder: Path) -> Traffic | None:
    given = table.get("traffic", {})
    return traffic.check(f"{where}: [traffic]", given, matrix, table["matrix"], folder, fingerprint([given]))


def _check_search(where: str, table: Mapping[str, Any], search: Search, sent: Traffic | None) -> None:
    """What a search and a traffic must have of each other."""
    own_timing = bool(sent and sent.replay and sent.replay.timing == "original")
    kind = searches.find(search.kind)
    _check_latency(f"{where}: [latency]", search)
    if search.telemetry_at_rplus and not search.telemetry_trials:
        raise BadInput(f"{where}: [telemetry]: key 'at_rplus' has a meaning only with trials = 1 or more: set that, or "
                       "take it out")
    if search.telemetry_trials and own_timing:
        raise BadInput(f"{where}: [telemetry]: key 'trials' needs a load that saturates, but a file that is replayed "
                       "with timing = \"original\" has its own: take [telemetry] out, or set timing = \"rate\"")
    where = f"{where}: [search]"
    if not kind.given_rates and search.rate_pps:
        raise BadInput(f"{where}: key 'rate_pps' has a meaning only with kind = \"fixed\" or \"soak\": take it out, or "
                       "set that")
    if search.kind != "fixed" and own_timing:
        raise BadInput(f"{where}: key 'kind' is {search.kind!r}, which chooses rates, but a file that is replayed with "
                       "timing = \"original\" has its own: set kind = \"fixed\", or timing = \"rate\"")
    if search.kind == "fixed" and own_timing == bool(search.rate_pps):
        raise BadInput(f"{where}: key 'rate_pps' " + (
            "has no meaning with a file that is replayed with timing = \"original\": take one of them out" if own_timing
            else "is missing: kind = \"fixed\" needs a rate per direction, or a list of such"))
    if kind.own_latency and "latency" in table:
        raise BadInput(f"{where}: key 'kind' is {search.kind!r}, whose trials give latency anyway: take [latency] out")


def _check_latency(where: str, search: Search) -> None:
    """Fractions only of what the search finds."""
    bases = searches.find(search.kind).bases(search)
    for base, ratios in (("ndr", search.latency_at_ndr), ("pdr", search.latency_at_pdr)):
        if ratios and base not in bases:
            raise BadInput(f"{where}: key 'at_{base}' needs a search that finds {base}: kind = \"{search.kind}\" finds "
                           f"{', '.join(['rplus', *bases])}")


def _check_matrix(where: str, matrix: Mapping[str, tuple[Any, ...]], given: Mapping[str, Any]) -> None:
    for value in matrix["nf"]:
        nfs.check_name(f"{where}: [matrix]: key 'nf'", value)
        length = len(nfs.chain(value))
        if length > CHAIN_MAX:
            raise BadInput(f"{where}: [matrix]: key 'nf' is {value!r}: a chain has at most {CHAIN_MAX} guests")
        if length and "chain_length" in given and length not in matrix["chain_length"]:
            raise BadInput(f"{where}: [matrix]: key 'chain_length' has no {length}, but {value!r} is a chain of "
                           f"{length} guests: take the key out, or add it")
    needs_guest = set(matrix["topology"]) - {"p2p"}
    if needs_guest and set(matrix["guest"]) == {"none"}:
        raise BadInput(f"{where}: [matrix]: key 'guest' is missing: topology {sorted(needs_guest)[0]} needs "
                       "\"process\" or \"qemu\"")


def fingerprint(values: Sequence[Any]) -> str:
    """Eight hex digits that change when any of the values does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]
