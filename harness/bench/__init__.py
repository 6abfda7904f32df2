# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks of ourselves: one file a figure, one word in the tuple: FIGURES of `bench core`, GUEST_FIGURES of `bench
guests`.

A figure is a module with NUMBER, MIB (of hugepages that it needs at one time) and measure(lab) -> rows. Rows and
verdicts are in rows.py, the tools and how they are started in lab.py; runner.py runs them.
"""

from types import ModuleType

from harness.bench import (flows, foreign, guest_boot, guest_chains, guest_image, known_delay, nf_cost, nf_rivals,
                           one_core, pacing, through_switch)

FIGURES: tuple[ModuleType, ...] = (one_core, through_switch, foreign, pacing, known_delay, flows)
GUEST_FIGURES: tuple[ModuleType, ...] = (nf_rivals, nf_cost, guest_boot, guest_image, guest_chains)
SUITES = {"core": FIGURES, "guests": GUEST_FIGURES}
