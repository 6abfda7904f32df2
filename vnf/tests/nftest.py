# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of nfs share: frames through vnf between pcap files, and frames to send."""

import random
import time
from collections.abc import Sequence
from typing import Any

from coretest import Program, read_pcap, write_pcap
from scapy.layers.inet import ICMP, IP, IPOption_NOP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

WAIT_S = 20.0
ETHER = Ether(src="02:0a:0b:0c:0d:0e", dst="02:00:00:00:00:aa")     # else scapy would look for addresses on the wire


def forward(tmp_path, nf: str, *inputs: Sequence[bytes]) -> tuple[list[list[bytes]], dict[str, Any]]:
    """Runs vnf until it has received all; the frames that left each port, and its stats, with its ports' `macs`."""
    vdevs = []
    for i, frames in enumerate(inputs):
        source = write_pcap(tmp_path / f"in{i}.pcap", frames)
        vdevs.append(f"net_pcap{i},rx_pcap={source},tx_pcap={tmp_path}/out{i}.pcap")
    total = sum(len(frames) for frames in inputs)
    with Program("vnf", "--nf", nf, vdevs=vdevs) as vnf:
        assert vnf.ready["nf"] == nf.split(":")[0]
        deadline = time.monotonic() + WAIT_S
        while (stats := vnf.do("stats"))["rx_count"] < total:
            assert time.monotonic() < deadline, stats
            time.sleep(0.01)
        stats["macs"] = [port["mac"] for port in vnf.ready["ports"]]
        vnf.end()
    return [read_pcap(tmp_path / f"out{i}.pcap") for i in range(len(inputs))], stats


def conserved(stats: dict[str, Any]) -> None:
    """Nothing comes from nowhere, nothing goes without a reason."""
    for side in stats["sides"]:
        assert side["rx_count"] == sum(side[key] for key in ("tx_count", "nf_dropped_count", "tx_full_count",
                                                             "held_count"))
        assert sum(side["dropped"].values()) == side["nf_dropped_count"]


def dropped(stats: dict[str, Any], side: int = 0) -> dict[str, int]:
    """Reasons that there were."""
    return {reason: n for reason, n in stats["sides"][side]["dropped"].items() if n}


def address(rng: random.Random, version: int) -> str:
    """One of few, so that prefixes and packets meet."""
    if version == 4:
        return f"10.{rng.randrange(4)}.{rng.randrange(4)}.{rng.randrange(256)}"
    return f"2001:db8:{rng.randrange(4)}:{rng.randrange(4)}::{rng.randrange(65536):x}"


def packet(rng: random.Random, version: int | None = None) -> Packet:
    """A sound frame: IPv4 or IPv6, UDP, TCP or something else, with or without VLAN tag and IPv4 options."""
    version = version or rng.choice((4, 6))
    frame = ETHER
    if rng.random() < 0.2:
        frame /= Dot1Q(vlan=rng.randrange(1, 4095))
    ports = {"sport": rng.randrange(65536), "dport": rng.choice((53, 80, rng.randrange(65536)))}
    l4 = rng.choice((UDP(**ports), UDP(**ports, chksum=0) if version == 4 else UDP(**ports), TCP(**ports),
                     ICMP() if version == 4 else Raw(b"no header")))
    source, destination = address(rng, version), address(rng, version)
    if version == 4:
        options = [] if rng.random() < 0.8 else [IPOption_NOP()] * 4
        ip = IP(src=source, dst=destination, ttl=rng.choice((64, 255, 2, 1, 0)), tos=rng.randrange(256),
                options=options, id=rng.randrange(65536))
    else:
        ip = IPv6(src=source, dst=destination, hlim=rng.choice((64, 255, 2, 1, 0)), tc=rng.randrange(256),
                  **({"nh": 59} if isinstance(l4, Raw) else {}))
    return frame / ip / l4 / Raw(rng.randbytes(rng.randrange(100)))


def hostile(rng: random.Random, count: int) -> list[bytes]:
    """Noise, and sound frames that were cut off or damaged."""
    frames = [rng.randbytes(rng.randrange(1, 120)) for _ in range(count // 4)]
    frames.append(bytes(ETHER / ARP()))
    while len(frames) < count:
        frame = bytearray(bytes(packet(rng)))
        for _ in range(rng.randrange(3)):
            frame[rng.randrange(min(60, len(frame)))] = rng.randrange(256)
        frames.append(bytes(frame[:rng.randrange(1, len(frame) + 1)]) if rng.random() < 0.5 else bytes(frame))
    rng.shuffle(frames)
    return frames


def checksums_are_right(frame: bytes) -> bool:
    """Scapy, which computes them anew, comes to the same (a UDP checksum of 0 stands for none)."""
    again = Ether(frame)
    for layer in (IP, TCP, UDP):
        if again.haslayer(layer) and not (layer is UDP and again[UDP].chksum == 0):
            del again[layer].chksum
    return bytes(again) == frame
