# SPDX-License-Identifier: BSD-3-Clause
"""ovs-dpdk: Open vSwitch with its DPDK datapath, as a private instance: own database, sockets and logs in the run's
folder, so that a system's Open vSwitch is never touched.

Ports are `dpdkvhostuserclient`, and `dpdkvhostuser` where the switch is to make the sockets (deprecated, Documentation/
topics/dpdk/vhost-user.rst; the socket has the port's name and lies in OVS_RUNDIR). Otherwise a port is added when its
peer's socket is there: the first connect then succeeds, instead of a retry after a second.
"""

import os
import re

from harness.cost import Cycles
from harness.errors import CellFailed
from harness.schema import Field
from harness.switches.base import Await, Check, Command, Output, PortCounters, Site, Spawn, Step, cpu_mask, said_by

BRIDGE = "br0"
PMD_STATS = ("dpif-netdev/pmd-stats-show",)
SOCKET_MEM_MIB = 512
COMMAND_TIMEOUT_S = 20


class OvsDpdk:
    name = "ovs-dpdk"
    ports = ("vhost-user",)
    hugepages_mib = SOCKET_MEM_MIB
    # the lookups in front of the classifier (Documentation/topics/dpdk/bridge.rst)
    options = {"emc": Field(bool, True), "smc": Field(bool, False)}

    def check(self, prefix: str) -> Check:
        needed = [_daemon(prefix), f"{prefix}/sbin/ovsdb-server", f"{prefix}/bin/ovs-vsctl", f"{prefix}/bin/ovs-ofctl",
                  f"{prefix}/bin/ovsdb-tool", _schema(prefix)]
        for path in needed:
            if not os.path.exists(path):
                return Check("", f"{path} is not there: apt-get install openvswitch-switch-dpdk")
        said = said_by([_daemon(prefix), "--version"])      # "ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11.11"
        version, dpdk = re.search(r"\(Open vSwitch\) (\S+)", said), re.search(r"^DPDK (\S+)", said, re.MULTILINE)
        if not version:
            return Check("", f"{_daemon(prefix)} does not run, or is no Open vSwitch: try it with --version")
        if not dpdk:
            return Check(version[1], f"{_daemon(prefix)} was built without DPDK")
        return Check(f"{version[1]} (DPDK {dpdk[1]})", "", (_daemon(prefix),))

    def launch(self, site: Site) -> list[Step]:
        env = _env(site)
        config = {
            "dpdk-init": "true",
            "dpdk-socket-mem": str(SOCKET_MEM_MIB),
            # without a limit its packet pool (262144 buffers) takes whatever is free, and the guest finds none
            "dpdk-socket-limit": str(SOCKET_MEM_MIB),
            "dpdk-lcore-mask": cpu_mask([site.cores.control]),
            "pmd-cpu-mask": cpu_mask(site.cores.switch),
            "dpdk-extra": f"--in-memory --single-file-segments --no-pci --file-prefix={site.file_prefix}",
        }
        config |= {} if site.options["emc"] else {"emc-insert-inv-prob": "0"}
        config |= {"smc-enable": "true"} if site.options["smc"] else {}
        settings = tuple(f'other_config:{key}="{value}"' for key, value in config.items())
        database = site.path("conf.db")
        return [
            Command((f"{site.prefix}/bin/ovsdb-tool", "create", database, _schema(site.prefix)), env),
            Spawn("ovsdb-server",
                  (f"{site.prefix}/sbin/ovsdb-server", database, f"--remote=punix:{site.path('db.sock')}",
                   f"--unixctl={site.path('ovsdb.ctl')}", "--no-chdir"), env, ready=site.path("db.sock")),
            Command((*_vsctl(site), "--no-wait", "init", "--", "set", "Open_vSwitch", ".", *settings), env),
            Spawn("ovs-vswitchd",
                  (_daemon(site.prefix), f"unix:{site.path('db.sock')}", f"--unixctl={site.path('vswitchd.ctl')}",
                   "--no-chdir"), env, ready=site.path("vswitchd.ctl")),
            Command((*_vsctl(site), "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev",
                     "fail-mode=secure"), env),
        ]

    def wire(self, site: Site) -> list[Step]:
        env = _env(site)
        steps: list[Step] = []
        mtu = [f"mtu_request={site.mtu}"] if site.jumbo else []     # Documentation/topics/dpdk/jumbo-frames.rst
        for index, (port, socket) in enumerate(zip(site.topology.ports, site.sockets)):
            kind = ["type=dpdkvhostuser"] if site.makes_sockets else [
                "type=dpdkvhostuserclient", f"options:vhost-server-path={socket}"]
            add = Command((*_vsctl(site), "add-port", BRIDGE, port.name, "--", "set", "Interface", port.name, *kind,
                           f"ofport_request={index + 1}", *mtu), env)
            steps += [add, Await(socket)] if site.makes_sockets else [Await(socket), add]
        for a, b in site.topology.wires:
            steps += [Command((*_ofctl(site), f"in_port={tx + 1},actions=output:{rx + 1}"), env)
                      for tx, rx in ((a, b), (b, a))]
        return steps

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        # not from the database, which is JSON but lags behind by up to 5 s (ovs-vswitchd.conf.db(5), stats-update-interval)
        text = output((f"{site.prefix}/bin/ovs-ofctl", f"--timeout={COMMAND_TIMEOUT_S}", "--no-names", "dump-ports",
                       _bridge(site)))
        return parse_counters(text, [port.name for port in site.topology.ports])

    def cycles(self, site: Site, output: Output) -> Cycles | None:
        return parse_cycles(output((f"{site.prefix}/bin/ovs-appctl", f"--timeout={COMMAND_TIMEOUT_S}",
                                    f"--target={site.path('vswitchd.ctl')}", *PMD_STATS)))


