# SPDX-License-Identifier: BSD-3-Clause
"""null: no switch at all, the wire itself. The generator's ports are joined by rings in its own memory, so this is
the generator's ceiling, and a run that needs neither root nor hugepages.
"""

from harness.errors import Unsupported
from harness.switches.base import Check, Driver, Output, PortCounters, Site, Step


class Null(Driver):
    name = "null"
    ports = ("ring",)

    def check(self, prefix: str) -> Check:
        return Check(version="wire")

    def launch(self, site: Site) -> list[Step]:
        if site.topology.name != "p2p":
            raise Unsupported("null joins the generator's own ports: it can do p2p only")
        return []

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return []
