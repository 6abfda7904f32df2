# SPDX-License-Identifier: BSD-3-Clause
"""Errors that are meant for people: one line that says what failed, where, and what to try."""


class BadInput(Exception):
    """A scenario, testbed, or command line that cannot be: exit status 2, nothing started."""


class CannotRun(Exception):
    """This machine lacks something (package, root, hugepages, or it is taken): exit status 1, nothing started."""


class CellFailed(Exception):
    """A cell went wrong while it ran; the run goes on with the next one."""


class Unsupported(Exception):
    """This switch cannot do that (n/a), known before anything is started."""
