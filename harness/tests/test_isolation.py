# SPDX-License-Identifier: BSD-3-Clause
"""Process guests apart: a network namespace and a control group of their own, the same for every switch, what a machine
has of it, and that none stays behind. The last test makes real ones, where the machine allows it.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import cgroup, host, isolation
from harness.errors import CellFailed
from harness.isolation import WHOLE, Isolation
from harness.switches.base import Cgroup, Namespace
from harness.tests.support import cells_of_text, eventually, setup_of, words_missing, write

CHAIN = '[matrix]\ntopology = "loopback"\nguest = "{guest}"\nchain_length = 2\nport_kind = "{kind}"\nqueues = 2\n'
CELL = "vswbench-01234567-c1"       # of support.FOLDER


def chain(tmp_path: Path, guest: str = "process", kind: str = "vhost-user", **more: Any) -> Any:
    [one] = cells_of_text(tmp_path, CHAIN.format(guest=guest, kind=kind), switches=["testpmd"], **more)
    return one


# ---- the plan ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["vhost-user", "memif", "af_packet"])
def test_every_guest_is_in_a_group_and_a_namespace_of_its_own(kind: str, tmp_path: Path) -> None:
    one = chain(tmp_path, kind=kind, cpus=range(8))
    setup = setup_of(one, apart=WHOLE)
    groups = {step.path: step.cpus for step in setup.network if isinstance(step, Cgroup)}
    names = [step.name for step in setup.network if isinstance(step, Namespace)]
    assert list(groups)[0] == f"/sys/fs/cgroup/{CELL}" and groups[f"/sys/fs/cgroup/{CELL}"] == ()
    assert len(groups) == 1 + len(setup.peers) and len(names) == len(set(names))
    for peer in setup.peers:
        own = f"/sys/fs/cgroup/{CELL}/{peer.name}"
        assert peer.argv[:4] == ("sh", "-c", isolation.ENTER, own)
        assert groups[own] == tuple(sorted({one.cores.control, *one.cores.all_of(peer.name)}))
        assert str(one.cores.all_of(peer.name)[0]) in " ".join(peer.argv)       # DPDK is told the same
        inside = f"--net=/run/netns/{CELL}-{peer.name}"
        assert (inside in peer.argv) == (f"{CELL}-{peer.name}" in names)
        assert inside in peer.argv or peer.name == "generator"


@pytest.mark.parametrize("apart, words", [(Isolation(), []), (Isolation(namespaces=True), ["nsenter"]),
                                          (Isolation(cgroups="/cg"), ["sh"]), (WHOLE, ["sh", "nsenter"])])
def test_what_a_machine_has_not_is_not_in_the_plan(apart: Isolation, words: list[str], tmp_path: Path) -> None:
    setup = setup_of(chain(tmp_path), apart=apart)
    guest = setup.peers[1]
    assert [word for word in ("sh", "nsenter") if word in guest.argv] == words
    assert any(isinstance(step, Namespace) for step in setup.network) == apart.namespaces
    groups = [step for step in setup.network if isinstance(step, Cgroup)]
    assert bool(groups) == bool(apart.cgroups) and any(step.cpus for step in groups) == apart.cpuset


def test_a_vm_is_apart_by_itself_and_where_no_guest_is_there_is_nothing(tmp_path: Path) -> None:
    alone = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"', switches=["testpmd"])
    for one in (chain(tmp_path, guest="qemu"), *alone):
        with_it, without = (setup_of(one, apart=apart) for apart in (WHOLE, Isolation()))
        assert with_it == without


def test_all_programs_that_may_share_a_cpu_are_groups_of_one_parent(tmp_path: Path) -> None:
    """Else the controller cpu, where it is on, would set them against each other."""
    for cpus in ((0,), (0, 1), tuple(range(16))):
        groups = [step.path for step in setup_of(chain(tmp_path, cpus=cpus), apart=WHOLE).network
                  if isinstance(step, Cgroup)]
        assert {path.rpartition("/")[0] for path in groups[1:]} == {groups[0]}


# ---- what a machine has --------------------------------------------------------------------------------------------

V1 = "30 29 0:26 / {root}/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
V2 = "31 24 0:27 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def machine(root: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, controllers: str, handed_down: str) -> None:
    root.mkdir()
    monkeypatch.setattr(cgroup, "MOUNTS", write(root.parent / "mountinfo", mounts.format(root=root)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    write(root / "cgroup.controllers", controllers)
    write(root / "cgroup.subtree_control", handed_down)


@pytest.mark.parametrize("mounts, controllers, handed_down, cgroups, cpuset, said", [
    (V1 + V2, "cpuset cpu io\n", "cpuset cpu\n", True, True, []),
    (V2, "cpuset cpu io\n", "cpu\n", True, False, ["cpuset", "echo +cpuset > "]),
    (V1 + V2, "hugetlb\n", "", True, False, ["cpuset", "version 1"]),
    (V1, "", "", False, False, ["no cgroup2 is mounted", "mount -t cgroup2"])])
def test_what_is_missing_is_said_with_its_cure(mounts: str, controllers: str, handed_down: str, cgroups: bool,
                                               cpuset: bool, said: list[str], tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path / "cg", monkeypatch, mounts, controllers, handed_down)
    there, notes = cgroup.isolation()
    assert (there.cgroups, there.cpuset) == (str(tmp_path / "cg") if cgroups else "", cpuset)
    assert len(notes) == bool(said) and words_missing(" ".join(notes), said) == []


def test_without_root_it_says_what_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path / "cg", monkeypatch, V2, "cpuset\n", "cpuset\n")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    there, notes = cgroup.isolation()
    assert there == Isolation() and len(notes) == 2 and all("run as root" in note for note in notes)


# ---- a folder in the place of the kernel's -------------------------------------------------------------------------

def test_a_group_gets_its_cpus_and_its_parent_hands_cpuset_down(tmp_path: Path) -> None:
    cgroup.make(tmp_path / "cell", ())
    cgroup.make(tmp_path / "cell" / "guest1", (0, 3))
    assert (tmp_path / "cell" / "guest1" / "cpuset.cpus").read_text() == "0,3"
    assert (tmp_path / "cell" / "cgroup.subtree_control").read_text() == "+cpuset"
    assert not (tmp_path / "cgroup.subtree_control").exists()       # that is the machine's


def test_a_group_that_cannot_be_made_fails_the_cell(tmp_path: Path) -> None:
    with pytest.raises(CellFailed) as caught:
        cgroup.make(tmp_path / "no" / "guest1", ())
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_group_that_stays_busy_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "EMPTY_S", 0.05)
    (tmp_path / "cell" / "guest1" / "busy").mkdir(parents=True)
    (tmp_path / "cell" / "guest2").mkdir()
    cgroup.remove(tmp_path / "cell")
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["guest1"]
    cgroup.remove(tmp_path / "never")


# ---- a real one ----------------------------------------------------------------------------------------------------

def _apart() -> Isolation:
    return cgroup.isolation()[0] if os.geteuid() == 0 else Isolation()


@pytest.mark.skipif(not (_apart().cgroups and _apart().namespaces), reason="no cgroup v2 that can be written here")
def test_a_process_is_where_the_plan_puts_it_and_what_a_killed_run_left_goes(tmp_path: Path) -> None:
    apart, folder = _apart(), tmp_path / f"vswbench-i{os.getpid()}"
    folder.mkdir()
    cell = f"{folder.name}-c1"
    group = Path(apart.cgroups, cell, "guest1")
    subprocess.run(["ip", "netns", "add", f"{cell}-guest1"], check=True)
    try:
        cpus = (host.cpus()[0],)
        cgroup.make(group.parent, ())
        cgroup.make(group, cpus if apart.cpuset else ())
        argv = isolation.entered(apart, cell, "guest1", f"{cell}-guest1", ["sleep", "60"])
        process = subprocess.Popen(argv, env={**os.environ, host.RUN_VARIABLE: str(folder)})
        eventually(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        assert f"0::/{cell}/guest1" in Path(f"/proc/{process.pid}/cgroup").read_text().split()
        assert not os.path.samefile(f"/proc/{process.pid}/ns/net", "/proc/self/ns/net")
        assert not apart.cpuset or os.sched_getaffinity(process.pid) == set(cpus)
        host.undo_leftover(folder)
        assert process.wait(5) == -9
        assert not group.parent.exists() and not (host.NAMESPACES / f"{cell}-guest1").exists()
    finally:
        host.remove_namespace(f"{cell}-guest1")
        cgroup.remove(group.parent)
