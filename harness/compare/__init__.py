# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench compare`: is B faster or slower than A, by how much, and how sure is that?

    sides.py      which cells of which runs belong together
    verdict.py    what the blocks of two cells say of each other (pure)
    show.py       text, CSV and JSON
    command.py    the command
"""
