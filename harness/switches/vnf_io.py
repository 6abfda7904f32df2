# SPDX-License-Identifier: BSD-3-Clause
"""vnf-io: our own forwarder on vhost-user ports, which does nothing but move frames. Not a switch to compare with: what
it forwards is the most that the generator can be seen to do on such ports (calibrate.py). `prefix` is the build folder.
"""

from harness import programs
from harness.switches.base import Await, Check, Driver, Output, PortCounters, Site, Spawn, Step


class VnfIo(Driver):
    name = "vnf-io"
    ports = ("vhost-user",)
    hugepages_mib = programs.PROCESS_MIB

    def check(self, prefix: str) -> Check:
        return Check("ours")

    def launch(self, site: Site) -> list[Step]:
        vdevs = [programs.vhost(i, socket) for i, socket in enumerate(site.sockets)]
        idle = "yield" if site.cores.oversubscribed else "busy"
        argv = [f"{site.prefix}/vnf",
                *programs.host_eal(site.file_prefix, site.cores.control, site.cores.switch[:1], vdevs),
                *programs.own("vnf", "io", idle, site.ring_size)]
        # DPDK's vhost client tries again once a second only, so it starts when there is a socket; the generator makes
        # the second one when somebody has come to the first
        return [Await(site.sockets[0]), Spawn("vnf-io", tuple(argv), env=(("RUNTIME_DIRECTORY", site.folder),))]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return []
