# SPDX-License-Identifier: BSD-3-Clause
#
# curves.gp: curves of distributions, what latency_cdf.gp and latency_ccdf.gp share. See page.gp.
SWATCH = "line"
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? $3 : NaN):4 \
            with lines lw LW_LINE dt DASH(STYLE[s]) lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && int($6) ? $3 : NaN):4 \
            with points pt POINT(STYLE[s]) ps 0.75 * POINT_SIZE lw LW_FRAME lc rgb LINE(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && strcol(5) ne NOTHING ? beside($3, 6) : NaN):4:5 \
            with labels left font FACE_SMALL
}
load HERE . "legend.gp"
