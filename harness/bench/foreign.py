# SPDX-License-Identifier: BSD-3-Clause
"""Figure 3: `meter` with a flow table against testpmd's rxonly, which counts packets and frees them, on the same feed:
pktgen saturating from the first CPU over one vhost-user port, the receiver on the last. And are the counts exact?

Received is what the receiver counts over a trial of the feed, divided by the time that pktgen says it sent: the same
clock for both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness import programs
from harness.bench import lab
from harness.bench.lab import Lab, Ours
from harness.bench.rows import Row, absent, at_least, at_most, ratio, row
from harness.errors import CellFailed
from harness.proc import Process, wait_until

NUMBER = 3
MIB = programs.PROCESS_MIB + lab.TESTPMD_MIB
FLOWS = ((65536, "64 k", at_least(0.7)), (1_000_000, "1 M", None))
EXACT_FLOWS, EXACT_PACKETS = 1_000_000, 3       # a flow
EXACT_PPS = 500_000.0
ARRIVE_S = 5.0
ATTEMPTS = 3


def measure(the_lab: Lab) -> list[Row]:
    rows = []
    for flows, name, bar in FLOWS:
        what = f"meter : testpmd rxonly, {name} flows over vhost-user, pps"
        tools = {"meter": lambda: _meter(the_lab, flows), "rxonly": lambda: _rxonly(the_lab, flows)}
        got = the_lab.in_rounds(what, tools)
        ours, rival = ([pps for pps, _ in got[name]] for name in ("meter", "rxonly"))
        waited = sum(full for tool in got.values() for _, full in tool)
        note = f"the feed met a full port in {waited} of {2 * len(ours)} trials"
        rows.append(ratio(NUMBER, what, ours, rival, bar, note))
    return [*rows, _exact(the_lab)]


def capacity(flows: int) -> int:
    """Of a table for so many flows: the next power of two above it, with room to spare."""
    return 1 << (flows * 5 // 4).bit_length()


def _port(socket: str) -> list[str]:
    return [programs.vhost(0, socket)]


@contextmanager
def _feed(the_lab: Lab) -> Iterator[tuple[Ours, str]]:
    """pktgen as it waits for somebody to connect to the socket."""
    socket = the_lab.socket("feed")
    vdev = programs.virtio_user(0, socket, programs.mac("generator", 0), lab.RING_SIZE)
    with lab.ours(the_lab, "pktgen", [vdev], wait=False) as pktgen:
        yield pktgen, socket


@contextmanager
def _metered(the_lab: Lab) -> Iterator[tuple[Ours, Ours]]:
    """pktgen and a meter behind it."""
    with _feed(the_lab) as (pktgen, socket), lab.ours(the_lab, "meter", _port(socket), cpu=the_lab.other_cpu) as meter:
        pktgen.wait_ready()
        pktgen.wait_links([meter.process])
        yield pktgen, meter


def _stream(flows: int, **more: Any) -> list[dict[str, Any]]:
    return [{"tx": 0, "rx": None, "frame_bytes": 64, "flows": flows, **more}]


def _received_pps(the_lab: Lab, pktgen: Ours, flows: int, received: Callable[[], int]) -> tuple[float, bool]:
    """Received a second over a trial of the feed; and did the feed meet a full port: was the receiver the limit?"""
    pktgen.trial(_stream(flows), the_lab.warmup_s)
    before = received()
    with the_lab.measuring():
        reply = pktgen.trial(_stream(flows), the_lab.measure_s, drain_s=0)
        count = received() - before
    return count / float(reply["tx_span_s"]), reply["streams"][0]["tx_full_count"] > 0


def _arm(meter: Ours, flows: int) -> Callable[[], int]:
    """Without an epoch: to the meter these frames are anybody's."""
    meter.channel.request("arm", lab.ANSWER_S, flow_table=capacity(flows))
    return lambda: int(meter.channel.request("count", lab.ANSWER_S)["packets"])


def _meter(the_lab: Lab, flows: int) -> tuple[float, bool]:
    with _metered(the_lab) as (pktgen, meter):
        return _received_pps(the_lab, pktgen, flows, _arm(meter, flows))


def _rxonly(the_lab: Lab, flows: int) -> tuple[float, bool]:
    with _feed(the_lab) as (pktgen, socket), \
            lab.testpmd(the_lab, _port(socket), ["--forward-mode=rxonly"], cpu=the_lab.other_cpu, wait=False) as rival:
        rival.wait_ports()
        pktgen.wait_ready()
        pktgen.wait_links([rival.process])
        return _received_pps(the_lab, pktgen, flows, rival.received)


# ---- exact ---------------------------------------------------------------------------------------------------------

def _exact(the_lab: Lab) -> Row:
    what = f"meter: counts that are off, {EXACT_FLOWS} flows of {EXACT_PACKETS} packets"
    total = EXACT_FLOWS * EXACT_PACKETS
    the_lab.say(what)
    for _ in range(ATTEMPTS):
        with _metered(the_lab) as (pktgen, meter):
            received = _arm(meter, EXACT_FLOWS)
            reply = pktgen.trial(_stream(EXACT_FLOWS, rate_pps=EXACT_PPS), total / EXACT_PPS, drain_s=0)
            if reply["streams"][0]["sent_count"] != total:
                continue        # the receiver fell behind: not all flows had their packets
            _arrived(received, total, meter.process)
            seen = meter.channel.request("read", lab.ANSWER_S, top=1)
            return row(NUMBER, what, [off(seen["flows"], received(), EXACT_FLOWS, EXACT_PACKETS)], "counts", at_most(0))
    why = f"{EXACT_PPS:g} pps could not be sent in any of {ATTEMPTS} trials"
    return absent(NUMBER, what, "counts", at_most(0), why)


def _arrived(received: Callable[[], int], total: int, process: Process) -> None:
    """Wait for the last packets; one that does not come is what the figure is about, and no error here."""
    try:
        wait_until(lambda: received() >= total, ARRIVE_S, "all packets at the meter", [process])
    except CellFailed:
        process.check_alive()


def off(table: Mapping[str, Any], received: int, flows: int, packets: int) -> float:
    """By how much the meter's counts differ from `flows` flows of `packets` packets each. 0 only if all are exact:
    with the right number of flows, the right sum, and no flow above `packets`, none can be below it."""
    top: Sequence[Mapping[str, Any]] = table["top"]
    return float(abs(table["flow_count"] - flows) + table["no_room_count"] + abs(received - flows * packets)
                 + abs((top[0]["packets"] if top else 0) - packets))
