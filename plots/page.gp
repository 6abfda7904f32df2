# SPDX-License-Identifier: BSD-3-Clause
#
# page.gp: what the figures of panels share. A .gp sets HERE, KIND and STEM, then
#     load HERE . "page.gp"            reads STEM.dat and opens the page
#     do for [p=1:NP] {
#         load HERE . "panel.gp"       panel p: place, axes, titles
#         plot ...                     the data
#     }
#     load HERE . "legend.gp"          legend and notes; closes the page
# Input: tab-separated blocks, columns named in each: figure, series, panels, tics, texts; behind them, from index
# DATA_1 on, the tables of the figure, whose first columns are panel and series. Lengths are points, y from the top.
# Texts reach gnuplot as quoted fields only, and text markup is off.

load HERE . "style.gp"
if (KIND ne "pdf" && KIND ne "png" && KIND ne "svg") { exit error STEM . ": the first argument is pdf, png or svg" }
POINT_SIZE = POINT_SIZE_OF(KIND)
DATA = STEM . ".dat"
set datafile separator "\t"
set datafile missing NaN
NOTHING = " "      # stands for an empty text: gnuplot does not keep empty fields apart
FIGURE = 0; SERIES = 1; PANELS = 2; TICS = 3; TEXTS = 4; DATA_1 = 5; DATA_2 = 6

stats DATA index FIGURE using (PAGE_W = $1, PAGE_H = $2, NS = int($3), NP = int($4), HAS_LEGEND = int($5), $1) nooutput
array NAME[NS]; array STYLE[NS]
stats DATA index SERIES using (NAME[int($1)] = strcol(2), 1) nooutput
UNKNOWN = 0
do for [s=1:NS] {
    STYLE[s] = style_of(NAME[s], UNKNOWN)
    if (known_style(NAME[s]) == 0) { UNKNOWN = UNKNOWN + 1 }
}
array LEFT[NP]; array TOP[NP]; array WIDTH[NP]; array HEIGHT[NP]
array X_LO[NP]; array X_HI[NP]; array X_LOG[NP]; array Y_LO[NP]; array Y_HI[NP]; array Y_LOG[NP]
array Y_LABEL[NP]; array TITLE[NP]; array SUBTITLE[NP]; array EXTRA[NP]
stats DATA index PANELS using (P = int($1), LEFT[P] = $2, TOP[P] = $3, WIDTH[P] = $4, HEIGHT[P] = $5, X_LO[P] = $6, \
    X_HI[P] = $7, X_LOG[P] = int($8), Y_LO[P] = $9, Y_HI[P] = $10, Y_LOG[P] = int($11), Y_LABEL[P] = strcol(12), \
    TITLE[P] = strcol(13), SUBTITLE[P] = strcol(14), EXTRA[P] = strcol(15), 1) nooutput

sx(x) = x / PAGE_W               # points to screen, x
sy(y) = 1. - y / PAGE_H          # points from the top to screen, y
# `points` above y in panel p, in units of its y axis
above(y, points) = Y_LOG[p] ? y * (Y_HI[p] / Y_LO[p]) ** (points / HEIGHT[p]) \
                            : y + points * (Y_HI[p] - Y_LO[p]) / HEIGHT[p]
# `points` to the right of x in panel p
beside(x, points) = X_LOG[p] ? x * (X_HI[p] / X_LO[p]) ** (points / WIDTH[p]) \
                             : x + points * (X_HI[p] - X_LO[p]) / WIDTH[p]
of(panel, series) = int($1) == panel && int($2) == series
of_panel(panel) = int($1) == panel

eval "set terminal " . terminal_of(KIND, PAGE_W, PAGE_H)
set output STEM . "." . KIND
set multiplot
unset key
unset xtics
unset ytics
set style arrow 1 nohead lw 3.2 * LW_FRAME lc rgb "#FFFFFF"                     # halo of a whisker, for dark bars
set style arrow 2 heads size screen 1.3 / PAGE_W, 90 lw LW_FRAME lc rgb INK     # whisker
set style arrow 3 nohead lw LW_FRAME lc rgb GRID                                # grid
