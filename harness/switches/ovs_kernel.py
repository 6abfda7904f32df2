# SPDX-License-Identifier: BSD-3-Clause
"""ovs-kernel: Open vSwitch with the datapath of the kernel, its module `openvswitch`. Forwarding happens where a frame
is received, so on the CPU to which the ports' devices are steered; the daemon only answers what the kernel does not
know.
"""

import platform
from dataclasses import replace
from pathlib import Path

from harness.switches.base import Check, Site
from harness.switches.ovs import Ovs

MODULE = "openvswitch"


class OvsKernel(Ovs):
    name = "ovs-kernel"
    ports = ("af_xdp", "af_packet")
    package = "openvswitch-switch"
    datapath = "system"

    def checked(self, check: Check, said: str) -> Check:
        if has_module(Path("/")):
            return check
        return replace(check, missing=f"the kernel {platform.release()} has no module {MODULE} (CONFIG_OPENVSWITCH): "
                                      "boot the distribution's own kernel")

    def daemon_cpu(self, site: Site) -> int | None:
        return site.cores.control


def has_module(root: Path) -> bool:
    """Is it loaded, or could it be?"""
    if (root / "sys/module" / MODULE).is_dir():
        return True
    folder = root / "lib/modules" / platform.release()
    return any(f"/{MODULE}.ko" in _text(folder / name) for name in ("modules.dep", "modules.builtin"))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
