# SPDX-License-Identifier: BSD-3-Clause
"""Network functions that are the kernel's own, and VMs on tap devices: plans, and real short runs where the machine can."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.all import ARP, ICMP, IP, UDP, Ether, IPv6, PcapNgReader, raw

from harness import bed, host, kernelnf, plan, programs, qemu, run
from harness.cell import Cell
from harness.tests.support import IMAGE, cells_of_text, real_run, seeded, setup_of
from harness.tests.test_ports import needs_devices
from harness.topology import GENERATOR

LOOPBACK = '[matrix]\ntopology = "loopback"\nport_kind = "af_packet"\nswitch = "linux-bridge"\n'


def chain(tmp_path: Path, nf: str, guest: str, direction: str = "one-way", more: str = "") -> Cell:
    text = LOOPBACK + f'nf = "{nf}"\nguest = "{guest}"\ndirection = "{direction}"\n{more}'
    [one] = cells_of_text(tmp_path, text)
    return one


# ---- plans ---------------------------------------------------------------------------------------------------------

def hop_by_hop(cell: Cell, back: bool) -> str:
    """Where a frame comes out whose destination address the generator chose, if routers take only what is addressed to
    them and readdress it as their command line says; a model that knows only argv and the wires."""
    flow = next(f for f in cell.topology.flows if f.back == back)
    address = programs.mac(*kernelnf.next_hop(cell.topology, cell.nf_names, flow.tx))
    at = flow.tx
    peers = {peer.name: peer for peer in setup_of(cell).peers}
    while True:
        at = cell.topology.across(at)
        who, port = at
        if who == GENERATOR:
            return address
        argv = list(peers[who].argv)
        if {"linux-router", "xdp-forward"} & set(argv):
            ends = [argv[i + 1].split("=") for i, word in enumerate(argv) if word == "--port"]
            assert ends[port][0] == address, (who, port, address)
            address = ends[1 - port][1]
        at = who, 1 - port


@pytest.mark.parametrize("guest", ["process", "qemu"])
def test_frames_get_through_any_chain_both_ways(guest: str, tmp_path: Path) -> None:
    r = seeded()
    for _ in range(15):
        nf = "+".join(r.choices(["linux-router", "xdp-forward", "linux-bridge", "io"], k=r.randint(2, 5)))
        cell = chain(tmp_path, nf, guest, "two-way")
        assert not cell.unsupported
        for back in (False, True):
            flow = next(f for f in cell.topology.flows if f.back == back)
            assert hop_by_hop(cell, back) == programs.mac(*flow.rx), nf


REFUSED = (
    ("linux-router", 'guest = "process"\nport_kind = "vhost-user"', "port_kind = \"af_packet\""),
    ("linux-router", 'guest = "qemu"\nport_kind = "vhost-user"', ""),
    ("linux-router", 'guest = "qemu"\nport_kind = "af_packet"', ""),
    ("linux-router", 'guest = "qemu"\nqueues = 2', "queues = 1"),
    ("io+linux-bridge", 'guest = "process"\nport_kind = "af_packet"\nidle = "yield"', "idle = \"auto\""),
    ("linux-bridge", 'guest = "qemu"\nframe_bytes = 9000', "above 1518 bytes"),
    ("linux-router", 'guest = "qemu"\n[traffic]\nip = 6\n', "IPv4"),
    ("linux-router", 'guest = "qemu"\n[traffic]\nlearning_count = 3', "learning_count"),
    ("xdp-forward", 'guest = "process"\nport_kind = "vhost-user"', "xdp-forward works on network devices"),
    ("io+xdp-forward", 'guest = "qemu"\n[traffic]\nvlan = 3', "xdp-forward forwards plain IPv4"),
    ("linux-bridge", 'guest = "qemu"\n[traffic]\nip = 6', ""),
)


@pytest.mark.parametrize("nf, text, says", REFUSED)
def test_what_the_kernel_cannot_do_is_na(nf: str, text: str, says: str, tmp_path: Path) -> None:
    sizes = "" if "frame_bytes" in text else "frame_bytes = 128\n"
    [cell] = cells_of_text(tmp_path, f'[matrix]\ntopology = "loopback"\nnf = "{nf}"\n{sizes}{text}', switches=["testpmd"])
    assert bool(cell.unsupported) == bool(says) and says in cell.unsupported


def nic_words(cell: Cell, **more: Any) -> list[str]:
    setup = plan.setup(cell, bed.load(None), IMAGE, "/run/vswbench-01234567/c1", "/", **more)
    argv = setup.peers[1].argv if not setup.peers[1].vm else qemu.argv(setup.peers[1].vm)
    return [word for word in argv if "net0" in word]


def test_a_vm_on_devices_has_the_switchs_end_as_its_tap(tmp_path: Path) -> None:
    cell = chain(tmp_path, "io", "qemu")
    setup = setup_of(cell)
    assert setup.site.taps == ("g1.0", "g1.1") and "g1.0-peer" not in str(setup)
    made = [step.argv for step in setup.network if "tuntap" in getattr(step, "argv", ())]
    assert [(argv[2], argv[argv.index("dev") + 1]) for argv in made] == [(setup.site.namespace, d) for d in setup.site.taps]
    [backend, device] = nic_words(cell, accel="kvm")
    assert "ifname=g1.0" in backend and "vhost=on" in backend and "tx_queue_size=256" in device
    assert "vhost=off" in nic_words(cell, accel="kvm", vhost_net=False)[0]


def test_interrupts_are_left_out_where_qemu_would_die_of_them(tmp_path: Path) -> None:
    """A kernel's driver, no KVM, and somebody else than QEMU at the queues."""
    for nf, accel, vhost_net, left_out in (("linux-router", "tcg", True, True), ("linux-router", "tcg", False, False),
                                           ("linux-router", "kvm", True, False), ("io", "tcg", True, False)):
        words = nic_words(chain(tmp_path, nf, "qemu"), accel=accel, vhost_net=vhost_net)[1]
        assert ("vectors=0" in words) == left_out, (nf, accel, vhost_net)


