# SPDX-License-Identifier: BSD-3-Clause
"""The machine: its lock, its hugepages, what a killed run left behind, and its facts.

Everything of a run lives in one folder with mode 0700 under /run (for root; else under the temporary folder). Its path
is short, since unix sockets need that. What has to be undone after a SIGKILL stands in `undo.json` there; the next run
does it. Processes need no list: the kernel kills them with the harness (proc.py), and one that it missed, because the
harness died in the moment of its start, is known by the run's folder in its environment.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness import cgroup
from harness.errors import CannotRun

HUGEPAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
HUGEPAGE_SPARE = 32         # DPDK rounds its memory up to whole pages here and there
MEMORY_SPARE_MIB = 512      # left to the rest of the machine
PREFIX = "vswbench-"
NAMESPACES = Path("/run/netns")
SHARED = Path("/dev/shm")
PCI_DEVICES = Path("/sys/bus/pci/devices")
# through which DPDK has a NIC; Mellanox's keep theirs (DPDK Guides, linux_gsg/linux_drivers.rst)
NIC_DRIVERS = ("vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core")
RUN_VARIABLE = "VSWBENCH_RUN"   # in the environment of every process of a run: the run's folder


def runtime_root() -> Path:
    """/run for root, else the temporary folder."""
    return Path("/run") if os.geteuid() == 0 else Path(tempfile.gettempdir())


def lock_path() -> Path:
    """One for all users of the machine."""
    shared = Path("/run/lock")
    return (shared if shared.is_dir() else Path("/tmp")) / "vswbench.lock"


def _open_lock(path: Path) -> int:
    """Open the lock file, made if need be so that every user can lock it; never through a link. CannotRun."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)     # without O_CREAT: the kernel refuses that for others' files in such folders
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(fd, 0o666)
            return fd
    except OSError as error:
        raise CannotRun(f"the lock {path} cannot be opened: {error.strerror}: remove it if it is no file of vswbench's"
                        ) from None


