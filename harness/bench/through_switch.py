# SPDX-License-Identifier: BSD-3-Clause
"""Figure 2: the same core through ovs-dpdk, two-way, 64 bytes: received packets of pktgen against testpmd's flowgen and
against `bare`, which touches no packet. If all three get the same through, the switch is what limits.

One instance of the switch serves all rounds, wired as the driver wires a p2p cell; the tools come and go as its peers,
which its vhost-user client ports find again within a second. So all tools meet the same switch with the same memory.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from harness import bed, plan, programs
from harness.bench import lab
from harness.bench.lab import Lab
from harness.bench.rows import Row, absent, at_least, ratio, row
from harness.cell import Cell
from harness.cores import assign
from harness.errors import Unsupported
from harness.peers import Image
from harness.scenario import Search
from harness.switches import find
from harness.testbed import Testbed
from harness.topology import GENERATOR, build

NUMBER = 2
SWITCH = "ovs-dpdk"
CROSSED = ((0, 1), (1, 0))          # (tx, rx) of the streams
PKTGEN_DPDK = "VSWBENCH_PKTGEN"     # names a Pktgen-DPDK binary
NO_SEARCH = Search("rplus", 1, 1.0, 0.0, (), 1, 1.0)

_driver = find(SWITCH)
assert _driver
# Pktgen-DPDK has pools for each kind of traffic it knows, for each port
PKTGEN_DPDK_MIB = 1024
MIB = _driver.hugepages_mib + (PKTGEN_DPDK_MIB if lab.environment(PKTGEN_DPDK) else lab.TESTPMD_MIB)


class SwitchAlone(Testbed):
    """A cell's switch, whose peers come and go."""

    def launch(self) -> None:
        Path(self.setup.site.folder).mkdir(parents=True)
        for step in self.setup.launch:
            self._do(step)

    def wire(self) -> None:
        """The peer's sockets must be there, or come."""
        for step in self.setup.wire:
            self._do(step)


def measure(the_lab: Lab) -> list[Row]:
    assert _driver
    if missing := _driver.check("/usr").missing:
        raise Unsupported(missing)
    binary = lab.environment(PKTGEN_DPDK)
    with ExitStack() as stack:
        switch = SwitchAlone(*_cell(the_lab), the_lab.logs, stack)
        switch.launch()
        the_lab.processes += switch.switch
        stack.callback(lambda: [the_lab.processes.remove(p) for p in switch.switch])
        wired = False

        def wire() -> None:
            nonlocal wired
            if not wired:
                switch.wire()
            wired = True

        tools: dict[str, Callable[[], float]] = {
            "pktgen": lambda: _pktgen(the_lab, switch, wire),
            "testpmd": lambda: _testpmd(the_lab, switch, wire),
            "bare": lambda: _bare(the_lab, switch, wire)}
        if binary:
            tools["Pktgen-DPDK"] = lambda: _pktgen_dpdk(the_lab, switch, wire, binary)
        got = the_lab.in_rounds(f"{', '.join(tools)} through ovs-dpdk", tools)
    what = "through ovs-dpdk, two-way, received pps"
    return [ratio(NUMBER, f"pktgen : testpmd flowgen {what}", got["pktgen"], got["testpmd"], at_least(1.0)),
            ratio(NUMBER, f"pktgen : bare loop {what}", got["pktgen"], got["bare"], at_least(0.95)),
            row(NUMBER, f"pktgen {what}", got["pktgen"], "pps"),
            _against_pktgen_dpdk(got, binary)]


def _against_pktgen_dpdk(got: Mapping[str, list[float]], binary: str) -> Row:
    what = "pktgen : Pktgen-DPDK through ovs-dpdk, two-way, received pps"
    if not binary:
        return absent(NUMBER, what, "ratio", None, f"{PKTGEN_DPDK} names no Pktgen-DPDK binary")
    return ratio(NUMBER, what, got["pktgen"], got["Pktgen-DPDK"], None)


def _cell(the_lab: Lab) -> tuple[Cell, plan.Setup]:
    """The p2p two-way cell that a scenario would give, on this lab's CPUs."""
    cores = assign(list(the_lab.cpus), 1, [GENERATOR])
    entry = bed.SwitchEntry(SWITCH, SWITCH, "/usr")
    topology = build("p2p", 0, "two-way")
    cell = Cell("bench", "bench", entry, topology, "none", "", "two-way", "vhost-user", 64, 1, NO_SEARCH, cores)
    folder = str(the_lab.folder / "c")
    Path(folder).mkdir()
    return cell, plan.setup(cell, bed.load(None), Image(str(the_lab.build), "", ""), folder, str(the_lab.logs), "tcg")


def _vdevs(switch: SwitchAlone) -> list[str]:
    """The generator's ports; sockets of the tool before go away first, since a server does not start over them."""
    sockets = switch.setup.site.sockets
    for socket in sockets:
        Path(socket).unlink(missing_ok=True)
    return [programs.virtio_user(i, socket, programs.mac(GENERATOR, i), lab.RING_SIZE)
            for i, socket in enumerate(sockets)]


def _pktgen(the_lab: Lab, switch: SwitchAlone, wire: Callable[[], None]) -> float:
    with lab.ours(the_lab, "pktgen", _vdevs(switch), wait=False) as pktgen:
        wire()
        pktgen.wait_ready()
        pktgen.wait_links(switch.switch)
        return lab.rx_pps(pktgen.warmed(lab.streams(CROSSED)))


def _bare(the_lab: Lab, switch: SwitchAlone, wire: Callable[[], None]) -> float:
    with lab.ours(the_lab, "bare", _vdevs(switch), wait=False) as bare:
        wire()
        bare.wait_ready()
        bare.wait_links(switch.switch)
        streams = [{"tx": tx, "rx": rx} for tx, rx in CROSSED]
        bare.channel.request("run", lab.ANSWER_S, duration_s=the_lab.warmup_s, streams=streams)
        with the_lab.measuring():
            reply = bare.channel.request("run", the_lab.measure_s + lab.ANSWER_S, duration_s=the_lab.measure_s,
                                         frame_bytes=64, streams=streams)
        return sum(s["received_count"] for s in reply["streams"]) / float(reply["span_s"])


def _testpmd(the_lab: Lab, switch: SwitchAlone, wire: Callable[[], None]) -> float:
    with lab.testpmd(the_lab, _vdevs(switch), [*lab.flowgen(1), "--port-topology=paired"], wait=False) as rival:
        wire()
        rival.wait_traffic(switch.switch)
        return rival.rx_pps(the_lab)


def _pktgen_dpdk(the_lab: Lab, switch: SwitchAlone, wire: Callable[[], None], binary: str) -> float:
    """Its commands come from a file: 64 bytes with FCS, no screen, go. Its threads for screen and timers spin all the
    same (it wants a CPU for them), so they are made to give way to its worker."""
    commands = the_lab.folder / "start.pkt"
    commands.write_text("off\nset all size 64\nset all rate 100\nstart all\n")
    own = ["-P", "-m", "1.[0-1]", f"--rxd={lab.RING_SIZE}", f"--txd={lab.RING_SIZE}", "-f", str(commands)]
    with lab.rival(the_lab, "Pktgen-DPDK", binary, PKTGEN_DPDK_MIB, _vdevs(switch), own, wait=False) as rival:
        wire()
        rival.wait_traffic(switch.switch)
        rival.only_workers_count()
        return rival.rx_pps(the_lab)
