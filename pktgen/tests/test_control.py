# SPDX-License-Identifier: BSD-3-Clause
"""The control channel of all three programs, and their exit status."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest
from coretest import START_S, Program, command, seeded, trial

PROGRAMS = ("pktgen", "meter", "vnf")
STREAM = {"tx": 0, "rx": 1, "rate_pps": 1000}


@pytest.fixture(scope="module", params=PROGRAMS)
def any_program(request):
    with Program(request.param, "--wires", "1") as program:
        yield program
        program.end()


@pytest.fixture(scope="module")
def pktgen():
    with Program("pktgen", "--wires", "1") as program:
        yield program
        program.end()


@pytest.fixture(scope="module")
def meter():
    with Program("meter", "--wires", "1") as program:
        yield program
        program.end()


def still_serves(program: Program) -> None:
    """The next reply is the one to the next request: there was exactly one to the last."""
    assert len(program.do("ports")["ports"]) == 2


def test_ready_comes_first_and_says_who(any_program):
    ready = any_program.ready
    assert ready["event"] == "ready"
    assert ready["program"] in PROGRAMS
    assert ready["pid"] == any_program.process.pid
    assert ready["tsc_hz"] > 1e8
    assert [p["port"] for p in ready["ports"]] == [0, 1]
    assert all(p["link_up"] is True and p["driver"] == "net_ring" for p in ready["ports"])


def test_help_names_commands(any_program):
    commands = any_program.do("help")["commands"]
    assert "ports" in commands and all(commands.values())


NO_REQUESTS = {
    "no JSON": b"hello",
    "cut off": b'{"cmd":"ports"',
    "two objects": b'{"cmd":"ports"}{"cmd":"ports"}',
    "array": b'["ports"]',
    "number": b"42",
    "null": b"null",
    "no command": b"{}",
    "command is a number": b'{"cmd":7}',
    "command is null": b'{"cmd":null}',
    "duplicate key": b'{"cmd":"ports","cmd":"ports"}',
    "NUL inside": b'{"cmd":"po\0rts"}',
    "escaped NUL": b'{"cmd":"po\\u0000rts"}',
    "not UTF-8": b'{"cmd":"\xff\xfe"}',
    "half a surrogate": b'{"cmd":"\\ud800"}',
    "deep": b"[" * 100000,
    "huge number": b'{"cmd":"ports","id":1e999}',
    "unknown command": b'{"cmd":"fly"}',
    "command of no letters": b'{"cmd":""}',
    "long command": b'{"cmd":"' + b"x" * 100000 + b'"}',
    "unknown key": b'{"cmd":"ports","colour":"red"}',
    "format in command": b'{"cmd":"%s%n%s%n"}',
    "format in key": b'{"cmd":"ports","%s%n%s%n":1}',
    "only spaces": b"    ",
    "carriage return alone": b"\r",
}
# sentences are cut to fit: wherever the cut falls in a character of several bytes, there is still a sentence
for shift in range(4):
    NO_REQUESTS[f"long command, not ASCII, {shift}"] = f'{{"cmd":"{"x" * shift}{"🜛" * 100}"}}'.encode()
    NO_REQUESTS[f"long key, not ASCII, {shift}"] = f'{{"cmd":"ports","{"x" * shift}{"🜛" * 100}":1}}'.encode()
    NO_REQUESTS[f"duplicate key, not ASCII, {shift}"] = \
        f'{{"{"x" * shift}{"🜛" * 100}":1,"{"x" * shift}{"🜛" * 100}":1}}'.encode()
    NO_REQUESTS[f"no JSON, not ASCII, {shift}"] = f'{{"cmd" {"x" * shift}{"é" * 300}'.encode()


@pytest.mark.parametrize("line", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_what_is_no_request_gets_one_error(any_program, line):
    any_program.send(line + b"\n")
    reply = any_program.reply()
    assert reply["ok"] is False
    assert isinstance(reply["error"], str) and reply["error"]
    assert "\n" not in reply["error"] and len(reply["error"]) < 256
    still_serves(any_program)


def test_the_id_comes_back_with_an_error(any_program):
    any_program.send(b'{"id":77,"cmd":"fly"}\n')
    assert any_program.reply()["id"] == 77


def test_empty_lines_are_nothing(any_program):
    any_program.send(b"\n\n\n")
    still_serves(any_program)


def test_random_lines(any_program):
    """Each gets one reply, the next request its own."""
    rng = seeded()
    request = json.dumps({"cmd": "trial", "epoch": 1, "duration_s": 1, "streams": [STREAM]}).encode()
    for _ in range(300):
        if rng.random() < 0.5:
            line = bytes(rng.choice([b for b in range(256) if b != 10]) for _ in range(rng.randint(1, 80)))
        else:   # one byte of a good request changed to what cannot stand there
            at = rng.randrange(len(request))
            line = request[:at] + bytes([rng.choice(b"\x01\xff\x80")]) + request[at + 1:]
        any_program.send(line + b"\n")
        assert any_program.reply()["ok"] is False, line
    still_serves(any_program)


def test_a_line_of_2_mib_is_one_error(any_program):
    any_program.send(b'{"cmd":"ports","x":"' + b"x" * (2 << 20) + b'"}\n')
    assert "1 MiB" in any_program.reply()["error"]
    still_serves(any_program)


def test_a_line_of_just_under_1_mib_is_read(any_program):
    any_program.send(b'{"cmd":"ports"' + b" " * ((1 << 20) - 15) + b"}\n")
    assert any_program.reply()["ok"] is True
    any_program.send(b'{"cmd":"ports"' + b" " * ((1 << 20) - 14) + b"}\n")
    assert "1 MiB" in any_program.reply()["error"]


def test_requests_in_one_write_are_answered_in_order(any_program):
    any_program.send(b"".join(b'{"id":%d,"cmd":"ports"}\n' % i for i in range(50)))
    assert [any_program.reply()["id"] for _ in range(50)] == list(range(50))


def bad(**change):
    """A trial that is right but for `change`; of its stream, for keys that are a stream's."""
    request = {"epoch": 1, "duration_s": 0.01, "streams": [STREAM]}
    for key, value in change.items():
        if key in ("tx", "rx", "rate_pps", "frame_bytes", "flows", "colour"):
            request["streams"] = [STREAM | {key: value}]
        else:
            request[key] = value
    return {k: v for k, v in request.items() if v != "absent"}


