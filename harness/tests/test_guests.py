# SPDX-License-Identifier: BSD-3-Clause
"""Guests as data: what [matrix] and [guest] say of virtio ports and VMs reaches every program, and no switch's cell differs
from another's. QEMU's monitor against a fake one; threads are put on CPUs for real.
"""

import itertools
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness import ownimage, qemu, qmp
from harness.cell import Cell
from harness.errors import BadInput, CellFailed
from harness.tests.support import cells_of_text, seeded, setup_of, words_missing

KEYS = {"queues": [1, 2, 8], "rings": ["split", "packed"], "mergeable": [True, False], "ring_size": [256, 1024],
        "sockets": ["peer", "switch"]}


def toml(value: Any) -> str:
    return json.dumps(value)


def matrix(**keys: Any) -> str:
    return "[matrix]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items())


def words_of(argv: Any) -> list[dict[str, str]]:
    """Every word of a command line as the keys and values that it is made of, read without our help."""
    return [dict((part.split("=", 1) + [""])[:2] for part in word.split(",")) for word in argv]


def one_cell(tmp_path: Path, text: str, switch: str = "testpmd") -> Cell:
    [cell] = cells_of_text(tmp_path, text, switches=[switch])
    return cell


def test_what_the_matrix_says_of_ports_reaches_every_program(tmp_path: Path) -> None:
    r = seeded()
    for values in r.sample(list(itertools.product(*KEYS.values())), 12):
        ports = dict(zip(KEYS, values))
        for guest, switch in itertools.product(("process", "qemu"), ("testpmd", "ovs-dpdk")):
            cell = one_cell(tmp_path, matrix(topology="loopback", guest=guest, **ports), switch)
            assert not cell.unsupported
            setup = setup_of(cell)
            for peer in setup.peers:
                options = " ".join(peer.argv)
                assert f"--ring-size {ports['ring_size']}" in options
                assert ("--queues" in options) == (ports["queues"] > 1)
                vdevs = [w for w in words_of(peer.argv) if any(k.startswith("net_virtio_user") for k in w)]
                for vdev in vdevs:
                    assert int(vdev["queues"]) == ports["queues"]
                    assert vdev.get("packed_vq", "0") == str(int(ports["rings"] == "packed"))
                    assert vdev.get("mrg_rxbuf", "1") == str(int(ports["mergeable"]))
                    assert vdev.get("server", "0") == str(int(ports["sockets"] == "peer"))
                assert len(vdevs) == (0 if peer.vm else 2)
                assert bool(peer.sockets) == (ports["sockets"] == "peer")
                if peer.vm:
                    check_nics(qemu.argv(peer.vm), ports)
            assert setup.switch_first == (ports["sockets"] == "switch")


def check_nics(argv: list[str], ports: dict[str, Any]) -> None:
    words = words_of(argv)
    nics = [w for w in words if "virtio-net-pci" in w]
    backends = [w for w in words if "vhost-user" in w]
    sockets = [w for w in words if w.get("id", "").startswith("nic")]
    assert len(nics) == len(backends) == len(sockets) == 2
    for nic, backend, chardev in zip(nics, backends, sockets):
        assert nic["netdev"] == backend["id"] and backend["chardev"] == chardev["id"]
        assert int(backend.get("queues", "1")) == ports["queues"]
        assert nic.get("mq", "off") == ("on" if ports["queues"] > 1 else "off")
        assert nic.get("packed", "off") == ("on" if ports["rings"] == "packed" else "off")
        assert nic["mrg_rxbuf"] == ("on" if ports["mergeable"] else "off")
        assert nic["rx_queue_size"] == nic["tx_queue_size"] == str(ports["ring_size"])
        assert chardev["server"] == ("on" if ports["sockets"] == "peer" else "off")


def test_a_switch_that_makes_the_sockets_finds_none_and_its_peers_find_all(tmp_path: Path) -> None:
    """Nobody waits for a socket that is made after it, nor in a folder that is not there."""
    for switch in ("testpmd", "ovs-dpdk"):
        cell = one_cell(tmp_path, matrix(topology="p2v", guest="qemu", sockets="switch"), switch)
        setup = setup_of(cell)
        folder = setup.site.folder
        assert all(path.startswith(folder + "/") for path in setup.site.sockets)
        text = repr((setup.launch, setup.wire))
        assert "dpdkvhostuserclient" not in text and "client=1" not in text
        assert all(path in text for path in setup.site.sockets)


