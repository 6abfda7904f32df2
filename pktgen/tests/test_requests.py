# SPDX-License-Identifier: BSD-3-Clause
"""Requests to pktgen as somebody might write them: every key with every value that it must not have, alone and by
chance among others; what may be asked for is done.  Whatever comes, there is one reply, and the next request works.
"""

import json
from typing import Any

import pytest
from coretest import Program, check_latency, seeded, trial_that_sent

HUGE = (1 << 32, (1 << 32) + 1, 1 << 62, -1, -(1 << 62))
NO_NUMBER = ("1", None, True, [], [1], {})
NO_TEXT = (1, None, True, [], {}, 1.5)
NO_BOOLEAN = (0, 1, "true", None, [])
NO_ADDRESS = ("", "1", "x" * 300, "10.0.0", "10.0.0.256", "::1%lo", "2001:db8::g", "10.0.0.1 ")

# of each key what must be refused
BAD_STREAM: dict[str, tuple] = {
    "tx": (2, 65536, 0.0, *HUGE, *NO_NUMBER),
    "rx": (2, 65536, 1.0, *HUGE, "1", True, [], {}),
    "rate_pps": (-1, 1.1e9, 1e300, -0.001, *NO_NUMBER),
    "shape": ("", "Constant", "saturate", "list", *NO_TEXT),
    "burst_frames": (0, 1000001, 1.5, *HUGE, *NO_NUMBER),
    "burst_pps": (-1, 1.1e9, 999, *NO_NUMBER),
    "ramp_from_pps": (-1, 1.1e9, *NO_NUMBER),
    "catch_up_s": (-1, 86401, 1e300, *NO_NUMBER),
    "seed": (1.5, 1e3, *NO_NUMBER),
    "frame_bytes": (63, 1519, 0, 64.0, "64", None, True, {}, [], [63], [64, 1519], [64, None], [[64]], [64] * 1025,
                    (1 << 16) + 64, (1 << 32) + 64, -64),
    "flows": (0, (1 << 24) + 1, 1.0, *HUGE, *NO_NUMBER),
    "flow_order": ("", "Zipf", "sequential", *NO_TEXT),
    "zipf_exponent": (-0.1, 10.1, 1e300, *NO_NUMBER),
    "flow_fields": ([], ["colour"], [""], [1], [None], ["src_port", "src_port"], ["src_port"] * 10, "src_port", 1, {},
                    None, ["vni"], ["teid"], ["vlan"], ["src_ip", "x" * 300]),
    "vlan": ([0], [4095], [1, 2, 3], [1.0], ["1"], [None], [True], 1, "1", {}, None, [(1 << 16) + 1], [(1 << 32) + 1]),
    "ip": (0, 5, 46, 4.0, *HUGE, *NO_NUMBER),
    "l4": ("", "UDP", "sctp", *NO_TEXT),
    "udp_checksum": NO_BOOLEAN,
    "tunnel": ("", "gre", "VXLAN", *NO_TEXT),
    "src_mac": ("", "02", "02:00:00:00:00", "02:00:00:00:00:00:00", "02:00:00:00:00:0g", "x" * 300, *NO_TEXT),
    "dst_mac": ("", "zz:00:00:00:00:00", *NO_TEXT),
    "src_ip": (*NO_ADDRESS, "::1", *NO_TEXT),
    "dst_ip": (*NO_ADDRESS, "::1", *NO_TEXT),
    "src_port": (65536, 1.0, *HUGE, *NO_NUMBER),
    "dst_port": (65536, 1.0, *HUGE, *NO_NUMBER),
    "replay": ("x.pcap", 1, True, [], {}, {"file": ""}, {"file": 1}, {"file": "/none.pcap"}, {"file": "x" * 5000},
               {"file": "/none.pcap", "colour": 1}, {"file": "/none.pcap", "timing": "now"},
               {"file": "/none.pcap", "speed": 0}, {"file": "/none.pcap", "speed": 1e7},
               {"file": "/none.pcap", "loop": 1}),
    "colour": ("red",),
    "tx ": (0,),
    "": (0,),
}
BAD_TRIAL: dict[str, tuple] = {
    "epoch": (65536, 1.5, *HUGE, *NO_NUMBER),
    "duration_s": (0, -1, 86401, 1e300, *NO_NUMBER),
    "drain_s": (-0.1, 3, *NO_NUMBER),
    "drain_max_s": (-1, 21, 0.001, *NO_NUMBER),
    "interval_s": (-1, 0.0009, 3601, 1e-300, 1e300, *NO_NUMBER),
    "gaps": NO_BOOLEAN,
    "ipdv": NO_BOOLEAN,
    "profile": NO_BOOLEAN,
    "flow_records": ("", 1, True, [], {}, "/proc/none/x", "x" * 5000, "/"),
    "capture": ("x", 1, True, [], {}, {"file": ""}, {"file": "/proc/none/x"}, {"file": "/tmp/x", "first": 0},
                {"file": "/tmp/x", "first": 1 << 33}, {"file": "/tmp/x", "every": 0},
                {"file": "/tmp/x", "every": 1 << 33},
                {"file": "/tmp/x", "snap_bytes": 15}, {"file": "/tmp/x", "snap_bytes": 65536},
                {"file": "/tmp/x", "filter": "no filter"}, {"file": "/tmp/x", "filter": "x" * 1024},
                {"file": "/tmp/x", "filter": 1}, {"file": "/tmp/x", "colour": 1}, {"file": "x" * 5000}),
    "streams": ([], {}, 1, "x", None, [1], [None], [[]], [{}], [{"tx": 0}] * 17),
    "colour": ("red",),
}
BAD_LEARN: dict[str, tuple] = {
    "epoch": BAD_TRIAL["epoch"], "streams": BAD_TRIAL["streams"], "count": (0, 1001, 1.5, *HUGE, *NO_NUMBER),
    "duration_s": (1,),
}

