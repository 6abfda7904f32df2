# SPDX-License-Identifier: BSD-3-Clause
"""What the whole-program tests of pktgen, meter and vnf share: running them, pcap files, and our frames as a
receiver that knows only the documentation sees them.

VSWBENCH_BUILD names the build folder (default: build/ of this repository), VSW_TEST_SEED repeats a run.
"""

import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VSWBENCH_BUILD", REPOSITORY / "build"))
SEED = int(os.environ.get("VSW_TEST_SEED") or str(time.time_ns() % 1_000_000_000), 0)
START_S = 20.0      # sanitizers are slow to start
REPLY_S = 20.0
END_S = 2.0         # the promise: end of input ends a program within this

os.environ.setdefault("TSAN_OPTIONS", f"history_size=7:suppressions={Path(__file__).with_name('tsan.supp')}")


def seeded() -> random.Random:
    """A generator whose seed stands in the output of a test that fails."""
    print(f"VSW_TEST_SEED={SEED}")
    return random.Random(SEED)


def lcores(workers: int) -> str:
    """The main lcore and `workers` more, all of them on any of our CPUs."""
    cpus = ",".join(str(c) for c in sorted(os.sched_getaffinity(0)))
    return ",".join(f"{i}@({cpus})" for i in range(workers + 1))


def command(name: str, *, vdevs: Iterable[str] = (), own: Iterable[str] = (), workers: int = 1) -> list[str]:
    program = BUILD / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    eal = ["--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry", f"--file-prefix=test{os.getpid()}",
           "--log-level=lib.eal:warning", "--lcores", lcores(workers)]
    for vdev in vdevs:
        eal += ["--vdev", vdev]
    return [str(program), *eal, "--", *own]


_runtime = tempfile.TemporaryDirectory(prefix="vswbench-tests-")


def environment() -> dict[str, str]:
    """DPDK's run-time folders in a folder of the tests, which goes away with them."""
    return dict(os.environ, RUNTIME_DIRECTORY=_runtime.name)


