# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's telemetry socket: statistics of any DPDK process as JSON (DPDK Programmer's Guide, Telemetry Library)."""

import json
import socket
from typing import Any

from harness.errors import CellFailed

TIMEOUT_S = 5.0


def query(path: str, command: str) -> Any:
    """The answer to one command, e.g. "/ethdev/stats,0". CellFailed if there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(path)
            greeting = json.loads(connection.recv(1 << 14))
            connection.send(command.encode())
            answer = json.loads(connection.recv(greeting.get("max_output_len", 1 << 14) + 1024))
            return answer[command.partition(",")[0]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CellFailed(f"DPDK telemetry {path} did not answer '{command}': {error}") from None
