# SPDX-License-Identifier: BSD-3-Clause
"""Where a loss was: against a model that sends every frame through the switch, hop by hop, and drops some at random."""

from collections import Counter
from typing import Any

from harness import ledger
from harness.ledger import Place, Traffic
from harness.switches.base import PortCounters
from harness.tests.support import seeded
from harness.topology import Flow, Port, Topology, build


def modelled(topology: Topology, r: Any) -> tuple[list[Traffic], list[PortCounters], Counter[tuple[int, str]]]:
    """Frames one by one: who sent and received how many, what the switch counted, and how many were lost where."""
    rx, tx = Counter[int](), Counter[int]()
    traffic, lost = [], Counter[tuple[int, str]]()
    for number, flow in enumerate(topology.flows):
        received, sent = 0, r.randint(0, 200)
        for _ in range(sent):
            at, alive = flow.tx, True
            while alive:
                [entry] = [i for i, p in enumerate(topology.ports) if (p.peer, p.peer_port) == at]
                [leave] = [b if a == entry else a for a, b in topology.wires if entry in (a, b)]
                names = topology.ports[entry].name, topology.ports[leave].name
                if r.random() < 0.1:
                    place, alive = f"before {names[0]}", False
                elif rx.update([entry]) or r.random() < 0.1:
                    place, alive = f"in {names[0]}>{names[1]}", False
                else:
                    tx.update([leave])
                    port = topology.ports[leave]
                    here = (port.peer, port.peer_port)
                    if here == flow.rx:
                        place, alive = f"after {names[1]}", False
                        if r.random() >= 0.1:
                            received += 1
                            break
                    at = (port.peer, 1 - port.peer_port)
            else:
                lost[number, place] += 1
        traffic.append(Traffic(sent, received))
    counted = [PortCounters(p.name, rx[i], tx[i], None) for i, p in enumerate(topology.ports)]
    return traffic, counted, lost


def test_every_loss_is_found_where_it_was() -> None:
    r = seeded()
    for topology in (build("p2p", 0, "two-way"), build("p2v", 0, "one-way"), build("v2v", 0, "one-way"),
                     *(build("loopback", n, d) for n in (1, 2, 5) for d in ("one-way", "two-way"))):
        traffic, counted, lost = modelled(topology, r)
        found = ledger.places(topology, traffic, counted)
        assert {(p.direction, p.place): p.lost_count for p in found if p.lost_count} == dict(lost)
        for number, flow in enumerate(traffic):
            here = sum(p.lost_count or 0 for p in found if p.direction == number)
            assert here == flow.sent_count - flow.received_count


def test_what_a_switch_does_not_count_is_not_known_and_not_0() -> None:
    topology = build("p2p", 0, "one-way")
    counted = [PortCounters("p0", 90, None, None), PortCounters("p1", None, None, None)]
    found = ledger.places(topology, [Traffic(100, 80)], counted)
    assert [p.lost_count for p in found] == [10, None, None]
    assert ledger.places(topology, [Traffic(100, 80)], []) == []
    assert ledger.said(found) == "frames lost over all trials: 10 before the switch"


def test_a_guest_with_one_port_sends_back_what_came() -> None:
    ports = (Port("g1.0", "guest1", 0), Port("g2.0", "guest2", 0))
    topology = Topology("round-trip", 0, ports, ((0, 1),), (), (Flow(("guest1", 0), ("guest1", 0)),))
    found = ledger.places(topology, [Traffic(10, 5)], [PortCounters("g1.0", 9, 6, None), PortCounters("g2.0", 7, 8, None)])
    assert [(p.place, p.lost_count) for p in found] == [("before g1.0", 1), ("in g1.0>g2.0", 1), ("before g2.0", 1),
                                                       ("in g2.0>g1.0", 1), ("after g1.0", 1)]


def test_counters_before_the_first_trial_are_taken_off() -> None:
    before = [PortCounters("p0", 50, 0, 1), PortCounters("p1", 0, 50, None)]
    after = [PortCounters("p0", 150, 0, 4), PortCounters("p1", 0, 130, 7)]
    assert ledger.difference(before, after) == [PortCounters("p0", 100, 0, 3), PortCounters("p1", 0, 80, None)]
    assert ledger.difference([], after) == [] and ledger.difference(before, after[:1]) == []


def test_nothing_is_said_where_nothing_was_lost() -> None:
    assert ledger.said([]) == "" and ledger.said([Place(0, "before p0", 5, 5), Place(0, "in p0>p1", 5, None)]) == ""
    two_ways = [Place(0, "before p0", 9, 5), Place(0, "in p0>p1", 5, 3), Place(1, "before p1", 6, 5),
                Place(1, "after p0", 5, 4)]
    assert ledger.said(two_ways) == "frames lost over all trials: 5 before, 2 in, 1 after the switch"
