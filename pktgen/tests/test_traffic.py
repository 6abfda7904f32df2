# SPDX-License-Identifier: BSD-3-Clause
"""What pktgen puts on the wire, read from a pcap file by scapy and by tshark: header stacks, sizes, checksums, flows
and their order, learning frames, recordings.  One program sends all trials into one file; where a trial's frames begin in
it follows from the counts of those before.
"""

import collections
import csv
import ipaddress
import itertools
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
from coretest import LEARNING, MAGIC, Program, Stamp, read_pcap, seeded, trial_that_sent, write_pcap
from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

IMIX = [64] * 7 + [594] * 4 + [1518]
JUMBO = 9216
FLOWS = 40


def stack(vlan: list[int], ip: int, l4: str, tunnel: str) -> tuple[str, dict[str, Any]]:
    fields = {"none": "dst_ip", "vxlan": "vni", "gtpu": "teid"}[tunnel]
    name = "-".join(["eth", *["vlan"] * len(vlan), *([] if tunnel == "none" else [tunnel]), f"ip{ip}", l4])
    return name, {"vlan": vlan, "ip": ip, "l4": l4, "tunnel": tunnel, "udp_checksum": True, "flows": FLOWS,
                  "frame_bytes": [200, 1518, 173, 9216], "src_port": 65532, "flow_fields": ["src_port", fields]}


STACKS = dict(stack(*s) for s in itertools.product(([], [100], [200, 300]), (4, 6), ("udp", "tcp"),
                                                    ("none", "vxlan", "gtpu")))
SIZES = {f"size {n}": {"frame_bytes": n} for n in (64, 65, 66, 67, 1500, 1518, 2048, 2049, 9000, JUMBO)} | {
    "imix": {"frame_bytes": IMIX}, "big and small": {"frame_bytes": [JUMBO, 64, 65, JUMBO]},
    "1024 sizes": {"frame_bytes": list(range(64, 64 + 1024))}}
ADDRESSES = {
    "addresses": {"src_mac": "02:aa:bb:cc:dd:00", "dst_mac": "06:11:22:33:44:55", "src_ip": "10.1.2.3", "flows": 16,
                  "dst_ip": "172.16.255.250", "src_port": 0, "dst_port": 54, "flow_fields": ["dst_ip", "src_mac"]},
    "IPv6 addresses": {"ip": 6, "frame_bytes": 100, "src_ip": "2001:db8::ffff:fff0", "dst_ip": "fe80::1",
                       "flows": 16, "flow_fields": ["src_ip"]},
    "tags": {"vlan": [5, 4079], "frame_bytes": 100, "flows": 16, "flow_fields": ["vlan"]},
    "destinations": {"flows": 32, "flow_fields": ["src_port", "dst_mac"], "src_port": 65534},
}
ORDERS = {f"{order} {seed} {n}": {"flow_order": order, "seed": seed, "flows": 50, "rate_pps": 60000,
                                  "zipf_exponent": 1.2}
          for order in ("random", "zipf") for seed, n in ((5, "a"), (5, "b"), (6, "a"))}
CASES = STACKS | SIZES | ADDRESSES | ORDERS | {
    "no checksum": {"udp_checksum": False, "flows": 20},
    "increment": {"flows": 7},
}


@dataclass
class Sent:
    """What one case put into the file."""

    request: dict[str, Any]
    reply: dict[str, Any]
    frames: list[bytes]
    first: int                  # number in the file, from 0
    records: list[dict[str, str]]

    @property
    def headers(self) -> int:
        """Bytes before the stamp, by what the standards say."""
        r = self.request
        inner = (40 if r.get("ip") == 6 else 20) + (20 if r.get("l4") == "tcp" else 8)
        outer = {"none": 0, "vxlan": 20 + 8 + 8 + 14, "gtpu": 20 + 8 + 8}[r.get("tunnel", "none")]
        return 14 + 4 * len(r.get("vlan", [])) + outer + inner

    @property
    def stamps(self) -> list[Stamp]:
        return [Stamp.unpack(f, self.headers) for f in self.frames]

    @property
    def flows(self) -> list[int]:
        return [s.flow for s in self.stamps]


