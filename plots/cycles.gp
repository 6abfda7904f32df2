# SPDX-License-Identifier: BSD-3-Clause
#
# cycles.gp: CPU cycles per packet by frame size and topology, grouped by switch.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/cycles.gp pdf|png|svg [cycles]
#         (`make figures RUN=...` does it, and writes the input first)
# Input:  cycles.dat, see bars.gp. Output: cycles.<pdf|png|svg>, both in the current folder.
HERE = ARG0[1:strlen(ARG0) - strlen("cycles.gp")]
KIND = ARG1 eq "" ? "pdf" : ARG1
STEM = ARG2 eq "" ? "cycles" : ARG2
load HERE . "bars.gp"
