# SPDX-License-Identifier: BSD-3-Clause
"""vpp: VPP with ports of its own, without DPDK, as a private instance: sockets, memory files and API segment are the
run's own, so that a system's VPP is never touched. It loads the plugin of the run's kind of ports and no other.

VPP is the client of sockets, unless the scenario says otherwise. It tries to connect when a port is made (memif: set up),
and again after 3 s: so a port is made when its peer's socket is there.

It does not tell its busy cycles: the clocks of its nodes (show runtime) hold those of polling in vain.
"""

import glob
import ipaddress
import os
import re
from collections import Counter
from collections.abc import Mapping

from harness.errors import CellFailed
from harness.schema import Field
from harness.switches.base import (Await, Check, Command, Driver, File, Output, PortCounters, Site, Spawn, Step,
                                   build_it_yourself)
from harness.switches.ovs import IP_BASE, PORT_BASE

HEAP_MIB = 1024             # VPP's default; what is not used takes no memory
BUFFERS = 32768             # of 2048 bytes of data, and some 500 of their own
STATISTICS_MIB = 32
# the plugin of each kind of ports, and how VPP calls them there: in the order in which they are made, or as the device
KINDS = {"vhost-user": ("vhost", "VirtualEthernet0/0/{index}"), "af_packet": ("af_packet", "host-{device}"),
         "memif": ("memif", "memif{number}/0")}
RULES_FILE = "rules"
READY = "api.sock"          # its main loop makes this when all else is there
PERMIT_ALL = ("permit src 0.0.0.0/0 dst 0.0.0.0/0", "permit src ::/0 dst ::/0")


