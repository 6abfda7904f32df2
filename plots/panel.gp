# SPDX-License-Identifier: BSD-3-Clause
#
# panel.gp: opens panel p: place, axes with their texts and grid, titles. See page.gp.
set lmargin at screen sx(LEFT[p])
set rmargin at screen sx(LEFT[p] + WIDTH[p])
set tmargin at screen sy(TOP[p])
set bmargin at screen sy(TOP[p] + HEIGHT[p])
unset logscale
if (X_LOG[p]) { set logscale x }
if (Y_LOG[p]) { set logscale y }
set xrange [X_LO[p]:X_HI[p]]
set yrange [Y_LO[p]:Y_HI[p]]
set border 3 lw LW_FRAME lc rgb INK
unset label
unset object
X_0 = LEFT[p]
SECOND = TOP[p] - (EXTRA[p] eq NOTHING ? 7 : 15.5)
set label at screen sx(X_0), sy(SECOND - 9) TITLE[p] left font BOLD_TITLE
set label at screen sx(X_0), sy(SECOND) SUBTITLE[p] left font FACE_LABEL tc rgb SOFT
set label at screen sx(X_0), sy(TOP[p] - 7) EXTRA[p] left font FACE_SMALL tc rgb WARN
set label at screen sx(5), sy(TOP[p] + HEIGHT[p] / 2.) Y_LABEL[p] center rotate by 90 font FACE_LABEL
is_tic(axis, with_grid) = int($1) == p && strcol(2) eq axis && (!with_grid || int($5))
# gnuplot clips labels at an axis' very end where rounding puts its logarithm outside (10, 100): 0.01 pt inwards
inside(v, first, last) = v < first ? first : v > last ? last : v
in_x(x) = inside(x, beside(X_LO[p], 0.01), beside(X_LO[p], WIDTH[p] - 0.01))
in_y(y) = inside(y, above(Y_LO[p], 0.01), above(Y_LO[p], HEIGHT[p] - 0.01))
plot \
    DATA index TICS using (is_tic("y", 1) ? X_LO[p] : NaN):3:(X_HI[p] - X_LO[p]):(0) with vectors arrowstyle 3, \
    DATA index TICS using (is_tic("x", 1) ? $3 : NaN):(Y_LO[p]):(0):(Y_HI[p] - Y_LO[p]) with vectors arrowstyle 3, \
    DATA index TICS using (is_tic("y", 0) ? in_x(X_LO[p]) : NaN):(in_y($3)):4 \
        with labels right offset -0.5, 0 font FACE_LABEL, \
    DATA index TICS using (is_tic("x", 0) ? in_x($3) : NaN):(in_y(Y_LO[p])):4 \
        with labels center offset 0, -0.8 font FACE_LABEL
unset label
