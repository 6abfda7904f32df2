# SPDX-License-Identifier: BSD-3-Clause
#
# forest.gp: comparison of two versions, a row per cell: ratio, interval, margin and verdict.
#
# Use:    cd <folder>/figures && gnuplot -d -c <repository>/plots/forest.gp pdf|png|svg [forest]
# Input:  forest.dat: the blocks of page.gp; ratios: panel series row ratio low high kind beyond text, of which kind is
# 1
#         faster, 2 slower, 3 equivalent, 4 inconclusive, 5 capped, 0 other; bands: panel series low high
# Output: forest.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("forest.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "forest" : ARG2
load HERE . "page.gp"
SWATCH = "point"
SHAPES = "2 9 11 6 2 4"                 # of kinds 0 to 5
COLOURS = "#555555 #0072B2 #D55E00 #009E73 #555555 #CC79A7"
SHAPE(k) = int(word(SHAPES, k + 1))
COLOUR(k) = word(COLOURS, k + 1)
is_kind(k) = of_panel(p) && int($7) == k
do for [p=1:NP] {
    load HERE . "panel.gp"
    ARROW = beside(0, 8) - beside(0, 0)
    plot \
        DATA index DATA_2 using (of_panel(p) ? $3 : NaN):(Y_LO[p]):3:4:(Y_LO[p]):(Y_HI[p]) \
            with boxxyerror fs solid noborder lc rgb "#EEEEEE", \
        DATA index DATA_1 using (of_panel(p) && int($3) == 1 ? 1 : NaN):(Y_LO[p]):(0):(Y_HI[p] - Y_LO[p]) \
            with vectors nohead lw LW_FRAME lc rgb INK, \
        for [k=0:5] DATA index DATA_1 using (is_kind(k) && valid(5) ? $5 : NaN):3:($6 - $5):(0) \
            with vectors nohead lw LW_LINE lc rgb COLOUR(k), \
        for [k=0:5] DATA index DATA_1 using (is_kind(k) && int($8) == 0 ? $4 : NaN):3 \
            with points pt SHAPE(k) ps 1.2 * POINT_SIZE lw LW_LINE lc rgb COLOUR(k), \
        DATA index DATA_1 using (of_panel(p) && int($8) > 0 ? beside($4, -8) : NaN):3:(ARROW):(0) \
            with vectors head filled size screen 3 / PAGE_W, 25 lw LW_LINE lc rgb INK, \
        DATA index DATA_1 using (of_panel(p) && int($8) < 0 ? beside($4, 8) : NaN):3:(-ARROW):(0) \
            with vectors head filled size screen 3 / PAGE_W, 25 lw LW_LINE lc rgb INK, \
        DATA index DATA_1 using (of_panel(p) ? X_HI[p] : NaN):3:9 with labels left offset 0.6, 0 font FACE_LABEL
}
load HERE . "legend.gp"
