# SPDX-License-Identifier: BSD-3-Clause
#
# chain.gp: throughput (R+) by chain length, a line per switch, a panel per guest, direction and frame size.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/chain.gp pdf|png|svg [chain]
# Input:  chain.dat: the blocks of page.gp; points: panel series chain_length rplus_mpps low_mpps high_mpps drawn marks;
#         lines: panel series chain_length rplus_mpps to_length to_mpps
# Output: chain.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("chain.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "chain" : ARG2
load HERE . "page.gp"
SWATCH = "line"
at(s) = beside($3, (s - (NS + 1) / 2.) * 2.2)       # side by side, so that whiskers of switches stay apart
good(s) = of(p, s) && strcol(7) eq "ok"
bad(s) = of(p, s) && strcol(7) eq "invalid"
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        for [s=1:NS] DATA index DATA_2 using (of(p, s) ? at(s) : NaN):4:($5 - $3):($6 - $4) \
            with vectors nohead lw LW_LINE dt DASH(STYLE[s]) lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && valid(6) ? at(s) : NaN):5:(0):($6 - $5) \
            with vectors arrowstyle 2, \
        for [s=1:NS] DATA index DATA_1 using (good(s) ? at(s) : NaN):4 \
            with points pt POINT(STYLE[s]) ps POINT_SIZE lw LW_FRAME lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (bad(s) ? at(s) : NaN):4 \
            with points pt 2 ps POINT_SIZE lw LW_LINE lc rgb WARN, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? at(s) : NaN):(above(valid(6) ? $6 : $4, 5)):8 \
            with labels center font FACE_SMALL
}
load HERE . "legend.gp"