# and what is done, in any combination
GOOD_STREAM: dict[str, tuple] = {
    "rx": (None, 1), "rate_pps": (1000, 2e4, 1e6), "shape": ("constant", "poisson", "burst", "ramp"),
    "burst_frames": (1, 32, 1000000), "burst_pps": (0, 1e9), "ramp_from_pps": (0, 1, 1e6),
    "catch_up_s": (0, 1e-6, 86400), "seed": (0, -1, (1 << 63) - 1), "frame_bytes": (1518, 200, [200, 1518, 172], [300] * 1024),
    "flows": (1, 2, 1000, 4096),
    "flow_order": ("increment", "random", "zipf"), "zipf_exponent": (0, 0.5, 1, 10),
    "flow_fields": (["src_ip"], ["src_port"], ["dst_mac", "src_port"], ["dst_ip", "src_mac", "dst_port"]),
    "vlan": ([], [1], [4094], [1, 4094]), "ip": (4, 6), "l4": ("udp", "tcp"), "udp_checksum": (True, False),
    "tunnel": ("none", "vxlan", "gtpu"), "src_mac": ("02:00:00:00:00:01",), "dst_mac": ("FF:ff:ff:00:00:00",),
    "src_port": (0, 1, 60000), "dst_port": (0, 9), "replay": (None,),
}
GOOD_TRIAL: dict[str, tuple] = {
    "drain_s": (0, 0.001), "drain_max_s": (0.01, 20), "interval_s": (0, 0.001, 3600),
    "gaps": (True, False), "ipdv": (True, False), "profile": (True, False), "flow_records": (None,), "capture": (None,),
}


@pytest.fixture(scope="module")
def pktgen():
    with Program("pktgen", "--wires", "1", idle="yield") as program:
        yield program
        check_works(program)
        program.end()


@pytest.fixture(scope="module")
def lanes():
    with Program("pktgen", "--wires", "1", "--queues", "3", "--ring-size", "256", workers=3, idle="yield") as program:
        yield program
        check_works(program)
        program.end()


def trial_of(stream: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"epoch": 1, "duration_s": 0.002, "streams": [{"tx": 0, "rate_pps": 1000} | stream]} | more


def check_works(program: Program) -> None:
    stream = trial_that_sent(program, 1, **trial_of({"rx": 1, "rate_pps": 20000}, epoch=777))["streams"][0]
    assert stream["meter"]["received_count"] == stream["sent_count"]


def check_refused(program: Program, cmd: str, request: dict[str, Any]) -> str:
    error = program.refused(cmd, **request)
    assert "\n" not in error and 10 < len(error) < 256, error
    return error


def test_every_bad_value_of_a_stream(pktgen):
    for key, values in BAD_STREAM.items():
        for value in values:
            stream = {"flows": 100} | {key: value}
            error = check_refused(pktgen, "trial", trial_of(stream))
            names = (key, *value) if isinstance(value, dict) else (key,)
            assert any(name in error for name in (*names, "bad request", "flow", "rate_pps")), (key, value, error)
        check_works(pktgen)


def test_every_bad_value_of_a_trial(pktgen):
    for key, values in BAD_TRIAL.items():
        for value in values:
            check_refused(pktgen, "trial", trial_of({}, **{key: value}))
        check_works(pktgen)


