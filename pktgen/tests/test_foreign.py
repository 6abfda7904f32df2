# SPDX-License-Identifier: BSD-3-Clause
"""meter on traffic that is not ours: made by scapy, and read again by its dissectors, which know nothing of ours."""

import collections
import csv
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from coretest import Program, pcap_record, seeded
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, LLC, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP
from test_meter import armed, metered


def tags(rng):
    """No, one or two VLAN tags, as a list of layers."""
    one = Dot1Q(vlan=rng.choice((0, 1, 5, 4095)), prio=rng.randrange(8))
    return rng.choice(([], [], [one], [Dot1AD(vlan=rng.choice((5, 9))), one], [Dot1Q(vlan=5), one]))


def ipv4(rng):
    ip = IP(src=f"10.0.0.{rng.randrange(3)}", dst=f"10.1.{rng.randrange(3)}.1", id=rng.getrandbits(16))
    if rng.random() < 0.2:
        ip.options = [b"\x01" * 4 * rng.randint(1, 10)]
    return ip


def ipv6(rng):
    ip = IPv6(src=f"2001:db8::{rng.randrange(3)}", dst=f"2001:db8:1::{rng.randrange(3):x}", fl=rng.getrandbits(20))
    for extension in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()):
        if rng.random() < 0.2:
            ip = ip / extension
    return ip


def transport(rng):
    sport, dport = rng.choice((0, 53, 40000)), rng.choice((0, 443, 65535))
    return rng.choice((UDP(sport=sport, dport=dport), TCP(sport=sport, dport=dport), SCTP(sport=sport, dport=dport)))


def fragment(rng, ip):
    """A later fragment, whose payload looks like ports."""
    offset = rng.randint(1, 8191)
    if IPv6 in ip:
        return ip / IPv6ExtHdrFragment(offset=offset, m=rng.randrange(2), nh=17) / rng.randbytes(40)
    ip.frag, ip.proto = offset, 17
    return ip / rng.randbytes(40)


def first_fragment(rng, ip):
    if IPv6 in ip:
        return ip / IPv6ExtHdrFragment(offset=0, m=1) / transport(rng) / rng.randbytes(40)
    ip.flags = "MF"
    return ip / transport(rng) / rng.randbytes(40)


def random_frame(rng) -> bytes:
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for tag in tags(rng):
        ether = ether / tag
    kind = rng.randrange(12)
    ip = rng.choice((ipv4, ipv6))(rng)
    if kind < 6:
        packet = ether / ip / transport(rng) / rng.randbytes(rng.choice((0, 18, 700)))
    elif kind == 6:
        packet = ether / ip / (ICMPv6EchoRequest() if IPv6 in ip else ICMP())
    elif kind == 7:
        packet = ether / fragment(rng, ip)
    elif kind == 8:
        packet = ether / first_fragment(rng, ip)
    elif kind == 9:
        packet = ether / ARP()
    elif kind == 10:
        packet = Dot3(dst="01:80:c2:00:00:00", src="02:00:00:00:00:01") / LLC() / rng.randbytes(35)
    else:
        packet = ether / Dot1Q(vlan=77) / Dot1Q(vlan=78) / IP() / UDP()     # more tags than are read, mostly
    whole = bytes(packet).ljust(60, b"\0")      # padded as on a wire
    return whole[:rng.randint(1, len(whole) - 1)] if rng.random() < 0.08 else whole


def as_scapy_sees_it(frame: bytes) -> tuple:
    """The flow of a frame, as a tuple (kind, vlan ids, what else it has)."""
    if len(frame) < 14:
        return "malformed", (), 0
    packet = Ether(frame)
    if isinstance(packet, Dot3):
        return "non-IP", (), 0
    vlans, layer, ether_type = [], packet, packet.type
    while ether_type in (0x8100, 0x88A8) and len(vlans) < 2:
        if not isinstance(layer.payload, (Dot1Q, Dot1AD)) or len(bytes(layer.payload.original)) < 4:
            return "malformed", tuple(vlans), ether_type
        layer = layer.payload
        vlans.append(layer.vlan)
        ether_type = layer.type
    vlans = tuple(vlans)
    malformed = "malformed", vlans, ether_type
    if ether_type not in (0x0800, 0x86DD):
        return "non-IP", vlans, ether_type
    rest = frame[14 + 4 * len(vlans):]
    if ether_type == 0x0800:
        if len(rest) < 20 or len(rest) < (rest[0] & 15) * 4:
            return malformed
        ip = IP(rest)
        ends = (ip.src, ip.dst, ip.proto)
        if ip.frag:
            return "IPv4 fragment", vlans, *ends
        return with_ports(rest[ip.ihl * 4:ip.len], malformed, "IPv4", vlans, ends)
    if len(rest) < 40:
        return malformed
    ip = IPv6(rest[:40])
    after, header = rest[40:40 + ip.plen], ip.nh
    while header in (0, 60, 44):
        length = 8 if header == 44 else (after[1] + 1) * 8 if len(after) > 1 else 8
        if len(after) < length:
            return malformed
        later = header == 44 and IPv6ExtHdrFragment(after).offset > 0
        header, after = after[0], after[length:]
        if later:
            return "IPv6 fragment", vlans, ip.src, ip.dst, header
    return with_ports(after, malformed, "IPv6", vlans, (ip.src, ip.dst, header))


