# SPDX-License-Identifier: BSD-3-Clause
"""Nfs in scenarios: names, chains of unlike ones, settings, files of rules; hop by hop through a chain."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import asked, hops, kernelnf, nfs, scenario
from harness.asked import Asked
from harness.cell import Cell
from harness.errors import BadInput
from harness.record import NFS, Record
from harness.tests.support import cells_of_text, direction, made, seeded, setup_of, write

LOOPBACK = '[matrix]\ntopology = "loopback"\nguest = "process"\nswitch = "testpmd"\n'


def vnfs(cell: Cell) -> list[str]:
    """What each guest's vnf is told to be."""
    return [peer.argv[peer.argv.index("--nf") + 1] for peer in setup_of(cell).peers if peer.role == "vnf"]


@pytest.mark.parametrize("guest", ("process", "qemu"))
def test_a_chain_of_unlike_nfs_has_each_in_a_guest_of_its_own_in_order(tmp_path: Path, guest: str) -> None:
    text = LOOPBACK.replace("process", guest) + 'nf = ["firewall+nat+l3fwd", "io"]\n[nf.firewall]\ndefault = "permit"'
    unlike, alike = cells_of_text(tmp_path, text)
    assert vnfs(unlike) == ["firewall:default permit", "nat", "l3fwd"]
    assert (unlike.chain_length, unlike.nf, unlike.id.split(".")[4]) == (3, "firewall+nat+l3fwd", "3firewall+nat+l3fwd")
    assert " firewall+nat+l3fwd " in unlike.title and " 1 x io " in alike.title
    assert vnfs(alike) == ["io"]


def test_a_length_beside_a_chain_of_unlike_nfs_must_be_its_own(tmp_path: Path) -> None:
    text = LOOPBACK + 'nf = ["io+macswap", "io"]\nchain_length = '
    assert [(c.nf, c.chain_length) for c in cells_of_text(tmp_path, text + "[1, 2]")] == [
        ("io+macswap", 2), ("io", 1), ("io", 2)]
    with pytest.raises(BadInput, match="'chain_length' has no 2, but 'io[+]macswap' is a chain of 2 guests"):
        cells_of_text(tmp_path, text + "3")


def test_idle_is_what_the_nf_is_told_and_stands_in_the_cell(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, LOOPBACK + 'idle = ["auto", "busy", "interrupt"]', cpus=(0, 1))
    told = [[peer.argv[peer.argv.index("--idle") + 1] for peer in setup_of(c).peers] for c in cells]
    assert told == [["yield", "yield"], ["yield", "busy"], ["yield", "interrupt"]]
    assert ["idle-" in c.id for c in cells] == [False, True, True]
    [vm] = cells_of_text(tmp_path, LOOPBACK.replace("process", "qemu") + 'idle = "interrupt"')
    assert "no receive interrupts" in vm.unsupported
    assert len(cells_of_text(tmp_path, LOOPBACK.replace("loopback", "p2v") + 'idle = ["busy", "sleep"]')) == 1


EVERY = """
[nf.l2fwd]
peer = "02:00:00:00:00:09"
[nf.l3fwd]
routes = ["10.0.0.0/8 02:00:00:00:00:01", "::/0 discard"]
[nf.firewall]
rules = "deny udp 10.0.0.0/8 1-5 any 53 # dns"
rules_file = "rules.txt"
default = "deny"
[nf.nat]
address = "192.0.2.1"
flows_max = 100
[nf.qos]
meter = "trtcm"
cir_bytes_per_s = 1000
[nf.loadbalance]
backends = ["02:00:00:00:00:01", "02:00:00:00:00:02 10.0.0.1"]
[nf.monitor]
flows_max = 5
[nf.noisy]
accesses = 0
[nf.delay]
time_us = 2.5
packets = 7
"""
ARGUMENTS = {
    "l2fwd": "peer 02:00:00:00:00:09", "l3fwd": "route 10.0.0.0/8 02:00:00:00:00:01;route ::/0 discard",
    "firewall": "deny udp 10.0.0.0/8 1-5 any 53;permit any any any ::/0 any;default deny",
    "nat": "address 192.0.2.1;flows_max 100", "qos": "meter trtcm;cir_bytes_per_s 1000",
    "loadbalance": "backend 02:00:00:00:00:01;backend 02:00:00:00:00:02 10.0.0.1", "monitor": "flows_max 5",
    "noisy": "accesses 0", "delay": "2.5us,7"}


def test_what_a_table_says_becomes_the_argument(tmp_path: Path) -> None:
    write(tmp_path / "rules.txt", "# ours\n\n  permit any\tany any ::/0 any  # all\n")
    cells = cells_of_text(tmp_path, LOOPBACK + f"nf = {list(ARGUMENTS)}\n" + EVERY)
    assert [vnfs(c)[0] for c in cells] == [f"{name}:{argument}" for name, argument in ARGUMENTS.items()]
    ours = [name for name in nfs.NFS if name not in kernelnf.NAMES]
    plain = cells_of_text(tmp_path, LOOPBACK + f"nf = {ours}")
    assert [vnfs(c)[0] for c in plain] == [name if name != "delay" else "delay:10us" for name in ours]


