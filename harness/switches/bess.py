# SPDX-License-Identifier: BSD-3-Clause
"""bess: BESS (Berkeley Extensible Software Switch), with a PortInc and a PortOut at both ends of every wire and nothing
in between. Ports are virtual devices of the DPDK inside it, which is 19.11. It is asked through its gRPC interface, on
a unix socket in the run's folder: another BESS on the machine, at its TCP port, is not met.

Its DPDK keeps to the old way with memory: at its start it takes all hugepages of 2 MiB that it can have, on a file
system that it must find mounted, and gives back what is too much; others would find none meanwhile. So it gets a file
system of the right size, in a mount namespace of its own: nothing of that is left when it is killed. It would take so
much on each NUMA node, so it is not shown that there are several.
"""

import importlib.util
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import CellFailed
from harness.schema import Field
from harness.switches import dpdk
from harness.switches.base import (Await, Check, Command, Driver, File, Output, PortCounters, Site, Spawn, Step,
                                   build_it_yourself, said_by)

CONTROL = Path(__file__).with_name("bess_control.py").read_text(encoding="utf-8")
PYTHON = "/usr/bin/python3"
MEMORY_MIB = 256                # for 32768 buffers of 2.3 KB, and rings
BUFFERS = 32768                 # a power of two; by default it takes 262144
BURST_MAX = 32                  # bess::PacketBatch::kMaxBurst
STATS = "stats"                 # the file of calls that counters() makes
TYPES = "type.googleapis.com/bess.pb."
Call = tuple[str, dict[str, Any]]       # name and request, as protobuf writes it in JSON


