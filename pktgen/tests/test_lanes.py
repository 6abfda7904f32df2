# SPDX-License-Identifier: BSD-3-Clause
"""Trials of pktgen with several queues and workers, in both directions at once, and what a trial leaves beside its
counts: schedules as the time series shows them, gaps, flow records, captures.
"""

import collections
import csv
import subprocess
from time import monotonic

import pytest
from coretest import START_S, Program, Stamp, check_latency, command, trial_that_sent
from scapy.utils import RawPcapNgReader

ATTEMPTS = 4    # for what a busy machine may spoil: one good one will do
JUMBO = 9216


@pytest.fixture
def epoch(_next=iter(range(1, 65536))):
    return next(_next)


@pytest.fixture(scope="module")
def one():
    """One worker, one queue, frames of every size."""
    with Program("pktgen", "--wires", "1", "--frame-max", str(JUMBO), idle="yield") as program:
        yield program
        program.end()


@pytest.fixture(scope="module", params=((4, 1, 4), (4, 3, 4), (4, 2, 3), (2, 1, 8)),
                ids=lambda p: f"{p[0]} workers, {p[1]} send, {p[2]} queues")
def many(request):
    workers, senders, queues = request.param
    with Program("pktgen", "--wires", "1", "--queues", str(queues), "--ring-size", "256", "--senders", str(senders),
                 "--frame-max", str(JUMBO), workers=workers, idle="yield") as program:
        yield program
        program.end()


def check_whole(stream, directions=1):
    """Everything arrived, once, in order, by one way a flow; and every figure says the same number."""
    meter = stream["meter"]
    assert meter["received_count"] == stream["sent_count"] > 0
    for name in ("duplicate_count", "reordered_count", "old_count", "stale_count", "foreign_count", "learning_count",
                 "crossed_flows_count"):
        assert meter[name] == 0, name
    if stream["intended_count"] is not None:
        assert stream["sent_count"] + stream["skipped_count"] <= stream["intended_count"]
    assert stream["built_count"] >= stream["sent_count"]
    check_latency(meter)
    for series, what in ((stream["sent_series"], "sent"), (meter["series"], "received")):
        if series is not None:
            assert sum(frames for frames, _ in series) == stream["sent_count"], what
            assert sum(octets for _, octets in series) == meter["received_bytes"], what


def two_way(**change):
    return [{"tx": 0, "rx": 1, "rate_pps": 30000} | change, {"tx": 1, "rx": 0, "rate_pps": 20000} | change]


@pytest.mark.parametrize("change", (
    {}, {"flows": 2}, {"flows": 1000}, {"flows": 1000, "flow_order": "zipf"}, {"flows": 1000, "flow_order": "random"},
    {"flows": 100, "shape": "poisson"}, {"flows": 100, "shape": "burst", "burst_frames": 20},
    {"flows": 100, "shape": "ramp", "ramp_from_pps": 1000}, {"flows": 64, "rate_pps": 0},
    {"flows": 10, "frame_bytes": [64, JUMBO, 594]}, {"flows": 100, "rate_pps": 60},
    {"flows": 100, "vlan": [1, 2], "ip": 6, "l4": "tcp", "tunnel": "vxlan", "frame_bytes": 200},
), ids=str)
def test_all_queues_and_workers_together(many, epoch, change):
    """Two-way; every flow by one queue, and what the lanes intend is what the stream intends."""
    queues = int(many.process.args[many.process.args.index("--queues") + 1])
    senders = int(many.process.args[many.process.args.index("--senders") + 1])
    streams = two_way(**change)
    if queues == 3 or (change.get("flows", 1) < queues and senders > 1):
        streams = streams[:1]       # the directions are sent by ports of their own, so this is for variety only
    reply = trial_that_sent(many, 1, epoch=epoch, duration_s=0.05, interval_s=0.01, gaps=True, ipdv=True, streams=streams)
    assert reply["drained"] is True and reply["missed_count"] == 0
    for request, stream in zip(streams, reply["streams"]):
        check_whole(stream)
        if request.get("shape", "constant") in ("constant", "burst") and request["rate_pps"] > 0:
            assert stream["intended_count"] == request["rate_pps"] * 0.05
        if request["rate_pps"] == 0:
            assert stream["intended_count"] is None and stream["lateness"] is None
        meter = stream["meter"]
        assert stream["departure_gap"] is None or stream["departure_gap"]["count"] < stream["sent_count"]
        assert meter["latency_intended"]["count"] == meter["received_count"]
        flows = min(request.get("flows", 1), stream["sent_count"])
        pairs = meter["ipdv"]["count"] if meter["ipdv"] else 0
        assert pairs + meter["ipdv_excluded_count"] <= meter["received_count"] - 1
        if request.get("flow_order") is None and stream["sent_count"] == stream["intended_count"]:
            assert pairs == meter["received_count"] - flows, "each frame but the first of its flow makes a pair"
    assert len(reply["workers"]) == 4 if queues != 8 else 2


