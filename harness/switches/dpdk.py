# SPDX-License-Identifier: BSD-3-Clause
"""What switches on top of DPDK have in common: their ports are its virtual devices."""

from harness import programs
from harness.errors import Unsupported
from harness.switches.base import Site

KINDS = ("vhost-user", "af_xdp", "af_packet", "memif")
PORTS_MAX = 32              # RTE_MAX_ETHPORTS as Debian builds it
HEADROOM_BYTES = 128        # RTE_PKTMBUF_HEADROOM


def refuse_too_many(site: Site) -> None:
    """Raises Unsupported where the topology has more ports than DPDK."""
    if len(site.topology.ports) > PORTS_MAX:
        raise Unsupported(f"{len(site.topology.ports)} ports: DPDK as Debian builds it has at most {PORTS_MAX} "
                          "(RTE_MAX_ETHPORTS)")


def vdev(site: Site, index: int) -> str:
    """The device of a port. Client: our peers own the sockets, as for every switch, unless the scenario says
    otherwise."""
    if site.devices:
        return programs.device_vdev(site.port_kind, index, site.devices[index], site.ring_size, site.queues)
    if site.port_kind == "memif":
        return programs.memif(index, site.sockets[index], "client", site.ring_size)
    return programs.vhost(index, site.sockets[index], site.queues, client=not site.makes_sockets)


def vdevs(site: Site) -> list[str]:
    """A --vdev for each port."""
    return [vdev(site, index) for index in range(len(site.topology.ports))]


def frame_room_bytes(site: Site) -> int:
    """Of a buffer that holds the largest frame whole, behind the headroom."""
    return -(-site.frame_max_bytes // 64) * 64
