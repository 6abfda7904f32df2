# SPDX-License-Identifier: BSD-3-Clause
"""Runs each target of pktgen/fuzz and vnf/fuzz for some seconds, from seeds made here and those that earlier finds left in
pktgen/fuzz/corpus. VSW_FUZZ_S sets the seconds, VSW_TEST_SEED repeats a run; what is found lies in the build folder.
Part of `make test-slow`, since the instrumented builds alone take a quarter of a minute.
"""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from coretest import BUILD, REPOSITORY, SEED, Stamp, pcap_record, seeded, stamped
from test_replayfile import BAD, pcap, random_packets

FUZZ = BUILD / "fuzz"
CORPUS = REPOSITORY / "pktgen" / "fuzz" / "corpus"
SECONDS = int(os.environ.get("VSW_FUZZ_S", "5"))
MAX_BYTES = 4096
TARGETS = ("account", "control", "flowkey", "nf", "replayfile", "request")

RAW, IN_SEGMENTS, STAMPED, END_OF_BURST = range(4)      # enum kind of fuzz_account.c


@pytest.fixture(scope="module", autouse=True)
def targets() -> None:
    """Builds them, in a folder of their own: clang, and everything instrumented."""
    if not {"VSWBENCH_SLOW", "VSW_FUZZ_S"} & set(os.environ):
        pytest.skip("slow: run `make test-slow`, or set VSW_FUZZ_S")
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    configure = ["cmake", "-S", REPOSITORY, "-B", FUZZ, "-DFUZZ=ON", "-DCMAKE_C_COMPILER=clang"]
    build = ["cmake", "--build", FUZZ, "--parallel", str(os.cpu_count()), "--target", *(f"fuzz_{t}" for t in TARGETS)]
    for argv in (configure, build):
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# seeds: small inputs of every kind, so that some seconds reach what random bytes would not in hours

def account_seeds() -> Iterator[bytes]:
    rng = seeded()
    for flows in (0, 3, 9999):
        header = (1 << 32).to_bytes(5, "little") + struct.pack("<HBII", 5, 1, flows, 2 * 10**9)
        good = stamped(Stamp(5, 1, 0, 7))
        body = b""
        for kind in (RAW, IN_SEGMENTS):
            for frame in (good, good[:50], b"", rng.randbytes(60)):
                body += struct.pack("<BHB", kind, len(frame), 20)[:3 + (kind == IN_SEGMENTS)] + frame
        body += b"".join(bytes((STAMPED,)) + bytes(3) + struct.pack("<IIH", seq & 0xFFFFFFFF, 0, 0)
                         for seq in (0, 1, 3, 2, 2, 70000, -1, 1 << 31))
        yield header + rng.randbytes(8) + body + bytes((END_OF_BURST,)) + rng.randbytes(8) + body


def control_seeds() -> Iterator[bytes]:
    requests = ({"id": 1, "cmd": "help"}, {"id": 2, "cmd": "quit"}, {"cmd": "nothing such"}, {"cmd": 3}, [], 7, None,
                {"id": 3, "cmd": "numbers", "epoch": 1, "interval_s": 0.5, "name": "n", "flag": True},
                {"id": 4, "cmd": "numbers", "epoch": 1 << 40, "interval_s": -1, "name": "\u00e9\u0001" * 80},
                {"id": [], "cmd": "streams", "streams": [{"tx": 0, "rx": None}, {"tx": 1, "rx": {}}]})
    for request in requests:
        yield json.dumps(request, ensure_ascii=False).encode()
    yield b'{"cmd":"help","cmd":"quit"}'
    yield b'{"cmd":"numbers","epoch":1e999}'
    yield b"\xff\0\x01 {" + b"[" * 50


def replayfile_seeds() -> Iterator[bytes]:
    packets = [(time_ns, data[:100]) for time_ns, data in random_packets(seeded(), 4, disorder_ns=10**9)]
    for nano in (False, True):
        for swapped in (False, True):
            yield pcap(*packets, nano=nano, swapped=swapped)
    yield from (data for data, _ in BAD.values())
    yield pcap() + pcap_record(bytes(60), wire_bytes=61)
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHIHHBxxxHHI", 1, 32, 1, 0, 0, 9, 1, 9, 0, 0, 32)
    packet = struct.pack("<IIIIIII", 6, 92, 0, 1, 2, 60, 60) + bytes(60) + struct.pack("<I", 92)
    simple = struct.pack("<III", 3, 76, 60) + bytes(60) + struct.pack("<I", 76)
    yield section + interface + packet + simple + packet
    yield section + interface + interface + packet + section + interface + packet


