# SPDX-License-Identifier: BSD-3-Clause
"""In which order cells are measured, again and again. Pure: cells and their seed give the order.

A block measures every cell once, each with a fresh switch and fresh guests. Switches of one point of the matrix come
right after each other, so that a slow hour of the machine meets all of them, and in an order of their own in each
block: shuffled, or to and fro (ABBA), so that none is always first. Blocks are the unit of replication of a comparison:
trials of one start have that start in common and are no independent repeats.

Every block of a run with several starts with the anchor: the generator alone, through memory, with no switch at all. If
it is off, the machine was, and not what is compared.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness import plan, scenario
from harness.bed import Bed
from harness.plan import Cell
from harness.scenario import ANCHOR

ANCHOR_TABLE = {
    "name": ANCHOR, "matrix": {"topology": "p2p", "port_kind": "ring", "switch": "null"},
    "search": {"kind": "rplus", "trials": 3, "trial_s": 0.3, "warmup_s": 0.1},
}


@dataclass(frozen=True)
class Turn:
    """One cell in one block; `position` counts the turns of a run from 1 on."""

    position: int
    block: int
    cell: Cell


def schedule(cells: Sequence[Cell], anchor: Cell | None = None) -> list[Turn]:
    """All turns of a run. With one block that is the order of the plan. `anchor` opens each block, see anchor_for()."""
    ordered = [(block, cell) for block in range(1, blocks_of(cells) + 1)
               for cell in ([anchor] if anchor else []) + _one(block, cells)]
    return [Turn(position, block, cell) for position, (block, cell) in enumerate(ordered, start=1)]


def blocks_of(cells: Sequence[Cell]) -> int:
    """How many blocks a run of these cells has."""
    return max((cell.repeat.blocks for cell in cells), default=0)


def anchor_for(cells: Sequence[Cell], bed: Bed, cpus: Sequence[int]) -> Cell | None:
    """The anchor of a run of these cells, if it has several blocks and nobody took it out."""
    if not any(cell.repeat.anchor and cell.repeat.blocks > 1 for cell in cells):
        return None
    [cell] = plan.expand([scenario.from_table("the anchor", ANCHOR_TABLE)], bed, cpus)
    return cell


def _one(block: int, cells: Sequence[Cell]) -> list[Cell]:
    points = [list(group) for _, group in itertools.groupby(
        (cell for cell in cells if cell.repeat.blocks >= block), key=lambda cell: cell.point)]
    if blocks_of(cells) == 1:
        return list(itertools.chain(*points))
    return list(itertools.chain(*(_switches(block, point) for point in _shuffled(block, points))))


def _shuffled(block: int, points: list[list[Cell]]) -> Iterator[list[Cell]]:
    """The points of a block. Those of ABBA stay where they are, the others change their places among themselves."""
    moving = [i for i, point in enumerate(points) if point[0].repeat.order == "shuffled"]
    targets = list(moving)
    if moving:
        random.Random(f"{points[moving[0]][0].repeat.seed}/{block}").shuffle(targets)
    place = dict(zip(moving, targets))
    return (points[place.get(i, i)] for i in range(len(points)))


def _switches(block: int, point: list[Cell]) -> list[Cell]:
    """The cells of one point: the same but for the switch."""
    repeat = point[0].repeat
    if repeat.order == "abba":
        return point if block % 2 else point[::-1]
    mixed = list(point)
    random.Random(f"{repeat.seed}/{block}/{point[0].point}").shuffle(mixed)
    return mixed
