# SPDX-License-Identifier: BSD-3-Clause
"""testpmd: what is found of it, how it is told its ports, and what is read of its counters."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import CellFailed
from harness.switches.base import PortCounters, Spawn
from harness.switches.testpmd import Testpmd
from harness.tests.support import STRANGE, dpdk_stats, every_topology, executable, site_of
from harness.topology import build

TESTPMD = "#!/bin/sh\necho \"EAL: RTE Version: 'DPDK 24.11.2'\" >&2\necho 'Usage: dpdk-testpmd'\n"


def test_testpmd_tells_its_version(tmp_path: Path) -> None:
    binary = executable(tmp_path / "bin/dpdk-testpmd", TESTPMD)
    check = Testpmd().check(str(tmp_path))
    assert (check.version, check.missing, check.files) == ("DPDK 24.11.2", "", (str(binary),))


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_testpmd_is_missing_and_no_exception(kind: str, tmp_path: Path) -> None:
    binary = executable(tmp_path / "bin/dpdk-testpmd", STRANGE[kind])
    assert str(binary) in Testpmd().check(str(tmp_path)).missing


def test_testpmd_is_the_peers_client_on_every_port_in_order() -> None:
    site = site_of(build("loopback", 1, "one-way"))
    [spawn] = Testpmd().launch(site)
    assert isinstance(spawn, Spawn)
    vdevs = [spawn.argv[i + 1] for i, word in enumerate(spawn.argv) if word == "--vdev"]
    assert [v.split(",")[1] for v in vdevs] == [f"iface={s}" for s in site.sockets]
    assert all("client=1" in v for v in vdevs)


def test_testpmd_pairs_ports_as_wires_do() -> None:
    assert all(t.wires == tuple((i, i + 1) for i in range(0, len(t.ports), 2)) for t in every_topology())
    [spawn] = Testpmd().launch(site_of(build("p2p", 0, "one-way")))
    assert isinstance(spawn, Spawn) and "--port-topology=paired" in spawn.argv


def test_testpmd_counts_each_port_of_the_topology(telemetry_server: Callable[..., str], short_path: Path) -> None:
    site = site_of(build("p2p", 0, "one-way"), str(short_path))
    path = Path(site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2"))
    path.parent.mkdir(parents=True)
    asked: list[str] = []
    telemetry_server(lambda c: (asked.append(c), dpdk_stats(c))[1], path=path)
    assert Testpmd().counters(site, lambda argv: "") == [PortCounters("p0", 100, 90, None),
                                                         PortCounters("p1", 100, 90, None)]
    assert asked == ["/ethdev/stats,0", "/ethdev/stats,1"]


def test_a_testpmd_that_counts_something_else_fails_the_cell(telemetry_server: Callable[..., str],
                                                             short_path: Path) -> None:
    site = site_of(build("p2p", 0, "one-way"), str(short_path))
    path = Path(site.path(f"dpdk/{site.file_prefix}/dpdk_telemetry.v2"))
    path.parent.mkdir(parents=True)
    telemetry_server(lambda c: json.dumps({c.partition(",")[0]: None}).encode(), path=path)
    with pytest.raises(CellFailed):
        Testpmd().counters(site, lambda argv: "")
