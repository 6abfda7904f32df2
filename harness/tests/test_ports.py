# SPDX-License-Identifier: BSD-3-Clause
"""Port kinds: devices in a namespace of the cell, the same for every switch; and which kind "auto" stands for. The last
tests make real devices, where the machine allows it.
"""

import csv
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import bed, host, ports, proc, run
from harness.errors import BadInput
from harness.switches import SWITCHES
from harness.switches.base import Command, File, Namespace, Spawn, inside
from harness.switches.testpmd import Testpmd
from harness.tests.support import NICS, cells_of_text, real_run, setup_of, words_missing, write

TESTPMD = Testpmd()
DEVICE_NAME_MAX = 15        # IFNAMSIZ less its end, of <linux/if.h>


def cell(tmp_path: Path, switch: str = "linux-bridge", point: str = 'topology = "p2p"', **others: Any) -> Any:
    text = f'[matrix]\n{point}\nport_kind = "af_packet"'
    [one] = cells_of_text(tmp_path, text, switches=[switch], **others)
    return one


# ---- pure ----------------------------------------------------------------------------------------------------------

def test_devices_of_a_cell_are_in_a_namespace_that_names_its_run(tmp_path: Path) -> None:
    setup = setup_of(cell(tmp_path))
    assert setup.site.namespace == "vswbench-01234567-c1"
    made = [step.name for step in setup.network if isinstance(step, Namespace)]
    assert made == [setup.site.namespace, setup.site.namespace + "-generator"]
    for step in setup.network[1:]:
        if isinstance(step, Command):
            assert setup.site.namespace in " ".join(step.argv)


def test_every_port_has_two_devices_that_are_numbered_as_wires_join_them(tmp_path: Path) -> None:
    one = cell(tmp_path, point='topology = "loopback"\nguest = "process"\nchain_length = 16', cpus=range(40))
    made = [step.argv for step in setup_of(one).network if isinstance(step, Command) and "add" in step.argv]
    found = {argv[argv.index("name") + 1]: int(argv[argv.index("index") + 1]) for argv in made if "link" in argv}
    assert list(found) == [port.name for port in one.topology.ports]
    number = [found[port.name] for port in one.topology.ports]
    assert all(number[a] ^ 1 == number[b] for a, b in one.topology.wires)
    words = [word for argv in made for word in argv]
    names = [words[i + 1] for i, word in enumerate(words) if word == "name"]
    assert len(set(names)) == len(names) == 2 * len(one.topology.ports)
    assert all(len(name) <= DEVICE_NAME_MAX for name in names)


def test_each_end_is_handled_on_the_cpus_of_its_holder(tmp_path: Path) -> None:
    one = cell(tmp_path, point='topology = "loopback"\nguest = "process"', cpus=range(8))
    steps = setup_of(one).network
    masks = {step.path: int(step.text.replace(",", ""), 16) for step in steps if isinstance(step, File)}
    steered = {}
    for step in steps:
        if isinstance(step, Command) and "cp" in step.argv:
            *_, source, target = step.argv
            steered[re.search("/net/([^/]+)/", target)[1]] = masks[source]     # type: ignore[index]
    for port in one.topology.ports:
        assert steered[port.name] == sum(1 << cpu for cpu in one.cores.switch)
        assert steered[port.end] == sum(1 << cpu for cpu in one.cores.all_of(port.peer))


@pytest.mark.parametrize("cpus, text", [([0], "1"), ([1], "2"), ([0, 3], "9"), ([31], "80000000"), ([32], "1,00000000"),
                                        ([0, 65], "2,00000000,00000001"), ([2, 2], "4")])
def test_cpu_masks_are_written_as_the_kernel_reads_them(cpus: list[int], text: str) -> None:
    assert ports.cpu_groups(cpus) == text


def test_a_program_of_ours_reads_the_far_end_of_its_ports(tmp_path: Path) -> None:
    for kind in ports.ON_DEVICES:
        [one] = cells_of_text(tmp_path, f'[matrix]\ntopology = "p2p"\nport_kind = "{kind}"', switches=["testpmd"])
        setup = setup_of(one)
        [generator] = setup.peers
        assert generator.argv[:3] == inside(setup.site.namespace + "-generator", ())
        vdevs = [generator.argv[i + 1] for i, word in enumerate(generator.argv) if word == "--vdev"]
        assert [v.split(",")[:2] for v in vdevs] == [[f"net_{kind}{i}", f"iface=p{i}-peer"] for i in (0, 1)]
        [testpmd] = setup.launch
        assert isinstance(testpmd, Spawn)
        assert all(f"net_{kind}{i},iface=p{i}," in " ".join(testpmd.argv) for i in (0, 1))


