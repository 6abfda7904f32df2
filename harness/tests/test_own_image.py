# SPDX-License-Identifier: BSD-3-Clause
"""An image that is not ours, end to end: Debian, made with mmdebstrap, boots under QEMU with its own boot loader, kernel,
libraries and cloud-init, gets our programs over ssh and receives what the generator sends through a real switch.

Slow (Debian boots for minutes under emulation) and needs root, a Debian mirror and the packages of TOOLS, so it runs only
with VSWBENCH_SLOW=1: make test-slow. The image is kept in the build folder.
"""

import csv
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from harness import run
from harness.tests.support import write

TOOLS = {"mmdebstrap": "mmdebstrap", "syslinux": "syslinux", "mcopy": "mtools", "mkfs.vfat": "dosfstools",
         "mke2fs": "e2fsprogs"}
MBR = Path("/usr/lib/SYSLINUX/mbr.bin")
PACKAGES = ("systemd-sysv,udev,kmod,dbus,linux-image-cloud-amd64,openssh-server,cloud-init,ifupdown,isc-dhcp-client,"
            "python3")
MIB = 1 << 20
BOOT_MIB, ROOT_MIB = 128, 2048
SYSLINUX_CFG = ("SERIAL 0 115200\nDEFAULT linux\nLABEL linux\n KERNEL vmlinuz\n INITRD initrd\n"
                " APPEND root=/dev/vda2 rw console=ttyS0 mitigations=off\n")
SCENARIO = """
name = "own-image"
[matrix]
topology = "loopback"
guest = "qemu"
switch = "testpmd"
[guest]
image = "{image}"
[search]
trials = 1
trial_s = 1.0
warmup_s = 0.5
"""

pytestmark = pytest.mark.skipif(os.environ.get("VSWBENCH_SLOW") != "1",
                                reason="slow: a whole Debian is made and booted; make test-slow")


def do(*argv: object, **more: object) -> None:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, **more)   # type: ignore
    assert done.returncode == 0, (argv, done.stderr[-2000:])


def partition_table() -> bytes:
    """syslinux' boot sector with two partitions, the first of them active, a MiB from the start (sectors of 512 bytes)."""
    sectors = MIB // 512
    table = b"".join(struct.pack("<B3xB3xII", *entry) for entry in (
        (0x80, 0x0c, sectors, BOOT_MIB * sectors), (0, 0x83, (1 + BOOT_MIB) * sectors, ROOT_MIB * sectors)))
    return MBR.read_bytes()[:440].ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"


def make_image(folder: Path) -> Path:
    """A raw disk: a FAT partition with boot loader and kernel, and the root file system. Nothing is mounted."""
    root, boot, disk = folder / "root", folder / "boot.img", folder / "debian.img"
    if disk.exists():
        return disk
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    do("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", folder / "root.tar")
    root.mkdir()
    do("tar", "-xpf", folder / "root.tar", "-C", root, "--exclude=./dev/*")
    do("mkfs.vfat", "-C", "-F", "32", "-h", MIB // 512, boot, BOOT_MIB * 1024)
    [kernel], [initrd] = root.glob("boot/vmlinuz-*"), root.glob("boot/initrd.img-*")
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd"),
                         (write(folder / "syslinux.cfg", SYSLINUX_CFG), "syslinux.cfg")):
        do("mcopy", "-i", boot, source, f"::{name}")
    do("syslinux", "--install", boot)
    do("mke2fs", "-q", "-t", "ext4", "-d", root, "-F", folder / "root.img", f"{ROOT_MIB}M")
    part = folder / "part.img"
    with part.open("wb") as out:
        out.write(partition_table())
        out.truncate((1 + BOOT_MIB + ROOT_MIB + 1) * MIB)
    do("dd", f"if={boot}", f"of={part}", "bs=1M", "seek=1", "conv=notrunc,sparse")
    do("dd", f"if={folder / 'root.img'}", f"of={part}", "bs=1M", f"seek={1 + BOOT_MIB}", "conv=notrunc,sparse")
    shutil.rmtree(root)
    part.rename(disk)
    return disk


def head_of(image: Path) -> tuple[bytes, int]:
    """What QEMU would have changed first, had it written."""
    with image.open("rb") as file:
        return file.read(MIB), image.stat().st_mtime_ns


def test_debian_is_a_guest_like_ours(tmp_path: Path) -> None:
    if missing := [package for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        pytest.skip(f"apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("real switches need root")
    image = make_image(run.BUILD / "own-image")
    before = head_of(image)
    scenario = write(tmp_path / "own.toml", SCENARIO.format(image=image))
    done = subprocess.run([run.ROOT / "vswbench", "run", scenario, "--out", tmp_path / "results"], capture_output=True,
                          text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (tmp_path / "results").iterdir()
    rows, hops = (list(csv.DictReader((folder / f"{name}.csv").open(newline=""))) for name in ("trials", "nfs"))
    assert rows and hops
    for r in rows:      # the guest's counters tell where each frame went that the generator misses
        gone = sum(int(h[key] or 0) for h in hops if h["trial_id"] == r["trial_id"] for key in h
                   if key in ("lost_before_count", "tx_full_count") or key.startswith("dropped_"))
        assert int(r["sent_count"]) == int(r["received_count"]) + gone
    assert all(int(r["received_count"]) > 0 and r["variant"] == "debian" for r in rows)
    assert head_of(image) == before