def flowkey_seeds() -> Iterator[bytes]:
    from test_foreign import random_frame
    rng = seeded()
    for number in range(40):
        yield bytes((number % 3 * 20,)) + random_frame(rng)


def nf_seeds() -> Iterator[bytes]:
    from test_foreign import random_frame
    rng = seeded()
    for text in ("count 7; colour red\naddress 10.0.0.1 # one", "deny udp 10.0.0.0/8 1-65535 2001:db8::/32 any;",
                 "route ::/0 02:00:00:00:00:01;;\n;#", "a b c d e f g h i", "x" * 300):
        yield b"\0" + text.encode()
    for number in range(20):
        yield bytes((1 + number % 3 * 20,)) + random_frame(rng)


def request_seeds() -> Iterator[bytes]:
    streams: tuple[dict[str, object], ...] = (
        {}, {"rate_pps": 1e6, "shape": "burst", "burst_frames": 7, "burst_pps": 2e6, "catch_up_s": 0.1},
        {"rate_pps": 5, "shape": "ramp", "ramp_from_pps": 1, "seed": 3}, {"rate_pps": 5, "shape": "poisson"},
        {"frame_bytes": [64, 570, 1518], "flows": 1 << 20, "flow_order": "zipf", "zipf_exponent": 0.9},
        {"ip": 6, "l4": "tcp", "vlan": [5, 4000], "frame_bytes": 200, "flows": 3000, "flow_fields": ["vlan", "dst_port"]},
        {"tunnel": "vxlan", "frame_bytes": 9216, "flows": 70000, "flow_fields": ["vni", "src_mac", "dst_ip"]},
        {"tunnel": "gtpu", "frame_bytes": 128, "flows": 9, "flow_fields": ["teid"], "src_ip": "10.0.0.0", "dst_mac":
         "02:00:00:00:00:01", "udp_checksum": True},
        {"replay": {"file": "x.pcap", "timing": "original", "speed": 2, "loop": True}})
    for stream in streams:
        yield json.dumps({"epoch": 1, "duration_s": 1, "gaps": True, "capture": {"file": "c", "filter": "udp"},
                          "streams": [{"tx": 0, "rx": 1, **stream}, {"tx": 1}]}).encode()


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "account": account_seeds, "control": control_seeds, "flowkey": flowkey_seeds, "nf": nf_seeds,
    "replayfile": replayfile_seeds,
    "request": request_seeds}


def run(target: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    finds = FUZZ / "finds"
    finds.mkdir(exist_ok=True)
    return subprocess.run([FUZZ / f"fuzz_{target}", f"-artifact_prefix={finds}/{target}-", "-timeout=10",
                           "-rss_limit_mb=1024", "-print_final_stats=1", *arguments],
                          capture_output=True, text=True, errors="replace", timeout=SECONDS + 60)


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(tmp_path: Path, target: str) -> None:
    for number, data in enumerate(SEEDS[target]()):
        assert len(data) <= MAX_BYTES
        (tmp_path / f"seed-{number}").write_bytes(data)
    known = [CORPUS / target] if (CORPUS / target).is_dir() else []
    seed = SEED % (2**32 - 1) + 1       # libFuzzer takes 0 for "any"
    done = run(target, f"-seed={seed}", f"-max_total_time={SECONDS}", f"-max_len={MAX_BYTES}", tmp_path, *known)
    print(f"VSW_TEST_SEED={SEED}", *(line for line in done.stderr.splitlines() if line.startswith("stat::")), sep="\n")
    assert done.returncode == 0, done.stderr[-6000:]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_of_use(tmp_path: Path, target: str) -> None:
    """Minimizing the seeds keeps more than one: each of those reaches code that the others do not."""
    seeds, kept = tmp_path / "seeds", tmp_path / "kept"
    seeds.mkdir()
    kept.mkdir()
    for number, data in enumerate(SEEDS[target]()):
        (seeds / str(number)).write_bytes(data)
    assert run(target, "-merge=1", kept, seeds).returncode == 0
    assert len(list(kept.iterdir())) >= 2
