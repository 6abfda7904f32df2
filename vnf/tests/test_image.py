# SPDX-License-Identifier: BSD-3-Clause
"""The guest image: two builds give the same bytes, it is small, and the kernel in it is in memory what Debian's is.

VSW_TEST_SEED repeats random kernels. The builds take what `make setup` has built and downloaded.
"""

import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VSWBENCH_BUILD", ROOT / "build"))
SIZE_MAX_BYTES = 40_000_000

sys.path.insert(0, str(ROOT / "vnf" / "guest"))
import kernel  # noqa: E402

LOAD, NOTE = 1, 4


def memory(elf: bytes) -> list[tuple[int, int, bytes]]:
    """What a loader puts where: (physical address, flags, bytes with the zeros behind), and the notes as they are read."""
    phoff, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    found = []
    for i in range(count):
        kind, flags, offset, _, address, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", elf, phoff + i * size)
        data = elf[offset:offset + in_file]
        assert len(data) == in_file
        found.append((address, flags + 8 * kind, data + bytes(in_memory - in_file)))
    return found


def made_up(r: random.Random) -> bytes:
    """A kernel of a few segments with zeros in them and behind them, a note in one of them, and padding between."""
    count = r.randint(1, 4)
    body, headers, at, address = bytearray(), [], 4096, 1 << 20
    for i in range(count):
        data = r.randbytes(r.randint(64, 3000)) + b"\x01" + bytes(r.choice((0, 1, 5000)))
        headers.append((LOAD, r.randint(4, 7), at, address, address, len(data), len(data) + r.choice((0, 100)), 4096))
        body += data + bytes(-len(data) % 4096)
        at, address = 4096 + len(body), address + (1 << 20)
    home = r.choice(headers)
    headers.insert(r.randint(0, count), (NOTE, 4, home[2] + 16, home[3] + 16, home[4] + 16, 40, 40, 4))
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 1 << 20, 64, at, 0, 64, 56,
                                                           len(headers), 64, 3, 2)
    head += b"".join(struct.pack("<IIQQQQQQ", *h) for h in headers)
    return head + bytes(4096 - len(head)) + bytes(body) + b"sections"


def test_a_slim_kernel_is_the_same_in_memory() -> None:
    seed = int(os.environ.get("VSW_TEST_SEED") or time.time_ns() % 10**9)
    print(f"VSW_TEST_SEED={seed}")
    r = random.Random(seed)
    for _ in range(100):
        fat = made_up(r)
        slim = kernel.slim(fat)
        assert memory(slim) == memory(fat)
        assert slim[:32] == fat[:32] and len(slim) <= len(fat)


def test_a_note_outside_of_all_segments_is_refused() -> None:
    elf = bytearray(made_up(random.Random(1)))
    phoff = 64
    while struct.unpack_from("<I", elf, phoff)[0] != NOTE:
        phoff += 56
    struct.pack_into("<Q", elf, phoff + 8, 8)
    with pytest.raises(kernel.BuildError, match="outside"):
        kernel.slim(bytes(elf))


def test_two_builds_are_the_same_bytes_and_small(tmp_path: Path) -> None:
    cache = BUILD / "guest" / "cache"
    if not list(cache.glob("*.deb")) or not (BUILD / "vswbench-init").exists():
        pytest.skip(f"{cache} has no kernel package, or nothing is built: run `make setup`")
    for name in ("a", "b"):
        subprocess.run([ROOT / "vnf/guest/build-image", "--out", tmp_path / name, "--cache", cache, "--init",
                        BUILD / "vswbench-init", "--programs", BUILD / "vnf", BUILD / "pktgen", BUILD / "meter"], check=True)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert a == b
    about = json.loads(a["image.json"])
    assert len(a[about["kernel_file"]]) + len(a[about["initramfs_file"]]) <= SIZE_MAX_BYTES
