# SPDX-License-Identifier: BSD-3-Clause
"""In which order cells are measured, again and again. Pure: cells and their seed give the order.

A block measures every cell once, each with a fresh switch and fresh guests. Switches of one point of the matrix come
right after each other, so that a slow hour of the machine meets all of them, and in an order of their own in each
block: shuffled, or to and fro (ABBA), so that none is always first. Blocks are the unit of replication of a comparison:
trials of one start have that start in common and are no independent repeats.

Every block of a run with several starts with the anchor: the generator alone, through memory, with no switch at all. If
it is off (anchor.py), the machine was, and not what is compared: the block is measured again behind the others, as one
with a number of its own.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import anchor as of_anchor
from harness import expand, scenario
from harness.bed import Bed
from harness.cell import Cell
from harness.scenario import ANCHOR

ANCHOR_TABLE = {
    "name": ANCHOR, "matrix": {"topology": "p2p", "port_kind": "ring", "switch": "null"},
    "search": {"kind": "rplus", "trials": 3, "trial_s": 0.3, "warmup_s": 0.1},
}


@dataclass(frozen=True)
class Turn:
    """One cell in one block; `position` counts the turns of a run from 1 on. `repeats`: the suspect block that this one
    is measured instead of."""

    position: int
    block: int
    cell: Cell
    repeats: int | None = None


def schedule(cells: Sequence[Cell], anchor: Cell | None = None) -> list[Turn]:
    """All turns of a run. With one block that is the order of the plan. `anchor` opens each block, see anchor_for()."""
    ordered = [(block, cell) for block in range(1, blocks_of(cells) + 1)
               for cell in ([anchor] if anchor else []) + _one(block, cells)]
    return [Turn(position, block, cell) for position, (block, cell) in enumerate(ordered, start=1)]


def again(cells: Sequence[Cell], anchor: Cell | None, anchors_pps: Mapping[int, float], repeats: Mapping[int, int],
          position: int) -> list[Turn]:
    """The turns that suspect blocks still take: a block for each, of the cells that were in it and are to be measured
    so often. `repeats` maps blocks to those that they repeat; the turns of these come too, for some may not have been
    measured yet. `position`: of the last turn so far."""
    wanted = dict(repeats)
    suspect = of_anchor.suspects(anchors_pps, repeats)
    for block in range(1, blocks_of(cells) + 1):
        tries = [new for new, old in repeats.items() if old == block]
        if max(tries, default=block) in suspect and _repeated(cells, block, len(tries) + 1):
            wanted[max([blocks_of(cells), *wanted]) + 1] = block
    found = []
    for new, old in sorted(wanted.items()):
        number = 1 + sum(1 for other, of in wanted.items() if of == old and other < new)
        found += [(new, old, cell) for cell in [*([anchor] if anchor else []), *_repeated(cells, old, number)]]
    return [Turn(place, new, cell, old) for place, (new, old, cell) in enumerate(found, start=position + 1)]


def _repeated(cells: Sequence[Cell], block: int, number: int) -> list[Cell]:
    """The cells of a block that are measured again for the `number`th time, in the order in which they were."""
    return [cell for cell in _one(block, cells) if cell.repeat.again >= number]


def blocks_of(cells: Sequence[Cell]) -> int:
    """How many blocks a run of these cells has."""
    return max((cell.repeat.blocks for cell in cells), default=0)


def anchor_for(cells: Sequence[Cell], bed: Bed, cpus: Sequence[int]) -> Cell | None:
    """The anchor of a run of these cells, if it has several blocks and nobody took it out."""
    if not any(cell.repeat.anchor and cell.repeat.blocks > 1 for cell in cells):
        return None
    [cell] = expand.expand([scenario.from_table("the anchor", ANCHOR_TABLE)], bed, cpus)
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