BAD_TRIALS = [
    bad(epoch="absent"), bad(epoch=-1), bad(epoch=65536), bad(epoch="1"), bad(epoch=1.5), bad(epoch=None),
    bad(epoch=(1 << 32) + 1), bad(epoch=-(1 << 32) + 1),
    bad(duration_s="absent"), bad(duration_s=0), bad(duration_s=-1), bad(duration_s=86401), bad(duration_s=1e300),
    bad(duration_s="1"), bad(duration_s=True),
    bad(drain_s=-0.1), bad(drain_s=3), bad(drain_max_s=61), bad(drain_s="x"), bad(drain_s=0.1, drain_max_s=0.05),
    bad(streams="absent"), bad(streams=[]), bad(streams={}), bad(streams=7), bad(streams=[7]), bad(streams=[[]]),
    bad(streams=[None]), bad(streams=[{}]), bad(streams=[STREAM, STREAM]), bad(streams=[{"tx": 0}] * 17),
    bad(streams=[STREAM, {"tx": 1, "rx": 0}, {"tx": 1, "rx": 1}]), bad(streams=[STREAM, {}]),
    bad(tx=-1), bad(tx=2), bad(tx="0"), bad(tx=1 << 32), bad(tx=None), bad(tx=65536),
    bad(rx=-1), bad(rx=2), bad(rx="1"), bad(rx=1.0), bad(rx=1 << 32), bad(rx=(1 << 32) + 1), bad(rx=65536),
    bad(rx=True),
    bad(rate_pps=-1), bad(rate_pps=1.1e9), bad(rate_pps=1e300), bad(rate_pps="1000"), bad(rate_pps=None),
    bad(frame_bytes=63), bad(frame_bytes=1519), bad(frame_bytes=0), bad(frame_bytes=-64), bad(frame_bytes=64.0),
    bad(frame_bytes=65536 + 64), bad(frame_bytes=(1 << 32) + 64),
    bad(flows=0), bad(flows=-1), bad(flows=(1 << 24) + 1), bad(flows="1"), bad(flows=(1 << 32) + 1), bad(flows=1 << 62),
    bad(colour="red"), bad(speed=1),
]


