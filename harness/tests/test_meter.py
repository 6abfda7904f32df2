# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench meter`: its errors, its words, and the whole of it on a loopback interface of its own."""

import argparse
import csv
import ctypes
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from harness import cli, meter, run
from harness.errors import BadInput, CannotRun

CLONE_NEWNET = 0x40000000
START_S = 30.0


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    meter.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def built(tmp_path, monkeypatch):
    (tmp_path / "meter").touch()
    monkeypatch.setattr(run, "BUILD", tmp_path)


@pytest.fixture
def interfaces(tmp_path, monkeypatch):
    """Two made-up interfaces: e0 is up, e1 is down; t0 is no Ethernet."""
    for name, kind, flags in (("e0", "1", "0x1003"), ("e1", "1", "0x1002"), ("t0", "65534", "0x1003")):
        folder = tmp_path / "net" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text(kind)
        (folder / "flags").write_text(flags)
    monkeypatch.setattr(meter, "INTERFACES", tmp_path / "net")


@pytest.mark.parametrize("words, error, says", (
    (["--interface", "nosuch"], BadInput, "e0, e1, t0"),
    (["--interface", "e1"], CannotRun, "ip link set e1 up"),
    (["--interface", "t0"], BadInput, "Ethernet"),
    (["--interface", "e0", "--seconds", "0"], BadInput, "--seconds"),
    (["--interface", "e0", "--seconds", "nan"], BadInput, "--seconds"),
    (["--interface", "e0", "--top", "-1"], BadInput, "--top"),
    (["--interface", "e0", "--flows", "0"], BadInput, "--flows"),
    (["--interface", "e0", "--flows", "99999999"], BadInput, "--flows"),
    (["--interface", "e0", "--interval-s", "0"], BadInput, "--interval-s"),
    (["--interface", "e0", "--flows-csv", "/nosuch/flows.csv"], BadInput, "/nosuch/flows.csv"),
    (["--vdev", "net_null0", "--outgoing"], BadInput, "--outgoing"),
))
def test_what_cannot_be_is_said_before_anything_starts(built, interfaces, words, error, says):
    with pytest.raises(error, match=says):
        meter.check(parsed(*words))


def test_not_root(built, interfaces, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="sudo"):
        meter.check(parsed("--interface", "e0"))
    meter.check(parsed("--vdev", "net_null0"))


def test_not_built(tmp_path, interfaces, monkeypatch):
    monkeypatch.setattr(run, "BUILD", tmp_path)
    with pytest.raises(CannotRun, match="make setup"):
        meter.check(parsed("--interface", "e0"))


def test_the_command_line_of_the_program(built):
    of_interface = meter.argv(parsed("--interface", "e0"), [2, 3], 1000)
    assert "net_pcap0,rx_iface_in=e0" in of_interface and "--no-huge" in of_interface
    assert of_interface[of_interface.index("--lcores") + 1] == "0@2,1@3"
    assert "net_pcap0,rx_iface=e0" in meter.argv(parsed("--interface", "e0", "--outgoing"), [0], 0)
    device = "net_vhost0,iface=/x,client=1"
    assert device in meter.argv(parsed("--vdev", device), [0], 0)
    assert "--no-huge" in meter.argv(parsed("--vdev", device), [0], 0)
    assert "--no-huge" not in meter.argv(parsed("--vdev", device), [0], 1000)


def flow(**more: Any) -> dict[str, Any]:
    return {"kind": "IPv4", "ether_type": None, "vlan": [], "src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 17,
            "src_port": 53, "dst_port": 4000, "packets": 3, "bytes": 180, "min_bytes": 60, "max_bytes": 60,
            "first_s": 0.5, "last_s": 1.5, "mean_gap_ns": 5e8} | more


NO_PORTS = {"src_port": None, "dst_port": None}
NO_IP = NO_PORTS | {"src": None, "dst": None, "protocol": None}


@pytest.mark.parametrize("row, text", (
    (flow(), "10.0.0.1:53 > 10.0.0.2:4000 udp"),
    (flow(vlan=[5, 6]), "10.0.0.1:53 > 10.0.0.2:4000 udp, vlan 5, vlan 6"),
    (flow(kind="IPv6", src="2001:db8::1", dst="::", protocol=6), "[2001:db8::1]:53 > [::]:4000 tcp"),
    (flow(protocol=89, **NO_PORTS), "10.0.0.1 > 10.0.0.2 protocol 89"),
    (flow(kind="IPv4 fragment", **NO_PORTS), "10.0.0.1 > 10.0.0.2 udp fragment"),
    (flow(kind="non-IP", ether_type=0x806, **NO_IP), "non-IP 0x0806"),
))
def test_the_name_of_a_flow(row, text):
    assert meter.flow_name(row) == text


def test_quantiles_are_of_bins():
    histogram = {"count": 100, "max_ns": 930, "bins": [[0, 1, 50], [10, 11, 40], [900, 1000, 10]]}
    assert [meter.quantile(histogram, q) for q in (0.01, 0.5, 0.51, 0.9, 0.91, 1)] == [0, 0, 10, 10, 930, 930]


