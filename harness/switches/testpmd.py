# SPDX-License-Identifier: BSD-3-Clause
"""testpmd: DPDK's own test program as a plain patch panel. It looks at no packet and no table, so it is the
practical upper bound of what a switch in user space can do on a machine. (It counts cycles too, if told to, but tells
them at its prompt only.)

It pairs its ports 0-1, 2-3, ... (`--port-topology=paired`), which is how topologies list them.
"""

import shutil

from harness import telemetry
from harness.errors import CellFailed
from harness.schema import Field
from harness.switches import dpdk
from harness.switches.base import Check, Driver, Output, PortCounters, Site, Spawn, Step, said_by


class Testpmd(Driver):
    name = "testpmd"
    ports = dpdk.KINDS
    hugepages_mib = 256
    options = {"forward": Field(str, "io", choices=("io", "mac", "macswap"))}     # its --forward-mode

    def check(self, prefix: str) -> Check:
        binary = self._binary(prefix)
        if shutil.which(binary) is None:
            return Check("", f"{binary} is not there: apt-get install dpdk-dev", ())
        # -v makes EAL print "EAL: RTE Version: 'DPDK 22.11.11'", --help makes it end there
        _, found, version = said_by([binary, "-v", "--no-huge", "--no-pci", "--help"]).partition("RTE Version: '")
        if not found:
            return Check("", f"{binary} does not run, or is no testpmd: try it with -v --help")
        return Check(version.partition("'")[0], "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        dpdk.refuse_too_many(site)
        cores = f"0@{site.cores.control}," + ",".join(f"{i}@{cpu}" for i, cpu in enumerate(site.cores.switch, start=1))
        argv = [self._binary(site.prefix), "--lcores", cores, "--in-memory", "--single-file-segments", "--no-pci",
                "-m", str(self.hugepages_mib), "--file-prefix", site.file_prefix]
        for vdev in dpdk.vdevs(site):
            argv += ["--vdev", vdev]
        argv += ["--", f"--forward-mode={site.options['forward']}", "--port-topology=paired",
                 "--nb-cores", str(len(site.cores.switch)), "--rxd", str(site.ring_size), "--txd", str(site.ring_size),
                 *_buffers(site), "--no-lsc-interrupt", "--no-mlockall"]
        argv += ["--rxq", str(site.queues), "--txq", str(site.queues)] if site.queues > 1 else []
        # its input stays open: it ends at end of input, and so with the harness
        return [Spawn("testpmd", site.inside(argv), env=(("RUNTIME_DIRECTORY", site.folder),))]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return [self._port(site, index) for index in range(len(site.topology.ports))]

    def _port(self, site: Site, index: int) -> PortCounters:
        socket = site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2")
        stats = telemetry.query(socket, f"/ethdev/stats,{index}")
        try:
            # what a full peer did not take is in none of the port's counters (testpmd counts it per stream, on screen)
            return PortCounters(site.topology.ports[index].name, stats["ipackets"], stats["opackets"], None)
        except (KeyError, TypeError):
            raise CellFailed(f"testpmd gave something else than the counters of port {index}: {stats!r:.80}") from None

    def _binary(self, prefix: str) -> str:
        return f"{prefix}/bin/dpdk-testpmd"


def _buffers(site: Site) -> list[str]:
    """One buffer holds a whole frame, as by default: half as many of the large ones fit the same memory."""
    if not site.jumbo:
        return ["--total-num-mbufs", "32768"]
    return ["--total-num-mbufs", "16384", "--max-pkt-len", str(site.frame_max_bytes),
            "--mbuf-size", str(dpdk.HEADROOM_BYTES + dpdk.frame_room_bytes(site))]
