# SPDX-License-Identifier: BSD-3-Clause
"""Topologies: which ports a switch gets, who sits behind them, and which are wired to which. Pure.

    p2p         p0 = p1                         the generator holds both
    p2v         p0 = g1.0                       guest 1 holds the meter
    v2v         g1.0 = g2.0                     guest 1 generates, guest 2 meters
    loopback N  p0 = g1.0  g1.1 = g2.0 ... gN.1 = p1      an nf in each guest

"=" is a wire inside the switch, always installed both ways (methodology: one- and two-way tests run on the same
configuration). Ports are listed so that wires join neighbours: 0 with 1, 2 with 3, and so on.
"""

from dataclasses import dataclass

from harness.errors import BadInput

TOPOLOGIES = ("p2p", "p2v", "v2v", "loopback")
DIRECTIONS = ("one-way", "two-way")
GUESTS = ("none", "process", "qemu")
CHAIN_MAX = 16
GENERATOR = "generator"


@dataclass(frozen=True)
class Port:
    """A port of the switch and who holds its other end. `peer_port` counts from 0 at each peer."""

    name: str
    peer: str           # "generator", "guest1", ...
    peer_port: int

    @property
    def end(self) -> str:
        """The peer's device, where ports are devices; the switch's is named as the port."""
        return f"{self.name}-peer"


@dataclass(frozen=True)
class Guest:
    name: str           # "guest1", ...
    role: str           # program in it: "vnf", "pktgen" or "meter"


@dataclass(frozen=True)
class Flow:
    """One direction of traffic: enters at `tx` and is received at `rx`, both as (peer, peer_port)."""

    tx: tuple[str, int]
    rx: tuple[str, int]


@dataclass(frozen=True)
class Topology:
    name: str
    chain_length: int
    ports: tuple[Port, ...]
    wires: tuple[tuple[int, int], ...]      # indices into ports
    guests: tuple[Guest, ...]
    flows: tuple[Flow, ...]

    @property
    def one_holds_both_ends(self) -> bool:
        """Sender and receiver are one process: it has the latency, and sees for itself when a trial is over."""
        return self.flows[0].tx[0] == self.flows[0].rx[0]

    def ports_of(self, peer: str) -> tuple[int, ...]:
        """Indices of the switch ports that `peer` holds, by peer_port."""
        mine = [i for i, port in enumerate(self.ports) if port.peer == peer]
        return tuple(sorted(mine, key=lambda i: self.ports[i].peer_port))


def _physical(k: int) -> Port:
    return Port(f"p{k}", GENERATOR, k)


def _virtual(guest: int, k: int) -> Port:
    return Port(f"g{guest}.{k}", f"guest{guest}", k)


def build(name: str, chain_length: int, direction: str) -> Topology:
    """The topology of a cell. Raises BadInput for a combination that has no meaning (yet)."""
    if direction == "two-way" and name in ("p2v", "v2v"):
        raise BadInput(f"key 'direction': topology {name} is one-way only so far: set it to \"one-way\"")
    if name == "p2p":
        ports, guests = (_physical(0), _physical(1)), ()
        ends = (GENERATOR, 0), (GENERATOR, 1)
    elif name == "p2v":
        ports, guests = (_physical(0), _virtual(1, 0)), (Guest("guest1", "meter"),)
        ends = (GENERATOR, 0), ("guest1", 0)
    elif name == "v2v":
        ports = (_virtual(1, 0), _virtual(2, 0))
        guests = (Guest("guest1", "pktgen"), Guest("guest2", "meter"))
        ends = ("guest1", 0), ("guest2", 0)
    else:
        inner = [_virtual(g, k) for g in range(1, chain_length + 1) for k in (0, 1)]
        ports = (_physical(0), *inner, _physical(1))
        guests = tuple(Guest(f"guest{g}", "vnf") for g in range(1, chain_length + 1))
        ends = (GENERATOR, 0), (GENERATOR, 1)
    wires = tuple((i, i + 1) for i in range(0, len(ports), 2))
    flows = [Flow(tx=ends[0], rx=ends[1])]
    if direction == "two-way":
        flows.append(Flow(tx=ends[1], rx=ends[0]))
    return Topology(name, chain_length, ports, wires, guests, tuple(flows))