def test_lists_make_cells_and_every_switch_has_the_same(tmp_path: Path) -> None:
    text = matrix(topology=["p2p", "loopback"], guest="qemu", queues=[1, 2], rings=["split", "packed"])
    cells = cells_of_text(tmp_path, text, switches=["testpmd", "ovs-dpdk"])
    assert len(cells) == 2 * 2 * 2 * 2
    assert len({c.id for c in cells}) == len({(c.title, c.switch) for c in cells}) == len(cells)
    for a, b in zip(cells[::2], cells[1::2], strict=True):
        assert (a.virtio, a.machine, a.variant) == (b.virtio, b.machine, b.variant)
        assert setup_of(a).peers == setup_of(b).peers
    assert {c.variant for c in cells} == {"", "2q", "packed", "2q-packed"}


def test_what_is_as_usual_leaves_ids_as_they_were(tmp_path: Path) -> None:
    usual = matrix(topology="p2v", guest="qemu", queues=1, rings="split", mergeable=True, sockets="peer")
    assert one_cell(tmp_path, usual).id == one_cell(tmp_path, matrix(topology="p2v", guest="qemu")).id


def test_ports_in_memory_have_neither_rings_nor_sockets_of_virtio(tmp_path: Path) -> None:
    text = matrix(topology="p2p", port_kind="ring", rings=["split", "packed"], mergeable=[True, False])
    [cell] = cells_of_text(tmp_path, text, switches=["null"])
    assert cell.variant == ""


def test_the_guest_table_makes_the_vm(tmp_path: Path) -> None:
    text = matrix(topology="p2v", guest="qemu") + ('[guest]\nvcpus = 4\nmemory_mib = 2048\nhugepages = "1G"\n'
                                                    'offloads = true\n')
    cell = one_cell(tmp_path, text)
    setup = setup_of(cell)
    [vm] = [p.vm for p in setup.peers if p.vm]
    words = words_of(qemu.argv(vm))
    argv = qemu.argv(vm)
    assert argv[argv.index("-smp") + 1] == "4" and argv[argv.index("-m") + 1] == "2048"
    assert any(w.get("hugetlbsize") == "1G" and w["size"] == "2048M" for w in words)
    assert not any("csum" in w for w in words)
    assert setup.gigantic_pages == 2
    usual = setup_of(one_cell(tmp_path, matrix(topology="p2v", guest="qemu")))
    assert setup.hugepages == usual.hugepages - 384 // 2 and usual.gigantic_pages == 0
    small = setup_of(one_cell(tmp_path, matrix(topology="p2v", guest="qemu") + '[guest]\nhugepages = "4K"\n'))
    assert small.hugepages == setup.hugepages and small.gigantic_pages == 0


def test_the_guest_table_is_of_no_use_to_other_guests(tmp_path: Path) -> None:
    process, vm = cells_of_text(tmp_path, matrix(topology="p2v", guest=["process", "qemu"]) + "[guest]\nvcpus = 4\n",
                                switches=["testpmd"])
    assert (process.variant, vm.variant) == ("", "4vcpus")
    for topology, guest in (("p2v", "process"), ("p2p", "none"), ("p2p", "qemu")):
        with pytest.raises(BadInput, match=r"\[guest\]: no cell has a VM"):
            one_cell(tmp_path, matrix(topology=topology, guest=guest) + "[guest]\nvcpus = 4\n")