def test_flow_records_of_all_queues(many, epoch, tmp_path):
    reply = trial_that_sent(many, 1, epoch=epoch, duration_s=0.05, streams=two_way(flows=30, flow_order="zipf"),
                    flow_records=str(tmp_path / "flows.csv"))
    with open(tmp_path / "flows.csv", newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    assert [(int(r["stream"]), int(r["flow"])) for r in rows] == [(s, f) for s in range(2) for f in range(30)]
    for number, stream in enumerate(reply["streams"]):
        check_whole(stream)
        mine = [r for r in rows if int(r["stream"]) == number]
        for key in ("sent_count", "received_count"):
            assert sum(int(r[key]) for r in mine) == stream["sent_count"], key
        latency = stream["meter"]["latency"]
        some = [r for r in mine if r["latency_min_ns"]]
        assert min(int(r["latency_min_ns"]) for r in some) == latency["min_ns"]
        assert max(int(r["latency_max_ns"]) for r in some) == latency["max_ns"]
        assert sum(float(r["latency_mean_ns"]) * int(r["received_count"]) for r in some) == \
            pytest.approx(latency["sum_ns"], rel=1e-3)
        for r in mine:
            assert r["lost_count"] == r["duplicate_count"] == r["reordered_count"] == "0"


def test_a_queue_has_one_sender(epoch):
    """Streams that share a port, sent by two workers: what DPDK does not allow is refused, not done."""
    shared = [{"tx": 0, "rx": 1, "rate_pps": 1000}, {"tx": 0, "rate_pps": 1000}]
    for workers, senders, ok in ((4, 2, False), (4, 1, True), (1, 1, True)):
        with Program("pktgen", "--wires", "1", "--senders", str(senders), workers=workers) as pktgen:
            reply = pktgen.ask("trial", epoch=epoch, duration_s=0.02, streams=shared)
            assert reply["ok"] is ok, reply
            assert ok or "--senders 1" in reply["error"]
            pktgen.do("trial", epoch=epoch, duration_s=0.02, streams=two_way())


@pytest.mark.parametrize("workers, senders", ((2, "2"), (4, "4"), (4, "5"), (1, "2"), (4, "0"), (4, "-1"), (4, "x"),
                                              (4, ""), (4, "99999999999999999999")))
def test_senders_that_cannot_be(workers, senders):
    done = subprocess.run(command("pktgen", own=["--wires", "1", "--senders", senders], workers=workers),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 2 and "--senders" in done.stderr, done.stderr
    assert done.stdout == ""


# one worker

@pytest.mark.parametrize("frame_bytes", (64, 1519, 2048, 2049, 9000, JUMBO, [JUMBO, 64, 1518]))
def test_jumbo_frames_arrive_whole(one, epoch, frame_bytes):
    reply = trial_that_sent(one, 1, epoch=epoch, duration_s=0.02, interval_s=0.001, streams=two_way(frame_bytes=frame_bytes))
    for stream in reply["streams"]:
        check_whole(stream)
        sizes = frame_bytes if isinstance(frame_bytes, list) else [frame_bytes]
        rounds, rest = divmod(stream["sent_count"], len(sizes))
        assert stream["meter"]["received_bytes"] == sum(sizes) * rounds + sum(sizes[:rest]) - 4 * stream["sent_count"]
        assert stream["frame_bytes_mean"] == pytest.approx(sum(sizes) / len(sizes))


def test_a_larger_frame_is_refused(one):
    assert str(JUMBO) in one.refused("trial", epoch=1, duration_s=1, streams=two_way(frame_bytes=JUMBO + 1))


def test_captured_frames_are_those_received(one, epoch, tmp_path):
    path = tmp_path / "captured.pcapng"
    reply = trial_that_sent(one, 300, epoch=epoch, duration_s=0.02, streams=two_way(flows=5)[:1],
                   capture={"file": str(path), "first": 50, "every": 3, "filter": "udp src port 1026"})
    check_whole(reply["streams"][0])
    frames = [bytes(data) for data, _ in RawPcapNgReader(str(path))]
    assert reply["captured_count"] == len(frames) > 10
    assert [Stamp.unpack(f).seq for f in frames] == [3 * i for i in range(len(frames))]
    assert {(Stamp.unpack(f).epoch, Stamp.unpack(f).flow) for f in frames} == {(reply["epoch"], 2)}


def test_what_is_there_is_not_overwritten(one, tmp_path):
    (tmp_path / "flows.csv").write_text("mine")
    assert "exists" in one.refused("trial", epoch=1, duration_s=0.01, streams=two_way(),
                                   flow_records=str(tmp_path / "flows.csv"), capture={"file": str(tmp_path / "x")})
    assert [f.name for f in tmp_path.iterdir()] == ["flows.csv"]
    assert (tmp_path / "flows.csv").read_text() == "mine"


@pytest.mark.parametrize("change, why", (
    ({"capture": {"file": "/proc/none/x.pcapng"}}, "/proc/none"),
    ({"capture": {"file": "x.pcapng", "filter": "no such filter at all"}}, "filter"),
    ({"flow_records": "/proc/none/x.csv"}, "/proc/none"),
))
def test_files_that_cannot_be_written_are_told(one, change, why):
    """Before the trial, which would be for nothing."""
    start = monotonic()
    assert why in one.refused("trial", epoch=1, duration_s=3600, streams=two_way(), **change)
    assert monotonic() - start < 60
    check_whole(trial_that_sent(one, 1, epoch=2, duration_s=0.01, streams=two_way())["streams"][0])


def test_what_comes_too_late_is_given_up(one, epoch):
    """No machine sends this much; what it gave up stands apart from what it never came to."""
    stream = trial_that_sent(one, 1, epoch=epoch, duration_s=0.05,
                    streams=[{"tx": 0, "rx": 1, "rate_pps": 9e8, "catch_up_s": 1e-4}])["streams"][0]
    check_whole(stream)
    assert stream["intended_count"] == 45_000_000
    assert stream["skipped_count"] > 1000
    stream = trial_that_sent(one, 1, epoch=epoch + 30000, duration_s=0.05,
                    streams=[{"tx": 0, "rx": 1, "rate_pps": 9e8}])["streams"][0]
    check_whole(stream)
    assert stream["skipped_count"] == 0 and stream["intended_count"] == 45_000_000


# schedules, seen from the departures

def departures(program, stream, interval_s, duration_s, epoch):
    """Frames sent in each interval; None if the machine held us up."""
    reply = trial_that_sent(program, 1, epoch=epoch, duration_s=duration_s, interval_s=interval_s,
                       streams=[{"tx": 0, "rx": 1} | stream])
    sent = reply["streams"][0]
    check_whole(sent)
    if reply["workers"][0]["gap_max_ns"] > interval_s * 1e9 / 4 or sent["sent_count"] != sent["intended_count"]:
        return None
    n = round(duration_s / interval_s)
    counts = [frames for frames, _ in sent["sent_series"]]
    return (counts + [0] * n)[:n]


def attempts(program, stream, epoch, interval_s=0.02, duration_s=0.2):
    for attempt in range(ATTEMPTS):
        counts = departures(program, stream | {"seed": 10 + attempt}, interval_s, duration_s, epoch + 1000 * attempt)
        if counts is not None:
            yield counts


def seen(program, stream, epoch, right, **more):
    tried = []
    for counts in attempts(program, stream, epoch, **more):
        if right(counts):
            return
        tried.append(counts)
    if not tried:
        pytest.skip("this machine is too busy to see a schedule")
    pytest.fail(f"{tried}")


def test_a_constant_rate_is_seen(one, epoch):
    seen(one, {"rate_pps": 50000}, epoch, lambda c: all(abs(n - 1000) <= 260 for n in c) and sum(c) == 10000)


def test_bursts_are_seen(one, epoch):
    """250 frames every 50 ms, at once: an interval in ten has all of them."""
    seen(one, {"rate_pps": 5000, "shape": "burst", "burst_frames": 250}, epoch,
         lambda c: c == [250, 0, 0, 0, 0] * 4, interval_s=0.01)


def test_a_ramp_is_seen(one, epoch):
    """From 0 to 100000 pps in 0.2 s: 10000 frames, of which interval i of 10 has (2 i + 1) / 100."""
    seen(one, {"rate_pps": 100000, "shape": "ramp"}, epoch,
         lambda c: all(abs(n - 100 * (2 * i + 1)) <= 500 for i, n in enumerate(c)) and c == sorted(c))


def test_poisson_is_seen(one, epoch):
    """Counts of an interval have a variance of their mean, here 100; those of a constant rate would have none."""
    def right(counts):
        mean = sum(counts) / len(counts)
        variance = sum((n - mean) ** 2 for n in counts) / len(counts)
        return abs(mean - 100) < 10 and 25 < variance < 300
    seen(one, {"rate_pps": 20000, "shape": "poisson"}, epoch, right, interval_s=0.005)


def test_seeds_of_poisson_repeat(one, epoch):
    counts = collections.Counter()
    for seed in (1, 1, 2, 3):
        stream = trial_that_sent(one, 1, epoch=epoch, duration_s=0.05, streams=[
            {"tx": 0, "rx": 1, "rate_pps": 100000, "shape": "poisson", "seed": seed}])["streams"][0]
        counts[seed, stream["intended_count"]] += 1
    assert counts.total() == 4 and len(counts) == 3, counts
