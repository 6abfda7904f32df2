# SPDX-License-Identifier: BSD-3-Clause
"""The contract of a switch driver.

A driver describes; it never starts anything. launch() and wire() give lists of steps, which testbed.py does in order
and `plan` prints. They are pure: a function of the cell's topology, its core plan and paths under the run's folder.

Ports of the kinds vhost-user and memif are sockets of the peers' (site.sockets); of the kinds af_packet and af_xdp they
are network devices (site.devices) in the switch's network namespace, which are there before the switch is.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from harness.cores import CorePlan
from harness.cost import Cycles
from harness.schema import Field
from harness.topology import Topology
from harness.traffic import ETHERNET_BYTES, FCS_BYTES, STANDARD_FRAME_BYTES
from harness.virtio import Virtio


@dataclass(frozen=True)
class File:
    """Write this text to this path (inside the run's folder)."""

    path: str
    text: str


@dataclass(frozen=True)
class Command:
    """Run to the end; anything but exit status 0 fails the cell. So does another output than `says` (without the space
    around it), for tools whose exit status is 0 whatever happened."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    says: str | None = None


@dataclass(frozen=True)
class Spawn:
    """Start a process that lives as long as the cell; the next step waits until the path `ready` exists."""

    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    ready: str = ""


@dataclass(frozen=True)
class Await:
    """Wait until the peer of this switch port has made its socket."""

    path: str


@dataclass(frozen=True)
class Namespace:
    """Make a network namespace of this name (ip-netns(8)). With the cell it goes, and all devices in it."""

    name: str


@dataclass(frozen=True)
class Cgroup:
    """Make a control group at this path whose processes have these CPUs; none: those of the group that it is in. With
    the cell it goes."""

    path: str
    cpus: tuple[int, ...] = ()


Step = File | Command | Spawn | Await | Namespace | Cgroup


NAMESPACE_TOOLS = {"ip": "iproute2", "nsenter": "util-linux"}     # of Namespace and inside(), and their packages


def inside(namespace: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The command in that network namespace."""
    return ("nsenter", f"--net=/run/netns/{namespace}", "--", *argv)


@dataclass(frozen=True)
class Site:
    """Where a switch works: its folder, the sockets of its ports (by index of the topology's ports), its CPUs."""

    folder: str
    sockets: tuple[str, ...]
    topology: Topology
    cores: CorePlan
    prefix: str             # installation prefix, e.g. /usr
    ring_size: int
    file_prefix: str        # for DPDK's --file-prefix
    frame_max_bytes: int = STANDARD_FRAME_BYTES     # the largest that must get through, FCS included
    virtio: Virtio = Virtio()   # what its ports are like
    options: Mapping[str, Any] = field(default_factory=dict)    # every key of Driver.options
    port_kind: str = "vhost-user"
    namespace: str = ""     # the switch's; it is there if ports are devices
    build: str = ""         # folder of what CMake builds
    taps: tuple[str, ...] = ()  # those of its devices that are VMs' taps, which have no other end
    nfs: tuple[str, ...] = ()   # of the guests of a chain, with their arguments
    nics: tuple[str, ...] = ()  # by index of the topology's ports: the PCI address of a NIC, whose socket is empty

    @property
    def devices(self) -> tuple[str, ...]:
        """Network devices of the ports (by index of the topology's ports); none where ports are sockets."""
        return tuple(port.name for port in self.topology.ports) if not self.sockets else ()

    def inside(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command where the devices are, if any."""
        return inside(self.namespace, argv) if self.devices else tuple(argv)

    @property
    def queues(self) -> int:
        """Queue pairs a port."""
        return self.virtio.queues

    @property
    def makes_sockets(self) -> bool:
        """The switch is the server of its ports' sockets, and starts before its peers."""
        return self.virtio.sockets == "switch"

    @property
    def jumbo(self) -> bool:
        """Some frames are larger than every Ethernet carries, so ports must be told."""
        return self.frame_max_bytes > STANDARD_FRAME_BYTES

    @property
    def mtu(self) -> int:
        """What an untagged frame of that size carries behind its Ethernet header."""
        return self.frame_max_bytes - ETHERNET_BYTES - FCS_BYTES

    def path(self, name: str) -> str:
        return str(PurePosixPath(self.folder) / name)


@dataclass(frozen=True)
class Check:
    """What check() found. `missing`: empty if the switch can run, else what is missing and the cure."""

    version: str
    missing: str = ""
    files: tuple[str, ...] = ()     # binaries whose hashes are recorded


@dataclass(frozen=True)
class PortCounters:
    """Packets as the switch counted them, since its start. None: it does not tell."""

    port: str
    rx_count: int | None
    tx_count: int | None
    dropped_count: int | None


Output = Callable[[Sequence[str]], str]     # runs a control command, gives its stdout


class Driver:
    """A switch: what every driver derives from. `name` is the word people type, `ports` the port kinds it can do.

    `hugepages_mib` is what it takes of hugepages; `options` are what people may set of it, with defaults (options.py);
    Site.options has them. `built` are files of the build folder (site.build) that it takes,
    `tools` programs of the machine's, with their packages, that its steps run by name alone (beside those of proc.py).
    check() may run `--version` of its binary and nothing else.
    devices() are steps, done before the peers start, of a switch that makes its ports' devices itself. launch(), wire()
    and devices() raise Unsupported where the switch cannot do a topology. counters() and cycles() ask the running
    switch, and raise CellFailed if it answers something else; cycles() is None where a switch cannot tell.
    """

    name: str
    ports: tuple[str, ...]
    hugepages_mib: int = 0
    options: Mapping[str, Field] = {}
    built: tuple[str, ...] = ()
    tools: Mapping[str, str] = {}

    def check(self, prefix: str) -> Check:
        raise NotImplementedError

    def devices(self, site: Site) -> list[Step]:
        return []

    def launch(self, site: Site) -> list[Step]:
        raise NotImplementedError

    def wire(self, site: Site) -> list[Step]:
        return []

    def counters(self, site: Site, output: Output) -> list[PortCounters]:
        raise NotImplementedError

    def cycles(self, site: Site, output: Output) -> Cycles | None:
        return None


def said_by(argv: Sequence[str]) -> str:
    """What a program says of its version (stdout, then stderr); empty if it cannot be run or does not end."""
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def prefix_variable(name: str) -> str:
    """The environment variable that says where this switch is installed."""
    return f"VSWBENCH_{name.upper().replace('-', '_')}_PREFIX"


def build_it_yourself(name: str, binary: str) -> str:
    """What is missing, and the cure, of a switch that Debian has no package of."""
    return (f"{binary} is not there: build {name} from its sources, and say where it is installed with "
            f"--switch {name}={name}@PREFIX or {prefix_variable(name)}=PREFIX")


def cpu_mask(cpus: Sequence[int]) -> str:
    """CPU numbers as the hexadecimal mask that DPDK and OVS take."""
    return hex(sum(1 << cpu for cpu in cpus))
