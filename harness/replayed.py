# SPDX-License-Identifier: BSD-3-Clause
"""Files beside scenarios that are no text: those that cells replay, and images of people's own that their VMs boot.
run.json holds the name, place and hash of each. A bundle holds what was replayed, in the folder replayed/ of the run
under its hash, but no image, which is too large and may know secrets. Whoever measures the run again finds the file
there, or where it was, and uses it only if the hash is still the same: so a bundle of somebody else can name no file of
this machine but one that it knows already.
"""

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import host
from harness.cell import Cell
from harness.errors import BadInput

FOLDER = "replayed"         # of a results folder, and its key in run.json
IMAGES = "images"           # of run.json


def of_cells(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """For run.json: by its name, what each replayed file is."""
    return _said({c.traffic.replay.name: c.traffic.replay.file for c in cells if c.traffic and c.traffic.replay})


def images_of(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """The same of images, by their paths."""
    return _said({os.path.normpath(c.machine.image): c.machine.image for c in cells if c.machine.image})


def _said(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: {"path": os.path.realpath(path), "sha256": _sha256(path), "size_bytes": os.path.getsize(path)}
            for name, path in files.items() if os.path.isfile(path)}


def _sha256(path: str | Path) -> str:
    """Read once for all cells, for images are large."""
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    return _sha256_of(str(path), seen.st_ino, seen.st_mtime_ns, seen.st_size)


@functools.cache
def _sha256_of(path: str, *state: int) -> str:
    return host.sha256(path)


def known(about: Mapping[str, Any], *keys: str) -> dict[str, tuple[str, str]]:
    """(hash, place) by name, of what run.json says under these keys, else under all; entries that make no sense are
    left out."""
    tables = [about.get(key) for key in keys or (FOLDER, IMAGES)]
    entries = [entry for table in tables if isinstance(table, Mapping) for entry in table.items()]
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
            if place.is_file() and _sha256(place) == digest:
                here[name] = place
                break
    return here


def check(folder: Path, about: Mapping[str, Any], cells: Iterable[Cell]) -> None:
    """BadInput if the cells replay another file than the run did, or an image is not the one that was booted."""
    then = {digest for digest, _ in known(about, FOLDER).values()}
    for name, now in of_cells(cells).items():
        if now["sha256"] not in then:
            raise BadInput(f"{folder}: {now['path']} is not the file that was replayed then as {name}: put that one "
                           "there, or measure a run of its own")
    there = found(folder, about)
    for name, (_, path) in known(about, IMAGES).items():
        if name not in there:
            raise BadInput(f"{folder}: {path} is not there any more as the image that was booted then: put that one "
                           "there, or measure a run of its own")


def as_then(about: Mapping[str, Any], cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """For run.json of a run that repeats another one: its files with the names that they had there, where they were
    found."""
    tables = {FOLDER: of_cells(cells), IMAGES: images_of(cells)}
    return {key: {name: said for name, (digest, _) in known(about, key).items() for said in now.values()
                  if said["sha256"] == digest} for key, now in tables.items()}


def comparable(cell: Cell) -> dict[str, Any]:
    """All of a cell, as it is fingerprinted: with what a replayed file is, and not where it lies; without its image,
    which run.json has among the versions."""
    fields = asdict(cell)
    if fields["traffic"] and (replay := fields["traffic"]["replay"]):
        replay["file"] = _sha256(replay["file"])
        del replay["name"]
    del fields["machine"]["image"], fields["machine"]["image_format"]
    return fields
