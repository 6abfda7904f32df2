# SPDX-License-Identifier: BSD-3-Clause
"""t4p4s: T4P4S, which compiles a P4 program into a switch on top of DPDK; here l2fwd, whose table says by the
destination MAC address alone through which port a frame leaves. Its own controller fills that table, from a file in the
run's folder.

The switch looks once for its controller, at a TCP port of this host that was compiled into it (T4P4S_CTL_PORT; the
option `controller_port` tells). So both run in a network namespace of their own, and the switch starts when the
controller listens. The wrapper that comes with T4P4S (t4p4s.sh) is left alone: it stops what others started, and
changes the number of hugepages.

Its threads can miss each other at its start (threadpool.c: dispatch() wakes one thread, also for several jobs), mostly
where others want its CPU: then it waits for its table for ever, no probe gets through, and the cell fails.

Addresses of the generator and of guests follow from the topology, so the table does. A chain of nfs needs one that
gives frames another address at each hop: l2fwd in one guest. In longer chains two guests give the same.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from harness import programs
from harness.errors import Unsupported
from harness.schema import Field
from harness.switches import dpdk
from harness.switches.base import (NAMESPACE_TOOLS, Check, Command, Driver, File, Namespace, Output, PortCounters, Site,
                                   Spawn, Step, build_it_yourself, inside)

LISTENS = Path(__file__).with_name("t4p4s_listens.py").read_text(encoding="utf-8")
PYTHON = "/usr/bin/python3"
MEMORY_MIB = 128
QUEUES_MAX = 16                 # a core's (MAX_RX_QUEUE_PER_LCORE)
NF_MACS = ("02:00:00:00:00:00", "02:00:00:00:00:01")    # of whom the nf l2fwd sends to, by its port (vnf/peers.h)
# Actions and tables as the compiler names them: by the control that they stand in. No source is learnt, and a
# destination that is not known goes everywhere.
TABLES = """\
TRANSLATION smac ingress.smac
TRANSLATION dmac ingress.dmac
TRANSLATION bcast ingress.bcast
TRANSLATION forward ingress.forward
TRANSLATION _nop ingress._nop
SET-DEFAULT smac _nop
SET-DEFAULT dmac bcast
"""


class T4p4s(Driver):
    name = "t4p4s"
    ports = ("vhost-user",)
    hugepages_mib = MEMORY_MIB
    tools = NAMESPACE_TOOLS
    options = {"controller_port": Field(int, 11111, low=1, high=65535)}

    def check(self, prefix: str) -> Check:
        binary = _binary(prefix)
        for path in (binary, _controller(prefix)):
            if not os.path.exists(path):
                return Check("", build_it_yourself(self.name, path))
        version = dpdk.version_of(binary)
        if not version:
            return Check("", f"{binary} does not run, or is no T4P4S switch: try it with -v --help")
        return Check(version, "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        _refuse(site)
        tables, waits = site.path("tables"), site.path("listens.py")
        port = str(site.options["controller_port"])
        controller = ("taskset", "-c", str(site.cores.control), _controller(site.prefix), port, tables)
        return [Namespace(site.namespace), Command(("ip", "-n", site.namespace, "link", "set", "dev", "lo", "up")),
                File(tables, TABLES + "".join(f"MAC-FWD {mac} {index}\n" for mac, index in macs(site))),
                File(waits, LISTENS),
                Spawn("t4p4s-controller", inside(site.namespace, controller)),
                Command(inside(site.namespace, (PYTHON, waits, port))),
                Spawn("t4p4s", inside(site.namespace, _switch(site)), env=(("RUNTIME_DIRECTORY", site.folder),)),
                *dpdk.served(site)]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        return [dpdk.counters_of(site, index, self.name) for index in range(len(site.topology.ports))]


def macs(site: Site) -> list[tuple[str, int]]:
    """Which destination leaves through which port. Raises Unsupported where addresses do not tell."""
    ends = [(programs.mac(port.peer, port.peer_port), index) for index, port in enumerate(site.topology.ports)]
    if not site.topology.chain_length:
        return ends
    if site.nfs != ("l2fwd",):
        raise Unsupported("t4p4s goes by a frame's destination address alone: of chains it can do the one whose nf "
                          'gives frames another, nf = "l2fwd" with chain_length = 1')
    (left, first), *_, (right, last) = ends
    # the generator's addresses are those behind the chain; the nf's peers are the generator's ports
    return [(right, first + 1), (left, last - 1), (NF_MACS[0], first), (NF_MACS[1], last)]


def _refuse(site: Site) -> None:
    cores, ports = len(site.cores.switch), len(site.topology.ports)
    if site.jumbo:
        raise Unsupported("t4p4s has buffers of 2 KB")
    if cores > site.queues:
        raise Unsupported(f"each core of t4p4s has a queue at every port: {cores} cores need queues = {cores}")
    if ports * -(-site.queues // cores) > QUEUES_MAX:
        raise Unsupported(f"a core of t4p4s has at most {QUEUES_MAX} queues (MAX_RX_QUEUE_PER_LCORE)")
    macs(site)


def _switch(site: Site) -> Sequence[str]:
    # no lcore for control: the first forwards as well
    cores = site.cores.switch
    argv = [_binary(site.prefix), "--lcores", ",".join(f"{i}@{cpu}" for i, cpu in enumerate(cores)), "--in-memory",
            "--single-file-segments", "--no-pci", "-m", str(MEMORY_MIB), "--file-prefix", site.file_prefix]
    for vdev in dpdk.devices(site):
        argv += ["--vdev", vdev]
    ports = range(len(site.topology.ports))
    queues = ",".join(f"({port},{queue},{queue % len(cores)})" for port in ports for queue in range(site.queues))
    return [*argv, "--", "-p", hex((1 << len(ports)) - 1), "--config", queues]


def _binary(prefix: str) -> str:
    return f"{prefix}/bin/t4p4s-l2fwd"


def _controller(prefix: str) -> str:
    return f"{prefix}/bin/dpdk_l2fwd_controller"
