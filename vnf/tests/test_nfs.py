# SPDX-License-Identifier: BSD-3-Clause
"""Every nf between pcap files, against models: brute force over routes and rules, token buckets, a table of flows; and
scapy, which computes every header and checksum anew."""

import functools
import ipaddress
import subprocess
from collections import Counter, defaultdict

import pytest
from coretest import END_S, command, environment, seeded
from harness import nfs
from nftest import ETHER, WAIT_S, address, checksums_are_right, conserved, dropped, forward, hostile, packet
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

ALL = ("io", "macswap", "l2fwd", "l3fwd", "firewall", "nat", "qos", "loadbalance", "monitor", "noisy")


def mac(number):
    return f"06:00:00:00:00:{number:02x}"


def l4_of(frame):
    return next((frame[layer] for layer in (UDP, TCP) if frame.haslayer(layer)), None)


def rebuilt(frame):
    """The frame with its IP and L4 checksums made anew; a UDP checksum of 0 stays."""
    for layer in (IP, TCP, UDP):
        if frame.haslayer(layer) and not (layer is UDP and frame[UDP].chksum == 0):
            del frame[layer].chksum
    return bytes(frame)


# ---- all of them ---------------------------------------------------------------------------------------------------

@functools.cache
def noise():
    rng = seeded()
    return hostile(rng, 800), hostile(rng, 300)


@functools.cache
def plain():
    """Frames as the generator's, there and back."""
    rng = seeded()
    frames = [bytes(ETHER / ip / UDP(sport=1024 + i % 30, dport=9, **sums) / Raw(rng.randbytes(18)))
              for i in range(100) for ip, sums in ((IP(src=f"198.18.0.{i % 7}", dst="198.19.0.1"), {"chksum": 0}),
                                                   (IPv6(src="2001:2::1", dst="2001:2:0:1::1"), {}))]
    back = [bytes(ETHER / IP(src="198.19.0.1", dst="198.18.0.1") / UDP(sport=9, dport=1024) / Raw(rng.randbytes(18)))
            for _ in range(50)]
    return frames, back


@pytest.mark.parametrize("nf", ALL)
def test_sound_frames_pass_and_hostile_ones_are_forwarded_or_dropped_for_a_reason(tmp_path, nf):
    """The sound ones keep what is behind their headers, where the stamp is."""
    sound = plain()
    inputs = [noisy + good for noisy, good in zip(noise(), sound)]
    outs, stats = forward(tmp_path, nf, *inputs)
    conserved(stats)
    for side, sent in enumerate(inputs):
        out, good = outs[1 - side], sound[side]
        assert len(out) == stats["sides"][side]["tx_count"]
        assert not Counter(map(len, out)) - Counter(map(len, sent))
        if not stats["sides"][side]["nf_dropped_count"]:
            assert [len(f) for f in out] == [len(f) for f in sent]
        passed = out[-len(good):]
        assert [f[-18:] for f in passed] == [f[-18:] for f in good] and all(map(checksums_are_right, passed))
    assert stats["nf_cycles"] <= stats["busy_cycles"] and stats["cpu_ns"] > 0


@pytest.mark.parametrize("nf, says", (
    ("l2fwd:peer 1:2:3:4:5:6", "statement 1 (peer 1:2:3:4:5:6): allowed is peer MAC"),
    ("l3fwd:route ::/0 discard;route 10.0.0.1/8 discard", "statement 2"), ("l3fwd:route 0.0.0.0/0 nowhere", "next hop"),
    ("firewall:deny udp 10.0.0.0/8 any ::/0 any", "allowed is permit|deny"), ("firewall:" + "x " * 9, "too long"),
    ("nat:address ::1", "an IPv4 address"), ("nat:colour red", "no such setting"), ("nat:flows_max 7", "from 8 to"),
    ("qos:meter trtcm;pir_bytes_per_s 5;cir_bytes_per_s 6", "RFC 2698"), ("qos:meter red", "srtcm or trtcm"),
    ("loadbalance:backend 02:00:00:00:00:01 ::1", "IPv4"), ("noisy:accesses 99999999999999999999", "from 0 to"),
    ("loadbalance:" + ";".join(["backend 02:00:00:00:00:01"] * (nfs.BACKENDS_MAX + 1)),
     f"over {nfs.BACKENDS_MAX} backends"),
    ("l3fwd:" + ";".join(f"route 10.0.{i}.0/24 {mac(i)}" for i in range(nfs.NEXT_HOPS_MAX + 1)),
     f"over {nfs.NEXT_HOPS_MAX} different next hops"),
    ("router", "bad value for --nf")))
