# SPDX-License-Identifier: BSD-3-Clause
"""A cell's testbed with a fake pktgen: it comes up, measures, and fails with a reason when the generator dies, hangs,
refuses or talks nonsense. The next cell is then measured all the same.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness import bed, guest, run, testbed
from harness.run import Outcome
from harness.tests.support import cells_of_text, executable, processes_of

# It sends what it is asked for and loses one frame in ten; `trouble` is Python that runs before the reply to a trial in
# the first cell, once the probe is over.
PKTGEN = """#!{python}
import json, os, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
def out_of_time():
    time.sleep(30)
first = "/c1/" in os.environ["RUNTIME_DIRECTORY"] + "/"
log = open({log!r}, "a")
if first:
    {start}
say(event="ready", version="fake")
for line in sys.stdin:
    q = json.loads(line)
    log.write(line)
    log.flush()
    if q["cmd"] == "ports":
        say(id=q["id"], ok=True, ports=[{{"link_up": {link}}}, {{"link_up": True}}])
        continue
    probe = q["duration_s"] == 0.05
    if first and not probe:
        {trouble}
    streams = []
    for s in q["streams"]:
        sent = int((s["rate_pps"] or 1e6) * q["duration_s"])
        got = {got}
        meter = dict(received_count=got, duplicate_count=0, reordered_count=0, old_count=0, stale_count=0,
                     foreign_count=0, span_s=0.0, latency=dict(min_ns=5, max_ns=5, bins=[[5, 6, got]]))
        streams.append(dict(intended_count=sent if s["rate_pps"] else None, sent_count=sent, tx_full_count=0,
                            meter=meter))
    say(id=q["id"], ok=True, streams=streams, tx_span_s=q["duration_s"], clock_error_ppm=0.0, missed_count=0,
        drained=True, workers=[dict(gap_max_ns=1, stall_ns=2, involuntary_switches=3)])
"""
TWO_CELLS = """
[matrix]
topology = "p2p"
direction = "two-way"
frame_bytes = [64, 128]
port_kind = "ring"
switch = "null"
[search]
trials = 2
trial_s = 0.1
warmup_s = 0
[latency]
at_rplus = 0.5
trials = 1
trial_s = 0.1
"""


@pytest.fixture
def measured(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Measures two cells with a fake pktgen in which these parts are replaced."""
    def measure(trouble: str = "pass", start: str = "pass", link: str = "True",
                got: str = "sent * 9 // 10") -> tuple[list[Outcome], Path]:
        build = tmp_path / "build"
        text = PKTGEN.format(python=sys.executable, log=str(tmp_path / "requests"), trouble=trouble, start=start,
                             link=link,
                             got=got)
        for name in ("pktgen", "meter", "vnf"):
            executable(build / name, text)
        monkeypatch.setattr(run, "BUILD", build)
        monkeypatch.setattr(testbed, "ANSWER_S", 0.4)
        monkeypatch.setattr(testbed, "LINK_S", 0.4)
        monkeypatch.setattr(testbed, "PROBE_S", 0.4)
        monkeypatch.setattr(guest, "PROGRAM_READY_S", 1.0)
        folder, outcomes = run.run("t", cells_of_text(tmp_path, TWO_CELLS), bed.load(None), tmp_path / "results",
                                   lambda line: None, {})
        assert processes_of(runtime) == []
        return outcomes, folder
    return measure


def test_a_testbed_comes_up_and_measures(measured: Any) -> None:
    outcomes, _ = measured()
    assert [o.status for o in outcomes] == ["ok", "ok"]
    values = {r.metric: r.value for r in outcomes[0].results}
    assert values["rplus_pps"] == pytest.approx(9e5) and values["rplus_loss_ratio"] == pytest.approx(0.1)
    assert values["latency_p50_ns@0.50rplus"] == 5


def test_every_trial_has_an_epoch_of_its_own_and_the_frames_of_its_cell(measured: Any, tmp_path: Path) -> None:
    measured()
    requests = [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]
    trials = [r for r in requests if r["cmd"] == "trial"]
    for size in (64, 128):
        epochs = [t["epoch"] for t in trials if t["streams"][0]["frame_bytes"] == size]
        assert len(epochs) == 4 and len(set(epochs)) == 4 and 0 not in epochs   # a probe, two trials, latency
    assert {len(t["streams"]) for t in trials} == {2}
    assert all([(s["tx"], s["rx"]) for s in t["streams"]] == [(0, 1), (1, 0)] for t in trials)


TROUBLES = [
    ("it ends in a trial", {"trouble": "sys.exit('out of mbufs')"}, ["generator", "status 1", "out of mbufs"]),
    ("it is killed in a trial", {"trouble": "os.kill(os.getpid(), 11)"}, ["generator", "SIGSEGV"]),
    ("it hangs in a trial", {"trouble": "out_of_time()"}, ["generator", "hangs", "trial"]),
    ("it closes its channel", {"trouble": "os.close(1); out_of_time()"}, ["generator", "closed"]),
    ("it talks nonsense", {"trouble": "print('Segmentation fault', flush=True)"},
     ["generator", "no JSON", "Segmentation fault"]),
    ("it refuses", {"trouble": "say(id=q['id'], ok=False, error='rate_pps: allowed is 0 to 1e9'); continue"},
     ["generator", "refused", "allowed is 0 to 1e9"]),
    ("it answers less than asked", {"trouble": "say(id=q['id'], ok=True); continue"}, ["generator"]),
    ("it ends before it is ready", {"start": "sys.exit('no memory')"}, ["generator", "status 1", "no memory"]),
    ("it is never ready", {"start": "out_of_time()"}, ["generator", "ready", "1 s"]),
]


@pytest.mark.parametrize("parts, words", [t[1:] for t in TROUBLES], ids=[t[0] for t in TROUBLES])
def test_a_generator_in_trouble_fails_its_cell_only(parts: dict[str, str], words: list[str], measured: Any) -> None:
    before = time.monotonic()
    outcomes, folder = measured(**parts)
    assert time.monotonic() - before < 15
    assert [o.status for o in outcomes] == ["failed", "ok"], [o.reason for o in outcomes]
    assert [w for w in words if w not in outcomes[0].reason] == [], outcomes[0].reason
    assert "\n" not in outcomes[0].reason
    log = folder / "logs" / outcomes[0].cell.id / "generator.log"
    assert log.exists()


def test_a_link_that_stays_down_is_named(measured: Any) -> None:
    outcomes, _ = measured(link="False")
    assert {o.status for o in outcomes} == {"failed"}
    assert "generator" in outcomes[0].reason and "link" in outcomes[0].reason and "generator.log" in outcomes[0].reason


def test_a_wire_that_carries_nothing_is_noticed_before_it_is_measured(measured: Any) -> None:
    outcomes, folder = measured(got="0")
    assert {o.status for o in outcomes} == {"failed"}
    assert "probe" in outcomes[0].reason
    assert len((folder / "trials.csv").read_text().splitlines()) == 1


def test_a_wire_that_carries_one_way_only_is_noticed_too(measured: Any) -> None:
    outcomes, _ = measured(got="sent if s['tx'] == 0 else 0")
    assert {o.status for o in outcomes} == {"failed"} and "probe" in outcomes[0].reason


def test_sockets_and_folders_of_a_failed_cell_are_gone(measured: Any, runtime: Path) -> None:
    measured(trouble="sys.exit(1)")
    assert [p.name for p in runtime.iterdir()] == ["vswbench.lock"]