class Vpp(Driver):
    name = "vpp"
    ports = tuple(KINDS)
    hugepages_mib = 96          # for the buffers: 38 pages of 2 MiB were seen
    # `patch`: l2 xconnect; `l2patch`: VPP's test of that name, which skips all of its switching; `learning`: a bridge
    # domain for each wire; `acl`: l2 xconnect behind a list of `rules` rules at every port, the last of which permits
    # all
    options = {"forwarding": Field(str, "patch", choices=("patch", "l2patch", "learning", "acl")),
               "rules": Field(int, 1000, low=1, high=100_000)}

    def check(self, prefix: str) -> Check:
        for tool in ("vpp", "vppctl", "vpp_get_stats"):
            if not os.path.exists(_tool(prefix, tool)):
                return Check("", build_it_yourself(self.name, _tool(prefix, tool)))
        # the binary tells its version only when it runs; its libraries are named after it
        found = [path for where in ("lib", "lib/*", "lib64") for path in glob.glob(f"{glob.escape(prefix)}/{where}/libvnet.so.*")]
        if len(found) != 1:
            return Check("", f"{len(found)} of libvnet.so.VERSION instead of one in the library folders of {prefix}: "
                             f"install one VPP there, and {_tool(prefix, 'vpp')} with it")
        version = found[0].rpartition(".so.")[2]
        plugins = [f"{os.path.dirname(found[0])}/vpp_plugins/{plugin}_plugin.so" for plugin, _ in KINDS.values()]
        for plugin in plugins:
            if not os.path.exists(plugin):
                return Check(version, f"{plugin} is not there: since 23.06 VPP has such ports in a plugin, so build it "
                                      "with that")
        own = sorted(glob.glob(f"{glob.escape(os.path.dirname(found[0]))}/lib*.so.{version}"))
        return Check(version, "", (_tool(prefix, "vpp"), *own, *plugins))

    def launch(self, site: Site) -> list[Step]:
        config = site.path("startup.conf")
        return [File(config, configuration(site)),
                Spawn("vpp", site.inside((_tool(site.prefix, "vpp"), "-c", config)), ready=site.path(READY))]

    def wire(self, site: Site) -> list[Step]:
        steps: list[Step] = []
        for index in range(len(site.topology.ports)):
            steps += [*_made(site, index), _vppctl(site, f"set interface state {_port(site, index)} up")]
        if site.options["forwarding"] == "acl":
            steps += [File(site.path(RULES_FILE), rules(site.options["rules"])),
                      _vppctl(site, f"exec {site.path(RULES_FILE)}")]
        return steps + [_vppctl(site, command) for command in _joins(site)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        _, call = KINDS[site.port_kind]
        text = output((_tool(site.prefix, "vpp_get_stats"), "socket-name", _statistics(site), "dump",
                       "^/if/names", "^/if/rx", "^/if/tx", "^/if/drops", f"^/err/{call.partition('{')[0]}"))
        return parse_counters(text, {port.name: _port(site, i) for i, port in enumerate(site.topology.ports)})


def configuration(site: Site) -> str:
    """startup.conf. Without a plugin for DPDK, VPP sees no NIC of the machine."""
    # no worker where there is one CPU only: VPP's main thread forwards then
    workers = ",".join(str(cpu) for cpu in site.cores.switch if cpu != site.cores.control)
    plugins = [KINDS[site.port_kind][0], *(["acl"] if site.options["forwarding"] == "acl" else [])]
    enabled = "\n".join(f"  plugin {plugin}_plugin.so {{ enable }}" for plugin in plugins)
    return f"""unix {{
  nodaemon
  nosyslog
  runtime-dir {site.folder}
  cli-listen {_control(site)}
}}
logging {{ default-syslog-log-level disabled }}
api-segment {{ prefix {site.namespace} }}
socksvr {{ socket-name {site.path(READY)} }}
statseg {{ socket-name {_statistics(site)} size {STATISTICS_MIB}M per-node-counters off }}
memory {{ main-heap-size {HEAP_MIB}M }}
cpu {{ main-core {site.cores.control} {f"corelist-workers {workers} " if workers else ""}}}
buffers {{ buffers-per-numa {BUFFERS} page-size default-hugepage }}
plugins {{
  plugin default {{ disable }}
{enabled}
}}
"""


def _made(site: Site, index: int) -> list[Step]:
    """Steps that make a port."""
    if site.port_kind == "af_packet":
        device = site.devices[index]
        ip = ("ip", "-n", site.namespace, "link", "property", "add", "dev", device, "altname", _alias(device))
        made = _vppctl(site, _host_interface(site, _alias(device)), says=_port(site, index))
        return [made] if device == _alias(device) else [Command(ip), made]
    socket, there = site.sockets[index], Await(site.sockets[index])
    if site.port_kind == "memif":
        rings = f"ring-size {site.ring_size} rx-queues {site.queues} tx-queues {site.queues}"
        return [there, _vppctl(site, f"create memif socket id {index + 1} filename {socket}"),
                _vppctl(site, f"create interface memif id 0 socket-id {index + 1} slave {rings}")]
    packed = " packed" if site.virtio.rings == "packed" else ""
    server = " server" if site.makes_sockets else ""
    made = _vppctl(site, f"create vhost-user socket {socket}{server}{packed}", says=_port(site, index))
    return [made, there] if server else [there, made]


def _alias(device: str) -> str:
    """VPP's CLI takes what stands behind a point for the number of a subinterface."""
    return device.replace(".", "-")


def _host_interface(site: Site, device: str) -> str:
    """Packet sockets of version 2, as DPDK's: in VPP's default, 3, a frame waits for its block to fill, or for 1 ms."""
    size = f"-size 2048 {{0}}-per-block {site.ring_size} num-{{0}}-queues {site.queues}"
    return f"create host-interface v2 name {device} cksum-gso-disable " + " ".join(
        way + size.format(way) for way in ("rx", "tx"))


def _joins(site: Site) -> list[str]:
    """What joins the two ports of each wire."""
    names = [_port(site, index) for index in range(len(site.topology.ports))]
    forwarding = site.options["forwarding"]
    if forwarding == "learning":
        return [f"set interface l2 bridge {names[index]} {number}"
                for number, wire in enumerate(site.topology.wires, start=1) for index in wire]
    words = "test l2patch rx {} tx {}" if forwarding == "l2patch" else "set interface l2 xconnect {} {}"
    lists = [f"set acl-plugin interface {name} input acl 0" for name in names] if forwarding == "acl" else []
    return lists + [words.format(names[rx], names[tx]) for a, b in site.topology.wires for rx, tx in ((a, b), (b, a))]


def rules(count: int) -> str:
    """An access list of so many rules: exact source addresses and ports, and at the end all (of IP; the rest is not
    asked). Those of Open vSwitch's `openflow` with one mask."""
    exact = [f"permit src {ipaddress.ip_address(IP_BASE + number)}/32 dst 0.0.0.0/0 proto 17 sport {PORT_BASE}"
             for number in range(count - 1)]
    return f"set acl-plugin acl {', '.join([*exact, *PERMIT_ALL])}\n"


_NAME = re.compile(r"^\[(\d+)\]: (\S+) /if/names$", re.MULTILINE)
_COUNT = re.compile(r"^\[(\d+) @ \d+\]: (\d+) packets(?:, \d+ bytes)? /if/(rx|tx|drops)$", re.MULTILINE)
_LOST = re.compile(r"^\[0 @ \d+\]: (\d+) packets /err/(\S+)-tx/(.+)$", re.MULTILINE)
# errors of af_packet's that count calls, or frames of the ring, and no packets
NOT_LOST = ("tx frame not ready", "tx sendto temporary failure", "tx sendto fatal failure")


def parse_counters(text: str, ports: Mapping[str, str]) -> list[PortCounters]:
    """What `vpp_get_stats dump` says of interfaces (it knows no other format) to counters, summed over threads.
    `ports`: what VPP calls them, by name. VPP counts as sent what it hands to a port's node; what a full peer then did
    not take is an error of that node, and only vhost-user's counts that among the port's drops too."""
    index_of = {name: index for index, name in _NAME.findall(text)}
    sums: Counter[tuple[str, str]] = Counter()
    for index, packets, counter in _COUNT.findall(text):
        sums[index, counter] += int(packets)
    lost: Counter[str] = Counter()
    for packets, name, error in _LOST.findall(text):
        lost[name] += 0 if error in NOT_LOST else int(packets)
    found = []
    for port, name in ports.items():
        keys = [(index_of.get(name, ""), counter) for counter in ("rx", "tx", "drops")]
        if name not in lost or not all(key in sums for key in keys):
            raise CellFailed(f"vpp_get_stats gave something else than counters of {len(ports)} ports: {text[:80]!r}")
        rx, tx, drops = (sums[key] for key in keys)
        found.append(PortCounters(port, rx, tx - lost[name], max(drops, lost[name])))
    return found


def _port(site: Site, index: int) -> str:
    """What VPP calls it."""
    _, call = KINDS[site.port_kind]
    return call.format(index=index, number=index + 1, device=_alias(site.devices[index]) if site.devices else "")


def _tool(prefix: str, name: str) -> str:
    return f"{prefix}/bin/{name}"


def _control(site: Site) -> str:
    return site.path("cli.sock")


def _statistics(site: Site) -> str:
    return site.path("stats.sock")


def _vppctl(site: Site, command: str, says: str = "") -> Command:
    """A command of VPP's CLI. vppctl ends with status 0 whatever VPP answers: an error is text where none is due."""
    return Command((_tool(site.prefix, "vppctl"), "-s", _control(site), *command.split()), says=says)
