# SPDX-License-Identifier: BSD-3-Clause
import sys

from harness.cli import main

sys.exit(main())