_PORT = re.compile(r"port +(\d+): rx pkts=(\d+|\?).*? drop=(\d+|\?).*?\n +tx pkts=(\d+|\?).*? drop=(\d+|\?)")


def parse_counters(text: str, ports: list[str]) -> list[PortCounters]:
    """`ovs-ofctl --no-names dump-ports` to counters, in the order of `ports`, whose OpenFlow numbers are 1, 2, ...
    OVS writes "?" for what it does not count."""
    found = {int(number): counts for number, *counts in _PORT.findall(text)}
    if not set(range(1, len(ports) + 1)) <= set(found):
        raise CellFailed(f"ovs-ofctl gave something else than counters of {len(ports)} ports: {text[:80]!r}")
    return [_counters(name, *found[number]) for number, name in enumerate(ports, start=1)]


def _counters(name: str, rx: str, rx_drop: str, tx: str, tx_drop: str) -> PortCounters:
    known = [int(text) for text in (rx_drop, tx_drop) if text != "?"]
    return PortCounters(name, None if rx == "?" else int(rx), None if tx == "?" else int(tx),
                        sum(known) if known else None)


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


def _daemon(prefix: str) -> str:
    """Debian keeps the DPDK build apart; a build from source has one ovs-vswitchd."""
    debian = f"{prefix}/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    return debian if prefix == "/usr" else f"{prefix}/sbin/ovs-vswitchd"


def _schema(prefix: str) -> str:
    return f"{prefix}/share/openvswitch/vswitch.ovsschema"


def _env(site: Site) -> tuple[tuple[str, str], ...]:
    folder = site.folder
    return (("OVS_RUNDIR", folder), ("OVS_DBDIR", folder), ("OVS_LOGDIR", folder), ("OVS_SYSCONFDIR", folder),
            ("RUNTIME_DIRECTORY", folder))


def _vsctl(site: Site) -> tuple[str, ...]:
    return (f"{site.prefix}/bin/ovs-vsctl", f"--db=unix:{site.path('db.sock')}", f"--timeout={COMMAND_TIMEOUT_S}")


def _ofctl(site: Site) -> tuple[str, ...]:
    return (f"{site.prefix}/bin/ovs-ofctl", f"--timeout={COMMAND_TIMEOUT_S}", "add-flow",
            _bridge(site))


def _bridge(site: Site) -> str:
    return f"unix:{site.path(BRIDGE + '.mgmt')}"
