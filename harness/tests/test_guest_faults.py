# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong with a VM, by a fake QEMU: the cell fails with a reason and the console's path, in one line, and nothing
stays behind. The fake has QEMU's command line, control port, monitor and console.
"""

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import bed, guest, ownimage, plan, testbed
from harness.errors import CellFailed
from harness.guest import RunningPeer
from harness.peers import Peer
from harness.proc import Process
from harness.tests.support import IMAGE, cells_of_text, eventually, executable, is_running, words_missing, write

QEMU = """#!{python}
import json, os, re, socket, sys, time
line = " ".join(sys.argv)
console = open(re.search("file:(\\\\S+console)", line)[1], "w", buffering=1)
def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    return s
monitor = listen(re.search("-qmp unix:([^,]+)", line)[1])
{before}
control = listen(re.search("id=control,path=([^,]+)", line)[1])
host, _ = control.accept()
def say(**message):
    host.sendall(json.dumps(message).encode() + b"\\n")
print("booting", file=console)
{boot}
say(event="booted")
c, _ = monitor.accept()
c.sendall(b'{{"QMP": {{}}}}\\n')
for _ in range(2):
    c.recv(4096)
    c.sendall(json.dumps({{"return": [{{"cpu-index": 1, "thread-id": os.getpid()}}]}}).encode() + b"\\n")
q = json.loads(host.makefile().readline())
{program}
say(id=q["id"], ok=True, pid=2)
say(event="ready", tsc_hz=2e9)
time.sleep(60)
"""


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the peers of a chain of VMs whose QEMU is the fake with these parts."""
    monkeypatch.setattr(guest, "BOOT_S", {"tcg": 0.5})
    monkeypatch.setattr(guest, "PROGRAM_READY_S", 5.0)

    def make(length: int = 1, before: str = "pass", boot: str = "pass", program: str = "pass") -> list[Peer]:
        fake = executable(tmp_path / "qemu", QEMU.format(python=sys.executable, before=before, boot=boot,
                                                         program=program))
        file = write(tmp_path / "bed.toml", f'name = "b"\n[qemu]\nbinary = "{fake}"\n')
        [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "loopback"\nguest = "qemu"\n'
                               f'chain_length = {length}\n', switches=["testpmd"], testbed=file,
                               cpus=sorted(os.sched_getaffinity(0)))
        setup = plan.setup(cell, bed.load(file), IMAGE, str(tmp_path), str(tmp_path), "tcg")
        return [peer for peer in setup.peers if peer.vm]
    return make


