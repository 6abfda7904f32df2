# SPDX-License-Identifier: BSD-3-Clause
"""What switches in the Linux kernel have in common: their version is the kernel's, and ip(8) tells their counters."""

import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from harness.errors import CellFailed
from harness.switches.base import Check, Output, PortCounters, Site


def check(prefix: str, *tools: str) -> Check:
    """`tools` are what it is made with, from iproute2."""
    for path in (f"{prefix}/sbin/{tool}" for tool in tools):
        if not os.path.exists(path):
            return Check("", f"{path} is not there: apt-get install iproute2")
    return Check(f"Linux {platform.release()}", "", (f"{prefix}/sbin/{tools[0]}",))


def counters(site: Site, output: Output) -> list[PortCounters]:
    """Of the ports' devices."""
    return counters_in(site, site.namespace, site.devices, output)


def counters_in(site: Site, namespace: str, devices: Sequence[str], output: Output) -> list[PortCounters]:
    """Of network devices, by `ip -json -statistics link`."""
    text = output((f"{site.prefix}/sbin/ip", "-n", namespace, "-json", "-statistics", "link", "show"))
    return parse_counters(text, devices)


def parse_counters(text: str, devices: Sequence[str]) -> list[PortCounters]:
    """In the order of `devices`. A device drops what it could not receive, or what its other end did not take."""
    try:
        found = {link["ifname"]: link["stats64"] for link in json.loads(text)}
        return [_port(name, found[name]) for name in devices]
    except (ValueError, KeyError, TypeError):
        raise CellFailed(f"ip gave something else than counters of {', '.join(devices)}: {text[:80]!r}") from None


def _port(name: str, stats: Any) -> PortCounters:
    rx, tx = stats["rx"], stats["tx"]
    return PortCounters(name, int(rx["packets"]), int(tx["packets"]), int(rx["dropped"]) + int(tx["dropped"]))
