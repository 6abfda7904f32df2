# SPDX-License-Identifier: BSD-3-Clause
"""Control groups of version 2 (kernel: admin-guide/cgroup-v2.rst) on this machine: are there any, make one, remove it.
And what there is altogether to keep process guests apart.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import CellFailed
from harness.isolation import Isolation
from harness.proc import wait_until

MOUNTS = Path("/proc/self/mountinfo")       # proc_pid_mountinfo(5)
EMPTY_S = 5.0           # what was killed is soon gone


def root() -> Path | None:
    """Where version 2 is mounted; on machines with both versions that is below /sys/fs/cgroup."""
    for line in MOUNTS.read_text().splitlines():
        here, _, there = line.partition(" - ")
        if there.startswith("cgroup2 "):
            return Path(here.split()[4])
    return None


def isolation() -> tuple[Isolation, list[str]]:
    """What this machine has to keep process guests apart, and what it lacks, a line each with the cure."""
    notes = []
    namespaces = os.geteuid() == 0 and all(map(shutil.which, ("ip", "nsenter")))
    if not namespaces:
        notes.append("process guests have no network namespaces of their own, which take root, ip and nsenter: run as "
                     "root, apt-get install iproute2 util-linux")
    where = root()
    if where is None or not os.access(where, os.W_OK):
        notes.append("process guests have no control groups of their own, only DPDK holds them on their CPUs: "
                     + (f"{where} cannot be written: run as root, or outside of the container" if where
                        else "no cgroup2 is mounted here: mount -t cgroup2 none /sys/fs/cgroup"))
        return Isolation(namespaces), notes
    cpuset = "cpuset" in _words(where / "cgroup.subtree_control")
    if not cpuset:
        cure = (f"echo +cpuset > {where}/cgroup.subtree_control" if "cpuset" in _words(where / "cgroup.controllers")
                else "boot with systemd.unified_cgroup_hierarchy=1, since a hierarchy of version 1 has it")
        notes.append("process guests are held on their CPUs by DPDK only, not by their control groups, which lack the "
                     f"controller cpuset: {cure}")
    return Isolation(namespaces, str(where), cpuset), notes


def make(path: Path, cpus: Sequence[int]) -> None:
    """CellFailed if it cannot be. `cpus`: of its processes; empty: all of its parent's."""
    try:
        path.mkdir()
        if cpus:
            (path.parent / "cgroup.subtree_control").write_text("+cpuset")
            (path / "cpuset.cpus").write_text(",".join(map(str, cpus)))
    except OSError as error:
        raise CellFailed(f"control group {path}: {error.strerror}: see {root()}/cgroup.controllers") from None


def remove(path: Path) -> None:
    """Take a group away with all in it, if it is there. Its processes have been ended before."""
    for each in (*path.glob("*/"), path):
        with suppress(CellFailed):
            wait_until(lambda each=each: _removed(each), EMPTY_S, f"end of the processes of {each}")


def leftovers(name: str) -> list[Path]:
    """The groups of a run, whose cells have names that begin so."""
    where = root()
    return sorted(where.glob(f"{name}-*/")) if where else []


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False        # EBUSY: a process is still in it
    return True


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
