# SPDX-License-Identifier: BSD-3-Clause
#
# flows.gp: what flows cost the generator: TSC cycles a packet, and memory, by number of flows.
#
# Use:    cd results/bench-core && gnuplot -d -c <repository>/plots/flows.gp pdf|png|svg
#         (`make bench-core` does it, and writes the input first)
# Input:  flows.dat in the current folder: tab-separated rows of
#         flows, label of the x axis, cycles a packet, lowest and highest round, memory (MiB), lowest and highest round
# Output: flows.<pdf|png|svg> in the current folder.
# This file only draws. Lengths are points (1/72 inch), y from the top of the page.

HERE = ARG0[1:strlen(ARG0) - strlen("flows.gp")]
load HERE . "style.gp"
KIND = ARG1 eq "" ? "pdf" : ARG1
if (KIND ne "pdf" && KIND ne "png" && KIND ne "svg") { exit error "flows.gp: the argument is pdf, png or svg" }

DATA = "flows.dat"
set datafile separator "\t"
set datafile missing NaN
PAGE_W = 360.; PAGE_H = 126.
PANELS = 2
array TITLE[PANELS] = ["(a) TSC cycles a packet", "(b) Memory, MiB"]
array COLUMN[PANELS] = [3, 6]               # of the value; the two behind it are lowest and highest
array LEFT[PANELS] = [30., 212.]
WIDTH = 140.; TOP = 18.; HEIGHT = 84.
sx(x) = x / PAGE_W
sy(y) = 1. - y / PAGE_H
stats DATA using (FLOWS_MAX = $1, $1) nooutput

eval "set terminal " . terminal_of(KIND, PAGE_W, PAGE_H)
set output "flows." . KIND
set multiplot
unset key
set logscale x
set xrange [0.5:2 * FLOWS_MAX]
set border 3 lw LW_FRAME lc rgb INK
set tmargin at screen sy(TOP)
set bmargin at screen sy(TOP + HEIGHT)
do for [p=1:PANELS] {
    set lmargin at screen sx(LEFT[p])
    set rmargin at screen sx(LEFT[p] + WIDTH)
    set yrange [0:*]
    set xtics () nomirror scale 0.4 offset 0,0.4 font FACE_SMALL
    set mxtics 0
    set ytics nomirror scale 0.4 offset 0.6,0 format "%g" font FACE_LABEL
    set grid ytics lt 1 lw LW_FRAME lc rgb GRID
    unset label
    set label at screen sx(LEFT[p] - 22), sy(TOP - 9) TITLE[p] left font BOLD_TITLE
    set label at screen sx(LEFT[p] + WIDTH / 2), sy(TOP + HEIGHT + 17) "flows" center font FACE_LABEL
    C = COLUMN[p]
    plot DATA using 1:C:xtic(2) with lines lw LW_LINE lc rgb "#0072B2", \
         DATA using 1:C:C + 1:C + 2 with yerrorbars pt 7 ps 0.3 lw LW_FRAME lc rgb INK
}
unset multiplot
unset output
