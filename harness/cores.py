# SPDX-License-Identifier: BSD-3-Clause
"""Which poller runs on which CPU: a function of the testbed and the topology alone, never of the switch. Pure.

The switch under test has its CPUs to itself as long as there are two; generator and guests take the others in order,
and share them once there are too few. A cell in which two pollers share a CPU is `oversubscribed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import BadInput


@dataclass(frozen=True)
class CorePlan:
    """CPU numbers. `control` is for whatever does not poll (daemons, control threads, QEMU's main loop)."""

    switch: tuple[int, ...]
    control: int
    pollers: tuple[tuple[str, int], ...]    # (peer, CPU), peers in the order of their need

    def of(self, peer: str) -> int:
        """Its first CPU."""
        return self.all_of(peer)[0]

    def all_of(self, peer: str) -> tuple[int, ...]:
        """A CPU for each of its workers."""
        return tuple(cpu for name, cpu in self.pollers if name == peer)

    @property
    def oversubscribed(self) -> bool:
        """True if any two pollers, the switch's included, share a CPU."""
        taken = list(self.switch) + [cpu for _, cpu in self.pollers]
        return len(taken) != len(set(taken))

    def shares(self, peer: str) -> bool:
        """True if `peer` polls on a CPU that another poller uses too, so that it must yield when idle."""
        taken = list(self.switch) + [cpu for _, cpu in self.pollers]
        return any(taken.count(cpu) > 1 for cpu in self.all_of(peer))


def assign(cpus: Sequence[int], switch_cpus: int, peers: Sequence[str]) -> CorePlan:
    """Spread `peers` over `cpus`, of which the last `switch_cpus` are the switch's. A peer with several workers is named
    once for each."""
    if not cpus:
        raise BadInput("key 'cpus' must list at least one CPU")
    if switch_cpus >= len(cpus) > 1:
        raise BadInput(f"key 'switch_cpus' is {switch_cpus}: that leaves none of the CPUs {list(cpus)} for the traffic")
    cut = max(len(cpus) - switch_cpus, 0)
    mine, others = tuple(cpus[cut:]), tuple(cpus[:cut]) or tuple(cpus)
    # CPU others[0] also carries the control threads, so with CPUs to spare pollers start behind it
    start = 1 if len(others) > len(peers) else 0
    pollers = tuple((peer, others[(start + i) % len(others)]) for i, peer in enumerate(peers))
    return CorePlan(switch=mine, control=others[0], pollers=pollers)
