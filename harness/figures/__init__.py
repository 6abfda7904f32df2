# SPDX-License-Identifier: BSD-3-Clause
"""Figures: the CSV files of a run -> figures/<name>.{pdf,png,svg}, drawn by gnuplot.

    draw_all(run_dir) -> the files written, and why other figures were not drawn

data.py gives what a run has (reading.py parses it); a module per figure makes sheets of that, which sheet.py lays out
and writes as the small table `<name>.dat` that `plots/<name>.gp` draws; all of these are pure. Bars by frame size have
a layout of their own (bars.py, barpage.py). drawing.py reads, writes and starts gnuplot.

A next figure is one `plots/<name>.gp`, one function from Data to sheets, and one line in drawing.FIGURES.

Names reach gnuplot only as quoted fields of a data file, never as gnuplot code, and its terminals run with text markup
off. What cannot be read is left out and named in a warning; the place of its bar then says "missing".
"""

from harness.figures.drawing import FIGURES, FORMATS, draw, draw_all, draw_flows, text_of
from harness.figures.reading import FigureError

__all__ = ["FIGURES", "FORMATS", "FigureError", "draw", "draw_all", "draw_flows", "text_of"]
