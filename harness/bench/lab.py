# SPDX-License-Identifier: BSD-3-Clause
"""Where tools are measured: CPUs, folders, rounds; and the tools, started and stopped one after the other.

The generator under test polls on the first CPU, what it sends to on the last, as in cells of the harness.
All tools get hugepages, the same kind of port with the same number of descriptors, and one CPU.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import programs, telemetry
from harness.channel import Channel
from harness.errors import CellFailed
from harness.proc import Process, wait_until

READY_S = 30.0
ANSWER_S = 60.0         # beyond the duration of what was asked for; 10 M flows take seconds to prepare
RING_SIZE = 1024
DISTURBED_RATIO = 0.02  # of the time of a measurement, above which others had too much of the CPUs
TESTPMD = "/usr/bin/dpdk-testpmd"
TESTPMD_MIB = 256
TESTPMD_MBUFS = 16384
RING_PORTS = ("net_ring0", "net_ring1")     # each loops to itself
LOOPED = ((0, 0), (1, 1))                   # (tx, rx) of the streams over them


@dataclass
class Lab:
    """Of one run of the benchmarks. `folder` is for sockets (short path, 0700), `logs` for what programs say."""

    build: Path
    folder: Path
    logs: Path
    cpus: Sequence[int]
    rounds: int
    say: Callable[[str], None]
    measure_s: float = 1.0
    warmup_s: float = 0.3
    processes: list[Process] = field(default_factory=list, init=False)      # that run now
    kept_disturbed: int = field(default=0, init=False)      # rounds that were kept although others had the CPUs
    _disturbed_ratio: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)

    @property
    def generator_cpu(self) -> int:
        return self.cpus[0]

    @property
    def other_cpu(self) -> int:
        return self.cpus[-1]

    def socket(self, name: str) -> str:
        """Path of a vhost-user socket; what is left of an earlier tool there goes away, since a server would refuse to
        start over it."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        return str(path)

    def next_name(self, tool: str) -> str:
        """A name for a process: its log, its DPDK file prefix."""
        self._count += 1
        return f"{self._count:03d}-{tool}"

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Around every measurement: notes how long threads of our processes waited for a CPU that others had."""
        then, before = time.monotonic(), self._waited_s()
        yield
        ratio = (self._waited_s() - before) / (time.monotonic() - then)
        self._disturbed_ratio = max(self._disturbed_ratio, ratio)

    def _waited_s(self) -> float:
        return sum(waited_s(process.pid) for process in self.processes) + stolen_s(self.cpus)

    def in_rounds(self, what: str, tools: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
        """Measure every tool once a round, in turning order. Gives their values by round.

        A round in which others had more than DISTURBED_RATIO of the time is taken again as a whole, whatever it gave,
        up to once a round on average; what is disturbed even then is kept, and said.
        """
        values: dict[str, list[Any]] = {name: [] for name in tools}
        spare, number = self.rounds, 0
        while number < self.rounds:
            self.say(f"{what}: round {number + 1} of {self.rounds}")
            self._disturbed_ratio = 0.0
            got = {name: tools[name]() for name in order(list(tools), number + self.rounds - spare)}
            if self._disturbed_ratio > DISTURBED_RATIO:
                self.say(f"  others had {self._disturbed_ratio:.0%} of a measurement's time: "
                         + ("again" if spare else "kept all the same"))
                if spare:
                    spare -= 1
                    continue
                self.kept_disturbed += 1
            for name, value in got.items():
                values[name].append(value)
            number += 1
        return values


def waited_s(pid: int) -> float:
    """How long the threads of a process have been runnable without a CPU (Documentation/scheduler/sched-stats.rst), but
    for those that are to give way."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            if os.sched_getscheduler(int(file.parent.name)) != os.SCHED_IDLE:
                total += int(file.read_text().split()[1])
        except (OSError, IndexError, ValueError):       # the thread ended, or the kernel does not count
            continue
    return total / 1e9


def stolen_s(cpus: Sequence[int]) -> float:
    """Time that the hypervisor gave to others while these CPUs had work (proc(5), /proc/stat)."""
    names = {f"cpu{cpu}" for cpu in cpus}
    rows = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return sum(int(row[8]) for row in rows if row and row[0] in names) / os.sysconf("SC_CLK_TCK")


def order(names: Sequence[str], number: int) -> list[str]:
    """The order of the tools in a round: forwards, backwards, forwards, ..."""
    return list(names) if number % 2 == 0 else list(reversed(names))


