# SPDX-License-Identifier: BSD-3-Clause
"""vpp: VPP with its native vhost-user ports (the vhost plugin, and no other), joined by l2 xconnects, as a private
instance: sockets, memory files and API segment are the run's own, so that a system's VPP is never touched.

In its ports VPP is the client, unless the scenario says otherwise. It tries to connect when one is made, and again
after 3 s: so a port is made when its peer's socket is there. They are called VirtualEthernet0/0/0, /1, ... in the order
in which they are made.
"""

import glob
import os
import re
from collections.abc import Mapping

from harness.cost import Cycles
from harness.errors import CellFailed
from harness.schema import Field
from harness.switches.base import (Await, Check, Command, File, Output, PortCounters, Site, Spawn, Step,
                                   build_it_yourself)

HEAP_MIB = 256
BUFFERS = 32768             # of 2048 bytes of data, and some 500 of their own
STATISTICS_MIB = 32
COUNTERS = ("rx", "tx", "drops")
API_SEGMENTS = ("global_vm", "vpe-api")     # vlibmemory_init() names them so, behind the prefix


class Vpp:
    name = "vpp"
    ports = ("vhost-user",)
    hugepages_mib = 128
    options: Mapping[str, Field] = {}

    def check(self, prefix: str) -> Check:
        for tool in ("vpp", "vppctl", "vpp_get_stats"):
            if not os.path.exists(_tool(prefix, tool)):
                return Check("", build_it_yourself(self.name, _tool(prefix, tool)))
        # the binary tells its version only when it runs; its libraries are named after it
        found = [path for where in ("lib", "lib/*", "lib64") for path in glob.glob(f"{prefix}/{where}/libvlib.so.*")]
        if len(found) != 1:
            return Check("", f"{len(found)} of libvlib.so.VERSION instead of one in the library folders of {prefix}: "
                             f"install one VPP there, and {_tool(prefix, 'vpp')} with it")
        return Check(found[0].rpartition(".so.")[2], "", (_tool(prefix, "vpp"), found[0]))

    def launch(self, site: Site) -> list[Step]:
        config = site.path("startup.conf")
        return [File(config, configuration(site)),
                Spawn("vpp", (_tool(site.prefix, "vpp"), "-c", config), ready=_control(site)),
                # its shared memory for API clients, which a killed VPP would leave there; nobody here is one
                Command(("rm", "-f", *(f"/dev/shm/{site.file_prefix}-{name}" for name in API_SEGMENTS)))]

    def wire(self, site: Site) -> list[Step]:
        steps: list[Step] = []
        for index, socket in enumerate(site.sockets):
            mine = " server" if site.makes_sockets else ""
            packed = " packed" if site.virtio.rings == "packed" else ""
            made = _vppctl(site, f"create vhost-user socket {socket}{mine}{packed}", says=_port(index))
            steps += [made, Await(socket)] if mine else [Await(socket), made]
            steps += [_vppctl(site, f"set interface state {_port(index)} up")]
        for a, b in site.topology.wires:
            steps += [_vppctl(site, f"set interface l2 xconnect {_port(tx)} {_port(rx)}")
                      for tx, rx in ((a, b), (b, a))]
        return steps

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        text = output((_tool(site.prefix, "vpp_get_stats"), "socket-name", _statistics(site), "dump",
                       "^/if/names$", *(f"^/if/{name}$" for name in COUNTERS)))
        return parse_counters(text, [port.name for port in site.topology.ports])

    def cycles(self, site: Site, output: Output) -> Cycles | None:
        return None     # the clocks of its nodes hold those of polling in vain (show runtime)


def configuration(site: Site) -> str:
    """startup.conf. Without a plugin for DPDK, VPP sees no NIC of the machine."""
    workers = ",".join(map(str, site.cores.switch))
    return f"""unix {{
  nodaemon
  nosyslog
  runtime-dir {site.folder}
  cli-listen {_control(site)}
}}
logging {{ default-syslog-log-level disabled }}
api-segment {{ prefix {site.file_prefix} }}
socksvr {{ socket-name {site.path("api.sock")} }}
statseg {{ socket-name {_statistics(site)} size {STATISTICS_MIB}M per-node-counters on update-interval 0.1 }}
memory {{ main-heap-size {HEAP_MIB}M }}
cpu {{ main-core {site.cores.control} corelist-workers {workers} }}
buffers {{ buffers-per-numa {BUFFERS} page-size default-hugepage }}
plugins {{
  plugin default {{ disable }}
  plugin vhost_plugin.so {{ enable }}
}}
"""


_NAME = re.compile(r"^\[(\d+)\]: (\S+) /if/names$", re.MULTILINE)
_COUNT = re.compile(r"^\[(\d+) @ \d+\]: (\d+) packets(?:, \d+ bytes)? /if/(\S+)$", re.MULTILINE)


def parse_counters(text: str, ports: list[str]) -> list[PortCounters]:
    """What `vpp_get_stats dump` says of interfaces (it knows no other format) to counters, summed over threads."""
    index_of = {name: index for index, name in _NAME.findall(text)}
    sums: dict[tuple[str, str], int] = {}
    for index, packets, counter in _COUNT.findall(text):
        sums[index, counter] = sums.get((index, counter), 0) + int(packets)
    try:
        return [PortCounters(name, *(sums[index_of[_port(i)], counter] for counter in COUNTERS))
                for i, name in enumerate(ports)]
    except KeyError:
        raise CellFailed(f"vpp_get_stats gave something else than counters of {len(ports)} ports: {text[:80]!r}"
                         ) from None


def _port(index: int) -> str:
    return f"VirtualEthernet0/0/{index}"


def _tool(prefix: str, name: str) -> str:
    return f"{prefix}/bin/{name}"


def _control(site: Site) -> str:
    return site.path("cli.sock")


def _statistics(site: Site) -> str:
    return site.path("stats.sock")


def _vppctl(site: Site, command: str, says: str = "") -> Command:
    """A command of VPP's CLI. vppctl ends with status 0 whatever VPP answers: an error is text where none is due."""
    return Command((_tool(site.prefix, "vppctl"), "-s", _control(site), *command.split()), says=says)
