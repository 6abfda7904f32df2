# SPDX-License-Identifier: BSD-3-Clause
"""bess: what it is told through gRPC, what it answers, and a fake daemon that speaks gRPC but knows no switch.

The real one runs in test_built_switches.py.
"""

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness import host, testbed
from harness.errors import CellFailed, Unsupported
from harness.switches import bess
from harness.switches.base import Await, Command, File, PortCounters, Step
from harness.switches.bess import Bess, parse_counters
from harness.tests.support import cells_of_text, executable, setup_of, write
from harness.tests.test_built_switches import CHAIN, P2P, both_ways, site_of
from harness.topology import Topology, build
from harness.virtio import Virtio

needs_grpc = pytest.mark.skipif(not importlib.util.find_spec("grpc"), reason="python3-grpcio is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace of its own takes root")


# ---- what it is told -----------------------------------------------------------------------------------------------

def calls_of(steps: list[Step]) -> list[tuple[str, dict[str, Any]]]:
    """The calls of all commands, in order: a command runs a file that was written before."""
    texts: dict[str, str] = {}
    found = []
    for step in steps:
        if isinstance(step, File):
            texts[step.path] = step.text
        elif isinstance(step, Command):
            found += [line.split(maxsplit=1) for line in texts[step.argv[-1]].splitlines()]
    return [(name, json.loads(request)) for name, request in found]


@pytest.mark.parametrize("topology", [P2P, CHAIN], ids=lambda t: t.name)
def test_both_ends_of_every_wire_are_joined(topology: Topology) -> None:
    """The graph of modules and ports, read from the calls alone."""
    calls = calls_of(Bess().wire(site_of(topology)))
    vdevs = {r["name"]: r["arg"]["vdev"] for name, r in calls if name == "CreatePort"}
    modules = {r["name"]: (r["mclass"], vdevs[r["arg"]["port"]]) for name, r in calls if name == "CreateModule"}
    joined = [(modules[r["m1"]], modules[r["m2"]]) for name, r in calls if name == "ConnectModules"]
    sockets = {path: index for index, path in enumerate(site_of(topology).sockets)}

    def port(vdev: str) -> int:
        return sockets[vdev.split("iface=")[1].split(",")[0]]
    assert {(a, b) for (a, _), (b, _) in joined} == {("PortInc", "PortOut")}
    assert sorted((port(a), port(b)) for (_, a), (_, b) in joined) == sorted(both_ways(topology))


def test_ports_come_before_modules_and_the_workers_start_last() -> None:
    names = [name for name, _ in calls_of(Bess().wire(site_of(CHAIN, switch_cpus=2)))]
    assert list(dict.fromkeys(names)) == ["CreatePort", "AddWorker", "CreateModule", "ConnectModules",
                                          "CheckSchedulingConstraints", "ResumeAll"]


def test_a_worker_a_core_of_the_plan() -> None:
    site = site_of(P2P, switch_cpus=3)
    workers = [r for name, r in calls_of(Bess().wire(site)) if name == "AddWorker"]
    assert [w["core"] for w in workers] == list(site.cores.switch) and len({w["wid"] for w in workers}) == 3


def test_a_port_is_added_once_its_peer_has_made_the_socket() -> None:
    steps = Bess().wire(site_of(CHAIN))
    for socket in site_of(CHAIN).sockets:
        [waits] = [i for i, step in enumerate(steps) if step == Await(socket)]
        assert [name for name, _ in calls_of(steps[waits:waits + 3])] == ["CreatePort"]
        assert [socket in repr(step) for step in steps[waits:waits + 2]] == [True, True]


def test_a_scenario_decides_whose_sockets_they_are() -> None:
    theirs, its = (repr(Bess().wire(site_of(P2P, virtio=Virtio(sockets=who)))) for who in ("peer", "switch"))
    assert theirs.count("client=1") == its.count("client=0") == 2


def test_a_burst_is_set_only_if_it_is_asked_for() -> None:
    options = dict(site_of(P2P).options)
    calls = [calls_of(Bess().wire(site_of(P2P, options=options | {"burst": burst}))) for burst in (32, 8)]
    set_to = [[r["arg"]["burst"] for name, r in each if name == "ModuleCommand"] for each in calls]
    assert set_to == [[], [8, 8]]


# ---- what it answers -----------------------------------------------------------------------------------------------

def stats(rx: str, rx_dropped: str, tx: str, tx_dropped: str) -> dict[str, Any]:
    return {"inc": {"packets": rx, "dropped": rx_dropped}, "out": {"packets": tx, "dropped": tx_dropped}}


