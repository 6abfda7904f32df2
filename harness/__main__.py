# SPDX-License-Identifier: BSD-3-Clause
import sys

try:
    from harness.cli import main

    sys.exit(main())
except KeyboardInterrupt:
    sys.exit("vswbench: interrupted")