def test_arguments_that_cannot_be(nf, says):
    argv = command("vnf", vdevs=["net_null0", "net_null1"], own=["--nf", nf])
    done = subprocess.run(argv, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=WAIT_S + END_S)
    assert done.returncode == 2, done.stderr
    assert says in (done.stderr if nf == "router" else done.stderr.splitlines()[-1])    # that is the line people see


@pytest.mark.parametrize("program, status, says", (
    ("vnf", 77, "port 0 (net_null) has no receive interrupts here"), ("pktgen", 2, "only vnf can wait for interrupts")))
def test_who_cannot_wait_for_interrupts_says_so(program, status, says):
    argv = command(program, vdevs=["net_null0", "net_null1"], own=["--idle", "interrupt"])
    done = subprocess.run(argv, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=WAIT_S + END_S)
    assert done.returncode == status and says in done.stderr


TABLES = {
    "l3fwd": {"routes": ["10.0.0.0/8 02:00:00:00:00:01", "2001:db8::/33 discard", "::/0 06:00:00:00:00:0A",
                         "1.2.3.4 discard", *(f"10.0.{i}.0/24 {mac(i)}" for i in range(11, nfs.NEXT_HOPS_MAX + 9))]},
    "firewall": {"rules": ["deny icmp6 ::1 any fe80::/10 any", "permit 255 any 0-65535 1.2.3.4 7"],
                 "default": "permit"},
    "nat": {"address": "192.0.2.1", "flows_max": 8, "timeout_ms": 1, "unmatched": "pass"},
    "qos": {"meter": "trtcm", "by": "flow", "yellow": "drop", "meters": 3, "cir_bytes_per_s": 10**12,
            "pir_bytes_per_s": 10**12, "cbs_bytes": 1 << 30, "ebs_bytes": 0, "pbs_bytes": 1 << 30},
    "loadbalance": {"backends": ["02:00:00:00:00:01", "02:00:00:00:00:02 10.0.0.1",
                                 *map(mac, range(nfs.BACKENDS_MAX - 2))]},
    "noisy": {"memory_kib": 1, "accesses": 0, "cycles": 0}, "delay": {"time_us": 0.001, "packets": 1 << 24},
}


@pytest.mark.parametrize("name", TABLES)
def test_what_the_harness_takes_from_a_scenario_the_nf_takes_too(tmp_path, name):
    [(_, argument)] = nfs.check("s.toml", {name: TABLES[name]}, tmp_path, {name}, 1)
    frames = [bytes(ETHER / IP(src="5.6.7.8", dst="10.0.0.1") / UDP() / Raw(b"x" * 20))]
    (_, out), stats = forward(tmp_path, f"{name}:{argument}", frames, [])
    assert tuple(stats["sides"][0]["dropped"]) == nfs.DROPS
    assert len(out) == 1 or name == "delay"


# ---- l2fwd, l3fwd --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arg, peers", (("", ("02:00:00:00:00:01", "02:00:00:00:00:00")),
                                        (f":peer {mac(9)}", (mac(9),) * 2)))
def test_l2fwd_rewrites_both_addresses_and_nothing_else(tmp_path, arg, peers):
    rng = seeded()
    inputs = [[bytes(packet(rng)) for _ in range(n)] for n in (100, 50)]
    outs, stats = forward(tmp_path, f"l2fwd{arg}", *inputs)
    for side in (0, 1):
        head = bytes.fromhex((peers[side] + stats["macs"][1 - side]).replace(":", ""))
        assert outs[1 - side] == [head + frame[12:] for frame in inputs[side]]


