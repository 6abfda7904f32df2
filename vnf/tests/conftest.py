# SPDX-License-Identifier: BSD-3-Clause
"""The helper that runs our programs lies beside the tests of pktgen."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "pktgen" / "tests"))
