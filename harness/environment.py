# SPDX-License-Identifier: BSD-3-Clause
"""What another person needs to know to repeat a run, beside the machine's facts of host.py: CPUs and memory in detail,
how our programs were built, versions and hashes of all that takes part. What cannot be read is left empty; nothing here
fails a run. Sources: RFC 8204 section 3.3, and what artefact evaluations ask for.
"""

import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import host
from harness.bed import Bed

TIMEOUT_S = 10
PACKAGES = Path(__file__).parent / "packages.txt"
CPU = Path("/sys/devices/system/cpu")
BUILD_KEYS = ("CMAKE_BUILD_TYPE", "CMAKE_C_COMPILER", "CMAKE_C_FLAGS", "CMAKE_C_FLAGS_RELEASE",
              "CMAKE_C_FLAGS_RELWITHDEBINFO", "SANITIZE")


def of(build: Path, the_bed: Bed) -> Mapping[str, Any]:
    """Everything, as values for JSON."""
    qemu = shutil.which(the_bed.qemu_binary) or the_bed.qemu_binary
    guest = build / "guest"
    return {
        "host": hashlib.sha256(platform.node().encode()).hexdigest()[:16],     # tells hosts apart without naming them
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", "") if Path("/etc/os-release").exists() else "",
        "lscpu": _json(["lscpu", "--json"]), "caches": _json(["lscpu", "--caches", "--json"]),
        "cpu_settings": _settings(), "hugepages": _hugepages(),
        "address_randomisation": _text("/proc/sys/kernel/randomize_va_space"),
        "nmi_watchdog": _text("/proc/sys/kernel/nmi_watchdog"),
        "irq_default_affinity": _text("/proc/irq/default_smp_affinity"),
        "python": platform.python_version(), "libc": " ".join(platform.libc_ver()),
        "dpdk": _said(["pkg-config", "--modversion", "libdpdk"]), "build": _build(build), "packages": _packages(),
        "qemu": {"version": _said([qemu, "--version"]).partition("\n")[0], "sha256": host.sha256(qemu)},
        "guest": {p.name: host.sha256(p) for p in sorted(guest.glob("*")) if p.is_file()},
        "guest_image": _content(guest / "image.json"),
    }


def _said(argv: Sequence[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
                              check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _json(argv: Sequence[str]) -> Any:
    try:
        return json.loads(_said(argv))
    except ValueError:
        return None


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        return ""


def _settings() -> Mapping[str, str]:
    """What power management and isolation are set to."""
    names = ("isolated", "nohz_full", "online", "smt/control", "cpuidle/current_driver", "cpuidle/current_governor",
             "cpufreq/boost", "intel_pstate/no_turbo", "intel_pstate/status", "cpu0/cpufreq/scaling_driver",
             "cpu0/cpufreq/scaling_min_freq", "cpu0/cpufreq/scaling_max_freq")
    found = {name: _text(CPU / name) for name in names}
    found |= {f"cpuidle/{state.name}": f"{_text(state / 'name')}, disabled {_text(state / 'disable')}"
              for state in sorted((CPU / "cpu0/cpuidle").glob("state*"))}
    return {name: value for name, value in found.items() if value}


def _hugepages() -> Mapping[str, str]:
    """Pages of each size on each NUMA node."""
    return {f"{path.parts[-4]}/{path.parent.name}": _text(path)
            for path in sorted(Path("/sys/devices/system/node").glob("node*/hugepages/*/nr_hugepages"))}


def _build(build: Path) -> Mapping[str, str]:
    """How CMake was told to build our programs."""
    found = {}
    for line in _text(build / "CMakeCache.txt").splitlines():
        key, _, value = line.partition("=")
        if (name := key.partition(":")[0]) in BUILD_KEYS and value:
            found[name] = value
    compiler = found.get("CMAKE_C_COMPILER")
    return {**found, "compiler_version": _said([compiler, "--version"]).partition("\n")[0]} if compiler else found


def _packages() -> Mapping[str, str]:
    """Versions of the Debian packages that vswbench takes."""
    names = [line.split()[0] for line in _text(PACKAGES).splitlines() if line.strip() and not line.startswith("#")]
    said = _said(["dpkg-query", "--show", "--showformat", "${Package}=${Version}\\n", *names])
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