def prefixes(rng, version, count):
    found = {}
    for _ in range(count):
        length = rng.choice(range(33) if version == 4 else (*range(0, 129, 4), 127, 128))
        net = ipaddress.ip_network(f"{address(rng, version)}/{length}", strict=False)
        found[net] = rng.choice(("discard", mac(rng.randrange(20)), mac(rng.randrange(20))))
    return found


def longest(routes, destination):
    """Brute force."""
    ip = ipaddress.ip_address(destination)
    match = [net for net in routes if net.version == ip.version and ip in net]
    return routes[max(match, key=lambda net: net.prefixlen)] if match else "discard"


def test_l3fwd_takes_the_longest_prefix_and_ages_packets(tmp_path):
    rng = seeded()
    routes = prefixes(rng, 4, 150) | prefixes(rng, 6, 150)
    packets = [packet(rng) for _ in range(600)]
    frames = [bytes(p) for p in packets]
    arg = ";".join(f"route {net} {hop}" for net, hop in routes.items())
    (_, out), stats = forward(tmp_path, f"l3fwd:{arg}", frames, [])
    expected, reasons = [], Counter()
    for frame in map(Ether, frames):
        ip = frame[IP] if frame.haslayer(IP) else frame[IPv6]
        field = "ttl" if frame.haslayer(IP) else "hlim"
        hop = longest(routes, ip.dst)
        if getattr(ip, field) <= 1 or hop == "discard":
            reasons["ttl" if getattr(ip, field) <= 1 else "no_route"] += 1
            continue
        setattr(ip, field, getattr(ip, field) - 1)
        frame.src, frame.dst = stats["macs"][1], hop
        expected.append(rebuilt(frame))
    assert out == expected
    assert dropped(stats) == reasons


def test_l3fwd_without_routes_sends_all_ip_to_the_peer_and_nothing_else(tmp_path):
    frame = ETHER / IP(src="1.2.3.4", dst="5.6.7.8") / UDP() / Raw(b"x" * 30)
    bad_sum = bytearray(bytes(frame))
    bad_sum[24] ^= 1
    (_, out), stats = forward(tmp_path, "l3fwd", [bytes(frame), bytes(ETHER / ARP()), bytes(bad_sum), b"\0" * 13], [])
    assert [Ether(f).dst for f in out] == ["02:00:00:00:00:01"] and Ether(out[0])[IP].ttl == 63
    assert dropped(stats) == {"not_ip": 1, "malformed": 2}


# ---- firewall ------------------------------------------------------------------------------------------------------

def random_rule(rng):
    version = rng.choice((4, 6))

    def net():
        length = rng.choice((0, 8, 14, 15, 16, 22, 24, 28, 32) if version == 4 else
                            (0, 32, 46, 47, 48, 62, 63, 64, 112, 128))
        return rng.choice(("any", str(ipaddress.ip_network(f"{address(rng, version)}/{length}", strict=False))))

    def ports():
        low = rng.choice((0, 53, 80, rng.randrange(65536)))
        return rng.choice(("any", str(low), f"{low}-{rng.randrange(low, 65536)}"))

    protocol = rng.choice(("any", "udp", "tcp", "icmp", "17", "59"))
    return rng.choice(("permit", "deny")), protocol, net(), ports(), net(), ports()


def in_net(word, ip):
    return word == "any" or ipaddress.ip_address(ip) in ipaddress.ip_network(word)


def in_ports(word, port):
    low, _, high = word.partition("-")
    return word == "any" or int(low) <= port <= int(high or low)


def verdict(rules, default, frame):
    ip = frame[IP] if frame.haslayer(IP) else frame[IPv6]
    protocol = ip.proto if frame.haslayer(IP) else ip.nh
    l4 = l4_of(frame)
    for action, proto, source, source_ports, destination, destination_ports in rules:
        if all((proto == "any" or {"udp": 17, "tcp": 6, "icmp": 1}.get(proto, proto) in (protocol, str(protocol)),
                in_net(source, ip.src), in_ports(source_ports, l4.sport if l4 else 0),
                in_net(destination, ip.dst), in_ports(destination_ports, l4.dport if l4 else 0))):
            return action
    return default


