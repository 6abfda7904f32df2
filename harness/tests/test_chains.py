# SPDX-License-Identifier: BSD-3-Clause
"""Chains beside each other, for real: every one loses only what it loses, and nothing of one comes out at another."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from harness import run
from harness.tests.support import real_run
from harness.tests.test_ports import needs_devices

SCENARIO = """
name = "real"
[matrix]
topology = "loopback"
guest = "process"
nf = "macswap+io"
chains = 2
direction = "two-way"
flows = 5
port_kind = "KIND"
switch = "SWITCH"
[search]
kind = "fixed"
rate_pps = 4000
trials = 1
trial_s = 0.2
warmup_s = 0
[traffic]
flow_records = true
"""


@pytest.mark.skipif(os.environ.get("VSWBENCH_SLOW") != "1", reason="slow: run `make test-slow`")
@needs_devices
@pytest.mark.parametrize("switch, kind, binary", [
    ("testpmd", "vhost-user", "dpdk-testpmd"), ("ovs-dpdk", "vhost-user", "ovs-vsctl"),
    ("linux-bridge", "af_packet", "ip")])
def test_no_chain_sees_what_another_carries(switch: str, kind: str, binary: str, tmp_path: Path) -> None:
    if not (run.BUILD / "pktgen").exists() or shutil.which(binary) is None:
        pytest.skip(f"pktgen or {binary} is not there")
    text = SCENARIO.replace("KIND", kind).replace("SWITCH", switch)
    folder, [row] = real_run(tmp_path, text, timeout_s=120)
    assert (row["chain_count"], row["chain_length"], row["foreign_count"]) == ("2", "2", "0")
    [records] = folder.glob("logs/*/*.flows.csv")
    flows = list(csv.DictReader(records.open(newline="")))
    assert {(f["stream"], f["flow"]) for f in flows} == {(str(s), str(n)) for s in range(4) for n in range(5)}
    for flow in flows:
        counts = [int(flow[f"{what}_count"]) for what in ("sent", "received", "lost", "duplicate", "reordered")]
        assert counts[0] == counts[1] + counts[2] and counts[1] > 0 and counts[3:] == [0, 0], flow
    sums = {side: sum(int(f[f"{side}_count"]) for f in flows) for side in ("sent", "received")}
    assert sums == {side: int(row[f"{side}_count"]) for side in sums}