class Ours:
    """One of our programs at work."""

    def __init__(self, lab: Lab, process: Process) -> None:
        self.process = process
        pipe_in, pipe_out = process.popen.stdout, process.popen.stdin
        assert pipe_in and pipe_out
        self.channel = Channel(process.name, pipe_in.fileno(), pipe_out.fileno(), process.check_alive, str(process.log))
        self.ready: Mapping[str, Any] = {}
        self._epoch = 0
        self._lab = lab

    def wait_ready(self) -> None:
        self.ready = self.channel.event("ready", READY_S)

    def wait_links(self, also: Sequence[Process] = ()) -> None:
        wait_until(lambda: all(p["link_up"] for p in self.channel.request("ports", READY_S)["ports"]), READY_S,
                   f"{self.process.name}: link up on all ports", [self.process, *also])

    @property
    def tsc_hz(self) -> float:
        return float(self.ready["tsc_hz"])

    def trial(self, streams: Sequence[Mapping[str, Any]], duration_s: float, **more: Any) -> Mapping[str, Any]:
        """One trial of pktgen with an epoch of its own."""
        self._epoch += 1
        return self.channel.request("trial", duration_s + ANSWER_S, epoch=self._epoch, duration_s=duration_s,
                                    streams=list(streams), **more)

    def warmed(self, streams: Sequence[Mapping[str, Any]], **more: Any) -> Mapping[str, Any]:
        """A short trial that nobody looks at, then the one that counts."""
        self.trial(streams, self._lab.warmup_s)
        with self._lab.measuring():
            return self.trial(streams, self._lab.measure_s, **more)

    def refuses(self, streams: Sequence[Mapping[str, Any]], **more: Any) -> str:
        """Why it does not take a trial with these arguments; empty if it does."""
        try:
            self.trial(streams, 0.01, **more)
        except CellFailed as why:
            self.process.check_alive()
            return str(why)
        return ""

    def memory_mib(self) -> float:
        """The most that was resident at any time, hugepages included."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        sizes = {name: rest.split() for name, _, rest in (text.partition(":") for text in lines)}
        return sum(int(sizes[key][0]) for key in ("VmHWM", "HugetlbPages") if key in sizes) / 1024


@contextmanager
def _known(lab: Lab, process: Process) -> Iterator[None]:
    """The lab's processes have `process` for the time of the block; then it is stopped."""
    lab.processes.append(process)
    try:
        yield
    finally:
        lab.processes.remove(process)
        process.stop()


@contextmanager
def ours(lab: Lab, program: str, vdevs: Sequence[str], own: Sequence[str] = (), *, cpu: int | None = None,
         mib: int = programs.PROCESS_MIB, prefix: Sequence[str] = (), eal: Sequence[str] | None = None,
         wait: bool = True) -> Iterator[Ours]:
    """A program of ours for the time of the block. `prefix` is put before its command, `eal` replaces its options."""
    name = lab.next_name(program)
    cpu = lab.generator_cpu if cpu is None else cpu
    options = programs.host_eal(f"vsw-{lab.folder.name[-8:]}-{name}", cpu, [cpu], vdevs) if eal is None else list(eal)
    if "-m" in options:
        options[options.index("-m") + 1] = str(mib)
    argv = [*prefix, str(lab.build / program), *options, "--", "--idle", "busy", "--ring-size", str(RING_SIZE), *own]
    process = Process(name, argv, lab.logs / f"{name}.log", env={"RUNTIME_DIRECTORY": str(lab.folder)}, piped=True)
    with _known(lab, process):
        tool = Ours(lab, process)
        if wait:
            tool.wait_ready()
        yield tool


