# SPDX-License-Identifier: BSD-3-Clause
"""What all datapaths of Open vSwitch have in common: a private instance with its own database, sockets and logs in the
run's folder, so that a system's Open vSwitch is never touched, and a bridge whose OpenFlow rules join the two ports of
each wire. It runs in a network namespace of its own also where ports are sockets: it makes devices named ovs-netdev and
br0 in any case, and gives up if another has them. Each datapath is a file of its own (ovs_dpdk.py, ovs_userspace.py,
ovs_kernel.py).
"""

import os
import re
from collections.abc import Mapping, Sequence

from harness.errors import CellFailed
from harness.schema import Field
from harness.switches.base import (NAMESPACE_TOOLS, Await, Check, Command, Driver, File, Namespace, Output,
                                   PortCounters, Site, Spawn, Step, inside, said_by)

BRIDGE = "br0"
COMMAND_TIMEOUT_S = 20
# What decides where a frame goes: `patch`: its port alone; `learning`: MAC addresses (the action NORMAL), each wire of
# several in a VLAN of its own, so that chains have no loop; `openflow`: the first that matches of `rules` rules with
# `masks` different masks, of which the last matches all.
FORWARDING: Mapping[str, Field] = {"forwarding": Field(str, "patch", choices=("patch", "learning", "openflow")),
                                   "rules": Field(int, 1000, low=1, high=100_000),
                                   "masks": Field(int, 1, low=1, high=16)}
# the lookups in front of the classifier of the datapaths in user space (Documentation/topics/dpdk/bridge.rst)
LOOKUPS: Mapping[str, Field] = {"emc": Field(bool, True), "smc": Field(bool, False)}
RULES_FILE = "rules"
PORT_BASE = 0x8000
IP_BASE = (198 << 24) + (18 << 16)      # RFC 2544 appendix C.2.2: where the generator's addresses are


def lookups(site: Site) -> dict[str, str]:
    """The keys of other_config for those options."""
    return ({} if site.options["emc"] else {"emc-insert-inv-prob": "0"}) | (
        {"smc-enable": "true"} if site.options["smc"] else {})


