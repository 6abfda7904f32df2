# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench calibrate`: ceilings and floors of this machine with our own programs only, no switch in the way.

    null        pktgen sends into a port that forgets: building, stamping and pacing alone
    ring        two ports of pktgen joined in memory (what the null switch is)
    vhost-user  pktgen's virtio-user ports with our forwarder `vnf --nf io` at the switch's end, on the switch's CPU

Of each port kind, direction and frame size: the highest rate (the best of the trials and starts, since strangers on the
machine, and memory that lies badly after a start, only take from it), how exact paced rates and gaps are, and the latency
at a tenth of the highest rate. Nothing of this is ever subtracted from a result.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import calibration, expand, host, plan, programs, testbed
from harness.bed import Bed
from harness.cell import Cell
from harness.cores import assign
from harness.errors import CannotRun
from harness.guest import RunningPeer
from harness.peers import Image, Peer
from harness.scenario import MATRIX, Scenario, Search
from harness.topology import GENERATOR
from harness.trial import Request, Trial

LOAD_RATIO = 0.1            # of the highest rate: the load of the latency floor
NEAR_NS = 256               # a gap this near to the intended one is as asked for
GAP_PPS = 1e6               # the rate at which gaps are judged
DRIVERS = {"ring": "null", "vhost-user": "vnf-io"}


@dataclass(frozen=True)
class Effort:
    """How long it may take. Durations in seconds."""

    sizes: tuple[int, ...]
    trials: int
    max_s: float
    rates_pps: tuple[float, ...]
    paced_s: float
    starts: int


FULL = Effort((64, 512, 1024, 1518), 3, 0.5, (1e3, 1e5, GAP_PPS), 0.5, 2)
QUICK = Effort((64, 1518), 2, 0.3, (GAP_PPS,), 0.3, 2)


