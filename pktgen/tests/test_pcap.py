# SPDX-License-Identifier: BSD-3-Clause
"""pktgen against readers and writers that are not ours: what it sends, read from a pcap file by scapy, tshark and
struct; what it receives, made by Python.
"""

import collections
import csv
import ipaddress
import shutil
import subprocess

import pytest
from coretest import MAGIC, Ledger, Program, Stamp, read_pcap, seeded, stamped, trial, write_pcap
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

BENCHMARK_NET = ipaddress.ip_network("198.18.0.0/15")   # RFC 2544, C.2.2


def send(tmp_path, *streams, epoch=7, duration_s=0.05):
    """One trial into a file; the frames, and its reply's streams."""
    path = tmp_path / "sent.pcap"
    with Program("pktgen", vdevs=[f"net_pcap0,tx_pcap={path}"]) as pktgen:
        reply = trial(pktgen, *streams, epoch=epoch, duration_s=duration_s)
        pktgen.end()
    frames = read_pcap(path)
    assert len(frames) == sum(s["sent_count"] for s in reply["streams"])
    return frames, reply["streams"]


def check_headers(frame: bytes) -> tuple:
    """Asserts what every frame of ours must be; gives its 5-tuple."""
    packet = Ether(frame)
    ip, udp = packet[IP], packet[UDP]
    assert packet.type == 0x0800 and ip.version == 4 and ip.ihl == 5 and ip.proto == 17
    assert ip.len == len(frame) - 14 and udp.len == len(frame) - 34
    again = ip.copy()
    del again.chksum
    assert IP(bytes(again)).chksum == ip.chksum
    assert udp.chksum == 0
    assert ipaddress.ip_address(ip.src) in BENCHMARK_NET and ipaddress.ip_address(ip.dst) in BENCHMARK_NET
    assert ip.frag == 0 and not ip.flags.MF and ip.ttl > 1
    assert not int(packet.src[1], 16) & 1 and not int(packet.dst[1], 16) & 1, "a multicast address"
    return ip.src, ip.dst, ip.proto, udp.sport, udp.dport


@pytest.mark.parametrize("frame_bytes, flows", ((64, 1), (64, 300), (65, 7), (512, 1), (1518, 50)))
def test_frames_are_what_they_should_be(tmp_path, frame_bytes, flows):
    frames, streams = send(tmp_path, {"tx": 0, "rate_pps": 20000, "frame_bytes": frame_bytes, "flows": flows})
    assert streams[0]["meter"] is None
    assert len(frames) > 500
    next_seq = collections.Counter()
    tuples = {}
    last_half = 0
    for frame in frames:
        assert len(frame) == frame_bytes - 4
        stamp = Stamp.unpack(frame)
        assert (stamp.magic, stamp.epoch, stamp.stream) == (MAGIC, 7, 0)
        assert stamp.seq == next_seq[stamp.flow], "numbers of a flow are consecutive from 0"
        next_seq[stamp.flow] += 1
        assert stamp.time_half >= last_half
        last_half = stamp.time_half
        assert not any(frame[60:]), "after the stamp come zeros"
        assert tuples.setdefault(stamp.flow, check_headers(frame)) == check_headers(frame)
    assert set(tuples) == set(range(flows))
    assert len(set(tuples.values())) == flows
    assert max(next_seq.values()) - min(next_seq.values()) <= 1, "flows take turns"


def test_streams_of_one_port(tmp_path):
    sizes = (64, 128, 1518)
    frames, streams = send(tmp_path, *[{"tx": 0, "rate_pps": 4000 * (i + 1), "frame_bytes": size, "flows": 3}
                                       for i, size in enumerate(sizes)])
    tuples = collections.defaultdict(set)
    numbers = collections.defaultdict(list)
    for frame in frames:
        stamp = Stamp.unpack(frame)
        assert len(frame) == sizes[stamp.stream] - 4
        tuples[check_headers(frame)].add((stamp.stream, stamp.flow))
        numbers[stamp.stream, stamp.flow].append(stamp.seq)
    assert len(tuples) == 9 and all(len(who) == 1 for who in tuples.values())
    for seqs in numbers.values():
        assert seqs == list(range(len(seqs)))
    for i, stream in enumerate(streams):
        assert sum(len(s) for (number, _), s in numbers.items() if number == i) == stream["sent_count"]


