# SPDX-License-Identifier: BSD-3-Clause
"""xdp: a patch panel of one eBPF program (vnf/xdp_patch.bpf.c) at the driver of each port, by XDP_REDIRECT. Between
virtual devices it runs wherever a frame is sent, so on the CPU of the sender, and the switch's own has nothing to do.
"""

from harness.errors import Unsupported
from harness.switches import linux
from harness.switches.base import Check, Command, Driver, Output, PortCounters, Site, Step

PROGRAM = "xdp_patch.bpf.o"


class Xdp(Driver):
    name = "xdp"
    ports = ("af_xdp", "af_packet")
    built = (PROGRAM,)

    def check(self, prefix: str) -> Check:
        return linux.check(prefix, "ip")

    def launch(self, site: Site) -> list[Step]:
        if site.taps:
            raise Unsupported("xdp knows the neighbour of a port by its device's number, which ip(8) cannot give to the "
                              "tap of a VM: use guest = \"process\"")
        return []

    def wire(self, site: Site) -> list[Step]:
        ip = (f"{site.prefix}/sbin/ip", "-n", site.namespace)
        what = ("xdpdrv", "object", f"{site.build}/{PROGRAM}", "section", "xdp")
        return [Command((*ip, "link", "set", "dev", device, *what)) for device in site.devices]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return linux.counters(site, output)
