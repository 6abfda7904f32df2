# SPDX-License-Identifier: BSD-3-Clause
"""Figure 5: a known delay comes back. pktgen on the first CPU, and over two vhost-user ports the nf `delay` on the
last; no switch between them. The floor, what the path takes by itself, is the nf `io` in the same rounds.

Held against the bar is the raw p50, which contains the floor; what is left without the floor is printed too.
"""

import statistics

from harness import programs, stats
from harness.bench import lab
from harness.bench.lab import Lab
from harness.bench.rows import Row, at_most, row
from harness.errors import CellFailed

NUMBER = 5
MIB = 2 * programs.PROCESS_MIB
DELAYS_NS = (("10us", 10_000), ("100us", 100_000), ("1ms", 1_000_000))
FLOOR = "io"
RATE_PPS = 100_000.0


def tolerance_us(delay_ns: int) -> float:
    """2 % + 1 us."""
    return 0.02 * delay_ns / 1e3 + 1.0


def measure(the_lab: Lab) -> list[Row]:
    nfs = [FLOOR, *(f"delay:{name}" for name, _ in DELAYS_NS)]
    tools = {nf: lambda nf=nf: _p50_us(the_lab, nf) for nf in nfs}
    got = the_lab.in_rounds("latency through vnf, io and delay", tools)
    rows = [row(NUMBER, "latency p50 through nf io (the floor)", got[FLOOR], "us")]
    for name, delay_ns in DELAYS_NS:
        p50, delay_us = got[f"delay:{name}"], delay_ns / 1e3
        bar = at_most(tolerance_us(delay_ns))
        rows.append(row(NUMBER, f"error of p50 through nf delay:{name}, raw", errors(p50, delay_us), "us", bar,
                        f"p50 {statistics.median(p50):.2f} us"))
        above = [value - floor for value, floor in zip(p50, got[FLOOR])]
        what = f"error of p50 through nf delay:{name}, above the floor"
        rows.append(row(NUMBER, what, errors(above, delay_us), "us"))
    return rows


def errors(values: list[float], truth: float) -> list[float]:
    return [abs(value - truth) for value in values]


def _p50_us(the_lab: Lab, nf: str) -> float:
    sockets = [the_lab.socket(f"d{i}") for i in range(2)]
    servers = [programs.virtio_user(i, socket, programs.mac("generator", i), lab.RING_SIZE)
               for i, socket in enumerate(sockets)]
    clients = [programs.vhost(i, socket) for i, socket in enumerate(sockets)]
    with lab.ours(the_lab, "pktgen", servers, wait=False) as pktgen, \
            lab.ours(the_lab, "vnf", clients, ["--nf", nf], cpu=the_lab.other_cpu, wait=False) as vnf:
        vnf.wait_ready()
        pktgen.wait_ready()
        pktgen.wait_links([vnf.process])
        reply = pktgen.warmed(lab.streams([(0, 1)], rate_pps=RATE_PPS))
    latency = reply["streams"][0]["meter"]["latency"]
    p50 = stats.quantile_ns([(a, b, count) for a, b, count in latency["bins"]], 0.5) if latency else None
    if p50 is None:
        raise CellFailed(f"hardly any packet came back through nf {nf}")
    return p50 / 1e3