class Program:
    """One of our programs under test; leaving the `with` block kills it if it still runs."""

    def __init__(self, name: str, *own: str, vdevs: Iterable[str] = (), workers: int = 1, idle: str = "sleep",
                 over: str = "pipe") -> None:
        self._stderr = tempfile.TemporaryFile()
        argv = command(name, vdevs=vdevs, own=["--idle", idle, *own], workers=workers)
        self._sockets: list[socket.socket] = []
        if over == "socket":
            ours, theirs = socket.socketpair()
            self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=self._stderr, env=environment())
            theirs.close()
            self._sockets = [ours]
            self._in = self._out = ours.fileno()
        else:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
                                            bufsize=0, env=environment())
            self._in = self.process.stdin.fileno()
            self._out = self.process.stdout.fileno()
        self._buffer = b""
        self._next_id = 0
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> "Program":
        try:
            self.ready = self.reply(START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close_input()
        self.close_output()
        print(self.stderr(), file=sys.stderr)
        self._stderr.close()

    def stderr(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def send(self, data: bytes, timeout_s: float = REPLY_S) -> None:
        deadline = time.monotonic() + timeout_s
        while data:
            assert select.select([], [self._in], [], max(0, deadline - time.monotonic()))[1], "does not read its input"
            data = data[os.write(self._in, data[:4096]):]

    def reply(self, timeout_s: float = REPLY_S) -> dict[str, Any]:
        """The next line that it wrote."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = max(0, deadline - time.monotonic())
            if not select.select([self._out], [], [], left)[0]:
                raise TimeoutError(f"no reply within {timeout_s} s")
            data = os.read(self._out, 1 << 20)
            assert data, f"ended with {self.process.wait(END_S)}: {self.stderr()}"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def post(self, cmd: str, **arguments: Any) -> int:
        self._next_id += 1
        self.send(json.dumps({"id": self._next_id, "cmd": cmd, **arguments}).encode() + b"\n")
        return self._next_id

    def ask(self, cmd: str, timeout_s: float = REPLY_S, **arguments: Any) -> dict[str, Any]:
        """The reply to one request, whether it is ok or not."""
        number = self.post(cmd, **arguments)
        reply = self.reply(timeout_s)
        assert reply.get("id") == number, reply
        return reply

    def do(self, cmd: str, timeout_s: float = REPLY_S, **arguments: Any) -> dict[str, Any]:
        reply = self.ask(cmd, timeout_s, **arguments)
        assert reply["ok"] is True, reply
        return reply

    def refused(self, cmd: str, **arguments: Any) -> str:
        """The sentence with which it refuses."""
        reply = self.ask(cmd, **arguments)
        assert reply["ok"] is False and reply["error"], reply
        return reply["error"]

    def close_input(self) -> None:
        """End of input."""
        if self._sockets:
            try:
                self._sockets[0].shutdown(socket.SHUT_WR)
            except OSError:
                pass
        elif self.process.stdin:
            self.process.stdin.close()

    def close_output(self) -> None:
        """Nobody listens any more."""
        if self._sockets:
            self._sockets.pop().close()
        elif self.process.stdout:
            self.process.stdout.close()

    def status(self, timeout_s: float = END_S) -> int:
        """Its exit status; fails if it still runs after timeout_s."""
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Ends it as the harness does."""
        self.close_input()
        assert self.status(START_S) == 0, self.stderr()


def trial(program: Program, *streams: dict[str, Any], epoch: int = 1, duration_s: float = 0.05,
          **more: Any) -> dict[str, Any]:
    return program.do("trial", epoch=epoch, duration_s=duration_s, streams=list(streams), **more)


def trial_that_sent(program: Program, at_least: int, *, epoch: int, **request: Any) -> dict[str, Any]:
    """A trial in which every stream sent so many frames: a worker that a busy machine does not let run sends none."""
    for attempt in range(8):
        if request.get("flow_records"):
            Path(request["flow_records"]).unlink(missing_ok=True)
        reply = program.do("trial", epoch=(epoch + 8191 * attempt) % 65536, **request)
        if all(stream["sent_count"] >= at_least for stream in reply["streams"]):
            return reply | {"epoch": (epoch + 8191 * attempt) % 65536}
    pytest.fail(f"the workers did not come to run: {reply}")


# pcap files, little-endian, Ethernet, microseconds

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def pcap_record(frame: bytes, wire_bytes: int | None = None) -> bytes:
    """One frame; `wire_bytes` more than its length says that the capture cut it off."""
    return struct.pack("<IIII", 0, 0, len(frame), wire_bytes or len(frame)) + frame


def write_pcap(path: Path, frames: Iterable[bytes]) -> Path:
    path.write_bytes(PCAP_HEADER + b"".join(pcap_record(f) for f in frames))
    return path


def read_pcap(path: Path) -> list[bytes]:
    """All frames, read by scapy."""
    from scapy.utils import RawPcapReader
    reader = RawPcapReader(str(path))
    try:
        return [bytes(data) for data, _ in reader]
    finally:
        reader.close()


# our stamp, from the table in stamp.h

STAMP_OFFSET = 42
MAGIC = 0x5657
LEARNING = 255      # stream of frames that only teach a switch


@dataclass(frozen=True)
class Stamp:
    epoch: int
    stream: int
    flow: int
    seq: int
    time_half: int = 0      # half TSC ticks, 36 bits
    late: int = 0           # 12 bits
    magic: int = MAGIC

    def pack(self) -> bytes:
        return (struct.pack("=HHII", self.magic, self.epoch, self.stream << 24 | self.flow, self.seq & 0xFFFFFFFF) +
                (self.late << 36 | self.time_half).to_bytes(6, "little"))

    @classmethod
    def unpack(cls, frame: bytes, offset: int = STAMP_OFFSET) -> "Stamp":
        magic, epoch, flow, seq, low, high = struct.unpack_from("=HHIIIH", frame, offset)
        time = high << 32 | low
        return cls(epoch, flow >> 24, flow & 0xFFFFFF, seq, time & (1 << 36) - 1, time >> 36, magic)


def stamped(stamp: Stamp, frame_bytes: int = 64) -> bytes:
    """A frame that carries `stamp`; its headers are of no interest to an account."""
    return b"\x02" * STAMP_OFFSET + stamp.pack() + bytes(frame_bytes - 4 - STAMP_OFFSET - 18)


@dataclass
class Ledger:
    """What an account must say, by remembering every number of every flow (traffic shorter than the window)."""

    epoch: int
    stream: int
    flows: int
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    stale: int = 0
    foreign: int = 0
    learning: int = 0
    extent: int = 0
    bytes: int = 0
    _seen: dict[int, set[int]] = field(default_factory=dict)
    _order: dict[int, list[int]] = field(default_factory=dict)      # of arrival, each number once

    def add(self, frame: bytes) -> None:
        stamp = Stamp.unpack(frame) if len(frame) >= STAMP_OFFSET + 18 else None
        if stamp is None or stamp.magic != MAGIC:
            self.foreign += 1
        elif stamp.stream == LEARNING:
            self.learning += 1
        elif stamp.epoch != self.epoch:
            self.stale += 1
        elif stamp.stream != self.stream or stamp.flow >= self.flows:
            self.foreign += 1
        else:
            self._add_ours(stamp, len(frame))

    def _add_ours(self, stamp: Stamp, length: int) -> None:
        seen = self._seen.setdefault(stamp.flow, set())
        self.bytes += length
        if stamp.seq in seen:
            self.duplicates += 1
            return
        self.received += 1
        if seen and stamp.seq < max(seen):
            self.reordered += 1
            order = self._order[stamp.flow]
            first = next(i for i, seq in enumerate(order) if seq > stamp.seq)   # RFC 4737 4.2.1
            self.extent = max(self.extent, len(order) - first)
        seen.add(stamp.seq)
        self._order.setdefault(stamp.flow, []).append(stamp.seq)

    def check(self, meter: dict[str, Any]) -> None:
        want = {"received_count": self.received, "duplicate_count": self.duplicates, "reordered_count": self.reordered,
                "stale_count": self.stale, "foreign_count": self.foreign,
                "learning_count": self.learning, "received_bytes": self.bytes,
                "reorder_extent_max": self.extent, "old_count": 0}
        assert {k: meter[k] for k in want} == want
        check_latency(meter)


def check_latency(meter: dict[str, Any]) -> None:
    """Every frame of ours is in the histogram once, and its parts agree."""
    frames = meter["received_count"] + meter["duplicate_count"]
    latency = meter["latency"]
    if frames == 0:
        assert latency is None
        return
    bins = latency["bins"]
    assert latency["count"] == frames
    assert sum(count for _, _, count in bins) + latency["overflow_count"] == frames
    assert all(low < high and count > 0 for low, high, count in bins)
    assert all(a[1] <= b[0] for a, b in zip(bins, bins[1:]))
    if latency["overflow_count"] == 0:
        assert bins[0][0] <= latency["min_ns"] < bins[0][1]
        assert bins[-1][0] <= latency["max_ns"] < bins[-1][1]
        assert sum(low * n for low, _, n in bins) <= latency["sum_ns"] < sum(high * n for _, high, n in bins)
