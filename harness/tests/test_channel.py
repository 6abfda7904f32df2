# SPDX-License-Identifier: BSD-3-Clause
"""The control channel against peers that behave, misbehave, hang and die. The peer is a thread at the other end of a
socket pair, or of two pipes.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import channel
from harness.channel import Channel
from harness.errors import CellFailed

Peer = Callable[[socket.socket], None]


class Ends:
    """A channel and what its peer saw."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(10)
        self.dead = ""          # how the peer's process ended, if it has
        self.asked: list[float] = []
        self.channel = Channel("guest1", self.ours.fileno(), self.ours.fileno(), self._alive)
        self._threads: list[threading.Thread] = []

    def _alive(self, patience_s: float) -> None:
        self.asked.append(patience_s)
        if self.dead:
            raise CellFailed(self.dead)

    def says(self, *lines: bytes) -> None:
        """The peer says this without being asked."""
        for line in lines:
            self.theirs.sendall(line)

    def plays(self, peer: Peer) -> None:
        thread = threading.Thread(target=peer, args=(self.theirs,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10)
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    one = Ends()
    yield one
    one.close()


def read_request(peer: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        data += peer.recv(4096)
    request: dict[str, Any] = json.loads(data)
    return request


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def answers(make_reply: Callable[[dict[str, Any]], bytes]) -> Peer:
    def peer(connection: socket.socket) -> None:
        connection.sendall(make_reply(read_request(connection)))
    return peer


def failure(call: Callable[[], object], within_s: float = 5.0) -> str:
    """The error of a call that must fail, and soon."""
    started = time.monotonic()
    with pytest.raises(CellFailed) as caught:
        call()
    assert time.monotonic() - started < within_s
    assert "guest1" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# ---- peers that behave ---------------------------------------------------------------------------------------------

def test_a_request_is_one_line_and_its_reply_is_given(ends: Ends) -> None:
    seen: list[dict[str, Any]] = []

    def peer(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(line(id=seen[0]["id"], ok=True, ports=[1, 2]))
    ends.plays(peer)
    assert ends.channel.request("ports", 5, all=True)["ports"] == [1, 2]
    assert seen[0]["cmd"] == "ports" and seen[0]["all"] is True


def test_every_request_has_an_id_of_its_own(ends: Ends) -> None:
    ids = []
    for _ in range(3):
        ends.plays(answers(lambda q: (ids.append(q["id"]), line(id=q["id"], ok=True))[1]))
        ends.channel.request("x", 5)
    assert len(set(ids)) == 3


def test_events_and_old_replies_before_the_reply_are_passed_over(ends: Ends) -> None:
    ends.plays(answers(lambda q: line(event="ready") + line(id=q["id"] - 1, ok=True, old=1) + line(event="rate", pps=5)
                       + line(id=q["id"], ok=True, new=1)))
    assert "new" in ends.channel.request("x", 5)


def test_lines_may_come_in_pieces_and_several_at_once(ends: Ends) -> None:
    def peer(connection: socket.socket) -> None:
        data = line(event="one", n=1) + line(event="two", n=2) + line(event="three", text="\u00fc" * 50)
        for at in range(0, len(data), 7):
            connection.sendall(data[at:at + 7])
            time.sleep(0.0005)
    ends.plays(peer)
    assert ends.channel.event("one", 5)["n"] == 1
    assert ends.channel.event("two", 5)["n"] == 2
    assert ends.channel.event("three", 5)["text"] == "\u00fc" * 50


def test_a_reply_of_a_megabyte_comes_through(ends: Ends) -> None:
    bins = [[i, i + 1, 10**9] for i in range(60_000)]
    ends.plays(answers(lambda q: line(id=q["id"], ok=True, bins=bins)))
    assert ends.channel.request("read", 10)["bins"] == bins


def test_an_event_said_long_before_is_not_lost(ends: Ends) -> None:
    ends.says(line(event="ready", version="1"))
    assert ends.channel.event("ready", 5)["version"] == "1"


def test_two_pipes_do_as_well_as_a_socket() -> None:
    to_us, from_peer = os.pipe()
    to_peer, from_us = os.pipe()
    one = Channel("guest1", to_us, from_us, lambda patience_s: None)
    os.write(from_peer, line(id=1, ok=True, x=1))
    assert one.request("x", 5)["x"] == 1
    assert json.loads(os.read(to_peer, 100))["cmd"] == "x"
    for fd in (to_us, from_peer, to_peer, from_us):
        os.close(fd)


def test_one_request_goes_to_all_before_any_has_answered() -> None:
    """The first peer answers only once the second has been asked, and the second is the first to answer."""
    ends = [Ends(), Ends()]
    second_was_asked = threading.Event()

    def first(connection: socket.socket) -> None:
        asked = json.loads(connection.recv(4096))
        assert second_was_asked.wait(5)
        time.sleep(0.1)
        connection.sendall(line(id=asked["id"], ok=True))

    def second(connection: socket.socket) -> None:
        asked = json.loads(connection.recv(4096))
        connection.sendall(line(id=asked["id"], ok=True))
        second_was_asked.set()
    for one, peer in zip(ends, (first, second)):
        one.plays(peer)
    at = channel.together([one.channel for one in ends], "send", 10)
    assert 0.05 < at[0] - at[1] < 5
    for one in ends:
        one.close()


def test_of_several_the_one_that_hangs_and_the_one_that_dies_are_named(ends: Ends) -> None:
    other = Ends()
    other.channel.who = "guest2"
    other.plays(answers(lambda q: line(id=q["id"], ok=True)))
    both = [other.channel, ends.channel]
    said = failure(lambda: channel.together(both, "send", 0.3), within_s=2)     # type: ignore[arg-type,return-value]
    assert "guest1 hangs" in said and "'send'" in said and "0.3 s" in said
    ends.dead = "guest1 ended with SIGSEGV"
    assert "SIGSEGV" in failure(lambda: channel.together([ends.channel], "send", 0.3), within_s=2)  # type: ignore
    other.theirs.shutdown(socket.SHUT_RDWR)
    other.close()


# ---- peers that misbehave ------------------------------------------------------------------------------------------

def test_a_refusal_is_an_error_with_the_reason(ends: Ends) -> None:
    ends.plays(answers(lambda q: line(id=q["id"], ok=False, error="frame_bytes: allowed is 64 to 1518")))
    said = failure(lambda: ends.channel.request("trial", 5))
    assert "refused 'trial'" in said and "allowed is 64 to 1518" in said


@pytest.mark.parametrize("reply", [{}, {"ok": None}, {"ok": 0}])
def test_a_reply_that_is_not_ok_is_a_refusal_even_without_a_reason(ends: Ends, reply: dict[str, Any]) -> None:
    ends.plays(answers(lambda q: line(id=q["id"], **reply)))
    assert "refused 'x'" in failure(lambda: ends.channel.request("x", 5))


@pytest.mark.parametrize("garbage", [b"EAL: hello\n", b"{\n", b"\n", b"\xff\xfe\n", b"{'id': 1}\n", b'{"id": 1} {}\n',
                                     b"\0\n",
                                     b"[" * 50_000 + b"\n"])
def test_a_line_that_is_no_json_is_an_error_that_shows_it(ends: Ends, garbage: bytes) -> None:
    ends.says(garbage)
    assert "no JSON" in failure(lambda: ends.channel.request("x", 5))


@pytest.mark.parametrize("garbage", [b"[]\n", b"3\n", b'"id"\n', b"null\n"])
def test_a_line_that_is_no_object_is_an_error_that_shows_it(ends: Ends, garbage: bytes) -> None:
    ends.says(garbage)
    said = failure(lambda: ends.channel.request("x", 5))
    assert "no JSON object" in said and garbage.decode().strip() in said


def test_a_very_long_line_is_an_error_and_not_all_of_memory(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LINE_MAX", 100_000)

    def peer(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(b"x" * 4096)
        except OSError:
            pass
    ends.plays(peer)
    assert "100000" in failure(lambda: ends.channel.event("ready", 10))
    ends.ours.shutdown(socket.SHUT_RDWR)


def test_garbage_of_any_length_is_shown_in_a_short_line(ends: Ends) -> None:
    ends.says(b"x" * 50_000 + b"\n")
    assert len(failure(lambda: ends.channel.event("ready", 5))) < 300


@pytest.mark.parametrize("event", ["failed", "exited"])
def test_a_peer_that_reports_its_end_fails_the_request(ends: Ends, event: str) -> None:
    ends.says(line(event=event, error="port 0: no link"))
    said = failure(lambda: ends.channel.request("x", 5))
    assert event in said and "no link" in said


@pytest.mark.parametrize("end, words", [({"status": 2}, "ended with status 2"),
                                        ({"signal": 9}, "was killed by signal 9")])
def test_a_vm_whose_program_ends_says_how(ends: Ends, end: dict[str, int], words: str) -> None:
    ends.says(line(event="exited", **end))
    assert failure(lambda: ends.channel.event("ready", 5)) == f"guest1 has lost its program, which {words}"


# ---- peers that hang or die ----------------------------------------------------------------------------------------

def test_a_peer_that_hangs_is_named_within_the_time_out(ends: Ends) -> None:
    started = time.monotonic()
    said = failure(lambda: ends.channel.request("trial", 0.3), within_s=2)
    assert time.monotonic() - started >= 0.3
    assert "hangs" in said and "trial" in said and "0.3 s" in said


def test_events_do_not_prolong_the_time_out(ends: Ends) -> None:
    done = threading.Event()

    def chatter(connection: socket.socket) -> None:
        while not done.is_set():
            connection.sendall(line(event="rate"))
            time.sleep(0.02)
    ends.plays(chatter)
    assert "hangs" in failure(lambda: ends.channel.request("trial", 0.4), within_s=2)
    done.set()


def test_half_a_line_is_not_an_answer(ends: Ends) -> None:
    ends.says(b'{"id": 1, "ok": true}')
    assert "hangs" in failure(lambda: ends.channel.request("x", 0.2), within_s=2)


def test_a_peer_that_closes_its_channel_is_an_error(ends: Ends) -> None:
    ends.theirs.close()
    said = failure(lambda: ends.channel.event("ready", 5), within_s=2)
    assert "closed" in said and "ready" in said


def test_a_request_to_a_peer_that_is_gone_is_an_error_not_a_signal(ends: Ends) -> None:
    ends.theirs.close()
    assert "control channel" in failure(lambda: ends.channel.request("x", 5), within_s=2)


def test_how_a_process_ended_says_more_than_its_closed_channel(ends: Ends) -> None:
    ends.dead = "guest1 was killed by signal SIGSEGV"
    ends.theirs.close()
    assert "SIGSEGV" in failure(lambda: ends.channel.event("ready", 5))
    assert "SIGSEGV" in failure(lambda: ends.channel.request("x", 5))


def test_a_process_that_dies_silently_is_noticed_long_before_the_time_out(ends: Ends) -> None:
    """A VM's socket stays open with QEMU while the process is gone, and the other way round."""
    ends.dead = "guest1 ended with status 1"
    assert "status 1" in failure(lambda: ends.channel.request("trial", 60), within_s=3)