RULE = "a rule is permit"
BAD = (
    ("nf = 'io'\n[nf.fire]\nx = 1", "unknown key 'fire'; did you mean 'firewall'"),
    ("nf = 'io'\n[nf]\nnat = 3", "[nf.nat]: must be a table"),
    ("nf = 'io'\nnf2 = 1", "unknown key 'nf2'"),
    ("nf = 'io+oi'", "'io+oi': allowed is one of io, macswap"), ("nf = 'io+'", "joined by '+'"),
    ("nf = ''", "allowed is"),
    ("nf = '" + "+".join(["io"] * 17) + "'", "a chain has at most 16 guests"),
    ("nf = 'io'\n[nf.nat]\nflows_max = 9", "[nf.nat]: no cell has this nf"),
    ("nf = 'nat'\n[nf.nat]\nflow_max = 9", "did you mean 'flows_max'"),
    ("nf = 'nat'\n[nf.nat]\naddress = '::1'", "allowed is an IPv4 address"),
    ("nf = 'nat'\nflows = 65537", "'flows_max' is 65536, but [matrix] has 65537 flows"),
    ("nf = 'qos'\n[nf.qos]\nmeter = 'trtcm'\npir_bytes_per_s = 5\ncir_bytes_per_s = 6", "RFC 2698"),
    ("nf = 'l2fwd'\n[nf.l2fwd]\npeer = '02:00:00:00:00:0'", "a MAC address"),
    ("nf = 'firewall'\n[nf.firewall]\nrules_file = 'none.txt'", "no such file (it is looked for beside the scenario"),
    ("nf = 'firewall'\n[nf.firewall]\nrules_file = 'rules.txt'", "rules.txt line 3: 'deny udp any any 53': " + RULE),
    ("nf = 'firewall'\n[nf.firewall]\nrules_file = 'binary'", "cannot be read"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = ['permit any any any any any', 'deny 256 any any any any']",
     "key 'rules' item 2: 'deny 256 any any any any': '256' is no protocol"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = 'deny any 10.0.0.1/8 any any any'", "bits behind its length must be 0"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = 'deny any 10.0.0.0/255.0.0.0 any any any'", "is no prefix"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = 'deny any 10.0.0.0/8 any ::/0 any'", "different families"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = 'deny any any 7-6 any any'", "'7-6' are no ports"),
    ("nf = 'firewall'\n[nf.firewall]\nrules = 'deny any any any any any;default deny'", "no line of words"),
    ("nf = 'l3fwd'\n[nf.l3fwd]\nroutes = '10.0.0.0/8 via 02:00:00:00:00:01'", "a route is PREFIX MAC"),
    ("nf = 'loadbalance'\n[nf.loadbalance]\nbackends = '02:00:00:00:00:01 ::1'", "a backend is MAC, or MAC IPV4"),
    ("nf = 'l3fwd'\n[nf.l3fwd]\nroutes_file = 'many.txt'", "can be handed to a guest"),
)


