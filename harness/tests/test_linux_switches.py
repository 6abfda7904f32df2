# SPDX-License-Identifier: BSD-3-Clause
"""Switches in the Linux kernel: what is read of their counters, and what a bridge joins."""

import json

import pytest

from harness.errors import CellFailed
from harness.switches import linux
from harness.switches.base import Command, PortCounters
from harness.switches.linux_bridge import LinuxBridge
from harness.tests.support import site_of
from harness.topology import build

# ip -json -statistics link show, of iproute2 6.1.0, without what nobody reads
LINKS = [{"ifindex": 1, "ifname": "lo", "stats64": {"rx": {"packets": 0}}},
         {"ifindex": 100, "link_index": 1000, "ifname": "p0", "flags": ["BROADCAST", "UP"], "stats64": {
             "rx": {"bytes": 3060, "packets": 51, "errors": 0, "dropped": 3, "over_errors": 0, "multicast": 0},
             "tx": {"bytes": 240, "packets": 4, "errors": 0, "dropped": 2, "carrier_errors": 0, "collisions": 0}}}]


def test_counters_of_devices_are_read_from_json() -> None:
    assert linux.parse_counters(json.dumps(LINKS), ["p0"]) == [PortCounters("p0", 51, 4, 5)]


@pytest.mark.parametrize("text", ["", "Cannot open network namespace", "[]", "{}", "[1]", '[{"ifname": "p0"}]', "null"])
def test_other_output_than_counters_of_devices_fails_the_cell(text: str) -> None:
    with pytest.raises(CellFailed, match="ip gave something else"):
        linux.parse_counters(text, ["p0"])


def test_a_bridge_joins_the_ports_of_one_wire_and_no_others() -> None:
    site = site_of(build("loopback", 3, "one-way"), kind="af_packet")
    joined: dict[str, list[str]] = {}
    for step in LinuxBridge().wire(site):
        if isinstance(step, Command) and "master" in step.argv:
            joined.setdefault(step.argv[-1], []).append(step.argv[step.argv.index("dev") + 1])
    assert list(joined.values()) == [[site.devices[a], site.devices[b]] for a, b in site.topology.wires]