def test_drops_of_both_ways_are_a_ports_drops() -> None:
    text = json.dumps([stats("18446744073709551615", "1", "3", "2"), stats("3", "0", "9", "0")])
    assert parse_counters(text, ["p0", "p1"]) == [PortCounters("p0", 2**64 - 1, 3, 3), PortCounters("p1", 3, 9, 0)]


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[{}, {}]", '[{"inc": 3, "out": 4}, 5]',
                                  json.dumps([stats("1", "2", "3", "4")]), json.dumps([stats("x", "2", "3", "4")] * 2)])
def test_another_answer_fails_the_cell(text: str) -> None:
    with pytest.raises(CellFailed, match="BESS"):
        parse_counters(text, ["p0", "p1"])


# ---- a fake installation -------------------------------------------------------------------------------------------

# Messages as protoc would generate them, of a service with three calls.
SERVICE = '''
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
TEXT = """
name: "service.proto" package: "bess.pb" syntax: "proto3" dependency: "google/protobuf/any.proto"
message_type { name: "Error" field { name: "code" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
                             field { name: "errmsg" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Request" field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "driver" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "num_inc_q" number: 3 type: TYPE_UINT64 label: LABEL_OPTIONAL }
    field { name: "num_out_q" number: 4 type: TYPE_UINT64 label: LABEL_OPTIONAL }
    field { name: "size_inc_q" number: 5 type: TYPE_UINT64 label: LABEL_OPTIONAL }
    field { name: "size_out_q" number: 6 type: TYPE_UINT64 label: LABEL_OPTIONAL }
    field { name: "arg" number: 7 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL } }
message_type { name: "PMDPortArg" field { name: "vdev" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Stat" field { name: "packets" number: 1 type: TYPE_UINT64 label: LABEL_OPTIONAL }
                            field { name: "dropped" number: 2 type: TYPE_UINT64 label: LABEL_OPTIONAL } }
message_type { name: "Answer"
    field { name: "error" number: 1 type: TYPE_MESSAGE type_name: ".bess.pb.Error" label: LABEL_OPTIONAL }
    field { name: "inc" number: 2 type: TYPE_MESSAGE type_name: ".bess.pb.Stat" label: LABEL_OPTIONAL }
    field { name: "out" number: 3 type: TYPE_MESSAGE type_name: ".bess.pb.Stat" label: LABEL_OPTIONAL } }
service { name: "BESSControl"
    method { name: "CreatePort" input_type: ".bess.pb.Request" output_type: ".bess.pb.Answer" }
    method { name: "GetPortStats" input_type: ".bess.pb.Request" output_type: ".bess.pb.Answer" }
    method { name: "ResumeAll" input_type: ".bess.pb.Request" output_type: ".bess.pb.Answer" } }
"""
from google.protobuf import any_pb2
pool = descriptor_pool.Default()
pool.Add(text_format.Parse(TEXT, descriptor_pb2.FileDescriptorProto()))
DESCRIPTOR = pool.FindFileByName("service.proto")
'''
# It answers with bytes, and writes the calls down.
DAEMON = '''#!/usr/bin/python3
import sys, threading
from concurrent import futures
if "--version" in sys.argv:
    print("bessd version v0.4.0-1-g1234567")
    sys.exit()
import grpc
ANSWERS = {ANSWERS}
class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        name = call.method.rpartition("/")[2]
        def answer(request, context):
            open({SEEN!r}, "a").write(name + "\\n")
            return ANSWERS.get(name, b"")
        return grpc.unary_unary_rpc_method_handler(answer)
server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
server.add_insecure_port(sys.argv[sys.argv.index("-grpc_url") + 1])
server.start()
threading.Event().wait()
'''
STATS = b"\x12\x04\x08\x64\x10\x01\x1a\x02\x08\x09"      # inc: 100 packets, 1 dropped; out: 9 packets
ERROR = b"\x0a\x10\x08\x13\x12\x0cno such vdev"          # error: code 19 (ENODEV)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In which a unix socket's path fits."""
    with tempfile.TemporaryDirectory(prefix="vsw", dir="/tmp") as name:
        yield Path(name)


def installed(prefix: Path, seen: Path, answers: dict[str, bytes] | None = None, daemon: str = DAEMON) -> Path:
    messages = prefix / "pybess" / "builtin_pb"
    write(messages / "service_pb2.py", SERVICE)
    write(messages / "module_msg_pb2.py", "")
    write(messages / "ports" / "__init__.py", "")
    write(messages / "ports" / "port_msg_pb2.py", "")
    text = daemon.replace("{ANSWERS}", repr(answers or {})).replace("{SEEN!r}", repr(str(seen)))
    executable(prefix / "bin" / "bessd", text)
    return prefix


