# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor (docs/interop/qmp-spec.txt): which thread is which virtual CPU, and putting each on its CPU."""

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from harness.errors import CellFailed

ANSWER_S = 10.0
LINE_MAX = 1 << 20


class Qmp:
    """A connection for a few commands; a context manager. CellFailed, which names the VM, for whatever goes wrong."""

    def __init__(self, who: str, path: str) -> None:
        self.who = who
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        self._buffer = b""
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise CellFailed(f"{who}: QEMU's monitor {path}: {error}") from None

    def __enter__(self) -> "Qmp":
        try:
            self._message()                     # the greeting
            self.command("qmp_capabilities")    # without it no other command is taken
        except CellFailed:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def command(self, name: str, **arguments: Any) -> Any:
        """What the command returns; events in between are passed over."""
        try:
            self._socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        except ConnectionError:
            pass                                # reading says so, and what came before
        except OSError as error:
            raise CellFailed(f"{self.who}: QEMU's monitor took no '{name}': {error}") from None
        while "event" in (message := self._message()):
            pass
        if "error" in message:
            raise CellFailed(f"{self.who}: QEMU refused '{name}': {message['error'].get('desc', message['error'])}")
        return message.get("return")

    def _message(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            except OSError as error:
                raise CellFailed(f"{self.who}: QEMU's monitor does not answer: {error}") from None
            if not data or len(self._buffer) > LINE_MAX:
                raise CellFailed(f"{self.who}: QEMU's monitor ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise CellFailed(f"{self.who}: QEMU's monitor sent no JSON object: {line[:80]!r}")
        return message


def pin(who: str, path: str, pid: int, control_cpu: int, vcpu_cpus: Sequence[int]) -> None:
    """Every thread of QEMU (process `pid`) to the control CPU, but each virtual CPU to its own. Threads that it starts
    later stay with the one that started them."""
    with Qmp(who, path) as monitor:
        try:
            threads = {int(cpu["thread-id"]): vcpu_cpus[int(cpu["cpu-index"])]
                       for cpu in monitor.command("query-cpus-fast")}
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise CellFailed(f"{who}: QEMU's monitor told no threads of virtual CPUs: {error!r}") from None
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):
        try:
            os.sched_setaffinity(thread, {threads.get(thread, control_cpu)})
        except ProcessLookupError:
            if thread in threads:
                raise CellFailed(f"{who}: virtual CPU's thread {thread} is gone") from None
        except OSError as error:
            raise CellFailed(f"{who}: thread {thread} cannot be put on CPU {threads.get(thread, control_cpu)}: {error}"
                             ) from None
