# SPDX-License-Identifier: BSD-3-Clause
"""TSC cycles per packet by frame size and topology, as bars per switch. Pure."""

from harness.figures.bars import Measure
from harness.figures.data import Data
from harness.figures.throughput import bars

CYCLES = Measure("cycles_per_packet", ("", "1", "cycles/packet", "cycles"), "a number of cycles", 1.0,
                 "cycles per packet", "CPU time of the switch's workers, in TSC cycles, per packet that its ports "
                 "received, under saturating load; in trials of their own", is_rate=False)


def cycles(data: Data) -> list[str]:
    """One page of bars, as the text of its .dat."""
    return bars(data, CYCLES)
