# SPDX-License-Identifier: BSD-3-Clause
"""The machine: hugepages that are put back, the lock, what a killed run left behind. /sys is a folder of the test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import host
from harness.errors import CannotRun
from harness.tests.support import (LAUNCHER, NULL_CELL, ROOT, eventually, is_running, start_vswbench, vswbench, write)


class Kernel:
    """The hugepages of a kernel with room for `most` of them, as files."""

    def __init__(self, folder: Path, count: int, used: int, most: int) -> None:
        self.folder, self.used, self.most = folder, used, most
        self.written: list[int] = []
        folder.mkdir()
        self.write(count)
        self.written.clear()

    def write(self, count: int) -> None:
        self.written.append(count)
        count = min(max(count, self.used), self.most)
        (self.folder / "nr_hugepages").write_text(f"{count}\n")
        (self.folder / "free_hugepages").write_text(f"{count - self.used}\n")

    @property
    def count(self) -> int:
        return int((self.folder / "nr_hugepages").read_text())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """1000 pages can be, 100 are, 20 of them in use; we are root and memory is plenty."""
    one = Kernel(tmp_path / "sysfs", 100, 20, 1000)
    monkeypatch.setattr(host, "HUGEPAGES", one.folder)
    monkeypatch.setattr(host, "_write_hugepages", one.write)
    monkeypatch.setattr(host, "memory_mib", lambda what: 100_000)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return one


# ---- enough hugepages ----------------------------------------------------------------------------------------------

def test_missing_hugepages_are_raised_and_put_back(kernel: Kernel, tmp_path: Path) -> None:
    said: list[str] = []
    with host.enough_hugepages(300, tmp_path, said.append):
        assert host.hugepages("free") >= 300
        assert json.loads((tmp_path / "undo.json").read_text()) == {"hugepages_count": 100}
    assert kernel.count == 100
    assert len(said) == 1 and "100" in said[0] and "hugepages" in said[0]


def test_hugepages_are_put_back_when_the_run_fails(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), host.enough_hugepages(300, tmp_path, lambda line: None):
        raise RuntimeError
    assert kernel.count == 100


@pytest.mark.parametrize("needed", [0, 10, 48])
def test_enough_hugepages_are_left_as_they_are(kernel: Kernel, needed: int, tmp_path: Path) -> None:
    with host.enough_hugepages(needed, tmp_path, lambda line: pytest.fail(line)):
        assert kernel.count == 100
    assert kernel.written == [] and not (tmp_path / "undo.json").exists()


def test_a_kernel_that_gives_fewer_is_said_and_put_back(kernel: Kernel, tmp_path: Path) -> None:
    kernel.most = 200
    with pytest.raises(CannotRun, match="200 of"), host.enough_hugepages(300, tmp_path, lambda line: None):
        pytest.fail("the run started without its hugepages")
    assert kernel.count == 100


def test_too_little_memory_is_said_before_anything_is_changed(kernel: Kernel, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory_mib", lambda what: 900)
    with pytest.raises(CannotRun, match="memory"), host.enough_hugepages(300, tmp_path, lambda line: None):
        pytest.fail("the run started")
    assert kernel.written == []


def test_who_is_not_root_is_told_what_to_do(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="root") as caught, host.enough_hugepages(300, tmp_path, lambda line: None):
        pytest.fail("the run started")
    assert "null" in str(caught.value) and kernel.written == []


def test_a_kernel_without_hugepages_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "HUGEPAGES", tmp_path / "none")
    with pytest.raises(CannotRun, match="null switch"):
        host.check_hugepages_possible(1)
    assert host.hugepages("free") == 0


def test_a_container_that_may_not_write_sysfs_is_told_what_to_do(kernel: Kernel, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Root in a container: /sys is mounted read-only."""
    monkeypatch.setattr(os, "access", lambda path, mode, **_: False)
    with pytest.raises(CannotRun), host.enough_hugepages(300, tmp_path, lambda line: None):
        pytest.fail("the run started")
    assert kernel.written == []


# ---- what a killed run left ----------------------------------------------------------------------------------------

def leftover(runtime: Path, undo: Any) -> Path:
    folder = runtime / "vswbench-0badf00d"
    write(folder / "undo.json", undo if isinstance(undo, str) else json.dumps(undo))
    write(folder / "c1" / "p0", "")
    return folder


