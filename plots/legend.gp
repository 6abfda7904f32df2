# SPDX-License-Identifier: BSD-3-Clause
#
# legend.gp: the legend above the panels and the notes below them; closes the page. See page.gp.
# SWATCH is "box" (hatched, as bars), "line" (line with point) or "point".
unset label
unset object
unset logscale
unset border
set lmargin at screen 0
set rmargin at screen 1
set tmargin at screen 1
set bmargin at screen 0
set xrange [0:PAGE_W]
set yrange [PAGE_H:0]
SWATCH_W = 12.; SWATCH_H = 6.
entry(s) = HAS_LEGEND && int($1) == s ? $3 : NaN
is_box(s) = SWATCH eq "box" ? entry(s) : NaN
plot \
    for [s=1:NS] DATA index SERIES using (is_box(s)):4:3:($3 + SWATCH_W):($4 - SWATCH_H / 2):($4 + SWATCH_H / 2) \
        with boxxyerror fs solid border rgb INK lw LW_BAR lc rgb FILL(STYLE[s]), \
    for [s=1:NS] DATA index SERIES using (is_box(s)):4:3:($3 + SWATCH_W):($4 - SWATCH_H / 2):($4 + SWATCH_H / 2) \
        with boxxyerror fs transparent pattern HATCH(STYLE[s]) border rgb INK lw LW_BAR lc rgb HATCH_COLOUR(STYLE[s]), \
    for [s=1:NS] DATA index SERIES using (SWATCH eq "line" ? entry(s) - 1 : NaN):4:(SWATCH_W + 2):(0) \
        with vectors nohead lw LW_LINE dt DASH(STYLE[s]) lc rgb LINE(STYLE[s]), \
    for [s=1:NS] DATA index SERIES using (SWATCH ne "box" ? entry(s) + SWATCH_W / 2. : NaN):4 \
        with points pt POINT(STYLE[s]) ps POINT_SIZE lw LW_FRAME lc rgb LINE(STYLE[s]), \
    DATA index SERIES using (HAS_LEGEND ? $3 + SWATCH_W + 4 : NaN):4:2 with labels left font FACE_TITLE, \
    DATA index TEXTS using (strcol(4) eq "axis" ? $1 : NaN):2:3 with labels center font FACE_LABEL, \
    DATA index TEXTS using (strcol(4) eq "note" ? $1 : NaN):2:3 with labels left font FACE_SMALL tc rgb SOFT
unset multiplot
unset output
