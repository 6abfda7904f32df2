# SPDX-License-Identifier: BSD-3-Clause
"""All switches there are. A new one: one file here, one word in the tuple."""

from harness.switches.base import Driver
from harness.switches.bess import Bess
from harness.switches.fastclick import FastClick
from harness.switches.linux_bridge import LinuxBridge
from harness.switches.macvtap import Macvtap
from harness.switches.null import Null
from harness.switches.ovs_dpdk import OvsDpdk
from harness.switches.ovs_kernel import OvsKernel
from harness.switches.ovs_userspace import OvsUserspace
from harness.switches.snabb import Snabb
from harness.switches.t4p4s import T4p4s
from harness.switches.testpmd import Testpmd
from harness.switches.vnf_io import VnfIo
from harness.switches.vpp import Vpp
from harness.switches.xdp import Xdp

SWITCHES: tuple[Driver, ...] = (OvsDpdk(), OvsUserspace(), OvsKernel(), LinuxBridge(), Macvtap(), Xdp(),
                                Testpmd(), Vpp(), Bess(), FastClick(), Snabb(), T4p4s(), Null())
OURS: tuple[Driver, ...] = (VnfIo(),)       # not to compare with: what the tester calibrates itself with

EVERY = "all"       # stands for every switch that is found on the machine


def find(name: str) -> Driver | None:
    """The driver of that name, or None."""
    return next((driver for driver in (*SWITCHES, *OURS) if driver.name == name), None)
