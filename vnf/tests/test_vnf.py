# SPDX-License-Identifier: BSD-3-Clause
"""vnf between pcap files: what goes in, what comes out, and its counters."""

import time
from contextlib import ExitStack

import pytest
from coretest import Program, seeded, trial, write_pcap
from nftest import WAIT_S, forward
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether


def frames_of_all_sizes(rng):
    """Runts of 14 to 60 bytes, and a sample of the rest, in random order."""
    sizes = [*range(14, 61), *range(61, 1515, 7), 1514]
    rng.shuffle(sizes)
    return [rng.randbytes(size) for size in sizes]


def swapped(frame):
    return frame[6:12] + frame[:6] + frame[12:]


def check_counters(stats, *received):
    assert [side["rx_port"] for side in stats["sides"]] == list(range(len(received)))
    assert [side["rx_count"] for side in stats["sides"]] == list(received)
    for side in stats["sides"]:
        assert side["rx_count"] == side["tx_count"] + side["nf_dropped_count"] + side["tx_full_count"]
    assert stats["rx_count"] == sum(received)
    assert stats["busy_cycles"] > 0


@pytest.mark.parametrize("nf, expected", (("io", lambda frame: frame), ("macswap", swapped)))
def test_ports_are_crossed(tmp_path, nf, expected):
    rng = seeded()
    left, right = frames_of_all_sizes(rng), frames_of_all_sizes(rng)[:100]
    (out0, out1), stats = forward(tmp_path, nf, left, right)
    assert out1 == [expected(f) for f in left]
    assert out0 == [expected(f) for f in right]
    check_counters(stats, len(left), len(right))


@pytest.mark.parametrize("nf, expected", (("io", lambda frame: frame), ("macswap", swapped)))
def test_a_single_port_answers_itself(tmp_path, nf, expected):
    frames = frames_of_all_sizes(seeded())
    (out,), stats = forward(tmp_path, nf, frames)
    assert out == [expected(f) for f in frames]
    check_counters(stats, len(frames))


def test_a_reflector_answers_at_every_port(tmp_path):
    rng = seeded()
    inputs = [frames_of_all_sizes(rng)[:n] for n in (150, 0, 90)]
    outputs, stats = forward(tmp_path, "reflector", *inputs)
    assert outputs == [[swapped(f) for f in frames] for frames in inputs]
    check_counters(stats, *map(len, inputs))


def test_an_odd_last_port_answers_itself(tmp_path):
    rng = seeded()
    a, b, c = ([rng.randbytes(100) for _ in range(n)] for n in (70, 31, 45))
    (out0, out1, out2), stats = forward(tmp_path, "io", a, b, c)
    assert (out0, out1, out2) == (b, a, c)
    check_counters(stats, 70, 31, 45)


def test_macswap_exchanges_the_addresses_and_nothing_else(tmp_path):
    sent = [Ether(src=f"02:00:00:00:00:{i:02x}", dst=f"06:00:00:00:00:{i:02x}") / IP(src="10.0.0.1", dst="10.0.0.2") /
            (UDP(sport=i) if i % 2 else TCP(sport=i)) / (b"x" * i) for i in range(200)]
    (out,), _ = forward(tmp_path, "macswap", [bytes(p) for p in sent])
    for before, raw in zip(sent, out, strict=True):
        after = Ether(raw)
        assert (after.src, after.dst) == (before.dst, before.src)
        assert bytes(after.payload) == bytes(before.payload)


@pytest.mark.parametrize("nf, expected", (("io", lambda frame: frame), ("macswap", swapped)))
def test_frames_without_a_whole_header(tmp_path, nf, expected):
    """Less than an Ethernet header is no address to exchange."""
    rng = seeded()
    frames = [rng.randbytes(1 + i % 20) for i in range(400)]
    (out,), stats = forward(tmp_path, nf, frames)
    assert out == [expected(f) if len(f) >= 14 else f for f in frames]
    check_counters(stats, len(frames))


def test_frames_of_several_buffers(tmp_path):
    frames = [seeded().randbytes(size) for size in (1514, 2048, 2049, 4000, 9000)]
    (out,), stats = forward(tmp_path, "macswap", frames)
    assert out == [swapped(f) for f in frames]
    check_counters(stats, len(frames))


def test_many_frames(tmp_path):
    """More than there are buffers: all are given back."""
    rng = seeded()
    frames = [i.to_bytes(4, "big") + rng.randbytes(56) for i in range(30000)]
    (out,), stats = forward(tmp_path, "io", frames)
    assert out == frames
    check_counters(stats, len(frames))


def test_io_is_the_default(tmp_path):
    source = write_pcap(tmp_path / "in.pcap", [bytes(60)])
    with Program("vnf", vdevs=[f"net_pcap0,rx_pcap={source},tx_pcap={tmp_path}/out.pcap"]) as vnf:
        assert vnf.ready["nf"] == "io"
        assert vnf.refused("stats", colour="red")
        vnf.end()


def test_waiting_for_interrupts_takes_hardly_any_time_and_loses_nothing(tmp_path):
    sockets = [str(tmp_path / f"s{i}") for i in range(2)]
    servers = [f"net_virtio_user{i},path={path},server=1,queues=1,queue_size=256,mac=02:00:00:00:00:0{i}"
               for i, path in enumerate(sockets)]
    clients = [f"net_vhost{i},iface={path},client=1,queues=1" for i, path in enumerate(sockets)]
    with ExitStack() as stack:
        vnf = Program("vnf", vdevs=servers, idle="interrupt")
        stack.push(vnf)
        pktgen = stack.enter_context(Program("pktgen", vdevs=clients, idle="sleep"))
        assert vnf.reply(WAIT_S)["idle"] == "interrupt"
        deadline = time.monotonic() + WAIT_S
        while not all(port["link_up"] for port in pktgen.do("ports")["ports"]):
            assert time.monotonic() < deadline, "links up"
            time.sleep(0.005)
        before = vnf.do("stats")
        reply = trial(pktgen, {"tx": 0, "rx": 1, "rate_pps": 200}, duration_s=0.5, drain_s=0.1)
        after = vnf.do("stats")
    assert after["sides"][0]["tx_count"] == reply["streams"][0]["sent_count"] > 50
    assert after["cpu_ns"] - before["cpu_ns"] < 0.5 * (after["time_ns"] - before["time_ns"])
