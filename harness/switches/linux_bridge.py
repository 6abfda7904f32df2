# SPDX-License-Identifier: BSD-3-Clause
"""linux-bridge: the kernel's bridge, one for each wire. By default its ports do not learn, so that it floods what comes
in at one to the other: a patch between two ports, as of every switch here. Forwarding happens where a frame is received,
so on the CPU to which the ports' devices are steered.
"""

from harness.schema import Field
from harness.switches import linux
from harness.switches.base import Check, Command, Driver, Output, PortCounters, Site, Step


class LinuxBridge(Driver):
    name = "linux-bridge"
    ports = ("af_xdp", "af_packet")
    options = {"forwarding": Field(str, "patch", choices=("patch", "learning"))}

    def check(self, prefix: str) -> Check:
        return linux.check(prefix, "ip", "bridge")

    def launch(self, site: Site) -> list[Step]:
        return []

    def wire(self, site: Site) -> list[Step]:
        ip, bridge = ((f"{site.prefix}/sbin/{tool}", "-n", site.namespace) for tool in ("ip", "bridge"))
        learning = "on" if site.options["forwarding"] == "learning" else "off"
        steps: list[Step] = []
        for number, wire in enumerate(site.topology.wires):
            name = f"br{number}"
            steps.append(Command((*ip, "link", "add", "name", name, "type", "bridge", "stp_state", "0",
                                  "mcast_snooping", "0")))
            for device in (site.devices[index] for index in wire):
                steps += [Command((*ip, "link", "set", "dev", device, "master", name)),
                          Command((*bridge, "link", "set", "dev", device, "learning", learning, "flood", "on"))]
            steps.append(Command((*ip, "link", "set", "dev", name, "up")))
        return steps

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return linux.counters(site, output)
