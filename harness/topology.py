# SPDX-License-Identifier: BSD-3-Clause
"""Topologies: which ports a switch gets, who sits behind them, and which are wired to which. Pure.

    p2p          p0 = p1                         the generator holds both
    p2v          p0 = g1.0                       generator and guest 1 send and receive
    v2v          g1.0 = g2.0                     guest 1 and guest 2 send and receive
    loopback N   p0 = g1.0  g1.1 = g2.0 ... gN.1 = p1     an nf in each guest; of several chains beside each other, the
                 second has ports p2 and p3 and the guests from N + 1 on, and so forth
    p2v-latency  p0 = g1.0                       guest 1 reflects: round trips, on the generator's clock
    v2v-latency  g1.0 = g2.0                     guest 2 reflects: round trips, on guest 1's clock

Traffic goes from left to right (one-way), from right to left (reverse), or both at once (two-way). A guest that sends
runs pktgen, which meters as well; one that only receives runs the meter.

"=" is a wire inside the switch, always installed both ways (methodology: one- and two-way tests run on the same
configuration). Ports are listed so that wires join neighbours: 0 with 1, 2 with 3, and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import BadInput

ROUND_TRIPS = ("p2v-latency", "v2v-latency")
TOPOLOGIES = ("p2p", "p2v", "v2v", "loopback", *ROUND_TRIPS)
DIRECTIONS = ("one-way", "reverse", "two-way")
GUESTS = ("none", "process", "qemu")
CHAIN_MAX = 16
CHAINS_MAX = 8              # beside each other: a trial has at most 16 streams (pktgen/trial.h, TRIAL_STREAMS_MAX)
GENERATOR = "generator"
REFLECTOR = "reflector"     # the nf of round trips
End = tuple[str, int]       # (peer, peer_port)


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
    """One direction of traffic: enters at `tx` and is received at `rx`."""

    tx: End
    rx: End
    back: bool = False          # from right to left
    via: End | None = None      # where it is reflected


@dataclass(frozen=True)
class Topology:
    name: str
    chain_length: int
    ports: tuple[Port, ...]
    wires: tuple[tuple[int, int], ...]      # indices into ports
    guests: tuple[Guest, ...]
    flows: tuple[Flow, ...]         # of each chain in order, there before back
    chain_count: int = 1            # beside each other

    @property
    def direction_count(self) -> int:
        """One, or two of two-way traffic."""
        return len({flow.back for flow in self.flows})

    @property
    def one_holds_both_ends(self) -> bool:
        """Sender and receiver are one process: it has the latency, and sees for itself when a trial is over."""
        return self.flows[0].tx[0] == self.flows[0].rx[0]

    @property
    def reflects(self) -> bool:
        """Its latencies are those of round trips."""
        return self.flows[0].via is not None

    def role(self, peer: str) -> str:
        """The program that `peer` runs."""
        return next((guest.role for guest in self.guests if guest.name == peer), "pktgen")

    def across(self, end: End) -> End:
        """The other end of the wire."""
        index = next(i for i, port in enumerate(self.ports) if (port.peer, port.peer_port) == end)
        other = self.ports[next(a + b - index for a, b in self.wires if index in (a, b))]
        return other.peer, other.peer_port

    def ports_of(self, peer: str) -> tuple[int, ...]:
        """Indices of the switch ports that `peer` holds, by peer_port."""
        mine = [i for i, port in enumerate(self.ports) if port.peer == peer]
        return tuple(sorted(mine, key=lambda i: self.ports[i].peer_port))


def way(name: str, direction: str) -> str:
    """The direction for people: round trips have none."""
    return "round trip" if name in ROUND_TRIPS else direction


def ceiling_direction(direction: str) -> str:
    """The one of which a calibration tells what the tester itself can do: its ends are alike."""
    return "two-way" if direction == "two-way" else "one-way"


def _physical(k: int) -> Port:
    return Port(f"p{k}", GENERATOR, k)


def _virtual(guest: int, k: int) -> Port:
    return Port(f"g{guest}.{k}", f"guest{guest}", k)


def build(name: str, chain_length: int, direction: str, chain_count: int = 1) -> Topology:
    """The topology of a cell. Raises BadInput for a combination that has no meaning."""
    if name in ROUND_TRIPS and direction != "one-way":
        raise BadInput(f"key 'direction' is \"{direction}\": topology {name} measures round trips, which go both ways "
                       "anyway: set it to \"one-way\", or take the topology without -latency")
    if name == "p2p":
        ports: tuple[Port, ...] = _physical(0), _physical(1)
    elif name in ("p2v", "p2v-latency"):
        ports = _physical(0), _virtual(1, 0)
    elif name in ("v2v", "v2v-latency"):
        ports = _virtual(1, 0), _virtual(2, 0)
    else:
        ports = tuple(port for chain in range(chain_count) for port in _chain(chain, chain_length))
    wires = tuple((i, i + 1) for i in range(0, len(ports), 2))
    each = len(ports) // chain_count
    flows = tuple(flow for i in range(0, len(ports), each) for flow in _flows(name, ports[i:i + each], direction))
    return Topology(name, chain_length, ports, wires, _guests(ports, flows), flows, chain_count)


def _chain(number: int, length: int) -> list[Port]:
    """The ports of a chain, which counts from 0."""
    guests = range(number * length + 1, (number + 1) * length + 1)
    return [_physical(2 * number), *(_virtual(g, k) for g in guests for k in (0, 1)), _physical(2 * number + 1)]


def _flows(name: str, ports: Sequence[Port], direction: str) -> tuple[Flow, ...]:
    left, right = ((port.peer, port.peer_port) for port in (ports[0], ports[-1]))
    if name in ROUND_TRIPS:
        return (Flow(left, left, via=right),)
    there, back = Flow(left, right), Flow(right, left, back=True)
    return {"one-way": (there,), "reverse": (back,), "two-way": (there, back)}[direction]


def _guests(ports: Sequence[Port], flows: Sequence[Flow]) -> tuple[Guest, ...]:
    """Who sends runs pktgen, who only receives the meter, and who does neither an nf."""
    names = dict.fromkeys(port.peer for port in ports if port.peer != GENERATOR)
    senders, receivers = {flow.tx[0] for flow in flows}, {flow.rx[0] for flow in flows}
    return tuple(Guest(name, "pktgen" if name in senders else "meter" if name in receivers else "vnf")
                 for name in names)
