# SPDX-License-Identifier: BSD-3-Clause
#
# heatmap.gp: throughput by number of flows and frame size, a panel per setup and switch.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/heatmap.gp pdf|png|svg [heatmap]
# Input:  heatmap.dat: the blocks of page.gp; fields: panel series size flows share text is_dark
# Output: heatmap.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("heatmap.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "heatmap" : ARG2
load HERE . "page.gp"
SWATCH = "box"
# viridis, of which grey printers and colour-blind readers see the order
set palette defined (0 '#440154', 0.25 '#3B528B', 0.5 '#21918C', 0.75 '#5EC962', 1 '#FDE725')
set cbrange [0:1]
unset colorbox
do for [p=1:NP] {
    load HERE . "panel.gp"
    plot \
        DATA index DATA_1 using (of_panel(p) && !valid(5) ? $3 : NaN):4:($3 - 0.5):($3 + 0.5):($4 - 0.5):($4 + 0.5) \
            with boxxyerror fs solid border rgb "#FFFFFF" lw LW_FRAME lc rgb "#E4E4E4", \
        DATA index DATA_1 using (of_panel(p) && valid(5) ? $3 : NaN):4:($3 - 0.5):($3 + 0.5):($4 - 0.5):($4 + 0.5):5 \
            with boxxyerror fs solid border rgb "#FFFFFF" lw LW_FRAME lc palette, \
        DATA index DATA_1 using (of_panel(p) && int($7) ? $3 : NaN):4:6 \
            with labels center font FACE_LABEL tc rgb "#FFFFFF", \
        DATA index DATA_1 using (of_panel(p) && !int($7) ? $3 : NaN):4:6 with labels center font FACE_LABEL tc rgb INK
}
load HERE . "legend.gp"
