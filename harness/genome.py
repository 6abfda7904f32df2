# SPDX-License-Identifier: BSD-3-Clause
"""IMIX genomes: a repeated sequence of frame sizes as a word (RFC 6985). Pure.

Small letters are the sizes of RFC 6985 section 4; a capital letter, and z (the MTU there), has the size that the
scenario gives it. The word is the order of the frames, not only their shares.
"""

from collections.abc import Mapping

from harness.errors import BadInput

LETTERS = {"a": 64, "b": 128, "c": 256, "d": 512, "e": 1024, "f": 1280, "g": 1518, "h": 2112, "i": 9000}
OWN_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZz"
GENES_MAX = 1024        # pktgen's longest sequence


def sizes(where: str, genome: str, own: Mapping[str, int]) -> tuple[int, ...]:
    """The frame sizes in bytes, FCS included, that a genome stands for; `own` has those of OWN_LETTERS. BadInput."""
    if not 1 <= len(genome) <= GENES_MAX:
        raise BadInput(f"{where} has {len(genome)} letters: allowed are 1 to {GENES_MAX}")
    known = {**LETTERS, **own}
    for letter in genome:
        if letter in OWN_LETTERS and letter not in known:
            raise BadInput(f"{where} has the letter '{letter}', to which 'imix_sizes' gives no size: add "
                           f"imix_sizes = {{{letter} = 570}}, say")
        if letter not in known:
            raise BadInput(f"{where} has the letter {letter!r}: allowed are "
                           + " ".join(f"{name}={size}" for name, size in known.items())
                           + " and capital letters of 'imix_sizes'")
    return tuple(known[letter] for letter in genome)