class Rival:
    """Somebody else's DPDK program at work, read through DPDK's telemetry only."""

    def __init__(self, process: Process, socket: Path, ports: int) -> None:
        self.process = process
        self._socket = socket
        self._ports = ports

    def counters(self) -> tuple[float, int, int]:
        """Now (s, CLOCK_MONOTONIC), packets received and sent by all ports so far. Now is the middle of the reading."""
        before = time.monotonic()
        stats = self._stats()
        return (before + time.monotonic()) / 2, sum(s["ipackets"] for s in stats), sum(s["opackets"] for s in stats)

    def _stats(self) -> list[Mapping[str, int]]:
        return [telemetry.query(str(self._socket), f"/ethdev/stats,{port}") for port in range(self._ports)]

    def received(self) -> int:
        return self.counters()[1]

    def wait_ports(self, also: Sequence[Process] = ()) -> None:
        """Until telemetry answers and knows all ports."""
        wait_until(self._knows_ports, READY_S, f"{self.process.name}: its ports", [self.process, *also])

    def _knows_ports(self) -> bool:
        try:
            return self._socket.exists() and len(telemetry.query(str(self._socket), "/ethdev/list")) == self._ports
        except CellFailed:
            return False

    def wait_traffic(self, also: Sequence[Process] = ()) -> None:
        """Until each port has received something."""
        self.wait_ports(also)

        def seen() -> bool:
            try:
                return all(stats["ipackets"] > 0 for stats in self._stats())
            except CellFailed:      # it is still starting, or has ended, which wait_until() finds out
                return False

        wait_until(seen, READY_S, f"{self.process.name}: packets on all ports", [self.process, *also])

    def only_workers_count(self) -> None:
        """Its threads that are no DPDK workers get only the time that nobody else wants (sched(7), SCHED_IDLE): for a
        rival whose screen and timer threads spin, and which would starve its own worker on the one CPU that it has."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                if not (task / "comm").read_text().startswith("rte-worker"):
                    os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
            except OSError:     # the thread ended
                continue

    def rx_pps(self, lab: Lab) -> float:
        """Packets received a second, by all ports together."""
        rest(lab.warmup_s)
        with lab.measuring():
            then, before, _ = self.counters()
            rest(lab.measure_s)
            now, after, _ = self.counters()
        self.process.check_alive()
        return (after - before) / (now - then)


def rest(seconds: float) -> None:
    """Let what runs run: the time over which something is measured, not a wait for something."""
    time.sleep(seconds)


@contextmanager
def rival(lab: Lab, tool: str, binary: str, mib: int, vdevs: Sequence[str], own: Sequence[str], *,
          cpu: int | None = None, wait: bool = True) -> Iterator[Rival]:
    """A DPDK program that is not ours, for the time of the block; `own` are its options behind the EAL's."""
    name = lab.next_name(tool)
    prefix = f"vsw-{lab.folder.name[-8:]}-{name}"
    cpu = lab.generator_cpu if cpu is None else cpu
    argv = [binary, "--lcores", programs.lcores(cpu, [cpu]), "--in-memory", "--single-file-segments", "--no-pci",
            "-m", str(mib), "--file-prefix", prefix]
    for vdev in vdevs:
        argv += ["--vdev", vdev]
    process = Process(name, [*argv, "--", *own], lab.logs / f"{name}.log", env={"RUNTIME_DIRECTORY": str(lab.folder)})
    with _known(lab, process):
        seen = Rival(process, lab.folder / "dpdk" / prefix / "dpdk_telemetry.v2", len(vdevs))
        if wait:
            seen.wait_ports()
        yield seen


def testpmd(lab: Lab, vdevs: Sequence[str], own: Sequence[str], *, cpu: int | None = None, wait: bool = True
            ) -> AbstractContextManager[Rival]:
    """testpmd, which starts forwarding by itself."""
    common = ["--nb-cores", "1", "--rxd", str(RING_SIZE), "--txd", str(RING_SIZE), "--total-num-mbufs",
              str(TESTPMD_MBUFS), "--no-lsc-interrupt", "--no-mlockall"]
    return rival(lab, "testpmd", TESTPMD, TESTPMD_MIB, vdevs, [*common, *own], cpu=cpu, wait=wait)


def flowgen(flows: int) -> list[str]:
    """testpmd's options as a generator of 64-byte frames (60 without FCS) that receives and frees what comes."""
    return ["--forward-mode=flowgen", f"--flowgen-flows={flows}", "--txpkts=60"]


def streams(pairs: Sequence[tuple[int, int]], **more: Any) -> list[dict[str, Any]]:
    """Streams of 64-byte frames, saturating unless said otherwise."""
    return [{"tx": tx, "rx": rx, "frame_bytes": 64, **more} for tx, rx in pairs]


def rx_pps(reply: Mapping[str, Any]) -> float:
    """Packets received a second by all streams of a trial together: over the time of sending, or of receiving where
    that took longer."""
    return sum(s["meter"]["received_count"] / max(reply["tx_span_s"], s["meter"]["span_s"]) for s in reply["streams"])


def environment(name: str) -> str:
    return os.environ.get(name, "")
