# SPDX-License-Identifier: BSD-3-Clause
#
# style.gp: the look of every figure, loaded first by each .gp of this folder.
#
# Gives: FONT, text sizes (points at final size), line widths (points), STYLES (one fixed style per switch name),
#        style_of(name, nth), FILL(i), HATCH(i), HATCH_COLOUR(i), terminal_of(kind, w, h).
# Colours: Okabe and Ito's set, without its yellow, which is too faint on white. Colour is never the only channel: two
# switches that are usually compared differ in hatch as well, so that the figure survives a grey printer.

set encoding utf8
set minussign

# Debian: package fonts-dejavu-core. Where it is missing, fontconfig silently takes another font; text widths are
# estimated for this one, which is a wide one, so others should fit.
FONT = "DejaVu Sans"
SIZE_TITLE = 7.5
SIZE_LABEL = 7.0
SIZE_SMALL = 6.0

INK  = "#000000"
SOFT = "#555555"     # text of second rank
GRID = "#DDDDDD"
WARN = "#B33C00"     # text of "failed"; darker than the vermilion of the bars
TINT = "#FFF4DC"     # ground of a panel whose y axis is zoomed
LW_FRAME = 0.5
LW_BAR   = 0.35
LW_LINE  = 0.8

FACE_TITLE = sprintf("%s,%.2f", FONT, SIZE_TITLE)
FACE_LABEL = sprintf("%s,%.2f", FONT, SIZE_LABEL)
FACE_SMALL = sprintf("%s,%.2f", FONT, SIZE_SMALL)
BOLD_TITLE = sprintf("%s:Bold,%.2f", FONT, SIZE_TITLE)
BOLD_SMALL = sprintf("%s:Bold,%.2f", FONT, SIZE_SMALL)

# ---- one fixed style per switch --------------------------------------------------------------------------------
# name, fill colour, hatch (gnuplot fill pattern over the fill; 0 = none), hatch colour.
# A name that is not here (a second version such as "ovs-3.5") takes the next free row of the spare ones, in the order
# of the figure. To fix its style, give it a row here.
STYLES = "\
 testpmd        #FFFFFF 0 #000000 \
 ovs-dpdk       #0072B2 0 #000000 \
 ovs-kernel     #56B4E9 4 #000000 \
 ovs-userspace  #0072B2 1 #FFFFFF \
 linux-bridge   #009E73 5 #FFFFFF \
 macvtap        #CC79A7 1 #000000 \
 xdp            #E69F00 4 #000000 \
 vpp            #D55E00 4 #FFFFFF \
 bess           #009E73 1 #FFFFFF \
 fastclick      #CC79A7 5 #000000 \
 snabb          #E69F00 6 #000000 \
 t4p4s          #56B4E9 2 #000000 \
 vale           #000000 4 #FFFFFF \
 null           #BBBBBB 0 #000000 "
SPARE_STYLES = "\
 *  #D55E00 0 #000000   *  #009E73 0 #000000   *  #E69F00 0 #000000   *  #CC79A7 0 #000000 \
 *  #56B4E9 0 #000000   *  #0072B2 5 #FFFFFF   *  #D55E00 1 #000000   *  #009E73 4 #000000 \
 *  #E69F00 5 #000000   *  #CC79A7 4 #FFFFFF   *  #56B4E9 1 #000000   *  #000000 5 #FFFFFF \
 *  #0072B2 4 #FFFFFF   *  #D55E00 5 #000000   *  #009E73 2 #FFFFFF   *  #E69F00 1 #000000 \
 *  #CC79A7 2 #000000   *  #56B4E9 5 #000000   *  #BBBBBB 4 #000000   *  #FFFFFF 5 #000000 \
 *  #0072B2 2 #FFFFFF   *  #D55E00 2 #FFFFFF   *  #E69F00 2 #000000   *  #000000 1 #FFFFFF "
KNOWN_STYLES  = words(STYLES) / 4
STYLE_COUNT   = KNOWN_STYLES + words(SPARE_STYLES) / 4
STYLE_WORDS   = STYLES . SPARE_STYLES
FILL(i)         = word(STYLE_WORDS, 4 * i - 2)
HATCH(i)        = int(word(STYLE_WORDS, 4 * i - 1))
HATCH_COLOUR(i) = word(STYLE_WORDS, 4 * i)
# The same switch as a line: its fill colour, black where that is white or too faint; with a point and a dash, so that
# colour is not the only channel here either.
POINTS = "6 7 5 9 11 13 15 4 8 10 12 14 1 2"
LINE(i)  = FILL(i) eq "#FFFFFF" ? "#000000" : FILL(i) eq "#BBBBBB" ? "#777777" : FILL(i)
POINT(i) = int(word(POINTS, 1 + (i - 1) % words(POINTS)))
DASH(i)  = 1 + (i - 1) % 4
# ps 1 is 6 units of the terminal: points in a PDF, pixels elsewhere. POINT_SIZE is a point of 3.4 pt in all of them.
POINT_SIZE_OF(kind) = 0.57 * (kind eq "pdf" ? 1. : kind eq "png" ? PNG_DPI / 72. : SVG_DPI / 72.)

# The row of a name, 0 for a name without a row of its own. Names are compared, never evaluated.
known_style(name) = sum [i=1:KNOWN_STYLES] (word(STYLES, 4 * i - 3) eq name ? i : 0)
# The same, with a spare row for an unknown name: `nth` is 0 for the figure's first unknown name, 1 for the next, ...
style_of(name, nth) = known_style(name) > 0 ? known_style(name) : \
                      KNOWN_STYLES + 1 + nth % (STYLE_COUNT - KNOWN_STYLES)

# ---- terminals -------------------------------------------------------------------------------------------------
# Sizes are final sizes: 1 point in the .gp is 1/72 inch on paper, so that nothing is scaled in the paper's source.
# "noenhanced": text is literal, so a name with _ ^ { } @ needs no escape and can have no effect.
PNG_DPI = 200.
SVG_DPI = 100.       # pixels per inch of the SVG's own size; it scales freely
PAPER = "background '#FFFFFF'"
terminal_of(kind, w, h) = \
    kind eq "pdf" ? sprintf("pdfcairo noenhanced color font '%s' size %.4fin,%.4fin fontscale 0.75 linewidth 2", \
                            FACE_LABEL, w / 72., h / 72.) : \
    kind eq "png" ? sprintf("pngcairo noenhanced font '%s' size %d,%d fontscale %.6f linewidth %.6f ", \
                            FACE_LABEL, w / 72. * PNG_DPI, h / 72. * PNG_DPI, PNG_DPI / 96., PNG_DPI / 72.) . PAPER : \
                    sprintf("svg noenhanced font '%s' size %d,%d fontscale %.6f linewidth %.6f ", \
                            FACE_LABEL, w / 72. * SVG_DPI, h / 72. * SVG_DPI, SVG_DPI / 72., SVG_DPI / 72.) . PAPER
