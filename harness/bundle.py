# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench bundle RUN`: one archive with a run's data and figures, the program that draws and measures them, its
scenarios, and a README with the commands and what they cost. Two bundles of one run are the same, byte by byte."""

import argparse
import gzip
import hashlib
import io
import os
import re
import shlex
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import replayed, results
from harness.errors import BadInput, CannotRun

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ("vswbench", "Makefile", "CMakeLists.txt", "README.md", "CONTRIBUTING.md", "LICENSE", "harness", "plots",
           "pktgen",
           "vnf", "scenarios")
NOT_OURS = ("__pycache__", ".pytest_cache")
REPLAYED_MAX_BYTES = 512 << 20        # larger recordings are not packed


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the results folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the archive (default: RUN.tar.gz, beside it)")


def do(given: argparse.Namespace) -> int:
    """Pack; print the archive's path."""
    found = results.read(given.run)
    recordings, notes = _recordings(found)
    for line in (*found.warnings, *notes):
        print(f"note: {line}", file=sys.stderr)
    path = given.out or given.run.resolve().with_name(given.run.resolve().name + ".tar.gz")
    try:
        pack(found, path, recordings, notes)
    except OSError as error:
        raise CannotRun(f"{path}: cannot be written: {error.strerror}") from None
    print(path)
    return 0


