# SPDX-License-Identifier: BSD-3-Clause
"""Figures: results.csv of a run -> figures/<name>.{pdf,png,svg}, drawn by gnuplot.

    draw(run_dir) -> the files written

reading.py parses results.csv, throughput.py makes a chart of it, page.py lays it out and writes the small table
`<name>.dat` that `plots/<name>.gp` draws; all of these are pure. drawing.py reads, writes and starts gnuplot.

A next figure is one `plots/<name>.gp` plus one entry of drawing.FIGURES (its name, the columns it reads, and a function
from rows to the text of its .dat).

Names reach gnuplot only as quoted fields of a data file, never as gnuplot code, and its terminals run with text markup
off. A row that cannot be read is left out and named in a warning; the place of its bar then says "missing".
"""

from harness.figures.drawing import FIGURES, FORMATS, draw, draw_flows
from harness.figures.reading import FigureError

__all__ = ["FIGURES", "FORMATS", "FigureError", "draw", "draw_flows"]
