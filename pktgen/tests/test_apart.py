# SPDX-License-Identifier: BSD-3-Clause
"""Trials of which two programs have a part each: armed, sent, settled, read.  Two pktgens face each other over a
vhost-user wire, or one has both ends of a wire in memory."""

import time
from contextlib import ExitStack, contextmanager

import pytest
from coretest import Program, check_latency, seeded

WAIT_S = 20.0
EPOCH = iter(range(1, 65536))


@contextmanager
def facing(tmp_path, second, *own):
    """A pktgen, and another program at the other end of its wire."""
    path = tmp_path / "wire"
    with ExitStack() as stack:
        server = Program("pktgen", vdevs=[f"net_virtio_user0,path={path},server=1,queues=1,queue_size=1024,"
                                          "mac=02:00:00:00:00:0a"], idle="yield")
        stack.push(server)
        client = stack.enter_context(Program(second, *own, vdevs=[f"net_vhost0,iface={path},client=1,queues=1"],
                                             idle="yield"))
        server.reply(WAIT_S)        # ready, since the other one has connected
        deadline = time.monotonic() + WAIT_S
        while not all(port["link_up"] for port in server.do("ports")["ports"]):
            assert time.monotonic() < deadline, "no link"
            time.sleep(0.01)
        yield server, client
        server.end()


@pytest.fixture(scope="module", params=(1, 2), ids=("one worker", "two workers"))
def wired(request):
    with Program("pktgen", "--wires", "1", workers=request.param, idle="yield") as program:
        yield program
        program.end()


def stream(**change):
    return {"tx": 0, "rx": 1, "rate_pps": 10000} | change


def settle(program):
    assert program.do("settle", silence_s=0.1, max_s=5)["silent"] is True


def both_ways(left, right, rate_pps, **more):
    """A two-way trial between two programs; what each read."""
    there, back = {"rate_pps": rate_pps} | more, {"rate_pps": rate_pps / 2} | more
    epoch = next(EPOCH)
    left.do("arm", epoch=epoch, duration_s=0.2, streams=[{"tx": 0} | there, {"tx": None, "rx": 0} | back])
    right.do("arm", epoch=epoch, duration_s=0.2, streams=[{"tx": None, "rx": 0} | there, {"tx": 0} | back])
    asked = [(program, program.post("send")) for program in (left, right)]
    for program, number in asked:
        reply = program.reply()
        assert (reply["id"], reply["ok"]) == (number, True) and 0 < reply["tx_span_s"] < 1
    for program in (left, right):
        settle(program)
    return left.do("read"), right.do("read")


def test_each_counts_what_the_other_sent(tmp_path):
    rng = seeded()
    with facing(tmp_path, "pktgen") as (left, right):
        for _ in range(4):
            flows = rng.choice((1, 7, 500))
            read = both_ways(left, right, 20000, flows=flows, frame_bytes=rng.randint(64, 1518))
            for direction, (sender, receiver) in enumerate((read, read[::-1])):
                sent, meter = sender["streams"][direction], receiver["streams"][direction]["meter"]
                assert sent["intended_count"] == (4000, 2000)[direction] and sent["meter"] is None
                assert meter["received_count"] == sent["sent_count"] > 0
                assert meter["stale_count"] == meter["foreign_count"] == meter["duplicate_count"] == 0
                assert "sent_count" not in receiver["streams"][direction]
                check_latency(meter)


def test_who_is_armed_waits_and_loses_nothing_when_the_other_sends_late(tmp_path):
    with facing(tmp_path, "pktgen") as (left, right):
        epoch = next(EPOCH)
        left.do("arm", epoch=epoch, duration_s=0.05, streams=[stream(tx=None, rx=0)])
        time.sleep(0.3)         # longer than the trial and any drain
        right.do("arm", epoch=epoch, duration_s=0.05, streams=[stream(rx=None)])
        right.do("send")
        settle(left)
        sent, got = right.do("read"), left.do("read")
        assert got["streams"][0]["meter"]["received_count"] == sent["streams"][0]["sent_count"] > 0
        assert got["tx_span_s"] == 0 and sent["tx_span_s"] > 0.04