@pytest.mark.parametrize("request_", BAD_TRIALS, ids=lambda r: json.dumps(r)[:100])
def test_a_bad_trial_is_refused(pktgen, request_):
    assert pktgen.refused("trial", **request_)
    still_serves(pktgen)


def test_a_good_trial_after_all_that(pktgen):
    reply = trial(pktgen, STREAM)
    assert reply["streams"][0]["sent_count"] == reply["streams"][0]["meter"]["received_count"] > 0


BAD_ARMS = [
    {"epoch": -1}, {"epoch": 65536}, {"epoch": "1"}, {"epoch": 1 << 32}, {"epoch": 1, "stream": 256},
    {"epoch": 1, "stream": -1}, {"epoch": 1, "flows": 0}, {"epoch": 1, "flows": (1 << 24) + 1},
    {"epoch": 1, "flows": (1 << 32) + 1}, {"epoch": 1, "flow_table": -1}, {"epoch": 1, "flow_table": (1 << 24) + 1},
    {"epoch": 1, "flow_table": 1 << 32}, {"epoch": 1, "interval_s": 0}, {"epoch": 1, "interval_s": -1},
    {"epoch": 1, "interval_s": 1e9}, {"epoch": 1, "colour": "red"},
]


@pytest.mark.parametrize("request_", BAD_ARMS, ids=json.dumps)
def test_a_bad_arm_is_refused(meter, request_):
    assert meter.refused("arm", **request_)
    still_serves(meter)


