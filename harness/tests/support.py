# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the harness share: seeds, plans without a machine, and vswbench as a process of its own.

VSW_TEST_SEED repeats a run of the tests that try random values.
"""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import bed, expand, plan, ports, scenario
from harness.cell import Cell
from harness.cores import assign
from harness.errors import Unsupported
from harness.isolation import WHOLE, Isolation
from harness.peers import Image
from harness.plan import Setup
from harness.switches import SWITCHES
from harness.switches.base import Site, Step, prefix_variable
from harness.topology import CHAIN_MAX, GENERATOR, Topology, build
from harness.trial import Direction, Request, Trial, make
from harness.virtio import Virtio

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "scenarios" / "suites" / "quick.toml"
SEED = int(os.environ.get("VSW_TEST_SEED") or str(time.time_ns() % 1_000_000_000), 0)
IMAGE = Image("$BUILD", "$BUILD/guest/vmlinux", "$BUILD/guest/initramfs.cpio")
FOLDER = "/run/vswbench-01234567/c1"
CPUS = (0, 1, 2, 3)
# Where real switches are: tests themselves do not see these variables (conftest.py).
INSTALLED = {driver.name: os.environ.get(prefix_variable(driver.name), "/usr") for driver in SWITCHES}

# A testbed with NICs.
NICS = """
name = "nics"
[ports.pci]
generator = ["0000:01:00.0", "0000:01:00.1"]
switch = ["0000:3b:00.0", "0000:3b:00.1"]
"""
NULL_CELL = """
[matrix]
topology = "p2p"
port_kind = "ring"
switch = "null"
"""


def seeded() -> random.Random:
    """A generator whose seed stands in the output of a test that fails."""
    print(f"VSW_TEST_SEED={SEED}")
    return random.Random(SEED)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def executable(path: Path, text: str) -> Path:
    write(path, text).chmod(0o755)
    return path


def cells_of(*files: Path, cpus: Sequence[int] = CPUS, switches: Sequence[str] = (), testbed: Path | None = None,
             ) -> list[Cell]:
    return expand.expand([s for f in files for s in scenario.load(f)], bed.load(testbed), cpus, switches)


def cells_of_text(folder: Path, text: str, **more: Any) -> list[Cell]:
    """The cells of a scenario given as text; its name is added."""
    return cells_of(write(folder / "made-up.toml", 'name = "made-up"\n' + text), **more)


def setup_of(cell: Cell, folder: str = FOLDER, apart: Isolation = WHOLE) -> Setup:
    return plan.setup(cell, bed.load(None), IMAGE, folder, "$LOGS", "tcg", apart=apart)


def meter(received: int, *, span_s: float = 0.0, latency: Any = None, **counts: Any) -> dict[str, Any]:
    """What a meter says of one direction."""
    zero = dict.fromkeys(("duplicate_count", "reordered_count", "old_count", "stale_count", "foreign_count"), 0)
    return {**zero, "received_count": received, "span_s": span_s, "latency": latency, **counts}


def direction(sent: int, received: int, *, intended: int | None = None, full: int = 0, with_latency: bool = True,
              sender: Mapping[str, Any] | None = None, **of_meter: Any) -> Direction:
    return Direction(intended, sent, full, meter(received, **of_meter), with_latency, sender or {})


def made(directions: Sequence[Direction], *, phase: str = "rplus", rate_pps: float | None = None,
         duration_s: float = 1.0,
         missed_count: int = 0, clock_error_ppm: float = 0.0, drained: bool = True,
         cell_flags: Sequence[str] = (), loops: Sequence[Mapping[str, Any]] = (), interval_s: float = 0,
         skew_s: float | None = None) -> Trial:
    """A trial of these directions, with nothing amiss unless said."""
    return make(Request(phase, rate_pps, duration_s), "2000-01-01T00:00:00.000+00:00", duration_s, directions,
                missed={"imissed": missed_count}, clock_error_ppm=clock_error_ppm, drained=drained,
                cell_flags=cell_flags, loops=loops, interval_s=interval_s, skew_s=skew_s)


def eventually(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """The first true value of condition(); fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)
    return value


# ---- sites of switches, and what switches say ----------------------------------------------------------------------

OPTIONS = {key: field.default for driver in SWITCHES for key, field in driver.options.items()}


def site_of(topology: Topology, folder: str = FOLDER, prefix: str = "/opt/switch", cpus: int = 4,
            kind: str = "vhost-user", **options: Any) -> Site:
    nics = tuple(f"0000:3b:00.{p.peer_port}" if kind == "pci" and p.peer == GENERATOR else "" for p in topology.ports)
    sockets = tuple("" if nic else f"{folder}/{p.name}" for nic, p in zip(nics, topology.ports))
    sockets = () if kind in ports.ON_DEVICES else sockets
    return Site(f"{folder}/switch", sockets, topology, assign(range(cpus), 1, ["generator"]), prefix, 512,
                "vsw-0-switch", options=OPTIONS | options, port_kind=kind, namespace=ports.namespace(folder),
                build="/opt/switch/build", virtio=Virtio(queues=2 if kind == "memif" else 1),   # what all switches have
                nics=nics)


def every_topology() -> list[Topology]:
    return [build("p2p", 0, "two-way"), build("p2v", 0, "one-way"), build("v2v", 0, "one-way"),
            build("v2v-latency", 0, "one-way"),
            *(build("loopback", n, "one-way") for n in (1, 2, CHAIN_MAX))]


