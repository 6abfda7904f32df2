# SPDX-License-Identifier: BSD-3-Clause
"""The control channel to our C programs: one JSON object a line (pktgen/control.h), over pipes or a unix socket."""

import json
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from harness.errors import CellFailed

LINE_MAX = 64 << 20     # bytes of one reply: a histogram is some 100 kB
CHECK_EVERY_S = 0.5
EXIT_S = 1.0            # a peer that closes its channel is about to end, and its exit says more


class _Message(dict[str, Any]):
    """An object that a peer sent. A key that is not there fails the cell: the peer is of another version."""

    def __init__(self, who: str, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self._who = who

    def __missing__(self, key: str) -> Any:
        raise CellFailed(f"{self._who} sent a message without '{key}': is it of another version? Run `make setup`")


class Channel:
    """One peer's channel. `who`, `log` and `last_words` are for errors; `alive(patience_s)` raises if the peer's
    process has ended by then."""

    def __init__(self, who: str, read_fd: int, write_fd: int, alive: Callable[[float], None], log: str = "",
                 last_words: Callable[[], str] = lambda: "") -> None:
        self.who = who
        self._last_words = last_words
        self._see = f"; see {log}" if log else ""
        self.read_fd = read_fd
        self._write_fd = write_fd
        self._alive = alive
        self._buffer = b""
        self._next_id = 0

    def request(self, cmd: str, timeout_s: float, **arguments: Any) -> Mapping[str, Any]:
        """Send a request and give its reply. CellFailed on a refusal, a time-out, or a dead peer."""
        self.post(cmd, **arguments)
        return self.answer(cmd, timeout_s)

    def post(self, cmd: str, **arguments: Any) -> None:
        """Send a request; answer() gives its reply."""
        self._next_id += 1
        line = json.dumps({"id": self._next_id, "cmd": cmd, **arguments}) + "\n"
        try:
            os.write(self._write_fd, line.encode())
        except OSError as error:
            self._alive(EXIT_S)
            raise CellFailed(f"{self.who}: control channel broken: {error}") from None

    def answer(self, cmd: str, timeout_s: float) -> Mapping[str, Any]:
        """The reply to what was posted last."""
        reply = self._next(timeout_s, f"answer to '{cmd}'", lambda o: o.get("id") == self._next_id)
        if not reply.get("ok"):
            raise CellFailed(f"{self.who} refused '{cmd}': {reply.get('error', 'no reason given')}")
        return reply

    def hangs(self, what: str, timeout_s: float) -> NoReturn:
        """Fail for what has not come in time; for its process, if that has ended."""
        self._alive(0)
        raise CellFailed(f"{self.who} hangs: no {what} within {timeout_s:g} s{self._last_words()}{self._see}")

    def event(self, name: str, timeout_s: float) -> Mapping[str, Any]:
        """Wait for an event of the peer."""
        return self._next(timeout_s, f"event '{name}'", lambda o: o.get("event") == name)

    def _next(self, timeout_s: float, what: str, wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._line(deadline, timeout_s, what)
            try:
                message = json.loads(line, object_hook=lambda o: _Message(self.who, o))
            except (ValueError, RecursionError):
                raise CellFailed(f"{self.who} sent a line that is no JSON: {line[:80]!r}") from None
            if not isinstance(message, dict):
                raise CellFailed(f"{self.who} sent a line that is no JSON object: {line[:80]!r}")
            if message.get("event") in ("failed", "exited"):
                self._alive(EXIT_S)
                raise CellFailed(f"{self.who} {_end(message)}{self._last_words()}{self._see}")
            if wanted(message):
                return message

    def _line(self, deadline: float, timeout_s: float, what: str) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_MAX:
                raise CellFailed(f"{self.who} sent a line of over {LINE_MAX} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                self.hangs(what, timeout_s)
            if select.select([self.read_fd], [], [], min(left, CHECK_EVERY_S))[0]:
                data = self._read()
                if not data:
                    self._alive(EXIT_S)
                    raise CellFailed(f"{self.who} closed its control channel before {what}{self._see}")
                self._buffer += data
            else:
                self._alive(0)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _read(self) -> bytes:
        try:
            return os.read(self.read_fd, 1 << 20)
        except ConnectionError:
            return b""


def _end(message: Mapping[str, Any]) -> str:
    """What a peer says of its end. Of a program in a VM its init knows only how it ended (vnf/guest/exec.c)."""
    if message["event"] == "exited" and ("status" in message or "signal" in message):
        how = (f"was killed by signal {message['signal']}" if "signal" in message
               else f"ended with status {message['status']}")
        return f"has lost its program, which {how}"
    return f"{message['event']}: {message.get('error', dict(message))}"


def together(channels: Sequence[Channel], cmd: str, timeout_s: float, meanwhile: Callable[[], None] = lambda: None
             ) -> list[float]:
    """Send one request to all, and do `meanwhile`, before any is waited for. When each has answered (time.monotonic());
    fails as request() does."""
    for channel in channels:
        channel.post(cmd)
    meanwhile()
    waiting = {channel.read_fd: channel for channel in channels}
    answered: dict[Channel, float] = {}
    deadline = time.monotonic() + timeout_s
    while waiting:
        heard = select.select(list(waiting), [], [], max(0.0, deadline - time.monotonic()))[0]
        if not heard:
            next(iter(waiting.values())).hangs(f"answer to '{cmd}'", timeout_s)
        for channel in map(waiting.pop, heard):
            channel.answer(cmd, timeout_s)
            answered[channel] = time.monotonic()
    return [answered[channel] for channel in channels]
