# SPDX-License-Identifier: BSD-3-Clause
#
# latency_ccdf.gp: distribution of latency, a curve per switch; a row of panels per setup and frame size, a column per
# load.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/latency_ccdf.gp pdf|png|svg [latency_ccdf]
# Input:  latency_ccdf.dat: the blocks of page.gp; curves: panel series latency_us share marks has_point
# Output: latency_ccdf.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("latency_ccdf.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "latency_ccdf" : ARG2
load HERE . "page.gp"
load HERE . "curves.gp"