@contextmanager
def hold_machine(what: str) -> Iterator[None]:
    """Be the only run on this machine. CannotRun says who holds it otherwise. The kernel drops the lock if we die."""
    with os.fdopen(_open_lock(lock_path()), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotRun(f"another run holds this machine: {file.read().strip() or 'unknown'}; "
                            "wait for it, or stop it") from None
        file.truncate()
        file.write(f"pid {os.getpid()}, {what}\n")
        file.flush()
        yield
        file.seek(0)
        file.truncate()


@contextmanager
def run_folder(run_id: str) -> Iterator[Path]:
    """The run's own folder for sockets and the like, taken away at the end. Clears what killed runs left first; call it
    while holding the machine."""
    for old in runtime_root().glob(PREFIX + "*"):
        if old.is_dir() and not old.is_symlink() and old.stat().st_uid == os.geteuid():
            undo_leftover(old)
    folder = runtime_root() / (PREFIX + hashlib.sha256(run_id.encode()).hexdigest()[:8])
    folder.mkdir(mode=0o700)
    os.environ[RUN_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[RUN_VARIABLE]
        remove_shared(folder)
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Pids of the processes that a run with this folder started and that still live."""
    mark = f"{RUN_VARIABLE}={folder}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:
            continue        # ended meanwhile, or another user's
    return [pid for pid in found if pid != os.getpid()]


def end_processes(folder: Path) -> None:
    """Kill the processes of the run with this folder, wherever they hang."""
    for pid in processes_of(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def remove_namespace(name: str) -> None:
    """Take a network namespace away with all devices in it, if it is there."""
    if (NAMESPACES / name).exists():
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20, check=False)


def remove_shared(folder: Path) -> None:
    """Take away the shared memory (shm_open(3)) that a killed switch of the run with this folder has left: where a
    switch must have such, its name begins with that of the folder."""
    for left in SHARED.glob(folder.name + "-*"):
        with suppress(OSError):
            left.unlink()


def undo_leftover(folder: Path) -> None:
    """End what is left of a killed run's processes, undo what stands in its undo.json, then remove its network
    namespaces (ports.py names them), control groups (isolation.py), its shared memory and its folder."""
    end_processes(folder)
    remove_shared(folder)
    for left in NAMESPACES.glob(folder.name + "-*"):
        remove_namespace(left.name)
    for group in cgroup.leftovers(folder.name):
        cgroup.remove(group)
    try:
        undo = json.loads((folder / "undo.json").read_text())
        pages = undo.get("hugepages_count")
        if type(pages) is int and 0 <= pages < hugepages("nr"):     # True is no number of pages
            _write_hugepages(pages)
    except (OSError, ValueError, AttributeError, RecursionError):
        pass        # it had nothing to undo, or was killed before it could write it
    shutil.rmtree(folder, ignore_errors=True)


def hugepages(which: str) -> int:
    """2 MiB pages: "nr" there are, "free" of them. 0 if the kernel has none."""
    try:
        return int((HUGEPAGES / f"{which}_hugepages").read_text())
    except (OSError, ValueError):
        return 0


def gigantic_pages_free() -> int:
    """Free hugepages of 1 GiB: only a boot can reserve them, so they are never made here."""
    return int(_read(f"{HUGEPAGES.parent}/hugepages-1048576kB/free_hugepages") or 0)


def _write_hugepages(count: int) -> None:
    (HUGEPAGES / "nr_hugepages").write_text(str(count))


@contextmanager
def enough_hugepages(needed: int, folder: Path, say: Any) -> Iterator[None]:
    """See that `needed` 2 MiB pages are free; raise the number if not, and put it back at the end. `say` gets a line
    when something is changed. CannotRun if it cannot be."""
    before, free = hugepages("nr"), hugepages("free")
    if needed == 0 or free >= needed + HUGEPAGE_SPARE:
        yield
        return
    wanted = before + needed + HUGEPAGE_SPARE - free
    check_hugepages_possible(needed)
    (folder / "undo.json").write_text(json.dumps({"hugepages_count": before}))
    say(f"hugepages: {free} of 2 MiB are free, {needed + HUGEPAGE_SPARE} are needed: raising their number from "
        f"{before} to {wanted}, and back at the end")
    try:
        _write_hugepages(wanted)
        if hugepages("free") < needed:
            raise CannotRun(f"the kernel gave only {hugepages('nr')} of {wanted} hugepages (memory is short or in "
                            "pieces): stop other programs, or reserve them at boot with hugepages=N")
        yield
    finally:
        _write_hugepages(before)


def check_hugepages_possible(needed: int) -> None:
    """CannotRun with the cure if `needed` more 2 MiB pages cannot be had."""
    if not HUGEPAGES.is_dir():
        raise CannotRun("this kernel has no 2 MiB hugepages (CONFIG_HUGETLBFS): use another kernel, or the null switch")
    if os.geteuid() != 0:
        raise CannotRun(f"{needed} free hugepages are needed and only root can reserve them: run as root, or the null "
                        "switch (scenarios/null.toml)")
    short = max(0, needed + HUGEPAGE_SPARE - hugepages("free"))
    if short and not os.access(HUGEPAGES / "nr_hugepages", os.W_OK):
        raise CannotRun(f"{short} hugepages are missing and {HUGEPAGES} cannot be written (a container?): reserve them "
                        f"outside with `sysctl vm.nr_hugepages={hugepages('nr') + short}`")
    if memory_mib("MemAvailable") < 2 * short + MEMORY_SPARE_MIB:
        raise CannotRun(f"too little memory: {2 * short} MiB of hugepages are missing and "
                        f"{memory_mib('MemAvailable')} MiB are available: measure fewer guests, or use a larger "
                        "machine")


def memory_mib(what: str) -> int:
    """A line of /proc/meminfo in MiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) // 1024
    return 0


def nic_driver(address: str) -> str | None:
    """The kernel's driver of a PCI device; empty if it has none, None if there is no such device."""
    link = PCI_DEVICES / address / "driver"
    if not link.parent.exists():
        return None
    return link.resolve().name if link.exists() else ""


def has_vhost_net() -> bool:
    """Can the kernel itself work on the queues of a VM's tap devices?"""
    return os.access("/dev/vhost-net", os.R_OK | os.W_OK)


def cpus() -> list[int]:
    """CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0))


def sha256(path: str | os.PathLike[str]) -> str:
    """Of a file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def one_sha256(hashes: Sequence[str]) -> str:
    """One hash of several files, of their hashes in this order; of one file its own. Empty if there is none."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def facts() -> Mapping[str, Any]:
    """What a reader of the results needs to know of the machine (RFC 8204 section 3.3)."""
    cpuinfo = dict(line.split(":", 1) for line in _read("/proc/cpuinfo").split("\n\n")[0].splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in cpuinfo.items()}
    vulnerabilities = Path("/sys/devices/system/cpu/vulnerabilities")
    return {
        "cpu_model": info.get("model name", ""), "cpu_microcode": info.get("microcode", ""),
        "cpu_count": os.cpu_count(), "cpus_usable": cpus(), "hypervisor": "hypervisor" in info.get("flags", "").split(),
        "kernel": platform.release(), "kernel_cmdline": _read("/proc/cmdline"), "memory_mib": memory_mib("MemTotal"),
        "hugepages_2mib_count": hugepages("nr"),
        "transparent_hugepages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "smt_active": _read("/sys/devices/system/cpu/smt/active"), "load_average": list(os.getloadavg()),
        "vulnerabilities": {p.name: _read(str(p)) for p in sorted(vulnerabilities.glob("*"))},
    }