def steps_of(driver: Any, site: Site) -> list[Step]:
    try:
        launch = driver.launch(site)
        return [*driver.devices(site), *launch, *driver.wire(site)]
    except Unsupported:
        return []


STRANGE = {"an empty file": "", "one that crashes": "#!/bin/sh\nkill -SEGV $$\n",
           "one that fails": "#!/bin/sh\nexit 1\n",
           "one with no interpreter": "#!/nowhere/sh\n", "one that says nothing known": "#!/bin/sh\necho hello\n",
           "one that says no text": "#!/bin/sh\nprintf '\\377\\376'\n"}

# ovs-ofctl --no-names dump-ports, of Open vSwitch 3.1.0 with DPDK 22.11.11
OVS_OUTPUT = """OFPST_PORT reply (xid=0x2): 3 ports
  port LOCAL: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=0, bytes=0, drop=0, errs=0, coll=0
  port  1: rx pkts=19140639, bytes=1148438340, drop=0, errs=0, frame=?, over=?, crc=?
           tx pkts=7, bytes=0, drop=5, errs=?, coll=?
  port  2: rx pkts=0, bytes=0, drop=?, errs=0, frame=?, over=?, crc=?
           tx pkts=2537024, bytes=152221440, drop=16603615, errs=?, coll=?
"""

# vpp_get_stats socket-name ... dump ^/if/names ^/if/rx ^/if/tx ^/if/drops ^/err/VirtualEthernet, of VPP 23.06 with one
# worker, without what nobody reads
VPP_STATS = """[1 @ 0]: 0 packets /if/drops
[2 @ 0]: 0 packets /if/drops
[1 @ 1]: 2850 packets /if/drops
[2 @ 1]: 2562 packets /if/drops
[1 @ 0]: 0 packets, 0 bytes /if/rx
[2 @ 0]: 0 packets, 0 bytes /if/rx
[1 @ 1]: 242130 packets, 14527800 bytes /if/rx
[2 @ 1]: 241554 packets, 14493240 bytes /if/rx
[1 @ 0]: 0 packets, 0 bytes /if/tx
[2 @ 0]: 0 packets, 0 bytes /if/tx
[1 @ 1]: 241554 packets, 14493240 bytes /if/tx
[2 @ 1]: 242130 packets, 14527800 bytes /if/tx
[1]: VirtualEthernet0/0/0 /if/names
[2]: VirtualEthernet0/0/1 /if/names
[0 @ 0]: 0 packets /err/VirtualEthernet0/0/0-tx/tx packet drops (no available descriptors)
[0 @ 1]: 2850 packets /err/VirtualEthernet0/0/0-tx/tx packet drops (no available descriptors)
[0 @ 0]: 0 packets /err/VirtualEthernet0/0/1-tx/tx packet drops (no available descriptors)
[0 @ 1]: 2562 packets /err/VirtualEthernet0/0/1-tx/tx packet drops (no available descriptors)
"""

DPDK_GREETING = {"version": "DPDK 22.11.11", "pid": 5, "max_output_len": 16384}
DPDK_STATS = {"ipackets": 100, "opackets": 90, "ibytes": 6000, "obytes": 5400, "imissed": 3, "ierrors": 1, "oerrors": 7,
              "rx_nombuf": 0, "q_ipackets": [100] + [0] * 15}


def dpdk_stats(command: str) -> bytes:
    return json.dumps({command.partition(",")[0]: DPDK_STATS}).encode()


# ---- vswbench as a process -----------------------------------------------------------------------------------------

# The lock and the folders of runs lie in a folder of the test: a measurement on this machine is not disturbed by the
# tests, and does not disturb them.
LAUNCHER = """
import sys
from pathlib import Path
from harness import cli, host
root = Path(sys.argv[1])
host.runtime_root = lambda: root
host.lock_path = lambda: root / "vswbench.lock"
sys.exit(cli.main(sys.argv[2:]))
"""


def start_vswbench(root: Path, *arguments: object) -> "subprocess.Popen[str]":
    """vswbench with a runtime folder of its own."""
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, str(root), *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"})


def vswbench(root: Path, *arguments: object, timeout_s: float = 30) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a whole vswbench."""
    with start_vswbench(root, *arguments) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


def real_run(tmp_path: Path, text: str, *words: str, timeout_s: float) -> tuple[Path, list[dict[str, str]]]:
    """The results folder of a real run of this scenario, and its rows of trials.csv. In each of them what was sent was
    received or lost, and nothing else came. `words`: further arguments."""
    file = write(tmp_path / "real.toml", text)
    with tempfile.TemporaryDirectory(prefix="vsw", dir="/tmp") as root:     # in which a unix socket's path fits
        status, out, err = vswbench(Path(root), "run", file, "--out", tmp_path / "results", "--json", *words,
                                    timeout_s=timeout_s)
    assert status == 0, out + err
    [folder] = (tmp_path / "results").iterdir()
    with (folder / "trials.csv").open(newline="") as trials:
        rows = list(csv.DictReader(trials))
    for row in rows:
        sent, received, lost, foreign = (int(row[f"{what}_count"]) for what in ("sent", "received", "lost", "foreign"))
        assert (sent, foreign) == (received + lost, 0) and received > 0, row
    return folder, rows


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_of(root: Path) -> list[int]:
    """Processes whose environment names `root`, as that of everything a run starts does."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            mine = entry.name.isdigit() and f"={root}".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if mine and is_running(int(entry.name)):
            found.append(int(entry.name))
    return found


def words_missing(text: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in text]
