# SPDX-License-Identifier: BSD-3-Clause
"""KVM or TCG? /dev/kvm may open, and even make a VM, while a guest kernel hangs under it. So KVM is believed only after
our guest has booted under it; the verdict is kept, per kernel and QEMU, in the build folder, with what was said last
where no guest booted.
"""

import json
import os
import platform
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import host, qemu
from harness.bed import Bed
from harness.errors import CannotRun, CellFailed
from harness.guest import BOOT_S, RunningPeer
from harness.peers import Image, Peer
from harness.virtio import Virtio

KVM = Path("/dev/kvm")


def decide(bed: Bed, image: Image, folder: Path, logs: Path, say: Callable[[str], None]) -> str:
    """"kvm" or "tcg" for this testbed. Takes at most the boot time-out (15 s), once. CannotRun if KVM is asked for and
    does not work."""
    if bed.accel == "tcg":
        return "tcg"
    works, why = _works(bed, image, folder, logs, say)
    if works:
        return "kvm"
    if bed.accel == "kvm":
        raise CannotRun(f"KVM was asked for (testbed key qemu.accel) and {why}: use \"auto\" or \"tcg\"")
    say(f"guests run under TCG, QEMU's software emulation, which is slow: {why}")
    return "tcg"


def _works(bed: Bed, image: Image, folder: Path, logs: Path, say: Callable[[str], None]) -> tuple[bool, str]:
    if not os.access(KVM, os.R_OK | os.W_OK):
        return False, f"{KVM} is not there or not open to us"
    binary = shutil.which(bed.qemu_binary) or bed.qemu_binary
    key = f"{platform.release()} {host.sha256(binary)} {host.sha256(image.kernel)}"
    cache = Path(image.build) / "kvm-verdict.json"
    try:
        verdicts = json.loads(cache.read_text())
    except (OSError, ValueError):
        verdicts = None
    verdicts = verdicts if isinstance(verdicts, dict) else {}
    if key not in verdicts:
        say("trying whether a guest boots under KVM (at most 15 s, once)")
        why = _fails(bed, image, folder, logs)
        verdicts[key] = {"works": not why, "why": why}
        cache.write_text(json.dumps(verdicts, indent=1) + "\n")
    works, why = _verdict(verdicts[key])
    return works, f"no guest boots under {KVM} here{f': {why}' if why else ''} (verdict kept in {cache})"


def _verdict(kept: Any) -> tuple[bool, str]:
    """Also of a file that keeps no reason."""
    return (kept.get("works") is True, str(kept.get("why", ""))) if isinstance(kept, dict) else (kept is True, "")


def _fails(bed: Bed, image: Image, folder: Path, logs: Path) -> str:
    """Why no guest boots, in a line; empty if one does."""
    cpus = tuple(host.cpus())
    vm = qemu.Vm("kvm-try", bed.qemu_binary, "kvm", bed.guest_memory_mib, 0, image.kernel, image.initramfs,
                 str(logs.resolve() / "kvm-try.console"), str(folder / "kvm.control"), str(folder / "kvm.qmp"), (),
                 Virtio(), cpus, cpus[0], cpus[:1] * 2, page_mib=0)
    peer = Peer("kvm-try", "none", (), (), (), vm)
    with ExitStack() as stack:
        try:
            tried = RunningPeer(peer, logs, stack)
            # whatever QEMU hangs in, and whatever it does with SIGTERM
            end = threading.Timer(BOOT_S["kvm"], tried.process.popen.kill)
            stack.callback(end.cancel)
            end.start()
            tried.boot(vm)
        except CellFailed as why:
            return str(why)
    return ""