def run(the_bed: Bed, cpus: Sequence[int], build: Path, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything and keep it in the build folder; gives what was kept. A port kind that this machine cannot
    have is left out and says why. CannotRun, CellFailed."""
    if absent := [name for name in calibration.PROGRAMS if not (build / name).exists()]:
        raise CannotRun(f"{build / absent[0]} is not built: run `make setup`")
    started = datetime.now(timezone.utc)
    points: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        stack.enter_context(host.hold_machine("calibration"))
        folder = stack.enter_context(host.run_folder(f"calibration {started}"))
        logs = build / "calibration-logs"
        for kind, measured in (("null", _null), ("ring", _wired), ("vhost-user", _wired)):
            say(f"calibrating on {kind} ports")
            try:
                points += measured(_Work(kind, the_bed, cpus, build, folder, logs, effort, say))
            except CannotRun as why:
                left_out[kind] = str(why)
                say(f"    left out: {why}")
    content = {**calibration.identity(the_bed, cpus, build), "date": started.isoformat(timespec="seconds"),
               "points": points, "left_out": left_out}
    calibration.save(build, content)
    return content


@dataclass(frozen=True)
class _Work:
    """What the parts of a calibration share."""

    kind: str
    bed: Bed
    cpus: Sequence[int]
    build: Path
    folder: Path
    logs: Path
    effort: Effort
    say: Callable[[str], None]

    def log_folder(self, name: str) -> Path:
        folder = self.logs / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _point(kind: str, direction: str, frame_bytes: int) -> dict[str, Any]:
    """A point with nothing measured: None is what could not be had."""
    keys = ("max_pps", "rate_error_ratio", "gap_near_ratio", "back_to_back_ratio", "latency_min_ns", "latency_p50_ns",
            "latency_p99_ns")
    return {"port_kind": kind, "direction": direction, "frame_bytes": frame_bytes, **dict.fromkeys(keys),
            "rate_error_ratio": {}, "flags": []}


# ---- null: nobody receives -----------------------------------------------------------------------------------------

def _null(work: _Work) -> Iterator[dict[str, Any]]:
    cores = assign(work.cpus, work.bed.switch_cpus, [GENERATOR])
    argv = [str(work.build / "pktgen"), *programs.wired_eal("vsw-calibrate", cores.control, [cores.of(GENERATOR)]),
            "--vdev", "net_null0,no-rx=1", *programs.own("pktgen", "", "busy", work.bed.ring_size)]
    peer = Peer(GENERATOR, "pktgen", tuple(argv), (("RUNTIME_DIRECTORY", str(work.folder)),), ())
    with ExitStack() as stack:
        running = RunningPeer(peer, work.log_folder("null"), stack)
        running.ready()
        assert running.channel
        for size in work.effort.sizes:
            rates = []
            for epoch in range(1, work.effort.trials + 1):
                reply = running.channel.request(
                    "trial", testbed.ANSWER_S, epoch=epoch, duration_s=work.effort.max_s, drain_s=0,
                    streams=[{"tx": 0, "rx": None, "rate_pps": 0, "frame_bytes": size}])
                rates.append(reply["streams"][0]["sent_count"] / reply["tx_span_s"])
            yield {**_point("null", "one-way", size), "max_pps": max(rates)}


# ---- ring and vhost-user: through a wire and back ------------------------------------------------------------------

def _wired(work: _Work) -> Iterator[dict[str, Any]]:
    cells = _cells(work)
    pages = max(_setup(work, cell, "").hugepages for cell in cells)
    if pages:
        host.check_hugepages_possible(pages)
    with host.enough_hugepages(pages, work.folder, work.say):
        for cell in cells:
            best: dict[int, dict[str, Any]] = {}
            for start in range(work.effort.starts):
                for point in _of_one_start(work, cell, f"{work.kind}-{cell.direction}-{start}"):
                    known = best.setdefault(point["frame_bytes"], point)
                    if point["max_pps"] > known["max_pps"]:
                        best[point["frame_bytes"]] = point
            yield from best.values()


def _of_one_start(work: _Work, cell: Cell, name: str) -> Iterator[dict[str, Any]]:
    """A point of each frame size. `name`: of this start's folder."""
    (work.folder / name).mkdir()
    with testbed.up(cell, _setup(work, cell, name), work.log_folder(f"{work.kind}-{cell.direction}")) as bed:
        for size in work.effort.sizes:
            bed.cell = replace(cell, frame_bytes=size)      # nothing that runs depends on the size
            yield _measured(work, bed, _point(work.kind, cell.direction, size))


def _setup(work: _Work, cell: Cell, name: str) -> plan.Setup:
    return plan.setup(cell, work.bed, Image(str(work.build), "", ""), str(work.folder / name), "/", "tcg")


def _cells(work: _Work) -> list[Cell]:
    """p2p, one-way and two-way."""
    matrix = {key: field.default for key, field in MATRIX.items()}
    matrix |= {"topology": ("p2p",), "direction": ("one-way", "two-way"), "port_kind": (work.kind,)}
    search = Search("rplus", work.effort.trials, work.effort.max_s, 0, (), 1, work.effort.paced_s)
    driver = DRIVERS[work.kind]
    return expand.expand([Scenario("calibrate", "calibrate", matrix, search)], work.bed, work.cpus,
                       [f"{driver}={driver}@{work.build}"])


def _measured(work: _Work, bed: testbed.Testbed, point: dict[str, Any]) -> dict[str, Any]:
    effort = work.effort
    trials = [bed.measure(Request("rplus", None, effort.max_s)) for _ in range(effort.trials)]
    max_pps = max(t.rx_pps for t in trials)
    point["max_pps"] = max_pps
    for rate in effort.rates_pps:
        if rate < max_pps:
            trials.append(bed.measure(Request("rate", rate, effort.paced_s)))
            point["rate_error_ratio"][f"{rate:.0f}"] = rate_error_ratio(trials[-1])
            if rate == GAP_PPS:
                point |= _gaps(trials[-1])
    trials.append(floor := bed.measure(Request("floor", LOAD_RATIO * max_pps, effort.paced_s)))
    point |= {"latency_min_ns": floor.latency_min_ns, "latency_p50_ns": floor.latency_ns(0.5),
              "latency_p99_ns": floor.latency_ns(0.99)}
    point["flags"] = sorted({flag for t in trials for flag in t.flags})
    return point


def rate_error_ratio(trial: Trial) -> float | None:
    """How far the rate was from the intended one, from the first frame to the last; not from the gaps' mean, of which
    each is cut to whole nanoseconds."""
    frames = trial.sent_count / trial.direction_count
    if not trial.intended_pps or trial.tx_span_s <= 0 or frames < 2:
        return None
    return (frames - 1) / trial.tx_span_s / trial.intended_pps - 1


def _gaps(trial: Trial) -> dict[str, float | None]:
    gaps = trial.histograms.get("departure_gap")
    if gaps is None or not trial.intended_pps:
        return {}
    gap_ns = 1e9 / trial.intended_pps
    return {"gap_near_ratio": gaps.share(gap_ns - NEAR_NS, gap_ns + NEAR_NS),
            "back_to_back_ratio": trial.back_to_back_ratio}


# ---- for people ----------------------------------------------------------------------------------------------------

def show(content: dict[str, Any], console: Console) -> None:
    """One row a port kind, direction and frame size."""
    table = Table(title="the tester's own ceilings and floors")
    for name in ("ports", "direction", "frame", "Mpps", "rate error", "gaps as asked", "back to back", "latency us",
                 "marks"):
        table.add_column(name, justify="left" if name in ("ports", "direction", "marks") else "right")
    for p in content["points"]:
        worst = max((abs(e) for e in p["rate_error_ratio"].values() if e is not None), default=None)
        latency = [p[f"latency_{name}_ns"] for name in ("min", "p50", "p99")]
        table.add_row(p["port_kind"], p["direction"], str(p["frame_bytes"]), f"{p['max_pps'] / 1e6:.3f}",
                      _percent(worst, 4), _percent(p["gap_near_ratio"], 2), _percent(p["back_to_back_ratio"], 2),
                      " / ".join("-" if ns is None else f"{ns / 1e3:.1f}" for ns in latency) if any(latency) else "-",
                      " ".join(p["flags"]))
    console.print(table)
    console.print(f"per direction; rate error: the worst of the paced rates; gaps: at {GAP_PPS / 1e6:g} Mpps, within "
                  f"{NEAR_NS} ns; latency: min / p50 / p99 at a tenth of the highest rate", style="dim", soft_wrap=True)


def _percent(ratio: float | None, digits: int) -> str:
    return "-" if ratio is None else f"{100 * ratio:.{digits}f} %"
