# SPDX-License-Identifier: BSD-3-Clause
"""t4p4s_listens.py PORT: wait until somebody in this network namespace listens at that TCP port, without a connection,
which the controller of t4p4s would take for a switch. t4p4s.py writes it into the run's folder, and runs it there."""

import sys
import time

LISTEN = "0A"           # TCP_LISTEN (include/net/tcp_states.h), as /proc/net/tcp writes it (proc(5))
TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.01


def listens(port: int) -> bool:
    with open("/proc/self/net/tcp", encoding="ascii") as file:
        sockets = [line.split()[1:4] for line in file.readlines()[1:]]
    return any(int(local.rpartition(":")[2], 16) == port and state == LISTEN for local, _, state in sockets)


if __name__ == "__main__":
    deadline = time.monotonic() + TIMEOUT_S
    while not listens(int(sys.argv[1])):
        if time.monotonic() > deadline:
            sys.exit(f"nobody listens at TCP port {sys.argv[1]} after {TIMEOUT_S:g} s")
        time.sleep(LOOK_EVERY_S)
