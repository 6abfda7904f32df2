# SPDX-License-Identifier: BSD-3-Clause
"""t4p4s: is the table that it is given one by which every frame gets where its wire ends? And what it cannot do.

The real one runs in test_built_switches.py.
"""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import programs
from harness.errors import Unsupported
from harness.switches.base import Command, File, Site, Spawn
from harness.switches.t4p4s import LISTENS, T4p4s
from harness.tests.support import executable, write
from harness.tests.test_built_switches import site_of
from harness.topology import Flow, Topology, build
from harness.virtio import Virtio

TOPOLOGIES = [build(name, 0, way) for name in ("p2p", "p2v", "v2v") for way in ("one-way", "reverse", "two-way")] + [
    build("p2v-latency", 0, "one-way"), build("v2v-latency", 0, "one-way"), build("loopback", 1, "two-way")]


def t4p4s_site(topology: Topology, **more: Any) -> Site:
    return site_of(topology, **{"nfs": ("l2fwd",) * topology.chain_length, "options": T4P4S_OPTIONS, **more})


T4P4S_OPTIONS = {key: field.default for key, field in T4p4s.options.items()}


def table_of(site: Site) -> dict[str, int]:
    """As the controller reads it (dpdk_l2fwd_controller.c)."""
    [text] = [s.text for s in T4p4s().launch(site) if isinstance(s, File) and s.path.endswith("/tables")]
    entries = [line.split()[1:] for line in text.splitlines() if line.startswith("MAC-FWD ")]
    table = {mac: int(port) for mac, port in entries}
    assert len(table) == len(entries), "one address twice"
    return table


def walk(site: Site, table: dict[str, int], flow: Flow) -> list[tuple[str, int]]:
    """The ends that a frame of this flow gets to, with the addresses that our programs give it."""
    end, far = flow.tx, flow.via or flow.rx
    destination, path = programs.mac(*far), [flow.tx]
    while end != flow.rx or len(path) == 1:
        at = next(i for i, p in enumerate(site.topology.ports) if (p.peer, p.peer_port) == end)
        assert table[destination] != at, "back where it came from"
        leaves = site.topology.ports[table[destination]]
        end = leaves.peer, leaves.peer_port
        path.append(end)
        if site.topology.role(end[0]) == "vnf" and site.topology.chain_length:      # l2fwd, see vnf/peers.h
            end = end[0], 1 - end[1]
            destination = f"02:00:00:00:00:{end[1]:02x}"
            path.append(end)
        elif end == flow.via:
            destination = programs.mac(*flow.tx)
    return path


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: f"{t.name}-{len(t.flows)}{t.flows[0].back:d}")
def test_every_frame_goes_along_the_wires(topology: Topology) -> None:
    site = t4p4s_site(topology)
    table = table_of(site)
    for flow in topology.flows:
        path = walk(site, table, flow)
        assert path[-1] == flow.rx
        assert all(topology.across(a) == b for a, b in zip(path[::2], path[1::2])) or flow.via


@pytest.mark.parametrize("site, word", [
    (t4p4s_site(build("loopback", 1, "one-way"), nfs=("io",)), "l2fwd"),
    (t4p4s_site(build("loopback", 1, "one-way"), nfs=("l2fwd:peer 02:00:00:00:00:09",)), "l2fwd"),
    (t4p4s_site(build("loopback", 2, "one-way")), "chain_length"),
    (t4p4s_site(build("p2p", 0, "one-way"), frame_max_bytes=9018), "2 KB"),
    (t4p4s_site(build("p2p", 0, "one-way"), switch_cpus=2), "queues = 2"),
    (t4p4s_site(build("p2p", 0, "one-way"), virtio=Virtio(queues=16)), "queues")])
def test_what_it_cannot_do_is_known_before_it_starts(site: Site, word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        T4p4s().launch(site)


def test_every_queue_of_every_port_has_a_core() -> None:
    site = t4p4s_site(build("p2v", 0, "one-way"), switch_cpus=2, virtio=Virtio(queues=3))
    argv = next(s.argv for s in T4p4s().launch(site) if isinstance(s, Spawn) and s.name == "t4p4s")
    config = argv[argv.index("--config") + 1]
    assert config == "(0,0,0),(0,1,1),(0,2,0),(1,0,0),(1,1,1),(1,2,0)"


def test_the_switch_starts_when_the_controller_listens() -> None:
    steps = T4p4s().launch(t4p4s_site(build("p2p", 0, "one-way")))
    processes = [step for step in steps if isinstance(step, Spawn | Command)]
    assert [s.name if isinstance(s, Spawn) else "" for s in processes] == ["", "t4p4s-controller", "", "t4p4s"]
    assert all("nsenter" in s.argv[0] or "ip" == s.argv[0] for s in processes)


# ---- waiting for the controller ------------------------------------------------------------------------------------

def test_a_listener_is_waited_for_and_not_spoken_to(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        script = write(tmp_path / "listens.py", LISTENS)
        with subprocess.Popen([sys.executable, script, str(server.getsockname()[1])]) as waits:
            with pytest.raises(subprocess.TimeoutExpired):      # it is bound, but does not listen
                waits.wait(0.3)
            server.listen()
            assert waits.wait(10) == 0
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_controller_that_never_listens_is_given_up(tmp_path: Path) -> None:
    script = write(tmp_path / "listens.py", LISTENS.replace("TIMEOUT_S = 20.0", "TIMEOUT_S = 0.1"))
    done = subprocess.run([sys.executable, script, "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "nobody listens at TCP port 1 after 0.1 s\n"


# ---- check ---------------------------------------------------------------------------------------------------------

def test_the_version_is_that_of_its_dpdk(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "dpdk_l2fwd_controller", "")
    binary = executable(tmp_path / "bin" / "t4p4s-l2fwd", "#!/bin/sh\necho \"EAL: RTE Version: 'DPDK 22.11.11'\"\n")
    assert T4p4s().check(str(tmp_path)).version == "DPDK 22.11.11"
    executable(binary, "#!/bin/sh\necho hello\n")
    assert str(binary) in T4p4s().check(str(tmp_path)).missing
