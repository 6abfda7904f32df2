# SPDX-License-Identifier: BSD-3-Clause
"""Brings a cell's testbed up and measures on it. All effects of a cell are here, on one ExitStack:

    up(): devices made > peers started > switch launched > ports wired > peers ready > links up
          > a probe frame through every wire; some kinds of ports want the switch first, or behind ready peers
    measure(request) -> trial
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from harness import cgroup, hops, host, kernelnf, ledger, programs, traffic, trial
from harness.cell import Cell
from harness.channel import Channel, together
from harness.errors import CellFailed
from harness.guest import RunningPeer
from harness.observe import Observer
from harness.plan import Setup
from harness.proc import Process, run_command, wait_until
from harness.switches import find
from harness.switches.base import Await, Cgroup, Command, Driver, File, Namespace, PortCounters, Spawn, Step
from harness.topology import Flow
from harness.trial import Direction, Request, Trial

SOCKET_S = 20.0         # for a socket to appear
LINK_S = 20.0           # DPDK's vhost client tries again once a second
PROBE_S = 20.0          # a learning switch or an emulated guest may need a while
PROBE = "probe"         # the phase of trials that only look whether frames get through
PROBE_PPS = 1000.0
ANSWER_S = 30.0         # beyond a trial's duration
ASK_S = 5.0             # for the switch to say anything
SILENCE_S = 0.02        # a trial is over when nothing has come for so long,
SHARED_SILENCE_S = 0.1      # or for so long where pollers wait for one another's CPU: 19 ms at most in 228 such trials
DRAIN_MAX_S = 5.0           # it is over anyway
LEARN_AGAIN_S = 60.0        # switches forget addresses that they have not seen for minutes
SOCKET_PATH_MAX = 107   # bytes of a unix socket's path
EPOCHS = 65536          # the stamp's epoch has 16 bits


@dataclass(frozen=True)
class _Counted:
    """A trial as the programs counted it: what was sent and received of each direction, and what the programs that
    sent (`senders`) and those that received say of themselves."""

    streams: Sequence[Mapping[str, Any]]
    meters: Sequence[Mapping[str, Any]]
    senders: Sequence[Mapping[str, Any]]
    receivers: Sequence[Mapping[str, Any]]
    drained: bool
    skew_s: float | None = None

    @property
    def missed(self) -> Mapping[str, int]:
        """What the ports of the tester dropped, by counter where the program tells them apart."""
        counts: Counter[str] = Counter()
        for reply in self.receivers:
            counts.update(reply.get("missed") or {"imissed": reply["missed_count"]})
        return counts

    @property
    def steal_ns(self) -> int | None:
        """Of the machine; a VM does not see it whole."""
        return max((s for reply in self.senders if (s := reply.get("steal_ns")) is not None), default=None)


def _check_socket_paths(setup: Setup) -> None:
    """CellFailed if a path is too long for a unix socket: what every program says of it is worse."""
    paths = [*setup.site.sockets, *(path for p in setup.peers if p.vm for path in (p.vm.control_socket, p.vm.qmp_socket))]
    launch = str(setup.launch)
    if setup.site.file_prefix in launch and "--no-telemetry" not in launch:     # a switch on DPDK makes one of its own
        paths.append(f"{setup.site.folder}/dpdk/{setup.site.file_prefix}/dpdk_telemetry.v2")
    longest = max(paths, key=lambda path: len(path.encode()), default="")
    if (size := len(longest.encode())) > SOCKET_PATH_MAX:
        raise CellFailed(f"socket path too long: {longest} has {size} bytes, at most {SOCKET_PATH_MAX} are allowed "
                         "(unix(7)): let TMPDIR name a shorter folder")


class Testbed:
    """A cell's switch, guests and generator, up and running."""

    def __init__(self, cell: Cell, setup: Setup, logs: Path, stack: ExitStack) -> None:
        self.cell = cell
        self.setup = setup
        self.logs = logs
        self.peers: dict[str, RunningPeer] = {}
        self.switch: list[Process] = []
        self._stack = stack
        self._epoch = 0
        self._measured = 0                  # trials and probes so far
        self._learned = 0.0                 # when the switch last saw all addresses
        self._received: list[int] = []      # of the last trial, by direction
        self._sums = [ledger.Traffic(0, 0) for _ in cell.topology.flows]     # of all trials, by direction
        self._counted: list[PortCounters] = []      # by the switch, before the first trial

    # -- coming up -----------------------------------------------------------------------------------------------

    def bring_up(self) -> None:
        _check_socket_paths(self.setup)
        Path(self.setup.site.folder).mkdir(parents=True)
        for step in (*self.setup.network, *self.setup.devices):
            self._do(step)
        if self.setup.switch_first:
            self._start_switch()
        for peer in self.setup.peers:
            self.peers[peer.name] = RunningPeer(peer, self.logs, self._stack, self._check_all)
        if not (self.setup.switch_first or self.setup.peers_first):
            self._start_switch()
        with self._blaming_the_switch():
            for peer in self.peers.values():
                peer.ready()
        if self.setup.peers_first:
            self._start_switch()
        with self._blaming_the_switch():
            for peer in self.peers.values():
                wait_until(peer.links_up, LINK_S, f"{peer.peer.name}: link up on all ports", self._processes())
            self._learn()
            wait_until(self._probed, PROBE_S, "a probe frame through every wire", self._processes())
        try:
            self._counted = self.counters()
        except CellFailed:
            pass        # asked again at the end, which then says so

    def _start_switch(self) -> None:
        for step in (*self.setup.launch, *self.setup.wire):
            self._do(step)

    @contextmanager
    def _blaming_the_switch(self) -> Iterator[None]:
        """What peers wait for in vain, they often do for its sake: if it does not answer, the failure says so, too."""
        try:
            yield
        except CellFailed as why:
            for process in self.switch:
                process.check_alive()
            if self.switch and (silence := self._silence()):
                raise CellFailed(f"{why}; nor does the switch answer: {silence}") from None
            raise

    def _silence(self) -> str:
        """Why the switch does not answer, if it does not: asked for its counters."""
        if stopped := [process.name for process in self.switch if process.is_stopped()]:
            return f"{stopped[0]} is stopped, as by SIGSTOP"
        try:
            self._driver().counters(self.setup.site, self._soon)
        except CellFailed as why:
            return str(why)
        return ""

    def _check_all(self) -> None:
        """CellFailed if a process of the switch or a peer has ended: the others would only wait for it."""
        for process in self._processes():
            process.check_alive()

    def _processes(self) -> list[Process]:
        return [*self.switch, *(peer.process for peer in self.peers.values())]

    def _do(self, step: Step) -> None:
        if isinstance(step, File):
            Path(step.path).write_text(step.text)
        elif isinstance(step, Command):
            said = run_command(step.argv, self.logs / "commands.log", env=dict(step.env), alive=self._processes())
            if step.says is not None and said.strip() != step.says:
                raise CellFailed(f"command said {said.strip()!r:.200} instead of {step.says!r}: {' '.join(step.argv)}; "
                                 f"see {self.logs / 'commands.log'}")
        elif isinstance(step, Await):
            wait_until(Path(step.path).exists, SOCKET_S, f"socket {step.path}", self._processes())
        elif isinstance(step, Namespace):
            self._stack.callback(host.remove_namespace, step.name)      # first: a signal may come in between
            run_command(("ip", "netns", "add", step.name), self.logs / "commands.log")
        elif isinstance(step, Cgroup):
            self._stack.callback(cgroup.remove, Path(step.path))
            cgroup.make(Path(step.path), step.cpus)
        else:
            self._spawn(step)

    def _spawn(self, step: Spawn) -> None:
        process = Process(step.name, step.argv, self.logs / f"{step.name}.log", env=dict(step.env))
        self._stack.callback(process.stop)
        self.switch.append(process)
        if step.ready:
            wait_until(Path(step.ready).exists, SOCKET_S, f"{step.name}: {step.ready}", [process])

    def _probed(self) -> bool:
        """One frame a millisecond, 50 of them, in each direction: has one come through?"""
        seen = self.measure(Request(PROBE, PROBE_PPS, 0.05), flags=())
        return seen.received_count > 0 and all(c > 0 for c in self._received)

    # -- measuring -----------------------------------------------------------------------------------------------

    def measure(self, request: Request, flags: Sequence[str] | None = None) -> Trial:
        """One trial. CellFailed if anything that was started has died."""
        for process in self._processes():
            process.check_alive()
        if request.phase != PROBE and time.monotonic() - self._learned > LEARN_AGAIN_S:
            self._learn()
        self._epoch = (self._epoch + 1) % EPOCHS
        self._measured += 1
        started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        flows = self.cell.topology.flows
        before = self._nf_stats(request)
        with self._observer(request) as seen:
            meanwhile = seen.window if seen else lambda: None
            if self.cell.topology.one_holds_both_ends:
                counted = self._measure_here(request, flows, meanwhile)
            else:
                counted = self._measure_apart(request, flows, meanwhile)
        self._settle(request.settle_s)
        for process in self._processes():
            process.check_alive()
        directions = [
            Direction(stream["intended_count"], stream["sent_count"], stream["tx_full_count"], meter,
                      with_latency=self.cell.has_latency, sender=stream)
            for stream, meter in zip(counted.streams, counted.meters, strict=True)]
        self._received = [d.meter["received_count"] for d in directions]
        if request.phase != PROBE:
            self._sums = [ledger.Traffic(s.sent_count + d.sent_count, s.received_count + received)
                          for s, d, received in zip(self._sums, directions, self._received)]
        senders = counted.senders
        made = trial.make(request, started, max(s["tx_span_s"] for s in senders), directions, missed=counted.missed,
                          clock_error_ppm=max((s["clock_error_ppm"] for s in senders), key=abs),
                          drained=counted.drained, cell_flags=self.flags() if flags is None else flags,
                          loops=[loop for s in senders for loop in s["workers"]], steal_ns=counted.steal_ns,
                          interval_s=self._interval_s(request), skew_s=counted.skew_s,
                          chain_count=self.cell.topology.chain_count)
        made = replace(made, hops=self._hops(before, self._nf_stats(request), directions)) if before else made
        made = replace(made, flags=(*made.flags, "switch_silent")) if self._fell_silent(made) else made
        return seen.marked(made, self.peers[flows[0].tx[0]].tsc_hz, self.cell.cores.oversubscribed) if seen else made

    def _fell_silent(self, made: Trial) -> bool:
        """Does a switch that did answer no longer do so? One that hangs loses frames, or takes none."""
        troubled = made.lost_count > 0 or made.tx_full_count > 0
        return made.request.phase != PROBE and troubled and bool(self._counted) and bool(self._silence())

    def _observer(self, request: Request) -> AbstractContextManager[Observer | None]:
        """Of a telemetry trial."""
        if not request.telemetry:
            return nullcontext()
        return Observer(self._driver(), self.setup.site, self._output, self.switch, request, self.logs)

    def _nf_stats(self, request: Request) -> list[Mapping[str, Any]]:
        """What the nfs of a chain have counted so far, in order; empty where there are none."""
        if not self.cell.chain_length or request.phase == PROBE:
            return []
        return [self._channel(guest.name).request("stats", ANSWER_S) for guest in self.cell.topology.guests]

    def _hops(self, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]],
              directions: Sequence[Direction]) -> list[hops.Hop]:
        guests = [(guest.name, nf) for guest, nf in zip(self.cell.topology.guests, self.cell.nf_names)]
        flows = [(flow.back, d.sent_count, d.meter["received_count"], flow.rx)
                 for flow, d in zip(self.cell.topology.flows, directions)]
        found: list[hops.Hop] = []
        for chain in range(self.cell.chain_count):
            mine, streams = (slice(chain * n, (chain + 1) * n) for n in (
                self.cell.chain_length, self.cell.topology.direction_count))
            found += hops.between(guests[mine], before[mine], after[mine], flows[streams])
        return found

    def flags(self) -> list[str]:
        """What is true of every trial of this cell."""
        nics = [nic for peer in self.setup.peers if peer.vm for nic in peer.vm.nics]
        return (self.cell.flags + (["tcg"] if self.accel() == "tcg" else [])
                + ([] if all(nic.vhost for nic in nics) else ["no_vhost_net"])
                + (["generic_xdp"] if any(p.xdp_mode == "generic" for p in self.peers.values()) else []))

    def accel(self) -> str:
        """"kvm", "tcg", or "" where no VM is involved."""
        return next((p.vm.accel for p in self.setup.peers if p.vm), "")

    def _silence_s(self, request: Request) -> float:
        return max(request.drain_s, SHARED_SILENCE_S if self.cell.cores.oversubscribed else SILENCE_S)

    def _settle(self, seconds: float) -> None:
        """The wait that a search asks for behind a trial, such as RFC 2544 section 23 e."""
        over = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= over, seconds + ANSWER_S, "the switch to settle", self._processes())

    def _channel(self, peer: str) -> Channel:
        channel = self.peers[peer].channel
        assert channel
        return channel

    def _stream(self, flow: Flow, request: Request, peer: str) -> dict[str, Any]:
        """A direction of a chain as `peer` is to see it, which may hold one of its ends only."""
        rate_pps = request.rate_pps and request.rate_pps / self.cell.topology.chain_count
        asked = traffic.stream(self.cell.traffic, self.cell.frame_bytes, self.cell.flows, rate_pps,
                               back=flow.back, probe=request.phase == PROBE)
        if "seed" in asked:     # of each trial its own, or every repeat would be the same sample
            asked["seed"] += self._measured
        names = self.cell.nf_names
        router = kernelnf.next_hop(self.cell.topology, names, flow.tx) if set(names) & set(kernelnf.ROUTERS) else None
        if router or flow.via or flow.tx[0] != flow.rx[0]:    # else pktgen takes its own port's
            asked = {"dst_mac": programs.mac(*(router or flow.via or flow.rx)), **asked}
        tx, rx = (port if who == peer else None for who, port in (flow.tx, flow.rx))
        return {"tx": tx, "rx": rx, **asked}

    def _options(self, request: Request) -> dict[str, Any]:
        """What the trial is to tell beside its counts. Gaps and IPDV cost time for every packet, which a saturating
        trial has not."""
        asked: dict[str, Any] = {"gaps": True, "ipdv": True} if request.rate_pps and request.phase != PROBE else {}
        t = self.cell.traffic
        if interval_s := self._interval_s(request):
            asked["interval_s"] = interval_s
        if t is None or request.phase == PROBE:
            return asked
        if t.flow_records:
            asked["flow_records"] = self._file(request, "flows.csv")
        if t.capture and request.phase.partition("@")[0] in t.capture.phase:
            c = t.capture
            asked["capture"] = {"file": self._file(request, "pcapng"), "first": c.first, "every": c.every,
                                "snap_bytes": c.snap_bytes, **({"filter": c.filter} if c.filter else {})}
        return asked

    def _interval_s(self, request: Request) -> float:
        asked_for_all = self.cell.traffic.interval_s if self.cell.traffic and request.phase != PROBE else 0.0
        return request.interval_s or asked_for_all

    def _file(self, request: Request, suffix: str) -> str:
        """In the cell's logs, one a trial: 05-latency-0.50rplus.pcapng."""
        return str(self.logs.resolve() / f"{self._measured:02}-{request.phase.replace('@', '-')}.{suffix}")

    def _learn(self) -> None:
        """Learning frames go the other way, from where the traffic will come out, so that a switch that learns knows
        the way before the first frame."""
        self._learned = time.monotonic()
        if not (self.cell.traffic and self.cell.traffic.learning_count):
            return
        flows = self.cell.topology.flows
        self._epoch = (self._epoch + 1) % EPOCHS
        self._channel(flows[0].tx[0]).request(
            "learn", ANSWER_S, epoch=self._epoch, count=self.cell.traffic.learning_count,
            streams=[self._stream(flow, Request(PROBE, PROBE_PPS, 0.05), flow.tx[0]) for flow in flows])

    def _measure_here(self, request: Request, flows: Sequence[Flow], meanwhile: Callable[[], None]) -> "_Counted":
        """Sender and receiver are one process. `meanwhile` is done while the traffic flows."""
        channel = self._channel(flows[0].tx[0])
        channel.post("trial", epoch=self._epoch, duration_s=request.duration_s, drain_s=self._silence_s(request),
                     drain_max_s=request.drain_s + DRAIN_MAX_S,
                     streams=[self._stream(flow, request, flow.tx[0]) for flow in flows], **self._options(request))
        meanwhile()
        reply = channel.answer("trial", request.duration_s + request.drain_s + ANSWER_S)
        return _Counted(reply["streams"], [s["meter"] for s in reply["streams"]], [reply], [reply], reply["drained"])

    def _measure_apart(self, request: Request, flows: Sequence[Flow], meanwhile: Callable[[], None]) -> "_Counted":
        """Senders and receivers are several programs: all receive before any sends, and all are read when it is silent
        everywhere, so that nothing is lost between them."""
        senders = dict.fromkeys(flow.tx[0] for flow in flows)
        receivers = dict.fromkeys(flow.rx[0] for flow in flows)
        for peer in {**receivers, **senders}:
            self._arm(peer, request, flows)
        ended = together([self._channel(peer) for peer in senders], "send", request.duration_s + ANSWER_S, meanwhile)
        silent = [self._channel(peer).request("settle", request.drain_s + DRAIN_MAX_S + ANSWER_S,
                                              silence_s=self._silence_s(request),
                                              max_s=request.drain_s + DRAIN_MAX_S)["silent"] for peer in receivers]
        read = {peer: self._channel(peer).request("read", ANSWER_S) for peer in {**receivers, **senders}}
        return _Counted([read[flow.tx[0]]["streams"][i] for i, flow in enumerate(flows)],
                        [self._metered(read[flow.rx[0]], i, request) for i, flow in enumerate(flows)],
                        [read[peer] for peer in senders], [read[peer] for peer in receivers], all(silent),
                        skew_s=max(ended) - min(ended) if len(ended) > 1 else None)

    def _arm(self, peer: str, request: Request, flows: Sequence[Flow]) -> None:
        if self.cell.topology.role(peer) == "meter":
            asked = {"flows": self.cell.flows, **self._arming(request)}
        else:
            options = {key: v for key, v in self._options(request).items() if key != "ipdv" or self.cell.has_latency}
            asked = {"duration_s": request.duration_s, "streams": [self._stream(flow, request, peer) for flow in flows],
                     **options}
        self._channel(peer).request("arm", ANSWER_S, epoch=self._epoch, **asked)

    def _metered(self, reply: Mapping[str, Any], direction: int, request: Request) -> Mapping[str, Any]:
        """What a receiver, be it a pktgen or a meter, counted of a direction."""
        if "streams" in reply:
            return reply["streams"][direction]["meter"]     # type: ignore[no-any-return]
        return {**reply["meter"], "series": reply.get("series") if self._interval_s(request) else None}

    def _arming(self, request: Request) -> dict[str, Any]:
        """What the meter is to tell, and must know: where the stamp stands, if not where it usually does, and the
        interval."""
        paced = request.rate_pps and request.phase != PROBE
        asked: dict[str, Any] = {"gaps": True, "ipdv": True} if paced and self.cell.has_latency else {}
        if self.cell.traffic and self.cell.traffic.header_bytes != traffic.PLAIN.header_bytes:
            asked["stamp_offset"] = self.cell.traffic.header_bytes
        if interval_s := self._interval_s(request):
            asked["interval_s"] = interval_s
        return asked

    def counters(self) -> list[PortCounters]:
        """The switch's own counters, empty where it has none."""
        return self._driver().counters(self.setup.site, self._output)

    def _driver(self) -> Driver:
        driver = find(self.cell.switch.driver)
        assert driver
        return driver

    def _output(self, argv: Sequence[str]) -> str:
        """Of a control command of the switch."""
        return run_command(argv, self.logs / "commands.log")

    def _soon(self, argv: Sequence[str]) -> str:
        """The same, where it may well be that the switch hangs."""
        return run_command(argv, self.logs / "commands.log", ASK_S)

    def ledger(self, counted: Sequence[PortCounters]) -> list[ledger.Place]:
        """Where frames of the trials were lost, from the switch's counters now."""
        return ledger.places(self.cell.topology, self._sums, ledger.difference(self._counted, counted))


@contextmanager
def up(cell: Cell, setup: Setup, logs: Path) -> Iterator[Testbed]:
    """A testbed for the time of the block; CellFailed if it does not come up. All is stopped at the end."""
    with ExitStack() as stack:
        testbed = Testbed(cell, setup, logs, stack)
        testbed.bring_up()
        yield testbed
