# SPDX-License-Identifier: BSD-3-Clause
"""vpp: VPP with its native vhost-user ports (the vhost plugin, and no other), as a private instance: sockets, memory
files and API segment are the run's own, so that a system's VPP is never touched.

In its ports VPP is the client, unless the scenario says otherwise. It tries to connect when one is made, and again
after 3 s: so a port is made when its peer's socket is there. Ports are called VirtualEthernet0/0/0, /1, ... in the order
in which they are made.

It does not tell its busy cycles: the clocks of its nodes (show runtime) hold those of polling in vain.
"""

import glob
import ipaddress
import os
import re
from collections import Counter
from collections.abc import Sequence

from harness.errors import CellFailed
from harness.schema import Field
from harness.switches.base import (Await, Check, Command, Driver, File, Output, PortCounters, Site, Spawn, Step,
                                   build_it_yourself)
from harness.switches.ovs import IP_BASE, PORT_BASE

HEAP_MIB = 1024             # VPP's default; what is not used takes no memory
BUFFERS = 32768             # of 2048 bytes of data, and some 500 of their own
STATISTICS_MIB = 32
PORT = "VirtualEthernet"
RULES_FILE = "rules"
PERMIT_ALL = ("permit src 0.0.0.0/0 dst 0.0.0.0/0", "permit src ::/0 dst ::/0")


