# SPDX-License-Identifier: BSD-3-Clause
"""What makes a container, without the packaging, of a guest that is a process: a network namespace of its own, which
it has in any case where its ports are devices, and a control group of its own, which holds it on its CPUs of the plan.
Pure; cgroup.py finds out what of it a machine has, and testbed.py makes it.

Control groups are of version 2 (kernel: admin-guide/cgroup-v2.rst). A cell has one with the name of its network
namespace, by which host.py finds what a killed run left. In it there is one for each of our programs, for the generator,
too: where the controller `cpu` is on, the kernel shares a CPU out between groups first, and sched_yield(2) gives way
within a group only, so programs that may share a CPU must not be set against each other as groups. For the same reason
nothing but `cpuset` is handed down to the inner groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.switches.base import Cgroup, Namespace, Step, inside

# "$0" is the group: whoever writes 0 there moves itself (cgroup-v2.rst, cgroup.procs)
ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True)
class Isolation:
    """What there is of it. By default nothing."""

    namespaces: bool = False
    cgroups: str = ""       # where version 2 is mounted; empty: nowhere, or we must not
    cpuset: bool = False    # has its root that controller?


WHOLE = Isolation(True, "/sys/fs/cgroup", True)


def steps(there: Isolation, cell: str, namespaces: Sequence[str], cpus: Mapping[str, Sequence[int]]) -> list[Step]:
    """Makes these network namespaces, and a control group for each program of `cpus` (by name). `cell`: the name of the
    cell's own group."""
    found: list[Step] = [Namespace(name) for name in namespaces] if there.namespaces else []
    if there.cgroups:
        found.append(Cgroup(_group(there, cell)))
        found += [Cgroup(_group(there, cell, name), tuple(sorted(set(mine))) if there.cpuset else ())
                  for name, mine in cpus.items()]
    return found


def entered(there: Isolation, cell: str, name: str, namespace: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The command of a program in its group and, unless that is empty, in its network namespace."""
    argv = inside(namespace, argv) if namespace and there.namespaces else tuple(argv)
    return ("sh", "-c", ENTER, _group(there, cell, name), *argv) if there.cgroups else argv


def _group(there: Isolation, *parts: str) -> str:
    return str(PurePosixPath(there.cgroups, *parts))