class Up:
    """A fake installation, with peers that have made their sockets."""

    def __init__(self, prefix: Path, folder: Path, stack: ExitStack) -> None:
        [cell] = cells_of_text(folder, '[matrix]\ntopology = "p2p"', cpus=host.cpus(), switches=[f"bess=bess@{prefix}"])
        self.setup = setup_of(cell, str(folder))
        Path(self.setup.site.folder).mkdir()
        for path in self.setup.site.sockets:
            write(Path(path), "")
        self.bed = testbed.Testbed(cell, self.setup, folder, stack)

    def do(self, steps: Any) -> None:
        for step in steps:
            self.bed._do(step)


@needs_grpc
@needs_root
def test_calls_arrive_in_order_and_counters_come_back(tmp_path: Path, folder: Path) -> None:
    with ExitStack() as stack:
        up = Up(installed(tmp_path, tmp_path / "seen", {"GetPortStats": STATS}), folder, stack)
        # all but the last command, whose calls are not faked
        up.do((*up.setup.launch, *(step for step in up.setup.wire if "graph" not in repr(step))))
        assert up.bed.counters() == [PortCounters("p0", 100, 9, 1), PortCounters("p1", 100, 9, 1)]
        mounts = Path(f"/proc/{up.bed.switch[0].pid}/mounts").read_text()
        assert mounts.count(" hugetlbfs ") == 1 and f"{up.setup.site.folder}/pages" in mounts
        assert f"size={bess.MEMORY_MIB << 20} " in mounts      # the others are left to others
    assert (tmp_path / "seen").read_text().split() == ["CreatePort"] * 2 + ["GetPortStats"] * 2
    assert f"{folder}/switch/pages" not in Path("/proc/mounts").read_text()


@needs_grpc
@needs_root
def test_what_bess_complains_of_is_the_cells_error(tmp_path: Path, folder: Path) -> None:
    with ExitStack() as stack:
        up = Up(installed(tmp_path, tmp_path / "seen", {"CreatePort": ERROR}), folder, stack)
        with pytest.raises(CellFailed, match=r"CreatePort: no such vdev \(errno 19\)"):
            up.do((*up.setup.launch, *up.setup.wire))


@needs_grpc
@needs_root
def test_a_call_that_this_version_does_not_have_is_named(tmp_path: Path, folder: Path) -> None:
    with ExitStack() as stack:
        up = Up(installed(tmp_path, tmp_path / "seen"), folder, stack)
        with pytest.raises(CellFailed, match="AddWorker: this BESS has no such call"):
            up.do((*up.setup.launch, *up.setup.wire))


@needs_root
@pytest.mark.parametrize("daemon, why", [("echo 'no hugepages' >&2\nexit 3\n", "ended with status 3.*no hugepages"),
                                         ("exec sleep 60\n", "grpc: not within 0.3 s")])
def test_a_daemon_that_does_not_come_up_is_named(daemon: str, why: str, tmp_path: Path, folder: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "SOCKET_S", 0.3)
    with ExitStack() as stack, pytest.raises(CellFailed, match=why):
        up = Up(installed(tmp_path, tmp_path / "seen", daemon="#!/bin/sh\n" + daemon), folder, stack)
        up.do(up.setup.launch)


def test_the_dpdk_that_has_too_few_ports_is_its_own() -> None:
    with pytest.raises(Unsupported, match="34 ports: BESS's DPDK has at most 32"):
        Bess().launch(site_of(build("loopback", 16, "one-way")))


@needs_grpc
def test_a_fake_tells_its_version(tmp_path: Path) -> None:
    check = Bess().check(str(installed(tmp_path, tmp_path / "seen")))
    assert (check.version, check.missing, check.files) == ("v0.4.0-1-g1234567", "", (f"{tmp_path}/bin/bessd",))


def test_without_pythons_grpc_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    missing = Bess().check(str(installed(tmp_path, tmp_path / "seen"))).missing
    assert "apt-get install" in missing and "python3-grpcio" in missing


@pytest.mark.parametrize("script", ["", "#!/bin/sh\nkill -SEGV $$\n", "#!/nowhere/sh\n", "#!/bin/sh\necho hello\n",
                                    "#!/bin/sh\nprintf '\\377\\376'\n"])
def test_a_strange_binary_is_missing_and_no_exception(script: str, tmp_path: Path) -> None:
    installed(tmp_path, tmp_path / "seen", daemon=script)
    assert f"{tmp_path}/bin/bessd does not run" in Bess().check(str(tmp_path)).missing
