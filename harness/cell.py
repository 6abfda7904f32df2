# SPDX-License-Identifier: BSD-3-Clause
"""A cell: one point of the cross product scenario x switch. Pure."""

from dataclasses import dataclass

from harness import nfs, topology, traffic
from harness.bed import SwitchEntry
from harness.cores import CorePlan
from harness.machine import Machine
from harness.scenario import Repeat, Search
from harness.topology import Topology
from harness.traffic import Traffic
from harness.virtio import Virtio


@dataclass(frozen=True)
class Cell:
    """One point of the cross product scenario x switch."""

    id: str
    scenario: str
    switch: SwitchEntry
    topology: Topology
    guest: str              # "none", "process" or "qemu"
    nf: str                 # empty where no nf is in the path; "a+b": a chain of unlike ones
    direction: str
    port_kind: str
    frame_bytes: int        # of a genome the mean, rounded; where a file is replayed that of the probes
    flows: int
    search: Search
    cores: CorePlan
    unsupported: str = ""   # why this switch cannot do it; empty if it can
    traffic: Traffic | None = None
    repeat: Repeat = Repeat()
    idle: str = "auto"      # what an nf does without packets
    nf_arguments: tuple[tuple[str, str], ...] = ()
    virtio: Virtio = Virtio()
    machine: Machine = Machine()
    pci: tuple[tuple[str, str], ...] = ()       # both ends of every cable: (generator's NIC, switch's NIC)

    @property
    def point(self) -> str:
        """The cell's id without its switch: the same for all switches that are compared."""
        return self.id.removesuffix(f".{self.switch.name}")

    @property
    def chain_length(self) -> int:
        """Number of nfs in the chain; 0 where there is no loopback."""
        return self.topology.chain_length

    @property
    def chain_count(self) -> int:
        """Chains beside each other; 0 where there is no loopback."""
        return self.topology.chain_count if self.chain_length else 0

    @property
    def nf_names(self) -> tuple[str, ...]:
        """The nf of each guest of all chains, in order."""
        return nfs.names(self.nf, self.chain_length) * self.chain_count

    @property
    def has_latency(self) -> bool:
        """One TSC for sender and receiver: they are one process, or two on this host. A VM has a TSC of its own, and
        replayed frames carry no time."""
        return not self.replays and (self.topology.one_holds_both_ends or self.guest == "process")

    @property
    def replays(self) -> bool:
        """Its frames are those of a file."""
        return bool(self.traffic and self.traffic.replay)

    @property
    def frame_max_bytes(self) -> int:
        """The largest frame of the cell, or of every Ethernet."""
        return traffic.frame_max_bytes(self.traffic, self.frame_bytes)

    @property
    def variant(self) -> str:
        """What is not as usual of its chains, ports and VMs; empty if nothing."""
        chains = f"{self.chain_count}chains" if self.chain_count > 1 else ""
        return "-".join(filter(None, (chains, self.virtio.label, self.machine.label)))

    @property
    def flags(self) -> list[str]:
        """Warnings that the plan alone gives to every trial of the cell."""
        return ["oversubscribed"] if self.cores.oversubscribed else []

    @property
    def title(self) -> str:
        """For people."""
        parts = [self.topology.name, topology.way(self.topology.name, self.direction)]
        if self.guest != "none":
            parts.append(f"{self.guest} guest")
        if self.chain_length:
            parts.append(nfs.chain_text(self.chain_length, self.nf))
        if self.idle != "auto":
            parts.append(f"idle {self.idle}")
        if not self.replays:
            parts.append(f"{self.frame_bytes} B")
        if self.flows != 1:
            parts.append(f"{self.flows} flows")
        if self.port_kind != "vhost-user":
            parts.append(f"on {self.port_kind}")
        if self.traffic:
            parts.append(f"traffic {self.traffic.label}")
        parts += [self.variant] if self.variant else []
        return " ".join(parts)
