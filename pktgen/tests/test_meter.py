# SPDX-License-Identifier: BSD-3-Clause
"""meter, fed with made-up traffic.

Its port reads a pcap "file" that is a FIFO, so that traffic comes when the test wants: after arm.  net_pcap waits in
read() until it has a full burst or the file ends; a burst of fillers lets the worker come round to what it is asked.
"""

import collections
import os
import time
from contextlib import contextmanager

import pytest
from coretest import PCAP_HEADER, Ledger, Program, Stamp, pcap_record, seeded, stamped
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from test_pcap import hostile, mangle

BURST = 64
FILLER = pcap_record(b"\x02" * 12 + b"\x88\xb5" + bytes(46))
SEND_S = 20.0
ATTEMPTS = 5


class Feed:
    """The writing end of the FIFO."""

    def __init__(self, path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)     # does not wait for the reader
        self.write(PCAP_HEADER)

    def write(self, data: bytes) -> None:
        deadline = time.monotonic() + SEND_S
        while data:
            try:
                data = data[os.write(self._fd, data):]
            except BlockingIOError:
                assert time.monotonic() < deadline, "the meter does not read"
                time.sleep(0.002)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def answered(meter, feed, number) -> bool:
    """Lets the worker come round until "arm" is done, which it is in two calls.  Fillers do not count before."""
    time.sleep(0.05)    # until the first call is posted
    for _ in range(2):
        feed.write(FILLER * BURST)
        try:
            reply = meter.reply(0.3)
        except TimeoutError:
            continue    # the worker went back to its port before the second call was posted
        assert reply == {"id": number, "ok": True}
        return True
    return False        # a first call posted so late that further fillers might count: start again


@contextmanager
def armed(tmp_path, **arm):
    """A meter and its feed, armed before the first frame that counts."""
    for attempt in range(ATTEMPTS):
        path = tmp_path / f"feed{attempt}"
        feed = Feed(path)
        try:
            with Program("meter", vdevs=[f"net_pcap0,rx_pcap={path}"]) as meter:
                number = meter.post("arm", **arm)
                if not answered(meter, feed, number):
                    continue
                yield meter, feed
                feed.close()
                meter.end()
                return
        finally:
            feed.close()
    pytest.fail("the meter does not arm")


def metered(tmp_path, frames, top=1 << 20, **arm):
    """What a meter reads of frames (bytes) or whole records (tuples of frame and length on the wire)."""
    data = b"".join(pcap_record(*f) if isinstance(f, tuple) else pcap_record(f) for f in frames)
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with armed(folder, **arm) as (meter, feed):
            feed.write(data)
            feed.close()
            deadline = time.monotonic() + SEND_S
            while meter.do("count")["packets"] < len(frames) and time.monotonic() < deadline:
                time.sleep(0.01)
            reply = meter.do("read", top=top)
        if reply["packets"] != len(frames) + BURST:     # a busy machine: the second burst of fillers came after "arm"
            break
    assert reply["packets"] == len(frames)
    assert reply["bytes"] == sum(len(f[0] if isinstance(f, tuple) else f) for f in frames)
    assert [sum(column) for column in zip(*reply["series"])] == [reply["packets"], reply["bytes"]]
    return reply


@pytest.mark.parametrize("stream, flows", ((0, 1), (3, 50), (254, 5000)))
def test_loss_duplication_and_reordering_are_counted_exactly(tmp_path, stream, flows):
    rng = seeded()
    frames = mangle(rng, flows, 4000, epoch=300, stream=stream)
    ledger = Ledger(epoch=300, stream=stream, flows=flows)
    for frame in frames:
        ledger.add(frame)
    reply = metered(tmp_path, frames, epoch=300, stream=stream, flows=flows)
    ledger.check(reply["meter"])
    assert "flows" not in reply
    assert reply["missed_count"] == 0


def test_hostile_frames_are_never_ours(tmp_path):
    rng = seeded()
    frames = [hostile(rng, 5, 1, 8) for _ in range(3000)]
    ledger = Ledger(epoch=5, stream=1, flows=8)
    for frame in frames:
        ledger.add(frame)
    assert ledger.received == 0 and ledger.foreign > 0 and ledger.stale > 0
    ledger.check(metered(tmp_path, frames, epoch=5, stream=1, flows=8, flow_table=64)["meter"])


