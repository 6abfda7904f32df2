# SPDX-License-Identifier: BSD-3-Clause
"""What switches on top of DPDK have in common: their ports are its virtual devices."""

from harness import programs
from harness.errors import Unsupported
from harness.switches.base import Site

PORTS_MAX = 32              # RTE_MAX_ETHPORTS as Debian builds it
HEADROOM_BYTES = 128        # RTE_PKTMBUF_HEADROOM


def refuse_too_many(site: Site) -> None:
    """Raises Unsupported where the topology has more ports than DPDK."""
    if len(site.topology.ports) > PORTS_MAX:
        raise Unsupported(f"{len(site.topology.ports)} ports: DPDK as Debian builds it has at most {PORTS_MAX} "
                          "(RTE_MAX_ETHPORTS)")


def vdevs(site: Site) -> list[str]:
    """A --vdev for each port. Client: our peers own the sockets, as for every switch, unless the scenario says
    otherwise."""
    if site.devices:
        return [programs.device_vdev(site.port_kind, i, device, site.ring_size, site.queues)
                for i, device in enumerate(site.devices)]
    return [programs.vhost(i, socket, site.queues, client=not site.makes_sockets)
            for i, socket in enumerate(site.sockets)]


def frame_room_bytes(site: Site) -> int:
    """Of a buffer that holds the largest frame whole, behind the headroom."""
    return -(-site.frame_max_bytes // 64) * 64
