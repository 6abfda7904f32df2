# SPDX-License-Identifier: BSD-3-Clause
"""The [traffic] table of a scenario: what frames are sent, and when. Checked here, wholly, before anything is started,
and turned into the streams that pktgen's `trial` request takes. Pure.

Traffic is a function of the scenario alone: every switch gets the same frames at the same times.
"""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import genome
from harness.errors import BadInput
from harness.schema import Field, check_table
from harness.search import SEARCHES
from harness.topology import Topology

FRAME_MAX_BYTES = 9216          # pktgen's largest, FCS included
STANDARD_FRAME_BYTES = 1518     # up to here no program needs to be told
ETHERNET_BYTES, VLAN_BYTES, UDP_BYTES, TCP_BYTES, STAMP_BYTES, FCS_BYTES = 14, 4, 8, 20, 18, 4
IP_BYTES = {4: 20, 6: 40}
TUNNEL_BYTES = {                # outer headers behind the first Ethernet header, which are IPv4; then what is inside
    "none": 0,
    "vxlan": 20 + 8 + 8 + ETHERNET_BYTES,   # RFC 7348 section 5: a whole Ethernet frame inside
    "gtpu": 20 + 8 + 8,                     # 3GPP TS 29.281 section 5.1: an IP packet inside
}
SHAPES = ("constant", "poisson", "burst", "ramp")
FLOW_ORDERS = ("increment", "random", "zipf")
# By how many bits a field may vary at most, upwards from its base (pktgen/frame.c).
FIELD_BITS = {"src_mac": 24, "dst_mac": 24, "vlan": 11, "src_ip": 24, "dst_ip": 24, "src_port": 15, "dst_port": 15,
              "vni": 23, "teid": 24}
IP_BITS_WITHOUT_BASE = 12       # so that streams stay apart inside of 198.18.0.0/15 (RFC 2544 appendix C.2.2)
VLAN_ID_MAX = 4094
NEEDS = {"vlan": ("vlan", "a VLAN tag (vlan = 100, say)"), "vni": ("vxlan", 'tunnel = "vxlan"'),
         "teid": ("gtpu", 'tunnel = "gtpu"')}
# The searches' words for what a trial is for.
PHASES = ("warmup", "stability", "latency", "drift",
          *dict.fromkeys(p for kind in SEARCHES for p in kind.phases or (kind.name,)))
MIRROR = {"src_mac": "dst_mac", "dst_mac": "src_mac", "src_ip": "dst_ip", "dst_ip": "src_ip",
          "src_port": "dst_port", "dst_port": "src_port"}

FIELDS = {
    "name": Field(str, ""),
    "shape": Field(str, "constant", choices=SHAPES),
    "burst_frames": Field(int, 32, low=1, high=1_000_000),
    "burst_pps": Field(float, 0.0, low=0, high=1e9),
    "ramp_from_pps": Field(float, 0.0, low=0, high=1e9),
    "imix": Field(str, ""),
    "imix_sizes": Field(dict, {}),
    "flow_order": Field(str, "increment", choices=FLOW_ORDERS),
    "zipf_exponent": Field(float, 1.0, low=0.01, high=10),
    "flow_fields": Field(str, ("src_port", "src_ip"), choices=tuple(FIELD_BITS), many=True),
    "seed": Field(int, 1, low=0, high=(1 << 32) - 1),
    "vlan": Field(int, (), low=1, high=4094, many=True),
    "ip": Field(int, 4, choices=(4, 6)),
    "l4": Field(str, "udp", choices=("udp", "tcp")),
    "udp_checksum": Field(bool, False),
    "tunnel": Field(str, "none", choices=tuple(TUNNEL_BYTES)),
    "src_mac": Field(str, ""),
    "dst_mac": Field(str, ""),
    "src_ip": Field(str, ""),
    "dst_ip": Field(str, ""),
    "src_port": Field(int, 1024, low=0, high=65535),
    "dst_port": Field(int, 9, low=0, high=65535),
    "learning_count": Field(int, 0, low=0, high=1000),
    "interval_s": Field(float, 0.0, low=0, high=3600),
    "flow_records": Field(bool, False),
    "replay": Field(dict, {}),
    "capture": Field(dict, {}),
}
REPLAY = {
    "file": Field(str, required=True),
    "timing": Field(str, "original", choices=("original", "rate")),
    "speed": Field(float, 1.0, low=0.000001, high=1e6),
    "loop": Field(bool, False),
    "frame_max": Field(int, STANDARD_FRAME_BYTES, low=64, high=FRAME_MAX_BYTES),
}
CAPTURE = {
    "first": Field(int, 1000, low=1, high=10_000_000),
    "every": Field(int, 1, low=1, high=1_000_000_000),
    "filter": Field(str, ""),
    "snap_bytes": Field(int, 65535, low=16, high=65535),
    "phase": Field(str, ("rplus", "fixed", "latency"), choices=PHASES, many=True),
}
HEADER_KEYS = ("imix", "imix_sizes", "flow_order", "zipf_exponent", "flow_fields", "vlan", "ip", "l4", "udp_checksum",
               "tunnel", "src_mac", "dst_mac", "src_ip", "dst_ip", "src_port", "dst_port")
