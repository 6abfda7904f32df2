# SPDX-License-Identifier: BSD-3-Clause
"""Captures, read back by scapy, tcpdump and tshark, against a model of which frames are kept, from when, how much."""

import json
import shutil
import stat
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from coretest import BUILD, environment, seeded
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils import RawPcapNgReader, RawPcapReader

FRAME_MAX = 9212
MS = 10**6


@dataclass
class Capture:
    """A request of test_capture.c."""

    first: int = 1000
    every: int = 1
    filter: str | None = None
    snap_bytes: int = 65535
    parts: int = 1
    memory_max_bytes: int = 64 << 20
    discard: bool = False
    bursts: list[tuple[int, int, int, int, list[bytes]]] = field(default_factory=list)

    def run(self, path: Path, prefix: tuple[str, ...] = ()) -> dict[str, Any]:
        program = BUILD / "test_capture"
        if not program.exists():
            pytest.skip(f"{program} is not built")
        request = vars(self) | {"bursts": [(*b[:4], [f.hex() for f in b[4]]) for b in self.bursts]}
        # SIGXFSZ stays ignored, as Python has it: the program is to see the error, not the signal
        done = subprocess.run([*prefix, program, path], input=json.dumps(request), capture_output=True, text=True,
                              timeout=60, env=environment(), restore_signals=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def model(self, reply: dict[str, Any], matches: Callable[[bytes], bool]) -> list[tuple[int, int, bytes, int]]:
        """The frames of the file: (port, time in ns, bytes, original length)."""
        kept = []
        matched = [0] * self.parts
        for number, (part, port, ticks, _, frames) in enumerate(self.bursts):
            for frame in frames:
                if not matches(frame):
                    continue
                if matched[part] % self.every == 0:
                    kept.append((ticks, part, number, port, frame))
                matched[part] += 1
        kept.sort(key=lambda k: k[:3])
        return [(port, reply["start_real_ns"] + (ticks * reply["clock_multiplier"] + (1 << 31) >> 32),
                 frame[:min(self.snap_bytes, FRAME_MAX)], len(frame)) for ticks, _, _, port, frame in kept[:self.first]]


def random_frame(rng) -> bytes:
    kind = rng.randrange(6)
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    ip = ether / IP(src=f"198.18.0.{rng.randrange(4)}", dst="198.19.0.1")
    payload = rng.randbytes(rng.choice((0, 1, 18, 100, 1400, rng.randrange(1400))))
    if kind == 0:
        return bytes(ether / ARP())
    if kind == 1:
        return bytes(ip / TCP(sport=1, dport=80) / payload)
    if kind == 2:
        return bytes(ether / Dot1Q(vlan=7) / IP() / UDP(sport=1, dport=2) / payload)
    if kind == 3:
        return rng.randbytes(rng.choice((1, 13, 14, 15, 60, 1514)))
    return bytes(ip / UDP(sport=1000 + rng.randrange(4), dport=9) / payload)


def random_bursts(rng, parts: int = 1, ports: int = 1, count: int = 60) -> list[tuple]:
    ticks = [0] * parts
    bursts = []
    for _ in range(count):
        part = rng.randrange(parts)
        ticks[part] += rng.choice((0, 1, rng.randrange(10**5), rng.randrange(10**10)))
        bursts.append((part, rng.randrange(ports), ticks[part], rng.choice((0, 0, 1, 20, 64, 1000)),
                       [random_frame(rng) for _ in range(rng.randrange(33))]))
    return bursts


def read_by_scapy(path: Path) -> list[tuple[int, bytes, int]]:
    """(time in ns, bytes, original length) of each frame."""
    frames = []
    with closing(RawPcapNgReader(str(path))) as reader:
        for data, meta in reader:
            assert meta.linktype == 1 and meta.tsresol == 10**9
            frames.append((meta.tshigh << 32 | meta.tslow, bytes(data), meta.wirelen))
    return frames


def read_by_tcpdump(path: Path) -> list[tuple[int, bytes, int]]:
    """tcpdump's own copy, a pcap file with nanoseconds."""
    copy = path.with_suffix(".copy")
    # -Z root: as root it would become somebody who may not write here
    done = subprocess.run(["tcpdump", "-r", path, "--time-stamp-precision=nano", "-Z", "root", "-w", copy],
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    with closing(RawPcapReader(str(copy))) as reader:
        assert reader.nano
        return [(meta.sec * 10**9 + meta.usec, bytes(data), meta.wirelen) for data, meta in reader]


def nothing(tmp_path: Path) -> bool:
    return not any(tmp_path.iterdir())


def everything(_: bytes) -> bool:
    return True


# which frames

@pytest.mark.parametrize("first, every, parts, ports, snap_bytes", (
    (1, 1, 1, 1, 65535), (100, 1, 1, 1, 65535), (10**4, 1, 1, 3, 9216), (10**4, 7, 1, 2, 65535), (20, 3, 1, 1, 64),
    (10**4, 1, 1, 1, 1), (10**4, 1, 4, 2, 60), (100, 1, 3, 3, 128), (50, 5, 2, 2, 1514), (10**4, 10**6, 1, 1, 64)))
def test_frames_are_those_of_the_model(tmp_path, first, every, parts, ports, snap_bytes):
    rng = seeded()
    capture = Capture(first, every, None, snap_bytes, parts, 1 << 30, bursts=random_bursts(rng, parts, ports))
    path = tmp_path / "a.pcapng"
    reply = capture.run(path)
    want = capture.model(reply, everything)
    got = read_by_scapy(path)
    assert got == [frame[1:] for frame in want]
    assert reply["captured_count"] == len(want) > 0
    assert [t for t, _, _ in got] == sorted(t for t, _, _ in got)
    assert list(tmp_path.iterdir()) == [path]


def is_udp(frame: bytes) -> bool:
    """As pcap-filter(7) says it: IPv4 by its EtherType, whether a fragment or not, no VLAN looked into."""
    return len(frame) >= 24 and frame[12:14] == b"\x08\0" and frame[23] == 17


FILTERS = {
    "udp": is_udp,
    "arp": lambda f: f[12:14] == b"\x08\x06",
    "greater 500": lambda f: len(f) >= 500,
    "src host 198.18.0.2": lambda f: f[12:14] == b"\x08\0" and f[26:30] == bytes((198, 18, 0, 2)),
    "udp src port 1001": lambda f: is_udp(f) and f[34:36] == (1001).to_bytes(2, "big"),
    "ether[6] = 2 and not tcp": lambda f: f[6] == 2 and not (f[12:14] == b"\x08\0" and f[23] == 6),
    "": everything,
}


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("every, snap_bytes", ((1, 65535), (3, 20)))
def test_filters(tmp_path, text, every, snap_bytes):
    """The filter sees whole frames, of several segments too, however little is kept of them."""
    rng = seeded()
    bursts = [(part, port, ticks, segment, [f for f in frames if len(f) >= 42])
              for part, port, ticks, segment, frames in random_bursts(rng)]
    capture = Capture(200, every, text, snap_bytes, bursts=bursts)
    reply = capture.run(tmp_path / "a.pcapng")
    want = capture.model(reply, FILTERS[text])
    assert len(want) > 2
    assert read_by_scapy(tmp_path / "a.pcapng") == [frame[1:] for frame in want]


def test_of_a_giant_the_beginning(tmp_path):
    giant = seeded().randbytes(20000)
    Capture(bursts=[(0, 0, 0, 4096, [giant])]).run(tmp_path / "a.pcapng")
    [(_, data, original)] = read_by_scapy(tmp_path / "a.pcapng")
    assert data == giant[:FRAME_MAX] and original == 20000


def test_no_frames_is_a_good_file(tmp_path):
    assert Capture(filter="arp", bursts=[(0, 0, 0, 0, [bytes(60)])]).run(tmp_path / "a")["captured_count"] == 0
    assert read_by_scapy(tmp_path / "a") == []


# when

def test_time_is_that_of_the_day(tmp_path):
    before = time.time_ns()
    reply = Capture(bursts=[(0, 0, 0, 0, [bytes(60)])]).run(tmp_path / "a")
    [(time_ns, _, _)] = read_by_scapy(tmp_path / "a")
    assert before - MS < time_ns == reply["start_real_ns"] < time.time_ns() + MS


# other readers

@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_tcpdump_agrees(tmp_path):
    capture = Capture(500, 2, bursts=random_bursts(seeded()))
    reply = capture.run(tmp_path / "a.pcapng")
    assert read_by_tcpdump(tmp_path / "a.pcapng") == [f[1:] for f in capture.model(reply, everything)]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_agrees(tmp_path):
    """It knows ports by their names as well."""
    capture = Capture(500, 1, snap_bytes=100, parts=2, bursts=random_bursts(seeded(), 2, 4))
    path = tmp_path / "a.pcapng"
    want = capture.model(capture.run(path), everything)
    fields = ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.interface_name")
    done = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=;",
                           *[x for f in fields for x in ("-e", f)]], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{time_ns // 10**9}.{time_ns % 10**9:09};{original};{len(data)};{port};port {port}"
        for port, time_ns, data, original in want]


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_capinfos_agrees(tmp_path):
    """Table report, raw numbers, tabs: packets and whether they are in order."""
    reply = Capture(bursts=random_bursts(seeded(), ports=3)).run(tmp_path / "a.pcapng")
    done = subprocess.run(["capinfos", "-T", "-r", "-M", "-c", "-o", tmp_path / "a.pcapng"], capture_output=True,
                          text=True, check=True)
    assert done.stdout.rstrip("\n").split("\t")[1:] == [str(reply["captured_count"]), "True"]


def test_the_loader_takes_what_was_captured(tmp_path):
    """Capture and replay agree on the format."""
    program = BUILD / "test_replayfile"
    frames = [seeded().randbytes(60) for _ in range(9)]
    Capture(bursts=[(0, 0, i * 1000, 0, [f]) for i, f in enumerate(frames)]).run(tmp_path / "a")
    done = subprocess.run([program, tmp_path / "a", "1000000", "1518"], capture_output=True, check=True)
    assert [text for _, text in json.loads(done.stdout)["frames"]] == [f.hex() for f in frames]


def test_the_file_says_who_wrote_it_and_is_private(tmp_path):
    path = tmp_path / "a"
    Capture(bursts=[(0, 0, 0, 0, [bytes(60)])]).run(path)
    data = path.read_bytes()
    kind, length, magic, major, minor, section = struct.unpack_from("=IIIHHq", data)
    assert (kind, magic, major, minor, section) == (0x0A0D0D0A, 0x1A2B3C4D, 1, 0, -1)
    assert b"vswbench" in data[:length]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# refusals

@pytest.mark.parametrize("change, why", (
    ({"filter": "no such thing"}, "pcap-filter(7)"),
    ({"filter": "udp and ("}, "syntax error"),
    ({"filter": "x" * 5000}, "is none of"),
    ({"first": 0}, "at least 1"),
    ({"every": 0}, "at least 1"),
    ({"snap_bytes": 0}, "at least 1"),
    ({"parts": 0}, "1 to 32 workers"),
    ({"parts": 33}, "1 to 32 workers"),
    ({"first": 2**31 - 1}, "allowed are 64.0 MiB"),
))
def test_bad_requests(tmp_path, change, why):
    reply = Capture(**change).run(tmp_path / "a")
    assert reply["ok"] is False and why in reply["error"] and reply["error"].isprintable()
    assert nothing(tmp_path)


@pytest.mark.parametrize("parts", (1, 3))
def test_memory_is_counted_exactly(tmp_path, parts):
    need = parts * 100 * (16 + 64)
    frame = bytes(1000)
    capture = Capture(100, snap_bytes=64, parts=parts, memory_max_bytes=need,
                      bursts=[(part, 0, i, 0, [frame] * 50) for part in range(parts) for i in range(3)])
    assert capture.run(tmp_path / "a")["captured_count"] == 100
    capture.memory_max_bytes -= 1
    assert "needs" in capture.run(tmp_path / "b")["error"]


def test_the_folder_must_be_there(tmp_path):
    reply = Capture().run(tmp_path / "absent" / "a")
    assert "cannot be written: No such file" in reply["error"]


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a").mkdir()
    reply = Capture().run(tmp_path / "a")
    assert "could not be written: Is a directory" in reply["error"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_a_full_disk(tmp_path):
    """What cannot be written leaves nothing, and an earlier file untouched."""
    (tmp_path / "a").write_text("earlier")
    capture = Capture(bursts=random_bursts(seeded()))
    reply = capture.run(tmp_path / "a", prefix=("prlimit", "--fsize=1000"))
    assert reply["ok"] is False and "could not be written: File too large" in reply["error"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "earlier"


def test_leftovers_of_a_killed_run_are_replaced(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    (tmp_path / "a.part").symlink_to(elsewhere)
    assert Capture().run(tmp_path / "a")["ok"] is True
    assert elsewhere.read_text() == "not ours" and not (tmp_path / "a.part").exists()


def test_discarded(tmp_path):
    assert Capture(discard=True, bursts=random_bursts(seeded())).run(tmp_path / "a")["ok"] is True
    assert nothing(tmp_path)
