# SPDX-License-Identifier: BSD-3-Clause
"""What this machine and our own programs can do, as `vswbench calibrate` has found it: kept in the build folder, copied
into every run, and used to say of a result that it may be the tester's ceiling.

A calibration is of one machine, one choice of CPUs, and one build of our programs: any other is not used.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import host
from harness.bed import Bed
from harness.cell import Cell
from harness.cores import assign
from harness.search import Result
from harness.topology import GENERATOR, ceiling_direction

VERSION = 1
FILE = "calibration.json"
PROGRAMS = ("pktgen", "vnf")
CEILED = ("rplus_pps", "ndr_pps", "pdr_pps", "rfc2544_throughput_pps", "mfr_pps")
CEILING_RATIO = 1.2         # a rate so near to the tester's own ceiling may be the tester's
# Facts of the machine that change what it can do, and that stay the same from one minute to the next.
FACTS = ("cpu_model", "cpu_microcode", "cpu_count", "cpus_usable", "hypervisor", "kernel", "kernel_cmdline",
         "memory_mib", "transparent_hugepages", "governor", "clocksource", "smt_active", "vulnerabilities")


@dataclass(frozen=True)
class Calibration:
    """A calibration that fits. `points`: one a port kind, direction and frame size, see calibrate.py."""

    date: str
    points: Sequence[Mapping[str, Any]]
    content: Mapping[str, Any]

    def ceiling_pps(self, port_kind: str, direction: str, frame_bytes: int) -> float | None:
        """The tester's own rate per direction on such ports at the nearest frame size that was measured."""
        same = [p for p in self.points
                if (p["port_kind"], p["direction"]) == (port_kind, ceiling_direction(direction)) and p["max_pps"]]
        nearest = min(same, key=lambda p: abs(p["frame_bytes"] - frame_bytes), default=None)
        return nearest["max_pps"] if nearest else None


def identity(the_bed: Bed, cpus: Sequence[int], build: Path) -> dict[str, Any]:
    """What a calibration is of."""
    cores = assign(cpus, the_bed.switch_cpus, [GENERATOR])
    facts = host.facts()
    return {"version": VERSION, "machine": {key: facts[key] for key in FACTS},
            "cpus": {"switch": list(cores.switch), "control": cores.control, GENERATOR: cores.of(GENERATOR)},
            "ring_size": the_bed.ring_size, "sha256": {name: host.sha256(build / name) for name in PROGRAMS}}


def save(build: Path, content: Mapping[str, Any]) -> Path:
    """Into the build folder, replaced as a whole."""
    path = build / FILE
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, path)
    return path


def load(the_bed: Bed, cpus: Sequence[int], build: Path) -> tuple[Calibration | None, str]:
    """The calibration of this machine, or None and why there is none."""
    try:
        content = json.loads((build / FILE).read_text(encoding="utf-8"))
    except OSError:
        return None, "none was made: run `./vswbench calibrate`"
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("points"), list):
        return None, f"{build / FILE} is no calibration: run `./vswbench calibrate`"
    for key, value in identity(the_bed, cpus, build).items():
        if (said := content.get(key)) != value:
            return None, f"the last one is of {_other(key, said, value)}: run `./vswbench calibrate`"
    return Calibration(content.get("date", ""), content["points"], content), ""


def _other(key: str, said: Any, value: Any) -> str:
    """What does not fit, in words."""
    if key == "machine" and isinstance(said, dict):
        fact = next(name for name in {**said, **value} if said.get(name) != value.get(name))
        return f"another machine or state of it ({fact})"
    return {"version": "another version of vswbench", "machine": "another machine", "cpus": "other CPUs",
            "ring_size": "another ring_size", "sha256": "other builds of our programs"}[key]


def marked(calibration: Calibration | None, cell: Cell, results: Sequence[Result]) -> list[Result]:
    """The results, those at the tester's ceiling flagged `lower_bound`.

    In p2p only: there the generator does in front of the switch what it did when it was calibrated, with a CPU of its
    own. In all other topologies guests share the way, and in p2v and v2v the work of sending and receiving is two
    programs', so that the ceiling is another one. On vhost-user ports the ceiling has a forwarder of ours in it, since
    such a port needs somebody at its other end: a switch that does nothing either, as testpmd, comes near to it and is
    marked rightly, for what is faster could not be seen.
    """
    if calibration is None or cell.topology.name != "p2p" or cell.replays:
        return list(results)
    ceiling = calibration.ceiling_pps(cell.port_kind, cell.direction, cell.frame_bytes)
    return [replace(r, flags=(*r.flags, "lower_bound"))
            if ceiling and r.metric in CEILED and r.value and r.value * CEILING_RATIO >= ceiling else r
            for r in results]
