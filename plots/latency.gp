# SPDX-License-Identifier: BSD-3-Clause
#
# latency.gp: latency percentiles at each load, a bar per switch, a panel per setup and frame size.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/latency.gp pdf|png|svg [latency]
# Input:  latency.dat: the blocks of page.gp; bars: panel series load p50_us p50_low_us p50_high_us p99_us p999_us drawn
#         marks
# Output: latency.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("latency.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "latency" : ARG2
load HERE . "page.gp"
SWATCH = "box"
BAR_W = 0.8 / NS > 0.28 ? 0.28 : 0.8 / NS
x_of(s) = $3 + (s - (NS + 1) / 2.) * BAR_W
good(s) = of(p, s) && strcol(9) eq "ok"
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        for [s=1:NS] DATA index DATA_1 using (good(s) && valid(8) ? x_of(s) : NaN):4:(0):($8 - $4) \
            with vectors arrowstyle 2, \
        for [s=1:NS] DATA index DATA_1 using (good(s) && valid(7) ? x_of(s) : NaN):4:(x_of(s) - BAR_W * 0.42): \
            (x_of(s) + BAR_W * 0.42):4:7 with boxxyerror fs solid border rgb INK lw LW_BAR lc rgb FILL(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (good(s) && valid(7) ? x_of(s) : NaN):4:(x_of(s) - BAR_W * 0.42): \
            (x_of(s) + BAR_W * 0.42):4:7 with boxxyerror fs transparent pattern HATCH(STYLE[s]) border rgb INK \
            lw LW_BAR lc rgb HATCH_COLOUR(STYLE[s]), \
        for [s=1:NS] DATA index DATA_1 using (good(s) ? x_of(s) : NaN):4 \
            with points pt 7 ps 0.75 * POINT_SIZE lc rgb "#FFFFFF", \
        for [s=1:NS] DATA index DATA_1 using (good(s) ? x_of(s) : NaN):4 \
            with points pt 7 ps 0.55 * POINT_SIZE lc rgb INK, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) && strcol(9) eq "invalid" ? x_of(s) : NaN):4 \
            with points pt 2 ps POINT_SIZE lw LW_LINE lc rgb WARN, \
        for [s=1:NS] DATA index DATA_1 using (of(p, s) ? x_of(s) : NaN): \
            (above(valid(8) ? $8 : valid(7) ? $7 : $4, 5)):10 with labels center font FACE_SMALL
}
load HERE . "legend.gp"