# ---- kernelnf by itself --------------------------------------------------------------------------------------------

KERNELNF = run.BUILD / "kernelnf"
needs_xdp = pytest.mark.skipif(not (run.BUILD / kernelnf.XDP_PROGRAM).exists(), reason="it was built without clang")
needs_kernelnf = pytest.mark.skipif(not KERNELNF.exists(), reason="kernelnf is not built")


@needs_kernelnf
@pytest.mark.parametrize("words", [(), ("--nf", "linux-router"), ("--nf", "io", "--port", "a", "--port", "b"),
                                   ("--nf", "linux-bridge", "--port", "02:00:00:00:00:01=02:00:00:00:00")])
def test_bad_arguments_are_refused(words: tuple[str, ...]) -> None:
    done = subprocess.run([KERNELNF, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and done.stderr.startswith("usage: kernelnf")


# In a namespace: kernelnf between two pairs of devices, frames in at one outer end, out at the other, as JSON.
BETWEEN = """
import json, socket, subprocess, sys
program, nf, frames = sys.argv[1], sys.argv[2], json.load(sys.stdin)
def sh(words): subprocess.run(words.split(), check=True)
for i, side in enumerate(("left", "right")):
    sh(f"ip link add {side} type veth peer name in-{side} address 02:00:00:00:00:0{i}")
    for device in (side, f"in-{side}"):
        sh(f"ethtool -K {device} gro on")
        sh(f"ip link set dev {device} arp off up")
ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(2)]
for end, side in zip(ends, ("left", "right")):
    end.bind((side, 3))     # ETH_P_ALL
ends[1].setsockopt(socket.SOL_SOCKET, 33, 1 << 24)      # SO_RCVBUFFORCE
ends[1].settimeout(0.3)
argv = [program, "--nf", nf]
argv += [word for i in range(2) for word in ("--port", f"02:00:00:00:00:0{i}=02:00:00:00:01:0{i}")]
with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
    ready, out = json.loads(child.stdout.readline()), []
    for frame in frames:
        ends[0].send(bytes.fromhex(frame))
    try:
        while True:
            out.append(ends[1].recv(65536).hex())
    except TimeoutError:
        pass
    child.stdin.write('{"id": 1, "cmd": "stats"}\\n')
    child.stdin.close()
    print(json.dumps({"ready": ready, "out": out, "side": json.loads(child.stdout.readline())["sides"][0]}))
"""


def through(nf: str, frames: list[bytes]) -> dict[str, Any]:
    name = f"vswbench-test-{os.getpid()}"
    subprocess.run(("ip", "netns", "add", name), check=True)
    inside = ("ip", "netns", "exec", name)
    try:        # the kernel's own frames are none of ours, as in a run (ports.py)
        subprocess.run((*inside, "sysctl", "-qe", "-w", "net.ipv6.conf.default.disable_ipv6=1"), check=True)
        done = subprocess.run((*inside, sys.executable, "-c", BETWEEN, KERNELNF, nf), text=True, capture_output=True,
                              check=False, timeout=30, input=json.dumps([f.hex() for f in frames]))
    finally:
        subprocess.run(("ip", "netns", "del", name), check=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def frame(r: random.Random, **ip: Any) -> bytes:
    """To the router, with `ip` in its header and all else at random."""
    src, dst = (f"{net}.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(1, 255)}" for net in (10, 11))
    words = {"src": src, "dst": dst, "ttl": r.randint(2, 255), "id": r.getrandbits(16), "tos": r.choice((0, 8, 184))}
    return bytes(Ether(dst="02:00:00:00:00:00", src="02:00:00:00:01:00") / IP(**{**words, **ip})
                 / UDP(sport=r.getrandbits(16), dport=9) / r.randbytes(r.randint(18, 1400)))


@needs_devices
@needs_kernelnf
@needs_xdp
def test_xdp_forward_does_to_frames_what_the_kernels_router_does() -> None:
    r = seeded()
    good = [frame(r) for _ in range(200)] + [frame(r, ttl=2), frame(r, ttl=255)]
    bad = {"ttl": [frame(r, ttl=1), frame(r, ttl=0)], "no_route": [frame(r, dst="127.0.0.1")],
           "not_ip": [bytes(Ether(dst="02:00:00:00:00:00") / IPv6() / UDP())],
           "malformed": [good[0][:20], good[0][:14] + b"\x44" + good[0][15:], good[0][:60]]}
    others = [b"\x02\0\0\0\0\x07" + good[0][6:], bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP())]
    mixed = good + others + [f for frames in bad.values() for f in frames]
    r.shuffle(mixed)
    ours, kernels = (through(nf, mixed) for nf in ("xdp-forward", "linux-router"))
    assert ours["ready"]["xdp_mode"] == "native"
    routed = [f for f in kernels["out"] if ICMP not in Ether(bytes.fromhex(f))]     # which says that time is exceeded
    assert ours["out"] == routed and len(routed) == len(good)
    assert ours["side"]["dropped"] == {why: len(frames) for why, frames in bad.items()}
    assert (ours["side"]["rx_count"], ours["side"]["tx_count"]) == (len(mixed), len(good))


REAL = """
name = "real"
[matrix]
topology = "loopback"
flows = 10
port_kind = "af_packet"
switch = "linux-bridge"
GUESTS
[search]
kind = "fixed"
rate_pps = 2000
trials = 1
trial_s = 0.1
warmup_s = 0
[traffic]
capture = {first = 20}
"""


def times_to_live(folder: Path) -> list[set[int]]:
    """Of the frames that came back, by cell in the order of their folders; checksums are right (scapy's own)."""
    found = []
    for file in sorted(folder.glob("logs/*/*.pcapng")):
        frames = [Ether(raw(frame)) for frame in PcapNgReader(str(file))]
        for frame in frames:
            again = frame.copy()
            del again[IP].chksum
            assert Ether(raw(again))[IP].chksum == frame[IP].chksum
        found.append({frame[IP].ttl for frame in frames})
    return found


@needs_devices
@needs_kernelnf
def test_functions_of_the_kernel_forward_for_real(tmp_path: Path) -> None:
    """As process guests: what is sent is received or lost, each router takes one from the time to live, and the kernel's
    counters are those of the trial."""
    chains = ["linux-bridge", "linux-router+io+xdp-forward"]
    guests = f'guest = "process"\nnf = {chains}\ndirection = "two-way"'
    folder, rows = real_run(tmp_path, REAL.replace("GUESTS", guests), timeout_s=120)
    assert sorted(r["nf"] for r in rows) == chains
    assert sorted(map(sorted, times_to_live(folder))) == [[62], [64]]
    with (folder / "nfs.csv").open(newline="") as hops:
        mine = [hop for hop in csv.DictReader(hops) if hop["nf"] in kernelnf.NAMES]
    assert mine and all(0 < int(hop["offered_count"]) == int(hop["rx_count"]) == int(hop["tx_count"]) for hop in mine)
    assert {hop["cycles_per_packet"] for hop in mine} == {""}


@pytest.mark.skipif(os.environ.get("VSWBENCH_SLOW") != "1", reason="slow: run `make test-slow`")
@needs_devices
@needs_kernelnf
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not there")
@pytest.mark.skipif(not (run.BUILD / "guest/image.json").exists(), reason="the guest image is not built")
def test_a_vm_on_tap_devices_routes_for_real(tmp_path: Path) -> None:
    routers = 'nf = ["linux-router", "xdp-forward"]'
    folder, rows = real_run(tmp_path, REAL.replace("GUESTS", f'guest = "qemu"\n{routers}'), timeout_s=120)
    assert times_to_live(folder) == [{63}, {63}]
    for row in rows:
        assert ("no_vhost_net" in row["flags"]) != host.has_vhost_net() and "generic_xdp" not in row["flags"]
