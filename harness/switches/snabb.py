# SPDX-License-Identifier: BSD-3-Clause
"""snabb: Snabb as a patch panel of its vhost-user apps. The script that it runs (snabb.lua beside this file, filled in
here) is written into the run's folder, as are its shared objects and counters; it keeps Snabb from writing elsewhere.

One Snabb process is one core, which counts packets and breaths, not cycles, and a vhost-user app serves one queue pair
of a peer that is a process.
"""

import os
import re
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import CellFailed, Unsupported
from harness.schema import Field
from harness.switches.base import (Await, Check, Driver, File, Output, PortCounters, Site, Spawn, Step, build_it_yourself,
                                   said_by)

SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
MERGEABLE = 1 << 15             # VIRTIO_NET_F_MRG_RXBUF
FEATURES = MERGEABLE | 1 << 27 | 1 << 28    # and VIRTIO_F_ANY_LAYOUT, VIRTIO_RING_F_INDIRECT_DESC


class Snabb(Driver):
    name = "snabb"
    ports = ("vhost-user",)
    hugepages_mib = 384         # a full link holds 1024 packets of 10.5 KB; there are two to a wire
    options = {"busywait": Field(bool, True)}       # False: it sleeps up to 100 us at a time when nothing comes

    def check(self, prefix: str) -> Check:
        binary = _binary(prefix)
        if not os.path.exists(binary):
            return Check("", build_it_yourself(self.name, binary))
        with tempfile.TemporaryDirectory(prefix="vswbench-snabb-", ignore_cleanup_errors=True) as shm:
            # even for this it makes a folder of shared objects
            said = said_by(["env", f"SNABB_SHM_ROOT={shm}", binary, "--version"])
        version = re.match(r"snabb (\d\S*(?: \(.+\))?)$", said, re.MULTILINE)   # "snabb 2024.08 (3-g0123abcd)"
        if not version:
            return Check("", f"{binary} does not run, or is no Snabb: try it with --version")
        return Check(version[1], "", (binary,))

    def launch(self, site: Site) -> list[Step]:
        if len(site.cores.switch) > 1:
            raise Unsupported(f"a Snabb process is one core, and the testbed gives {len(site.cores.switch)}")
        if site.queues > 1:
            raise Unsupported("Snabb's vhost-user serves one queue pair of a process")
        if site.makes_sockets:
            raise Unsupported("Snabb as the server of its sockets waits for the peer of one before it makes the next")
        if site.virtio.rings == "packed":
            raise Unsupported("Snabb knows split rings only")
        script = site.path("patch.lua")
        # it connects again and again until there is a socket; the generator makes the second one when somebody has come
        # to the first
        return [File(script, _script(site)), Await(site.sockets[0]),
                Spawn("snabb", ("taskset", "-c", str(site.cores.switch[0]), _binary(site.prefix), "snsh", script),
                      env=(("SNABB_SHM_ROOT", site.path("shm")),), ready=_ready(site))]

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        other = dict(_ways(site))
        links = {tx: _link(site, tx, rx) for tx, rx in _ways(site)}
        # a link that is full, because its reader's peer is, counts what did not fit (core/link.lua)
        return [PortCounters(port.name, links[i]["txpackets"] + links[i]["txdrop"], links[other[i]]["rxpackets"],
                             links[other[i]]["txdrop"]) for i, port in enumerate(site.topology.ports)]


def _binary(prefix: str) -> str:
    return f"{prefix}/bin/snabb"


def _ready(site: Site) -> str:
    return site.path("ready")


def _ways(site: Site) -> Sequence[tuple[int, int]]:
    """Both ways of every wire."""
    return [*site.topology.wires, *((b, a) for a, b in site.topology.wires)]


def _script(site: Site) -> str:
    """The script, behind what it is to join. Paths and numbers need no quoting beyond Lua's long brackets."""
    sockets = ", ".join(f"[[{socket}]]" for socket in site.sockets)
    ways = ", ".join(f"{{{a}, {b}}}" for a, b in _ways(site))
    features = FEATURES if site.virtio.mergeable else FEATURES - MERGEABLE
    return (f"local sockets = {{{sockets}}}\nlocal ways = {{{ways}}}     -- of ports, counted from 0\n"
            f"local ready = [[{_ready(site)}]]\nlocal busywait = {str(site.options['busywait']).lower()}\n"
            f"local features = {features:#x}\n\n{SCRIPT}")


def _link(site: Site, tx: int, rx: int) -> dict[str, int]:
    """Counters of a link: each is a file of 8 bytes in the byte order of the host (core/counter.lua)."""
    shm = Path(site.path("shm"))
    names = ("txpackets", "txdrop", "rxpackets")
    try:
        [folder] = shm.glob(f"*/links/port{tx}.tx -> port{rx}.rx")
        return {name: struct.unpack("=Q", (folder / f"{name}.counter").read_bytes())[0] for name in names}
    except (OSError, ValueError, struct.error):
        raise CellFailed(f"Snabb has no counters of the link from port {tx} to port {rx} in {shm}") from None