class Vpp(Driver):
    name = "vpp"
    ports = ("vhost-user",)
    hugepages_mib = 128
    # `patch`: l2 xconnect; `l2patch`: VPP's test of that name, which skips all of its switching; `learning`: a bridge
    # domain for each wire; `acl`: l2 xconnect behind a list of `rules` rules at every port, the last of which permits all
    options = {"forwarding": Field(str, "patch", choices=("patch", "l2patch", "learning", "acl")),
               "rules": Field(int, 1000, low=1, high=100_000)}

    def check(self, prefix: str) -> Check:
        for tool in ("vpp", "vppctl", "vpp_get_stats"):
            if not os.path.exists(_tool(prefix, tool)):
                return Check("", build_it_yourself(self.name, _tool(prefix, tool)))
        # the binary tells its version only when it runs; its libraries are named after it
        found = [path for where in ("lib", "lib/*", "lib64") for path in glob.glob(f"{prefix}/{where}/libvnet.so.*")]
        if len(found) != 1:
            return Check("", f"{len(found)} of libvnet.so.VERSION instead of one in the library folders of {prefix}: "
                             f"install one VPP there, and {_tool(prefix, 'vpp')} with it")
        version = found[0].rpartition(".so.")[2]
        plugin = f"{os.path.dirname(found[0])}/vpp_plugins/vhost_plugin.so"
        if not os.path.exists(plugin):
            return Check(version, f"{plugin} is not there: VPP has its vhost-user ports in a plugin since 23.06, and is "
                                  "to be built with it")
        return Check(version, "", (_tool(prefix, "vpp"), found[0], plugin))

    def launch(self, site: Site) -> list[Step]:
        config = site.path("startup.conf")
        return [File(config, configuration(site)), Spawn("vpp", (_tool(site.prefix, "vpp"), "-c", config),
                                                         ready=_control(site))]

    def wire(self, site: Site) -> list[Step]:
        steps: list[Step] = []
        for index, socket in enumerate(site.sockets):
            mine = " server" if site.makes_sockets else ""
            packed = " packed" if site.virtio.rings == "packed" else ""
            made = _vppctl(site, f"create vhost-user socket {socket}{mine}{packed}", says=_port(index))
            steps += [made, Await(socket)] if mine else [Await(socket), made]
            steps += [_vppctl(site, f"set interface state {_port(index)} up")]
        if site.options["forwarding"] == "acl":
            steps += [File(site.path(RULES_FILE), rules(site.options["rules"])),
                      _vppctl(site, f"exec {site.path(RULES_FILE)}"),
                      *(_vppctl(site, f"set acl-plugin interface {_port(index)} input acl 0")
                        for index in range(len(site.sockets)))]
        return steps + [_vppctl(site, command) for command in _joins(site)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        text = output((_tool(site.prefix, "vpp_get_stats"), "socket-name", _statistics(site), "dump",
                       "^/if/names", "^/if/rx", "^/if/tx", "^/if/drops", f"^/err/{PORT}"))
        return parse_counters(text, [port.name for port in site.topology.ports])


def configuration(site: Site) -> str:
    """startup.conf. Without a plugin for DPDK, VPP sees no NIC of the machine."""
    # no worker where there is one CPU only: VPP's main thread forwards then
    workers = ",".join(str(cpu) for cpu in site.cores.switch if cpu != site.cores.control)
    return f"""unix {{
  nodaemon
  nosyslog
  runtime-dir {site.folder}
  cli-listen {_control(site)}
}}
logging {{ default-syslog-log-level disabled }}
api-segment {{ prefix {site.namespace} }}
socksvr {{ socket-name {site.path("api.sock")} }}
statseg {{ socket-name {_statistics(site)} size {STATISTICS_MIB}M per-node-counters off }}
memory {{ main-heap-size {HEAP_MIB}M }}
cpu {{ main-core {site.cores.control} {f"corelist-workers {workers} " if workers else ""}}}
buffers {{ buffers-per-numa {BUFFERS} page-size default-hugepage }}
plugins {{
  plugin default {{ disable }}
  plugin vhost_plugin.so {{ enable }}{_more_plugins(site)}
}}
"""


def _more_plugins(site: Site) -> str:
    return "\n  plugin acl_plugin.so { enable }" if site.options["forwarding"] == "acl" else ""


def rules(count: int) -> str:
    """An access list of so many rules: exact source addresses and ports, and at the end all (of IP; the rest is not asked).
    Those of Open vSwitch's `openflow` with one mask."""
    exact = [f"permit src {ipaddress.ip_address(IP_BASE + number)}/32 dst 0.0.0.0/0 proto 17 sport {PORT_BASE}"
             for number in range(count - 1)]
    return f"set acl-plugin acl {', '.join([*exact, *PERMIT_ALL])}\n"


def _joins(site: Site) -> list[str]:
    """What joins the two ports of each wire."""
    if site.options["forwarding"] == "learning":
        return [f"set interface l2 bridge {_port(index)} {number}"
                for number, wire in enumerate(site.topology.wires, start=1) for index in wire]
    words = "test l2patch rx {} tx {}" if site.options["forwarding"] == "l2patch" else "set interface l2 xconnect {} {}"
    return [words.format(_port(rx), _port(tx)) for a, b in site.topology.wires for rx, tx in ((a, b), (b, a))]


_NAME = re.compile(r"^\[(\d+)\]: (\S+) /if/names$", re.MULTILINE)
_COUNT = re.compile(r"^\[(\d+) @ \d+\]: (\d+) packets(?:, \d+ bytes)? /if/(rx|tx|drops)$", re.MULTILINE)
_LOST = re.compile(r"^\[0 @ \d+\]: (\d+) packets /err/(\S+)-tx/.+$", re.MULTILINE)


def parse_counters(text: str, ports: Sequence[str]) -> list[PortCounters]:
    """What `vpp_get_stats dump` says of interfaces (it knows no other format) to counters, summed over threads. VPP counts
    as sent what it hands to a port's node; what a full peer then did not take is an error of that node."""
    index_of = {name: index for index, name in _NAME.findall(text)}
    sums: Counter[tuple[str, str]] = Counter()
    for index, packets, counter in _COUNT.findall(text):
        sums[index, counter] += int(packets)
    lost: Counter[str] = Counter()
    for packets, name in _LOST.findall(text):
        lost[name] += int(packets)
    found = []
    for number, name in enumerate(ports):
        its = _port(number)
        keys = [(index_of.get(its, ""), counter) for counter in ("rx", "tx", "drops")]
        if its not in lost or not all(key in sums for key in keys):
            raise CellFailed(f"vpp_get_stats gave something else than counters of {len(ports)} ports: {text[:80]!r}")
        rx, tx, drops = (sums[key] for key in keys)
        found.append(PortCounters(name, rx, tx - lost[its], drops))
    return found


def _port(index: int) -> str:
    return f"{PORT}0/0/{index}"


def _tool(prefix: str, name: str) -> str:
    return f"{prefix}/bin/{name}"


def _control(site: Site) -> str:
    return site.path("cli.sock")


def _statistics(site: Site) -> str:
    return site.path("stats.sock")


def _vppctl(site: Site, command: str, says: str = "") -> Command:
    """A command of VPP's CLI. vppctl ends with status 0 whatever VPP answers: an error is text where none is due."""
    return Command((_tool(site.prefix, "vppctl"), "-s", _control(site), *command.split()), says=says)
