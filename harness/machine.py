# SPDX-License-Identifier: BSD-3-Clause
"""The [guest] table of a scenario: what every VM of its cells is made of, whatever the switch.

Other guests than VMs have no use for it. Memory in MiB; `memory_mib` 0 stands for the testbed's. Of an image the first
bytes are read, to see what it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.schema import Field, check_table

PAGES = {"4K": 0, "2M": 2, "1G": 1024}      # MiB of a hugepage of the VM's memory; 0: pages of 4 KiB
QCOW2 = b"QFI\xfb"
FIELDS = {
    "vcpus": Field(int, 2, low=2, high=16),
    "memory_mib": Field(int, 0, low=256, high=65536),
    "hugepages": Field(str, "2M", choices=tuple(PAGES)),
    "offloads": Field(bool, False),
    "image": Field(str, ""),
}


@dataclass(frozen=True)
class Machine:
    """vCPU 0 serves the guest's kernel and control thread, vCPU 1 polls, the others are there. `offloads`: does the NIC
    offer checksums and segmentation?"""

    vcpus: int = 2
    memory_mib: int = 0
    hugepages: str = "2M"
    offloads: bool = False
    image: str = ""         # of the person's own, see ownimage.py; empty: ours
    image_format: str = ""  # "qcow2" or "raw"

    @property
    def label(self) -> str:
        """What is not as usual, for cell ids and the column `variant`."""
        parts = [f"{self.vcpus}vcpus"] if self.vcpus != 2 else []
        parts += [f"{self.memory_mib}MiB"] if self.memory_mib else []
        parts += [self.hugepages] if self.hugepages != "2M" else []
        parts += ["offloads"] if self.offloads else []
        return "-".join(parts + ([re.sub(r"[^A-Za-z0-9]+", "", Path(self.image).stem)[:24]] if self.image else []))


def _format(image: Path) -> str:
    """By its first bytes (QEMU's docs/interop/qcow2.txt), since images of qcow2 are called .img, too; by its name where
    it cannot be read."""
    try:
        with image.open("rb") as file:
            return "qcow2" if file.read(len(QCOW2)) == QCOW2 else "raw"
    except OSError:
        return "qcow2" if image.suffix == ".qcow2" else "raw"


def check(where: str, table: Any, folder: Path) -> Machine:
    """Of the table as it stands in a file of this folder. Raises BadInput."""
    given: Mapping[str, Any] = check_table(where, table, FIELDS)
    image = str(folder / given["image"]) if given["image"] else ""
    made = Machine(**{**given, "image": image}, image_format=_format(Path(image)) if image else "")
    if made.hugepages == "2M" and made.memory_mib % PAGES["2M"]:
        raise BadInput(f"{where}: key 'memory_mib' is {made.memory_mib}: with hugepages = \"2M\" it must be even")
    if made.hugepages == "1G" and (made.memory_mib == 0 or made.memory_mib % 1024):
        raise BadInput(f"{where}: key 'hugepages' is \"1G\": set memory_mib to a multiple of 1024")
    return made