@pytest.mark.parametrize("default", ("permit", "deny"))
def test_the_first_rule_that_matches_decides(tmp_path, default):
    rng = seeded()
    rules = [random_rule(rng) for _ in range(60)]
    frames = [bytes(packet(rng)) for _ in range(600)]
    arg = ";".join([*map(" ".join, rules), f"default {default}"])
    (_, out), stats = forward(tmp_path, f"firewall:{arg}", frames, [])
    assert out == [f for f in frames if verdict(rules, default, Ether(f)) == "permit"]
    assert set(dropped(stats)) <= {"denied"}


def test_a_rule_of_one_family_leaves_the_other_alone_and_arp_passes(tmp_path):
    four, six = (bytes(ETHER / ip / UDP(dport=53) / Raw(b"x" * 20)) for ip in (IP(), IPv6()))
    arp = bytes(ETHER / ARP())
    for rule, left in (("deny udp 0.0.0.0/0 any any any", [six, arp]), ("deny any any any ::/0 53", [four, arp]),
                       ("deny udp any any any 53", [arp]), ("default deny", [arp])):
        (_, out), stats = forward(tmp_path, f"firewall:{rule}", [four, six, arp], [])
        assert out == left, rule
        assert dropped(stats) == {"denied": 3 - len(left)}


# ---- nat -----------------------------------------------------------------------------------------------------------

