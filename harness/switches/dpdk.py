# SPDX-License-Identifier: BSD-3-Clause
"""What switches on top of DPDK have in common: their ports are its virtual devices."""

from harness import programs, telemetry
from harness.errors import CellFailed, Unsupported
from harness.switches.base import Await, PortCounters, Site, Step, said_by

KINDS = ("vhost-user", "af_xdp", "af_packet", "memif", "pci")
PORTS_MAX = 32              # RTE_MAX_ETHPORTS as Debian builds it, and as 19.11 had it by default, which is in BESS
HEADROOM_BYTES = 128        # RTE_PKTMBUF_HEADROOM


def refuse_too_many(site: Site, which: str = "DPDK as Debian builds it") -> None:
    """Raises Unsupported where the topology has more ports than DPDK."""
    if len(site.topology.ports) > PORTS_MAX:
        raise Unsupported(f"{len(site.topology.ports)} ports: {which} has at most {PORTS_MAX} (RTE_MAX_ETHPORTS)")


def device(site: Site, index: int) -> str:
    """Of a port: a NIC's address, or a virtual device. Client: our peers own the sockets, as for every switch, unless
    the scenario says otherwise."""
    if site.nics[index:] and site.nics[index]:
        return site.nics[index]
    if site.devices:
        return programs.device_vdev(site.port_kind, index, site.devices[index], site.ring_size, site.queues)
    if site.port_kind == "memif":
        return programs.memif(index, site.sockets[index], "client", site.ring_size)
    return programs.vhost(index, site.sockets[index], site.queues, client=not site.makes_sockets)


def devices(site: Site) -> list[str]:
    """Of all ports, in their order."""
    return [device(site, index) for index in range(len(site.topology.ports))]


def served(site: Site) -> list[Step]:
    """Waits until the sockets are there that the switch makes, if it does: peers try once."""
    return [Await(socket) for socket in site.sockets if socket] if site.makes_sockets else []


def numbers(site: Site) -> list[int]:
    """DPDK's number of each port, by the topology's: NICs come first (see programs.attached)."""
    found = devices(site)
    order = sorted(range(len(found)), key=lambda index: not programs.is_nic(found[index]))
    return [order.index(index) for index in range(len(found))]


def frame_room_bytes(site: Site) -> int:
    """Of a buffer that holds the largest frame whole, behind the headroom."""
    return -(-site.frame_max_bytes // 64) * 64


def version_of(binary: str) -> str:
    """Of the DPDK that a program is linked with, e.g. "DPDK 22.11.11"; empty if it is not linked with any."""
    # -v makes EAL print "EAL: RTE Version: 'DPDK 22.11.11'", --help makes it end there
    return said_by([binary, "-v", "--no-huge", "--no-pci", "--help"]).partition("RTE Version: '")[2].partition("'")[0]


def counters_of(site: Site, index: int, who: str) -> PortCounters:
    """Of a port, by DPDK's telemetry; CellFailed if `who` answers something else."""
    number = numbers(site)[index]
    stats = telemetry.query(site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2"), f"/ethdev/stats,{number}")
    try:
        # what a full peer did not take is in none of a vhost port's counters (22.11), /ethdev/xstats neither
        return PortCounters(site.topology.ports[index].name, stats["ipackets"], stats["opackets"], None)
    except (KeyError, TypeError):
        raise CellFailed(f"{who} gave something else than the counters of port {index}: {stats!r:.80}") from None
