# SPDX-License-Identifier: BSD-3-Clause
"""Network functions as a scenario names them: `nf = "firewall"`, or `"firewall+nat"` for a chain of unlike ones, and a
table [nf.NAME] of what one takes. All is checked here, files of rules and routes too, each with the line at fault.

What a table says becomes the argument of `vnf --nf NAME:ARGUMENT`, statements of words (vnf/words.h), which is the same
for a process and a VM. Defaults are the program's own (vnf/nf_*.c): with them every nf forwards everything.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.schema import Field, check_keys, check_table

ARGUMENT_MAX_BYTES = 48 << 10   # a line of 64 KiB takes it into a VM (vnf/guest/init.c)
FILE_MAX_BYTES = 1 << 20
NEXT_HOPS_MAX = 126     # different ones, of nf_l3fwd.c
BACKENDS_MAX = 128      # of nf_loadbalance.c
# Why an nf drops, as vnf/nf.c names it; each is a column of nfs.csv.
DROPS = ("malformed", "not_ip", "ttl", "no_route", "denied", "no_mapping", "table_full", "rate", "queue_full")
MAC = re.compile("([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
PROTOCOLS = ("any", "tcp", "udp", "icmp", "icmp6")


@dataclass(frozen=True)
class Nf:
    """An nf: the keys of its table, and how those that were given become statements."""

    fields: Mapping[str, Field]
    statements: Callable[[str, Mapping[str, Any], Path], list[str]] = lambda where, v, folder: _settings(v)


def _settings(given: Mapping[str, Any]) -> list[str]:
    return [f"{key} {value}" for key, value in given.items()]


# ---- what stands in lines ------------------------------------------------------------------------------------------

def _is_address(word: str) -> bool:
    """A prefix of IPv4 or IPv6 without bits behind it, or an address."""
    try:
        ipaddress.ip_network(word)
        return "%" not in word and not re.search(r"/.*\.", word)    # no zone, no netmask
    except ValueError:
        return False


def _family(word: str) -> int:
    return ipaddress.ip_network(word).version if word != "any" else 0


def _is_ports(word: str) -> bool:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", word, re.ASCII)
    return word == "any" or bool(match) and int(match[1]) <= int(match[2] or match[1]) <= 65535


def _route(words: Sequence[str]) -> str:
    """Why these are no route."""
    if len(words) != 2 or not _is_address(words[0]):
        return "a route is PREFIX MAC, or PREFIX discard"
    return "" if words[1] == "discard" or MAC.fullmatch(words[1]) else "the next hop is a MAC address, or discard"


def _rule(words: Sequence[str]) -> str:
    if len(words) != 6 or words[0] not in ("permit", "deny"):
        return "a rule is permit|deny PROTOCOL SOURCE PORTS DESTINATION PORTS"
    _, protocol, source, source_ports, destination, destination_ports = words
    if protocol not in PROTOCOLS and not (re.fullmatch(r"\d{1,3}", protocol, re.ASCII) and int(protocol) <= 255):
        return f"'{protocol}' is no protocol: allowed is {', '.join(PROTOCOLS)}, or 0 to 255"
    for word in (source, destination):
        if word != "any" and not _is_address(word):
            return f"'{word}' is no prefix of IPv4 or IPv6 (bits behind its length must be 0)"
    if 0 < _family(source) != _family(destination) > 0:
        return "source and destination are of different families"
    for word in (source_ports, destination_ports):
        if not _is_ports(word):
            return f"'{word}' are no ports: allowed is any, N, or N-M up to 65535"
    return ""


def _backend(words: Sequence[str]) -> str:
    good = len(words) in (1, 2) and MAC.fullmatch(words[0]) and all(
        _is_address(w) and "/" not in w and _family(w) == 4 for w in words[1:])
    return "" if good else "a backend is MAC, or MAC IPV4"


def _lines(where: str, key: str, v: Mapping[str, Any], folder: Path, wrong: Callable[[Sequence[str]], str]
           ) -> list[str]:
    """The statements of key `key`, which lists lines, and of the file that `key`_file names; `wrong` says what is wrong
    with the words of one."""
    lines = [(f"{where}: key '{key}' item {n}", line) for n, line in enumerate(v.get(key, ()), 1)]
    if name := v.get(f"{key}_file"):
        path = folder / name
        lines += [(f"{path} line {n}", line) for n, line in enumerate(_read(f"{where}: key '{key}_file'", path), 1)]
    found = []
    for source, line in lines:
        words = line.partition("#")[0].split()
        if any(";" in word or not word.isascii() for word in words):
            raise BadInput(f"{source}: {line[:60]!r} is no line of words")
        if words and (why := wrong(words)):
            raise BadInput(f"{source}: {' '.join(words)[:80]!r}: {why}")
        found += [" ".join(words)] if words else []
    return found


def _read(where: str, path: Path) -> list[str]:
    try:
        if not path.is_file():
            raise BadInput(f"{where} is {path.name!r}: there is no such file (it is looked for beside the scenario, in "
                           f"{path.parent})")
        if path.stat().st_size > FILE_MAX_BYTES:
            raise BadInput(f"{where}: {path} has over {FILE_MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:      # ValueError: no UTF-8
        raise BadInput(f"{where}: {path} cannot be read: {error}") from None


# ---- the nfs -------------------------------------------------------------------------------------------------------

def _l2fwd(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    if not MAC.fullmatch(v.get("peer", "02:00:00:00:00:00")):
        raise BadInput(f"{where}: key 'peer' is {v['peer']!r}: allowed is a MAC address")
    return _settings(v)


def _l3fwd(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    routes = _lines(where, "routes", v, folder, _route)
    hops = {line.split()[1].lower() for line in routes} - {"discard"}
    if len(hops) > NEXT_HOPS_MAX:
        raise BadInput(f"{where}: its routes have {len(hops)} different next hops: at most {NEXT_HOPS_MAX} can be had")
    return [f"route {line}" for line in routes]


def _firewall(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    rules = _lines(where, "rules", v, folder, _rule)
    return rules + ([f"default {v['default']}"] if "default" in v else [])


def _nat(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    if "address" in v and not (_is_address(v["address"]) and "/" not in v["address"] and _family(v["address"]) == 4):
        raise BadInput(f"{where}: key 'address' is {v['address']!r}: allowed is an IPv4 address")
    return _settings(v)


def _qos(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    if v.get("pir_bytes_per_s", RATE_DEFAULT) < v.get("cir_bytes_per_s", 0) and v.get("meter") == "trtcm":
        raise BadInput(f"{where}: key 'pir_bytes_per_s' is less than 'cir_bytes_per_s': it must be at least that (RFC "
                       "2698 section 2)")
    return _settings(v)


def _loadbalance(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    backends = _lines(where, "backends", v, folder, _backend)
    if len(backends) > BACKENDS_MAX:
        raise BadInput(f"{where}: key 'backends' has {len(backends)}: at most {BACKENDS_MAX} can be had")
    return [f"backend {line}" for line in backends]


def _delay(where: str, v: Mapping[str, Any], folder: Path) -> list[str]:
    return [f"{v.get('time_us', 10):.15g}us" + (f",{v['packets']}" if "packets" in v else "")]


FLOWS_DEFAULT = 65536
RATE_DEFAULT = 100_000_000_000
_RATE = Field(int, low=1, high=1_000_000_000_000)
_BURST = Field(int, low=1, high=1 << 30)
_LINES = Field(str, many=True)
NFS: Mapping[str, Nf] = {
    "io": Nf({}),
    "macswap": Nf({}),
    "l2fwd": Nf({"peer": Field(str)}, _l2fwd),
    "l3fwd": Nf({"routes": _LINES, "routes_file": Field(str)}, _l3fwd),
    "firewall": Nf({"rules": _LINES, "rules_file": Field(str), "default": Field(str, choices=("permit", "deny"))},
                   _firewall),
    "nat": Nf({"address": Field(str), "flows_max": Field(int, low=8, high=1 << 22),
               "timeout_ms": Field(int, low=1, high=86_400_000),
               "unmatched": Field(str, choices=("pass", "drop"))}, _nat),
    "qos": Nf({"meter": Field(str, choices=("srtcm", "trtcm")), "by": Field(str, choices=("all", "dscp", "flow")),
               "yellow": Field(str, choices=("pass", "drop")), "meters": Field(int, low=1, high=1 << 20),
               "cir_bytes_per_s": _RATE, "pir_bytes_per_s": _RATE, "cbs_bytes": _BURST,
               "ebs_bytes": Field(int, low=0, high=1 << 30), "pbs_bytes": _BURST}, _qos),
    "loadbalance": Nf({"backends": _LINES}, _loadbalance),
    "monitor": Nf({"flows_max": Field(int, low=1, high=1 << 24)}),
    "noisy": Nf({"memory_kib": Field(int, low=1, high=4 << 20), "accesses": Field(int, low=0, high=1_000_000),
                 "cycles": Field(int, low=0, high=1_000_000_000)}),
    "linux-router": Nf({}),
    "linux-bridge": Nf({}),
    "xdp-forward": Nf({}),
    "delay": Nf({"time_us": Field(float, low=0.001, high=1e7), "packets": Field(int, low=1, high=1 << 24)}, _delay),
}


# ---- checking ------------------------------------------------------------------------------------------------------

def check_name(where: str, value: str) -> None:
    """`value` names an nf, or several joined by '+'."""
    for name in value.split("+"):
        if name not in NFS:
            raise BadInput(f"{where} is {value!r}: allowed is one of {', '.join(NFS)}, or several joined by '+' for a "
                           "chain of unlike ones")


def chain(value: str) -> tuple[str, ...]:
    """The nfs of a chain of unlike ones, in order; empty where `value` names one that all guests have."""
    return tuple(value.split("+")) if "+" in value else ()


def names(value: str, chain_length: int) -> tuple[str, ...]:
    """The nf of each guest of a chain, in order."""
    return chain(value) or (value,) * chain_length


def check(where: str, tables: Any, folder: Path, used: Collection[str], flows: int) -> tuple[tuple[str, str], ...]:
    """(name, argument) of every nf in `used` that takes one. `where` names the file, `tables` is its [nf], `folder`
    that of the file, `flows` the most that a cell has. BadInput."""
    if not isinstance(tables, Mapping):
        raise BadInput(f"{where}: [nf.NAME] must be tables, not {tables!r}")
    check_keys(f"{where}: [nf]", tables, list(NFS))
    found = []
    for name, nf in NFS.items():
        here = f"{where}: [nf.{name}]"
        given = {key: v for key, v in check_table(here, tables.get(name, {}), nf.fields).items() if v is not None}
        if given and name not in used:
            raise BadInput(f"{here}: no cell has this nf: take the table out, or name it in [matrix] nf")
        if name in used and flows > given.get("flows_max", FLOWS_DEFAULT) and "flows_max" in nf.fields:
            raise BadInput(f"{here}: key 'flows_max' is {given.get('flows_max', FLOWS_DEFAULT)}, but [matrix] has "
                           f"{flows} flows: raise it")
        argument = ";".join(nf.statements(here, given, folder))
        if len(argument) > ARGUMENT_MAX_BYTES:
            raise BadInput(f"{here}: its lines take {len(argument)} bytes, and {ARGUMENT_MAX_BYTES} can be handed to a "
                           "guest: take fewer")
        if argument and name in used:
            found.append((name, argument))
    return tuple(found)


def files(tables: Any) -> list[str]:
    """The files that [nf] tables name, as they name them."""
    inner = [t for t in tables.values() if isinstance(t, Mapping)] if isinstance(tables, Mapping) else []
    return [value for t in inner for key, value in t.items() if key.endswith("_file") and isinstance(value, str)]


def of_guest(nf: str, arguments: Sequence[tuple[str, str]], number: int) -> str:
    """What `vnf --nf` gets in guest `number`, from 1 on."""
    name = chain(nf)[number - 1] if chain(nf) else nf
    argument = dict(arguments).get(name, "")
    return f"{name}:{argument}" if argument else name


def chain_text(chain_length: Any, nf: str) -> str:
    """For people: `2 x io`, or a chain of unlike ones as it is; empty where there is no chain."""
    if str(chain_length or "0") == "0":
        return ""
    return nf if "+" in nf else f"{chain_length} x {nf}"
