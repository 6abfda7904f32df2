# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of several files."""

from pathlib import Path

import pytest

from harness import host


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the lock and the folders of runs lie: the test's own instead of /run."""
    root = tmp_path / "runtime"
    root.mkdir()
    monkeypatch.setattr(host, "runtime_root", lambda: root)
    monkeypatch.setattr(host, "lock_path", lambda: root / "vswbench.lock")
    return root
