# SPDX-License-Identifier: BSD-3-Clause
#
# throughput.gp: throughput (R+) by frame size and topology, grouped by switch; testpmd as the upper bound.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/throughput.gp pdf|png|svg [throughput]
#         (`make figures RUN=...` does it, and writes the input first)
# Input:  throughput.dat, see bars.gp. Output: throughput.<pdf|png|svg>, both in the current folder.
HERE = ARG0[1:strlen(ARG0) - strlen("throughput.gp")]
KIND = ARG1 eq "" ? "pdf" : ARG1
STEM = ARG2 eq "" ? "throughput" : ARG2
load HERE . "bars.gp"