def test_a_flow_table_without_room_is_refused():
    """Of an address space with 64 MiB left; 2^24 flows need 1.8 GiB."""
    with Program("meter", "--wires", "1") as meter:
        status = Path(f"/proc/{meter.process.pid}/status").read_text()
        used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmSize:"))
        resource.prlimit(meter.process.pid, resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        assert "the flow table needs 1024 MiB" in meter.refused("arm", flow_table=1 << 24)
        still_serves(meter)
        meter.do("arm", flow_table=1000)
        assert meter.do("read")["flows"]["flow_count"] == 0
        meter.end()


def test_the_meter_reads_only_when_armed():
    with Program("meter", "--wires", "1") as meter:
        for cmd in ("read", "count", "settle"):
            assert "arm" in meter.refused(cmd)
        meter.do("arm", epoch=1)
        assert meter.refused("read", top="many")
        assert meter.refused("read", top=-1)
        assert "by" in meter.refused("read", by="colour")
        assert "flow_table" in meter.refused("read", flows_file="flows.csv")
        assert meter.refused("settle", silence_s=-1)
        assert meter.refused("settle", silence_s=3)
        assert meter.refused("settle", max_s=61)
        assert meter.do("settle")["silent"] is True
        assert meter.do("count")["packets"] == 0
        assert meter.do("read")["meter"]["latency"] is None


# the end

@pytest.mark.parametrize("over", ("pipe", "socket"))
@pytest.mark.parametrize("name", PROGRAMS)
def test_end_of_input_ends_it(name, over):
    with Program(name, "--wires", "1", over=over) as program:
        program.close_input()
        assert program.status() == 0


@pytest.mark.parametrize("workers", (1, 2))
@pytest.mark.parametrize("over", ("pipe", "socket"))
def test_end_of_input_ends_a_trial(over, workers):
    """A trial that was stopped is no result, and says so."""
    with Program("pktgen", "--wires", "1", over=over, workers=workers) as program:
        program.post("trial", epoch=1, duration_s=60, streams=[STREAM])
        time.sleep(0.2)
        program.close_input()
        assert program.status() == 0
        reply = program.reply()
        assert reply["ok"] is False and "end of input" in reply["error"]


def test_end_of_input_with_a_request_unread_ends_a_trial():
    with Program("pktgen", "--wires", "1") as program:
        program.post("trial", epoch=1, duration_s=60, streams=[STREAM])
        time.sleep(0.2)
        program.post("ports")
        program.close_input()
        assert program.status() == 0


@pytest.mark.parametrize("over", ("pipe", "socket"))
def test_a_harness_that_dies_in_a_trial_leaves_nothing(over):
    """Nobody reads the reply: that is no reason to end by a signal, with the ports not closed."""
    with Program("pktgen", "--wires", "1", over=over) as program:
        program.post("trial", epoch=1, duration_s=60, streams=[STREAM])
        time.sleep(0.2)
        program.close_input()
        program.close_output()
        assert program.status() == 0


def test_a_line_that_was_cut_off_is_not_obeyed():
    with Program("pktgen", "--wires", "1") as program:
        program.send(b'{"id":1,"cmd":"ports"}')
        program.close_input()
        assert program.status() == 0
        with pytest.raises(AssertionError, match="ended"):
            program.reply()


@pytest.mark.parametrize("name", PROGRAMS)
def test_quit(name):
    with Program(name, "--wires", "1") as program:
        assert program.do("quit")["ok"]
        assert program.status() == 0


# the command line

def run(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S)


BAD_OPTIONS = [["--colour"], ["--idle", "tired"], ["--idle"], ["--ring-size", "1000"], ["--ring-size", "0"],
               ["--ring-size", "-1024"], ["--ring-size", "65536"], ["--ring-size", "1024x"], ["--wires", "17"],
               ["--wires", "-1"], ["--wires", ""], ["--wires", "99999999999999999999"], ["stray"]]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=" ".join)
def test_bad_options_exit_2_with_usage(options):
    done = run(*command("pktgen", own=options))
    assert done.returncode == 2, done.stderr
    assert "usage: pktgen" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_usage(name):
    done = run(*command(name, own=["--colour"]))
    assert done.returncode == 2 and f"usage: {name}" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("nf", ("fly", "", "io" * 100, ":", "io:" + "x" * 300))
def test_an_unknown_nf_exits_2(nf):
    done = run(*command("vnf", own=["--wires", "1", "--nf", nf]))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""


def test_bad_eal_options_exit_2():
    argv = command("pktgen", own=["--wires", "1"])
    done = run(argv[0], "--colour", *argv[1:])
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""


def test_no_worker_lcore_exits_2():
    done = run(*command("pktgen", own=["--wires", "1"], workers=0))
    assert done.returncode == 2 and "lcore" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_ports_exits_77(name):
    done = run(*command(name))
    assert done.returncode == 77, done.stderr
    assert "ports" in done.stderr and done.stdout == ""


def test_no_such_file_exits_77(tmp_path):
    done = run(*command("pktgen", vdevs=[f"net_pcap0,rx_pcap={tmp_path}/none.pcap"]))
    assert done.returncode == 77, done.stderr


def test_closed_stdin_and_stdout():
    done = subprocess.run(command("pktgen", own=["--wires", "1"]), stderr=subprocess.PIPE, timeout=START_S,
                          preexec_fn=lambda: (os.close(0), os.close(1)))
    assert done.returncode == 77, done.stderr
