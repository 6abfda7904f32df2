# SPDX-License-Identifier: BSD-3-Clause
"""What the anchor says of the blocks of a run: which are suspect, and which count where some were measured again. Pure.

The anchor (blocks.py) is the generator alone. Its own values in a run give a band: their median, and around it three
standard deviations as the median absolute deviation estimates them, which a few bad blocks cannot stretch. A block
whose anchor lies outside was measured while the machine was another one: it is suspect, and is measured again, for its
anchor only and never for what was measured in it. What was measured again counts instead of the suspect block, which
stays in the data. This decision is one of the run and of all its readers.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

SUSPECT = "suspect"
FEWEST = 3              # of two anchors that differ nobody can say which one is off
NORMAL = 1.4826         # standard deviation of normal values / their median absolute deviation
DEVIATIONS = 3.0
LEAST_RATIO = 0.01      # starts of one program differ by so much anyway
STEADY_RATIO = 0.05     # a band wider than this tells of a machine that is never the same (methodology D.3 wants 3 %)


@dataclass(frozen=True)
class Band:
    """What an anchor of the run should be: `middle_pps`, give or take `ratio` of it."""

    middle_pps: float
    ratio: float

    def holds(self, pps: float) -> bool:
        return abs(pps / self.middle_pps - 1) <= self.ratio


def band(values_pps: Collection[float]) -> Band | None:
    """Of the anchors of a run, all above 0; None if they are too few to tell."""
    if len(values_pps) < FEWEST:
        return None
    middle = statistics.median(values_pps)
    deviation = statistics.median(abs(value / middle - 1) for value in values_pps)
    return Band(middle, max(LEAST_RATIO, DEVIATIONS * NORMAL * deviation))


def first_blocks(anchors_pps: Mapping[int, float], repeats: Mapping[int, int]) -> Band | None:
    """The band of a run: blocks that were measured again do not move it, or the decision to do so would move itself.
    `repeats` maps blocks to those that they were measured instead of."""
    return band([pps for block, pps in anchors_pps.items() if block not in repeats and pps > 0])


def suspects(anchors_pps: Mapping[int, float], repeats: Mapping[int, int]) -> list[int]:
    """Blocks, measured again or not, whose anchor is outside of the band."""
    allowed = first_blocks(anchors_pps, repeats)
    return sorted(block for block, pps in anchors_pps.items() if allowed and not allowed.holds(pps))


def counting(blocks: Iterable[int], repeats: Mapping[int, int]) -> set[int]:
    """Of these blocks of a cell those that count: of a block and its repeats the last one."""
    last: dict[int, int] = {}
    for block in sorted(blocks):
        last[repeats.get(block, block)] = block
    return set(last.values())


def said(anchors_pps: Mapping[int, float], repeats: Mapping[int, int], at_end: bool = True) -> str:
    """In a line, for people: how far the anchors were apart, the band, and what is suspect; empty if there are none to
    tell of. `at_end`: with what became of suspect blocks."""
    if len(anchors_pps) < 2:
        return ""
    middle = statistics.median([pps for block, pps in anchors_pps.items() if block not in repeats]
                               or anchors_pps.values())
    text = (f"the anchor (the generator alone) went from {min(anchors_pps.values()) / middle:.3f} to "
            f"{max(anchors_pps.values()) / middle:.3f} of its median")
    allowed = first_blocks(anchors_pps, repeats)
    if allowed is None:
        return f"{text}; {FEWEST} blocks would tell which are suspect"
    text += f", within a band of +-{100 * allowed.ratio:.1f} %"
    text += ": the machine itself was not steady" if allowed.ratio > STEADY_RATIO else ""
    off = suspects(anchors_pps, repeats)
    if not off:
        return text
    again = [block for block in off if block in repeats.values()]
    left = [block for block in off if at_end and block in counting(anchors_pps, repeats)]
    return text.replace("within a band", "with a band") + f"; outside of it: block{'s'[:len(off) > 1]} " + (
        ", ".join(map(str, off))) + (f"; measured again: {', '.join(map(str, again))}" if again else "") + (
        f"; suspect and counted: {', '.join(map(str, left))}" if left else "")
