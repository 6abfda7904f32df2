# SPDX-License-Identifier: BSD-3-Clause
"""Figure 1 of `bench guests`: the nfs io and macswap against testpmd's modes of the same names, through the same wires."""

from harness.bench import nf_path
from harness.bench.lab import Lab
from harness.bench.rows import Row, at_least, ratio

NUMBER = 1
MIB = nf_path.MIB
MODES = (("io", "io"), ("macswap", "macswap"))     # our nf, testpmd's mode


def measure(the_lab: Lab) -> list[Row]:
    tools = {f"nf {nf}": lambda nf=nf: nf_path.vnf(the_lab, nf).rx_pps for nf, _ in MODES}
    tools |= {f"testpmd {mode}": lambda mode=mode: nf_path.testpmd(the_lab, mode).rx_pps for _, mode in MODES}
    got = the_lab.in_rounds("nfs and testpmd over vhost-user", tools)
    return [ratio(NUMBER, f"nf {nf} : testpmd {mode} over vhost-user, received pps", got[f"nf {nf}"],
                  got[f"testpmd {mode}"], at_least(0.95)) for nf, mode in MODES]
