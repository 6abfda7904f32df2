# SPDX-License-Identifier: BSD-3-Clause
"""The guest's kernel, out of a Debian package: downloaded, unpacked, never installed. Failure: BuildError."""

import gzip
import lzma
import os
import re
import struct
from pathlib import Path

from tools import BuildError, run, work_dir

PT_LOAD = 1


def kernel_deb(cache, wanted):
    """The kernel package in the cache, downloaded if there is none."""
    for meta in wanted:
        found = [deb for deb in cache.glob("linux-image-[0-9]*.deb") if provides(deb.name.partition("_")[0], meta)]
        if found:
            return max(found, key=lambda deb: deb.stat().st_mtime)
    for meta in wanted:
        name = real_package(meta)
        if name:
            break
    else:
        raise BuildError(f"apt knows none of {', '.join(wanted)}: try `apt-get update`, "
                         "or put a linux-image-*.deb into the cache folder")
    with work_dir(cache) as tmp:
        # apt's own downloader runs as another user, who may not write here; the signature is checked all the same
        sandbox = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
        run("apt-get", *sandbox, "download", name, cwd=tmp,
            hint="is the network there? `apt-get update` refreshes stale lists")
        deb, = tmp.glob("*.deb")
        return deb.rename(cache / deb.name)


def provides(name, wanted):
    """Is linux-image-6.1.0-25-cloud-amd64 the package asked for, or one that linux-image-cloud-amd64 stands for?"""
    return name == wanted or re.sub(r"^linux-image-[0-9][^-]*-([0-9]+-)?", "linux-image-", name) == wanted


def real_package(wanted):
    """linux-image-amd64 -> linux-image-6.1.0-25-amd64, or None. A real name stays."""
    try:
        text = run("apt-cache", "depends", "--no-recommends", "--no-suggests", wanted).decode()
    except BuildError:
        return None
    found = re.search(r"Depends: (linux-image-[0-9]\S*)", text)
    return found[1] if found else wanted if re.match("linux-image-[0-9]", wanted) else None


def unpack(deb, cache):
    """The unpacked package, below the cache."""
    place = cache / deb.stem
    if not place.is_dir():
        with work_dir(cache) as tmp:
            run("dpkg-deb", "--extract", deb, tmp / "x", hint=f"is {deb} damaged? remove it and try again")
            (tmp / "x").rename(place)
    return place


def vmlinux(bzimage):
    """The ELF kernel inside a bzImage, or None if its compression is not known here.

    QEMU enters an ELF kernel with a PVH note directly: no firmware, no decompression by the emulated CPU. The payload
    is where the boot protocol's header says (Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset
    at 0x248, payload_length at 0x24c). Its last 4 bytes are the unpacked size, except for gzip, which ends so itself.
    """
    if bzimage[0x202:0x206] != b"HdrS":
        return None
    setup_sects = bzimage[0x1f1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sects + 1) * 512 + offset
    kernel = decompress(bzimage[start:start + length], trailer=4)
    return slim(kernel) if kernel else None


def slim(elf):
    """The same kernel in memory by fewer bytes: only the program headers and what they load, without the zeros at the end
    of a segment (memory beyond a segment's file size is zero: ELF-64 Object File Format 1.5, section 7). A third of the
    file that Debian's kernel unpacks to is alignment and a .bss that stands in the file."""
    phoff, = struct.unpack_from("<Q", elf, 0x20)
    phentsize, phnum = struct.unpack_from("<HH", elf, 0x36)
    headers = [list(struct.unpack_from("<IIQQQQQQ", elf, phoff + i * phentsize)) for i in range(phnum)]
    out = bytearray(elf[:0x40])
    struct.pack_into("<Q", out, 0x20, 0x40)         # e_phoff
    struct.pack_into("<Q", out, 0x28, 0)            # e_shoff
    struct.pack_into("<HHHHH", out, 0x36, 56, phnum, 64, 0, 0)
    out.extend(bytes(56 * phnum))
    moved = {}                                      # {offset of a segment: (its size, where it went)}
    for header in (h for h in headers if h[0] == PT_LOAD):
        _, _, offset, _, _, size, _, _ = header
        data = elf[offset:offset + size].rstrip(b"\0")
        out.extend(bytes(-len(out) % 16))
        moved[offset] = size, len(out)
        header[2], header[5] = len(out), len(data)
        out.extend(data)
    for header in (h for h in headers if h[0] != PT_LOAD):      # the note that holds the PVH entry lies in a segment
        old = header[2]
        base = next((o for o, (size, _) in moved.items() if o <= old < o + size), None)
        if base is None:
            raise BuildError(f"the kernel has a program header of type {header[0]} outside of its segments")
        header[2] = moved[base][1] + old - base
    for i, header in enumerate(headers):
        struct.pack_into("<IIQQQQQQ", out, 0x40 + 56 * i, *header)
    return bytes(out)


def decompress(data, trailer=0):
    body = data[:-trailer] if trailer else data
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(body)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return run("zstd", "-dc", input=body, hint="install the package zstd")
    if data[:4] == b"\x02\x21\x4c\x18":
        return unlz4(body)
    return None


def unlz4(data):
    """Legacy LZ4 frames (lz4_Frame_format.md, "Legacy frame"): magic, then blocks of at most 8 MiB, unpacked."""
    return run("lz4", "-dc", input=data, hint="install the package lz4")


def kernel_modules(tree, wanted):
    """[(name, bytes)] in the order of loading. modules.dep is made at installation, so we read the modules."""
    root, = (*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*"))
    files = {p.name.split(".ko")[0].replace("-", "_"): p for p in root.rglob("*.ko*")}
    builtin = {Path(line).stem.replace("-", "_") for line in (root / "modules.builtin").read_text().split()}
    order = {}

    def add(name):
        if name in order or name in builtin:
            return
        if name not in files:
            raise BuildError(f"the kernel package has no module {name}: try another with --kernel-package")
        data = files[name].read_bytes()
        if files[name].suffix != ".ko":
            data = decompress(data) or b""
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        if not depends:
            raise BuildError(f"{files[name].name}: not a kernel module, or compressed in an unknown way")
        for other in filter(None, depends[1].decode().split(",")):
            add(other.replace("-", "_"))
        order[name] = data

    for name in wanted:
        add(name)
    return list(order.items())
