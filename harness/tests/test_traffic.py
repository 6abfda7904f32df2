# SPDX-License-Identifier: BSD-3-Clause
"""The [traffic] table: genomes, streams and plans that come of it, and what is refused before anything starts."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli, genome, scenario, search, traffic
from harness.cell import Cell
from harness.errors import BadInput
from harness.tests.support import cells_of_text, direction, made, seeded, setup_of, words_missing, write
from harness.traffic import PLAIN, Traffic, stream

P2P = '[matrix]\ntopology = "p2p"\nswitch = ["ovs-dpdk", "testpmd"]\n'
BOTH = P2P + 'direction = "two-way"\n'
ALL = ('[matrix]\ntopology = ["p2p", "p2v", "v2v", "loopback"]\nguest = ["none", "process", "qemu"]\n'
       'switch = ["ovs-dpdk", "testpmd"]\n')


def cell_of(folder: Path, text: str, matrix: str = P2P) -> Cell:
    return cells_of_text(folder, matrix + "[traffic]\n" + text)[0]


def sent(folder: Path, text: str, matrix: str = P2P, *, rate_pps: float | None = 1e6, **more: Any) -> dict[str, Any]:
    cell = cell_of(folder, text, matrix)
    return stream(cell.traffic, cell.frame_bytes, cell.flows, rate_pps, **more)


# ---- genomes -------------------------------------------------------------------------------------------------------

def test_the_letters_are_those_of_rfc_6985() -> None:
    assert genome.sizes("x", "abcdefghi", {}) == (64, 128, 256, 512, 1024, 1280, 1518, 2112, 9000)


def test_a_genome_is_its_letters_in_their_order() -> None:
    r = seeded()
    for _ in range(200):
        own = {letter: r.randint(64, 9216) for letter in r.sample(genome.OWN_LETTERS, r.randint(0, 5))}
        known = {**genome.LETTERS, **own}
        word = "".join(r.choices(list(known), k=r.randint(1, 200)))
        sizes = genome.sizes("x", word, own)
        assert len(sizes) == len(word)
        assert all(known[letter] == size for letter, size in zip(word, sizes))
        assert genome.sizes("x", word + word, own) == sizes + sizes


def test_a_letter_that_stands_for_nothing_is_named() -> None:
    r = seeded()
    for _ in range(200):
        bad = r.choice([chr(r.randint(1, 0x3000)), "k", "7", " ", "ä", "Q", "z"])
        if bad in genome.LETTERS:
            continue
        with pytest.raises(BadInput) as caught:
            genome.sizes("f.toml: key 'imix'", "aab" + bad, {})
        assert repr(bad) in str(caught.value) or f"'{bad}'" in str(caught.value)
        assert "f.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_imix_replaces_the_frame_size_and_its_mean_is_recorded(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, 'imix = "aaaaaaaAAAAg"\nimix_sizes = {A = 570}')
    assert cell.frame_bytes == round((7 * 64 + 4 * 570 + 1518) / 12) == 354
    assert stream(cell.traffic, 354, 1, None)["frame_bytes"] == [64] * 7 + [570] * 4 + [1518]
    assert "aaaaaaaAAAAg" in cell.traffic.text and "A=570" in cell.traffic.text


# ---- what is sent --------------------------------------------------------------------------------------------------

def test_without_the_table_nothing_changes(tmp_path: Path) -> None:
    for text in ("", "[traffic]\n"):
        [cell, _] = cells_of_text(tmp_path, P2P + text)
        assert cell.traffic is None and cell.id == "made-up.p2p.one-way.64B.1f.vhost-user.ovs-dpdk"
        assert stream(None, 64, 1, None) == {"rate_pps": 0, "frame_bytes": 64, "flows": 1}


def test_defaults_are_not_repeated(tmp_path: Path) -> None:
    said = "".join(f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}\n" for key, value in
                   {"shape": "constant", "flow_order": "increment", "flow_fields": PLAIN.flow_fields, "ip": 4,
                    "l4": "udp", "udp_checksum": False, "tunnel": "none", "src_port": 1024, "dst_port": 9}.items())
    assert sent(tmp_path, said) == {"rate_pps": 1e6, "frame_bytes": 64, "flows": 1}


SAID = [
    ('shape = "poisson"\nseed = 7', {"shape": "poisson", "seed": 7}),
    ('shape = "burst"\nburst_frames = 8\nburst_pps = 5e6', {"shape": "burst", "burst_frames": 8, "burst_pps": 5e6}),
    ('shape = "ramp"\nramp_from_pps = 10', {"shape": "ramp", "ramp_from_pps": 10.0}),
    ('flow_order = "zipf"\nzipf_exponent = 1.2', {"flow_order": "zipf", "zipf_exponent": 1.2, "seed": 1}),
    ('flow_order = "random"', {"flow_order": "random", "seed": 1}),
    ('l4 = "udp"\nudp_checksum = true', {"udp_checksum": True}),
    ('flow_fields = ["dst_ip", "src_mac"]', {"flow_fields": ["dst_ip", "src_mac"]}),
    ('src_ip = "10.0.0.1"\ndst_mac = "02:00:00:00:00:09"', {"src_ip": "10.0.0.1", "dst_mac": "02:00:00:00:00:09"}),
]


@pytest.mark.parametrize("text, expected", SAID, ids=[text.partition("\n")[0] for text, _ in SAID])
def test_what_the_table_says_is_what_is_asked_of_pktgen(text: str, expected: dict[str, Any], tmp_path: Path) -> None:
    assert sent(tmp_path, text) == {"rate_pps": 1e6, "frame_bytes": 64, "flows": 1, **expected}


def test_a_saturating_trial_and_a_probe_have_no_shape(tmp_path: Path) -> None:
    text = 'shape = "burst"\nl4 = "udp"\ndst_port = 80'
    plain = {"frame_bytes": 64, "flows": 1, "dst_port": 80}
    assert sent(tmp_path, text, rate_pps=None) == {"rate_pps": 0, **plain}
    assert sent(tmp_path, text, rate_pps=1e3, probe=True) == {"rate_pps": 1e3, **plain}


def test_the_way_back_has_source_and_destination_exchanged(tmp_path: Path) -> None:
    text = ('src_mac = "02:00:00:00:00:01"\ndst_mac = "02:00:00:00:00:02"\nsrc_ip = "10.0.0.1"\ndst_ip = "10.1.0.1"\n'
            'src_port = 5\ndst_port = 6\nflow_fields = ["src_port", "dst_ip", "vlan"]\nvlan = 7')
    there = sent(tmp_path, text, P2P + "frame_bytes = 128\n")
    back = sent(tmp_path, text, P2P + "frame_bytes = 128\n", back=True)
    assert back == {**there, "src_mac": there["dst_mac"], "dst_mac": there["src_mac"], "src_ip": there["dst_ip"],
                    "dst_ip": there["src_ip"], "src_port": 6, "dst_port": 5,
                    "flow_fields": ["dst_port", "src_ip", "vlan"]}


def test_a_replayed_file_brings_its_own_frames(tmp_path: Path) -> None:
    write(tmp_path / "a.pcap", "x")
    text = '[traffic.replay]\nfile = "a.pcap"\ntiming = "rate"'
    cell = cell_of(tmp_path, text)
    assert cell.replays and not cell.has_latency and "64B" not in cell.id and "1f" not in cell.id
    assert stream(cell.traffic, 64, 1, 1e6) == {"rate_pps": 1e6, "replay": {
        "file": str(tmp_path / "a.pcap"), "timing": "rate"}}
    assert stream(cell.traffic, 64, 1, 1e3, probe=True) == {"rate_pps": 1e3, "frame_bytes": 64, "flows": 1}


def test_a_file_is_looked_for_beside_the_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data" / "a.pcap", "x")
    file = write(tmp_path / "s" / "t.toml", 'name = "t"\n' + P2P + '[traffic.replay]\nfile = "../data/a.pcap"\n'
                 'timing = "rate"\n')
    suite = write(tmp_path / "suite.toml", 'scenarios = ["s/t.toml"]')
    monkeypatch.chdir("/")
    for path in (file, suite):
        [one] = scenario.load(path)
        assert one.traffic and one.traffic.replay and one.traffic.replay.file == str(tmp_path / "data" / "a.pcap")


# ---- sizes of headers and numbers of flows -------------------------------------------------------------------------

def header_bytes(vlans: int, ip: int, l4: str, tunnel: str) -> int:
    """Layer by layer, as it stands in a dissector."""
    layers = ["eth"] + ["vlan"] * vlans
    if tunnel == "vxlan":
        layers += ["ip4", "udp", "vxlan", "eth"]
    if tunnel == "gtpu":
        layers += ["ip4", "udp", "gtpu"]
    layers += [f"ip{ip}", l4]
    return sum({"eth": 14, "vlan": 4, "ip4": 20, "ip6": 40, "udp": 8, "tcp": 20, "vxlan": 8, "gtpu": 8}[x]
               for x in layers)


@pytest.mark.parametrize("vlans, ip, l4, tunnel", itertools.product((0, 1, 2), (4, 6), ("udp", "tcp"),
                                                                    ("none", "vxlan", "gtpu")))
def test_the_smallest_frame_is_headers_stamp_and_fcs(vlans: int, ip: int, l4: str, tunnel: str,
                                                     tmp_path: Path) -> None:
    smallest = header_bytes(vlans, ip, l4, tunnel) + 18 + 4
    text = f'ip = {ip}\nl4 = "{l4}"\ntunnel = "{tunnel}"\n' + ("", "vlan = 9\n", "vlan = [100, 200]\n")[vlans]
    good = cell_of(tmp_path, text, P2P + f"frame_bytes = {max(64, smallest)}\n")
    assert good.traffic.smallest_frame_bytes == smallest and good.traffic.header_bytes == smallest - 22
    if smallest > 64:
        with pytest.raises(BadInput, match=f"at least {smallest} bytes.*'frame_bytes' has frames of {smallest - 1}"):
            cell_of(tmp_path, text, P2P + f"frame_bytes = [{smallest - 1}, 9000]\n")
        with pytest.raises(BadInput, match=f"at least {smallest} bytes.*'imix' has frames of 64"):
            cell_of(tmp_path, text + 'imix = "aig"\n')


def test_the_plain_stamp_stands_where_the_meter_expects_it() -> None:
    assert PLAIN.header_bytes == 42 and PLAIN.smallest_frame_bytes == 64


@pytest.mark.parametrize("fields, more, flows", [
    (["src_port"], "", 1 << 15), (["src_port", "src_ip"], "", 1 << 24), (["src_ip"], "", 1 << 12),
    (["src_ip"], 'src_ip = "10.0.0.0"', 1 << 24), (["src_ip"], 'src_ip = "255.255.255.0"', 256),
    (["dst_ip"], 'ip = 6\ndst_ip = "2001:2::ffff:fff0"', 16), (["src_port"], "src_port = 65000", 512),
    (["src_port"], "src_port = 65535", 1), (["vlan"], "vlan = 1", 2048), (["vlan"], "vlan = [1, 4000]", 64),
    (["vlan", "dst_port"], "vlan = 1", 1 << 24), (["vni"], 'tunnel = "vxlan"', 1 << 23),
    (["teid"], 'tunnel = "gtpu"', 1 << 24), (["dst_mac"], "", 1 << 24),
    (["dst_mac"], 'dst_mac = "02:00:ff:ff:ff:00"', 256)])
def test_fields_make_so_many_flows_and_no_more(fields: list[str], more: str, flows: int, tmp_path: Path) -> None:
    text, matrix = f"flow_fields = {fields}\n{more}\n", P2P + "frame_bytes = 1518\nflows = "
    assert cell_of(tmp_path, text, f"{matrix}{flows}\n").flows == flows
    if flows < 1 << 24:
        with pytest.raises(BadInput, match=f"at most {flows} flows"):
            cell_of(tmp_path, text, f"{matrix}[1, {flows + 1}]\n")


def test_the_way_back_can_tell_as_many_flows_apart() -> None:
    r = seeded()
    for _ in range(200):
        t = Traffic("", vlan=(r.randint(1, 4094),), src_port=r.randint(0, 65535), dst_port=r.randint(0, 65535),
                    src_ip=r.choice(["", "10.0.0.1"]), dst_ip=r.choice(["", "255.255.255.250"]),
                    flow_fields=tuple(r.sample(list(traffic.FIELD_BITS), r.randint(1, 9))))
        assert traffic.flow_capacity(t) == traffic.flow_capacity(traffic._mirrored(t))


# ---- plans ---------------------------------------------------------------------------------------------------------

def test_traffic_is_a_function_of_the_scenario_alone(tmp_path: Path) -> None:
    cells = cells_of_text(tmp_path, ALL + '[traffic]\nimix = "aaag"\nl4 = "udp"\n')
    assert len({repr(c.traffic) for c in cells}) == 1
    for a, b in zip(cells[::2], cells[1::2], strict=True):
        assert a.traffic == b.traffic and setup_of(a).peers == setup_of(b).peers


def test_the_label_stands_in_the_id_and_other_traffic_has_another_one(tmp_path: Path) -> None:
    named = cell_of(tmp_path, 'name = "imix"\nimix = "aag"')
    assert named.id == "made-up.p2p.one-way.549B.1f.vhost-user.imix.ovs-dpdk" and "traffic imix" in named.title
    ids = {cell_of(tmp_path, text).id for text in ('imix = "aag"', 'imix = "aga"', "seed = 2", 'shape = "poisson"')}
    assert len(ids) == 4


@pytest.mark.parametrize("key", ["capture", "flow_records", "learning_count"])
def test_what_needs_both_ends_is_not_available_elsewhere(key: str, tmp_path: Path) -> None:
    text = {"capture": "[traffic.capture]\nfirst = 5", "flow_records": "[traffic]\nflow_records = true",
            "learning_count": "[traffic]\nlearning_count = 3"}[key]
    for cell in cells_of_text(tmp_path, ALL + text):
        assert bool(cell.unsupported) == (cell.topology.name in ("p2v", "v2v")), cell.id
        assert key in cell.unsupported or not cell.unsupported


def test_plan_shows_the_traffic_of_each_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '[traffic]\nshape = "poisson"\nimix = "aag"\ndst_port = 80\n'
    file = write(tmp_path / "t.toml", 'name = "t"\n' + BOTH + text)
    assert cli.main(["plan", str(file)]) == 0
    out = capsys.readouterr().out
    assert words_missing(out, ["imix=aag", "shape=poisson", "direction 0", "direction 1", '"dst_port": 80',
                               '"src_port": 80', "[64, 64, 1518]"]) == []
    assert cli.main(["plan", "--json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["cell"]["traffic"]["sizes"] == [64, 64, 1518]


def test_large_frames_are_told_to_everybody_and_get_the_memory(tmp_path: Path) -> None:
    small = cells_of_text(tmp_path, ALL + "frame_bytes = 1518\n")
    large = cells_of_text(tmp_path, ALL + "frame_bytes = 9000\n")
    for a, b in zip(small, large, strict=True):
        one, other = setup_of(a), setup_of(b)
        assert not any("--frame-max" in p.argv for p in one.peers) and not one.site.jumbo
        assert all(p.argv[p.argv.index("--frame-max") + 1] == "9000" for p in other.peers)
        assert other.site.frame_max_bytes == 9000 and other.site.mtu == 9000 - 18
        assert one.hugepages < other.hugepages
        steps = repr((other.launch, other.wire))
        assert ("mtu_request=8982" if b.switch.name == "ovs-dpdk" else "'--max-pkt-len', '9000'") in steps
        assert "mtu" not in repr(one.wire) and "--mbuf-size" not in repr(one.launch)
        for vm, small_vm in zip((p.vm for p in other.peers if p.vm), (p.vm for p in one.peers if p.vm), strict=True):
            assert vm.memory_mib > small_vm.memory_mib and vm.hugepages * 2 < vm.memory_mib


def test_fixed_rates_are_asked_for_in_rounds() -> None:
    steps = search.run(scenario.Search("fixed", 2, 1.0, 0.5, (), 1, 1.0, (1e3, 1e6)), True)
    asked, request = [], next(steps)
    try:
        while True:
            asked.append((request.phase, request.rate_pps))
            request = steps.send(made([direction(1000, 900)], phase=request.phase, rate_pps=request.rate_pps))
    except StopIteration as done:
        results = {r.metric: r for r in done.value}
    assert asked == [("warmup", 1e3), ("fixed@1000pps", 1e3), ("fixed@1000000pps", 1e6)] + asked[1:3]
    assert results["rx_pps@1000pps"].value == 900 and results["rx_pps@1000pps"].n == 2
    assert results["loss_ratio@1000000pps"].value == pytest.approx(0.1)


def test_a_replay_says_how_true_its_gaps_were() -> None:
    steps = search.run(scenario.Search("fixed", 1, 1.0, 0, (), 1, 1.0, ()), False)
    assert next(steps).rate_pps is None
    error = {"count": 1000, "min_ns": 40, "max_ns": 40, "sum_ns": 0, "bins": [[40, 41, 1000]]}
    with pytest.raises(StopIteration) as done:
        steps.send(made([direction(1000, 1000, sender={"replay": {"frames": 9, "gap_error": error}})]))
    assert {r.metric: r.value for r in done.value.value} == {
        "rx_pps@replay": 1000, "loss_ratio@replay": 0, "replay_gap_error_p50_ns@replay": 40,
        "replay_gap_error_p99_ns@replay": 40}


def test_every_phase_of_a_search_can_be_captured() -> None:
    for kind, rates in (("rplus", ()), ("fixed", (1.0,))):
        steps = search.run(scenario.Search(kind, 1, 1.0, 0.5, (0.5,), 1, 1.0, rates), True)
        request = next(steps)
        try:
            while True:
                assert request.phase.partition("@")[0] in traffic.PHASES
                request = steps.send(made([direction(10**6, 10**6)], phase=request.phase, rate_pps=request.rate_pps))
        except StopIteration:
            pass


# ---- what is refused -----------------------------------------------------------------------------------------------

BAD = [
    ("an unknown key", 'imx = "a"', ["unknown key 'imx'", "did you mean 'imix'?"]),
    ("an unknown shape", 'shape = "poison"', ["'shape'", "constant, poisson, burst, ramp", "did you mean 'poisson'?"]),
    ("an unknown field", 'flow_fields = ["src_prot"]', ["'flow_fields'", "did you mean 'src_port'?"]),
    ("a field twice", 'flow_fields = ["src_ip", "src_ip"]', ["'flow_fields'", "twice"]),
    ("a field the frames do not have", 'flow_fields = ["vni"]', ["'vni'", 'tunnel = "vxlan"']),
    ("a TEID in VXLAN", 'tunnel = "vxlan"\nflow_fields = ["teid"]\n', ["'teid'", 'tunnel = "gtpu"']),
    ("bursts without bursts", "burst_frames = 8", ["'burst_frames'", 'shape = "burst"']),
    ("a ramp without a ramp", 'shape = "burst"\nramp_from_pps = 8', ["'ramp_from_pps'", 'shape = "ramp"']),
    ("Zipf without Zipf", "zipf_exponent = 1.5", ["'zipf_exponent'", 'flow_order = "zipf"']),
    ("a UDP checksum of TCP", 'l4 = "tcp"\nudp_checksum = true', ["'udp_checksum'", 'l4 = "udp"']),
    ("a UDP checksum chosen for IPv6", "ip = 6\nudp_checksum = true", ["'udp_checksum'", "ip = 4"]),
    ("another IP", "ip = 5", ["'ip'", "one of 4, 6"]),
    ("an address of the other IP", 'ip = 6\nsrc_ip = "10.0.0.1"', ["'src_ip'", "IPv6 address"]),
    ("no address", 'dst_ip = "10.0.0"', ["'dst_ip'", "IPv4 address"]),
    ("no MAC address", 'src_mac = "02:00"', ["'src_mac'", "02:00:00:00:00:01"]),
    ("a group's MAC address", 'dst_mac = "01:00:5e:00:00:01"', ["'dst_mac'", "group"]),
    ("three VLAN tags", "vlan = [1, 2, 3]", ["'vlan'", "802.1Q", "802.1ad"]),
    ("a VLAN there is not", "vlan = 4095", ["'vlan'", "from 1 to 4094"]),
    ("a port there is not", "dst_port = 65536", ["'dst_port'", "from 0 to 65535"]),
    ("an empty genome", 'imix = ""', ["'imix'", "0 letters"]),
    ("a letter without a size", 'imix = "aaK"', ["'imix'", "'K'", "imix_sizes"]),
    ("a letter for frames that are too large for all", 'imix = "aj"', ["'j'", "i=9000"]),
    ("a size for no letter", 'imix = "aaK"\nimix_sizes = {K = 100, L = 100}', ["'imix_sizes'", "'L'"]),
    ("another size for a letter", 'imix = "aa"\nimix_sizes = {a = 100}', ["'imix_sizes'", "unknown key 'a'"]),
    ("a size that is none", 'imix = "A"\nimix_sizes = {A = 63}', ["'imix_sizes'", "'A'", "from 64 to 9216"]),
    ("sizes that are no table", 'imix_sizes = [1]', ["'imix_sizes'", "a table"]),
    ("intervals too short", "interval_s = 0.0001", ["'interval_s'", "0.001"]),
    ("a name with a dot", 'name = "a.b"', ["'name'", "letters"]),
    ("a capture of nothing", "[traffic.capture]\nfirst = 0", ["[traffic.capture]", "'first'"]),
    ("a capture in no phase", '[traffic.capture]\nphase = "latnecy"', ["[traffic.capture]", "did you mean 'latency'?"]),
    ("a replay without a file", "[traffic.replay]\nloop = true", ["[traffic.replay]", "'file'", "missing"]),
    ("a file there is not", '[traffic.replay]\nfile = "no.pcap"', ["[traffic.replay]", "'no.pcap'", "no such file"]),
    ("a speed of a rate", '[traffic.replay]\nfile = "a.pcap"\ntiming = "rate"\nspeed = 2.0', ["'speed'", "original"]),
    ("its own times where a load must saturate",
     '[search]\nkind = "fixed"\n[telemetry]\ntrials = 1\n[traffic.replay]\nfile = "a.pcap"', ["[telemetry]", "saturates"]),
    ("its own times in a search for rates", '[traffic.replay]\nfile = "a.pcap"', ["'kind'", "fixed", "timing"]),
    ("headers of a file", 'vlan = 5\n[traffic.replay]\nfile = "a.pcap"', ["'vlan'", "[traffic.replay]"]),
    ("rates in a search for rates", "seed = 2\n[search]\nrate_pps = 5", ["'rate_pps'", "fixed"]),
    ("fixed without rates", 'seed = 2\n[search]\nkind = "fixed"', ["'rate_pps'", "missing"]),
    ("fixed with latency", 'seed = 2\n[search]\nkind = "fixed"\nrate_pps = 5\n[latency]\nat_rplus = 0.5',
     ["'fixed'", "[latency]"]),
]


@pytest.mark.parametrize("text, words", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_traffic_is_refused_in_a_line(text: str, words: list[str], tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.pcap", "x")
    file = write(tmp_path / "t.toml", 'name = "t"\n' + P2P + "[traffic]\n" + text)
    assert cli.main(["plan", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"vswbench: {file}: [") and said.err.count("\n") == 1, said.err
    assert words_missing(said.err, words) == [], said.err


def test_a_genome_and_a_frame_size_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'imix' replaces 'frame_bytes'"):
        cell_of(tmp_path, 'imix = "aag"', P2P + "frame_bytes = 64\n")
    write(tmp_path / "a.pcap", "x")
    with pytest.raises(BadInput, match="'flows' too"):
        cell_of(tmp_path, '[traffic.replay]\nfile = "a.pcap"\ntiming = "rate"', P2P + "flows = 2\n")


def test_any_table_is_taken_or_refused_in_a_line(tmp_path: Path) -> None:
    """Random tables: never an exception of another kind."""
    r = seeded()
    write(tmp_path / "a.pcap", "x")
    taken = 0
    for _ in range(300):
        keys = r.sample(list(traffic.FIELDS), r.randint(0, 4))
        values = {key: r.choice([field.default, field.low, field.high, *(field.choices or [0]), "aag",
                                 "02:00:00:00:00:01", [1], {"file": "a.pcap"}, {"A": 70}, True])
                  for key in keys for field in [traffic.FIELDS[key]]}
        table = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}
        matrix = {key: field.default for key, field in scenario.MATRIX.items()} | {"topology": ("p2p",)}
        try:
            one = traffic.check("f: [traffic]", table, matrix, {}, tmp_path, "label")
        except BadInput as why:
            assert "\n" not in str(why) and str(why).startswith("f: [traffic")
            continue
        taken += 1
        assert one is None if not table else isinstance(one, Traffic)
        if one:
            json.dumps(stream(one, 64, 1, 1e6))
    assert taken > 20


def test_every_trial_and_direction_is_another_sample(tmp_path: Path) -> None:
    """Repeats of one random sequence would be one sample, however many they are."""
    from types import SimpleNamespace

    from harness import testbed
    from harness.search import Request
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "p2p"\ndirection = "two-way"\n[traffic]\nshape = "poisson"\n',
                           switches=["testpmd"])
    one = SimpleNamespace(cell=cell, _measured=0)
    seeds = set()
    for one._measured in range(1, 4):
        seeds.add(testbed.Testbed._stream(one, cell.topology.flows[0], Request("x", 1e3, 1.0), "generator")["seed"])
    assert len(seeds) == 3
