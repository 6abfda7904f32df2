# SPDX-License-Identifier: BSD-3-Clause
"""Of all tests of nfs."""

import pytest
from scapy.layers.inet import TCP, UDP


@pytest.fixture(autouse=True)
def payloads_are_noise(monkeypatch):
    """Whatever the ports say, scapy is not to guess protocols in them. Other tests of the session want its guesses."""
    for layer in (UDP, TCP):
        monkeypatch.setattr(layer, "payload_guess", [])
