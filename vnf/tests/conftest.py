# SPDX-License-Identifier: BSD-3-Clause
"""Of all tests of nfs. They start our programs as those of pktgen do (coretest.py)."""

import sys
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "pktgen" / "tests"))


@pytest.fixture(autouse=True)
def payloads_are_noise(monkeypatch):
    """Whatever the ports say, scapy is not to guess protocols in them. Other tests of the session want its guesses."""
    for layer in (UDP, TCP):
        monkeypatch.setattr(layer, "payload_guess", [])
