# SPDX-License-Identifier: BSD-3-Clause
"""ovs-userspace: Open vSwitch with its user-space datapath, without DPDK (Documentation/intro/install/userspace.rst).

Over af_packet its main thread forwards, which is pinned to the switch's first CPU; over af_xdp its polling threads do
(Documentation/intro/install/afxdp.rst).
"""

from collections.abc import Mapping

from harness.cost import Cycles
from harness.switches.base import Output, Site, cpu_mask
from harness.switches.ovs import FORWARDING, LOOKUPS, Ovs, lookups
from harness.switches.ovs_dpdk import pmd_cycles


class OvsUserspace(Ovs):
    name = "ovs-userspace"
    ports = ("af_xdp", "af_packet")
    package = "openvswitch-switch"
    datapath = "netdev"
    options = {**FORWARDING, **LOOKUPS}

    def config(self, site: Site) -> Mapping[str, str]:
        return {"pmd-cpu-mask": cpu_mask(site.cores.switch), **lookups(site)}

    def daemon_cpu(self, site: Site) -> int | None:
        return site.cores.control if site.port_kind == "af_xdp" else site.cores.switch[0]

    def interface(self, site: Site, index: int) -> list[str]:
        kind = ["type=afxdp", f"options:n_rxq={site.queues}"] if site.port_kind == "af_xdp" else []
        return [*kind, *super().interface(site, index)]

    def cycles(self, site: Site, output: Output) -> Cycles | None:
        """Over af_packet the main thread forwards, whose part holds all else that it does."""
        return pmd_cycles(site, output) if site.port_kind == "af_xdp" else None