def pack(run: results.Results, path: Path, recordings: Mapping[str, Path] = MappingProxyType({}),
         notes: Sequence[str] = ()) -> None:
    """Write the archive; `recordings`: further files of data/, by name; `notes`: what is not as it should be. BadInput
    if it would pack itself."""
    if path.resolve().is_relative_to(run.folder.resolve()):
        raise BadInput(f"--out {path}: lies in the run's own folder: give another place")
    top = f"vswbench-{_plain(run.name)}"
    files = dict(_program()) | {f"data/{p.relative_to(run.folder)}": p for p in _walk(run.folder)}
    files |= {f"data/{name}": p for name, p in recordings.items()}
    sources = _mapping(run.about.get("sources"))
    made: dict[str, bytes] = {f"asked/{_plain(name)}": str(text).encode() for name, text in sources.items()}
    made["ARTEFACT.md"] = readme(run, notes).encode()
    made["draw.sh"] = DRAW.encode()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    sums |= {name: _sha256(p) for name, p in files.items()}
    made["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()
    part = path.with_name(path.name + ".part")
    with part.open("wb") as raw, gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as zipped, \
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted({*files, *made}):
            info = tarfile.TarInfo(f"{top}/{name}")
            content = io.BytesIO(made[name]) if name in made else files[name].open("rb")
            info.size = content.seek(0, os.SEEK_END)
            content.seek(0)
            executable = name == "draw.sh" or (name in files and os.access(files[name], os.X_OK))
            info.mode = 0o755 if executable else 0o644
            archive.addfile(info, content)
            content.close()
    part.replace(path)


def _program() -> Iterator[tuple[str, Path]]:
    for name in PROGRAM:
        path = ROOT / name
        if path.is_file():
            yield name, path
        else:
            yield from ((str(p.relative_to(ROOT)), p) for p in _walk(path))


def _walk(folder: Path) -> Iterator[Path]:
    """Plain files, in order; no links, no sockets."""
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not any(part in NOT_OURS for part in within) and (
                str(path).isprintable() and "\\" not in str(path)):      # of which SHA256SUMS could say nothing
            yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(name: str) -> str:
    """What a run calls a file or itself, as the name of one that lies in a folder of ours, on any machine."""
    flat = name.replace("..", "up").strip("/").replace("/", "__")
    return re.sub("[^A-Za-z0-9._+=-]", "_", flat)[:150] or "_"


def _recordings(run: results.Results) -> tuple[dict[str, Path], list[str]]:
    """Replayed files that are to be packed, by their places in the results folder; and what is to be said of others."""
    there, take, lines = replayed.found(run.folder, run.about), {}, []
    for name, (digest, _) in replayed.known(run.about, replayed.FOLDER).items():
        shown = ascii(name)
        if name not in there:
            lines.append(f"the replayed file {shown} is gone, or another one than it was: not packed; whoever measures "
                         f"again needs it (sha256 {digest})")
        elif (size_bytes := there[name].stat().st_size) > REPLAYED_MAX_BYTES:
            lines.append(f"the replayed file {shown} has {size_bytes >> 20} MiB, over {REPLAYED_MAX_BYTES >> 20} MiB: "
                         f"not packed; give it along, as data/{replayed.kept_as(digest)}")
        else:
            take[replayed.kept_as(digest)] = there[name]
    lines += [f"the image {ascii(name)} is not packed; whoever measures again needs it at {ascii(path)} (sha256 "
              f"{digest})" for name, (digest, path) in replayed.known(run.about, replayed.IMAGES).items()]
    return take, lines


DRAW = """#!/bin/sh
# Draws the figures of this bundle again, and says of each SVG whether it is the same, byte by byte.
set -eu
cd "$(dirname "$0")"
./vswbench figures data
grep -E '  data/figures/.*[.]svg$' SHA256SUMS | sha256sum -c -
"""


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        return "a time that is not known"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def readme(run: results.Results, notes: Sequence[str] = ()) -> str:
    """How to get from the data to the figures, and from a machine to the data."""
    about = run.about
    versions, machine = _mapping(about.get("versions")), _mapping(about.get("machine"))
    took = _duration(about.get("duration_s"))
    megabytes = sum(p.stat().st_size for p in _walk(run.folder)) / 1e6
    known = _mapping(versions.get("switches")).items()
    switches = "".join(f"- {name}: {said.get('version', '')}\n" for name, said in known if isinstance(said, Mapping))
    cpus = f"{machine.get('cpu_model', 'an unknown CPU')}, {machine.get('cpu_count', '?')} CPUs"
    warnings = "".join(f"- {w}\n" for w in (*run.warnings, *notes)) or "- none\n"
    return f"""# {run.name}

Data, figures and program of one run of vswbench. Licence of the program: LICENSE.

## Draw the figures again

    ./draw.sh

A minute, no root, no hugepages, no network; needs Python 3.11 with rich, numpy and scipy, gnuplot, and the font DejaVu
(Debian: python3-rich python3-numpy python3-scipy gnuplot-nox fonts-dejavu-core). It draws data/figures/ from the CSV
files in data/ and checks each SVG against SHA256SUMS. PDF files carry their date, so they differ.

## Measure again

    make setup
    ./vswbench rerun data --any-machine

Took {took} and {megabytes:.1f} MB then; needs root for real switches. It measures the very scenarios
of this run (asked/, also in data/run.json) and compares: exit status 0 no cell slower, 3 some are, 4 not decided.
The command then was:

    {_command(about)}

## What it was measured with

- {cpus}, Linux {machine.get('kernel', '?')}, {machine.get('memory_mib', '?')} MiB
- vswbench {versions.get('vswbench') or '(no commit recorded)'}
{switches}
All of it, with hashes of every binary, every command line and the order of the cells, is in data/run.json.

## What is not sound

{warnings}
## What is in data/

trials.csv (every trial), results.csv (every figure of every cell), latency.csv and histograms.csv (whole histograms),
blocks.csv (the order, with times), ports.csv, ledger.csv, nfs.csv, series.csv, run.json, logs/, figures/, and in
replayed/ the recordings that were replayed, each under its SHA-256. Columns: README.md.
"""


def _command(about: Mapping[str, Any]) -> str:
    """As a person types it, in a checkout of vswbench."""
    request = about.get("request")
    if not isinstance(request, Mapping) or not isinstance(request.get("files"), list):
        return "(not recorded)"
    switches = request.get("switches")
    words = ["./vswbench", "run", *map(str, request["files"])]
    words += [word for switch in (switches if isinstance(switches, list) else ()) for word in ("--switch", str(switch))]
    for key in ("testbed", "blocks"):
        words += [f"--{key}", str(request[key])] if request.get(key) else []
    return shlex.join(words)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
