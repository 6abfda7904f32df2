# SPDX-License-Identifier: BSD-3-Clause
"""Where frames were lost: before, in or after the switch, from its own counters. Pure.

A flow enters the switch at one port and leaves it at another; behind a port with an nf it comes in again at the nf's
other port. So a frame that was sent is received, or it was lost at one of these places, in this order:

    before PORT   between the sender, or the nf, and the port's receive counter
    in PORT>PORT  between the receive counter of one port and the send counter of the other
    after PORT    between that and the receiver; where an nf comes next, what it lost is lost before its other port

Counts are of all trials of a cell. A switch that does not count leaves a place open: lost_count is then None there, and
what was lost is seen at the next place that is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.switches.base import PortCounters
from harness.topology import Flow, Topology


@dataclass(frozen=True)
class Place:
    """What went in and what came out. `lost_count` is negative where frames were added, such as the switch's own."""

    direction: int      # 0, and 1 for the way back
    place: str
    in_count: int | None
    out_count: int | None

    @property
    def lost_count(self) -> int | None:
        return None if self.in_count is None or self.out_count is None else self.in_count - self.out_count


@dataclass(frozen=True)
class Traffic:
    """Of one flow, over all trials."""

    sent_count: int
    received_count: int


def difference(before: Sequence[PortCounters], after: Sequence[PortCounters]) -> list[PortCounters]:
    """What was counted in between, by port. Empty unless both have the same ports."""
    if [c.port for c in before] != [c.port for c in after]:
        return []

    def minus(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else a - b
    return [PortCounters(b.port, minus(b.rx_count, a.rx_count), minus(b.tx_count, a.tx_count),
                         minus(b.dropped_count, a.dropped_count)) for a, b in zip(before, after)]


def places(topology: Topology, traffic: Sequence[Traffic], counted: Sequence[PortCounters]) -> list[Place]:
    """Every place of every flow, in the order in which frames pass. Empty where the switch counts nothing."""
    if len(counted) != len(topology.ports):
        return []
    found: list[Place] = []
    for flow, sent in zip(topology.flows, traffic):
        at: int | None = sent.sent_count
        way = int(flow.back)
        for entry, leave in crossed(topology, flow):
            rx, tx = counted[entry].rx_count, counted[leave].tx_count
            names = topology.ports[entry].name, topology.ports[leave].name
            found += [Place(way, f"before {names[0]}", at, rx), Place(way, f"in {names[0]}>{names[1]}", rx, tx)]
            at = tx
        found.append(Place(way, f"after {names[1]}", at, sent.received_count))
    return found


def crossed(topology: Topology, flow: Flow) -> list[tuple[int, int]]:
    """The wires that a flow takes through the switch, as indices of the ports where it enters and leaves."""
    other = dict(topology.wires) | {b: a for a, b in topology.wires}
    ends = {(port.peer, port.peer_port): index for index, port in enumerate(topology.ports)}
    entry, found = ends[flow.tx], []
    while True:
        leave = other[entry]
        found.append((entry, leave))
        port = topology.ports[leave]
        if (port.peer, port.peer_port) == flow.rx or len(found) > len(topology.ports):
            return found
        entry = ends.get((port.peer, port.peer_port ^ 1), leave)     # vnf pairs its ports; a single one is its own pair


def said(found: Sequence[Place]) -> str:
    """For people, in a line; empty if nothing was lost, or it is not known where."""
    sums: dict[str, int] = {}
    for place in found:
        if place.lost_count is not None:
            where = place.place.split()[0]
            sums[where] = sums.get(where, 0) + place.lost_count
    if not any(count > 0 for count in sums.values()):
        return ""
    parts = [f"{count} {where}" for where, count in sums.items() if count]
    return f"frames lost over all trials: {', '.join(parts)} the switch"
