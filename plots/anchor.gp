# SPDX-License-Identifier: BSD-3-Clause
#
# anchor.gp: the anchor cell over time, in which blocks the machine was another one.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/anchor.gp pdf|png|svg [anchor]
# Input:  anchor.dat: the blocks of page.gp; trials: panel series minutes mpps counts; blocks: panel series minutes mpps
#         is_suspect text; band: panel series low_mpps high_mpps median_mpps
# Output: anchor.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("anchor.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "anchor" : ARG2
load HERE . "page.gp"
SWATCH = "point"
BAND = DATA_2 + 1
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        DATA index BAND using (X_LO[p]):3:(X_LO[p]):(X_HI[p]):3:4 with boxxyerror fs solid noborder lc rgb "#EEEEEE", \
        DATA index BAND using (X_LO[p]):5:(X_HI[p] - X_LO[p]):(0) with vectors nohead lw LW_FRAME lc rgb SOFT, \
        DATA index DATA_1 using (int($5) ? $3 : NaN):4 with points pt 7 ps 0.5 * POINT_SIZE lc rgb "#56B4E9", \
        DATA index DATA_1 using (!int($5) ? $3 : NaN):4 with points pt 2 ps 0.7 * POINT_SIZE lw LW_LINE lc rgb WARN, \
        DATA index DATA_2 using 3:4 with lines lw LW_FRAME lc rgb "#0072B2", \
        DATA index DATA_2 using (!int($5) ? $3 : NaN):4 with points pt 7 ps 1.2 * POINT_SIZE lc rgb "#0072B2", \
        DATA index DATA_2 using (int($5) ? $3 : NaN):4 with points pt 9 ps 1.5 * POINT_SIZE lc rgb WARN, \
        DATA index DATA_2 using 3:(above($4, 8)):6 with labels center font FACE_SMALL
}
load HERE . "legend.gp"
