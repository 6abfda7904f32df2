# SPDX-License-Identifier: BSD-3-Clause
"""What the builder of the guest image uses everywhere: errors for people, tools, scratch folders."""

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path


class BuildError(Exception):
    """Something to tell the user, in one line."""


def run(*argv, hint="", **kwargs):
    """Runs a tool and gives its stdout as bytes."""
    try:
        done = subprocess.run(argv, capture_output=True, check=False, **kwargs)
    except FileNotFoundError:
        raise BuildError(f"{argv[0]} is missing{hint and ': ' + hint}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BuildError(f"`{' '.join(map(str, argv))}` failed: {said[-1] if said else 'no reason given'}"
                         f"{hint and ' - ' + hint}")
    return done.stdout


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def work_dir(beside):
    """A folder beside the final place (same file system: a rename is atomic), gone afterwards."""
    beside.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=".tmp-", dir=beside))
    try:
        yield path
    finally:
        shutil.rmtree(path)
