# SPDX-License-Identifier: BSD-3-Clause
#
# bars.gp: one figure of every cell by frame size and topology, grouped by switch; what throughput.gp, ndr.gp, pdr.gp
# and cycles.gp share. They set HERE, KIND and STEM.
#
# Input:  STEM.dat in the current folder: tab-separated blocks, in this order, columns named in each block
#           figure    one row: page size and counts
#           switches  one row per switch: name and the place of its legend entry
#           panels    one row per panel: place, titles, y axis
#           groups    one row per panel and frame size
#           bars      one row per panel, frame size and switch: values, what to draw, marks
#           ceilings  one row per panel and frame size: the tester's own rate, and what to write where it is off the
#           axis
#           footer    one row per line of the footer
#         Lengths are points (1/72 inch), y from the top of the page.
# Output: STEM.<pdf|png|svg> in the current folder.
#
# This file only draws. What is drawn where was decided before; to move a panel, edit its row of the .dat.

load HERE . "style.gp"
if (KIND ne "pdf" && KIND ne "png" && KIND ne "svg") { exit error STEM . ": the first argument is pdf, png or svg" }

DATA = STEM . ".dat"
set datafile separator "\t"
set datafile missing NaN
NOTHING = " "      # stands for an empty text: gnuplot does not keep empty fields apart
FIGURE = 0; SWITCHES = 1; PANELS = 2; GROUPS = 3; BARS = 4; CEILINGS = 5; FOOTER = 6      # index of each block

# ---- read ------------------------------------------------------------------------------------------------------
stats DATA index FIGURE using (PAGE_W = $1, PAGE_H = $2, NS = int($3), NP = int($4), $1) nooutput
array NAME[NS]; array STYLE[NS]
stats DATA index SWITCHES using (NAME[int($1)] = strcol(2), 1) nooutput
UNKNOWN = 0
do for [s=1:NS] {
    STYLE[s] = style_of(NAME[s], UNKNOWN)
    if (known_style(NAME[s]) == 0) { UNKNOWN = UNKNOWN + 1 }
}
array LEFT[NP]; array TOP[NP]; array WIDTH[NP]; array HEIGHT[NP]; array NG[NP]; array BAR_W[NP]
array Y_MAX[NP]; array Y_STEP[NP]; array Y_LABEL[NP]; array ZOOM[NP]
array TITLE[NP]; array SUBTITLE[NP]; array EXTRA[NP]
stats DATA index PANELS using (P = int($1), LEFT[P] = $2, TOP[P] = $3, WIDTH[P] = $4, HEIGHT[P] = $5, NG[P] = int($6), \
    BAR_W[P] = $7, Y_MAX[P] = $8, Y_STEP[P] = $9, Y_LABEL[P] = strcol(10), ZOOM[P] = strcol(11), \
    TITLE[P] = strcol(12), SUBTITLE[P] = strcol(13), EXTRA[P] = strcol(14), 1) nooutput

# ---- places ----------------------------------------------------------------------------------------------------
sx(x) = x / PAGE_W               # points to screen, x
sy(y) = 1. - y / PAGE_H          # points from the top to screen, y
up(points, panel) = points * Y_MAX[panel] / HEIGHT[panel]                    # points to a panel's y units
bar_x(panel) = $2 + ($3 - (NS + 1) / 2.) * BAR_W[panel]
# Columns of "bars": 1 panel, 2 group, 3 switch, 4 frame bytes, 5 value, 6 low, 7 high, 8 what to draw, 9 marks, 10
# bound
is_bar(panel, switch, drawn) = int($1) == panel && int($3) == switch && strcol(8) eq drawn
has_value(panel) = int($1) == panel && (strcol(8) eq "ok" || strcol(8) eq "invalid")
# 20000 as 20k: no more than five characters fit
FORMAT(p) = Y_MAX[p] < 10000 ? "%g" : Y_STEP[p] - 1000 * floor(Y_STEP[p] / 1000) < 1 ? "%.0s%c" : "%.1s%c"
is_text(panel, text) = int($1) == panel && strcol(8) eq text

# ---- draw ------------------------------------------------------------------------------------------------------
eval "set terminal " . terminal_of(KIND, PAGE_W, PAGE_H)
set output STEM . "." . KIND
set multiplot
unset key
unset xtics
set style arrow 1 nohead lw 3.2 * LW_FRAME lc rgb "#FFFFFF"                     # halo of a whisker, for dark bars
set style arrow 2 heads size screen 1.3 / PAGE_W, 90 lw LW_FRAME lc rgb INK     # whisker

