# SPDX-License-Identifier: BSD-3-Clause
"""Loads as metrics and phases name them behind their "@": 0.50rplus, 0.90ndr, 1000000pps, replay. Pure."""

import re

from harness.figures.reading import clean

KINDS = ("no_load", "rplus", "ndr", "pdr", "pps")
NAMES = {"rplus": "R+", "ndr": "NDR", "pdr": "PDR"}


def split(load: str) -> tuple[float, str]:
    """(0.5, "rplus") of 0.50rplus; (0, the text itself) of what has no number."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([a-z]+)", load, re.ASCII)
    return (float(match.group(1)), match.group(2)) if match else (0.0, load)


def order(load: str) -> tuple[int, str, float]:
    """Sort key: no load, fractions of R+, of NDR, of PDR, rates, others."""
    value, kind = split(load)
    return KINDS.index(kind) if kind in KINDS else len(KINDS), kind, value


def text(load: str) -> str:
    """For people: "0.50 R+", "1.5 Mpps"."""
    value, kind = split(load)
    if kind in NAMES:
        number = load.removesuffix(kind)
        return f"{number} {NAMES[kind]}"
    if kind == "pps":
        for unit, size in (("Mpps", 1e6), ("kpps", 1e3)):
            if value >= size:
                return f"{value / size:.6g} {unit}"
        return f"{value:g} pps"
    return {"no_load": "no load"}.get(kind, clean(load, 16))