def failure(stack: ExitStack, peers: list[Peer], folder: Path, disturb: Any = None) -> str:
    """The reason for which they do not become ready."""
    running = [RunningPeer(peer, folder, stack) for peer in peers]
    if disturb:
        disturb(running[0])
    with pytest.raises(CellFailed) as caught:
        for peer in running:
            peer.ready()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_fake_without_faults_becomes_ready(peers: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = [RunningPeer(peer, tmp_path, stack) for peer in peers(length=2)]
        for one in running:
            one.ready()
        pids = [one.process.pid for one in running]
    assert not any(map(is_running, pids))


def test_a_socket_that_nobody_listens_to_yet_is_waited_for(peers: Any, tmp_path: Path) -> None:
    late = "was = socket.socket.listen; socket.socket.listen = lambda s, n: (time.sleep(0.3), was(s, n))"
    with ExitStack() as stack:
        [peer] = peers(before=late)
        RunningPeer(peer, tmp_path, stack).ready()


PANIC = 'print("[    1.0] Kernel panic - not syncing: Attempted to kill init!\\n[    1.1] ---[ end", file=console); sys.exit(0)'


@pytest.mark.parametrize("parts, words", [
    ({"boot": PANIC}, ["guest1 ended with status 0", "kernel gave up", "Attempted to kill init"]),
    ({"program": PANIC}, ["guest1 ended with status 0", "kernel gave up", "Attempted to kill init"]),
    ({"boot": "time.sleep(60)"}, ["guest1 hangs", "no event 'booted' within 0.5 s", "last line: booting"]),
    ({"boot": 'say(event="failed", error="40 of the 64 hugepages asked for"); time.sleep(60)'},
     ["guest1 failed", "40 of the 64 hugepages"]),
    ({"boot": "host.close(); time.sleep(60)"}, ["guest1 closed its control channel", "'booted'"]),
    ({"program": 'print("vnf: noisy: no memory for 9 KiB", file=console); say(id=q["id"], ok=True); '
                 'say(event="exited", status=2); time.sleep(60)'},
     ["guest1 has lost its program", "ended with status 2", "last line: vnf: noisy: no memory for 9 KiB"]),
    ({"before": 'print("qemu: -machine x: unsupported", file=sys.stderr); sys.exit(1)'},
     ["guest1 ended with status 1", "-machine x: unsupported", "console is empty"]),
], ids=["a panic at boot", "a panic with the program", "no answer", "init failed", "gone", "the program ended",
        "a QEMU that refuses"])
def test_what_a_vm_died_of_is_named(parts: dict[str, str], words: list[str], peers: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        said = failure(stack, peers(**parts), tmp_path)
    if "failed" not in words[0]:
        words = [*words, str(tmp_path / "guest1.console")]
    assert words_missing(said, words) == [], said


def test_a_killed_qemu_is_named_with_its_console(peers: Any, tmp_path: Path) -> None:
    def kill(peer: RunningPeer) -> None:
        eventually((tmp_path / "guest1.console").exists)
        os.kill(peer.process.pid, signal.SIGKILL)
    with ExitStack() as stack:
        said = failure(stack, peers(boot="time.sleep(60)"), tmp_path, kill)
    assert words_missing(said, ["guest1 was killed by signal SIGKILL", str(tmp_path / "guest1.console")]) == [], said


def test_no_memory_for_the_third_vm_names_it_and_leaves_none_of_the_others(peers: Any, tmp_path: Path) -> None:
    short = ('if "guest3" in line: print("qemu: cannot set up guest memory \'mem\': Cannot allocate memory", '
             'file=sys.stderr); sys.exit(1)')
    with ExitStack() as stack:
        said = failure(stack, peers(length=3, before=short), tmp_path)
        running = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and is_ours(p, tmp_path)]
        assert len(running) >= 2
    assert words_missing(said, ["guest3 ended with status 1", "Cannot allocate memory", "guest3.console"]) == [], said
    assert not any(map(is_running, running))


def is_ours(process: Path, folder: Path) -> bool:
    try:
        return str(folder / "qemu").encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_a_vm_that_dies_is_noticed_while_another_one_boots(peers: Any, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "BOOT_S", {"tcg": 20.0})
    vms = peers(length=2, before='if "guest2" in line: time.sleep(1); sys.exit(1)', boot="time.sleep(60)")
    [cell] = cells_of_text(tmp_path, '[matrix]\ntopology = "loopback"\nguest = "qemu"\nchain_length = 2\n',
                           switches=["testpmd"])
    setup = plan.setup(cell, bed.load(None), IMAGE, str(tmp_path), str(tmp_path), "tcg")
    before = time.monotonic()
    with pytest.raises(CellFailed, match="guest2 ended with status 1"):
        with testbed.up(cell, replace(setup, peers=tuple(vms), launch=(), wire=()), tmp_path):
            pass
    assert time.monotonic() - before < 10


@pytest.mark.parametrize("vm", [False, True], ids=["a process", "a VM"])
def test_a_peer_that_waits_for_a_switch_that_has_ended_names_the_switch(vm: bool, peers: Any, tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "BOOT_S", {"tcg": 10.0})
    switch = Process("testpmd", ["sh", "-c", "echo '  Cause: no mbufs' >&2; exit 1"], tmp_path / "testpmd.log")
    peer = peers(boot="time.sleep(60)")[0] if vm else Peer("generator", "pktgen", ("sleep", "60"), (), ())
    with ExitStack() as stack:
        stack.callback(switch.stop)
        before = time.monotonic()
        with pytest.raises(CellFailed) as caught:
            RunningPeer(peer, tmp_path, stack, switch.check_alive).ready()
        assert time.monotonic() - before < 5
    assert str(caught.value) == ("testpmd ended with status 1 (its last words: Cause: no mbufs); "
                                 f"see {tmp_path / 'testpmd.log'}")


def test_a_program_that_hangs_is_named_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "PROGRAM_READY_S", 0.3)
    waits = ("sh", "-c", "echo 'vhost_user_start_server(): waiting for client connection...' >&2; exec sleep 60")
    with ExitStack() as stack, pytest.raises(CellFailed) as caught:
        RunningPeer(Peer("generator", "pktgen", waits, (), ()), tmp_path, stack).ready()
    assert words_missing(str(caught.value), ["generator hangs", "waiting for client", "generator.log"]) == []


