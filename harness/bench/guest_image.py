# SPDX-License-Identifier: BSD-3-Clause
"""Figure 4 of `bench guests`: the image of a VM. How large it is, how long it takes to build once its kernel package is
there, and whether two builds of the same inputs give the same bytes.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from harness import run
from harness.bench.lab import Lab
from harness.bench.rows import Row, at_most, row
from harness.proc import run_command

NUMBER = 4
MIB = 0
SIZE_MB = 40.0
BUILD_S = 120.0
PROGRAMS = ("vnf", "pktgen", "meter", "kernelnf")


def measure(the_lab: Lab) -> list[Row]:
    built = [_build(the_lab, i) for i in range(2)]
    sizes = [_size_mb(folder) for folder, _ in built]
    return [row(NUMBER, "size of the guest image (kernel and initramfs)", sizes, "MB", at_most(SIZE_MB)),
            row(NUMBER, "building it, its kernel package being there", [s for _, s in built], "s", at_most(BUILD_S)),
            row(NUMBER, "files that differ between two builds of it", [_differing([f for f, _ in built])], "files",
                at_most(0))]


def _build(the_lab: Lab, number: int) -> tuple[Path, float]:
    """Where to, and how long it took."""
    out = the_lab.logs / f"image{number}"
    began = time.monotonic()
    run_command([str(run.ROOT / "vnf/guest/build-image"), "--out", str(out), "--cache",
                 str(the_lab.build / "guest/cache"), "--init", str(the_lab.build / "vswbench-init"), "--programs",
                 *(str(the_lab.build / name) for name in PROGRAMS)], the_lab.logs / "image.log", BUILD_S * 2)
    return out, time.monotonic() - began


def _size_mb(folder: Path) -> float:
    """What QEMU loads."""
    about = json.loads((folder / "image.json").read_text())
    return sum((folder / about[name]).stat().st_size for name in ("kernel_file", "initramfs_file")) / 1e6


def _differing(folders: Sequence[Path]) -> int:
    digests = [{p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()} for folder in folders]
    return sum(1 for name in {*digests[0], *digests[1]} if digests[0].get(name) != digests[1].get(name))
