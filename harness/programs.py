# SPDX-License-Identifier: BSD-3-Clause
"""Command lines of our own C programs (pktgen, meter, vnf), as values. Pure.

DPDK processes share nothing: `--in-memory` (no files in a hugetlbfs), `--single-file-segments` (virtio-user can hand
at most 8 file descriptors to the switch), `--no-pci`, an own `--file-prefix`.
"""

import re
from collections.abc import Sequence

from harness.traffic import STANDARD_FRAME_BYTES
from harness.virtio import Virtio

PROCESS_MIB = 128       # two pools of packet buffers for two ports of 1024 descriptors, twice over
PCI_ADDRESS = "[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}[.][0-7]"
BUFFER_BYTES = 2048     # that is for buffers of this size, which hold the frames of every Ethernet


def process_mib(frame_max_bytes: int, queues: int = 1) -> int:
    """Memory of one of our programs whose largest frame this is, with so many queue pairs a port."""
    return PROCESS_MIB * queues * max(1, -(-frame_max_bytes // BUFFER_BYTES))


def lcores(control_cpu: int, worker_cpus: Sequence[int]) -> str:
    """EAL's --lcores: lcore 0 serves the control channel, lcores 1.. poll; several may share a CPU."""
    return ",".join(f"{i}@{cpu}" for i, cpu in enumerate((control_cpu, *worker_cpus)))


def mac(peer: str, port: int) -> str:
    """The MAC address of a peer's port: locally administered, a function of the topology alone."""
    number = 0 if peer == "generator" else int(peer.removeprefix("guest"))
    return f"02:76:73:77:{number:02x}:{port:02x}"


def virtio_user(index: int, socket: str, address: str, ring_size: int, kind: Virtio = Virtio()) -> str:
    """A vhost-user port seen from outside the switch. By default we own the socket (server), the switch connects: so a
    switch can be restarted, and every switch finds the same peer. (DPDK Guides, nics/virtio.rst)"""
    words = [f"net_virtio_user{index}", f"path={socket}", *(["server=1"] if kind.sockets == "peer" else []),
             f"queues={kind.queues}", f"queue_size={ring_size}", f"mac={address}"]
    words += ["packed_vq=1"] if kind.rings == "packed" else []
    return ",".join(words + ([] if kind.mergeable else ["mrg_rxbuf=0"]))


def vhost(index: int, socket: str, queues: int = 1, client: bool = True) -> str:
    """The same port seen from a switch on top of DPDK (nics/vhost.rst)."""
    return f"net_vhost{index},iface={socket},client={int(client)},queues={queues}"


def memif(index: int, socket: str, role: str, ring_size: int, address: str = "") -> str:
    """A memif port of any DPDK program. `role`: "server", which makes the socket, or "client", which makes the rings,
    as large as it was told. (nics/memif.rst)"""
    words = [f"net_memif{index}", f"role={role}", "id=0", f"socket={socket}", "socket-abstract=no",
             f"bsize={BUFFER_BYTES}", f"rsize={ring_size.bit_length() - 1}"]
    return ",".join(words + ([f"mac={address}"] if address else []))


def bus(devices: Sequence[str]) -> list[str]:
    """EAL's option that keeps it off all NICs, unless one is among the devices (PCI addresses, or virtual devices)."""
    return [] if any(map(is_nic, devices)) else ["--no-pci"]


def attached(devices: Sequence[str]) -> list[str]:
    """EAL's options for these devices. Whatever their order, it numbers NICs first, by address, then the others."""
    return [word for device in devices for word in ("-a" if is_nic(device) else "--vdev", device)]


def is_nic(device: str) -> bool:
    """Is it a PCI address? (of a virtual device the name comes first)"""
    return bool(re.fullmatch(PCI_ADDRESS, device))


def device_vdev(kind: str, index: int, device: str, ring_size: int, queues: int = 1) -> str:
    """A network device as a port of any DPDK program, through sockets of that kind (guides/nics/af_packet.rst and
    af_xdp.rst)."""
    if kind == "af_xdp":
        return f"net_af_xdp{index},iface={device},start_queue=0,queue_count={queues}"
    return f"net_af_packet{index},iface={device},qpairs={queues},framecnt={ring_size}"


def host_eal(prefix: str, control_cpu: int, worker_cpus: Sequence[int], devices: Sequence[str], mib: int = PROCESS_MIB
             ) -> list[str]:
    """EAL options of a program on the host, with a worker on each of `worker_cpus`."""
    return ["--lcores", lcores(control_cpu, worker_cpus), "--in-memory", "--single-file-segments", *bus(devices),
            "--no-telemetry", "-m", str(mib), "--file-prefix", prefix, *attached(devices)]


def wired_eal(prefix: str, control_cpu: int, worker_cpus: Sequence[int], mib: int = PROCESS_MIB,
              vdevs: Sequence[str] = ()) -> list[str]:
    """EAL options where ports are joined in memory, or packet sockets, which the kernel copies to and from: neither
    needs hugepages."""
    argv = ["--lcores", lcores(control_cpu, worker_cpus), "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf",
            "-m", str(mib), "--file-prefix", prefix]
    for vdev in vdevs:
        argv += ["--vdev", vdev]
    return argv


def guest_eal() -> list[str]:
    """EAL options of a program in a VM with two virtual CPUs; its ports are the bound PCI NICs."""
    return ["--lcores", "0@0,1@1", "--in-memory", "--no-telemetry"]


def own(role: str, nf: str, idle: str, ring_size: int, frame_max_bytes: int = STANDARD_FRAME_BYTES,
        queues: int = 1) -> list[str]:
    """Options of the program itself, behind "--"."""
    argv = ["--", "--idle", idle, "--ring-size", str(ring_size)]
    argv += ["--frame-max", str(frame_max_bytes)] if frame_max_bytes > STANDARD_FRAME_BYTES else []
    argv += ["--queues", str(queues)] if queues > 1 else []
    return argv + ["--nf", nf] if role == "vnf" else argv
