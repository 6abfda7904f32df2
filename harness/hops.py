# SPDX-License-Identifier: BSD-3-Clause
"""Hop by hop through a chain of nfs: what each got of what was on its way to it, what it dropped and why, what it cost.
Pure: made from the `stats` replies of the guests (vnf/forward.h) before and after a trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import nfs
from harness.topology import End

# What each of vnf's sides counts.
COUNTS = ("rx_count", "tx_count", "tx_full_count", "missed_count")


@dataclass(frozen=True)
class Hop:
    """One side of a guest in a trial; the last one of a direction is whoever meters it, which only receives."""

    guest: str
    nf: str
    direction: int                      # 0, and 1 for the way back
    rx_port: int                        # of the guest
    offered_count: int | None           # what the hop before sent on; None where that is not known
    rx_count: int
    tx_count: int | None = None
    tx_full_count: int | None = None    # its transmit queue was full
    missed_count: int | None = None     # its receive queue was full, or it had no buffer
    dropped: Mapping[str, int] = field(default_factory=dict)    # by the nf, by reason
    cycles_per_packet: float | None = None      # TSC cycles from having received a batch until it is sent,
    nf_cycles_per_packet: float | None = None   # and of these in the nf; of both directions together
    cpu_ratio: float | None = None              # share of the time for which the worker had a CPU

    @property
    def lost_before_count(self) -> int | None:
        """Frames that the hop before sent and this one did not get: lost in the switch, or at this door."""
        return None if self.offered_count is None else self.offered_count - self.rx_count

    @property
    def gone_count(self) -> int:
        """Frames that were lost before this hop or at it, as far as somebody counted them."""
        return (self.lost_before_count or 0) + (self.tx_full_count or 0) + sum(self.dropped.values())


Stats = Mapping[str, Any]


def between(guests: Sequence[tuple[str, str]], before: Sequence[Stats], after: Sequence[Stats],
            flows: Sequence[tuple[bool, int, int, End]]) -> list[Hop]:
    """The hops of a chain, in order, of each direction. `guests` are (name, nf) along the way there; `flows`: is it the
    way back, what was sent and received, and who metered it where."""
    found: list[Hop] = []
    for back, first, last, (meter, port) in flows:
        order = reversed(range(len(guests))) if back else range(len(guests))
        offered = first
        for i in order:
            hop = _hop(*guests[i], int(back), offered, before[i], after[i])
            found.append(hop)
            offered = hop.tx_count or 0
        found.append(Hop(meter, "", int(back), port, offered, last))
    return found


def _hop(guest: str, nf: str, direction: int, offered: int, before: Stats, after: Stats) -> Hop:
    then, now = before["sides"][direction], after["sides"][direction]
    counts = {key: now[key] - then[key] for key in COUNTS}

    def ratio(key: str, to: str) -> float | None:
        """Of what both counted in between; None where they do not (vnf/guest/kernelnf.c)."""
        if key not in after or not (base := after[to] - before[to]):
            return None
        return float((after[key] - before[key]) / base)

    return Hop(guest, nf, direction, now["rx_port"], offered, **counts,
               dropped={reason: now["dropped"][reason] - then["dropped"][reason] for reason in nfs.DROPS
                        if reason in now["dropped"]},
               cycles_per_packet=ratio("busy_cycles", "rx_count"), nf_cycles_per_packet=ratio("nf_cycles", "rx_count"),
               cpu_ratio=ratio("cpu_ns", "time_ns"))
