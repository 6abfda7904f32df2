# SPDX-License-Identifier: BSD-3-Clause
"""Drivers of switches: the contract that all of them keep, and the options that they have."""

import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness import ports, proc
from harness.errors import Unsupported
from harness.switches import SWITCHES, find
from harness.switches.base import Await, Command, File, Namespace, Site, Spawn, Step, cpu_mask, prefix_variable
from harness.switches.macvtap import Macvtap
from harness.switches.ovs_dpdk import OvsDpdk
from harness.switches.testpmd import Testpmd
from harness.tests.support import FOLDER, cells_of_text, every_topology, site_of, steps_of
from harness.topology import build
from harness.virtio import Virtio

# every switch on every kind of port that it has
every_driver = pytest.mark.parametrize("driver, kind", [(d, kind) for d in SWITCHES for kind in d.ports],
                                       ids=lambda value: getattr(value, "name", value))
IN_THE_KERNEL = ("linux-bridge", "macvtap", "xdp", "ovs-kernel")


# ---- options -------------------------------------------------------------------------------------------------------

def words_of(driver: Any, **options: Any) -> str:
    return " ".join(" ".join(step.argv) for step in steps_of(driver, site_of(build("p2p", 0, "one-way"), **options))
                    if isinstance(step, (Spawn, Command)))


def test_options_reach_the_switch_and_by_default_nothing_is_set() -> None:
    assert "--forward-mode=io" in words_of(Testpmd()) and "--forward-mode=macswap" in words_of(Testpmd(), forward="macswap")
    assert "--burst" not in words_of(Testpmd()) and "--burst=64" in words_of(Testpmd(), burst=64)
    assert not re.search("emc|smc", words_of(OvsDpdk()))
    assert 'emc-insert-inv-prob="0"' in words_of(OvsDpdk(), emc=False)
    assert 'smc-enable="true"' in words_of(OvsDpdk(), smc=True)


# ---- the contract --------------------------------------------------------------------------------------------------

def test_names_are_unique_words_and_found() -> None:
    names = [d.name for d in SWITCHES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9-]*", name) for name in names)
    assert [find(name) for name in names] == list(SWITCHES)
    assert find("no-such-switch") is None


@every_driver
def test_a_driver_says_what_ports_and_memory_it_takes(driver: Any, kind: str) -> None:
    assert kind in ports.PORT_KINDS
    assert isinstance(driver.hugepages_mib, int) and driver.hugepages_mib >= 0


@every_driver
def test_a_driver_can_do_at_least_p2p(driver: Any, kind: str) -> None:
    site = site_of(build("p2p", 0, "one-way"), kind=kind)
    assert isinstance(driver.launch(site), list) and isinstance(driver.wire(site), list)


@every_driver
def test_a_driver_gives_steps_and_the_same_every_time(driver: Any, kind: str) -> None:
    for topology in every_topology():
        steps = steps_of(driver, site_of(topology, kind=kind))
        assert all(isinstance(step, Command | Spawn | Await | File | Namespace) for step in steps)
        assert steps == steps_of(driver, site_of(topology, kind=kind))
        assert all(isinstance(word, str) and word for s in steps if isinstance(s, Command | Spawn) for word in s.argv)


@every_driver
def test_whoever_cannot_do_a_topology_says_why(driver: Any, kind: str) -> None:
    for topology in every_topology():
        try:
            driver.launch(site_of(topology, kind=kind))
            driver.wire(site_of(topology, kind=kind))
        except Unsupported as why:
            assert len(str(why)) > 10 and "\n" not in str(why)


def test_what_a_switch_cannot_do_may_show_in_its_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(self: Macvtap, site: Site) -> list[Step]:
        raise Unsupported("no such devices")
    monkeypatch.setattr(Macvtap, "devices", devices)
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\nport_kind = "af_packet"', switches=["macvtap"])
    assert cell.unsupported == "no such devices"


def paths_in(steps: list[Step]) -> set[str]:
    """Absolute paths in arguments, environments and steps, also behind "=" and the like."""
    words = [str(value) for step in steps for value in asdict(step).values()]
    return {match for word in words for match in re.findall(r"(?<![A-Za-z0-9_.-])/[A-Za-z0-9_./-]+", word)}


@every_driver
def test_a_switch_works_in_its_own_folder_and_its_installation_only(driver: Any, kind: str) -> None:
    """No system service, database, socket or log is ever touched."""
    for topology in every_topology():
        site = site_of(topology, kind=kind)
        for path in paths_in(steps_of(driver, site)):
            inside = path == site.folder or path.startswith(site.folder + "/")
            own = (*site.sockets, f"/run/netns/{site.namespace}", "/usr/bin/python3")
            assert inside or path in own or path.startswith(("/opt/switch/", "/proc/", "/sys/")), path


