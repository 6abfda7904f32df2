# SPDX-License-Identifier: BSD-3-Clause
"""`make bench-search`: figures of searches and comparisons, simulated: no root, no machine to hold. A line a figure,
the same rows in results/bench-search.csv, exit status 1 if a bar is missed.

A figure is a module with NUMBER and measure() -> rows, and a word in the tuple.
"""

import sys
from pathlib import Path
from types import ModuleType

from harness.bench import comparing, rows, vectors
from harness.bench.rows import Row

FIGURES: tuple[ModuleType, ...] = (vectors, comparing)
OUT = Path(__file__).resolve().parents[2] / "results" / "bench-search.csv"


def main(figures: tuple[ModuleType, ...] = FIGURES, out: Path = OUT) -> int:
    """Measure and print; gives the exit status."""
    found: list[Row] = []
    for figure in sorted(figures, key=lambda f: f.NUMBER):
        for row in figure.measure():
            found.append(row)
            print(rows.line(row), flush=True)
        out.write_text(rows.to_csv(found), newline="")
    print(f"# written: {out}")
    return rows.status(found)


if __name__ == "__main__":
    sys.exit(main())