class Ovs(Driver):
    """`package` is Debian's, `datapath` the bridge's datapath_type."""

    package: str
    datapath: str
    options = FORWARDING
    tools = NAMESPACE_TOOLS

    def daemon(self, prefix: str) -> str:
        """Debian keeps each build of the daemon apart; one from source is in sbin/."""
        debian = f"{prefix}/lib/openvswitch-switch/ovs-vswitchd"
        return debian if prefix == "/usr" else f"{prefix}/sbin/ovs-vswitchd"

    def config(self, site: Site) -> Mapping[str, str]:
        """Keys of other_config, which the daemon reads at its start."""
        return {}

    def daemon_cpu(self, site: Site) -> int | None:
        """The CPU of all threads that the datapath does not place itself; None: it does."""
        return None

    def interface(self, site: Site, index: int) -> list[str]:
        """Settings of a port's row in the table Interface."""
        return [f"ofport_request={index + 1}"]

    # -- the contract ----------------------------------------------------------------------------------------------

    def check(self, prefix: str) -> Check:
        daemon = self.daemon(prefix)
        needed = [daemon, f"{prefix}/sbin/ovsdb-server", f"{prefix}/bin/ovs-vsctl", f"{prefix}/bin/ovs-ofctl",
                  f"{prefix}/bin/ovsdb-tool", _schema(prefix)]
        for path in needed:
            if not os.path.exists(path):
                return Check("", f"{path} is not there: apt-get install {self.package}")
        said = said_by([daemon, "--version"])      # "ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11.11"
        version = re.search(r"\(Open vSwitch\) (\S+)", said)
        if not version:
            return Check("", f"{daemon} does not run, or is no Open vSwitch: try it with --version")
        return self.checked(Check(version[1], "", (daemon,)), said)

    def checked(self, check: Check, said: str) -> Check:
        """What the datapath adds to a sound installation, whose daemon says `said` of its version."""
        return check

    def launch(self, site: Site) -> list[Step]:
        env = _env(site)
        settings = tuple(f'other_config:{key}="{value}"' for key, value in self.config(site).items())
        database = site.path("conf.db")
        cpu = self.daemon_cpu(site)
        pinned = () if cpu is None else ("taskset", "-c", str(cpu))
        return [
            *([] if site.devices else [Namespace(site.namespace)]),
            Command((f"{site.prefix}/bin/ovsdb-tool", "create", database, _schema(site.prefix)), env),
            Spawn("ovsdb-server",
                  (f"{site.prefix}/sbin/ovsdb-server", database, f"--remote=punix:{site.path('db.sock')}",
                   f"--unixctl={site.path('ovsdb.ctl')}", "--no-chdir"), env, ready=site.path("db.sock")),
            ovs_command(site, "--no-wait", "init",
                        *(("--", "set", "Open_vSwitch", ".", *settings) if settings else ())),
            Spawn("ovs-vswitchd",
                  inside(site.namespace, (*pinned, self.daemon(site.prefix), f"unix:{site.path('db.sock')}",
                                          f"--unixctl={site.path('vswitchd.ctl')}", "--no-chdir")), env,
                  ready=site.path("vswitchd.ctl")),
            ovs_command(site, "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={self.datapath}",
                        "fail-mode=secure"),
        ]

    def wire(self, site: Site) -> list[Step]:
        env = _env(site)
        steps: list[Step] = []
        for index, port in enumerate(site.topology.ports):
            # a port is added when its peer's socket is there: the first connect then succeeds, instead of a retry
            # after a second
            there: list[Step] = [Await(socket) for socket in site.sockets[index:index + 1] if socket]
            add = ovs_command(site, "add-port", BRIDGE, port.name, *_tag(site, index), "--", "set", "Interface",
                              port.name, *self.interface(site, index))
            steps += [add, *there] if site.makes_sockets else [*there, add]
        # ovs-vsctl only complains of a port that cannot be had: it has no number then
        steps += [ovs_command(site, "wait-until", "Interface", port.name, f"ofport={index + 1}")
                  for index, port in enumerate(site.topology.ports)]
        if site.options["forwarding"] == "learning":
            return [*steps, Command((*_ofctl(site), "add-flow", _bridge(site), "actions=NORMAL"), env)]
        if site.options["forwarding"] == "openflow":
            return [*steps, File(site.path(RULES_FILE), rules(site)),
                    Command((*_ofctl(site), "add-flows", _bridge(site), site.path(RULES_FILE)), env)]
        return steps + [Command((*_ofctl(site), "add-flow", _bridge(site), rule), env) for rule in _patches(site)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        # not from the database, which is JSON but lags behind by up to 5 s (ovs-vswitchd.conf.db(5))
        text = output((*_ofctl(site), "--no-names", "dump-ports", _bridge(site)))
        return parse_counters(text, [port.name for port in site.topology.ports])


def _patches(site: Site) -> list[str]:
    """A rule for each way of each wire."""
    return [f"in_port={tx + 1},actions=output:{rx + 1}" for a, b in site.topology.wires for tx, rx in ((a, b), (b, a))]


def rules(site: Site) -> str:
    """`rules` rules a port, all of which send frames to the wire's other end, so that whichever matches, the frame goes
    the same way. All look at source address and port; of the port, under mask k, at all but the k lowest bits."""
    found = [f"priority=1,{patch}" for patch in _patches(site)]
    for patch in _patches(site):
        port, _, actions = patch.partition(",actions=")
        for i in range(site.options["rules"] - 1):
            number, which = divmod(i, site.options["masks"])
            source = f"nw_src={_dotted(IP_BASE + number)},tp_src={PORT_BASE}/{0xffff << which & 0xffff:#06x}"
            found.append(f"priority=2,{port},udp,{source},actions={actions}")
    return "\n".join(found) + "\n"


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


_PORT = re.compile(r"port +(\d+): rx pkts=(\d+|\?).*? drop=(\d+|\?).*?\n +tx pkts=(\d+|\?).*? drop=(\d+|\?)")


def parse_counters(text: str, ports: Sequence[str]) -> list[PortCounters]:
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


def _schema(prefix: str) -> str:
    return f"{prefix}/share/openvswitch/vswitch.ovsschema"


def _env(site: Site) -> tuple[tuple[str, str], ...]:
    folder = site.folder
    return (("OVS_RUNDIR", folder), ("OVS_DBDIR", folder), ("OVS_LOGDIR", folder), ("OVS_SYSCONFDIR", folder),
            ("RUNTIME_DIRECTORY", folder))


def ovs_command(site: Site, *words: str) -> Command:
    """Of ovs-vsctl, which waits until the switch has done it."""
    vsctl = (f"{site.prefix}/bin/ovs-vsctl", f"--db=unix:{site.path('db.sock')}", f"--timeout={COMMAND_TIMEOUT_S}")
    return Command((*vsctl, *words), _env(site))


def _tag(site: Site, index: int) -> tuple[str, ...]:
    """Of a learning bridge with several wires: the VLAN of the port's. Tagged frames do not get into such a port."""
    if site.options["forwarding"] != "learning" or len(site.topology.wires) == 1:
        return ()
    [number] = [k for k, wire in enumerate(site.topology.wires) if index in wire]
    return (f"tag={number + 1}",)


def _ofctl(site: Site) -> tuple[str, ...]:
    return (f"{site.prefix}/bin/ovs-ofctl", f"--timeout={COMMAND_TIMEOUT_S}")


def _bridge(site: Site) -> str:
    return f"unix:{site.path(BRIDGE + '.mgmt')}"
