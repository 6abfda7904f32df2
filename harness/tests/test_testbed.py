# SPDX-License-Identifier: BSD-3-Clause
"""A cell's testbed with a fake pktgen: it comes up, measures, and fails with a reason when the generator dies, hangs,
refuses or talks nonsense. The next cell is then measured all the same.
"""

import csv
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import bed, guest, run, testbed
from harness.run import Outcome
from harness.tests.support import cells_of_text, executable, meter, processes_of, setup_of
from harness.trial import Request

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
say(event="ready", version="fake", tsc_hz=2000000000)
for line in sys.stdin:
    q = json.loads(line)
    log.write(line)
    log.flush()
    if q["cmd"] == "ports":
        say(id=q["id"], ok=True, ports=[{{"link_up": {link}}}, {{"link_up": True}}])
        continue
    if q["cmd"] == "learn":
        say(id=q["id"], ok=True, sent_count=q["count"] * len(q["streams"]))
        continue
    probe = q["duration_s"] == 0.05
    if first and not probe:
        {trouble}
    streams = []
    for s in q["streams"]:
        sent = int((s["rate_pps"] or 1e6) * q["duration_s"])
        got = {got}
        def hist(ns, count):
            return dict(count=count, min_ns=ns, max_ns=ns, sum_ns=ns * count, overflow_count=0,
                        bins=[[ns, ns + 1, count]])
        gaps = hist(int(1e9 / s["rate_pps"]), sent) if q.get("gaps") else None
        series = [[sent, 60 * sent]] if q.get("interval_s") else None
        meter = dict(received_count=got, received_bytes=60 * got, duplicate_count=0, reordered_count=0,
                     reorder_extent_max=0, old_count=0, stale_count=0, foreign_count=0, learning_count=0,
                     crossed_flows_count=0, span_s=0.0, burst_count=1, burst_max=1, latency=hist(5, got),
                     latency_intended=hist(6, got) if q.get("gaps") else None, arrival_gap=gaps,
                     ipdv=hist(1, got) if q.get("ipdv") else None, ipdv_excluded_count=0, series=series)
        streams.append(dict(tx=s["tx"], rx=s["rx"], intended_count=sent if s["rate_pps"] else None, built_count=sent,
                            sent_count=sent, skipped_count=0, late_count=0, tx_full_count=0, tx_full_ns=0,
                            alloc_failed_count=0, lateness=gaps, departure_gap=gaps, replay=None, sent_series=series,
                            meter=meter))
    say(id=q["id"], ok=True, streams=streams, tx_span_s=q["duration_s"], clock_error_ppm=0.0, missed_count=0,
        missed=dict(imissed=0, ierrors=0, rx_nombuf=0), drained=True, captured_count=None, steal_ns=4,
        workers=[dict(iterations=1, idle_ratio=0.5, gap_max_ns=1, stall_ns=2, involuntary_switches=3,
                      voluntary_switches=0, run_delay_ns=9, cpu=1, profile=None)])
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
                got: str = "sent * 9 // 10", cells: str = TWO_CELLS, say: Any = lambda line: None) -> tuple[list[Outcome], Path]:
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
        folder, outcomes = run.run("t", cells_of_text(tmp_path, cells), bed.load(None), tmp_path / "results",
                                   say, {})
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


def test_a_switch_without_threads_is_said_once_and_costs_nothing(measured: Any) -> None:
    said: list[str] = []
    outcomes, folder = measured(cells=TWO_CELLS + "[telemetry]\ntrials = 2\ntrial_s = 0.1\n", say=said.append)
    assert [o.status for o in outcomes] == ["ok", "ok"]
    assert not [r.metric for o in outcomes for r in o.results if "per_packet" in r.metric]
    assert len([line for line in said if "telemetry of null: none of its threads" in line]) == 1
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["phase"] for r in rows] == 2 * ["rplus", "rplus", "latency@0.50rplus", "telemetry", "telemetry"]
    assert {r["tsc_hz"] for r in rows if r["phase"] == "telemetry"} == {"2000000000.0"}
    assert {(r["tsc_hz"], r["cycles_per_packet"]) for r in rows if r["phase"] != "telemetry"} == {("", "")}


# ---- traffic -------------------------------------------------------------------------------------------------------

TRAFFIC = TWO_CELLS.replace("frame_bytes = [64, 128]\n", "") + """
[traffic]
imix = "aag"
shape = "poisson"
learning_count = 2
interval_s = 0.5
flow_records = true
capture = {first = 5, phase = "latency", filter = "udp"}
"""