def test_over_memif_the_switch_is_the_client_of_sockets_that_its_peers_serve(tmp_path: Path) -> None:
    text = ('[matrix]\ntopology = "loopback"\nguest = "process"\nport_kind = "memif"\nqueues = 2\n'
            'ring_size = [256, 1024]\nsockets = ["peer", "switch"]\nrings = ["split", "packed"]')
    sizes = []
    for one in cells_of_text(tmp_path, text, switches=["testpmd", "fastclick"]):
        setup = setup_of(one)
        sizes.append(one.virtio.ring_size)
        assert setup.peers_first and not setup.switch_first and len(setup.site.sockets) == len(one.topology.ports)
        switch = memif_ports(step.argv for step in setup.launch if isinstance(step, Spawn))
        peers = memif_ports(peer.argv for peer in setup.peers)
        assert set(switch) == set(peers) == set(setup.site.sockets)
        for socket in switch:
            assert (switch[socket]["role"], peers[socket]["role"]) == ("client", "server")
            for end in (switch[socket], peers[socket]):
                assert (end["id"], end["socket-abstract"], 1 << int(end["rsize"])) == ("0", "no", one.virtio.ring_size)
    assert sizes == [256, 256, 1024, 1024]      # nothing else of virtio makes a cell of its own


def memif_ports(argvs: Any) -> dict[str, dict[str, str]]:
    """The keys of every net_memif device of these command lines, by socket."""
    words = [word for argv in argvs for word in argv if word.startswith("net_memif")]
    found = [dict(part.split("=") for part in word.split(",")[1:]) for word in words]
    return {keys["socket"]: keys for keys in found}


@pytest.mark.parametrize("more, why", [('guest = "qemu"\nqueues = 2', "QEMU knows no ports of kind memif"),
                                       ('guest = "process"\nqueues = 2\nframe_bytes = 1519', "above 1518"),
                                       ('guest = "process"\nidle = "interrupt"', "no receive interrupts"),
                                       ('guest = "process"', "take queues = 2"),
                                       ('guest = "process"\nqueues = 2\nchain_length = 16', "at most 32"),
                                       ('guest = "process"\nqueues = 2', "")])
def test_what_memif_cannot_do_is_said(more: str, why: str, tmp_path: Path) -> None:
    text = f'[matrix]\ntopology = "loopback"\nport_kind = "memif"\n{more}'
    [one] = cells_of_text(tmp_path, text, switches=["ovs-dpdk"])
    assert why in one.unsupported if why else not one.unsupported


def test_several_queues_are_for_kinds_that_have_them(tmp_path: Path) -> None:
    text = '[matrix]\ntopology = "p2p"\nport_kind = ["vhost-user", "memif", "af_packet", "af_xdp"]\nqueues = [1, 2]'
    refused = [(c.port_kind, c.virtio.queues) for c in cells_of_text(tmp_path, text, switches=["testpmd"])
               if c.unsupported]
    assert refused == [("af_xdp", 2)]


def nics(tmp_path: Path, switch: str, point: str, testbed: str = NICS) -> Any:
    [one] = cells_of_text(tmp_path, f'[matrix]\n{point}\nport_kind = "pci"', switches=[switch],
                          testbed=write(tmp_path / "testbed.toml", testbed))
    return one


def numbered_by_dpdk(argv: tuple[str, ...]) -> list[str]:
    """Devices in the order in which rte_bus_probe() meets them: NICs by address, then --vdev as given."""
    given = [(argv[i], argv[i + 1]) for i in range(len(argv) - 1) if argv[i] in ("-a", "--vdev")]
    return [*sorted(name for kind, name in given if kind == "-a"), *(name for kind, name in given if kind == "--vdev")]


@pytest.mark.parametrize("point", ['topology = "p2p"', 'topology = "p2v"\nguest = "process"',
                                   'topology = "loopback"\nguest = "qemu"\nchain_length = 3'])
