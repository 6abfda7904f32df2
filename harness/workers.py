# SPDX-License-Identifier: BSD-3-Clause
"""Worker threads of the switch, as the kernel sees them (proc(5)): those that may run on its CPUs only, whatever the
switch calls them. Linux only; threads of other users need root.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from harness.errors import CellFailed


def find(pids: Iterable[int], cpus: Collection[int]) -> list[int]:
    """Thread ids, in order. A thread that ends meanwhile is none."""
    found = []
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
            try:
                if os.sched_getaffinity(int(task.name)) <= set(cpus):
                    found.append(int(task.name))
            except ProcessLookupError:
                continue
    return sorted(found)


def running_ns(threads: Iterable[int]) -> int:
    """The time that they have run, all together, since their start. The kernel brings it up to date at every tick, so
    it may be some milliseconds old. CellFailed if one is gone, or the kernel does not tell."""
    total = 0
    for thread in threads:
        path = Path(f"/proc/{thread}/schedstat")
        try:
            total += int(path.read_text().split()[0])      # time on the CPU, waiting for one, number of time slices
        except (OSError, ValueError, IndexError) as error:
            raise CellFailed(f"the time of a worker thread cannot be read from {path}: {error}") from None
    return total