def test_every_trial_starts_anew(tmp_path):
    path = tmp_path / "sent.pcap"
    with Program("pktgen", vdevs=[f"net_pcap0,tx_pcap={path}"]) as pktgen:
        sent = [trial(pktgen, {"tx": 0, "rate_pps": 5000, "flows": 4}, epoch=e)["streams"][0]["sent_count"]
                for e in (1, 2, 65535)]
        pktgen.end()
    stamps = [Stamp.unpack(f) for f in read_pcap(path)]
    assert [s.epoch for s in stamps] == [1] * sent[0] + [2] * sent[1] + [65535] * sent[2]
    for epoch in (1, 2, 65535):
        assert [s.seq for s in stamps if s.epoch == epoch and s.flow == 0] == list(range((sent.pop(0) + 3) // 4))


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_agrees(tmp_path):
    """A second reader, which also says what it finds odd."""
    frames, _ = send(tmp_path, {"tx": 0, "rate_pps": 20000, "frame_bytes": 64, "flows": 100},
                     {"tx": 0, "rate_pps": 2000, "frame_bytes": 1000})
    fields = ("frame.len", "ip.len", "ip.checksum.status", "ip.src", "udp.srcport", "udp.length", "eth.dst",
              "_ws.malformed", "udp.payload")
    done = subprocess.run(["tshark", "-n", "-r", tmp_path / "sent.pcap", "-o", "ip.check_checksum:TRUE", "-T", "fields",
                           "-E", "separator=;", *[x for f in fields for x in ("-e", f)]],
                          capture_output=True, text=True, check=True)
    rows = [dict(zip(fields, line.split(";"))) for line in done.stdout.splitlines()]
    assert len(rows) == len(frames)
    for row, frame in zip(rows, frames):
        _, _, _, port, _ = check_headers(frame)
        assert int(row["frame.len"]) == len(frame)
        assert int(row["ip.len"]) == len(frame) - 14 and int(row["udp.length"]) == len(frame) - 34
        assert row["ip.checksum.status"] in ("1", "Good")
        assert row["ip.src"] == Ether(frame)[IP].src and int(row["udp.srcport"]) == port
        assert row["_ws.malformed"] == ""
        assert bytes.fromhex(row["udp.payload"].replace(":", "")) == frame[42:]


# the receiver, fed with what never was

def account_of(tmp_path, frames, *, epoch=5, flows=8, stream=1, **more):
    """What pktgen says of `frames`, received in a trial in which they count as those of stream 1 (0 if asked)."""
    path = write_pcap(tmp_path / "received.pcap", frames)
    with Program("pktgen", vdevs=["net_null0,no-rx=1", f"net_pcap1,rx_pcap={path}"]) as pktgen:
        idle = {"tx": 0, "rate_pps": 1}
        metered = {"tx": 0, "rx": 1, "rate_pps": 1, "flows": flows}
        reply = trial(pktgen, *([idle] * stream + [metered]), epoch=epoch, drain_s=0.05, **more)
        pktgen.end()
    assert reply["drained"] is True
    return reply["streams"][stream]["meter"]


def mangle(rng, flows, count, epoch=5, stream=1):
    """Traffic with loss, duplication and reordering, and the frames of others among it."""
    frames = []
    numbers = [0] * flows
    for _ in range(count):
        flow = rng.randrange(flows)
        stamp = Stamp(epoch, stream, flow, numbers[flow], rng.getrandbits(48))
        numbers[flow] += 1
        dice = rng.random()
        if dice < 0.05:
            continue                                        # lost
        frames.append(stamped(stamp, rng.choice((64, 65, 1518))))
        if dice < 0.10:
            frames.append(frames[-1])                       # twice
        elif dice < 0.20:
            other = rng.randrange(max(0, len(frames) - 20), len(frames))
            frames[-1], frames[other] = frames[other], frames[-1]
        elif dice < 0.22:
            frames.append(rng.choice(frames))               # again, much later
        elif dice < 0.24:
            frames.append(hostile(rng, epoch, stream, flows))
    return frames


def hostile(rng, epoch, stream, flows):
    """What is not of this account, but looks like it."""
    good = Stamp(epoch, stream, rng.randrange(flows), rng.getrandbits(32), rng.getrandbits(48))
    kind = rng.randrange(8)
    if kind == 0:
        return stamped(Stamp(epoch, stream, rng.randrange(flows, 1 << 24), good.seq))
    if kind == 1:
        return stamped(Stamp(epoch, stream, flows, 0))
    if kind == 2:
        return stamped(Stamp(epoch, rng.choice([s for s in range(256) if s != stream]), good.flow, good.seq))
    if kind == 3:
        return stamped(Stamp(rng.choice([e for e in range(65536) if e != epoch]), stream, good.flow, good.seq))
    if kind == 4:
        magic = MAGIC ^ rng.randrange(1, 1 << 16)
        return stamped(Stamp(epoch, stream, good.flow, good.seq, magic=magic))
    if kind == 5:
        return stamped(good)[:rng.randint(1, 59)]           # cut off inside or before the stamp
    if kind == 6:
        return b"\0" + stamped(good)                        # right, but a byte too late
    return rng.randbytes(rng.randint(1, 1500))


@pytest.mark.parametrize("stream", (0, 1, 15))
def test_loss_duplication_and_reordering_are_counted_exactly(tmp_path, stream):
    rng = seeded()
    frames = mangle(rng, 8, 4000, stream=stream)
    ledger = Ledger(epoch=5, stream=stream, flows=8)
    for frame in frames:
        ledger.add(frame)
    assert ledger.duplicates > 100 and ledger.reordered > 100 and ledger.foreign > 10 and ledger.stale > 1
    ledger.check(account_of(tmp_path, frames, stream=stream))


def of_one_flow(seqs):
    """What was received once, twice, late, and how many consecutive pairs came one after the other (RFC 3393)."""
    seen, highest = set(), -1
    duplicates = late = pairs = 0
    for seq in seqs:
        if seq in seen:
            duplicates += 1
        elif seq < highest:
            late += 1
        else:
            pairs += bool(seen) and seq == highest + 1
            highest = seq
        seen.add(seq)
    return len(seen), duplicates, late, pairs


def test_records_and_pairs_of_every_flow_are_exact(tmp_path):
    frames = mangle(seeded(), 8, 4000)
    meter = account_of(tmp_path, frames, ipdv=True, gaps=True, interval_s=0.01, flow_records=str(tmp_path / "flows.csv"))
    stamps = [Stamp.unpack(f) for f in frames if len(f) >= 60]
    ours = [s for s in stamps if (s.magic, s.epoch, s.stream) == (MAGIC, 5, 1) and s.flow < 8]
    want = [of_one_flow([s.seq for s in ours if s.flow == flow]) for flow in range(8)]
    with open(tmp_path / "flows.csv", newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    got = [tuple(int(r[k]) for k in ("received_count", "duplicate_count", "reordered_count")) for r in rows]
    assert got == [w[:3] for w in want]
    assert sum(w[0] + w[1] for w in want) == len(ours)
    assert meter["ipdv"]["count"] == sum(w[3] for w in want)
    firsts = {s.flow: s.seq for s in reversed(ours)}
    assert meter["ipdv_excluded_count"] == len(ours) - meter["ipdv"]["count"] - sum(seq == 0 for seq in firsts.values())
    assert meter["arrival_gap"]["count"] == len(ours) - 1
    assert sum(n for n, _ in meter["series"]) <= len(ours)      # which has no frames of before the start


def test_nothing_but_hostile_frames(tmp_path):
    rng = seeded()
    frames = [hostile(rng, 5, 1, 8) for _ in range(3000)]
    ledger = Ledger(epoch=5, stream=1, flows=8)
    for frame in frames:
        ledger.add(frame)
    assert ledger.received == 0 and ledger.foreign + ledger.stale + ledger.learning == 3000
    ledger.check(account_of(tmp_path, frames))


def test_a_known_case(tmp_path):
    """Counted by hand: 0 1 3 2 2 5 with 4 lost."""
    frames = [stamped(Stamp(5, 1, 0, seq)) for seq in (0, 1, 3, 2, 2, 5)]
    meter = account_of(tmp_path, frames, flows=1)
    assert meter["received_count"] == 5
    assert meter["duplicate_count"] == 1
    assert meter["reordered_count"] == 1
    assert meter["reorder_extent_max"] == 1       # only 3 overtook 2
    assert meter["received_bytes"] == 6 * 60


def test_a_number_far_ahead_is_a_gap_and_not_a_crash(tmp_path):
    seqs = (0, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 0x100000001)
    meter = account_of(tmp_path, [stamped(Stamp(5, 1, 0, seq)) for seq in seqs], flows=1)
    assert meter["received_count"] == 6
    assert meter["duplicate_count"] == meter["reordered_count"] == meter["old_count"] == 0


def test_a_time_from_the_future_is_an_overflow(tmp_path):
    """All latencies stay counted, whatever the stamp says."""
    frames = [stamped(Stamp(5, 1, 0, seq, seq << 30)) for seq in range(64)]     # evenly over all there are
    meter = account_of(tmp_path, frames, flows=1)
    assert meter["received_count"] == meter["latency"]["count"] == 64
    assert meter["latency"]["overflow_count"] > 0


def test_what_was_sent_is_received_when_played_back(tmp_path):
    """The file of one run is the traffic of another: sender and receiver agree on the stamp."""
    frames, streams = send(tmp_path, {"tx": 0, "rate_pps": 20000, "flows": 100}, epoch=9)
    meter = account_of(tmp_path, frames, epoch=9, flows=100, stream=0)
    assert meter["received_count"] == streams[0]["sent_count"]
    assert meter["duplicate_count"] == meter["reordered_count"] == meter["foreign_count"] == meter["stale_count"] == 0
