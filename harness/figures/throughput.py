# SPDX-License-Identifier: BSD-3-Clause
"""Throughput by frame size and topology, as bars per switch: R+, NDR and PDR. Pure."""

from harness.figures.barpage import bars_dat, layout
from harness.figures.bars import Measure, pivot
from harness.figures.data import Data

PPS = ("", "frames/s", "packets/s", "pps")
RPLUS = Measure("rplus_pps", PPS, "a rate in pps", 1e-6, "Mpps",
                "R+, the rate received under saturating load, per direction, so without a loss goal")


def rplus(data: Data) -> list[str]:
    """R+."""
    return bars(data, RPLUS)


def ndr(data: Data) -> list[str]:
    """NDR, with the loss goal that the run has set; of a full RFC 2544 search its throughput."""
    full = "rfc2544_throughput_pps"
    if data.metrics(full):
        return bars(data, Measure(full, PPS, "a rate in pps", 1e-6, "Mpps",
                                  "throughput of RFC 2544, per direction; loss "
                                  "goal 0 in 60 s", has_one_shot=True))
    return bars(data, _searched(data, "ndr"))


def pdr(data: Data) -> list[str]:
    """PDR, with the loss goal that the run has set."""
    return bars(data, _searched(data, "pdr"))


def bars(data: Data, measure: Measure) -> list[str]:
    """One page of bars, as the text of its .dat."""
    chart = pivot(data.rows_of(measure.metric), measure, data.ceiling_pps, data.by_blocks(measure.metric))
    data.warn(chart.warnings)
    return [bars_dat(chart, layout(chart))]


def _searched(data: Data, name: str) -> Measure:
    word = {"ndr": "no-drop rate", "pdr": "partial-drop rate"}[name]
    goal = data.loss_goal(f"{name}_pps")
    says = f"{name.upper()}, the {word}, per direction; loss goal " + (
        "not recorded" if goal is None else f"{goal * 100:.6g} %")
    return Measure(f"{name}_pps", PPS, "a rate in pps", 1e-6, "Mpps", says, has_one_shot=True)
