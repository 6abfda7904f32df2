# SPDX-License-Identifier: BSD-3-Clause
"""Files that the cells of a run replay. run.json holds the name, place and hash of each; a bundle holds the file
itself, in the folder replayed/ of the run under its hash. Whoever measures the run again finds it there, or where it
was, and uses it only if the hash is still the same: so a bundle of somebody else can name no file of this machine but
one that it knows already.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import host
from harness.cell import Cell
from harness.errors import BadInput

FOLDER = "replayed"         # of a results folder


def of_cells(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """For run.json: by its name, what each file is."""
    files = {c.traffic.replay.name: Path(c.traffic.replay.file) for c in cells if c.traffic and c.traffic.replay}
    return {name: {"path": str(path), "sha256": host.sha256(path), "size_bytes": path.stat().st_size}
            for name, path in files.items() if path.is_file()}


def known(about: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """(hash, place) by name, of what run.json says; entries that make no sense are left out."""
    files = about.get(FOLDER)
    entries = files.items() if isinstance(files, Mapping) else ()
    return {name: (said["sha256"], str(said.get("path", ""))) for name, said in entries
            if isinstance(said, Mapping) and re.fullmatch("[0-9a-f]{64}", str(said.get("sha256")))}


def kept_as(digest: str) -> str:
    """Its place in a results folder."""
    return f"{FOLDER}/{digest}"


def found(folder: Path, about: Mapping[str, Any]) -> dict[str, Path]:
    """The files of a run, by name, as they were then. Those that are not there any more, or are others now, are left
    out."""
    here = {}
    for name, (digest, path) in known(about).items():
        for place in (folder / kept_as(digest), Path(path), Path(name)):
            if place.is_file() and host.sha256(place) == digest:
                here[name] = place
                break
    return here


def check(folder: Path, about: Mapping[str, Any], cells: Iterable[Cell]) -> None:
    """BadInput if the cells replay another file than the run did."""
    then = {digest for digest, _ in known(about).values()}
    for name, now in of_cells(cells).items():
        if now["sha256"] not in then:
            raise BadInput(f"{folder}: {now['path']} is not the file that was replayed then as {name}: put that one "
                           "there, or measure a run of its own")


def comparable(cell: Cell) -> dict[str, Any]:
    """All of a cell, as it is fingerprinted: with what a replayed file is, and not where it lies."""
    fields = asdict(cell)
    if fields["traffic"] and (replay := fields["traffic"]["replay"]):
        replay["file"] = host.sha256(replay["file"])
        del replay["name"]
    return fields