def reply(**more: Any) -> dict[str, Any]:
    """Three small frames in one second, two of them in one burst, and what the meter says of them."""
    kinds = {"IPv4": {"flow_count": 1, "packets": 3, "bytes": 180}}
    return {"port": "e0", "armed_s": 2.5, "packets": 3, "bytes": 180, "missed_count": 0,
            "missed": {"imissed": 0, "ierrors": 0, "rx_nombuf": 0}, "first_s": 0.5, "last_s": 1.5, "burst_count": 2,
            "burst_max": 2, "interval_s": 1.0, "series": [[2, 120], [1, 60], [0, 0]], "series_beyond": [0, 0],
            "sizes": {"min_bytes": 60, "max_bytes": 60, "mean_bytes": 60.0, "counts": [[60, 3]], "larger_count": 0},
            "gaps": {"count": 2, "min_ns": 0, "max_ns": 10**9, "sum_ns": 10**9, "overflow_count": 0,
                     "bins": [[0, 1, 1], [998244352, 1002438656, 1]]},
            "flows": {"flow_count": 1, "capacity": 8, "no_room_count": 0, "no_room_bytes": 0, "kinds": kinds,
                      "top": [flow()]}} | more


def shown(figures: dict[str, Any]) -> str:
    out = io.StringIO()
    meter.show(figures, Console(file=out, width=160), "packets")
    return out.getvalue()


def test_what_is_shown():
    text = shown(reply())
    for words in ("e0: 2.500 s", "10.0.0.1:53 > 10.0.0.2:4000 udp", "500,000.000", "2, 1,440", "100.0%", "0, 0, 0"):
        assert words in text, text
    assert "warning" not in text


def test_nothing_came():
    empty = reply(packets=0, bytes=0, sizes=None, gaps=None, first_s=None, last_s=None, burst_count=0, burst_max=0)
    empty["flows"] |= {"flow_count": 0, "kinds": {}, "top": []}
    assert "packets" in shown(empty)


def test_warnings():
    bad = reply(missed_count=7, missed={"imissed": 5, "ierrors": 0, "rx_nombuf": 2}, series_beyond=[1, 60])
    bad["flows"]["no_room_count"] = 11
    bad["sizes"]["max_bytes"] = 9728
    lines = meter.warnings(bad)
    assert len(lines) == 4
    assert "7 frames" in lines[0] and "imissed 5" in lines[0] and "11 packets" in lines[1] and "--flows" in lines[1]
    assert "ethtool" in lines[2] and "--interval-s" in lines[3]


@pytest.fixture
def loopback():
    """A network namespace in which lo is all there is, and is ours."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not (run.BUILD / "meter").exists():
        pytest.skip(f"{run.BUILD / 'meter'} is not built")
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` command (package iproute2)")
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


def started(*words: str) -> subprocess.Popen:
    """A meter that counts."""
    process = subprocess.Popen([sys.executable, "-m", "harness", "meter", "--interface", "lo", *words], cwd=run.ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, COLUMNS="160"))
    assert process.stderr
    assert select.select([process.stderr], [], [], START_S)[0], "does not start"
    line = process.stderr.readline().decode()
    if not line.startswith("counting on lo"):
        process.kill()
        pytest.fail(line + process.communicate()[1].decode())
    return process


def send_datagrams(count: int) -> tuple[int, int]:
    """To a socket that is there, so that nothing is answered; gives both ports."""
    with socket.socket(type=socket.SOCK_DGRAM) as there, socket.socket(type=socket.SOCK_DGRAM) as here:
        there.bind(("127.0.0.1", 0))
        here.connect(there.getsockname())
        for _ in range(count):
            here.send(bytes(100))
        return here.getsockname()[1], there.getsockname()[1]


def test_ctrl_c_shows_what_was_counted(loopback, tmp_path):
    file = tmp_path / "flows.csv"
    process = started("--json", "--flows-csv", str(file), "--flows", "1000")
    try:
        ports = send_datagrams(50)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=START_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    figures = json.loads(out)
    row, = figures["flows"]["top"]
    assert (row["src"], row["dst"], row["src_port"], row["dst_port"]) == ("127.0.0.1", "127.0.0.1", *ports)
    assert row["packets"] == figures["packets"] == 50
    assert row["bytes"] == figures["bytes"] == 50 * (14 + 20 + 8 + 100)
    in_file, = csv.DictReader(file.read_text().splitlines())
    assert in_file["packets"] == "50" and in_file["dst_port"] == str(ports[1])


def test_for_some_seconds(loopback):
    process = started("--seconds", "1", "--flows", "1000")
    try:
        ports = send_datagrams(7)
        out, err = process.communicate(timeout=START_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert f"127.0.0.1:{ports[0]} > 127.0.0.1:{ports[1]} udp" in out.decode()


def test_a_device_that_is_none(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))      # the log stays
    if not (run.BUILD / "meter").exists():
        pytest.skip(f"{run.BUILD / 'meter'} is not built")
    assert cli.main(["meter", "--vdev", "net_nosuch0", "--seconds", "1"]) == 1
    assert "meter ended with status 77 (its last words: meter: DPDK could not start" in capsys.readouterr().err