def with_ports(segment: bytes, malformed: tuple, kind: str, vlans: tuple, ends: tuple) -> tuple:
    if ends[2] not in (6, 17, 132):
        return kind, vlans, *ends, None, None
    if len(segment) < 4:
        return malformed
    udp = UDP(segment[:4] + bytes(4))
    return kind, vlans, *ends, udp.sport, udp.dport


Seen = collections.namedtuple("Seen", "packets bytes smallest largest")


def flows_of(frames) -> dict[tuple, Seen]:
    lengths = collections.defaultdict(list)
    for frame in frames:
        lengths[as_scapy_sees_it(frame)].append(len(frame))
    return {flow: Seen(len(n), sum(n), min(n), max(n)) for flow, n in lengths.items()}


def flow_of_row(row) -> tuple:
    if row["ether_type"] is not None:
        assert row["src"] is row["dst"] is row["protocol"] is row["src_port"] is None
        return row["kind"], tuple(row["vlan"]), row["ether_type"]
    ends = row["src"], row["dst"], row["protocol"]
    if row["kind"].endswith("fragment"):
        assert row["src_port"] is row["dst_port"] is None
        return row["kind"], tuple(row["vlan"]), *ends
    return row["kind"], tuple(row["vlan"]), *ends, row["src_port"], row["dst_port"]


def check_flows(reply, frames) -> None:
    want = flows_of(frames)
    rows = reply["flows"]["top"]
    got = {flow_of_row(r): Seen(r["packets"], r["bytes"], r["min_bytes"], r["max_bytes"]) for r in rows}
    assert got == want
    assert len(rows) == len(got) == reply["flows"]["flow_count"]
    for kind, numbers in reply["flows"]["kinds"].items():
        of_kind = [seen for flow, seen in want.items() if flow[0] == kind]
        assert numbers == {"flow_count": len(of_kind), "packets": sum(s.packets for s in of_kind),
                           "bytes": sum(s.bytes for s in of_kind)}


def check_times(reply) -> None:
    for row in reply["flows"]["top"]:
        assert 0 <= reply["first_s"] <= row["first_s"] <= row["last_s"] <= reply["last_s"] <= reply["armed_s"]
        gaps = row["packets"] - 1
        if gaps == 0:
            assert row["mean_gap_ns"] is None and row["first_s"] == row["last_s"]
        else:
            assert row["mean_gap_ns"] * gaps / 1e9 == pytest.approx(row["last_s"] - row["first_s"], abs=1e-8)


def check_totals(reply, frames) -> None:
    """Sizes one by one, and every gap between two frames once."""
    sizes = collections.Counter(map(len, frames))
    assert reply["sizes"]["counts"] == [list(pair) for pair in sorted(sizes.items())]
    assert reply["sizes"]["larger_count"] == 0
    assert (reply["sizes"]["min_bytes"], reply["sizes"]["max_bytes"]) == (min(sizes), max(sizes))
    assert reply["sizes"]["mean_bytes"] == pytest.approx(reply["bytes"] / len(frames))
    gaps = reply["gaps"]
    assert gaps["count"] == len(frames) - 1 == sum(n for _, _, n in gaps["bins"]) + gaps["overflow_count"]
    assert gaps["sum_ns"] / 1e9 == pytest.approx(reply["last_s"] - reply["first_s"], abs=1e-6)
    assert 1 <= reply["burst_max"] <= 64
    assert len(frames) / 64 <= reply["burst_count"] <= len(frames)
    assert sum(n for low, _, n in gaps["bins"] if low == 0) >= len(frames) - reply["burst_count"]
    assert reply["missed"] == {"imissed": 0, "ierrors": 0, "rx_nombuf": 0}
    assert reply["missed_count"] == 0