def test_the_number_of_hugepages_of_a_killed_run_is_put_back(kernel: Kernel, runtime: Path) -> None:
    kernel.write(500)
    folder = leftover(runtime, {"hugepages_count": 100})
    host.undo_leftover(folder)
    assert kernel.count == 100 and not folder.exists()


def test_the_next_run_clears_up(kernel: Kernel, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", os.getuid)       # the folder is ours, whoever we are
    kernel.write(500)
    folder = leftover(runtime, {"hugepages_count": 100})
    with host.run_folder("next") as mine:
        assert not folder.exists() and kernel.count == 100
        assert mine.is_dir() and mine.stat().st_mode & 0o777 == 0o700
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("undo", [
    {"hugepages_count": 10**9}, {"hugepages_count": 10**400}, {"hugepages_count": 501}, {"hugepages_count": -1},
    {"hugepages_count": "0"}, {"hugepages_count": 1.5}, {"hugepages_count": None}, {"hugepages_count": True},
    {"hugepages_count": [0]}, {}, [], 3, None, "", "{", "[" * 100_000, "\0", {"hugepages": 0}],
                         ids=lambda u: repr(u)[:30])
def test_an_undo_file_that_cannot_be_ours_changes_nothing(undo: Any, kernel: Kernel, runtime: Path) -> None:
    kernel.write(500)
    kernel.written.clear()
    folder = leftover(runtime, undo)
    host.undo_leftover(folder)
    assert kernel.written == [] and kernel.count == 500
    assert not folder.exists()


def test_a_leftover_without_an_undo_file_is_removed(kernel: Kernel, runtime: Path) -> None:
    folder = runtime / "vswbench-1"
    folder.mkdir()
    host.undo_leftover(folder)
    assert not folder.exists() and kernel.written == []


def test_a_link_is_neither_followed_nor_removed(kernel: Kernel, runtime: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    write(precious / "undo.json", '{"hugepages_count": 0}')
    (runtime / "vswbench-link").symlink_to(precious)
    with host.run_folder("next"):
        pass
    assert (precious / "undo.json").exists() and kernel.written == []


def test_a_link_inside_a_leftover_is_not_followed(kernel: Kernel, runtime: Path, tmp_path: Path) -> None:
    write(tmp_path / "precious" / "file", "x")
    folder = leftover(runtime, {})
    (folder / "link").symlink_to(tmp_path / "precious")
    host.undo_leftover(folder)
    assert not folder.exists() and (tmp_path / "precious" / "file").exists()


def test_files_of_others_are_left_alone(kernel: Kernel, runtime: Path) -> None:
    write(runtime / "vswbench-file", "x")
    write(runtime / "other" / "file", "x")
    with host.run_folder("next"):
        pass
    assert (runtime / "vswbench-file").exists() and (runtime / "other" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_folder_of_another_user_is_left_alone(runtime: Path) -> None:
    (runtime / "vswbench-theirs").mkdir()
    os.chown(runtime / "vswbench-theirs", 65534, 65534)
    with host.run_folder("next"):
        pass
    assert (runtime / "vswbench-theirs").exists()


def test_a_process_of_a_killed_run_is_ended_and_no_other(kernel: Kernel, runtime: Path) -> None:
    folder = leftover(runtime, {})
    theirs, other = (subprocess.Popen(["sleep", "60"], env={**os.environ, host.RUN_VARIABLE: str(path)})
                     for path in (folder, str(folder) + "2"))
    try:
        eventually(lambda: theirs.pid in host.processes_of(folder))
        host.undo_leftover(folder)
        eventually(lambda: not is_running(theirs.pid))
        assert is_running(other.pid)
    finally:
        for process in (theirs, other):
            process.kill()
            process.wait()


def test_shared_memory_of_a_run_goes_with_it_and_that_of_others_stays(kernel: Kernel, runtime: Path, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """As a killed VPP leaves it: of a killed run, of this one, of the system's."""
    monkeypatch.setattr(host, "SHARED", tmp_path / "shm")
    monkeypatch.setattr(os, "geteuid", os.getuid)
    folder = leftover(runtime, {})
    theirs = [write(tmp_path / "shm" / name, "x") for name in ("vpe-api", "global_vm", f"{folder.name}2-c1-vpe-api")]
    write(tmp_path / "shm" / f"{folder.name}-c1-global_vm", "x")
    with host.run_folder("next") as mine:
        assert sorted((tmp_path / "shm").iterdir()) == sorted(theirs)
        write(tmp_path / "shm" / f"{mine.name}-c7-vpe-api", "x")
    assert sorted((tmp_path / "shm").iterdir()) == sorted(theirs)


def test_the_run_folder_is_gone_afterwards_however_it_ends(runtime: Path) -> None:
    with pytest.raises(RuntimeError), host.run_folder("x") as folder:
        write(folder / "c1" / "socket", "")
        raise RuntimeError
    assert list(runtime.iterdir()) == []


# ---- the lock ------------------------------------------------------------------------------------------------------

@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the machine until its input ends."""
    hold = LAUNCHER.replace("sys.exit(cli.main(sys.argv[2:]))",
                            "with host.hold_machine('results in /somewhere'):\n"
                            "    print('held', flush=True)\n    sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_says_who_holds_the_machine_and_ends(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    scenario = write(tmp_path / "t.toml", 'name = "t"\n' + NULL_CELL)
    status, _, err = vswbench(tmp_path, "run", scenario, "--out", tmp_path / "results")
    assert status == 1
    assert f"pid {holder.pid}" in err and "/somewhere" in err and "Traceback" not in err
    assert list((tmp_path / "results").iterdir()) == []


def test_plan_and_list_do_not_need_the_machine(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    scenario = write(tmp_path / "t.toml", 'name = "t"\n' + NULL_CELL)
    assert vswbench(tmp_path, "plan", scenario)[0] == 0


def test_the_lock_of_a_killed_run_holds_nobody_up(holder: "subprocess.Popen[str]", tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "runtime_root", lambda: tmp_path)
    monkeypatch.setattr(host, "lock_path", lambda: tmp_path / "vswbench.lock")
    with pytest.raises(CannotRun, match=str(holder.pid)), host.hold_machine("x"):
        pass
    holder.kill()
    holder.wait()
    with host.hold_machine("mine"):
        assert host.lock_path().read_text() == f"pid {os.getpid()}, mine\n"


def test_the_lock_is_free_and_empty_afterwards(runtime: Path) -> None:
    for _ in range(2):
        with host.hold_machine("a run"):
            pass
        assert host.lock_path().read_text() == ""


def test_children_do_not_inherit_the_lock(runtime: Path) -> None:
    with host.hold_machine("a run"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with host.hold_machine("the next run"):
            pass
    finally:
        child.kill()
        child.wait()


# ---- facts ---------------------------------------------------------------------------------------------------------

def test_facts_can_be_written_down_and_name_the_cpus() -> None:
    facts = json.loads(json.dumps(host.facts()))
    assert facts["cpus_usable"] == sorted(os.sched_getaffinity(0)) and facts["kernel"] == os.uname().release
    assert facts["memory_mib"] > 0


def test_a_hash_is_that_of_the_file_and_empty_without_one(tmp_path: Path) -> None:
    write(tmp_path / "f", "abc")
    want = subprocess.run(["sha256sum", str(tmp_path / "f")], capture_output=True, text=True,
                          check=True).stdout.split()[0]
    assert host.sha256(tmp_path / "f") == want and host.sha256(tmp_path / "none") == host.sha256(tmp_path) == ""


def test_check_tells_what_is_missing_without_a_traceback(tmp_path: Path) -> None:
    scenario = write(tmp_path / "t.toml", 'name = "t"\n[matrix]\ntopology = "p2p"\nswitch = "ovs-dpdk"\n')
    with start_vswbench(tmp_path, "check", scenario, "--switch", f"mine=ovs-dpdk@{tmp_path}") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1 and err == ""
    assert "missing: switch mine: " in out and str(tmp_path) in out


def test_check_names_a_qemu_that_is_not_there(tmp_path: Path) -> None:
    scenario = write(tmp_path / "t.toml",
                     'name = "t"\n[matrix]\ntopology = "p2v"\nguest = "qemu"\nswitch = "testpmd"\n')
    testbed = write(tmp_path / "b.toml", 'name = "b"\n[qemu]\nbinary = "/nowhere/qemu"\n')
    _, out, _ = vswbench(tmp_path, "check", scenario, "--testbed", testbed)
    assert any("/nowhere/qemu" in line for line in out.splitlines() if line.startswith("missing: "))
