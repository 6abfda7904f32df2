# SPDX-License-Identifier: BSD-3-Clause
"""Figure 2 of `bench guests`: what each nf costs a packet over io, which does nothing: TSC cycles from having received a
batch until it is sent. Each is given work of a size that is met in practice.

The kernel's functions are none of it: it does not say what a packet cost.
"""

from harness.bench import nf_path
from harness.bench.lab import Lab
from harness.bench.rows import Row, row
from harness.topology import REFLECTOR

NUMBER = 2
MIB = nf_path.MIB
ROUTES, RULES = 1000, 100
NFS = (
    ("macswap", "macswap", ""),
    ("l2fwd", "l2fwd", ""),
    ("l3fwd", "l3fwd:" + ";".join(["route 0.0.0.0/0 02:00:00:00:00:01"] + [
        f"route 10.{i // 256}.{i % 256}.0/24 02:00:00:00:01:{i % 100:02x}" for i in range(ROUTES)]), f"{ROUTES} routes"),
    ("firewall", "firewall:" + ";".join(f"deny udp 10.{i}.0.0/16 any any {5000 + i}" for i in range(RULES)),
     f"{RULES} rules"),
    ("nat", "nat", f"{nf_path.FLOWS} flows"),
    ("qos", "qos:by flow", f"{nf_path.FLOWS} flows"),
    ("loadbalance", "loadbalance", "4 backends"),
    ("monitor", "monitor", f"{nf_path.FLOWS} flows"),
    ("noisy", "noisy", "8 accesses in 1 MiB"),
    ("delay", "delay:10us", "10 us, waiting aside"),
    (REFLECTOR, REFLECTOR, "back out of the same port"),
)


def measure(the_lab: Lab) -> list[Row]:
    tools = {"io": lambda: nf_path.vnf(the_lab, "io")}
    tools |= {name: lambda argument=argument: nf_path.vnf(the_lab, argument) for name, argument, _ in NFS}
    got = the_lab.in_rounds("the cost of each nf", tools)
    rows = [row(NUMBER, "nf io, receiving aside", [seen.cycles for seen in got["io"]], "cycles",
                note="of the kernel's functions nothing is known: it does not say what a packet cost")]
    for name, _, note in NFS:
        over = [seen.cycles - floor.cycles for seen, floor in zip(got[name], got["io"])]
        alone = sorted(seen.nf_cycles for seen in got[name])
        told = f"in the nf itself {alone[len(alone) // 2]:.1f}" + (f"; {note}" if note else "")
        rows.append(row(NUMBER, f"nf {name} over io", over, "cycles", note=told))
    return rows
