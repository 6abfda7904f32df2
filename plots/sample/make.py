#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes plots/sample/run: an invented run that has data for every figure. Same seed, same files.

    plots/sample/make.py
"""

import csv
import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

OUT = Path(__file__).resolve().parent / "run"
RUN = "sample-invented-run"
CELL = ("switch", "switch_version", "topology", "guest", "nf", "chain_length", "direction", "port_kind", "accel",
        "frame_bytes", "flows")
RESULTS = ("run_id", "cell_id", *CELL, "metric", "value", "ci_low", "ci_high", "unit", "n", "status", "flags",
           "scenario",
           "reason", "block", "goal")
TRIALS = ("run_id", "trial_id", "cell_id", "phase", "block", "started_utc", *CELL, "intended_pps", "intended_s",
          "sent_count", "received_count", "lost_count", "unsent_count", "rx_pps", "loss_ratio", "status", "flags",
          "scenario")
SPEED = {"testpmd": 11.0e6, "ovs-dpdk": 6.0e6, "vpp": 8.5e6, "linux-bridge": 0.9e6}
BLOCKS = 8
rng = random.Random(20260101)
results: list[dict] = []
trials: list[dict] = []
latency: list[dict] = []
clock = datetime(2026, 1, 1, tzinfo=timezone.utc)


def cell(switch, topology, direction="one-way", frame=64, guest="none", chain=0, flows=1, accel="", scenario="sample"):
    at = dict(run_id=RUN, switch=switch, switch_version="1.0", topology=topology, guest=guest, nf="io" if chain else "",
              chain_length=chain, direction=direction, port_kind="vhost-user", accel=accel, frame_bytes=frame,
              flows=flows,
              scenario=scenario)
    at["cell_id"] = f"{scenario}.{topology}.{direction}.{guest}.{chain}.{frame}B.{flows}f.{switch}"
    return at


def result(at, metric, value, unit, spread=0.02, n=BLOCKS, flags="", status="ok", **more):
    low, high = (None, None) if value is None or n < 2 else (value * (1 - spread * rng.random()),
                                                             value * (1 + spread * rng.random()))
    results.append({**at, "metric": metric, "value": value, "ci_low": low, "ci_high": high, "unit": unit, "n": n,
                    "status": status, "flags": flags, **more})


def trial(at, phase, rate, seconds, carried, block, flags="", status="ok"):
    """One trial at `rate` pps (None: saturating) of which `carried` pps come through."""
    global clock
    clock += timedelta(seconds=seconds + 1)
    sent = round((rate or carried) * seconds)
    received = min(sent, round(carried * seconds))
    trials.append({**at, "trial_id": f"{len(trials) + 1:05d}", "phase": phase, "block": block,
                   "started_utc": clock.isoformat(), "intended_pps": rate, "intended_s": seconds, "sent_count": sent,
                   "received_count": received, "lost_count": sent - received, "unsent_count": 0,
                   "rx_pps": received / seconds, "loss_ratio": (sent - received) / sent, "status": status,
                   "flags": flags})
    return trials[-1]["trial_id"]


def histogram(trial_id, floor_us, spread, tail):
    """Log-normal latencies with a share of `tail` ten to a hundred times slower, on bins 10 % wide."""
    counts: dict[int, int] = {}
    for i in range(4000):
        us = floor_us * math.exp(abs(rng.gauss(0, spread)))
        if rng.random() < tail:
            us *= 10 ** rng.uniform(1, 2)
        b = round(math.log(us * 1000, 1.1))
        counts[b] = counts.get(b, 0) + 25
    for b in sorted(counts):
        latency.append({"trial_id": trial_id, "bin_low_ns": round(1.1 ** b), "bin_high_ns": round(1.1 ** (b + 1)),
                        "count": counts[b]})
    flat = [b for b in sorted(counts) for _ in range(counts[b] // 25)]
    return [1.1 ** flat[int(q * 4000)] for q in (0.5, 0.99, 0.999)]


def measured(at, capacity, flags="", with_latency=False, with_sweep=False):
    """A cell with blocks, and what else is asked for."""
    values = []
    plain = flags.replace("lower_bound", "")
    for block in range(1, BLOCKS + 1):
        value = capacity * rng.gauss(1, 0.012) * (0.9 if rng.random() < 0.08 else 1)
        trial(at, "rplus", None, 1.0, value, block, flags)
        result(at, "rplus_pps", value, "pps", n=3, flags=flags, block=block)
        values.append(value)
    values.sort()
    results.append({**at, "metric": "rplus_pps", "value": (values[3] + values[4]) / 2, "ci_low": values[0],
                    "ci_high": values[-1], "unit": "pps", "n": BLOCKS, "status": "ok", "flags": flags})
    if at["flows"] == 1:
        result(at, "ndr_pps", capacity * 0.82, "pps", 0.004, n=21, flags=flags, goal="loss_ratio=0.0;exceed_ratio=0.5")
        result(at, "pdr_pps", capacity * 0.93, "pps", 0.004, n=21, flags="capped" if flags == "lower_bound" else flags,
               goal="loss_ratio=0.005;exceed_ratio=0.5")
        result(at, "cycles_per_packet", 2.4e9 / capacity * rng.uniform(0.9, 1), "1", n=3, flags=plain)
    for load in (0.10, 0.50, 0.99) if with_latency else ():
        name = f"{load:.2f}rplus"
        known = [histogram(trial(at, f"latency@{name}", load * capacity, 1.0, load * capacity * (1 - lossy(load)),
                                 block,
                                 plain), 6e6 / capacity * (3 + 40 * load ** 4), 0.3 + load, 0.002 + 0.01 * load)
                 for block in (1, 2)]
        for i, q in enumerate(("p50", "p99", "p999")):
            result(at, f"latency_{q}_ns@{name}", sum(k[i] for k in known) / 2, "ns", 0.1, n=2, flags=plain)
    for i in range(1, 13) if with_sweep else ():
        rate = capacity * i / 10
        for _ in range(3):
            trial(at, "sweep", rate, 1.0, min(rate * (1 - lossy(i / 10)), capacity), 1)


def lossy(load):
    """Share that is lost below the capacity, more towards it."""
    return 1e-6 * math.exp(9 * (load - 0.5)) * rng.uniform(0.3, 2) if load > 0.55 else 0.0


def main() -> None:
    for frame in (64, 1024):
        for direction in ("one-way", "two-way"):
            for name, speed in SPEED.items():
                at = cell(name, "p2p", direction, frame)
                limit = speed * (0.6 if direction == "two-way" else 1) * (64 / frame) ** 0.2
                measured(at, limit, "lower_bound" if name == "testpmd" and frame == 64 else "", direction == "one-way",
                         direction == "one-way")
        for name, speed in SPEED.items():
            for chain in range(1, 6):
                at = cell(name, "loopback", frame=frame, guest="process", chain=chain)
                if name == "linux-bridge" and chain > 3:
                    result(at, "rplus_pps", None, "pps", n=0, status="unsupported", reason="no more than 3 guests")
                elif name == "vpp" and chain == 4 and frame == 64:
                    result(at, "rplus_pps", None, "pps", n=0, status="failed", reason="guest 3 did not start")
                else:
                    measured(at, speed / (1.3 + 1.6 * chain), "oversubscribed" if chain > 1 else "", chain == 1)
            at = cell(name, "loopback", frame=frame, guest="qemu", chain=1, accel="tcg")
            measured(at, speed / 30, "tcg;oversubscribed")
    for name in ("ovs-dpdk", "vpp"):
        for frame in (64, 256, 1024):
            for flows in (10, 1000, 100_000, 1_000_000):
                at = cell(name, "p2v", frame=frame, guest="process", flows=flows, scenario="flows")
                if name == "vpp" and flows == 1_000_000 and frame == 64:
                    result(at, "rplus_pps", None, "pps", n=0, status="failed", reason="out of memory")
                else:
                    measured(at, SPEED[name] * (64 / frame) ** 0.2 / (1 + math.log10(flows) / 4), "")
    spoiled()
    anchors()
    write("results.csv", RESULTS, results)
    write("trials.csv", TRIALS, trials)
    write("latency.csv", ("trial_id", "bin_low_ns", "bin_high_ns", "count"), latency)
    comparison()
    (OUT / "calibration.json").write_text(json.dumps({"version": 1, "date": "2026-01-01T00:00:00+00:00", "points": [
        {"port_kind": "vhost-user", "direction": d, "frame_bytes": f, "max_pps": rate}
        for f, one in ((64, 12.5e6), (1024, 7.2e6)) for d, rate in (("one-way", one),
                                                                    ("two-way", one * 0.7))]}, indent=1) + "\n")
    about = {"run_id": RUN, "name": "sample", "schema_version": 1, "started_utc": "2026-01-01T00:00:00+00:00",
             "command": ["vswbench", "run", "scenarios/sample.toml"], "state": "complete", "duration_s": 5400.0,
             "machine": {"cpu_model": "Invented CPU", "cpu_count": 8, "kernel": "6.1", "memory_mib": 32768},
             "versions": {"vswbench": "0000000", "switches": {name: {"version": "1.0"} for name in SPEED}},
             "sources": {"scenarios/sample.toml": "name = \"sample\"\n[search]\nkind = \"mlr\"\nndr_loss_ratio = 0.0\n"
                         "pdr_loss_ratio = 0.005\n"}}
    (OUT / "run.json").write_text(json.dumps(about, indent=1) + "\n")


def spoiled() -> None:
    """One cell whose trials were all invalid, and a trial that was."""
    for row in results:
        if row["cell_id"] == "sample.loopback.one-way.process.3.1024B.1f.ovs-dpdk" and row["metric"] == "rplus_pps":
            row["status"] = "invalid"
    row = next(t for t in trials if t["cell_id"] == "sample.p2p.one-way.none.0.64B.1f.vpp" and t["phase"] == "rplus")
    row["status"], row["flags"] = "invalid", "clock"
    block = next(r for r in results if r["cell_id"] == row["cell_id"] and r.get("block") == row["block"])
    block["status"], block["flags"] = "invalid", "clock"


def anchors() -> None:
    at = cell("testpmd", "p2p", scenario="anchor")
    for block in range(1, 13):
        drift = 0.93 if block == 7 else 1 + 0.004 * math.sin(block)
        for i in range(3):
            trial(at, "rplus", None, 240.0, 11e6 * drift * rng.gauss(1, 0.004), block,
                  status="invalid" if (block, i) == (3, 1) else "ok")


def comparison() -> None:
    rows = []
    for topology, ratio, half, verdict in (
            ("p2p.one-way.64B", 1.062, 0.008, "faster"), ("p2p.one-way.1024B", 1.004, 0.006, "equivalent"),
            ("p2p.two-way.64B", 1.021, 0.035, "inconclusive"), ("p2v.process.one-way.64B", 0.947, 0.012, "slower"),
            ("v2v.process.one-way.64B", 1.000, 0.001, "capped"), ("loopback.process.1io.64B", 0.992, 0.007,
                                                                  "equivalent"),
            ("loopback.process.2io.64B", 0.975, 0.04, "inconclusive"), ("loopback.qemu.1io.64B", None, 0, "failed")):
        pdr = topology == "p2p.two-way.64B"
        rows.append({"cell": topology, "metric": "pdr_pps" if pdr else "rplus_pps",
                     "goal": "loss_ratio=0.005;exceed_ratio=0.5" if pdr else "", "run_a": RUN, "switch_a": "ovs-3.1", "run_b": RUN,
                     "switch_b": "ovs-3.5", "ratio": ratio,
                     "ci_low": ratio and ratio * (1 - half), "ci_high": ratio and ratio * (1 + half),
                     "verdict": verdict,
                     "margin": 0.01, "n_a": 10, "n_b": 10 if ratio else 0, "conf": 0.95, "better": "higher"})
    write("compare.csv", tuple(rows[0]), rows)


def write(name: str, columns: tuple, rows: list[dict]) -> None:
    with (OUT / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\r\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if v is None else f"{v:.10g}" if isinstance(v, float) else v for k,
                             v in row.items()})


if __name__ == "__main__":
    main()