def test_wires_join_nics_and_sockets_whatever_dpdk_calls_them(point: str, tmp_path: Path) -> None:
    wanted = []
    for switch in ("testpmd", "fastclick"):
        setup = setup_of(nics(tmp_path, switch, point))
        [argv] = [step.argv for step in setup.launch if isinstance(step, Spawn)]
        found = numbered_by_dpdk(argv)
        ends = [nic or f"iface={socket}," for nic, socket in zip(setup.site.nics, setup.site.sockets)]
        number = {end: i for end in ends for i, name in enumerate(found) if end in name}
        assert sorted(number.values()) == list(range(len(ends))) and "--no-pci" not in argv
        wanted = [tuple(number[ends[end]] for end in wire) for wire in setup.site.topology.wires]
        if switch == "testpmd":     # --port-topology=paired: 0-1, 2-3, ... of its list
            listed = [word.partition("=")[2].split(",") for word in argv if word.startswith("--portlist=")]
            order = [int(word) for word in listed[0]] if listed else list(range(len(ends)))
            assert list(zip(order[::2], order[1::2])) == wanted
        else:
            [config] = [step.text for step in setup.launch if isinstance(step, File)]
            numbers = {name: int(n) for name, n in re.findall(r"^(\w+) :: (?:From|To)DPDKDevice\((\d+),", config, re.M)}
            joined = {(numbers[rx], numbers[tx]) for rx, tx in re.findall(r"^(rx\d+) -> (tx\d+);", config, re.M)}
            assert joined == {pair for a, b in wanted for pair in ((a, b), (b, a))}


def test_on_nics_the_generator_has_its_own_and_guests_have_sockets(tmp_path: Path) -> None:
    one = nics(tmp_path, "ovs-dpdk", 'topology = "loopback"\nguest = "process"')
    setup = setup_of(one)
    generator, guest = setup.peers
    assert numbered_by_dpdk(generator.argv) == ["0000:01:00.0", "0000:01:00.1"] and generator.sockets == ()
    assert len(guest.sockets) == 2 and "--no-pci" in guest.argv
    ports_added = [" ".join(step.argv) for step in setup.wire if isinstance(step, Command) and "add-port" in step.argv]
    assert [re.search("type=(dpdk[a-z]*)", line)[1] for line in ports_added] == [      # type: ignore[index]
        "dpdk", "dpdkvhostuserclient", "dpdkvhostuserclient", "dpdk"]


@pytest.mark.parametrize("point, testbed, why", [
    ('topology = "p2p"', 'name = "none"', "2 NICs a side are needed, and [ports.pci] of the testbed has 0"),
    ('topology = "v2v"\nguest = "process"', NICS, "topology v2v has no NICs"),
    ('topology = "loopback"\nguest = "qemu"\nchains = 2', NICS, "4 NICs a side are needed"),
    ('topology = "p2v"\nguest = "qemu"', NICS, "")])
def test_where_nics_are_missing_the_cell_says_so(point: str, testbed: str, why: str, tmp_path: Path) -> None:
    unsupported = nics(tmp_path, "testpmd", point, testbed).unsupported
    assert why in unsupported if why else not unsupported


@pytest.mark.parametrize("table, words", [
    ('generator = ["01:00.0"]\nswitch = ["0000:02:00.0"]', ["'generator'", "01:00.0", "lspci -D"]),
    ('generator = ["0000:01:00.1", "0000:01:00.0"]\nswitch = ["0000:02:00.0"]', ["'generator'", "ascend"]),
    ('generator = ["0000:01:00.0"]\nswitch = ["0000:01:00.0"]', ["0000:01:00.0", "cannot be"]),
    ('generator = ["0000:01:00.0"]', ["as many", "cable"]),
    ('generators = ["0000:01:00.0"]', ["did you mean 'generator'"])])
def test_bad_nics_are_refused(table: str, words: list[str], tmp_path: Path) -> None:
    file = write(tmp_path / "t.toml", f'name = "t"\n[ports.pci]\n{table}\n')
    with pytest.raises(BadInput) as caught:
        bed.load(file)
    assert words_missing(str(caught.value), ["[ports.pci]", *words]) == [] and "\n" not in str(caught.value)