# (key, has a meaning only with this key, at this value)
ONLY_WITH = (("burst_frames", "shape", "burst"), ("burst_pps", "shape", "burst"), ("ramp_from_pps", "shape", "ramp"),
             ("zipf_exponent", "flow_order", "zipf"), ("udp_checksum", "ip", 4), ("udp_checksum", "l4", "udp"))


@dataclass(frozen=True)
class Replay:
    """A capture file that is sent instead of frames of ours."""

    file: str               # absolute, or as the scenario's own path was given
    timing: str             # "original", or "rate": as fast as the search asks
    speed: float            # with original timing: 2.0 is twice as fast
    loop: bool
    frame_max: int          # the largest frame in it
    name: str = ""          # the file as the scenario names it, from where the scenario's path starts


@dataclass(frozen=True)
class Capture:
    """Which received frames are kept, of trials of these phases."""

    first: int
    every: int
    filter: str             # BPF
    snap_bytes: int
    phase: tuple[str, ...]


@dataclass(frozen=True)
class Traffic:
    """A checked [traffic] table. `sizes` empty: frames of the matrix' frame_bytes."""

    label: str                      # stands in cell ids
    shape: str = "constant"
    burst_frames: int = 32
    burst_pps: float = 0.0
    ramp_from_pps: float = 0.0
    imix: str = ""
    sizes: tuple[int, ...] = ()
    flow_order: str = "increment"
    zipf_exponent: float = 1.0
    flow_fields: tuple[str, ...] = ("src_port", "src_ip")
    seed: int = 1
    vlan: tuple[int, ...] = ()
    ip: int = 4
    l4: str = "udp"
    udp_checksum: bool = False
    tunnel: str = "none"
    src_mac: str = ""
    dst_mac: str = ""
    src_ip: str = ""
    dst_ip: str = ""
    src_port: int = 1024
    dst_port: int = 9
    learning_count: int = 0
    interval_s: float = 0.0
    flow_records: bool = False
    replay: Replay | None = None
    capture: Capture | None = None
    text: str = ""                  # for people and for the `traffic` column: the keys that were given

    @property
    def header_bytes(self) -> int:
        """What comes before the stamp."""
        return (ETHERNET_BYTES + VLAN_BYTES * len(self.vlan) + TUNNEL_BYTES[self.tunnel] + IP_BYTES[self.ip]
                + (UDP_BYTES if self.l4 == "udp" else TCP_BYTES))

    @property
    def smallest_frame_bytes(self) -> int:
        """The smallest frame that holds headers, stamp and FCS."""
        return self.header_bytes + STAMP_BYTES + FCS_BYTES

    @property
    def mean_frame_bytes(self) -> int | None:
        """Of a genome, rounded; None without one."""
        return round(sum(self.sizes) / len(self.sizes)) if self.sizes else None


PLAIN = Traffic("")         # what is sent without a [traffic] table


# ---- checking ------------------------------------------------------------------------------------------------------