@dataclass
class Wire:
    path: Any
    sent: dict[str, Sent]
    learned: list[bytes]
    learned_count: int


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    path = folder / "sent.pcap"
    replies = {}
    with Program("pktgen", "--frame-max", str(JUMBO), vdevs=[f"net_pcap0,tx_pcap={path}"], idle="yield") as pktgen:
        for epoch, (name, case) in enumerate(CASES.items()):
            request = {"tx": 0, "rx": 0, "rate_pps": 10000} | case
            for attempt in range(8):    # a worker that a busy machine does not let run sends little
                replies[name, attempt] = reply = pktgen.do(
                    "trial", epoch=epoch, duration_s=0.02, drain_s=0, streams=[request],
                    flow_records=str(folder / f"{epoch}-{attempt}.csv"))["streams"][0]
                if reply["sent_count"] > 0.75 * reply["intended_count"]:
                    break
        learned = pktgen.do("learn", epoch=9, count=2, streams=[{"tx": 0, "rx": 0} | ADDRESSES["destinations"]])
        pktgen.end()
    frames = read_pcap(path)
    sent = {}
    at = 0
    epochs = {name: epoch for epoch, name in enumerate(CASES)}
    for (name, attempt), reply in replies.items():      # the last attempt is the one that stays
        with open(folder / f"{epochs[name]}-{attempt}.csv", newline="", encoding="ascii") as file:
            records = list(csv.DictReader(file))
        sent[name] = Sent(CASES[name], reply, frames[at:at + reply["sent_count"]], at, records)
        assert all(s.epoch == epochs[name] for s in sent[name].stamps), name
        at += reply["sent_count"]
    return Wire(path, sent, frames[at:], learned["sent_count"])


@pytest.mark.parametrize("name", CASES)
def test_stamps_sizes_and_records(wire, name):
    case = wire.sent[name]
    sizes = case.request.get("frame_bytes", 64)
    order = itertools.cycle(sizes if isinstance(sizes, list) else [sizes])
    next_seq = collections.Counter()
    assert len(case.frames) > 20
    for frame, stamp, size in zip(case.frames, case.stamps, order):
        assert len(frame) == size - 4
        assert (stamp.magic, stamp.stream) == (MAGIC, 0) and stamp.flow < case.request.get("flows", 1)
        assert stamp.seq == next_seq[stamp.flow], "numbers of a flow are consecutive from 0"
        next_seq[stamp.flow] += 1
        assert not any(frame[case.headers + 18:]), "behind the stamp come zeros"
    assert {int(r["flow"]): int(r["sent_count"]) for r in case.records if r["sent_count"] != "0"} == dict(next_seq)
    assert len(case.records) == case.request.get("flows", 1)
    assert all(r["received_count"] == "0" and r["lost_count"] == r["sent_count"] and r["latency_min_ns"] == ""
               for r in case.records)


def rebuilt(frame: bytes) -> bytes:
    """The frame as scapy would have sent it: every length and every checksum is its own, but where there is none."""
    packet = Ether(frame)
    layer = packet
    while layer:
        if isinstance(layer, (IP, TCP)) or (isinstance(layer, UDP) and layer.chksum):
            del layer.chksum
        for name in ("len", "plen"):
            if isinstance(layer, (IP, UDP, IPv6)) and name in layer.fields:
                delattr(layer, name)
        if isinstance(layer, GTP_U_Header):
            del layer.length
        layer = layer.payload
    return bytes(packet)


def of_each_flow_and_size(case: Sent) -> list[bytes]:
    """One frame of each kind that there is; scapy is slow."""
    return list({(flow, len(frame)): frame for flow, frame in zip(case.flows, case.frames)}.values())[:60]


