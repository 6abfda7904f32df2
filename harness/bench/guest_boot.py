# SPDX-License-Identifier: BSD-3-Clause
"""Figure 3 of `bench guests`: from the start of QEMU to the guest's own word that it is ready, for one VM and for five at
once, with two vhost-user NICs each, as in a chain; and what a VM takes of the host's memory.

The other end of the NICs is dpdk-testpmd that forwards nothing: it answers, and leaves the CPUs to the VMs.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import accel, bed, expand, plan, programs, run, scenario
from harness.bench import lab
from harness.bench.lab import Lab
from harness.bench.rows import Row, at_most, row
from harness.cell import Cell
from harness.guest import RunningPeer
from harness.nics import VhostUser
from harness.peers import Peer
from harness.proc import Process

NUMBER = 3
MANY = 5
SWITCH_MIB = 256
MIB = MANY * 384 + SWITCH_MIB
BARS_S = {"tcg": 6.0, "kvm": 1.5}
RATIO = 3.0


def measure(the_lab: Lab) -> list[Row]:
    the_bed = bed.load(None)
    how = accel.decide(the_bed, run.image(), the_lab.folder, the_lab.logs, the_lab.say)
    memory_mib: list[float] = []
    got = the_lab.in_rounds(f"boot of VMs under {how}", {
        "one": lambda: _boot_s(the_lab, the_bed, how, 1, memory_mib),
        "many": lambda: _boot_s(the_lab, the_bed, how, MANY, [])})
    one, many = got["one"], got["many"]
    return [row(NUMBER, f"boot of a VM to ready ({how})", one, "s", at_most(BARS_S[how])),
            row(NUMBER, f"boot of {MANY} VMs at once to ready ({how})", many, "s"),
            row(NUMBER, f"boot of {MANY} VMs over boot of one", [b / a for a, b in zip(one, many)], "ratio",
                at_most(RATIO)),
            row(NUMBER, "memory of a VM beside its hugepages (PSS of QEMU)", memory_mib, "MiB",
                note=f"and {the_bed.guest_memory_mib} MiB of hugepages")]


def _cell(the_bed: bed.Bed, count: int, cpus: tuple[int, ...]) -> Cell:
    table = {"name": "boot", "matrix": {"topology": "loopback", "guest": "qemu", "chain_length": count}}
    [cell] = expand.expand([scenario.from_table("bench guests", table)], the_bed, cpus, ["testpmd"])
    return cell


def _boot_s(the_lab: Lab, the_bed: bed.Bed, how: str, count: int, memory_mib: list[float]) -> float:
    """Until the last of them is ready."""
    cell = _cell(the_bed, count, tuple(the_lab.cpus))
    folder = the_lab.folder / the_lab.next_name("boot")
    folder.mkdir()
    setup = plan.setup(cell, the_bed, run.image(), str(folder), str(the_lab.logs), how)
    vms = [peer for peer in setup.peers if peer.vm]
    with ExitStack() as stack:
        began = time.monotonic()
        guests = [RunningPeer(peer, the_lab.logs, stack) for peer in vms]
        stack.enter_context(_idle_switch(the_lab, vms))
        for guest in guests:
            assert guest.peer.vm
            guest.boot(guest.peer.vm)
        took_s = time.monotonic() - began
        memory_mib += [_pss_mib(guest.process.pid) for guest in guests]
    return took_s


@contextmanager
def _idle_switch(the_lab: Lab, vms: list[Peer]) -> Iterator[None]:
    """Somebody at the other end of all NICs, who polls none of them."""
    nics = [nic for peer in vms if peer.vm for nic in peer.vm.nics if isinstance(nic, VhostUser)]
    name = the_lab.next_name("testpmd")
    argv = [lab.TESTPMD, "--lcores", f"0@{the_lab.cpus[0]},1@{the_lab.cpus[-1]}", "--in-memory",
            "--single-file-segments", "--no-pci", "-m", str(SWITCH_MIB), "--file-prefix", f"vsw-{name}"]
    for index, nic in enumerate(nics):
        argv += ["--vdev", programs.vhost(index, nic.socket)]
    argv += ["--", "--interactive", "--total-num-mbufs", "16384", "--no-lsc-interrupt", "--no-mlockall"]
    process = Process(name, argv, the_lab.logs / f"{name}.log", env={"RUNTIME_DIRECTORY": str(the_lab.folder)})
    try:
        yield
    finally:
        process.stop()


def _pss_mib(pid: int) -> float:
    """Its share of the memory that is not hugepages (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
