# SPDX-License-Identifier: BSD-3-Clause
#
# pdr.gp: partial-drop rate (PDR) by frame size and topology, grouped by switch.
#
# Use:    cd results/<run>/figures && gnuplot -d -c <repository>/plots/pdr.gp pdf|png|svg [pdr]
#         (`make figures RUN=...` does it, and writes the input first)
# Input:  pdr.dat, see bars.gp. Output: pdr.<pdf|png|svg>, both in the current folder.
HERE = ARG0[1:strlen(ARG0) - strlen("pdr.gp")]
KIND = ARG1 eq "" ? "pdf" : ARG1
STEM = ARG2 eq "" ? "pdr" : ARG2
load HERE . "bars.gp"