def test_a_nic_that_is_not_dpdks_is_said_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PCI_DEVICES", tmp_path / "devices")
    for nic, driver in (("0000:01:00.0", "vfio-pci"), ("0000:01:00.1", "ixgbe"), ("0000:3b:00.0", "")):
        (tmp_path / "devices" / nic).mkdir(parents=True)
        if driver:
            (tmp_path / driver).mkdir()
            (tmp_path / "devices" / nic / "driver").symlink_to(tmp_path / driver)
    lines = run.missing([nics(tmp_path, "testpmd", 'topology = "p2p"')], {}, bed.load(None))
    about = {nic: [line for line in lines if nic in line] for nic in ("0000:01:00.0", "0000:01:00.1", "0000:3b:00.0",
                                                                      "0000:3b:00.1")}
    assert about["0000:01:00.0"] == []
    assert words_missing(about["0000:01:00.1"][0], ["ixgbe", "dpdk-devbind.py -b vfio-pci 0000:01:00.1"]) == []
    assert words_missing(about["0000:3b:00.0"][0], ["no driver", "dpdk-devbind.py"]) == []
    assert "there is no PCI device" in about["0000:3b:00.1"][0]


def test_large_frames_are_for_other_ports(tmp_path: Path) -> None:
    text = '[matrix]\ntopology = "p2p"\nport_kind = ["af_packet", "af_xdp", "vhost-user"]\nframe_bytes = [1518, 1519]'
    for one in cells_of_text(tmp_path, text, switches=["testpmd"]):
        refused = one.frame_bytes > 1518 and one.port_kind != "vhost-user"
        assert bool(one.unsupported) == refused and ("1518" in one.unsupported) == refused
    text = '[matrix]\ntopology = "p2p"\nport_kind = "auto"\nframe_bytes = 9000'
    assert {c.port_kind for c in cells_of_text(tmp_path, text, switches=["xdp", "testpmd"])} == {"vhost-user"}


def test_what_the_machine_lacks_for_devices_is_said_with_its_cure(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "ethtool" else f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lines = run.missing([cell(tmp_path)], {}, bed.load(None))
    assert "ethtool is not there: apt-get install ethtool" in lines
    assert any("only root can make" in line and "as root" in line for line in lines)


# ---- which kind ----------------------------------------------------------------------------------------------------

def test_auto_is_the_first_kind_that_most_of_the_switches_have(tmp_path: Path) -> None:
    text = '[matrix]\ntopology = "p2p"\nport_kind = "auto"'
    for switches, kind in ((["testpmd", "ovs-dpdk"], "vhost-user"), (["testpmd", "ovs-dpdk", "null"], "vhost-user"),
                           (["null"], "ring"), (["linux-bridge", "xdp", "testpmd"], "af_xdp")):
        cells = cells_of_text(tmp_path, text, switches=switches)
        assert {c.port_kind for c in cells} == {kind}
        for c in cells:
            has = kind in next(d.ports for d in SWITCHES if d.name == c.switch.name)
            assert has != bool(c.unsupported) and (has or kind in c.unsupported)


def test_auto_takes_what_the_guests_have(tmp_path: Path) -> None:
    text = '[matrix]\ntopology = "p2v"\nguest = ["process", "qemu"]\nport_kind = "auto"'
    cells = cells_of_text(tmp_path, text, switches=["linux-bridge", "testpmd", "xdp"])
    assert {(c.guest, c.port_kind) for c in cells} == {("process", "af_xdp"), ("qemu", "af_xdp")}
    cells = cells_of_text(tmp_path, text + "\nqueues = 2", switches=["linux-bridge", "testpmd", "xdp"])
    assert {(c.guest, c.port_kind) for c in cells} == {("process", "af_packet"), ("qemu", "vhost-user")}


# ---- real devices --------------------------------------------------------------------------------------------------

def _may_make_devices() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "ethtool"))):
        return False
    name = f"vswbench-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made


needs_devices = pytest.mark.skipif(not _may_make_devices(), reason="network namespaces cannot be made here")


@pytest.fixture
def run_folder(tmp_path: Path) -> Iterator[Path]:
    """A run's folder with a name of its own, and no namespace of it left."""
    folder = tmp_path / f"vswbench-t{os.getpid()}"
    (folder / "c1" / "switch").mkdir(parents=True)
    yield folder
    for left in host.NAMESPACES.glob(folder.name + "-*"):
        host.remove_namespace(left.name)


