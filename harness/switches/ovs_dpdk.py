# SPDX-License-Identifier: BSD-3-Clause
"""ovs-dpdk: Open vSwitch with its DPDK datapath.

Ports are `dpdkvhostuserclient`, and `dpdkvhostuser` where the switch is to make the sockets (deprecated, Documentation/
topics/dpdk/vhost-user.rst; the socket has the port's name and lies in OVS_RUNDIR); or network devices through DPDK's own
drivers for them (Documentation/topics/dpdk/vdev.rst).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from harness import programs
from harness.cost import Cycles
from harness.errors import CellFailed, Unsupported
from harness.switches import dpdk
from harness.switches.base import Check, Output, Site, Step, cpu_mask
from harness.switches.ovs import BRIDGE, COMMAND_TIMEOUT_S, FORWARDING, LOOKUPS, Ovs, lookups, ovs_command

PMD_STATS = ("dpif-netdev/pmd-stats-show",)
SOCKET_MEM_MIB = 512


class OvsDpdk(Ovs):
    name = "ovs-dpdk"
    ports = dpdk.KINDS
    hugepages_mib = SOCKET_MEM_MIB
    package = "openvswitch-switch-dpdk"
    datapath = "netdev"
    options = {**FORWARDING, **LOOKUPS}

    def daemon(self, prefix: str) -> str:
        debian = f"{prefix}/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
        return debian if prefix == "/usr" else f"{prefix}/sbin/ovs-vswitchd"

    def checked(self, check: Check, said: str) -> Check:
        built_with = re.search(r"^DPDK (\S+)", said, re.MULTILINE)
        if not built_with:
            return replace(check, missing=f"{check.files[0]} was built without DPDK")
        return replace(check, version=f"{check.version} (DPDK {built_with[1]})")

    def launch(self, site: Site) -> list[Step]:
        if not dpdk.device(site, 1).startswith("net_vhost"):       # those of its own are not counted
            dpdk.refuse_too_many(site)
        # a transmit queue for each of its polling threads and one for the main thread, whatever n_rxq is
        # (dpif-netdev.c, reconfigure_datapath), while the ends of a memif port must have as many rings (memif_socket.c)
        threads = len(site.cores.switch) + 1
        if site.port_kind == "memif" and site.queues != threads:
            raise Unsupported(f"Open vSwitch has {threads} transmit queues a port, one for each of its CPUs and one "
                              f"more, and the other end of a memif port must have as many: take queues = {threads}")
        return super().launch(site) + (self._pool_first(site) if site.makes_sockets else [])

    def _pool_first(self, site: Site) -> list[Step]:
        """A port to nowhere comes and goes, so that the packet pool is there before peers connect. Open vSwitch makes
        it with the first port that it uses, and asks for more than it may have (netdev-dpdk.c, dpdk_mp_create): until
        it takes less, peers that connect find no memory, and those that connect by themselves do not try again."""
        kind = ("type=dpdk", "options:dpdk-devargs=net_null0", "ofport_request=60000")
        add = ("add-port", BRIDGE, "pool", "--", "set", "Interface", "pool", *kind, *self._mtu(site))
        return [ovs_command(site, *add), ovs_command(site, "del-port", BRIDGE, "pool")]

    def _mtu(self, site: Site) -> list[str]:
        return [f"mtu_request={site.mtu}"] if site.jumbo else []     # Documentation/topics/dpdk/jumbo-frames.rst

    def config(self, site: Site) -> Mapping[str, str]:
        nics = [nic for nic in site.nics if nic]       # it may look at no others
        return {
            "dpdk-init": "true",
            "dpdk-socket-mem": str(SOCKET_MEM_MIB),
            # without a limit its packet pool (262144 buffers) takes whatever is free, and the guest finds none
            "dpdk-socket-limit": str(SOCKET_MEM_MIB),
            "dpdk-lcore-mask": cpu_mask([site.cores.control]),
            "pmd-cpu-mask": cpu_mask(site.cores.switch),
            "dpdk-extra": " ".join(["--in-memory", "--single-file-segments", *programs.bus(nics),
                                    f"--file-prefix={site.file_prefix}", *programs.attached(nics)]),
            **lookups(site),
        }

    def interface(self, site: Site, index: int) -> list[str]:
        mtu = self._mtu(site)
        if dpdk.device(site, index).startswith("net_vhost"):
            kind = ["type=dpdkvhostuser"] if site.makes_sockets else [
                "type=dpdkvhostuserclient", f"options:vhost-server-path={site.sockets[index]}"]
            return [*kind, *super().interface(site, index), *mtu]
        queues = [f"options:n_rxq={site.queues}"] if site.queues > 1 else []
        # quoted, since ovs-vsctl splits values at commas
        return ["type=dpdk", f'options:dpdk-devargs="{dpdk.device(site, index)}"', *queues,
                *super().interface(site, index), *mtu]

    def cycles(self, site: Site, output: Output) -> Cycles | None:
        return pmd_cycles(site, output)


def pmd_cycles(site: Site, output: Output) -> Cycles:
    """What the polling threads of a datapath in user space say of themselves."""
    return parse_cycles(output((f"{site.prefix}/bin/ovs-appctl", f"--timeout={COMMAND_TIMEOUT_S}",
                                f"--target={site.path('vswitchd.ctl')}", *PMD_STATS)))


_THREAD = re.compile(r"^(pmd thread numa_id \d+ core_id \d+|main thread):\n((?:  .*\n?)*)", re.MULTILINE)


def parse_cycles(text: str) -> Cycles:
    """`dpif-netdev/pmd-stats-show` to the sum over its PMD threads. It is text for people, but OVS 3.1 has no other form
    of it. The main thread's part is left out: it forwards nothing between these ports. A thread that never ran has no
    lines of cycles."""
    found = [(_stat(body, "packets received"), _stat(body, "processing cycles")) for who, body in _THREAD.findall(text)
             if who != "main thread"]
    if not found or any(packets is None or cycles is None and packets > 0 for packets, cycles in found):
        raise CellFailed(f"ovs-appctl gave something else than the cycles of PMD threads: {text[:80]!r}")
    busy, packets = sum(cycles or 0 for _, cycles in found), sum(packets or 0 for packets, _ in found)
    return Cycles(busy, packets, len(found), PMD_STATS[0])


def _stat(body: str, name: str) -> int | None:
    """The value of a line such as "  processing cycles: 1234 (5.00%)"; None if it is not there just once."""
    values = re.findall(rf"^  {name}: (\d+)(?: \(\d+\.\d\d%\))?$", body, re.MULTILINE)
    return int(values[0]) if len(values) == 1 else None