NON_IP_ARP = "non-IP", 0x0806
MALFORMED = "malformed", 0
MALFORMED_IPV4 = "malformed", 0x0800


def key(src, dst, protocol, sport=None, dport=None):
    return src, dst, protocol, sport, dport


def random_frame(rng, hosts=6, ports=4):
    """Bytes, and the flow they are of: known from how they were made."""
    src, dst = f"10.0.0.{rng.randrange(hosts)}", f"192.168.255.{rng.randrange(hosts)}"
    sport, dport = rng.choice((0, 1, 80, 65535)[:ports]), rng.choice((0, 53, 443, 65535)[:ports])
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    ip = IP(src=src, dst=dst, ttl=rng.randint(0, 255), tos=rng.randint(0, 255), id=rng.getrandbits(16))
    payload = rng.randbytes(rng.choice((0, 1, 18, 100, 1000)))
    udp, tcp = UDP(sport=sport, dport=dport), TCP(sport=sport, dport=dport)
    kind = rng.randrange(16)
    if kind < 4:
        return bytes(ether / ip / udp / payload), key(src, dst, 17, sport, dport)
    if kind < 7:
        return bytes(ether / ip / tcp / payload), key(src, dst, 6, sport, dport)
    if kind == 7:
        return bytes(ether / ip / ICMP() / payload), key(src, dst, 1)
    if kind == 8:       # options before the ports
        ip.options = [b"\x01" * 4 * rng.randint(1, 10)]
        return bytes(ether / ip / udp / payload), key(src, dst, 17, sport, dport)
    if kind == 9:       # the first fragment has ports, the others payload in their place
        ip.flags = "MF"
        return bytes(ether / ip / udp / payload), key(src, dst, 17, sport, dport)
    if kind == 10:
        ip.frag = rng.randint(1, 8191)
        ip.flags = rng.choice((0, "MF"))
        ip.proto = rng.choice((6, 17))
        return bytes(ether / ip / rng.randbytes(40)), ("fragment", *key(src, dst, ip.proto))
    if kind == 11:
        return bytes(ether / IPv6() / udp / payload), key("::1", "::1", 17, sport, dport)
    if kind == 12:
        if rng.random() < 0.5:
            return bytes(ether / ARP() / payload), NON_IP_ARP
        return bytes(ether / Dot1Q(vlan=7) / ip / udp / payload), (7, *key(src, dst, 17, sport, dport))
    if kind == 13:      # cut off before the ports are complete
        return bytes(ether / ip / udp)[:rng.randint(34, 37)], MALFORMED_IPV4
    if kind == 14:      # cut off inside the Ethernet or IPv4 header
        length = rng.randint(1, 33)
        return bytes(ether / ip / udp)[:length], MALFORMED_IPV4 if length >= 14 else MALFORMED
    # says IPv4 and is not: another version, or a header shorter than a header is
    ip.version, ip.ihl = rng.choice(((6, 5), (0, 0), (4, 4), (4, 0), (15, 15)))
    return bytes(ether / ip / udp / payload), MALFORMED_IPV4


def table(reply):
    """The flow table of a reply as {flow: (packets, bytes)}."""
    rows = {}
    for row in reply["flows"]["top"]:
        if row["kind"] in ("non-IP", "malformed"):
            flow = row["kind"], row["ether_type"]
        else:
            mark = ("fragment",) if row["kind"].endswith(" fragment") else ()
            flow = *mark, *row["vlan"], *key(row["src"], row["dst"], row["protocol"], row["src_port"], row["dst_port"])
        assert flow not in rows, "one flow in two rows"
        rows[flow] = row["packets"], row["bytes"]
    return rows


def tally(made):
    """The same from how the frames were made."""
    packets, bytes_ = collections.Counter(), collections.Counter()
    for frame, flow in made:
        packets[flow] += 1
        bytes_[flow] += len(frame)
    return {flow: (packets[flow], bytes_[flow]) for flow in packets}


def test_flows_are_counted_exactly(tmp_path):
    rng = seeded()
    made = [random_frame(rng) for _ in range(3000)]
    want = tally(made)
    reply = metered(tmp_path, [frame for frame, _ in made], epoch=1, flow_table=100000)
    assert table(reply) == want
    assert reply["flows"]["flow_count"] == len(want)
    assert reply["flows"]["no_room_count"] == 0
    counts = [row["packets"] for row in reply["flows"]["top"]]
    assert counts == sorted(counts, reverse=True)
    assert reply["meter"]["received_count"] == 0


