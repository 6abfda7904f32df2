# SPDX-License-Identifier: BSD-3-Clause
"""The replay loader against files that scapy wrote, files made by hand that no good program would write, and a model of
what the header promises.
"""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from coretest import BUILD, environment, seeded
from scapy.utils import PcapWriter, RawPcapNgWriter

MEMORY = 64 << 20
FRAME_MAX = 1518            # with FCS
INDEX_BYTES = 24            # struct replay_frame
SECOND = 10**9
START_NS = 1_700_000_000 * SECOND + 123_456_789


def load(path: Path, memory: int = MEMORY, frame_max: int = FRAME_MAX) -> dict[str, Any]:
    program = BUILD / "test_replayfile"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([program, path, str(memory), str(frame_max)], capture_output=True, text=True, timeout=60,
                          env=environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(path: Path, **limits: int) -> str:
    reply = load(path, **limits)
    assert reply["ok"] is False, "was loaded"
    assert reply["error"].isprintable() and 10 < len(reply["error"]) < 256
    return reply["error"]


def packets_of(reply: dict[str, Any]) -> list[tuple[int, bytes]]:
    assert reply["ok"] is True, reply["error"]
    return [(time_ns, bytes.fromhex(text)) for time_ns, text in reply["frames"]]


def pcap(*records: tuple[int, bytes], nano: bool = True, swapped: bool = False, link: int = 1,
         wire_bytes: int | None = None) -> bytes:
    """A file by hand: records of (time in ns, bytes)."""
    order = ">" if swapped else "<"
    parts = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)]
    for time_ns, frame in records:
        fraction = time_ns % SECOND // (1 if nano else 1000)
        parts.append(struct.pack(order + "IIII", time_ns // SECOND & 0xFFFFFFFF, fraction, len(frame),
                                 wire_bytes or len(frame)))
        parts.append(frame)
    return b"".join(parts)


def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "file.pcap"
    path.write_bytes(data)
    return path


def random_packets(rng, count: int, disorder_ns: int = 0) -> list[tuple[int, bytes]]:
    now = START_NS
    packets = []
    for _ in range(count):
        now += rng.choice((0, 1, rng.randrange(1000), rng.randrange(10**7)))
        size = rng.choice((14, 59, 60, 61, 1514, rng.randint(14, 1514)))
        early = rng.randint(1, disorder_ns) if disorder_ns and rng.random() < 0.1 else 0
        packets.append((now - early, rng.randbytes(size)))
    return packets


