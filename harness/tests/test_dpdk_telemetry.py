# SPDX-License-Identifier: BSD-3-Clause
"""The socket at which a DPDK program tells its counters: answers of any length and form, and none at all."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import telemetry
from harness.errors import CellFailed
from harness.tests.support import DPDK_STATS, dpdk_stats


def test_telemetry_gives_the_answer_of_the_command(telemetry_server: Callable[..., str]) -> None:
    asked: list[str] = []
    path = telemetry_server(lambda c: (asked.append(c), dpdk_stats(c))[1])
    assert telemetry.query(path, "/ethdev/stats,3") == DPDK_STATS
    assert asked == ["/ethdev/stats,3"]


def test_an_answer_as_long_as_the_greeting_allows_comes_through(telemetry_server: Callable[..., str]) -> None:
    long = {"/x": "y" * 16_000}
    assert telemetry.query(telemetry_server(lambda c: json.dumps(long).encode()), "/x") == long["/x"]


@pytest.mark.parametrize("answer", [b"hello", b"", b"[]", b"3", b"{}", b"null", b"\xff", None],
                         ids=["no JSON", "nothing", "a list", "a number", "no answer in it", "null", "no text",
                              "hangs up"])
def test_a_strange_answer_fails_the_cell_and_names_the_command(answer: bytes | None,
                                                               telemetry_server: Callable[..., str]) -> None:
    path = telemetry_server(lambda c: answer)
    with pytest.raises(CellFailed) as caught:
        telemetry.query(path, "/ethdev/stats,0")
    assert "/ethdev/stats,0" in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize("greeting", [b"hello", b"[]", b"{\"max_output_len\": \"x\"}", b"{\"max_output_len\": -5000}"])
def test_a_strange_greeting_fails_the_cell(greeting: bytes, telemetry_server: Callable[..., str]) -> None:
    with pytest.raises(CellFailed):
        telemetry.query(telemetry_server(dpdk_stats, greeting), "/ethdev/stats,0")


def test_a_server_that_hangs_fails_the_cell_in_time(telemetry_server: Callable[..., str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "TIMEOUT_S", 0.2)
    done = threading.Event()
    path = telemetry_server(lambda c: None if done.wait(5) else None)
    before = time.monotonic()
    with pytest.raises(CellFailed):
        telemetry.query(path, "/ethdev/stats,0")
    assert time.monotonic() - before < 2
    done.set()


def test_no_server_fails_the_cell(tmp_path: Path) -> None:
    with pytest.raises(CellFailed):
        telemetry.query(str(tmp_path / "none"), "/")
    with pytest.raises(CellFailed):
        telemetry.query("/" + "x" * 200, "/")
