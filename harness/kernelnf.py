# SPDX-License-Identifier: BSD-3-Clause
"""Network functions that are the kernel's own (vnf/guest/kernelnf.c), on the network devices of a guest: in a VM its
NICs, in a process guest its ends of the ports. Pure.

    linux-router    IPv4 forwarding from either device to the other; it takes what is addressed to it, and addresses it to
                    the next router, or to whoever is behind the chain
    linux-bridge    the kernel's bridge, which learns
    xdp-forward     a router as the first, but a program of ours at the devices' drivers does it (XDP), and asks the
                    kernel only where to
"""

from collections.abc import Sequence

from harness import ports
from harness.topology import GENERATOR, End, Topology
from harness.traffic import STANDARD_FRAME_BYTES, Traffic

PROGRAM = "kernelnf"
XDP_PROGRAM = "xdp_forward.bpf.o"       # part of it, where clang was there
XDP = "xdp-forward"
ROUTERS = ("linux-router", XDP)
NAMES = (*ROUTERS, "linux-bridge")
VCPU = 1        # of a VM, which has the interrupts of its NICs: the one that polls for other nfs


def unsupported(names: Sequence[str], guest: str, kind: str, queues: int, idle: str, frame_max_bytes: int,
                traffic: Traffic | None) -> str:
    """Why a chain of these nfs cannot have such guests, ports and traffic; empty if it can."""
    mine = [name for name in names if name in NAMES]
    if not mine:
        return ""
    if guest == "process" and kind not in ports.ON_DEVICES:
        return f"{mine[0]} works on network devices: take port_kind = \"af_packet\" or \"af_xdp\", or guest = \"qemu\""
    if queues > 1:
        return f"{mine[0]} works on one queue pair a port: take queues = 1"
    if idle != "auto":
        return f"{mine[0]} does not poll: take idle = \"auto\""
    if frame_max_bytes > STANDARD_FRAME_BYTES:
        return f"{mine[0]} takes no frames above {STANDARD_FRAME_BYTES} bytes"
    router = next((name for name in mine if name in ROUTERS), "")
    return _no_route(router, traffic) if router and traffic else ""


def _no_route(router: str, traffic: Traffic) -> str:
    if traffic.ip != 4 or traffic.tunnel != "none" or traffic.vlan:
        return f"{router} forwards plain IPv4: leave ip, vlan and tunnel of [traffic] alone"
    if traffic.replay:
        return f"{router} takes only frames that are addressed to it, and those of a file are not"
    if traffic.learning_count:
        return f"[traffic] learning_count: addresses change at a {router}, so a switch would learn the wrong ones"
    return ""


def options(nf: str, hops: Sequence[tuple[str, str]]) -> list[str]:
    """Of the program. `hops`: the MAC address of each device of the guest, and whom a router addresses what goes out."""
    return ["--nf", nf, *(word for mine, other in hops for word in ("--port", f"{mine}={other}"))]


def next_hop(topology: Topology, names: Sequence[str], end: End) -> End:
    """Whom what is sent at `end` must be addressed to: the next router of the chain, since what is between them forwards
    frames as they are; or whoever is behind the chain."""
    who, port = topology.across(end)
    while who != GENERATOR and names[[guest.name for guest in topology.guests].index(who)] not in ROUTERS:
        who, port = topology.across((who, 1 - port))
    return who, port