def requests_of(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]


def test_a_trial_asks_for_the_traffic_of_the_scenario(measured: Any, tmp_path: Path) -> None:
    [outcome], folder = measured(cells=TRAFFIC)
    assert outcome.status == "ok", outcome.reason
    requests = [q for q in requests_of(tmp_path) if q["cmd"] != "ports"]
    assert [q["cmd"] for q in requests] == ["learn", "trial", "trial", "trial", "trial"]
    learn, probe, *rplus, latency = requests
    assert learn["count"] == 2 and [(s["tx"], s["rx"]) for s in learn["streams"]] == [(0, 1), (1, 0)]
    assert all(s["frame_bytes"] == [64, 64, 1518] for q in requests for s in q["streams"])
    logs = (folder / "logs" / outcome.cell.id).resolve()
    for q, shape, gaps, interval_s in ((probe, None, None, None), (rplus[0], None, None, 0.5),
                                       (rplus[1], None, None, 0.5), (latency, "poisson", True, 0.5)):
        assert {s.get("shape") for s in q["streams"]} == {shape}
        assert (q.get("gaps"), q.get("ipdv"), q.get("interval_s")) == (gaps, gaps, interval_s)
        assert ("capture" in q) == (q is latency) and ("flow_records" in q) == (q is not probe)
    capture = latency["capture"]
    assert {k: v for k, v in capture.items() if k != "file"} == {"first": 5, "every": 1, "filter": "udp",
                                                                "snap_bytes": 65535}
    files = [capture["file"], *(q["flow_records"] for q in [*rplus, latency])]
    assert len(set(files)) == 4 and {str(Path(f).parent) for f in files} == {str(logs)}
    assert len({q["epoch"] for q in requests}) == 5


def test_a_trial_without_the_table_asks_for_gaps_where_it_is_paced(measured: Any, tmp_path: Path) -> None:
    measured()
    for q in requests_of(tmp_path):
        if q["cmd"] == "trial":
            paced = q["streams"][0]["rate_pps"] > 0 and q["duration_s"] != 0.05
            assert {key for key in q if key not in ("id", "cmd", "epoch", "duration_s", "drain_s", "drain_max_s",
                                                    "streams")} == ({"gaps", "ipdv"} if paced else set())
            assert all(set(s) == {"tx", "rx", "rate_pps", "frame_bytes", "flows"} for s in q["streams"])