def check(where: str, table: Mapping[str, Any], matrix: Mapping[str, Any], given: Mapping[str, Any], folder: Path,
          fingerprint: str) -> Traffic | None:
    """The traffic of a scenario, None where the table is empty. `where` is "file: [traffic]", `matrix` is the checked
    [matrix], `given` what the file says there, `folder` that of the file, `fingerprint` the label of a table that has
    no name. BadInput."""
    v = check_table(where, table, FIELDS)
    if not table:
        return None
    _check_name(where, v["name"])
    _check_meaningless(where, table, v)
    replay = _replay(where, v.pop("replay"), table, given, folder)
    capture = _capture(where, v.pop("capture"), "capture" in table)
    own = _own_sizes(where, v.pop("imix_sizes"), v["imix"])
    sizes = genome.sizes(f"{where}: key 'imix'", v["imix"], own) if "imix" in table else ()
    if 0 < v["interval_s"] < 0.001:
        raise BadInput(f"{where}: key 'interval_s' is {v['interval_s']:g}: allowed is 0 (none), or 0.001 to 3600")
    _check_addresses(where, v)
    if len(v["vlan"]) > 2:
        raise BadInput(f"{where}: key 'vlan' lists {len(v['vlan'])} tags: allowed is one (802.1Q), or outer and inner "
                       "(802.1ad)")
    traffic = Traffic(label=v.pop("name") or fingerprint, sizes=sizes, replay=replay, capture=capture,
                      text=_text(table), **v)
    if not replay:
        _check_flows(where, traffic, max(matrix["flows"]))
        _check_sizes(where, traffic, matrix, given)
    return traffic