def test_every_bad_value_of_learning(pktgen):
    for key, values in BAD_LEARN.items():
        for value in values:
            check_refused(pktgen, "learn", {"epoch": 1, "streams": [{"tx": 0, "rx": 1}]} | {key: value})
        check_works(pktgen)


@pytest.mark.parametrize("request_", (
    trial_of({"shape": "poisson", "rate_pps": 0}), trial_of({"shape": "burst", "rate_pps": 0}),
    trial_of({"shape": "ramp", "rate_pps": 0}), trial_of({"burst_pps": 1000, "rate_pps": 1001, "shape": "burst"}),
    trial_of({"ip": 6, "src_ip": "10.0.0.1"}), trial_of({"ip": 6}), trial_of({"l4": "tcp"}),
    trial_of({"tunnel": "vxlan"}), trial_of({"flows": 4097, "flow_fields": ["src_ip"]}),
    trial_of({"flows": 2, "src_port": 65535, "flow_fields": ["src_port"]}),
    trial_of({"flows": 2, "vlan": [4094], "frame_bytes": 100, "flow_fields": ["vlan"]}),
    trial_of({}, drain_s=0.5, drain_max_s=0.4),
    trial_of({}, streams=[{"tx": 0, "rx": 1}, {"tx": 1, "rx": 1}]),
    trial_of({"replay": {"file": "/none.pcap"}}),       # rate_pps, where the recording decides
), ids=lambda r: json.dumps(r)[:100])
def test_what_does_not_go_together(pktgen, request_):
    check_refused(pktgen, "trial", request_)


def test_more_flows_than_memory(pktgen):
    """Sixteen streams of 2^24 flows with records: either there is memory for it or a sentence says there is not."""
    streams = [{"tx": i % 2, "rate_pps": 1, "flows": 1 << 24, "flow_fields": ["src_port", "src_ip"],
                "src_ip": "10.0.0.0"} for i in range(16)]
    reply = pktgen.ask("trial", timeout_s=60, epoch=1, duration_s=0.001, streams=streams)
    assert reply["ok"] or "memory" in reply["error"], reply
    check_works(pktgen)


def random_request(rng, good: bool) -> dict[str, Any]:
    stream = {"tx": 0} | {k: rng.choice(v) for k, v in GOOD_STREAM.items() if rng.random() < 0.5}
    stream.setdefault("frame_bytes", 200)
    request = trial_of(stream) | {k: rng.choice(v) for k, v in GOOD_TRIAL.items() if rng.random() < 0.5}
    if request.get("drain_s", 0.01) > request.get("drain_max_s", 2):
        del request["drain_max_s"]
    if not good:
        table, at = (BAD_STREAM, request["streams"][0]) if rng.random() < 0.8 else (BAD_TRIAL, request)
        key = rng.choice([k for k in table if k not in ("flow_fields", "src_ip", "dst_ip", "burst_pps", "drain_s",
                                                        "drain_max_s")])     # those may be good with others
        at[key] = rng.choice(table[key])
    return request


def possible(stream: dict[str, Any]) -> bool:
    """Whether the frames can tell the flows apart: as many bits as the fields have from their base on."""
    flows, bits = stream.get("flows", 1), 0
    room = {"src_ip": 12, "dst_ip": 12, "src_mac": 24, "dst_mac": 24, "src_port": 15, "dst_port": 15}
    for port, base in (("src_port", 1024), ("dst_port", 9)):
        room[port] = min(15, (65536 - stream.get(port, base)).bit_length() - 1)
    for name in stream.get("flow_fields", ("src_port", "src_ip")):
        bits += room[name]
    return flows <= 1 << bits


@pytest.mark.parametrize("fixture", ("pktgen", "lanes"))
def test_random_good_requests_are_done(request, fixture):
    program = request.getfixturevalue(fixture)
    rng = seeded()
    for epoch in range(150):
        wanted = random_request(rng, good=True) | {"epoch": epoch}      # a trial without receiver leaves frames behind
        stream = wanted["streams"][0]
        reply = program.ask("trial", **wanted)
        assert reply["ok"] is possible(stream), (wanted, reply)
        if not reply["ok"]:
            continue
        sent = reply["streams"][0]
        assert sent["sent_count"] + sent["skipped_count"] <= sent["intended_count"], wanted
        if sent["meter"] is not None and reply["drained"]:
            assert sent["meter"]["duplicate_count"] == sent["meter"]["crossed_flows_count"] == 0, wanted
            check_latency(sent["meter"])


def test_random_bad_requests_are_refused(pktgen):
    rng = seeded()
    for _ in range(400):
        wanted = random_request(rng, good=False)
        reply = pktgen.ask("trial", **wanted)
        assert reply["ok"] is False and reply["error"], wanted
    check_works(pktgen)