do for [p=1:NP] {
    set lmargin at screen sx(LEFT[p])
    set rmargin at screen sx(LEFT[p] + WIDTH[p])
    set tmargin at screen sy(TOP[p])
    set bmargin at screen sy(TOP[p] + HEIGHT[p])
    set xrange [0.5:NG[p] + 0.5]
    set yrange [0:Y_MAX[p]]
    set border 3 lw LW_FRAME lc rgb INK
    set ytics Y_STEP[p] nomirror scale 0.4 offset 0.6,0 format FORMAT(p) font FACE_LABEL
    set grid ytics lt 1 lw LW_FRAME lc rgb GRID
    unset label
    unset object
    x = LEFT[p]
    second = TOP[p] - (EXTRA[p] eq NOTHING ? 7 : 15.5)
    set label at screen sx(x), sy(second - 9) TITLE[p] left font BOLD_TITLE
    set label at screen sx(x), sy(second) SUBTITLE[p] left font FACE_LABEL tc rgb SOFT
    set label at screen sx(x), sy(TOP[p] - 7) EXTRA[p] left font FACE_LABEL tc rgb SOFT
    set label at screen sx(x - 27), sy(TOP[p] + HEIGHT[p] / 2.) Y_LABEL[p] center rotate by 90 font FACE_LABEL
    if (ZOOM[p] ne NOTHING) {
        set object rectangle from graph 0, 0 to graph 1, 1 behind fc rgb TINT fs solid noborder
        set label at screen sx(x + WIDTH[p] - 2), sy(TOP[p] + 5) ZOOM[p] right font BOLD_SMALL tc rgb WARN front
    }
    plot \
        for [s=1:NS] DATA index BARS using (is_bar(p, s, "ok") ? bar_x(p) : NaN):5:(BAR_W[p]) with boxes \
            fs solid border rgb INK lw LW_BAR lc rgb FILL(STYLE[s]), \
        for [s=1:NS] DATA index BARS using (is_bar(p, s, "ok") ? bar_x(p) : NaN):5:(BAR_W[p]) with boxes \
            fs transparent pattern HATCH(STYLE[s]) border rgb INK lw LW_BAR lc rgb HATCH_COLOUR(STYLE[s]), \
        DATA index BARS using (is_text(p, "invalid") ? bar_x(p) : NaN):5:(BAR_W[p]) with boxes \
            fs empty border rgb SOFT lw LW_BAR lc rgb SOFT dt (3, 3), \
        DATA index BARS using (is_text(p, "ok") && int($10) ? $2 - NS * BAR_W[p] / 2. : NaN):5:(NS * BAR_W[p]):(0) \
            with vectors nohead lw LW_LINE dt (10, 6) lc rgb INK, \
        DATA index CEILINGS using (int($1) == p && $3 <= Y_MAX[p] ? $2 - 0.5 : NaN):3:(1):(0) \
            with vectors nohead lw LW_LINE dt (2, 4) lc rgb WARN, \
        DATA index CEILINGS using (int($1) == p && $3 > Y_MAX[p] ? $2 : NaN):(Y_MAX[p] - up(4, p)):4 \
            with labels center font FACE_SMALL tc rgb WARN, \
        for [a=1:2] DATA index BARS using (has_value(p) ? bar_x(p) : NaN):6:(0):($7 - $6) with vectors arrowstyle a, \
        for [k=1:6] DATA index BARS \
            using (has_value(p) ? bar_x(p) : NaN):((valid(7) ? $7 : $5) + up(5.5*k - 1, p)):(substr(strcol(9), k, k)) \
            with labels center norotate font FACE_LABEL, \
        for [t in "n/a missing invalid"] DATA index BARS using (is_text(p, t) ? bar_x(p) : NaN):(up(2, p)):8 \
            with labels left rotate by 90 font FACE_SMALL tc rgb SOFT, \
        DATA index BARS using (is_text(p, "ok") && $5 == 0 ? bar_x(p) : NaN):(up(4, p)):("0") \
            with labels center font FACE_SMALL, \
        DATA index BARS using (is_text(p, "failed") ? bar_x(p) : NaN):(up(2, p)):8 \
            with labels left rotate by 90 font FACE_SMALL tc rgb WARN, \
        DATA index GROUPS using (int($1) == p ? $2 : NaN):(0):3 with labels center offset 0, -0.8 font FACE_LABEL
}

# The page itself: legend above, axis title and footer below, in points from the top left corner.
unset label
unset object
unset ytics
unset border
unset grid
set lmargin at screen 0
set rmargin at screen 1
set tmargin at screen 1
set bmargin at screen 0
set xrange [0:PAGE_W]
set yrange [PAGE_H:0]
# Columns of "switches": 1 number, 2 name, 3 legend text, 4 x, 5 y, 6 bound
SWATCH_W = 11.; SWATCH_H = 6.
place_of(s) = int($1) == s ? $4 : NaN
plot \
    for [s=1:NS] DATA index SWITCHES using (place_of(s)):5:4:($4 + SWATCH_W):($5 - SWATCH_H / 2):($5 + SWATCH_H / 2) \
        with boxxyerror fs solid border rgb INK lw LW_BAR lc rgb FILL(STYLE[s]), \
    for [s=1:NS] DATA index SWITCHES using (place_of(s)):5:4:($4 + SWATCH_W):($5 - SWATCH_H / 2):($5 + SWATCH_H / 2) \
        with boxxyerror fs transparent pattern HATCH(STYLE[s]) border rgb INK lw LW_BAR lc rgb HATCH_COLOUR(STYLE[s]), \
    DATA index SWITCHES using (int($6) ? $4 - 4 : NaN):($5 - SWATCH_H / 2):(SWATCH_W + 8):(0) \
        with vectors nohead lw LW_LINE dt (10, 6) lc rgb INK, \
    DATA index SWITCHES using ($4 + SWATCH_W + 4 + (int($6) ? 3 : 0)):5:3 with labels left font FACE_TITLE, \
    DATA index FOOTER using (strcol(4) eq "axis" ? $1 : NaN):2:3 with labels center font FACE_LABEL, \
    DATA index FOOTER using (strcol(4) eq "note" ? $1 : NaN):2:3 with labels left font FACE_SMALL tc rgb SOFT
unset multiplot
unset output
