# SPDX-License-Identifier: BSD-3-Clause
"""Text of figures: widths, lines, and the fields of the .dat files that gnuplot reads. Pure. Lengths are points (1/72
inch).
"""

import re
import unicodedata
from collections.abc import Sequence

from harness.figures.reading import clean

COLUMN_PT, TEXT_PT = 240.0, 504.0       # widths of a column and of both columns of a paper (3.34 in and 7.0 in)
TITLE_PT, LABEL_PT, SMALL_PT = 7.5, 7.0, 6.0        # the text sizes of plots/style.gp


def text_width(text: str, size: float) -> float:
    """Width of a text in points, estimated on the safe side for DejaVu Sans."""
    def em(c: str) -> float:
        if unicodedata.combining(c):
            return 0.0
        if unicodedata.east_asian_width(c) in "WF":
            return 1.05
        return 0.36 if c in "iIjl|!.,:;'()[] tfr-" else 0.9 if c in "mwMW@%" else 0.72 if c.isupper() else 0.62

    return size * sum(map(em, text))


def bound(text: str) -> str:
    """The text with its spaces made unbreakable."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def wrap(paragraphs: Sequence[str], width: float, size: float) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        line = ""
        for word in re.split(r"[ \n]+", paragraph):
            longer = f"{line} {word}".lstrip(" ")
            if line and text_width(longer, size) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def fit(text: str, width: float, size: float) -> str:
    while len(text) > 4 and text_width(text, size) > width:
        text = text[:-2].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return text


# ---- the .dat ----------------------------------------------------------------------------------------------------

def field(value: str | float | int | bool | None) -> str:
    """One field of a gnuplot data file. Text is quoted, its quotes and backslashes become escapes; an empty one becomes
    a space, as gnuplot does not keep empty fields apart."""
    if isinstance(value, str):
        return '"' + (clean(value, 400) or " ").replace("\\", "\\\\").replace('"', "\\042") + '"'
    if value is None:
        return "NaN"
    return str(int(value)) if isinstance(value, (bool, int)) else f"{value:.9g}"


def block(name: str, columns: str, rows: Sequence[Sequence]) -> str:
    lines = [f"# {name}: {columns}"] + ["\t".join(map(field, row)) for row in rows]
    return "\n".join(lines) + "\n"


def legend_places(entries: Sequence[float], width: float) -> tuple[list[tuple[float, float]], float]:
    """Left and middle of entries of these widths (points), side by side in centred lines; and the middle of the last
    line."""
    lines: list[list[float]] = [[]]
    for entry in entries:
        if lines[-1] and sum(lines[-1]) + 12 * len(lines[-1]) + entry > width - 16:
            lines.append([])
        lines[-1].append(entry)
    places = []
    for row, line in enumerate(lines):
        x = (width - sum(line) - 12 * (len(line) - 1)) / 2
        for entry in line:
            places.append((x, 8.0 + 11 * row))
            x += entry + 12
    return places, 8.0 + 11 * (len(lines) - 1)