def _text(table: Mapping[str, Any]) -> str:
    """The keys of a table as they were given: `vlan=100 l4=tcp`, for people and for the `traffic` column."""
    def one(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ",".join(f"{k}={one(inner)}" for k, inner in value.items()) + "}"
        if isinstance(value, list):
            return ",".join(map(one, value))
        return str(value).lower() if isinstance(value, bool) else str(value)
    return " ".join(f"{key}={one(value)}" for key, value in table.items())


def _check_name(where: str, name: str) -> None:
    if name and not re.fullmatch("[A-Za-z0-9_-]{1,32}", name):
        raise BadInput(f"{where}: key 'name' must be a word of at most 32 letters, digits, '-' and '_', not {name!r}")


def _check_meaningless(where: str, table: Mapping[str, Any], v: Mapping[str, Any]) -> None:
    """A key that would have no effect is a mistake of the person who wrote it."""
    for key, other, value in ONLY_WITH:
        if key in table and v[other] != value:
            shown = f'"{value}"' if isinstance(value, str) else value
            raise BadInput(f"{where}: key '{key}' has a meaning only with {other} = {shown}: take it out, or set that")
    if "replay" in table:
        for key in (k for k in table if k in HEADER_KEYS or k in ("shape", "seed", "learning_count", "flow_records")):
            raise BadInput(f"{where}: key '{key}' has no meaning with [traffic.replay], whose file has the frames: "
                           "take one of them out")


def _replay(where: str, table: Mapping[str, Any], whole: Mapping[str, Any], given: Mapping[str, Any],
            folder: Path) -> Replay | None:
    if "replay" not in whole:
        return None
    where = where.replace("[traffic]", "[traffic.replay]")
    v = check_table(where, table, REPLAY)
    for key in ("speed", "loop"):
        if key in table and v["timing"] != "original":
            raise BadInput(f"{where}: key '{key}' has a meaning only with timing = \"original\": take it out, or set that "
                           "(at a rate the file is sent again and again)")
    for key in ("frame_bytes", "flows"):
        if key in given:
            raise BadInput(f"{where}: [matrix] has '{key}' too, but the file has the frames: take one of them out")
    path = folder / v["file"]
    if not path.is_file():
        raise BadInput(f"{where}: key 'file' is {v['file']!r}: there is no such file (it is looked for beside the "
                       f"scenario, in {folder})")
    return Replay(str(path.resolve()), v["timing"], v["speed"], v["loop"], v["frame_max"], os.path.normpath(path))


def _capture(where: str, table: Mapping[str, Any], given: bool) -> Capture | None:
    where = where.replace("[traffic]", "[traffic.capture]")
    v = check_table(where, table, CAPTURE)
    return Capture(**v) if given else None


def _own_sizes(where: str, table: Mapping[str, Any], imix: str) -> dict[str, int]:
    where = f"{where}: key 'imix_sizes'"
    fields = {letter: Field(int, 0, low=64, high=FRAME_MAX_BYTES) for letter in genome.OWN_LETTERS}
    own = {letter: size for letter, size in check_table(where, table, fields).items() if letter in table}
    if unused := [letter for letter in own if letter not in imix]:
        raise BadInput(f"{where} has a size for '{unused[0]}', which is not in imix = {imix!r}: use it, or take it out")
    return own


def _check_addresses(where: str, v: Mapping[str, Any]) -> None:
    for key in ("src_mac", "dst_mac"):
        if v[key] and not re.fullmatch("([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", v[key]):
            raise BadInput(f"{where}: key '{key}' is {v[key]!r}: allowed is a MAC address like \"02:00:00:00:00:01\"")
        # the destinations of learning frames are the sources of others; those of one way are the sources of the other
        if v[key] and int(v[key][:2], 16) & 1:
            raise BadInput(f"{where}: key '{key}' is {v[key]!r}: allowed is the address of one port, not of a group "
                           "(the first byte must be even)")
    for key in ("src_ip", "dst_ip"):
        try:
            good = not v[key] or ipaddress.ip_address(v[key]).version == v["ip"]
        except ValueError:
            good = False
        if not good:
            raise BadInput(f"{where}: key '{key}' is {v[key]!r}: allowed is an IPv{v['ip']} address (key 'ip')")


def _check_sizes(where: str, traffic: Traffic, matrix: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if traffic.sizes and "frame_bytes" in given:
        raise BadInput(f"{where}: key 'imix' replaces 'frame_bytes' of [matrix]: take one of them out")
    smallest, largest = min(traffic.sizes or matrix["frame_bytes"]), max(traffic.sizes or matrix["frame_bytes"])
    if largest > FRAME_MAX_BYTES:
        raise BadInput(f"{where}: key 'imix' has frames of {largest} bytes: allowed are up to {FRAME_MAX_BYTES}")
    if smallest < traffic.smallest_frame_bytes:
        key = "imix" if traffic.sizes else "frame_bytes"
        raise BadInput(f"{where}: these headers with the stamp and the FCS need frames of at least "
                       f"{traffic.smallest_frame_bytes} bytes, and '{key}' has frames of {smallest}: use larger frames")


def _check_flows(where: str, traffic: Traffic, flows: int) -> None:
    has = {"vlan": "vlan" if traffic.vlan else "", "vni": traffic.tunnel, "teid": traffic.tunnel}
    for field, (need, cure) in NEEDS.items():
        if field in traffic.flow_fields and has[field] != need:
            raise BadInput(f"{where}: key 'flow_fields' has '{field}', which the frames have only with {cure}")
    if flows > (capacity := flow_capacity(traffic)):
        raise BadInput(f"{where}: key 'flow_fields' makes at most {capacity} flows of "
                       f"{', '.join(traffic.flow_fields)}, and [matrix] asks for {flows}: add a field"
                       + (", or a base address" if {"src_ip", "dst_ip"} & set(traffic.flow_fields) else ""))


def flow_capacity(traffic: Traffic) -> int:
    """How many flows the fields can tell apart."""
    return 1 << sum(_bits(traffic, field) for field in traffic.flow_fields)


def _bits(t: Traffic, field: str) -> int:
    """By how many bits a field may vary: no more than there are values above its base."""
    if field in ("src_ip", "dst_ip"):
        if not (base := getattr(t, field)):
            return IP_BITS_WITHOUT_BASE
        room = 0xffffffff - (int(ipaddress.ip_address(base)) & 0xffffffff)
    elif field in ("src_mac", "dst_mac"):
        room = 0xffffffff - (int(getattr(t, field).replace(":", "") or "0", 16) & 0xffffffff)
    elif field in ("src_port", "dst_port"):
        room = 0xffff - int(getattr(t, field))
    else:
        room = VLAN_ID_MAX - t.vlan[-1] if field == "vlan" else 0xffffffff
    return min(FIELD_BITS[field], (room + 1).bit_length() - 1)


# ---- what is asked of the programs ---------------------------------------------------------------------------------

def stream(traffic: Traffic | None, frame_bytes: int, flows: int, rate_pps: float | None, *, back: bool = False,
           probe: bool = False) -> dict[str, Any]:
    """The stream of pktgen's `trial`, without its ports; of what is not said, pktgen's default holds. `back`: of the
    second direction. `probe`: frames of the same headers, but neither shape nor replay.

    A saturating trial has no shape: it sends as fast as it can.
    """
    asked: dict[str, Any] = {"rate_pps": rate_pps or 0, "frame_bytes": frame_bytes, "flows": flows}
    if traffic is None:
        return asked
    if traffic.replay:
        return asked if probe else {"rate_pps": rate_pps or 0, "replay": _replayed(traffic.replay)}
    if traffic.sizes:
        asked["frame_bytes"] = list(traffic.sizes)
    asked |= _headers(_mirrored(traffic) if back else traffic)
    if rate_pps and not probe:
        asked |= _shape(traffic)
    return asked


def _replayed(r: Replay) -> dict[str, Any]:
    timed = {"speed": r.speed, "loop": r.loop} if r.timing == "original" else {}
    return {"file": r.file, "timing": r.timing, **timed}


def _mirrored(t: Traffic) -> Traffic:
    """The way back carries the same flows with source and destination exchanged: a switch that learns would otherwise
    see an address at both of its ports."""
    return replace(t, src_mac=t.dst_mac, dst_mac=t.src_mac, src_ip=t.dst_ip, dst_ip=t.src_ip, src_port=t.dst_port,
                   dst_port=t.src_port, flow_fields=tuple(MIRROR.get(f, f) for f in t.flow_fields))


def _headers(t: Traffic) -> dict[str, Any]:
    """Only what differs from the default, so that a request stays readable in a log."""
    keys = ("flow_order", "flow_fields", "vlan", "ip", "l4", "udp_checksum", "tunnel", "src_mac", "dst_mac", "src_ip",
            "dst_ip", "src_port", "dst_port")
    said = {key: getattr(t, key) for key in keys if getattr(t, key) != getattr(PLAIN, key)}
    if t.flow_order == "zipf":
        said["zipf_exponent"] = t.zipf_exponent
    if t.flow_order != "increment":
        said["seed"] = t.seed
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}


def _shape(t: Traffic) -> dict[str, Any]:
    more: Mapping[str, Mapping[str, Any]] = {
        "constant": {}, "poisson": {"seed": t.seed},
        "burst": {"burst_frames": t.burst_frames, "burst_pps": t.burst_pps}, "ramp": {"ramp_from_pps": t.ramp_from_pps}}
    return {} if t.shape == "constant" else {"shape": t.shape, **more[t.shape]}


def frame_max_bytes(traffic: Traffic | None, frame_bytes: int) -> int:
    """The largest frame that is sent; at least that of every Ethernet."""
    largest: Sequence[int] = (frame_bytes,)
    if traffic and traffic.replay:
        largest = (traffic.replay.frame_max,)
    elif traffic and traffic.sizes:
        largest = traffic.sizes
    return max(*largest, STANDARD_FRAME_BYTES)


def unsupported(traffic: Traffic | None, topology: Topology) -> str:
    """Why this traffic cannot be had where sender and receiver are two programs, or is reflected; empty if it can."""
    if traffic and traffic.learning_count and topology.reflects:
        return "[traffic] learning_count: what is reflected comes from another port than it is for: use p2p or loopback"
    if traffic is None or topology.one_holds_both_ends:
        return ""
    for key, what in (("replay", "replayed frames carry no stamp"),
                      ("learning_count", "learning frames come from where the traffic arrives"),
                      ("capture", "captures are the generator's"),
                      ("flow_records", "flow records are the generator's")):
        if getattr(traffic, key):
            return f"[traffic] {key}: {what}, so one program must send and receive: use p2p or loopback"
    return ""
