# SPDX-License-Identifier: BSD-3-Clause
"""Figure 6: what flows cost. Cycles a packet and memory of pktgen with 1 to 10 million flows, one ring port that loops
to itself, saturating, 64 bytes; drawn by plots/flows.gp.
"""

from harness.bench import lab
from harness.bench.lab import Lab
from harness.bench.rows import Row, ratio, row

NUMBER = 6
MIB = 128
PORT = (lab.RING_PORTS[0],)
FLOWS = ((1, "1"), (1_000, "1 k"), (65_536, "64 k"), (1_000_000, "1 M"), (10_000_000, "10 M"))
RANDOM = " random"     # flows in turn walk through memory in order, the cheapest way there is
CYCLES, MEMORY = "cycles", "MiB"        # units, by which the figure finds its rows


def measure(the_lab: Lab) -> list[Row]:
    tools = {name: lambda flows=flows: _cost(the_lab, flows) for flows, name in FLOWS}
    tools |= {name + RANDOM: lambda flows=flows: _cost(the_lab, flows, "random") for flows, name in FLOWS[-2:]}
    got = the_lab.in_rounds("1 to 10 M flows over net_ring", tools)
    rows = []
    for flows, name in FLOWS:
        s = "" if flows == 1 else "s"
        cycles, memory = zip(*got[name])
        rows.append(row(NUMBER, f"cycles a packet sent and received, {name} flow{s}", cycles, CYCLES, at=flows))
        rows.append(row(NUMBER, f"memory of pktgen, {name} flow{s}", memory, MEMORY, at=flows))
    for flows, name in FLOWS[-2:]:
        row_name = f"cycles a packet sent and received, {name} flows in random order"
        rows.append(row(NUMBER, row_name, [cycles for cycles, _ in got[name + RANDOM]], CYCLES))
    one, most = FLOWS[0][1], FLOWS[-1][1]
    for index, of_what in ((0, "cycles a packet"), (1, "memory")):
        rows.append(ratio(NUMBER, f"{most} flows : 1 flow, {of_what}", [v[index] for v in got[most]],
                          [v[index] for v in got[one]], None))
    return rows


def _cost(the_lab: Lab, flows: int, order: str = "increment") -> tuple[float, float]:
    """Cycles a packet, and the most memory in use (MiB)."""
    with lab.ours(the_lab, "pktgen", PORT) as pktgen:
        reply = pktgen.warmed(lab.streams([(0, 0)], flows=flows, flow_order=order))
        return pktgen.tsc_hz / lab.rx_pps(reply), pktgen.memory_mib()
