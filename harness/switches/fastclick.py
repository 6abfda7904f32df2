# SPDX-License-Identifier: BSD-3-Clause
"""fastclick: FastClick, with a DPDK device at both ends of every wire and, unless it is to learn addresses, nothing in
between. Its configuration is written into the run's folder; it is asked through its ControlSocket there.

Ports are DPDK's virtual devices, as testpmd's are.
"""

import os
import socket
from typing import BinaryIO, cast

from harness import programs
from harness.errors import CellFailed
from harness.schema import Field
from harness.switches import dpdk
from harness.switches.base import (Check, Driver, File, Output, PortCounters, Site, Spawn, Step, build_it_yourself,
                                   said_by)

MEMORY_MIB = 256
BUFFERS = 32768 - 1             # a power of two less one is what fits a mempool best
ANNOTATION_BYTES = 64           # DPDK_ANNO_SIZE, which FastClick keeps in the buffer
TIMEOUT_S = 5.0


class FastClick(Driver):
    name = "fastclick"
    ports = dpdk.KINDS
    hugepages_mib = MEMORY_MIB
    # burst: packets, on either side (FromDPDKDevice, ToDPDKDevice). forwarding: `patch` looks at no packet, `learning`
    # has an EtherSwitch in every wire
    options = {"burst": Field(int, 32, low=1, high=1024),
               "forwarding": Field(str, "patch", choices=("patch", "learning"))}

    def check(self, prefix: str) -> Check:
        binary = _binary(prefix)
        if not os.path.exists(binary):
            return Check("", build_it_yourself(self.name, binary))
        # read handlers of an empty configuration: --version of 2026 aborts before a pipe has its words
        version, classes = (said_by([binary, "-q", "-e", "", "-h", handler]).split()
                            for handler in ("version", "classes"))
        if len(version) != 1 or not version[0][0].isdigit():
            return Check("", f"{binary} does not run, or is no Click: try it with --version")
        if not {"FromDPDKDevice", "ToDPDKDevice", "ControlSocket"} <= set(classes):
            return Check(version[0], f"{binary} was built without DPDK")
        return Check(version[0], "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        dpdk.refuse_too_many(site)
        # no lcore for control: EAL's own threads stay on the CPUs that the process was started on
        lcores = ",".join(f"{i}@{cpu}" for i, cpu in enumerate(site.cores.switch))
        argv = [_binary(site.prefix), "--dpdk", "--lcores", lcores, "--in-memory", "--single-file-segments",
                *programs.bus(dpdk.devices(site)), "--no-telemetry", "-m", str(MEMORY_MIB), "--file-prefix",
                site.file_prefix, *programs.attached(dpdk.devices(site))]
        config = site.path("patch.click")
        return [File(config, configuration(site)),
                Spawn("fastclick", site.inside((*argv, "--", config)), env=(("RUNTIME_DIRECTORY", site.folder),),
                      ready=_control(site))]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        asked = [f"{handler}{i}.{what}" for i in range(len(site.topology.ports))
                 for handler, what in (("rx", "count"), ("tx", "count"), ("tx", "dropped"))]
        counts = iter(read_handlers(_control(site), asked))
        return [PortCounters(port.name, next(counts), next(counts), next(counts)) for port in site.topology.ports]


def configuration(site: Site) -> str:
    """The .click file. It has no MTU: net_vhost knows of none (rte_eth_dev_set_mtu fails)."""
    common = f"N_QUEUES {site.queues}, NDESC {site.ring_size}, BURST {site.options['burst']}"
    size = dpdk.HEADROOM_BYTES + ANNOTATION_BYTES + (dpdk.frame_room_bytes(site) if site.jumbo else 2048)
    lines = [f"DPDKInfo(NB_MBUF {BUFFERS // 2 if site.jumbo else BUFFERS}, MBUF_SIZE {size});",
             f"ControlSocket(UNIX, {_control(site)}, READONLY true);"]
    for i, number in enumerate(dpdk.numbers(site)):
        lines += [f"rx{i} :: FromDPDKDevice({number}, {common}, PROMISC true);",
                  # what a full peer does not take is lost, as in every other switch, instead of waited for
                  f"tx{i} :: ToDPDKDevice({number}, {common}, BLOCKING false);"]
    for number, (a, b) in enumerate(site.topology.wires):
        if site.options["forwarding"] == "learning":
            lines += [f"sw{number} :: EtherSwitch;", *(f"rx{port} -> [{end}]sw{number}[{end}] -> tx{port};"
                                                       for end, port in enumerate((a, b)))]
        else:
            lines += [f"rx{a} -> tx{b};", f"rx{b} -> tx{a};"]
    return "\n".join(lines) + "\n"


def read_handlers(path: str, handlers: list[str]) -> list[int]:
    """The numbers behind these read handlers, asked of a ControlSocket (its protocol 1.3: elements/userlevel/
    controlsocket.hh). CellFailed if one does not answer with a number."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(path)
            with cast(BinaryIO, connection.makefile("rwb")) as stream:
                if not stream.readline().startswith(b"Click::ControlSocket/1."):
                    raise ValueError("it is no ControlSocket of protocol 1")
                return [_read(stream, handler) for handler in handlers]
    except (OSError, ValueError) as error:
        raise CellFailed(f"FastClick's control socket {path}: {error}") from None


def _read(stream: BinaryIO, handler: str) -> int:
    stream.write(f"READ {handler}\r\n".encode())
    stream.flush()
    while (said := stream.readline())[3:4] == b"-":       # lines of one message, all but the last
        pass
    if not said.startswith(b"200 "):
        raise ValueError(f"{handler}: {said.decode(errors='replace').strip() or 'it said no more'}")
    word, _, length = stream.readline().partition(b" ")
    if word != b"DATA":
        raise ValueError(f"{handler}: no DATA in the answer")
    return int(stream.read(int(length)))


def _binary(prefix: str) -> str:
    return f"{prefix}/bin/click"


def _control(site: Site) -> str:
    return site.path("control")
