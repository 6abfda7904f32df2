# SPDX-License-Identifier: BSD-3-Clause
"""Where lines and tables for people go."""

import os

from rich.console import Console

WIDTH = 200         # of what is no terminal, such as a file or a pipe; COLUMNS in the environment says otherwise


def console(stderr: bool = False) -> Console:
    """stdout or stderr: as wide as the terminal, else so wide that no table is cut."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDTH
    return made
