# SPDX-License-Identifier: BSD-3-Clause
"""Figure 1: one core, two net_ring ports that loop to themselves, saturating, 64 bytes. pktgen, which stamps, checks
and times every packet, against testpmd's flowgen, which does none of that; cycles and instructions a packet.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import programs
from harness.bench import lab
from harness.bench.lab import LOOPED, RING_PORTS, Lab
from harness.bench.rows import Row, absent, at_least, at_most, ratio, row
from harness.errors import CellFailed

NUMBER = 1
MIB = lab.TESTPMD_MIB
MANY = 65536
PARTS = ("build", "pace", "tx", "rx", "meter")
CALLGRIND_S = (0.5, 2.0)        # two lengths of trial: what does not grow with the packets falls out
UNDER_VALGRIND_S = 120.0


def measure(the_lab: Lab) -> list[Row]:
    rows, one = _compare(the_lab, 1, at_least(1.0))
    cycles = [hz / pps for pps, hz in one]
    rows.append(row(NUMBER, "TSC cycles a packet sent and received, 1 flow", cycles, "cycles", at_most(60)))
    rows += _compare(the_lab, MANY, at_least(0.6))[0]
    return rows + _by_part(the_lab) + [_instructions(the_lab)]


def _compare(the_lab: Lab, flows: int, bar: Any) -> tuple[list[Row], list[tuple[float, float]]]:
    """The ratio, and our (pps, TSC Hz) by round."""
    what = f"pktgen : testpmd flowgen, net_ring, {flows} flow{'s' if flows > 1 else ''}, pps"
    got = the_lab.in_rounds(what, {"pktgen": lambda: _ours(the_lab, flows), "testpmd": lambda: _rival(the_lab, flows)})
    return [ratio(NUMBER, what, [pps for pps, _ in got["pktgen"]], got["testpmd"], bar)], got["pktgen"]


def _ours(the_lab: Lab, flows: int) -> tuple[float, float]:
    with lab.ours(the_lab, "pktgen", RING_PORTS) as pktgen:
        reply = pktgen.warmed(lab.streams(LOOPED, flows=flows))
        check_whole(reply)
        return lab.rx_pps(reply), pktgen.tsc_hz


def check_whole(reply: Mapping[str, Any]) -> None:
    """A ring port loses nothing: a generator that does not see all it sent is broken, not fast."""
    for stream in reply["streams"]:
        if stream["sent_count"] != stream["meter"]["received_count"]:
            raise CellFailed(f"pktgen sent {stream['sent_count']} and received {stream['meter']['received_count']} "
                             "over a ring, which loses nothing")


def _rival(the_lab: Lab, flows: int) -> float:
    with lab.testpmd(the_lab, RING_PORTS, [*lab.flowgen(flows), "--port-topology=loop"]) as rival:
        rival.wait_traffic()
        return rival.rx_pps(the_lab)


def _by_part(the_lab: Lab) -> list[Row]:
    """Cycles a packet by part of the loop, from pktgen's own profile."""
    streams = lab.streams(LOOPED)
    with lab.ours(the_lab, "pktgen", RING_PORTS) as pktgen:
        why = pktgen.refuses(streams, profile=True)
        profiles = [] if why else [pktgen.warmed(streams, profile=True)["workers"][0].get("profile")
                                   for _ in range(the_lab.rounds)]
    found = [p for p in profiles if p]
    why = why or ("" if found else "pktgen's reply has no profile")
    rows = []
    for part in PARTS:
        what = f"cycles a packet in {part}, 1 flow"
        values = [float(p[part]) for p in found]
        rows.append(absent(NUMBER, what, "cycles", None, why) if why else row(NUMBER, what, values, "cycles"))
    return rows


# ---- instructions --------------------------------------------------------------------------------------------------

def _instructions(the_lab: Lab) -> Row:
    what, unit = "instructions a packet sent and received, 1 flow (callgrind)", "instructions"
    if shutil.which("valgrind") is None:
        return absent(NUMBER, what, unit, None, "valgrind is not installed: apt-get install valgrind")
    the_lab.say(f"{what}: two runs under valgrind")
    try:
        (few, less), (many, more) = (_callgrind(the_lab, seconds) for seconds in CALLGRIND_S)
    except CellFailed as why:
        return absent(NUMBER, what, unit, None, f"pktgen does not run under valgrind: {why}")
    if many <= few or more <= less:
        why = f"callgrind saw {less} and {more} instructions for {few} and {many} packets"
        return absent(NUMBER, what, unit, None, why)
    return row(NUMBER, what, [(more - less) / (many - few)], unit)


def _callgrind(the_lab: Lab, seconds: float) -> tuple[int, int]:
    """Packets and instructions of trial_run() in a trial of this length. Valgrind knows no AVX-512 and no hugepages."""
    out = the_lab.folder / f"callgrind.{seconds:g}"
    cpu = the_lab.generator_cpu
    eal = [*programs.wired_eal(f"valgrind-{seconds:g}", cpu, [cpu]), "--force-max-simd-bitwidth=256"]
    for vdev in RING_PORTS:
        eal += ["--vdev", vdev]
    prefix = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=trial_run", "-q")
    with lab.ours(the_lab, "pktgen", (), eal=eal, prefix=prefix, mib=64, wait=False) as pktgen:
        pktgen.ready = pktgen.channel.event("ready", UNDER_VALGRIND_S)
        reply = pktgen.trial(lab.streams(LOOPED), seconds, drain_s=0)
        pktgen.channel.request("quit", UNDER_VALGRIND_S)
        pktgen.process.popen.wait(UNDER_VALGRIND_S)
    return sum(s["meter"]["received_count"] for s in reply["streams"]), instructions(out)


def instructions(out: Path) -> int:
    """Of a callgrind.out file (its format: Callgrind manual, "Callgrind Format Specification")."""
    try:
        found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    except OSError as error:
        raise CellFailed(f"callgrind left no {out.name}: {error.strerror}") from None
    if not found:
        raise CellFailed(f"{out.name} has no line of totals")
    return int(found[1])
