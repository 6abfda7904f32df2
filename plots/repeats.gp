# SPDX-License-Identifier: BSD-3-Clause
#
# repeats.gp: every trial or block as a dot, with median and interval; a row per cell.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/repeats.gp pdf|png|svg [repeats]
# Input:  repeats.dat: the blocks of page.gp; dots: panel series percent row counts beyond text; medians: panel series
# row
#         low_percent high_percent text
# Output: repeats.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("repeats.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "repeats" : ARG2
load HERE . "page.gp"
SWATCH = "point"
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        DATA index DATA_2 using (of_panel(p) && valid(4) ? 0 : NaN):3:4:5:($3 - 0.36):($3 + 0.36) \
            with boxxyerror fs solid noborder lc rgb "#DDDDDD", \
        DATA index DATA_2 using (of_panel(p) ? 0 : NaN):($3 - 0.4):(0):(0.8) \
            with vectors nohead lw 1.4 * LW_LINE lc rgb INK, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && int($5) && int($6) == 0 ? $3 : NaN):4 \
            with points pt POINT(STYLE[s]) ps 0.62 * POINT_SIZE lw LW_FRAME lc rgb LINE(STYLE[s]), \
        DATA index DATA_1 using (of_panel(p) && !int($5) && int($6) == 0 ? $3 : NaN):4 \
            with points pt 2 ps 0.75 * POINT_SIZE lw LW_LINE lc rgb WARN, \
        DATA index DATA_1 using (of_panel(p) && int($6) > 0 ? beside($3, -6) : NaN):4:(beside(0, 5)):(0) \
            with vectors head filled size screen 2.4 / PAGE_W, 25 lw LW_FRAME lc rgb WARN, \
        DATA index DATA_1 using (of_panel(p) && int($6) < 0 ? beside($3, 6) : NaN):4:(beside(0, -5)):(0) \
            with vectors head filled size screen 2.4 / PAGE_W, 25 lw LW_FRAME lc rgb WARN, \
        DATA index DATA_1 using (of_panel(p) && int($6) > 0 ? beside($3, -7) : NaN):4:7 \
            with labels right font FACE_SMALL tc rgb WARN, \
        DATA index DATA_1 using (of_panel(p) && int($6) < 0 ? beside($3, 7) : NaN):4:7 \
            with labels left font FACE_SMALL tc rgb WARN, \
        DATA index DATA_2 using (of_panel(p) ? X_HI[p] : NaN):3:6 with labels left offset 0.4, 0 font FACE_LABEL
}
load HERE . "legend.gp"
