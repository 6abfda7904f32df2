# SPDX-License-Identifier: BSD-3-Clause
#
# latency_cdf.gp: distribution of latency, a curve per switch; a row of panels per setup and frame size, a column per
# load.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/latency_cdf.gp pdf|png|svg [latency_cdf]
# Input:  latency_cdf.dat: the blocks of page.gp; curves: panel series latency_us share marks has_point
# Output: latency_cdf.<pdf|png|svg>
HERE = ARG0[1:strlen(ARG0) - strlen("latency_cdf.gp")]
KIND = ARG1; STEM = ARG2 eq "" ? "latency_cdf" : ARG2
load HERE . "page.gp"
load HERE . "curves.gp"
