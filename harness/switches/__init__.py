# SPDX-License-Identifier: BSD-3-Clause
"""All switches there are. A new one: one file here, one word in the tuple."""

from harness.switches.base import Driver
from harness.switches.fastclick import FastClick
from harness.switches.null import Null
from harness.switches.ovs_dpdk import OvsDpdk
from harness.switches.snabb import Snabb
from harness.switches.testpmd import Testpmd
from harness.switches.vnf_io import VnfIo

SWITCHES: tuple[Driver, ...] = (OvsDpdk(), Testpmd(), FastClick(), Snabb(), Null())
OURS: tuple[Driver, ...] = (VnfIo(),)       # not to compare with: what the tester calibrates itself with


def find(name: str) -> Driver | None:
    """The driver of that name, or None."""
    return next((driver for driver in (*SWITCHES, *OURS) if driver.name == name), None)
