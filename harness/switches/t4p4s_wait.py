# SPDX-License-Identifier: BSD-3-Clause
"""t4p4s_wait.py PORT [PIDFILE]: wait until the controller of t4p4s listens at that TCP port of this network namespace;
it is not connected to, since it would take that for a switch. With PIDFILE: until the switch with this pid has
connected, and then give it the priority that this program has. t4p4s.py writes it into the run's folder, and runs it.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ESTABLISHED, LISTEN = "01", "0A"        # include/net/tcp_states.h, as /proc/net/tcp writes them (proc(5))
TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.002


def is_there(port: int, state: str) -> bool:
    """A socket at that port, in that state."""
    sockets = [line.split()[1:4] for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(int(local.rpartition(":")[2], 16) == port and its == state for local, _, its in sockets)


def calm(pid: str) -> None:
    """Priorities are those of threads."""
    for thread in Path("/proc", pid, "task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), os.getpriority(os.PRIO_PROCESS, 0))


def main(port: int, pidfiles: Sequence[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_there(port, ESTABLISHED if pidfiles else LISTEN):
        if time.monotonic() > deadline:
            who = "switch has connected" if pidfiles else "controller listens"
            sys.exit(f"no {who} at TCP port {port} after {TIMEOUT_S:g} s")
        time.sleep(LOOK_EVERY_S)
    for path in pidfiles:
        calm(Path(path).read_text().strip())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