@needs_devices
def test_devices_are_made_and_a_leftover_namespace_goes_with_its_run(run_folder: Path, tmp_path: Path) -> None:
    other = f"vswbench-u{os.getpid()}-c1"
    setup = setup_of(cell(tmp_path, cpus=host.cpus()), str(run_folder / "c1"))
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        for step in setup.network:
            if isinstance(step, File):
                Path(step.path).write_text(step.text)
            else:
                argv = ("ip", "netns", "add", step.name) if isinstance(step, Namespace) else step.argv
                proc.run_command(argv, tmp_path / "log")
        name = setup.site.namespace
        for each, devices in ((name, {"p0", "p1"}), (f"{name}-generator", {"p0-peer", "p1-peer"})):
            said = proc.run_command(("ip", "-n", each, "-br", "link", "show", "up"), tmp_path / "log")
            assert {line.split("@")[0] for line in said.splitlines()} == devices
        read = proc.run_command(("ip", "netns", "exec", name, "cat", "/sys/class/net/p0/queues/rx-0/rps_cpus"),
                                tmp_path / "log")
        assert int(read.replace(",", ""), 16) == sum(1 << cpu for cpu in setup.site.cores.switch)
        host.undo_leftover(run_folder)
        assert not list(host.NAMESPACES.glob(f"{name}*")) and (host.NAMESPACES / other).exists()
    finally:
        host.remove_namespace(other)


REAL = """
name = "real"
[matrix]
topology = ["p2p", "loopback"]
guest = "process"
port_kind = "af_packet"
[search]
kind = "fixed"
rate_pps = 2000
trials = 1
trial_s = 0.1
warmup_s = 0
"""


@needs_devices
@pytest.mark.skipif(not (run.BUILD / "pktgen").exists(), reason="pktgen is not built")
def test_every_switch_without_hugepages_that_is_here_forwards_for_real(tmp_path: Path) -> None:
    """Each in both topologies; what is sent is received or lost, nothing else comes, and no namespace is left."""
    here = [d.name for d in SWITCHES if "af_packet" in d.ports and d.hugepages_mib == 0 and not d.check("/usr").missing]
    here = [name for name in here if name != "xdp" or (run.BUILD / "xdp_patch.bpf.o").exists()]
    folder, rows = real_run(tmp_path, REAL, *(word for name in here for word in ("--switch", name)), timeout_s=120)
    assert [(r["topology"], r["switch"]) for r in rows] == [(t, name) for t in ("p2p", "loopback") for name in here]
    with (folder / "ledger.csv").open(newline="") as places:
        counted = [int(row["in_count"]) for row in csv.DictReader(places)]
    assert len(counted) == len(here) * (3 + 5) and all(count > 0 for count in counted)
    own = host.PREFIX + hashlib.sha256(folder.name.encode()).hexdigest()[:8]      # as host.run_folder() names it
    assert not list(host.NAMESPACES.glob(f"{own}*"))


@pytest.mark.skipif(not (run.BUILD / "pktgen").exists() or bool(TESTPMD.check("/usr").missing) or os.geteuid() != 0,
                    reason="needs pktgen, dpdk-testpmd, and root for hugepages")
def test_over_memif_all_frames_are_counted(tmp_path: Path) -> None:
    """Both ways through testpmd and a forwarder: what is sent is received or lost, and nothing else comes."""
    text = REAL.replace("af_packet", "memif").replace('["p2p", "loopback"]', '"loopback"\ndirection = "two-way"')
    _, [row] = real_run(tmp_path, text, "--switch", "testpmd", timeout_s=60)
    assert float(row["latency_min_ns"]) > 0


def test_a_switch_in_the_kernel_touches_its_own_namespace_only(tmp_path: Path) -> None:
    """So a bridge of the machine's, whatever its name, is never met."""
    for driver in SWITCHES:
        in_user_space = driver.hugepages_mib > 0
        if "af_packet" not in driver.ports or in_user_space or driver.name.startswith("ovs"):
            continue
        setup = setup_of(cell(tmp_path, driver.name))
        for step in (*setup.devices, *setup.wire):
            assert isinstance(step, Command) and step.argv[1] == "-n" and step.argv[2].startswith(setup.site.namespace)