def inner_frame(rng, flow):
    protocol = (UDP, TCP)[flow % 2]
    sums = {"chksum": 0} if protocol is UDP and flow % 3 == 0 else {}
    return bytes(ETHER / IP(src=f"192.168.{flow // 200}.{flow % 200}", dst=address(rng, 4), ttl=7) /
                 protocol(sport=1000 + flow // 4, dport=rng.randrange(65536), **sums) /
                 Raw(rng.randbytes(rng.randrange(60))))


def inner_of(frame):
    return frame[IP].proto, frame[IP].src, l4_of(frame).sport


def test_nat_maps_every_inner_pair_to_one_outer_pair_and_back(tmp_path):
    rng = seeded()
    frames = [inner_frame(rng, rng.randrange(150)) for _ in range(500)]
    (_, out), stats = forward(tmp_path, "nat", frames, [])
    outer_of, inners = {}, {}
    for before, raw in zip(map(Ether, frames), out, strict=True):
        after = Ether(raw)
        inner, outer = inner_of(before), inner_of(after)
        assert outer[1] == "198.18.255.1" and outer[2] >= 1024
        assert outer_of.setdefault(inner, outer) == outer and inners.setdefault(outer, inner) == inner
        after[IP].src, l4_of(after).sport = inner[1:]
        assert rebuilt(after) == rebuilt(before), "only the source pair and the checksums change"
        assert checksums_are_right(raw)
    assert stats["mappings_count"] == len(outer_of)
    # the way back, behind enough frames that have no mapping for the mappings to be there
    filler = bytes(ETHER / IP(src="9.9.9.9", dst="198.18.255.1") / UDP(dport=65535) / Raw(b"x" * 18))
    answers = [bytes(ETHER / IP(src="8.8.8.8", dst=outer[1]) / (UDP, TCP)[outer[0] == 6](sport=53, dport=outer[2]) /
                     Raw(rng.randbytes(20))) for outer in inners]
    (back, again), _ = forward(tmp_path, "nat", frames, [filler] * (len(frames) + 500) + answers)
    assert again == out and back[:-len(answers)] == [filler] * (len(frames) + 500)
    for sent, raw, inner in zip(answers, back[-len(answers):], inners.values(), strict=True):
        frame = Ether(raw)
        assert (frame[IP].proto, frame[IP].dst, l4_of(frame).dport) == inner
        assert checksums_are_right(raw) and raw[-20:] == sent[-20:]


@pytest.mark.parametrize("policy", ("pass", "drop"))
def test_what_nat_cannot_translate(tmp_path, policy):
    ip = {"src": "192.168.0.1", "dst": "10.0.0.1"}
    odd = [ETHER / IP(**ip, proto=47) / Raw(b"x" * 40), ETHER / IP(**ip, flags="MF") / UDP() / Raw(b"x" * 40),
           ETHER / IP(**ip, frag=5) / Raw(b"x" * 40), ETHER / IPv6() / UDP() / Raw(b"x" * 40), ETHER / ARP()]
    frames = [bytes(f) for f in odd]
    outs, stats = forward(tmp_path, f"nat:unmatched {policy}", frames, frames[:3])
    assert outs == ([frames[:3], frames] if policy == "pass" else [[], []])
    assert dropped(stats) == ({} if policy == "pass" else {"no_mapping": 5})


def test_nat_drops_new_flows_when_it_is_full_and_keeps_the_old_ones(tmp_path):
    rng = seeded()
    frames = [inner_frame(rng, flow) for flow in (*range(50), *range(50))]
    (_, out), stats = forward(tmp_path, "nat:flows_max 16", frames, [])
    assert len(out) == 32 and dropped(stats) == {"table_full": 68}
    assert [inner_of(Ether(f)) for f in out[:16]] == [inner_of(Ether(f)) for f in out[16:]]


def test_nat_has_further_addresses_behind_the_ports_of_one(tmp_path):
    frames = [bytes(ETHER / IP(src="10.0.0.1", dst="1.1.1.1") / UDP(sport=1, dport=9) / Raw(b"x" * 18))]
    base = bytearray(frames[0])
    frames = []
    for flow in range(66000):
        base[26:30] = (0x0a000000 + flow).to_bytes(4, "big")
        base[24:26] = b"\0\0"
        frames.append(bytes(base))
    (_, out), stats = forward(tmp_path, "nat:flows_max 70000;address 100.64.0.1", frames, [])
    pairs = {(f[26:30], f[34:36]) for f in out}
    assert len(pairs) == 66000 and {p[0] for p in pairs} == {bytes((100, 64, 0, 1)), bytes((100, 64, 0, 2))}


# ---- qos -----------------------------------------------------------------------------------------------------------

class SrTcm:
    """RFC 2697, colour-blind, with a rate so low that no token comes while the test lasts."""

    def __init__(self, cbs, ebs):
        self.tc, self.te = cbs, ebs

    def colour(self, size):
        if self.tc >= size:
            self.tc -= size
            return "green"
        if self.te >= size:
            self.te -= size
            return "yellow"
        return "red"


class TrTcm:
    """RFC 2698, likewise."""

    def __init__(self, cbs, pbs):
        self.tc, self.tp = cbs, pbs

    def colour(self, size):
        if self.tp < size:
            return "red"
        self.tp -= size
        if self.tc < size:
            return "yellow"
        self.tc -= size
        return "green"


@pytest.mark.parametrize("yellow", ("pass", "drop"))
@pytest.mark.parametrize("meter", ("srtcm", "trtcm"))
@pytest.mark.parametrize("by", ("all", "dscp"))
def test_qos_is_a_token_bucket(tmp_path, meter, by, yellow):
    """Sizes are multiples of 64 bytes, so the few tokens of 1 byte/s that come meanwhile change nothing."""
    rng = seeded()
    cbs, second = 64 * rng.randrange(60, 200), 64 * rng.randrange(200, 400)
    more = f"ebs_bytes {second}" if meter == "srtcm" else f"pir_bytes_per_s 1;pbs_bytes {second}"
    settings = f"meter {meter};by {by};yellow {yellow};cir_bytes_per_s 1;cbs_bytes {cbs};{more}"
    frames = [bytes(ETHER / IP(src="1.1.1.1", dst="2.2.2.2", tos=rng.randrange(256)) / UDP() /
                    Raw(bytes(64 * rng.randrange(1, 15) - 28))) for _ in range(400)]
    (_, out), stats = forward(tmp_path, f"qos:{settings}", frames, [])
    models = defaultdict(lambda: (SrTcm if meter == "srtcm" else TrTcm)(cbs, second))
    colours = [models[f[15] >> 2 if by == "dscp" else 0].colour(len(f) - 14) for f in frames]
    passing = ("green", "yellow") if yellow == "pass" else ("green",)
    assert out == [f for f, c in zip(frames, colours) if c in passing]
    assert {c: stats[f"{c}_count"] for c in ("green", "yellow", "red")} == {
        c: colours.count(c) for c in ("green", "yellow", "red")}
    assert dropped(stats).get("rate", 0) == len(frames) - len(out)


def test_qos_by_flow_polices_flows_apart(tmp_path):
    """Every flow has a bucket of its own, or shares it with another: none gets more than a bucket."""
    frames = [bytes(ETHER / IP(src="1.1.1.1", dst="2.2.2.2") / UDP(sport=flow) / Raw(bytes(36)))
              for _ in range(50) for flow in range(20)]
    (_, out), _ = forward(tmp_path, "qos:by flow;meters 65536;cir_bytes_per_s 1;cbs_bytes 640;ebs_bytes 0", frames, [])
    counts = Counter(Ether(f)[UDP].sport for f in out)
    assert len(counts) == 20 and max(counts.values()) == 10 and sum(counts.values()) >= 190


# ---- loadbalance ---------------------------------------------------------------------------------------------------

def balanced(tmp_path, backends, frames):
    arg = ";".join(f"backend {mac(b)} 172.16.0.{b}" for b in backends)
    (_, out), stats = forward(tmp_path, f"loadbalance:{arg}", frames, [])
    return out, stats


def test_loadbalance_is_even_consistent_and_hardly_disturbed_by_a_backend_that_goes(tmp_path):
    rng = seeded()
    frames = [bytes(ETHER / IP(src=f"10.0.{f // 250}.{f % 250}", dst="1.1.1.1") /
                    (UDP, TCP)[f % 2](sport=rng.randrange(65536), dport=80) / Raw(rng.randbytes(20)))
              for f in range(1500)]
    out, stats = balanced(tmp_path, range(5), frames * 2)
    chosen = [Ether(f).dst for f in out]
    assert chosen[:1500] == chosen[1500:], "a flow keeps its backend"
    assert stats["backend_counts"] == [chosen.count(mac(b)) for b in range(5)]
    assert all(abs(chosen[:1500].count(mac(b)) - 300) < 5 * (1500 * 0.2 * 0.8) ** 0.5 for b in range(5))
    for before, raw in zip(map(Ether, frames), out):
        after = Ether(raw)
        assert after[IP].dst == f"172.16.0.{int(after.dst[-2:], 16)}" and checksums_are_right(raw)
        before[IP].dst, before.dst = after[IP].dst, after.dst
        assert rebuilt(before) == raw
    less, _ = balanced(tmp_path, (0, 1, 2, 4), frames)
    moved = sum(a != b for a, b in zip(chosen, [Ether(f).dst for f in less]) if a != mac(3))
    assert moved < 0.1 * 1200
    assert mac(3) not in {Ether(f).dst for f in less}


def test_what_comes_back_through_a_loadbalancer_is_left_alone(tmp_path):
    rng = seeded()
    frames = [bytes(packet(rng)) for _ in range(200)]
    (out, _), _ = forward(tmp_path, "loadbalance", [], frames)
    assert out == frames


# ---- monitor, noisy ------------------------------------------------------------------------------------------------

def test_monitor_counts_flows_and_leaves_frames_alone(tmp_path):
    rng = seeded()
    flows = [bytes(ETHER / IP(src=f"10.0.0.{i}", dst="1.1.1.1") / UDP(sport=i) / Raw(b"x" * 20)) for i in range(200)]
    frames = [rng.choice(flows) for _ in range(1000)]
    (_, out), stats = forward(tmp_path, "monitor", frames, [])
    assert out == frames and (stats["flow_count"], stats["no_room_count"]) == (len(set(frames)), 0)
    (_, out), stats = forward(tmp_path, "monitor:flows_max 50", frames, [])
    assert out == frames and stats["flow_count"] == 50 and stats["no_room_count"] > 0


def test_noisy_works_as_long_as_it_is_told(tmp_path):
    frames = [bytes([i % 256]) * 60 for i in range(2000)]
    (_, out), stats = forward(tmp_path, "noisy:memory_kib 64;accesses 4;cycles 20000", frames, [])
    assert out == frames and stats["nf_cycles"] >= 20000 * 2000