def test_every_kind_of_frame_is_counted_as_scapy_counts_it(tmp_path):
    rng = seeded()
    frames = [random_frame(rng) for _ in range(4000)]
    reply = metered(tmp_path, frames, flow_table=10000)
    assert reply["meter"] is None, "no epoch: no account of stamped frames"
    assert {flow[0] for flow in flows_of(frames)} == set(reply["flows"]["kinds"]), "not all kinds were made"
    check_flows(reply, frames)
    check_times(reply)
    check_totals(reply, frames)


def test_padding_holds_no_ports(tmp_path):
    """A UDP header that an IPv4 total length leaves no room for is padding, whatever it looks like."""
    ip = bytes(Ether() / IP(len=20, proto=17)) + b"\x12\x34" * 13
    assert [row["kind"] for row in metered(tmp_path, [ip], flow_table=4)["flows"]["top"]] == ["malformed"]


def test_endless_extension_headers(tmp_path):
    """Nine of them: one more than are stepped over, then the protocol is that of the tenth."""
    chain = bytes(IPv6(nh=0)) + bytes([0, 0, 1, 4, 0, 0, 0, 0]) * 30
    frame = bytes(Ether(type=0x86DD)) + chain[:4] + (240).to_bytes(2, "big") + chain[6:]
    row, = metered(tmp_path, [frame], flow_table=4)["flows"]["top"]
    assert (row["kind"], row["protocol"], row["src_port"]) == ("IPv6", 0, None)


@contextmanager
def fed(tmp_path, frames, **arm):
    with armed(tmp_path, **arm) as (meter, feed):
        feed.write(b"".join(map(pcap_record, frames)))
        feed.close()
        assert meter.do("settle", silence_s=0.1)["silent"] is True
        assert meter.do("count")["packets"] == len(frames)
        yield meter


def test_top_by_packets_and_by_bytes(tmp_path):
    """Flow n sends n small frames; the later it comes the fewer, but the more bytes."""
    frames = [bytes(Ether() / IP(src=f"10.0.0.{n}") / UDP() / bytes((40 - n) ** 2)) for n in range(1, 31)
              for _ in range(n)]
    want = flows_of(frames)
    with fed(tmp_path, frames, flow_table=100) as meter:
        for by in ("packets", "bytes"):
            rows = meter.do("read", top=7, by=by)["flows"]["top"]
            largest = sorted(want.items(), key=lambda item: getattr(item[1], by), reverse=True)[:7]
            assert [row[by] for row in rows] == [getattr(seen, by) for _, seen in largest]
        assert meter.do("read", top=0)["flows"]["top"] == []


def test_equal_flows_are_listed_in_the_order_in_which_they_came(tmp_path):
    frames = [bytes(Ether() / IP(src=f"10.0.0.{n}") / UDP()) for n in (7, 3, 200, 5, 1)]
    rows = metered(tmp_path, frames, flow_table=100, top=4)["flows"]["top"]
    assert [row["src"] for row in rows] == ["10.0.0.7", "10.0.0.3", "10.0.0.200", "10.0.0.5"]


def from_csv(row: dict[str, str]) -> dict:
    """A CSV row in the form of a JSON row."""
    def number(text):
        return None if text == "" else float(text) if "." in text else int(text, 0)
    vlans = [number(row[name]) for name in ("outer_vlan", "inner_vlan")]
    out = {"vlan": [v for v in vlans if v is not None], "kind": row["kind"], "src": row["src"] or None,
           "dst": row["dst"] or None}
    return out | {name: number(text) for name, text in row.items() if name not in out and not name.endswith("vlan")}


def test_all_flows_as_csv(tmp_path):
    rng = seeded()
    frames = [random_frame(rng) for _ in range(2500)]
    with fed(tmp_path, frames, flow_table=10000) as meter:
        reply = meter.do("read", top=1 << 20, flows_file=str(tmp_path / "flows.csv"))
        text = (tmp_path / "flows.csv").read_bytes()
        assert text.count(b"\r\n") == text.count(b"\n") == 1 + reply["flows"]["flow_count"]
        rows = [from_csv(row) for row in csv.DictReader(text.decode().splitlines())]
        assert [row["first_s"] for row in rows] == sorted(row["first_s"] for row in rows)
        by_flow = {flow_of_row(row): row for row in rows}
        assert len(by_flow) == len(rows) == reply["flows"]["flow_count"]
        for row in reply["flows"]["top"]:
            other = by_flow[flow_of_row(row)]
            assert row.keys() == other.keys()
            assert all(other[k] == (pytest.approx(v, abs=0.06) if isinstance(v, float) else v) for k, v in row.items())


