# SPDX-License-Identifier: BSD-3-Clause
"""bare: what it says it sent is what went out, whole and valid; bad requests."""

import pytest
from coretest import Program, read_pcap
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

RINGS = ("net_ring0", "net_ring1")
LOOPED = [{"tx": 0, "rx": 0}, {"tx": 1, "rx": 1}]


def test_rings_give_back_all_that_was_sent():
    with Program("bare", vdevs=RINGS) as bare:
        for _ in range(3):      # a run leaves at most a ring's content to the next one
            reply = bare.do("run", duration_s=0.05, streams=LOOPED)
            assert [(s["tx"], s["rx"]) for s in reply["streams"]] == [(0, 0), (1, 1)]
            assert all(s["sent_count"] > 1000 and abs(s["sent_count"] - s["received_count"]) <= 1024
                       for s in reply["streams"])
            assert 0.05 <= reply["span_s"] < 1
        bare.end()


def test_a_port_that_takes_nothing_back_gives_nothing():
    with Program("bare", vdevs=("net_null0,no-rx=1", "net_null1,no-rx=1")) as bare:
        reply = bare.do("run", duration_s=0.02, streams=[{"tx": 0, "rx": 1}])
        assert reply["streams"][0]["received_count"] == 0 < reply["streams"][0]["sent_count"]
        bare.end()


@pytest.mark.parametrize("frame_bytes", (64, 65, 1518))
def test_frames_are_valid_and_as_many_as_it_says(tmp_path, frame_bytes):
    with Program("bare", vdevs=[f"net_pcap0,tx_pcap={tmp_path}/out.pcap"]) as bare:
        reply = bare.do("run", duration_s=0.002, frame_bytes=frame_bytes, streams=[{"tx": 0, "rx": 0}])
        bare.end()
    frames = read_pcap(tmp_path / "out.pcap")
    assert len(frames) == reply["streams"][0]["sent_count"] > 0
    assert len(set(frames)) == 1 and len(frames[0]) == frame_bytes - 4
    packet = Ether(frames[0])
    again = packet.copy()
    del again[IP].chksum, again[IP].len, again[UDP].len
    assert Ether(bytes(again))[IP].chksum == packet[IP].chksum
    assert (packet[IP].len, packet[UDP].len) == (frame_bytes - 18, frame_bytes - 38)
    assert packet[UDP].chksum == 0      # none (RFC 768)


@pytest.mark.parametrize("bad", ({"duration_s": 0}, {"duration_s": 3601}, {"duration_s": "long"}, {"frame_bytes": 63},
                                 {"frame_bytes": 1519}, {"streams": []}, {"streams": {}}, {"streams": [{}]}, {"speed": 1},
                                 {"streams": [{"tx": 0, "rx": 2}]}, {"streams": [{"tx": -1, "rx": 0}]},
                                 {"streams": LOOPED * 9}))
def test_bad_requests_are_refused_and_it_goes_on(bad):
    with Program("bare", vdevs=RINGS) as bare:
        bare.refused("run", **{"duration_s": 0.01, "streams": LOOPED} | bad)
        bare.do("run", duration_s=0.01, streams=LOOPED)
        bare.end()
