# SPDX-License-Identifier: BSD-3-Clause
#
# ndr.gp: no-drop rate (NDR) by frame size and topology, grouped by switch.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/ndr.gp pdf|png|svg [ndr]
#         (`make figures RUN=...` does it, and writes the input first)
# Input:  ndr.dat, see bars.gp. Output: ndr.<pdf|png|svg>, both in the current folder.
HERE = ARG0[1:strlen(ARG0) - strlen("ndr.gp")]
KIND = ARG1 eq "" ? "pdf" : ARG1
STEM = ARG2 eq "" ? "ndr" : ARG2
load HERE . "bars.gp"