@pytest.mark.parametrize("capacity", (1, 10, 64, 65))
def test_what_finds_no_room_is_counted(tmp_path, capacity):
    """The flows that came first have the room, and their counts stay exact."""
    rng = seeded()
    made = [random_frame(rng) for _ in range(1500)]
    have_room = list(dict.fromkeys(flow for _, flow in made))[:capacity]
    reply = metered(tmp_path, [frame for frame, _ in made], epoch=1, flow_table=capacity)
    assert table(reply) == {flow: n for flow, n in tally(made).items() if flow in have_room}
    assert reply["flows"]["no_room_count"] == sum(flow not in have_room for _, flow in made)


def test_many_flows_and_few_asked_for(tmp_path):
    """More flows than a bucket or a cache line would hide; only the largest are listed."""
    frames = []
    for i in range(20000):
        base = bytes(Ether(src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.1.1.1") / UDP()) if i == 0 else base
        frames.append(base[:26] + (0x0A000000 + i % 10007).to_bytes(4, "big") + base[30:])
    reply = metered(tmp_path, frames, top=3, epoch=1, flow_table=20000)
    assert reply["flows"]["flow_count"] == 10007
    assert [row["packets"] for row in reply["flows"]["top"]] == [2, 2, 2]


def test_captures_that_cut_frames_off(tmp_path):
    """The account is of the bytes that are there."""
    rng = seeded()
    whole = stamped(Stamp(1, 0, 0, 0), 1518)
    lengths = [rng.randint(1, 1514) for _ in range(500)]
    records = [(stamped(Stamp(1, 0, 0, i), 1518)[:length], len(whole)) for i, length in enumerate(lengths)]
    reply = metered(tmp_path, records, epoch=1, flow_table=4)
    assert reply["meter"]["received_count"] == sum(length >= 60 for length in lengths)
    assert reply["meter"]["foreign_count"] == sum(length < 60 for length in lengths)


def test_random_bytes_do_no_harm(tmp_path):
    rng = seeded()
    frames = []
    for _ in range(5000):
        frame = bytearray(rng.randbytes(rng.randint(1, 200)))
        if rng.random() < 0.7:
            frame[12:14] = b"\x08\x00"
        if rng.random() < 0.5:
            frame[14:15] = bytes([0x40 | rng.getrandbits(4)])
        if rng.random() < 0.3:
            frame[42:46] = b"\x57\x56\x01\x00"
        frames.append(bytes(frame))
    reply = metered(tmp_path, frames, epoch=1, flows=1 << 16, flow_table=100000)
    assert sum(row["packets"] for row in reply["flows"]["top"]) == len(frames)
    assert sum(row["bytes"] for row in reply["flows"]["top"]) == sum(map(len, frames))
    account = reply["meter"]
    assert account["received_count"] + account["duplicate_count"] + account["stale_count"] + \
        account["foreign_count"] + account["learning_count"] == len(frames)


def test_settle_waits_for_silence(tmp_path):
    with armed(tmp_path, epoch=1) as (meter, feed):
        feed.write(b"".join(pcap_record(stamped(Stamp(1, 0, 0, i))) for i in range(100)))
        feed.close()
        start = time.monotonic()
        assert meter.do("settle", silence_s=0.1)["silent"] is True
        assert time.monotonic() - start >= 0.1
        assert meter.do("count")["received_count"] == 100


def test_arming_again_forgets_all(tmp_path):
    with armed(tmp_path, epoch=1, flow_table=16) as (meter, feed):
        feed.write(b"".join(pcap_record(stamped(Stamp(1, 0, 0, i))) for i in range(10)))
        feed.close()
        assert meter.do("settle", silence_s=0.1)["silent"] is True
        assert meter.do("count")["received_count"] == 10
        for flow_table in (16, 0, 100, 16):
            meter.do("arm", epoch=2, flow_table=flow_table)
            reply = meter.do("read")
            assert reply["packets"] == reply["bytes"] == reply["meter"]["received_count"] == 0
            assert ("flows" in reply) == (flow_table > 0)
            assert flow_table == 0 or reply["flows"]["flow_count"] == 0
