# SPDX-License-Identifier: BSD-3-Clause
#
# loss.gp: loss against load, a line per switch, a panel per setup and frame size.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/loss.gp pdf|png|svg [loss]
# Input:  loss.dat: the blocks of page.gp; points: panel series load_mpps loss_ratio low high marks (no loss is the
# value
#         of the axis text 0); goals: panel series loss_ratio text
# Output: loss.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("loss.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "loss" : ARG2
load HERE . "page.gp"
SWATCH = "line"
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        DATA index DATA_2 using (of_panel(p) ? X_LO[p] : NaN):3:(X_HI[p] - X_LO[p]):(0) \
            with vectors nohead lw LW_LINE dt (2, 4) lc rgb WARN, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && valid(6) ? $3 : NaN):5:(0):($6 - $5) \
            with vectors arrowstyle 2, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? $3 : NaN):4 \
            with lines lw LW_LINE dt DASH(STYLE[s]) lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? $3 : NaN):4 \
            with points pt POINT(STYLE[s]) ps POINT_SIZE lw LW_FRAME lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? $3 : NaN):(above($4, 6)):7 with labels center font FACE_SMALL
}
load HERE . "legend.gp"
