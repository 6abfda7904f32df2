# SPDX-License-Identifier: BSD-3-Clause
"""Testbed files: which machine, CPUs, port kinds, guests' sizes, and further versions of switches. Read and checked
here; testbed.py brings one up. Where a switch is installed may also stand in the environment (VSWBENCH_NAME_PREFIX).
"""

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.programs import is_nic
from harness.schema import Field, check_keys, check_table, read_toml
from harness.switches import SWITCHES
from harness.switches.base import prefix_variable

CORES = {
    "cpus": Field(int, (), low=0, high=4095, many=True),
    "switch_cpus": Field(int, 1, low=1, high=64),
    "generator_cpus": Field(int, 1, low=1, high=7),     # workers of pktgen: with several, half send and half receive
}
PORTS = {"ring_size": Field(int, 1024, choices=(256, 512, 1024)), "pci": Field(dict, {})}
# PCI addresses; the generator's first NIC is cabled to the switch's first one, and so on
PCI = {"generator": Field(str, (), many=True), "switch": Field(str, (), many=True)}
QEMU = {
    "binary": Field(str, "qemu-system-x86_64"),
    "accel": Field(str, "auto", choices=("auto", "kvm", "tcg")),
    "memory_mib": Field(int, 384, low=256, high=65536),     # a third is hugepages, the rest kernel and image
}
SWITCH = {"driver": Field(str, required=True), "prefix": Field(str, ""), "options": Field(dict, {})}


@dataclass(frozen=True)
class SwitchEntry:
    """A named switch to compare: a driver, where its version is installed, and what is set otherwise than by default
    (harness/switches/options.py checks it)."""

    name: str
    driver: str
    prefix: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Bed:
    """A checked testbed. `cpus` empty means: those this process may use."""

    name: str
    source: str
    cpus: tuple[int, ...]
    switch_cpus: int
    generator_cpus: int
    ring_size: int
    qemu_binary: str
    accel: str
    guest_memory_mib: int
    switches: tuple[SwitchEntry, ...]
    pci: tuple[tuple[str, str], ...] = ()       # (generator's NIC, switch's NIC), by PCI address


def load(path: Path | None) -> Bed:
    """The testbed of a file, or the default one of this machine. Raises BadInput."""
    table: Mapping[str, Any] = read_toml(path) if path else {"name": "auto"}
    where = str(path) if path else "default testbed"
    check_keys(where, table, ["name", "cores", "ports", "qemu", "switch"])
    if not isinstance(table.get("name"), str):
        raise BadInput(f"{where}: key 'name' must be a string")
    cores = check_table(f"{where}: [cores]", table.get("cores", {}), CORES)
    ports = check_table(f"{where}: [ports]", table.get("ports", {}), PORTS)
    qemu = check_table(f"{where}: [qemu]", table.get("qemu", {}), QEMU)
    if qemu["memory_mib"] % 2:
        raise BadInput(f"{where}: [qemu]: key 'memory_mib' is {qemu['memory_mib']}: it must be even, since VMs have "
                       "pages of 2 MiB")
    entries = table.get("switch", {})
    if not isinstance(entries, Mapping):
        raise BadInput(f"{where}: [switch.NAME] must be tables")
    switches = tuple(_entry(name, check_table(f"{where}: [switch.{name}]", e, SWITCH)) for name, e in entries.items())
    return Bed(table["name"], where, cores["cpus"], cores["switch_cpus"], cores["generator_cpus"], ports["ring_size"],
               qemu["binary"], qemu["accel"], qemu["memory_mib"],
               (*switches, *_built(os.environ, {s.name for s in switches})),
               _nics(f"{where}: [ports.pci]", ports["pci"]))


def _nics(where: str, table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Both ends of every cable."""
    sides = check_table(where, table, PCI)
    for key, addresses in sides.items():
        if bad := [address for address in addresses if not is_nic(address)]:
            raise BadInput(f"{where}: key '{key}': '{bad[0]}' is no PCI address such as 0000:3b:00.0 (lspci -D)")
        if list(addresses) != sorted(set(addresses)):
            raise BadInput(f"{where}: key '{key}': the addresses must ascend, since DPDK numbers NICs so")
    if both := set(sides["generator"]) & set(sides["switch"]):
        raise BadInput(f"{where}: {min(both)} cannot be the generator's and the switch's")
    if len(sides["generator"]) != len(sides["switch"]):
        raise BadInput(f"{where}: keys 'generator' and 'switch' must have as many: the two ends of each cable")
    return tuple(zip(sides["generator"], sides["switch"]))


def _entry(name: str, table: Mapping[str, Any]) -> SwitchEntry:
    prefix = table["prefix"] or os.environ.get(prefix_variable(table["driver"])) or "/usr"
    return SwitchEntry(name, table["driver"], prefix, tuple(table["options"].items()))


def _built(environ: Mapping[str, str], named: Set[str]) -> Iterator[SwitchEntry]:
    """Drivers under their own names, installed where the environment says; what a testbed says goes first."""
    for driver in SWITCHES:
        if driver.name not in named and (prefix := environ.get(prefix_variable(driver.name))):
            yield SwitchEntry(driver.name, driver.name, prefix)
