# SPDX-License-Identifier: BSD-3-Clause
"""testpmd: DPDK's own test program as a plain patch panel. It looks at no packet and no table, so it is the
practical upper bound of what a switch in user space can do on a machine. (It counts cycles too, if told to, but tells
them at its prompt only.)

It pairs its ports 0-1, 2-3, ... (`--port-topology=paired`), which is how topologies list them.
"""

import shutil

from harness import programs
from harness.schema import Field
from harness.switches import dpdk
from harness.switches.base import Check, Driver, Output, PortCounters, Site, Spawn, Step

BURST = 32      # DEF_PKT_BURST


class Testpmd(Driver):
    name = "testpmd"
    ports = dpdk.KINDS
    hugepages_mib = 256
    # --forward-mode, and --burst: packets that it takes at a time
    options = {"forward": Field(str, "io", choices=("io", "mac", "macswap")),
               "burst": Field(int, BURST, low=1, high=512)}

    def check(self, prefix: str) -> Check:
        binary = self._binary(prefix)
        if shutil.which(binary) is None:
            return Check("", f"{binary} is not there: apt-get install dpdk-dev", ())
        version = dpdk.version_of(binary)
        if not version:
            return Check("", f"{binary} does not run, or is no testpmd: try it with -v --help")
        return Check(version, "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        dpdk.refuse_too_many(site)
        cores = f"0@{site.cores.control}," + ",".join(f"{i}@{cpu}" for i, cpu in enumerate(site.cores.switch, start=1))
        argv = [self._binary(site.prefix), "--lcores", cores, "--in-memory", "--single-file-segments",
                *programs.bus(dpdk.devices(site)), "-m", str(self.hugepages_mib), "--file-prefix", site.file_prefix,
                *programs.attached(dpdk.devices(site))]
        # where it comes first it takes half as much again for its packet pool, if that is free, and its peers find too little
        argv += ["--socket-limit", str(self.hugepages_mib)] if site.makes_sockets else []
        argv += ["--", f"--forward-mode={site.options['forward']}", "--port-topology=paired",
                 "--nb-cores", str(len(site.cores.switch)), "--rxd", str(site.ring_size), "--txd", str(site.ring_size),
                 *_buffers(site), "--no-lsc-interrupt", "--no-mlockall"]
        argv += [f"--burst={site.options['burst']}"] if site.options["burst"] != BURST else []
        argv += ["--rxq", str(site.queues), "--txq", str(site.queues)] if site.queues > 1 else []
        numbers = dpdk.numbers(site)        # it pairs ports as they stand in the list
        argv += [f"--portlist={','.join(map(str, numbers))}"] if numbers != sorted(numbers) else []
        # its input stays open: it ends at end of input, and so with the harness
        return [Spawn("testpmd", site.inside(argv), env=(("RUNTIME_DIRECTORY", site.folder),)),
                *dpdk.served(site)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return [dpdk.counters_of(site, index, self.name) for index in range(len(site.topology.ports))]

    def _binary(self, prefix: str) -> str:
        return f"{prefix}/bin/dpdk-testpmd"


def _buffers(site: Site) -> list[str]:
    """One buffer holds a whole frame, as by default: half as many of the large ones fit the same memory."""
    if not site.jumbo:
        return ["--total-num-mbufs", "32768"]
    return ["--total-num-mbufs", "16384", "--max-pkt-len", str(site.frame_max_bytes),
            "--mbuf-size", str(dpdk.HEADROOM_BYTES + dpdk.frame_room_bytes(site))]