def model(packets: list[tuple[int, bytes]]) -> dict[str, Any]:
    """What the header promises of a good file."""
    latest = packets[0][0]
    back = []
    frames = []
    for time_ns, data in packets:
        if time_ns < latest:
            back.append(latest - time_ns)
        latest = max(latest, time_ns)
        frames.append([latest - packets[0][0], data.ljust(60, b"\0").hex()])
    return {"ok": True, "frames": frames, "bytes": sum(len(text) // 2 for _, text in frames),
            "span_ns": frames[-1][0], "padded_count": sum(len(data) < 60 for _, data in packets),
            "disorder_count": len(back), "disorder_max_ns": max(back, default=0)}


# good files

@pytest.mark.parametrize("swapped", (False, True))
@pytest.mark.parametrize("nano", (False, True))
def test_pcap_by_hand(tmp_path, nano, swapped):
    packets = random_packets(seeded(), 500)
    if not nano:
        packets = [(time_ns // 1000 * 1000, data) for time_ns, data in packets]
    assert load(file(tmp_path, pcap(*packets, nano=nano, swapped=swapped))) == model(packets)


def write_by_scapy(path: Path, packets: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Writes them, and gives what the file can hold of them: scapy's pcapng has microseconds."""
    if path.suffix == ".pcapng":
        packets = [(time_ns // 1000 * 1000, data) for time_ns, data in packets]
        writer = RawPcapNgWriter(str(path))
        writer.write_header(None)
        for time_ns, data in packets:
            writer._write_packet(data, sec=time_ns / SECOND)
    else:
        writer = PcapWriter(str(path), linktype=1, nano=True)
        writer.write_header(None)
        for time_ns, data in packets:
            writer._write_packet(data, sec=time_ns // SECOND, usec=time_ns % SECOND)
    writer.close()
    return packets


@pytest.mark.parametrize("name", ("a.pcap", "a.pcapng"))
def test_files_of_scapy(tmp_path, name):
    path = tmp_path / name
    packets = write_by_scapy(path, random_packets(seeded(), 300))
    want, got = model(packets), load(path)
    assert [f for _, f in got["frames"]] == [f for _, f in want["frames"]]
    # as a floating point number of seconds a time is good to a quarter of a microsecond, so written one off at times
    slack = 1000 if name.endswith("ng") else 0
    assert all(abs(a - b) <= slack for (a, _), (b, _) in zip(got["frames"], want["frames"]))


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ("pcap", "nsecpcap", "pcapng"))
def test_files_of_editcap(tmp_path, kind):
    packets = random_packets(seeded(), 300)
    if kind == "pcap":
        packets = [(time_ns // 1000 * 1000, data) for time_ns, data in packets]
    out = tmp_path / "out"
    subprocess.run(["editcap", "-F", kind, file(tmp_path, pcap(*packets)), out], check=True, capture_output=True)
    assert load(out) == model(packets)


def test_small_disorder_is_smoothed_and_counted(tmp_path):
    packets = random_packets(seeded(), 500, disorder_ns=SECOND)
    want = model(packets)
    assert want["disorder_count"] > 10
    assert load(file(tmp_path, pcap(*packets))) == want


def test_disorder_of_exactly_a_second(tmp_path):
    back = [(START_NS, bytes(60)), (START_NS - SECOND, bytes(60))]
    assert load(file(tmp_path, pcap(*back)))["disorder_max_ns"] == SECOND
    back[1] = (START_NS - SECOND - 1, bytes(60))
    assert "packet 2" in refused(file(tmp_path, pcap(*back)))


def test_disorder_is_measured_from_the_latest(tmp_path):
    """Many small steps back are one large one."""
    steps = [(START_NS - i * SECOND // 4, bytes(60)) for i in range(8)]
    assert "packet 6 of" in refused(file(tmp_path, pcap(*steps)))


def test_what_a_pcapng_file_says_beside_frames(tmp_path):
    """Comments and unknown blocks are no frames; more than half of the file may be such."""
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    packet = struct.pack("<IIIII", 0, 0, 5, 60, 60) + b"\x07" * 60
    data = (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 0)) +
            block(0x0BAD0BAD, bytes(5000)) + block(6, packet))
    assert packets_of(load(file(tmp_path, data), memory=len(data) // 2)) == [(0, b"\x07" * 60)]


def test_frames_up_to_the_largest(tmp_path):
    path = file(tmp_path, pcap((START_NS, bytes(9212))))
    assert len(packets_of(load(path, frame_max=9216))[0][1]) == 9212
    assert "9212" in refused(path, frame_max=9215)


# files that are refused, and why

def test_no_such_file(tmp_path):
    assert "No such file" in refused(tmp_path / "absent")


def test_not_a_file(tmp_path):
    assert "is not a file" in refused(tmp_path)
    assert "is not a file" in refused(Path("/dev/zero"))


def test_a_pipe_does_not_block(tmp_path):
    import os
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(tmp_path / "pipe")


BAD = {
    "empty": (b"", "is not a pcap or pcapng file"),
    "text": (b"hello, this is no capture at all\n" * 10, "is not a pcap or pcapng file"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(100), "is not a pcap or pcapng file"),
    "version": (struct.pack("<IHHiIII", 0xA1B2C3D4, 9, 9, 0, 0, 65535, 1), "is not a pcap or pcapng file"),
    "no packets": (pcap(), "holds no packets"),
    "loopback": (pcap((START_NS, bytes(60)), link=0), "link type is NULL (0)"),
    "unknown link": (pcap((START_NS, bytes(60)), link=147), "link type is unknown (147)"),
    "with FCS": (pcap((START_NS, bytes(64)), link=1 | 0x24000000), "end in a checksum"),
    "13 bytes": (pcap((START_NS, bytes(60)), (START_NS, bytes(13))), "packet 2 of"),
    "no bytes": (pcap((START_NS, b"")), "has 0 bytes"),
    "1515 bytes": (pcap((START_NS, bytes(1515))), "at most 1514 can be sent (1518 with FCS)"),
    "cut off": (pcap((START_NS, bytes(60)), wire_bytes=61), "60 of 61 bytes"),
    "backwards": (pcap((START_NS, bytes(60)), (START_NS - 2 * SECOND, bytes(60))), "goes back by 2.000000 s"),
    "record cut off": (pcap((START_NS, bytes(60)), (START_NS, bytes(60)))[:-1], "packet 2 of"),
    "record header cut off": (pcap((START_NS, bytes(60))) + b"12345", "packet 2 of"),
    "monstrous length": (pcap() + struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 0xFFFFFFFF), "packet 1 of"),
    "length below 0": (pcap() + struct.pack("<IIII", 1, 1, 0x80000000, 0x80000000), "packet 1 of"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    data, why = BAD[name]
    assert why in refused(file(tmp_path, data))


def test_no_sensible_time(tmp_path):
    """A pcapng file may be of any year: seconds as its unit, and 64 bits of them."""
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHIHHBxxxHHI", 1, 32, 1, 0, 0, 9, 1, 0, 0, 0, 32)
    packet = struct.pack("<IIIIIII", 6, 92, 0, 0x7FFFFFFF, 0xFFFFFFFF, 60, 60) + bytes(60) + struct.pack("<I", 92)
    assert "no sensible time" in refused(file(tmp_path, section + interface + packet))


def test_a_long_path(tmp_path):
    assert "cannot be opened" in refused(tmp_path / ("x" * 300))


# memory

def test_memory_is_counted_exactly(tmp_path):
    packets = random_packets(seeded(), 200)
    path = file(tmp_path, pcap(*packets))
    need = sum(max(60, len(data)) + INDEX_BYTES for _, data in packets)
    assert load(path, memory=need)["ok"] is True
    error = refused(path, memory=need - 1)
    assert f"needs {need / 2**20:.1f} MiB" in error and "allowed are" in error


def test_a_file_far_too_large_is_not_read(tmp_path):
    """Its size says enough; the file is a hole of 1 TiB behind one packet."""
    path = file(tmp_path, pcap((START_NS, bytes(60))))
    with path.open("r+b") as hole:
        hole.truncate(1 << 40)
    error = refused(path)
    assert "needs about 1048576.0 MiB of memory, allowed are 64.0 MiB" in error


def test_a_large_file(tmp_path):
    """More than one huge page of index and of frames, so that both grow and move."""
    rng = seeded()
    packets = [(START_NS + i, rng.randbytes(14) + i.to_bytes(4, "big")) for i in range(120_000)]
    got = packets_of(load(file(tmp_path, pcap(*packets))))
    assert got == [(i, data.ljust(60, b"\0")) for i, (_, data) in enumerate(packets)]


# hostile files

def test_cut_anywhere(tmp_path):
    """The end of the file may come at any byte: what is left is a smaller good file or refused."""
    packets = random_packets(seeded(), 3)
    packets = [(time_ns, data[:80]) for time_ns, data in packets]
    whole = pcap(*packets)
    ends = {len(pcap(*packets[:n])): n for n in (1, 2, 3)}
    for length in range(len(whole)):
        path = file(tmp_path, whole[:length])
        if length in ends:
            assert load(path) == model(packets[:ends[length]])
        else:
            refused(path)


def test_random_damage(tmp_path):
    """Never a crash, never a frame that is not in the file; the sanitized builds watch the rest."""
    rng = seeded()
    whole = pcap(*random_packets(rng, 5))
    outcomes = {True: 0, False: 0}
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        reply = load(file(tmp_path, bytes(data)))
        outcomes[reply["ok"]] += 1
        for _, text in reply.get("frames", ()):
            assert bytes.fromhex(text).rstrip(b"\0") in data
    assert all(outcomes.values()), "damage is either never or always seen"
