# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of several files."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import host
from harness.switches import SWITCHES
from harness.switches.base import prefix_variable
from harness.tests.support import DPDK_GREETING


@pytest.fixture(autouse=True)
def no_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of results is on the disk before the next trial starts (record.py), for which tests would wait longer than
    for all else. What a killed process has written is there without that."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(autouse=True, scope="session")
def no_switches_of_ones_own() -> Iterator[None]:
    """Where whoever runs the tests has switches is for real ones only (support.INSTALLED): plans differ by it."""
    with pytest.MonkeyPatch.context() as patched:
        for driver in SWITCHES:
            patched.delenv(prefix_variable(driver.name), raising=False)
        yield


@pytest.fixture
def runtime(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the lock and the folders of runs lie: the test's own instead of /run."""
    root = short_path / "runtime"
    root.mkdir()
    monkeypatch.setattr(host, "runtime_root", lambda: root)
    monkeypatch.setattr(host, "lock_path", lambda: root / "vswbench.lock")
    return root


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder in whose subfolders a unix socket still fits, as that of a run is."""
    with tempfile.TemporaryDirectory(prefix="vsw", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def telemetry_server(short_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a server that says a greeting and answers each command with answer(command); gives its path."""
    running: list[tuple[socket.socket, threading.Thread]] = []

    def start(answer: Callable[[str], bytes | None], greeting: bytes = json.dumps(DPDK_GREETING).encode(),
              path: Path = short_path / "t.sock") -> str:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        connection.send(greeting)
                        while (command := connection.recv(1024)):
                            if (reply := answer(command.decode())) is None:
                                break
                            connection.send(reply)
                    except OSError:
                        pass
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        running.append((listener, thread))
        return str(path)
    yield start
    for listener, thread in running:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