def test_a_flows_file_that_cannot_be_written(tmp_path):
    with fed(tmp_path, [bytes(Ether() / IP() / UDP())] * 10, flow_table=10) as meter:
        assert "No such file or directory" in meter.refused("read", flows_file=str(tmp_path / "no" / "flows.csv"))
        assert "No space left" in meter.refused("read", flows_file="/dev/full")
        assert os.path.exists("/dev/full")
        assert meter.do("read")["packets"] == 10, "and it goes on"


def test_many_flows_are_copied_while_counting_goes_on(tmp_path):
    """More flows than one step of copying takes, read again and again while frames come in."""
    base = bytes(Ether() / IPv6(src="2001:db8::", dst="2001:db8:1::1") / UDP())
    frames = [base[:34] + (i * 7919 % 30011).to_bytes(4, "big") + base[38:] for i in range(60022)]
    reads = []
    with armed(tmp_path, flow_table=1 << 16) as (meter, feed):
        feed.write(b"".join(map(pcap_record, frames)))
        feed.close()
        deadline = time.monotonic() + 20
        while not (reads and reads[-1]["packets"] == len(frames)) and time.monotonic() < deadline:
            reads.append(meter.do("read", top=1 << 20))
    sums = [sum(row["packets"] for row in reply["flows"]["top"]) for reply in reads]
    assert all(reply["flows"]["kinds"]["IPv6"]["packets"] == n for reply, n in zip(reads, sums))
    assert sums == sorted(sums)
    assert reads[-1]["flows"]["flow_count"] == 30011
    assert all(row["packets"] == 2 for row in reads[-1]["flows"]["top"])


# a kernel interface, through libpcap


CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def veth():
    """A pair of interfaces, in a network namespace of their own that goes away with the test."""
    libc = ctypes.CDLL(None, use_errno=True)
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` command (package iproute2)")
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}")
        try:
            ip("link", "add", "ours", "type", "veth", "peer", "name", "theirs")
            for name in ("ours", "theirs"):
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")  # else: router solicitations
                ip("link", "set", name, "up")
            yield "ours", "theirs"
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


def wait_for_packets(meter, count) -> None:
    deadline = time.monotonic() + 20
    while meter.do("count")["packets"] < count and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_kernel_interface(veth):
    ours, theirs = veth
    rng = seeded()
    frames = [f for f in (random_frame(rng) for _ in range(1200)) if len(f) >= 24]     # shorter ones do not all pass
    with Program("meter", vdevs=[f"net_pcap0,rx_iface_in={theirs}"]) as meter, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((ours, 0))
        meter.do("arm", flow_table=10000)
        for frame in frames:
            wire.send(frame)
        wait_for_packets(meter, len(frames))
        reply = meter.do("read", top=1 << 20)
        meter.end()
    check_flows(reply, frames)
    check_totals(reply, frames)


def test_what_comes_after_the_series_is_counted(veth):
    """There are 4096 intervals: here of 1 ms."""
    ours, theirs = veth
    frame = bytes(Ether() / ARP())
    with Program("meter", vdevs=[f"net_pcap0,rx_iface_in={theirs}"]) as meter, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((ours, 0))
        meter.do("arm", interval_s=0.001)
        wire.send(frame)
        wait_for_packets(meter, 1)
        deadline = time.monotonic() + 20
        while meter.do("read")["armed_s"] < 4.2 and time.monotonic() < deadline:
            time.sleep(0.1)
        for _ in range(5):
            wire.send(frame)
        wait_for_packets(meter, 6)
        reply = meter.do("read")
        meter.end()
    assert len(reply["series"]) == 4096 and [n for n in reply["series"] if n[0]] == [[1, len(frame)]]
    assert reply["series_beyond"] == [5, 5 * len(frame)]


def test_what_the_kernel_drops_is_missed(veth):
    """The worker is kept from its port while more comes than libpcap's 2 MiB hold; then every frame is either
    counted or missed."""
    ours, theirs = veth
    frame = bytes(Ether() / IP() / UDP() / bytes(1400))
    sent = 4000
    with Program("meter", vdevs=[f"net_pcap0,rx_iface_in={theirs}"]) as meter, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((ours, 0))
        meter.do("arm", flow_table=10)
        meter.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(sent):
                wire.send(frame)
        finally:
            meter.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        reply = meter.do("read")
        while reply["packets"] + reply["missed_count"] < sent and time.monotonic() < deadline:
            time.sleep(0.05)
            reply = meter.do("read")
        meter.end()
    print(json.dumps(reply["missed"]))
    assert reply["missed"]["imissed"] > 0
    assert reply["packets"] + reply["missed"]["imissed"] == sent
    assert reply["flows"]["top"][0]["packets"] == reply["packets"]