@pytest.mark.parametrize("text, words", [
    ("[guest]\nvcpus = 1\n", ["'vcpus'", "from 2"]),
    ('[guest]\nhugepages = "3M"\n', ["'hugepages'", "4K, 2M, 1G"]),
    ('[guest]\nhugepages = "1G"\n', ["'hugepages'", "memory_mib", "1024"]),
    ("[guest]\nmemory_mib = 385\n", ["'memory_mib' is 385", "even"]),
    ("[guest]\nvcpu = 2\n", ["'vcpu'", "did you mean 'vcpus'"]),
])
def test_a_bad_guest_table_is_refused(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        cells_of_text(tmp_path, matrix(topology="p2v", guest="qemu") + text, switches=["testpmd"])
    assert words_missing(str(caught.value), ["[guest]", *words]) == [] and "\n" not in str(caught.value)


@pytest.mark.parametrize("more, memory_mib, least_mib", [
    ({}, 256, 0), ({"queues": [1, 2]}, 256, 400), ({"queues": 2}, 400, 0), ({"queues": 8}, 1262, 1264),
    ({"queues": 8}, 1264, 0), ({"frame_bytes": 9000}, 256, 832), ({"queues": 8}, 0, 0),
    ({"queues": 8, "frame_bytes": 9000}, 0, 0)])
def test_a_vm_needs_memory_beside_the_hugepages_that_its_queues_and_frames_take(
        more: dict[str, Any], memory_mib: int, least_mib: int, tmp_path: Path) -> None:
    text = matrix(topology="p2v", guest="qemu", **more)
    text += f"[guest]\nmemory_mib = {memory_mib}\n" if memory_mib else ""
    if least_mib:
        with pytest.raises(BadInput, match=rf"\[guest\]: key 'memory_mib' is {memory_mib}: .*at least {least_mib}"):
            one_cell(tmp_path, text)
        return
    [vm] = [p.vm for p in setup_of(one_cell(tmp_path, text)).peers if p.vm]
    assert vm.memory_mib - 2 * vm.hugepages >= 128 + (2 * vm.hugepages - 128) // 8


def test_every_virtual_cpu_has_a_cpu_of_the_plan(tmp_path: Path) -> None:
    for cpus in ((0,), (0, 1), (2, 5, 7, 8, 9)):
        for cell in cells_of_text(tmp_path, matrix(topology="loopback", guest="qemu", chain_length=2), cpus=cpus,
                                  switches=["testpmd"]):
            for peer in setup_of(cell).peers:
                if peer.vm:
                    assert peer.vm.vcpu_cpus == (cell.cores.control, cell.cores.of(peer.name))
                    assert peer.vm.control_cpu == cell.cores.control
                    assert set(peer.vm.boot_cpus) <= set(cpus)


def test_a_vm_says_of_nothing_but_itself(tmp_path: Path) -> None:
    """Two VMs of a chain share no path, no address and no name."""
    [cell] = cells_of_text(tmp_path, matrix(topology="loopback", guest="qemu", chain_length=2), switches=["testpmd"])
    one, two = (asdict(p.vm) for p in setup_of(cell).peers if p.vm)
    shared = {key for key in one if one[key] == two[key]}
    assert shared.isdisjoint({"name", "console_log", "control_socket", "qmp_socket", "nics"})


# ---- QEMU's monitor ------------------------------------------------------------------------------------------------

GREETING = '{"QMP": {"version": {}, "capabilities": []}}'
OK = '{"return": {}}'


@contextmanager
def monitor(path: Path, *answers: str | Callable[[], str]) -> Iterator[list[str]]:
    """A fake QEMU: greets, then gives one answer to each line. Yields the lines that it got."""
    got: list[str] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("r") as lines:
            connection.sendall((GREETING + "\r\n").encode())
            for answer, line in zip(answers, lines):
                got.append(line)
                connection.sendall(((answer() if callable(answer) else answer) + "\r\n").encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield got
    finally:
        thread.join(10)
        server.close()


def test_each_virtual_cpu_goes_to_its_cpu_and_all_other_threads_to_the_control_cpu(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one CPU only: nothing to tell apart")
    before, stop, ids = os.sched_getaffinity(0), threading.Event(), []
    ready = threading.Barrier(3)

    def virtual_cpu() -> None:
        ids.append(threading.get_native_id())
        ready.wait()
        stop.wait()

    threads = [threading.Thread(target=virtual_cpu) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    answer = json.dumps({"return": [{"cpu-index": i, "thread-id": t} for i, t in enumerate(ids)]})
    event = '{"event": "RESUME", "timestamp": {}}\r\n'
    try:
        with monitor(tmp_path / "q", OK, event + answer) as got:
            qmp.pin("guest1", str(tmp_path / "q"), os.getpid(), cpus[0], [cpus[1], cpus[0]])
        assert [os.sched_getaffinity(t) for t in ids] == [{cpus[1]}, {cpus[0]}]
        assert os.sched_getaffinity(threading.main_thread().native_id or 0) == {cpus[0]}
        assert [json.loads(line)["execute"] for line in got] == ["qmp_capabilities", "query-cpus-fast"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for thread_id in map(int, os.listdir("/proc/self/task")):
            os.sched_setaffinity(thread_id, before)


@pytest.mark.parametrize("answers, words", [
    ([OK, '{"error": {"class": "CommandNotFound", "desc": "no such command"}}'], ["refused", "no such command"]),
    ([OK, '{"return": [{"cpu-index": 7, "thread-id": 1}]}'], ["threads"]),
    ([OK, '{"return": 5}'], ["threads"]),
    ([OK, "QEMU 7.2 monitor"], ["no JSON"]),
    ([OK, "[]"], ["no JSON object"]),
    ([OK], ["ended"]),
], ids=["refused", "a CPU too many", "no list", "no JSON", "no object", "ended"])
def test_a_monitor_that_misbehaves_fails_the_cell_in_a_line(answers: list[str], words: list[str], tmp_path: Path) -> None:
    with monitor(tmp_path / "q", *answers), pytest.raises(CellFailed) as caught:
        qmp.pin("guest1", str(tmp_path / "q"), os.getpid(), 0, [0, 0])
    assert words_missing(str(caught.value), ["guest1", *words]) == [] and "\n" not in str(caught.value)


def test_a_monitor_that_is_not_there_fails_the_cell(tmp_path: Path) -> None:
    with pytest.raises(CellFailed, match=re.escape(str(tmp_path / "none"))):
        qmp.pin("guest1", str(tmp_path / "none"), os.getpid(), 0, [0, 0])


# ---- images of other people's --------------------------------------------------------------------------------------

def test_an_image_of_ones_own_is_booted_and_left_as_it_is(tmp_path: Path) -> None:
    cell = one_cell(tmp_path, matrix(topology="loopback", guest="qemu", chain_length=2)
                    + '[guest]\nimage = "a,b/debian 12.qcow2"\n')
    assert cell.variant == "debian12"
    vms = [p.vm for p in setup_of(cell).peers if p.vm]
    for vm in vms:
        argv = qemu.argv(vm)
        assert not {"-kernel", "-initrd", "-append"} & set(argv)
        [drive] = [word for word in argv if word.startswith("file=") and "snapshot" in word]
        assert f"file={tmp_path}/a,,b/debian 12.qcow2,".replace("//", "/") in drive and "format=qcow2" in drive
        nics = [w for w in words_of(argv) if "virtio-net-pci" in w]
        assert [w["netdev"] for w in nics] == ["net0", "net1", "ssh"] and len({w["mac"] for w in nics}) == 3
        assert [w.get("vectors") for w in nics] == ["0", "0", None]     # QEMU 7.2 dies of them without KVM
        assert vm.memory_mib == 1024
    a, b = (vm.own for vm in vms if vm.own)
    assert a.ssh_port != b.ssh_port and a.seed != b.seed and a.key != b.key and a.mac != b.mac


@pytest.mark.parametrize("name, content, kind", [
    ("cloud.img", b"QFI\xfb\0\0\0\3", "qcow2"), ("cloud.qcow2", b"QFI\xfb", "qcow2"), ("disk.qcow2", b"\xeb", "raw"),
    ("disk.img", b"", "raw"), ("none.qcow2", None, "qcow2"), ("none.img", None, "raw")])
def test_what_an_image_is_stands_in_it_and_not_in_its_name(name: str, content: bytes | None, kind: str, tmp_path: Path
                                                           ) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    cell = one_cell(tmp_path, matrix(topology="p2v", guest="qemu") + f'[guest]\nimage = "{name}"\n')
    [vm] = [p.vm for p in setup_of(cell).peers if p.vm]
    [drive] = [w for w in words_of(qemu.argv(vm)) if w.get("id") == "disk"]
    assert drive["format"] == kind


def test_the_seed_lets_one_key_in_and_gives_the_nic_of_ssh_an_address() -> None:
    own = ownimage.OwnImage("/i.qcow2", "qcow2", "/run/x/guest1.seed", 20001, "02:76:73:6d:01:00", "/programs.tar")
    assert own.seed_files("guest1", "ssh-ed25519 AAAA vswbench") == {
        "meta-data": "instance-id: vswbench-guest1-20001\nlocal-hostname: guest1\n",
        "user-data": '#cloud-config\ndisable_root: false\nssh_pwauth: false\nusers:\n  - name: root\n'
                     '    ssh_authorized_keys: ["ssh-ed25519 AAAA vswbench"]\n',
        "network-config": 'version: 2\nethernets:\n  ssh:\n    match: {macaddress: "02:76:73:6d:01:00"}\n'
                          '    dhcp4: true\n'}


def test_making_the_seed_needs_the_image(tmp_path: Path) -> None:
    own = ownimage.OwnImage(str(tmp_path / "none.qcow2"), "qcow2", str(tmp_path / "seed"), 20001,
                            "02:76:73:6d:01:00", "")
    with pytest.raises(CellFailed, match="none.qcow2 is not there"):
        ownimage.prepare("guest1", own, tmp_path / "log")


def test_a_chain_for_which_testpmd_has_no_ports_is_told_by_the_plan(tmp_path: Path) -> None:
    for length, can in ((15, True), (16, False)):
        text = matrix(topology="loopback", guest="process", chain_length=length)
        assert bool(one_cell(tmp_path, text).unsupported) != can
        assert not one_cell(tmp_path, text, "ovs-dpdk").unsupported