@pytest.mark.parametrize("name", STACKS)
def test_scapy_reads_the_stack(wire, name):
    case = wire.sent[name]
    r = case.request
    for frame in of_each_flow_and_size(case):
        assert rebuilt(frame) == frame
        packet = Ether(frame)
        tags = [t.vlan for t in (packet.getlayer(Dot1AD), packet.getlayer(Dot1Q)) if t is not None]
        assert tags == r["vlan"]
        assert (VXLAN in packet) == (r["tunnel"] == "vxlan") and (GTP_U_Header in packet) == (r["tunnel"] == "gtpu")
        if r["tunnel"] != "none":
            assert packet[UDP].chksum == 0 and packet[IP].proto == 17
        last = packet.lastlayer()
        segment = last.underlayer
        assert type(segment) is (TCP if r["l4"] == "tcp" else UDP)
        assert type(segment.underlayer) is (IPv6 if r["ip"] == 6 else IP)
        assert r["l4"] == "tcp" or segment.chksum != 0
        assert bytes(last) == frame[case.headers:]


def tuple_of(frame: bytes) -> tuple:
    """All that may vary, as scapy sees it."""
    packet = Ether(frame)
    inner = packet.lastlayer().underlayer
    ether = packet[VXLAN][Ether] if VXLAN in packet else packet
    tag = packet.getlayer(Dot1Q)
    return (ether.src, ether.dst, tag.vlan if tag else None, inner.underlayer.src, inner.underlayer.dst, inner.sport,
            inner.dport, packet[VXLAN].vni if VXLAN in packet else None,
            packet[GTP_U_Header].teid if GTP_U_Header in packet else None)


@pytest.mark.parametrize("name", [*STACKS, *ADDRESSES])
def test_a_flow_is_one_tuple_and_a_tuple_one_flow(wire, name):
    case = wire.sent[name]
    tuples = collections.defaultdict(set)
    for flow, frame in zip(case.flows, case.frames):
        if len(frame) < 9000:       # the others differ in nothing but length, and scapy is slow
            tuples[flow].add(tuple_of(frame))
    assert all(len(t) == 1 for t in tuples.values())
    assert len(set.union(*tuples.values())) == len(tuples)


def test_fields_begin_where_asked(wire):
    case = wire.sent["addresses"]
    got = {flow: tuple_of(frame) for flow, frame in zip(case.flows, case.frames)}
    for flow in range(16):      # dst_ip takes all four bits
        assert got[flow][:7] == ("02:aa:bb:cc:dd:00", "06:11:22:33:44:55", None, "10.1.2.3",
                                 str(ipaddress.ip_address("172.16.255.250") + flow), 0, 54)
    case = wire.sent["IPv6 addresses"]
    got = {flow: tuple_of(frame) for flow, frame in zip(case.flows, case.frames)}
    for flow in range(16):
        assert got[flow][3:5] == (f"2001:db8::ffff:fff{flow:x}", "fe80::1")
    case = wire.sent["tags"]
    for flow, frame in zip(case.flows, case.frames):
        assert (Ether(frame)[Dot1AD].vlan, Ether(frame)[Dot1Q].vlan) == (5, 4079 + flow)


def test_without_checksum_there_is_none(wire):
    assert all(frame[40:42] == b"\0\0" for frame in wire.sent["no checksum"].frames)


# orders

def test_increment_takes_turns(wire):
    case = wire.sent["increment"]
    assert case.flows == [i % 7 for i in range(len(case.frames))]


@pytest.mark.parametrize("order", ("random", "zipf"))
def test_a_seed_repeats_and_another_differs(wire, order):
    one, again, other = (wire.sent[f"{order} {n}"].flows for n in ("5 a", "5 b", "6 a"))
    n = min(len(one), len(again), len(other))
    assert n > 100
    assert one[:n] == again[:n] != other[:n]


@pytest.mark.parametrize("order, exponent", (("random", 0), ("zipf", 1.2)))
def test_flows_come_as_often_as_they_should(wire, order, exponent):
    """Chi-square over all flows against exact probabilities; the seeds are fixed, so this cannot fail by chance."""
    flows = wire.sent[f"{order} 5 a"].flows + wire.sent[f"{order} 6 a"].flows
    weights = [(i + 1) ** -exponent for i in range(50)]
    expected = [w / sum(weights) * len(flows) for w in weights]
    count = collections.Counter(flows)
    chi2 = sum((count[i] - e) ** 2 / e for i, e in enumerate(expected))
    assert chi2 < 120, f"{chi2} of 49 degrees of freedom, {len(flows)} frames"