class Bess(Driver):
    name = "bess"
    ports = ("vhost-user", "af_packet", "memif")
    hugepages_mib = MEMORY_MIB
    tools = {"unshare": "util-linux", "mount": "mount", "umount": "mount"}
    options = {"burst": Field(int, BURST_MAX, low=1, high=BURST_MAX)}      # packets that a PortInc takes at a time

    def check(self, prefix: str) -> Check:
        binary = _binary(prefix)
        for path in (binary, f"{_messages(prefix)}/service_pb2.py"):
            if not os.path.exists(path):
                return Check("", build_it_yourself(self.name, path))
        version = re.match(r"bessd version (\S+)$", said_by([binary, "--version"]), re.MULTILINE)
        if not version:
            return Check("", f"{binary} does not run, or is no BESS: try it with --version")
        if not importlib.util.find_spec("grpc") or not importlib.util.find_spec("google.protobuf"):
            return Check(version[1], "Python cannot talk to BESS: apt-get install python3-grpcio python3-protobuf")
        return Check(version[1], "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        dpdk.refuse_too_many(site, "BESS's DPDK")
        start = site.path("start.sh")
        argv = ("unshare", "--mount", "--", "sh", start, "taskset", "-c", str(site.cores.control), _binary(site.prefix),
                "-f", "-logtostderr", "-no_crashlog", "-m", str(MEMORY_MIB), "-buffers", str(BUFFERS), "-iova", "va",
                "-c", str(site.cores.switch[0]), "-i", site.path("bessd.pid"), "-grpc_url", f"unix:{_socket(site)}")
        return [File(start, _start(site.path("pages"))), File(_control(site), CONTROL),
                Spawn("bessd", site.inside(argv), env=(("RUNTIME_DIRECTORY", site.folder),), ready=_socket(site))]

    def wire(self, site: Site) -> list[Step]:
        steps: list[Step] = []
        for index in range(len(site.topology.ports)):
            # a port is added when its peer's socket is there: DPDK's next try is a second later
            there = [] if site.makes_sockets else [Await(socket) for socket in site.sockets[index:index + 1]]
            steps += [*there, *_asked(site, _name(index), [_port(site, index)])]
        workers: list[Call] = [("AddWorker", {"wid": wid, "core": cpu}) for wid, cpu in enumerate(site.cores.switch)]
        stats: list[Call] = [("GetPortStats", {"name": _name(i)}) for i in range(len(site.topology.ports))]
        # the check is what tells modules of the workers that run them (ModuleGraph::PropagateActiveWorker)
        start: list[Call] = [("CheckSchedulingConstraints", {}), ("ResumeAll", {})]
        return [*steps, *_asked(site, "graph", [*workers, *_modules(site), *start]),
                _calls(site, STATS, stats)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return parse_counters(output(_command(site, STATS).argv), [port.name for port in site.topology.ports])

    # cycles(): what it counts of a traffic class (GetTcStats) has all polls in it, those in vain as well (scheduler.h)


def _port(site: Site, index: int) -> Call:
    # before DPDK 20.11 a memif client was a slave, and no socket abstract
    vdev = dpdk.device(site, index).replace("role=client", "role=slave").replace(",socket-abstract=no", "")
    arg = _any("PMDPortArg", vdev=vdev)
    return "CreatePort", {"name": _name(index), "driver": "PMDPort", "arg": arg,
                          "num_inc_q": site.queues, "num_out_q": site.queues,
                          "size_inc_q": site.ring_size, "size_out_q": site.ring_size}


def _modules(site: Site) -> list[Call]:
    """Of all ports, and joined."""
    calls: list[Call] = []
    for index in range(len(site.topology.ports)):
        calls += [_module(f"in{index}", "PortInc", index), _module(f"out{index}", "PortOut", index)]
        if site.options["burst"] != BURST_MAX:
            burst = _any("PortIncCommandSetBurstArg", burst=site.options["burst"])
            calls.append(("ModuleCommand", {"name": f"in{index}", "cmd": "set_burst", "arg": burst}))
    for a, b in site.topology.wires:
        calls += [("ConnectModules", {"m1": f"in{rx}", "m2": f"out{tx}"}) for rx, tx in ((a, b), (b, a))]
    return calls


def _module(name: str, kind: str, index: int) -> Call:
    return "CreateModule", {"name": name, "mclass": kind, "arg": _any(f"{kind}Arg", port=_name(index))}


def _any(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": TYPES + kind, **fields}


def parse_counters(text: str, ports: Sequence[str]) -> list[PortCounters]:
    """The answers of GetPortStats to counters, in the order of `ports`. protobuf writes 64-bit numbers as strings."""
    try:
        return [PortCounters(name, int(stats["inc"]["packets"]), int(stats["out"]["packets"]),
                             int(stats["inc"]["dropped"]) + int(stats["out"]["dropped"]))
                for name, stats in zip(ports, json.loads(text), strict=True)]
    except (ValueError, KeyError, TypeError):
        raise CellFailed(f"BESS gave something else than counters of {len(ports)} ports: {text[:80]!r}") from None


def _start(pages: str) -> str:
    """Runs the rest of its command line where only one hugetlbfs is mounted, its own, and NUMA nodes are hidden."""
    return ("# in the mount namespace of this process\nset -e\numount --all --types hugetlbfs\n"
            "[ ! -d /sys/devices/system/node ] || mount -t tmpfs vswbench /sys/devices/system/node\n"
            f"mkdir {pages}\nmount -t hugetlbfs -o pagesize=2M,size={MEMORY_MIB}M vswbench {pages}\nexec \"$@\"\n")


def _asked(site: Site, name: str, calls: Sequence[Call]) -> list[Step]:
    return [_calls(site, name, calls), _command(site, name)]


def _calls(site: Site, name: str, calls: Sequence[Call]) -> File:
    return File(site.path(f"{name}.calls"), "".join(f"{call} {json.dumps(request)}\n" for call, request in calls))


def _command(site: Site, name: str) -> Command:
    return Command((PYTHON, _control(site), _socket(site), _messages(site.prefix), site.path(f"{name}.calls")))


def _name(index: int) -> str:
    return f"port{index}"


def _binary(prefix: str) -> str:
    return f"{prefix}/bin/bessd"


def _messages(prefix: str) -> str:
    return f"{prefix}/pybess/builtin_pb"


def _socket(site: Site) -> str:
    return site.path("grpc")


def _control(site: Site) -> str:
    return site.path("control.py")
