# SPDX-License-Identifier: BSD-3-Clause
"""nf delay: what comes late, in order, and what is not taken. Between pcap files (exact frames, no clock), and over
vhost-user with pktgen as the clock. Neither needs hugepages or root.
"""

import subprocess
import time
from contextlib import ExitStack

import pytest
from coretest import END_S, Program, command, environment, read_pcap, seeded, trial, write_pcap

WAIT_S = 20.0
LATE_NS = 200_000       # a test machine is busy, but the smallest of thousands of latencies is near the truth


def until(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def conserved(side):
    return side["rx_count"] == (side["tx_count"] + side["nf_dropped_count"] + side["tx_full_count"]
                                + side["held_count"])


def pcap_ports(tmp_path, *inputs):
    return [f"net_pcap{i},rx_pcap={write_pcap(tmp_path / f'in{i}.pcap', frames)},tx_pcap={tmp_path}/out{i}.pcap"
            for i, frames in enumerate(inputs)]


def numbered(rng, count):
    return [i.to_bytes(4, "big") + rng.randbytes(56) for i in range(count)]


@pytest.mark.parametrize("idle", ("busy", "yield", "sleep"))
def test_all_is_held_then_all_leaves_in_order_and_directions_are_not_mixed(tmp_path, idle):
    rng = seeded()
    left, right = numbered(rng, 1500), numbered(rng, 700)
    with Program("vnf", "--nf", "delay:800ms", vdevs=pcap_ports(tmp_path, left, right), idle=idle) as vnf:
        assert vnf.ready["nf"] == "delay"
        seen = []

        def gone():
            seen.append(vnf.do("stats")["sides"])
            return [side["tx_count"] for side in seen[-1]] == [1500, 700]

        until(gone, "all frames out")
        vnf.end()
    assert any([side["held_count"] for side in sides] == [1500, 700] for sides in seen), "some left early"
    assert all(conserved(side) for sides in seen for side in sides)
    assert read_pcap(tmp_path / "out1.pcap") == left
    assert read_pcap(tmp_path / "out0.pcap") == right


def test_what_does_not_fit_is_counted_and_the_first_ones_are_kept(tmp_path):
    frames = numbered(seeded(), 300)
    with Program("vnf", "--nf", "delay:500ms,100", vdevs=pcap_ports(tmp_path, frames)) as vnf:
        until(lambda: vnf.do("stats")["sides"][0]["tx_count"] == 100, "100 frames out")
        side = vnf.do("stats")["sides"][0]
        vnf.end()
    assert side["nf_dropped_count"] == 200 and side["held_count"] == 0 and conserved(side)
    assert read_pcap(tmp_path / "out0.pcap") == frames[:100]


def test_end_of_input_ends_it_with_packets_held(tmp_path):
    with Program("vnf", "--nf", "delay:10000ms", vdevs=pcap_ports(tmp_path, numbered(seeded(), 500))) as vnf:
        until(lambda: vnf.do("stats")["sides"][0]["held_count"] == 500, "500 frames held")
        vnf.end()
    assert read_pcap(tmp_path / "out0.pcap") == []


@pytest.mark.parametrize("argument", ("", ":10", ":us", ":0us", ":10s", ":10us,", ":10us,0", ":10us,5x", ":10001ms", ":nanms"))
def test_arguments_that_cannot_be(argument):
    argv = command("vnf", vdevs=["net_null0"], own=["--nf", f"delay{argument}"])
    done = subprocess.run(argv, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=WAIT_S + END_S)
    assert done.returncode == 2
    assert "delay: '" in done.stderr and "e.g. delay:10us" in done.stderr


def over_vhost_user(stack, tmp_path, *nf, own=()):
    """pktgen and vnf, joined by two ports; both take the options `own`."""
    ends = [str(tmp_path / f"s{i}") for i in range(2)]
    servers = [f"net_virtio_user{i},path={path},server=1,queues=1,queue_size=256,mac=02:00:00:00:00:0{i}"
               for i, path in enumerate(ends)]
    clients = [f"net_vhost{i},iface={path},client=1,queues=1" for i, path in enumerate(ends)]
    pktgen = Program("pktgen", *own, vdevs=servers, idle="yield")
    stack.push(pktgen)
    vnf = stack.enter_context(Program("vnf", *nf, *own, vdevs=clients, idle="yield"))
    pktgen.reply(WAIT_S)        # ready, since vnf has connected
    until(lambda: all(port["link_up"] for port in pktgen.do("ports")["ports"]), "links up")
    return pktgen, vnf


@pytest.mark.parametrize("frame_bytes", (1519, 9018, 9216))
def test_the_largest_frames_get_through_vhost_user(tmp_path, frame_bytes):
    """DPDK's virtio driver wants more room in a buffer than the frame takes, which other ports do not."""
    with ExitStack() as stack:
        pktgen, _ = over_vhost_user(stack, tmp_path, own=("--frame-max", str(frame_bytes)))
        [stream] = trial(pktgen, {"tx": 0, "rx": 1, "rate_pps": 1000, "frame_bytes": frame_bytes}, duration_s=0.05,
                         drain_s=0.05)["streams"]
    assert stream["meter"]["received_count"] == stream["sent_count"] > 0


@pytest.mark.parametrize("argument, delay_ns", (("700us", 700_000), ("0.5ms", 500_000), ("3ms", 3_000_000),
                                                ("20000ns", 20_000)))
def test_no_packet_is_early_and_the_quickest_is_in_time(tmp_path, argument, delay_ns):
    with ExitStack() as stack:
        pktgen, vnf = over_vhost_user(stack, tmp_path, "--nf", f"delay:{argument}")
        reply = trial(pktgen, {"tx": 0, "rx": 1, "rate_pps": 20000}, {"tx": 1, "rx": 0, "rate_pps": 5000},
                      duration_s=0.3, drain_s=0.05)
        sides = vnf.do("stats")["sides"]
    for stream, side in zip(reply["streams"], sides):
        meter = stream["meter"]
        assert delay_ns <= meter["latency"]["min_ns"] <= delay_ns + LATE_NS
        assert meter["reordered_count"] == meter["duplicate_count"] == meter["foreign_count"] == 0
        assert side["rx_count"] == stream["sent_count"] and side["held_count"] == 0 and conserved(side)
        assert meter["received_count"] == side["tx_count"] >= 0.5 * stream["sent_count"]