# learning

def test_learning_frames(wire):
    """Of 32 flows the ports tell 2 apart, so there are 16 addresses to teach, each twice."""
    assert wire.learned_count == len(wire.learned) == 32
    to_learn = {tuple_of(frame)[1] for frame in wire.sent["destinations"].frames}
    assert len(to_learn) == 16
    taught = collections.Counter()
    for frame in wire.learned:
        packet = Ether(frame)
        stamp = Stamp.unpack(frame)
        assert (stamp.magic, stamp.epoch, stamp.stream) == (MAGIC, 9, LEARNING)
        assert len(frame) == 60 and rebuilt(frame) == frame
        assert packet[IP].src.startswith("198.19.") and packet[IP].dst.startswith("198.18.")
        taught[packet.src] += 1
    assert taught == {mac: 2 for mac in to_learn}


# a reader that also says what it finds odd

TSHARK_FIELDS = ("frame.number", "frame.len", "frame.protocols", "ip.checksum.status", "udp.checksum.status",
                 "tcp.checksum.status", "vlan.id", "ieee8021ad.id", "vxlan.vni", "gtp.teid", "ip.dst", "ipv6.dst",
                 "udp.srcport", "tcp.srcport", "udp.length", "_ws.malformed", "gtp.length")


@pytest.fixture(scope="module")
def rows(wire):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    checks = [x for p in ("ip", "udp", "tcp") for x in ("-o", f"{p}.check_checksum:TRUE")]
    done = subprocess.run(["tshark", "-n", "-r", wire.path, *checks, "-T", "fields", "-E", "separator=;", "-E",
                           "occurrence=a", *[x for f in TSHARK_FIELDS for x in ("-e", f)]],
                          capture_output=True, text=True, check=True)
    return [dict(zip(TSHARK_FIELDS, line.split(";"))) for line in done.stdout.splitlines()]


GOOD, NONE = {"1", "Good"}, {"3", "Not present"}


def test_tshark_finds_nothing_wrong(wire, rows):
    last = max(wire.sent.values(), key=lambda s: s.first)
    assert len(rows) == last.first + len(last.frames) + len(wire.learned)
    for row in rows:
        assert row["_ws.malformed"] == "", row
        assert set(filter(None, row["ip.checksum.status"].split(","))) <= GOOD, row
        assert set(filter(None, row["tcp.checksum.status"].split(","))) <= GOOD, row
        assert set(filter(None, row["udp.checksum.status"].split(","))) <= GOOD | NONE, row


@pytest.mark.parametrize("name", STACKS)
def test_tshark_reads_the_stack(wire, rows, name):
    case = wire.sent[name]
    r = case.request
    ip, l4 = "ipv6" if r["ip"] == 6 else "ip", r["l4"]
    want = ["eth", *["ieee8021ad"] * (len(r["vlan"]) == 2), *["vlan"] * (len(r["vlan"]) > 0)]
    if r["tunnel"] == "vxlan":
        want += ["ip", "udp", "vxlan", "eth"]
    elif r["tunnel"] == "gtpu":
        want += ["ip", "udp", "gtp"]
    want += [ip, l4]
    inner = set()
    for row, frame in zip(rows[case.first:case.first + len(case.frames)], case.frames):
        protocols = [p for p in row["frame.protocols"].split(":") if p != "ethertype"]
        assert protocols[:len(want)] == want, row
        assert int(row["frame.len"]) == len(frame)
        assert row[f"{l4}.checksum.status"].split(",")[-1] in GOOD, row
        inner.add((row[f"{l4}.srcport"].split(",")[-1], row["vxlan.vni"], row["gtp.teid"], row[f"{ip}.dst"]))
    assert len(inner) == len(set(case.flows))


# recordings

