# SPDX-License-Identifier: BSD-3-Clause
"""Port kinds: what a port of the switch is, and what its peer holds of it. Pure.

    vhost-user  a unix socket that the peer owns; frames go through memory that both share
    memif       a unix socket that the peer owns, too; over it both agree on rings and buffers in memory that the client
                makes, which is the switch: frames are copied into them and out of them (DPDK Guides, nics/memif.rst)
    af_packet   a pair of network devices (veth(4)), one end the switch's and one the peer's; a program reads and writes
                its end through AF_PACKET sockets (packet(7)), a switch in the kernel has the device itself
    af_xdp      the same pair, but programs use AF_XDP sockets (kernel: networking/af_xdp.rst)
                and a VM's NIC is a tap device in the place of the switch's end: such a port has no other
    pci         a NIC, cabled to one of the generator's; DPDK has taken both from the kernel (testbed: [ports.pci]). Ports
                of guests are then of the kind vhost-user
    ring        memory of the generator's own: nothing is between its ports

Devices live in network namespaces of the cell, one of the switch and one of each peer, so that their names collide with
nobody's, the machine's own services do not speak on them, and all of them go when the namespaces go. (And DPDK's
af_packet numbers its sockets by process and device, so that two processes of one namespace may collide.) They are made
before anything is started, alike for every switch. What an end receives is handled on the CPU of whoever holds that end
(receive packet steering, kernel: networking/scaling.rst), as the interrupts of a NIC would be: so a switch in the kernel
has a CPU too.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from harness.switches.base import NAMESPACE_TOOLS, Command, File, Namespace, Step, inside
from harness.topology import Port
from harness.traffic import STANDARD_FRAME_BYTES

PORT_KINDS = ("vhost-user", "af_xdp", "af_packet", "memif", "ring", "pci")   # as "auto" prefers them
ON_DEVICES = ("af_xdp", "af_packet")
CONNECTED_ONCE = ("memif",)     # its client does not try again, so it starts when the server of the port is ready
TOOLS = {**NAMESPACE_TOOLS, "ethtool": "ethtool", "sysctl": "procps"}       # and their packages
WITH_INTERRUPTS = ("vhost-user", "pci")               # the others' drivers in DPDK have no rx_queue_intr_enable
WITHOUT_HUGEPAGES = ("af_packet", "ring")       # of our programs
FIRST_INDEX = 100           # of the switch's devices: even, so that wires join an even number with the next odd one
MASK_BITS = 32              # the kernel reads bit masks in groups of so many (lib/bitmap.c)


def namespace(folder: str) -> str:
    """The name of the switch's network namespace, from the cell's folder: of a run's folder vswbench-X and cell c1 it
    is vswbench-X-c1, by which host.py finds what a killed run left."""
    return "-".join(PurePosixPath(folder).parts[-2:])


def of_peer(name: str, peer: str) -> str:
    """The network namespace of a peer, where the switch's is `name`."""
    return f"{name}-{peer}"


def unsupported(kind: str, guest: str, frame_max_bytes: int, image: str = "", queues: int = 1) -> str:
    """Why guests of this sort (with an image of one's own), frames of that size or so many queues cannot be had on such
    ports; empty if they can."""
    if kind == "memif" and guest == "qemu":
        return "QEMU knows no ports of kind memif: use vhost-user"
    if kind not in (*ON_DEVICES, "memif"):
        return ""
    if guest == "qemu" and image:
        return f"a VM on ports of kind {kind} is in a network namespace, where ssh does not reach it: use our image"
    if kind == "af_xdp" and queues > 1:     # it asks for combined channels, which veth has none of (rte_eth_af_xdp.c)
        return "DPDK has one queue pair a port of kind af_xdp: use af_packet or vhost-user"
    if guest == "qemu" and queues > 1:
        return f"VMs have one queue pair a port of kind {kind}: use vhost-user"
    if frame_max_bytes > STANDARD_FRAME_BYTES:
        return f"DPDK has no frames above {STANDARD_FRAME_BYTES} bytes on ports of kind {kind}: use vhost-user"
    return ""


def steps(name: str, folder: str, ports: Sequence[Port], macs: Mapping[str, str], cpus: Mapping[str, Sequence[int]],
          queues: int, taps: Collection[str] = (), polled: Collection[str] = ()) -> list[Step]:
    """Makes the namespaces and both devices of every port; of `taps` that one. `name` is the switch's namespace;
    `macs`: of the peers' ends, by port; `cpus`: by device; `polled`: ports whose peers hand frames over by XDP."""
    found: list[Step] = []
    for each in (name, *dict.fromkeys(of_peer(name, port.peer) for port in ports if port.name not in taps)):
        # the kernel's own frames (RFC 4861: router solicitations and the like) are none of the traffic
        quiet = Command(inside(each, ("sysctl", "-qe", "-w", "net.ipv6.conf.default.disable_ipv6=1")))
        found += [Namespace(each), quiet]
    for mask in dict.fromkeys(map(cpu_groups, cpus.values())):
        found.append(File(_mask_file(folder, mask), mask + "\n"))
    alike = ("numtxqueues", str(queues), "numrxqueues", str(queues))
    for number, port in enumerate(ports):
        if port.name in taps:
            found += [Command(("ip", "-n", name, "tuntap", "add", "dev", port.name, "mode", "tap")),
                      _steered(name, folder, port.name, 0, cpus[port.name]), _up(name, port.name)]
            continue
        far = of_peer(name, port.peer)
        found.append(Command(("ip", "-n", name, "link", "add", "name", port.name, "index", str(FIRST_INDEX + number),
                              *alike, "type", "veth", "peer", "name", port.end, "netns", far, *alike,
                              "address", macs[port.name])))
        # gro makes veth poll (NAPI), without which nobody can hand it frames by XDP (drivers/net/veth.c)
        takers = [(far, port.end), *([(name, port.name)] if port.name in polled else [])]
        found += [Command(inside(where, ("ethtool", "-K", device, "gro", "on"))) for where, device in takers]
        for namespace, device in ((name, port.name), (far, port.end)):
            found += [_steered(namespace, folder, device, queue, cpus[device]) for queue in range(queues)]
            found.append(_up(namespace, device))
    return found


def _up(name: str, device: str) -> Step:
    return Command(("ip", "-n", name, "link", "set", "dev", device, "arp", "off", "up"))


def _steered(name: str, folder: str, device: str, queue: int, cpus: Sequence[int]) -> Step:
    # ip-netns(8) mounts the namespace's own /sys, where its devices are
    return Command(("ip", "netns", "exec", name, "cp", _mask_file(folder, cpu_groups(cpus)),
                    f"/sys/class/net/{device}/queues/rx-{queue}/rps_cpus"))


def _mask_file(folder: str, mask: str) -> str:
    return str(PurePosixPath(folder) / f"cpus-{mask}")


def cpu_groups(cpus: Sequence[int]) -> str:
    """CPU numbers as the kernel writes bit masks: groups of 32 bits, in hexadecimal, joined by commas."""
    mask = sum(1 << cpu for cpu in set(cpus))
    groups = []
    while mask or not groups:
        groups.append(mask & ((1 << MASK_BITS) - 1))
        mask >>= MASK_BITS
    return ",".join([f"{groups[-1]:x}", *(f"{group:08x}" for group in reversed(groups[:-1]))])
