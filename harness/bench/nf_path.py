# SPDX-License-Identifier: BSD-3-Clause
"""The path on which nfs are measured: pktgen on the first CPU, and over two vhost-user ports a forwarder on the last; no
switch between them. One-way, 64 bytes, saturating.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import programs
from harness.bench import lab
from harness.bench.lab import Lab
from harness.proc import Process
from harness.topology import REFLECTOR

MIB = programs.PROCESS_MIB + lab.TESTPMD_MIB
FLOWS = 1000


@dataclass(frozen=True)
class Seen:
    """Of one measurement: packets received a second, and of vnf the TSC cycles a packet, all and those in the nf."""

    rx_pps: float
    cycles: float = 0.0
    nf_cycles: float = 0.0


def _wires(the_lab: Lab) -> tuple[list[str], list[str]]:
    """Both ends of two ports: servers, clients."""
    sockets = [the_lab.socket(f"n{i}") for i in range(2)]
    servers = [programs.virtio_user(i, socket, programs.mac("generator", i), lab.RING_SIZE)
               for i, socket in enumerate(sockets)]
    return servers, [programs.vhost(i, socket) for i, socket in enumerate(sockets)]


def _measured(pktgen: lab.Ours, process: Process, rx: int = 1) -> Mapping[str, Any]:
    """Into port 0 and, unless it is reflected, out of port 1."""
    pktgen.wait_ready()
    pktgen.wait_links([process])
    return pktgen.warmed(lab.streams([(0, rx)], flows=FLOWS))


def vnf(the_lab: Lab, nf: str) -> Seen:
    """Through our program with this nf and its argument."""
    servers, clients = _wires(the_lab)
    with lab.ours(the_lab, "pktgen", servers, wait=False) as pktgen, \
            lab.ours(the_lab, "vnf", clients, ["--nf", nf], cpu=the_lab.other_cpu, wait=False) as forwarder:
        forwarder.wait_ready()
        reply = _measured(pktgen, forwarder.process, 0 if nf == REFLECTOR else 1)
        stats = forwarder.channel.request("stats", lab.ANSWER_S)
    packets = max(1, stats["rx_count"])
    return Seen(lab.rx_pps(reply), stats["busy_cycles"] / packets, stats["nf_cycles"] / packets)


def testpmd(the_lab: Lab, mode: str) -> Seen:
    """Through testpmd in this forwarding mode."""
    servers, clients = _wires(the_lab)
    with lab.ours(the_lab, "pktgen", servers, wait=False) as pktgen, \
            lab.testpmd(the_lab, clients, [f"--forward-mode={mode}", "--port-topology=paired"], cpu=the_lab.other_cpu,
                        wait=False) as rival:
        reply = _measured(pktgen, rival.process)
    return Seen(lab.rx_pps(reply))