def test_what_the_programs_tell_is_on_disk(measured: Any) -> None:
    [outcome], folder = measured(cells=TRAFFIC)
    values = {r.metric: r.value for r in outcome.results}
    assert values["latency_intended_p50_ns@0.50rplus"] == 6 and values["ipdv_p50_ns@0.50rplus"] == 1
    assert values["pdv_p99_ns@0.50rplus"] == 0
    with (folder / "trials.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert (row["steal_ns"], row["run_delay_ns"], row["idle_ratio"], row["cpu"]) == ("4", "9", "0.5", "1")
    assert row["traffic"].startswith("imix=aag shape=poisson") and row["frame_bytes"] == "549"
    assert len((folder / "series.csv").read_text().splitlines()) == 1 + 3 * 2
    kinds = {line.split(",")[1] for line in (folder / "histograms.csv").read_text().splitlines()[1:]}
    assert kinds == {"latency_intended", "ipdv", "arrival_gap", "departure_gap", "lateness"}


SEEN = {"min_ns": 7, "max_ns": 7, "count": 10, "sum_ns": 70, "bins": [[7, 8, 10]]}


class Answering:
    """A channel to nobody: keeps the requests, gives fixed answers. It always has something to say."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = {"arm": {}, "send": {}, "settle": {"silent": True}, **answers}, []
        self.read_fd, self._write_fd = os.pipe()
        os.write(self._write_fd, b"x")

    def post(self, cmd: str, **arguments: Any) -> None:
        self.asked.append((cmd, arguments))

    def answer(self, cmd: str, timeout_s: float) -> Any:
        return self.answers[cmd]

    def request(self, cmd: str, timeout_s: float, **arguments: Any) -> Any:
        self.post(cmd, **arguments)
        return self.answer(cmd, timeout_s)


def pktgen(*streams: dict[str, Any], **more: Any) -> Answering:
    return Answering(read={"streams": list(streams), "tx_span_s": 1.0, "clock_error_ppm": 0.0, "workers": [],
                           "missed_count": 0, **more})


def between(tmp_path: Path, text: str, generator: Answering, *guests: Answering, topology: str = "p2v"
            ) -> testbed.Testbed:
    """A testbed whose programs are not there."""
    [cell] = cells_of_text(tmp_path, f'[matrix]\ntopology = "{topology}"\n' + text, switches=["testpmd"])
    bed_ = testbed.Testbed(cell, setup_of(cell), tmp_path, ExitStack())
    for name, channel in (("generator", generator), *((f"guest{n}", one) for n, one in enumerate(guests, 1))):
        bed_.peers[name] = SimpleNamespace(channel=channel, xdp_mode="",  # type: ignore[assignment]
                                           process=SimpleNamespace(check_alive=lambda: None))
    return bed_


def sent(count: int, **more: Any) -> dict[str, Any]:
    return {"intended_count": count, "sent_count": count, "tx_full_count": 0, "meter": None, **more}


def apart(tmp_path: Path, text: str) -> tuple[testbed.Testbed, Answering, Answering]:
    sender = pktgen(sent(10))
    receiver = Answering(read={"meter": meter(10, latency=SEEN), "missed_count": 0, "series": [[10, 600]]})
    return between(tmp_path, text, sender, receiver), sender, receiver


@pytest.mark.parametrize("guest_kind, latency_ns", [("process", 7), ("qemu", None)])
def test_two_programs_on_one_host_have_one_clock_and_a_vm_has_its_own(guest_kind: str, latency_ns: int | None,
                                                                      tmp_path: Path) -> None:
    one, sender, receiver = apart(tmp_path, f'guest = "{guest_kind}"\n')
    assert one.cell.has_latency == (guest_kind == "process")
    trial = one.measure(Request("latency@0.50rplus", 10.0, 1.0))
    assert trial.latency_min_ns == latency_ns
    timed = {"gaps": True, "ipdv": True} if guest_kind == "process" else {}
    assert receiver.asked[0] == ("arm", {"epoch": 1, "flows": 1, **timed})
    [(_, asked), *rest] = sender.asked
    assert asked["streams"] == [{"tx": 0, "rx": None, "dst_mac": "02:76:73:77:01:00", "rate_pps": 10.0,
                                 "frame_bytes": 64, "flows": 1}]
    assert rest == [("send", {}), ("read", {})] and trial.skew_s is None
    assert asked["gaps"] is True and trial.series == []


@pytest.mark.parametrize("guest_kind, latency_ns", [("process", 7), ("qemu", None)])
def test_of_two_way_traffic_each_end_is_asked_for_its_part(guest_kind: str, latency_ns: int | None, tmp_path: Path
                                                           ) -> None:
    """Counts come from who sent and who received; both are armed before either sends."""
    order: list[tuple[str, str]] = []
    left = pktgen(sent(10), {"meter": meter(6, latency=SEEN)}, missed_count=2, clock_error_ppm=-3.0)
    right = pktgen({"meter": meter(9, latency=SEEN)}, sent(8), missed_count=1, clock_error_ppm=2.0)
    for name, one in (("left", left), ("right", right)):
        def post(cmd: str, name: str = name, kept: Any = one.post, **arguments: Any) -> None:
            order.append((name, cmd))
            kept(cmd, **arguments)
        one.post = post  # type: ignore[method-assign]
    one = between(tmp_path, f'guest = "{guest_kind}"\ndirection = "two-way"\n', left, right)
    trial = one.measure(Request("rplus", None, 1.0))
    assert [cmd for _, cmd in order] == ["arm", "arm", "send", "send", "settle", "settle", "read", "read"]
    assert (trial.sent_count, trial.received_count, trial.lost_count) == (18, 15, 3)
    assert trial.tester["imissed"] == 3 and trial.latency_min_ns == latency_ns and trial.direction_count == 2
    assert trial.skew_s is not None and 0 <= trial.skew_s < 0.5
    arms = [dict(asked) for [(_, asked), *_] in (left.asked, right.asked)]
    assert arms[0]["epoch"] == arms[1]["epoch"] and arms[0]["duration_s"] == arms[1]["duration_s"] == 1.0
    assert [[(s["tx"], s["rx"]) for s in asked["streams"]] for asked in arms] == [[(0, None), (None, 0)],
                                                                                 [(None, 0), (0, None)]]
    without_ports = [[{k: v for k, v in s.items() if k not in ("tx", "rx")} for s in a["streams"]] for a in arms]
    assert without_ports[0] == without_ports[1]
    assert [s["dst_mac"] for s in without_ports[0]] == ["02:76:73:77:01:00", "02:76:73:77:00:00"]


def test_chains_beside_each_other_share_the_load_and_figures_are_their_sums(tmp_path: Path) -> None:
    streams = [{**sent(10 * n), "meter": meter(10 * n - n, span_s=1.0, latency=SEEN)} for n in (1, 2, 3, 4)]
    generator = Answering(trial={"streams": streams, "tx_span_s": 1.0, "clock_error_ppm": 0.0, "workers": [],
                                 "missed_count": 0, "drained": True})
    idle = Answering(stats={"sides": [{"rx_port": i, "dropped": {}, **dict.fromkeys(
        ("rx_count", "tx_count", "tx_full_count", "missed_count"), 0)} for i in (0, 1)]})
    text = 'guest = "process"\ndirection = "two-way"\nchains = 2\n'
    one = between(tmp_path, text, generator, idle, idle, topology="loopback")
    trial = one.measure(Request("rplus", 100.0, 1.0))
    [(_, asked)] = generator.asked
    assert [(s["tx"], s["rx"], s["rate_pps"]) for s in asked["streams"]] == [
        (0, 1, 50.0), (1, 0, 50.0), (2, 3, 50.0), (3, 2, 50.0)]
    assert (trial.sent_count, trial.received_count, trial.lost_count, trial.rx_pps) == (100, 90, 10, 45.0)
    assert (trial.direction_count, trial.stream_count, trial.span_s) == (2, 4, 1.0)
    assert [(h.guest, h.direction, h.rx_port, h.offered_count) for h in trial.hops if h.guest != "generator"] == [
        ("guest1", 0, 0, 10), ("guest1", 1, 1, 20), ("guest2", 0, 0, 30), ("guest2", 1, 1, 40)]
    assert [(h.rx_port, h.rx_count) for h in trial.hops if h.guest == "generator"] == [
        (1, 9), (0, 18), (3, 27), (2, 36)]


def test_out_of_a_guest_the_generator_receives(tmp_path: Path) -> None:
    left, right = pktgen({"meter": meter(7, latency=SEEN)}, tx_span_s=0.0, clock_error_ppm=1e6), pktgen(sent(8))
    one = between(tmp_path, 'guest = "qemu"\ndirection = "reverse"\n', left, right)
    trial = one.measure(Request("rplus", None, 1.0))
    assert (trial.sent_count, trial.received_count) == (8, 7) and trial.rx_pps == 7 and trial.status == "ok"
    assert [cmd for cmd, _ in left.asked] == ["arm", "settle", "read"]
    assert [cmd for cmd, _ in right.asked] == ["arm", "send", "read"]


def test_a_round_trip_is_sent_and_received_at_one_port_and_addressed_to_the_reflector(tmp_path: Path) -> None:
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "v2v-latency"\nguest = "qemu"\n', switches=["testpmd"])
    one = testbed.Testbed(cell, setup_of(cell), tmp_path, ExitStack())
    asked = one._stream(cell.topology.flows[0], Request("x", 1e3, 1.0), "guest1")
    assert (asked["tx"], asked["rx"], asked["dst_mac"]) == (0, 0, "02:76:73:77:02:00")
    assert cell.has_latency and cell.nf == "reflector" and "--nf reflector" in " ".join(setup_of(cell).peers[1].argv)


def test_a_meter_is_told_where_the_stamp_stands_and_how_long_an_interval_is(tmp_path: Path) -> None:
    text = 'guest = "process"\nframe_bytes = 128\n[traffic]\nvlan = 5\ninterval_s = 1.0\n'
    one, sender, receiver = apart(tmp_path, text)
    trial = one.measure(Request("rplus", None, 1.0))
    assert receiver.asked[0] == ("arm", {"epoch": 1, "flows": 1, "stamp_offset": 46, "interval_s": 1.0})
    assert sender.asked[0][1]["streams"][0]["vlan"] == [5] and sender.asked[0][1]["interval_s"] == 1.0
    assert [(p.time_s, p.sent_count, p.received_count) for p in trial.series] == [(0.0, None, 10)]


# ---- trouble -------------------------------------------------------------------------------------------------------

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