@pytest.mark.parametrize("guest_kind", ["process", "qemu"])
def test_a_socket_path_that_is_too_long_is_said_before_anything_starts(guest_kind: str, tmp_path: Path) -> None:
    [cell] = cells_of_text(tmp_path, f'[matrix]\ntopology = "p2v"\nguest = "{guest_kind}"\n', switches=["testpmd"])
    folder = tmp_path / ("x" * (108 - len(str(tmp_path)))) / "c1"
    setup = plan.setup(cell, bed.load(None), IMAGE, str(folder), str(tmp_path), "tcg")
    with pytest.raises(CellFailed, match="socket path too long: .* at most 107") as caught:
        with testbed.up(cell, replace(setup, launch=(), wire=()), tmp_path):
            pass
    assert "\n" not in str(caught.value) and not folder.exists()


@pytest.mark.parametrize("switch, told", [("testpmd", True), ("ovs-dpdk", True), ("vnf-io", False),
                                          ("linux-bridge", False)])
def test_so_is_that_of_a_socket_that_dpdk_makes_of_itself(switch: str, told: bool, tmp_path: Path) -> None:
    """Of telemetry, in the switch's runtime folder; without this DPDK does not start, and does not say which path."""
    kind = "af_packet" if switch == "linux-bridge" else "vhost-user"
    [cell] = cells_of_text(tmp_path, f'[matrix]\ntopology = "p2p"\nport_kind = "{kind}"\n', switches=[switch])
    setup = plan.setup(cell, bed.load(None), IMAGE, "/" + "x" * 70, str(tmp_path), "tcg")
    if not told:
        testbed._check_socket_paths(setup)
        return
    with pytest.raises(CellFailed, match="socket path too long: .*dpdk_telemetry"):
        testbed._check_socket_paths(setup)


# ---- images of other people's: ssh ---------------------------------------------------------------------------------

SSHD = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen(5)
while True:
    c, _ = s.accept()
    c.sendall({greeting!r})
    c.close()
"""


@pytest.mark.parametrize("greeting, ssh, words", [
    (b"", "exit 0", ["ssh into", "not within 0.3 s"]),
    (b"SSH-2.0-x\r\n", "echo 'root@127.0.0.1: Permission denied (publickey).' >&2; exit 255",
     ["ssh into", "not within 0.3 s", "ssh says: root@127.0.0.1: Permission denied (publickey)."]),
    (b"SSH-2.0-x\r\n", 'case "$LAST" in *result.json*) exit 0;; esac; echo "tar: no space" >&2; exit 2',
     ["could not be copied", "status 2", "ssh.log"]),
], ids=["nobody answers", "another key", "no room"])
def test_an_image_that_cannot_be_moved_into_says_why(greeting: bytes, ssh: str, words: list[str], tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin" / "ssh", f'#!/bin/sh\nfor LAST in "$@"; do :; done\n{ssh}\n')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(ownimage, "SSH_S", {"tcg": 0.3})
    monkeypatch.setattr(ownimage, "PAUSE_S", 0.05)
    port = 12000 + os.getpid() % 8000
    own = ownimage.OwnImage("/image.qcow2", "qcow2", str(tmp_path / "seed"), port, "02:76:73:6d:01:00",
                            str(write(tmp_path / "p.tar", "")))
    with ExitStack() as stack:
        vm = Process("guest1", [sys.executable, "-c", SSHD.format(greeting=greeting), str(port)], tmp_path / "vm.log")
        stack.callback(vm.stop)
        eventually(lambda: can_connect(port))
        with pytest.raises(CellFailed) as caught:
            ownimage.move_in("guest1", own, "tcg", 64, ["02:00:00:00:00:01"], vm, tmp_path / "guest1.ssh.log", stack)
    assert words_missing(str(caught.value), ["guest1", *words]) == [], caught.value


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