def test_a_frame_comes_back_to_the_port_that_sent_it(tmp_path):
    with facing(tmp_path, "vnf", "--nf", "reflector") as (pktgen, vnf):
        reply = pktgen.do("trial", epoch=next(EPOCH), duration_s=0.2, drain_s=0.1,
                          streams=[{"tx": 0, "rx": 0, "rate_pps": 20000, "dst_mac": "02:00:00:00:00:0b"}])
        meter = reply["streams"][0]["meter"]
        sent = reply["streams"][0]["sent_count"]
        assert meter["received_count"] == sent > 0 and meter["foreign_count"] == 0
        check_latency(meter)
        [side] = vnf.do("stats")["sides"]
        assert side["tx_count"] == side["rx_count"] == sent


def test_what_is_under_way_when_sending_ends_is_counted(wired):
    wired.do("arm", epoch=next(EPOCH), duration_s=0.05, gaps=True, interval_s=0.01, streams=[stream(rate_pps=0)])
    wired.do("send")
    settle(wired)
    [seen] = wired.do("read")["streams"]
    assert seen["meter"]["received_count"] == seen["sent_count"] > 0
    assert seen["intended_count"] is None and seen["departure_gap"]["count"] == seen["sent_count"] - 1
    assert sum(count for count, _ in seen["sent_series"]) == seen["sent_count"]


def test_workers_tell_of_the_sending_and_not_of_the_waiting(wired):
    wired.do("arm", epoch=next(EPOCH), duration_s=0.02, streams=[stream()])
    time.sleep(0.5)
    wired.do("send")
    time.sleep(0.5)
    assert all(worker["stall_ns"] < 0.4e9 for worker in wired.do("read")["workers"])


def test_what_is_armed_is_given_up_for_what_is_asked_next(wired):
    for _ in range(3):
        wired.do("arm", epoch=next(EPOCH), duration_s=0.05, streams=[stream(flows=1000)])
    reply = wired.do("trial", epoch=next(EPOCH), duration_s=0.05, drain_s=0.05, streams=[stream()])
    assert reply["streams"][0]["meter"]["received_count"] == reply["streams"][0]["sent_count"] > 0
    assert "\"arm\" first" in wired.refused("read")


@pytest.mark.parametrize("cmd", ("send", "settle", "read"))
def test_nothing_is_sent_or_read_that_is_not_armed(wired, cmd):
    assert "\"arm\" first" in wired.refused(cmd)
    wired.refused("arm", epoch=1, duration_s=1, streams=[stream(rx=None, tx=None)])
    assert "\"arm\" first" in wired.refused(cmd)


def test_what_has_no_meaning_is_refused(wired):
    assert "\"arm\"" in wired.refused("trial", epoch=1, duration_s=1, streams=[stream(tx=None)])
    assert "flow_records" in wired.refused("arm", epoch=1, duration_s=1, flow_records="/x", streams=[stream(tx=None)])
    for keys in ({"streams": [{"rx": 1}]}, {"streams": [stream(tx=2)]}, {"drain_s": "x"}):
        wired.refused("arm", **{"epoch": 1, "duration_s": 1, "streams": [stream()]} | keys)
    wired.do("arm", epoch=next(EPOCH), duration_s=0.01, streams=[stream(tx=None)])
    assert "no stream" in wired.refused("send") and wired.refused("send", colour="red")
    wired.do("arm", epoch=next(EPOCH), duration_s=0.01, streams=[stream()])
    wired.do("send")
    assert "sent already" in wired.refused("send")
    assert "silence_s" in wired.refused("settle", silence_s=0)
    wired.do("read")


def test_end_of_input_ends_what_is_armed_or_being_sent():
    for sending in (False, True):
        with Program("pktgen", "--wires", "1") as pktgen:
            pktgen.do("arm", epoch=1, duration_s=60, streams=[stream()])
            if sending:
                pktgen.post("send")
                time.sleep(0.3)
            pktgen.end()
