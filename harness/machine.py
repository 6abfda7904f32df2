# SPDX-License-Identifier: BSD-3-Clause
"""The [guest] table of a scenario: what every VM of its cells is made of, whatever the switch. Pure.

Other guests than VMs have no use for it. Memory in MiB; `memory_mib` 0 stands for the testbed's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInput
from harness.schema import Field, check_table

PAGES = {"4K": 0, "2M": 2, "1G": 1024}      # MiB of a hugepage of the VM's memory; 0: pages of 4 KiB
FIELDS = {
    "vcpus": Field(int, 2, low=2, high=16),
    "memory_mib": Field(int, 0, low=256, high=65536),
    "hugepages": Field(str, "2M", choices=tuple(PAGES)),
    "offloads": Field(bool, False),
}


@dataclass(frozen=True)
class Machine:
    """vCPU 0 serves the guest's kernel and control thread, vCPU 1 polls, the others are there. `offloads`: does the NIC
    offer checksums and segmentation?"""

    vcpus: int = 2
    memory_mib: int = 0
    hugepages: str = "2M"
    offloads: bool = False

    @property
    def label(self) -> str:
        """What is not as usual, for cell ids and the column `variant`."""
        parts = [f"{self.vcpus}vcpus"] if self.vcpus != 2 else []
        parts += [f"{self.memory_mib}MiB"] if self.memory_mib else []
        parts += [self.hugepages] if self.hugepages != "2M" else []
        return "-".join(parts + (["offloads"] if self.offloads else []))


def check(where: str, table: Any) -> Machine:
    """Of the table as it stands in the file. Raises BadInput."""
    given: Mapping[str, Any] = check_table(where, table, FIELDS)
    made = Machine(**given)
    if made.hugepages == "1G" and (made.memory_mib == 0 or made.memory_mib % 1024):
        raise BadInput(f"{where}: key 'hugepages' is \"1G\": set memory_mib to a multiple of 1024")
    return made