@pytest.mark.parametrize("text, says", BAD)
def test_bad_nfs_are_named_with_key_or_line(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / "rules.txt", "# one lacks ports\npermit any any any any any\ndeny udp any any 53\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    write(tmp_path / "many.txt", "".join(f"10.{i // 256}.{i % 256}.0/24 02:00:00:00:00:01\n" for i in range(2000)))
    with pytest.raises(BadInput) as raised:
        cells_of_text(tmp_path, LOOPBACK + text)
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("nf, key, lines, says", [
    ("loadbalance", "backends", [f"02:00:00:00:00:{i:02x}" for i in range(129)], "'backends' has 129: at most 128"),
    ("l3fwd", "routes", [f"10.0.{i}.0/24 02:00:00:00:00:{i:02X}" for i in range(127)],
     "127 different next hops: at most 126")], ids=["backends", "next hops"])
def test_as_many_as_an_nf_takes_and_no_more(nf: str, key: str, lines: list[str], says: str, tmp_path: Path) -> None:
    text = LOOPBACK + f"nf = '{nf}'\n[nf.{nf}]\n{key} = "
    with pytest.raises(BadInput, match=says):
        cells_of_text(tmp_path, text + str(lines))
    cells_of_text(tmp_path, text + str(lines[1:] + (["10.1.0.0/24 02:00:00:00:00:7e", "::/0 discard"] * (nf == "l3fwd"))))


def test_a_delay_keeps_all_its_digits(tmp_path: Path) -> None:
    for time_us, told in ((1234567.5, "1234567.5us"), (10.0, "10us"), (0.001, "0.001us")):
        [cell] = cells_of_text(tmp_path, LOOPBACK + f'nf = "delay"\n[nf.delay]\ntime_us = {time_us}\n')
        assert vnfs(cell) == [f"delay:{told}"]


def test_noise_instead_of_rules_is_refused_or_taken_but_never_breaks(tmp_path: Path) -> None:
    rng = seeded()
    words = ["permit", "deny", "any", "udp", "::/0", "10.0.0.0/8", "53", "1-2", "-", "/", "0x1", "#", "\t", "65536",
             "٣"]
    for _ in range(300):
        write(tmp_path / "rules.txt", "\n".join(" ".join(rng.choices(words, k=rng.randrange(8))) for _ in range(3)))
        try:
            cells_of_text(tmp_path, LOOPBACK + 'nf = "firewall"\n[nf.firewall]\nrules_file = "rules.txt"')
        except BadInput as error:
            assert "rules.txt line" in str(error)


def test_files_of_rules_are_kept_with_the_run(tmp_path: Path) -> None:
    """Their text is among the sources, and a copy of the scenario finds the copy of them."""
    write(tmp_path / "a" / "rules.txt", "deny any any any any any\n")
    file = write(tmp_path / "a" / "s.toml", 'name = "s"\n' + LOOPBACK + 'nf = "firewall"\n[nf.firewall]\n'
                 'rules_file = "rules.txt"')
    wanted = Asked((file,), (), None, None)
    assert {Path(name).name for name in wanted.sources()} == {"s.toml", "rules.txt"}
    (tmp_path / "copy").mkdir()
    copy = asked.unpacked(wanted, wanted.sources(), tmp_path / "copy")
    assert scenario.load(copy.files[0])[0].nf_arguments == (("firewall", "deny any any any any any"),)


# ---- hop by hop ----------------------------------------------------------------------------------------------------

def stats(rng: Any, sides: list[tuple[int, int, int, int, int]], cycles: int, time_ns: int) -> dict[str, Any]:
    return {"sides": [{"rx_port": i, "rx_count": rx, "tx_count": tx, "tx_full_count": full, "missed_count": missed,
                       "dropped": {d: dropped if d == "denied" else 0 for d in nfs.DROPS}}
                      for i, (rx, tx, full, missed, dropped) in enumerate(sides)],
            "rx_count": sum(s[0] for s in sides), "busy_cycles": cycles, "nf_cycles": cycles // 2, "time_ns": time_ns,
            "cpu_ns": time_ns // 4}


def test_hops_tell_where_frames_were_lost_in_both_directions(tmp_path: Path) -> None:
    rng = seeded()
    none = (0, 0, 0, 0, 0)
    before = [stats(rng, [(5, 4, 1, 0, 0), none], 100, 1000) for _ in range(2)]
    # of 100 forwards: 10 lost before guest 1, 5 denied there, 3 lost behind it, 2 in guest 2's full queue; 7 at the end
    after = [stats(rng, [(95, 89, 1, 4, 5), (40, 40, 0, 0, 0)], 1350, 9000),
             stats(rng, [(87, 84, 3, 0, 0), (45, 44, 1, 0, 0)], 100 + 127 * 8, 9000)]
    guests = [("guest1", "firewall"), ("guest2", "io")]
    flows = [(False, 100, 73, ("generator", 1)), (True, 50, 38, ("generator", 0))]
    found = hops.between(guests, before, after, flows)
    assert hops.between(guests, before, after, flows[1:]) == found[3:]      # traffic on the way back only
    assert [(h.direction, h.guest, h.offered_count, h.rx_count, h.lost_before_count, h.tx_count) for h in found] == [
        (0, "guest1", 100, 90, 10, 85), (0, "guest2", 85, 82, 3, 80), (0, "generator", 80, 73, 7, None),
        (1, "guest2", 50, 45, 5, 44), (1, "guest1", 44, 40, 4, 40), (1, "generator", 40, 38, 2, None)]
    first = found[0]
    assert first.dropped["denied"] == 5 and first.cpu_ratio == 0.25 and first.cycles_per_packet == 1250 / 130
    for way, sent, received in ((0, 100, 73), (1, 50, 38)):
        mine = [h for h in found if h.direction == way]
        gone = sum((h.lost_before_count or 0) + sum(h.dropped.values()) + (h.tx_full_count or 0) for h in mine)
        assert sent == received + gone == received + sum(h.gone_count for h in mine)
    [cell] = cells_of_text(tmp_path, LOOPBACK + 'nf = "firewall+io"')
    record = Record(tmp_path / "run", "r")
    trial = made([direction(100, 73)])
    record.trial(cell, "1", "", replace(trial, hops=found))
    record.close()
    rows = list(csv.DictReader((tmp_path / "run" / "nfs.csv").open(newline="")))
    assert tuple(rows[0]) == NFS and [r["dropped_denied_count"] for r in rows] == ["5", "0", "", "0", "0", ""]
    assert rows[0]["trial_id"] == "00001" and rows[0]["lost_before_count"] == "10"
