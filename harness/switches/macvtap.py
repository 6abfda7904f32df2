# SPDX-License-Identifier: BSD-3-Clause
"""macvtap: no switch of its own, but devices on top of others, as virtual machines are given them. (macvtap and macvlan
are one driver, drivers/net/macvlan.c; process peers take the macvlan half of it.) So it puts its devices in the place of
the peers', with the same names and addresses:

    a port and a guest      the guest's device lies on the port's, in the mode passthru: all frames get through
    two ports, two guests   both devices lie on a third one, in the mode bridge: by destination address alone

It forwards where a frame is sent, so on the CPU of the sender. In a chain, frames are addressed to its end, which a
guest in the mode bridge does not find.
"""

from collections.abc import Sequence

from harness import programs
from harness.errors import Unsupported
from harness.switches import linux
from harness.switches.base import Check, Command, Driver, Output, PortCounters, Site, Step
from harness.topology import GENERATOR, Port


class Macvtap(Driver):
    name = "macvtap"
    ports = ("af_packet",)

    def check(self, prefix: str) -> Check:
        return linux.check(prefix, "ip")

    def devices(self, site: Site) -> list[Step]:
        """Takes the peers' devices away, and makes others."""
        words: list[Sequence[str]] = []
        for number, (a, b) in enumerate(site.topology.wires):
            first, second = site.topology.ports[a], site.topology.ports[b]
            if (first.peer == GENERATOR) == (second.peer == GENERATOR):
                words += _bridged(site.namespace, first, second, f"lower{number}")
            elif first.peer == GENERATOR:
                words += _passthru(site.namespace, first, second)
            else:
                words += _passthru(site.namespace, second, first)
        return [Command((f"{site.prefix}/sbin/ip", "-n", *line)) for line in words]

    def launch(self, site: Site) -> list[Step]:
        if site.taps:
            raise Unsupported("macvtap takes the devices of process guests so far: use guest = \"process\"")
        if site.topology.chain_length > 1:
            raise Unsupported("macvtap joins two guests by destination address alone, and frames in a chain have that "
                              "of its end: it can do chain_length = 1")
        return []

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        """What a peer's device sends, the switch receives."""
        found = []
        for port in site.topology.ports:
            [seen] = linux.counters_in(site, _of(site.namespace, port), [port.end], output)
            found.append(PortCounters(port.name, seen.tx_count, seen.rx_count, seen.dropped_count))
        return found


def _of(namespace: str, port: Port) -> str:
    """The namespace of the port's peer."""
    return f"{namespace}-{port.peer}"


def _passthru(namespace: str, port: Port, guest: Port) -> list[Sequence[str]]:
    # a device in this mode has the address of the one below
    return [(namespace, "link", "del", "dev", guest.name),
            (namespace, "link", "set", "dev", port.name, "address", _mac(guest)),
            _on(namespace, port.name, guest, "passthru"), _up(_of(namespace, guest), guest.end)]


def _bridged(namespace: str, first: Port, second: Port, lower: str) -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [(namespace, "link", "del", "dev", port.name) for port in (first, second)]
    lines += [(namespace, "link", "add", "name", lower, "type", "veth", "peer", "name", f"{lower}-end"),
              _up(namespace, lower), _up(namespace, f"{lower}-end")]
    for port in (first, second):
        lines += [_on(namespace, lower, port, "bridge"), _up(_of(namespace, port), port.end)]
    return lines


def _on(namespace: str, lower: str, port: Port, mode: str) -> Sequence[str]:
    return (namespace, "link", "add", "link", lower, "name", port.end, "netns", _of(namespace, port),
            "address", _mac(port), "type", "macvlan", "mode", mode)


def _up(namespace: str, device: str) -> Sequence[str]:
    return namespace, "link", "set", "dev", device, "arp", "off", "up"


def _mac(port: Port) -> str:
    return programs.mac(port.peer, port.peer_port)
