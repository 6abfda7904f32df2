# SPDX-License-Identifier: BSD-3-Clause
"""ovs-dpdk: Open vSwitch with its DPDK datapath.

Ports are `dpdkvhostuserclient` (the older server type is deprecated, OVS Documentation/topics/dpdk/vhost-user.rst), or
network devices through DPDK's own drivers for them (Documentation/topics/dpdk/vdev.rst).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from harness import programs
from harness.switches.base import Check, Site, cpu_mask
from harness.switches.ovs import FORWARDING, LOOKUPS, Ovs, lookups

SOCKET_MEM_MIB = 512


class OvsDpdk(Ovs):
    name = "ovs-dpdk"
    ports = ("vhost-user", "af_xdp", "af_packet")
    hugepages_mib = SOCKET_MEM_MIB
    package = "openvswitch-switch-dpdk"
    datapath = "netdev"
    options = {**FORWARDING, **LOOKUPS}

    def daemon(self, prefix: str) -> str:
        debian = f"{prefix}/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
        return debian if prefix == "/usr" else f"{prefix}/sbin/ovs-vswitchd"

    def checked(self, check: Check, said: str) -> Check:
        dpdk = re.search(r"^DPDK (\S+)", said, re.MULTILINE)
        if not dpdk:
            return replace(check, missing=f"{check.files[0]} was built without DPDK")
        return replace(check, version=f"{check.version} (DPDK {dpdk[1]})")

    def config(self, site: Site) -> Mapping[str, str]:
        return {
            "dpdk-init": "true",
            "dpdk-socket-mem": str(SOCKET_MEM_MIB),
            # without a limit its packet pool (262144 buffers) takes whatever is free, and the guest finds none
            "dpdk-socket-limit": str(SOCKET_MEM_MIB),
            "dpdk-lcore-mask": cpu_mask([site.cores.control]),
            "pmd-cpu-mask": cpu_mask(site.cores.switch),
            "dpdk-extra": f"--in-memory --single-file-segments --no-pci --file-prefix={site.file_prefix}",
            **lookups(site),
        }

    def interface(self, site: Site, index: int) -> list[str]:
        mtu = [f"mtu_request={site.mtu}"] if site.jumbo else []     # Documentation/topics/dpdk/jumbo-frames.rst
        if not site.devices:
            return ["type=dpdkvhostuserclient", f"options:vhost-server-path={site.sockets[index]}",
                    f"ofport_request={index + 1}", *mtu]
        vdev = programs.device_vdev(site.port_kind, index, site.devices[index], site.ring_size, site.queues)
        # quoted, since ovs-vsctl splits values at commas
        return ["type=dpdk", f'options:dpdk-devargs="{vdev}"', f"ofport_request={index + 1}", *mtu]