@every_driver
def test_another_folder_changes_nothing_but_the_folder(driver: Any, kind: str) -> None:
    for topology in every_topology():
        here, there = (repr(steps_of(driver, site_of(topology, folder, kind=kind)))
                       for folder in (FOLDER, "/tmp/vswbench-x/c2"))
        same = here.replace(FOLDER, "/tmp/vswbench-x/c2").replace(ports.namespace(FOLDER), "vswbench-x-c2")
        assert same == there


@every_driver
def test_no_argument_needs_a_shell(driver: Any, kind: str) -> None:
    """Commands run without a shell: what a shell would expand must not stand in them."""
    for topology in every_topology():
        for step in steps_of(driver, site_of(topology, kind=kind)):
            for word in (*step.argv, *(value for _, value in step.env)) if isinstance(step, Command | Spawn) else ():
                assert not set(word) & set("$`\\*?;|&<>~\n\0"), word


@every_driver
def test_a_switch_runs_on_its_own_cpus(driver: Any, kind: str) -> None:
    """The mask or list of its CPUs follows the site, so none is written down."""
    if driver.name in IN_THE_KERNEL:
        return      # on the CPUs to which its devices are steered, see test_ports.py
    topology = build("p2p", 0, "one-way")
    few, many = (repr(steps_of(driver, site_of(topology, cpus=n, kind=kind))) for n in (4, 16))
    assert (few != many) == bool(steps_of(driver, site_of(topology, kind=kind)))


@every_driver
def test_every_port_of_a_switch_is_named_in_its_steps_once_it_has_any(driver: Any, kind: str) -> None:
    for topology in every_topology():
        site = site_of(topology, kind=kind)
        steps = steps_of(driver, site)
        if any(isinstance(step, Spawn) for step in steps) or site.devices and steps:
            assert [s for s in (*site.sockets, *site.devices) if s not in repr(steps)] == []


@every_driver
def test_every_process_of_a_switch_has_a_name_of_its_own(driver: Any, kind: str) -> None:
    names = [s.name for s in steps_of(driver, site_of(build("p2p", 0, "one-way"), kind=kind)) if isinstance(s, Spawn)]
    assert len(names) == len(set(names)) and all(re.fullmatch("[a-z0-9-]+", name) for name in names)


@every_driver
def test_check_of_an_empty_prefix_says_what_is_missing_and_the_cure(driver: Any, kind: str, tmp_path: Path) -> None:
    check = driver.check(str(tmp_path))
    if steps_of(driver, site_of(build("p2p", 0, "one-way"), kind=kind)):
        cures = ("apt-get install", prefix_variable(driver.name))      # a package, or one's own build
        assert str(tmp_path) in check.missing and any(cure in check.missing for cure in cures)
    else:
        assert check.missing == ""
    assert list(tmp_path.iterdir()) == []


@every_driver
def test_tools_of_the_machine_that_a_switch_takes_are_named_with_their_packages(driver: Any, kind: str) -> None:
    """So that `check` misses them, and no cell does."""
    taken = set()
    for topology in every_topology():
        for step in steps_of(driver, site_of(topology, kind=kind)):
            taken |= {"ip"} if isinstance(step, Namespace) else set()
            argv = step.argv if isinstance(step, (Command, Spawn)) else ()
            starts = [0, *(i + 1 for i, word in enumerate(argv) if word == "--")]
            taken |= {argv[i] for i in starts if i < len(argv)}
        scripts = [step.text for step in steps_of(driver, site_of(topology, kind=kind)) if isinstance(step, File)]
        taken |= set(re.findall(r"\b(?:u?mount|unshare)\b", " ".join(scripts)))
    by_name = {word for word in taken if "/" not in word and shutil.which(word)}
    known = {*driver.tools, *proc.TOOLS, *(ports.TOOLS if kind in ports.ON_DEVICES else ()), "sh", "env"}
    assert by_name <= known


def test_cpu_masks_have_a_bit_for_every_cpu() -> None:
    assert [cpu_mask(cpus) for cpus in ((0,), (1,), (0, 1), (4, 5), (64,))] == ["0x1", "0x2", "0x3", "0x30",
                                                                                "0x1" + "0" * 16]


@pytest.mark.parametrize("driver", [d for d in SWITCHES if d.name != "ovs-dpdk"], ids=lambda d: d.name)
def test_what_cannot_tell_its_cycles_asks_nobody(driver: Any) -> None:
    assert driver.cycles(site_of(build("p2p", 0, "one-way")), lambda argv: pytest.fail("asked")) is None


# FastClick tells by its control socket, and BESS by its answer, that a port is there; Snabb makes none.
@pytest.mark.parametrize("name", ["ovs-dpdk", "testpmd", "vpp", "t4p4s"])
def test_peers_wait_for_the_sockets_that_a_switch_makes(name: str) -> None:
    """They try once."""
    driver = find(name)
    assert driver
    site = replace(site_of(build("p2p", 0, "two-way")), virtio=Virtio(sockets="switch"))
    steps = steps_of(driver, site)
    started = max(i for i, step in enumerate(steps) if isinstance(step, Spawn))
    waits = {step.path for step in steps[started:] if isinstance(step, Await)}
    assert waits == set(site.sockets)