@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Frames of any bytes and every length, as somebody else might have recorded them."""
    rng = seeded()
    frames = [rng.randbytes(14) + rng.randbytes(rng.choice((0, 1, 45, 46, 47, 500, 1500, rng.randrange(1500))))
              for _ in range(400)]
    return write_pcap(tmp_path_factory.mktemp("recording") / "recording.pcap", frames), frames


def test_recordings_are_sent_byte_by_byte(tmp_path, recording):
    path, frames = recording
    padded = [f.ljust(60, b"\0") for f in frames]
    out = tmp_path / "sent.pcap"
    ours = {"tx": 0, "rate_pps": 20000, "flows": 3}
    cases = [
        {"replay": {"file": str(path)}},
        {"replay": {"file": str(path), "timing": "rate"}, "rate_pps": 60000},
        {"replay": {"file": str(path), "timing": "rate"}, "rate_pps": 30000, "shape": "poisson"},
    ]
    with Program("pktgen", vdevs=[f"net_pcap0,tx_pcap={out}"], idle="yield") as pktgen:
        replies = []
        for case in cases:
            for stream in ({"tx": 0, "rx": 0} | case, ours):
                for _ in range(8):
                    reply = pktgen.do("trial", epoch=1, duration_s=0.03, streams=[stream])["streams"][0]
                    replies.append(reply)
                    if reply["sent_count"] > 100:
                        break
        for file, why in ((tmp_path / "none.pcap", "No such file"), (tmp_path, "not a file")):
            assert why in pktgen.refused("trial", epoch=1, duration_s=1,
                                         streams=[{"tx": 0, "replay": {"file": str(file)}}])
        pktgen.do("ports")
        pktgen.end()
    sent = read_pcap(out)
    assert len(sent) == sum(r["sent_count"] for r in replies)
    assert sum(r["sent_count"] > 100 for r in replies) >= 2 * len(cases)
    for reply in replies:
        mine, sent = sent[:reply["sent_count"]], sent[reply["sent_count"]:]
        if reply["replay"] is None:     # ours in between are clean again: no bytes of the recording behind the stamp
            assert all(Stamp.unpack(f).magic == MAGIC and not any(f[60:]) for f in mine)
        else:
            assert mine == [padded[i % len(padded)] for i in range(len(mine))]
            assert reply["replay"]["frames"] == 400
            assert reply["replay"]["rounds"] == len(mine) / 400
            assert reply["replay"]["padded_count"] == sum(len(f) < 60 for f in frames)
            assert reply["meter"]["received_count"] == 0


BAD_FILES = {
    "no pcap": b"this is no recording at all, and never was one",
    "empty": b"",
    "cut off": None,
    "too long a frame": None,
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_recordings_are_refused(wires, recording, tmp_path, name):
    path = tmp_path / "bad.pcap"
    if name == "cut off":
        path.write_bytes(recording[0].read_bytes()[:-1])
    elif name == "too long a frame":
        write_pcap(path, [bytes(60), bytes(1515)])
    else:
        path.write_bytes(BAD_FILES[name])
    stream = {"tx": 0, "rx": 1, "replay": {"file": str(path)}}
    error = wires.refused("trial", epoch=1, duration_s=0.01, streams=[stream])
    assert str(path)[:80] in error or "packet" in error     # a longer path is cut off
    if name == "too long a frame":
        assert "packet 2" in error and "1514" in error
    assert wires.do("trial", epoch=1, duration_s=0.01, streams=[{"tx": 0, "rx": 1, "rate_pps": 1000}])


def test_a_recording_of_one_moment_may_loop(wires, tmp_path):
    """Its rounds have to take time, or the next one is due at once for ever."""
    path = write_pcap(tmp_path / "moment.pcap", [bytes(60)] * 3)
    stream = {"tx": 0, "rx": 1, "replay": {"file": str(path), "loop": True, "speed": 10}}
    reply = trial_that_sent(wires, 1, epoch=1, duration_s=0.25, streams=[stream])["streams"][0]
    assert reply["intended_count"] == 9
    assert reply["meter"]["received_count"] == reply["sent_count"]


@pytest.fixture(scope="module")
def wires():
    with Program("pktgen", "--wires", "1", idle="yield") as program:
        yield program
        program.end()
