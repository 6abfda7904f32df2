# SPDX-License-Identifier: BSD-3-Clause
"""Installations of switches that are none: a script for each of a switch's programs, which writes down that it was
called, and answers what the real program answers (FAKES, one entry for each driver; test_fake_switches.py has what is
expected of all of them).

A script is shell. It sees its arguments, the environment that the driver gives it, and `here`, its prefix. What may be
wrong with it (a Fault, shell as well) happens before what it does. The words are those of Open vSwitch 3.1.0, iproute2
6.1.0, DPDK 22.11.11, VPP 23.06, FastClick 2026 and Snabb 2024.08.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.switches.base import PortCounters
from harness.tests.support import DPDK_GREETING, DPDK_STATS, OVS_OUTPUT, VPP_STATS, executable, write

STAYS = "exec sleep 60"
HANGS = f'[ ! -e "$here/hang" ] || {STAYS}'       # once a test has made that file
PYTHON = f"{sys.executable} -SEI"       # it starts twice as fast


@dataclass(frozen=True)
class Fault:
    """What a program does instead of its work, and what is to be said of it."""

    tool: str
    shell: str
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fake:
    """What a driver's installation has, and how it is used between two ports of one generator."""

    tools: Mapping[str, str]            # what its programs do, by path under the prefix
    calls: tuple[str, ...]              # how each call begins, in order: regular expressions
    unknown: Fault                      # its command line changed: this one no longer knows what it is asked
    garbled: Fault                      # it answers something else when it is asked for counters
    counted: tuple[PortCounters, ...]   # what it answers otherwise
    hangs: Fault | None = None          # it no longer answers that, once there is a file `hang` in its prefix
    port_kind: str = "vhost-user"
    daemon: str = ""                    # the program that forwards, if there is any
    process: str = ""                   # what it is called in messages
    ready: str = ""                     # what is waited for, as messages name it; without it, its peers, which are
                                        # ready when it has made a file `up` in its prefix
    files: Mapping[str, str] = field(default_factory=dict)


def install(fake: Fake, prefix: Path, calls: Path, fault: Fault | None = None) -> None:
    """Make the installation. Its calls go to the file `calls`, a line each."""
    for path, text in fake.files.items():
        write(prefix / path, text)
    for path, does in fake.tools.items():
        shell = fault.shell if fault and fault.tool == path else ""
        executable(prefix / path, f'#!/bin/sh\nsay() {{ echo "$@" >> {calls}; }}\nhere={prefix}\n'
                                  f'say {Path(path).name} "$*"\n{shell}\n{does}\n')


def _refuses(words: str, status: int) -> str:
    """Shell: says this, and ends."""
    return f"{{ cat <<'END' >&2\n{words}\nEND\nexit {status}; }}"


# ---- Open vSwitch --------------------------------------------------------------------------------------------------

UNKNOWN_COMMAND = "ovs-vsctl: unknown command 'add-br'; use --help for help"


def _open_vswitch(port_kind: str, datapath: str, settings: str = "") -> Fake:
    asked = 'case "$*" in *dump-ports*)'
    return Fake(
        port_kind=port_kind, daemon="sbin/ovs-vswitchd", process="ovs-vswitchd", ready="vswitchd.ctl",
        tools={"sbin/ovs-vswitchd": f': > "$OVS_RUNDIR/vswitchd.ctl"\n{STAYS}',
               "sbin/ovsdb-server": f': > "$OVS_RUNDIR/db.sock"\n{STAYS}', "bin/ovsdb-tool": "", "bin/ovs-vsctl": "",
               "bin/ovs-ofctl": f"{asked} cat <<'END'\n{OVS_OUTPUT}\nEND\nesac"},
        calls=("ovsdb-tool create", "ovsdb-server .*punix:", f"ovs-vsctl .*--no-wait init{settings}",
               "ovs-vswitchd unix:",
               f"ovs-vsctl .*add-br br0 .*datapath_type={datapath}", "ovs-vsctl .*add-port br0 p0 ",
               "ovs-vsctl .*add-port br0 p1 ", "ovs-vsctl .*wait-until Interface p0 ofport=1",
               "ovs-vsctl .*wait-until Interface p1 ofport=2", "ovs-ofctl .*add-flow .*in_port=1,actions=output:2",
               "ovs-ofctl .*add-flow .*in_port=2,actions=output:1"),
        unknown=Fault("bin/ovs-vsctl", f"case \"$*\" in *add-br*) {_refuses(UNKNOWN_COMMAND, 1)};; esac",
                      ("status 1", "add-br br0", "unknown command 'add-br'")),
        garbled=Fault("bin/ovs-ofctl", f"{asked} echo 'OFPST_PORT reply (OF1.4) (xid=0x2):'; exit;; esac",
                      ("ovs-ofctl gave something else", "OF1.4")),
        hangs=Fault("bin/ovs-ofctl", f"{asked} {HANGS};; esac", ("ovs-ofctl", "dump-ports", "not within")),
        counted=(PortCounters("p0", 19140639, 7, 5), PortCounters("p1", 0, 2537024, 16603615)))


# ---- in the kernel -------------------------------------------------------------------------------------------------

def _link(name: str, rx: int, tx: int, dropped: int) -> dict[str, object]:
    """As `ip -json -statistics link show` tells it, in full."""
    return {"ifindex": 100, "link_index": 2, "ifname": name, "flags": ["BROADCAST", "NOARP", "UP", "LOWER_UP"],
            "mtu": 1500, "qdisc": "noqueue", "operstate": "UP", "linkmode": "DEFAULT", "group": "default",
            "txqlen": 1000, "link_type": "ether", "address": "ee:08:38:7e:9a:16", "broadcast": "ff:ff:ff:ff:ff:ff",
            "link_netnsid": 0,
            "stats64": {"rx": {"bytes": 60 * rx, "packets": rx, "errors": 0, "dropped": dropped, "over_errors": 0,
                               "multicast": 0},
                        "tx": {"bytes": 60 * tx, "packets": tx, "errors": 0, "dropped": 0, "carrier_errors": 0,
                               "collisions": 0}}}


def _in_the_kernel(ports: tuple[str, str], counted: tuple[PortCounters, ...], calls: tuple[str, ...], unknown: Fault,
                   more: tuple[str, ...] = ()) -> Fake:
    """`ports` are the devices whose counters it is asked for."""
    links = json.dumps([_link("lo", 0, 0, 0), _link(ports[0], 90, 70, 3), _link(ports[1], 40, 80, 0)])
    asked = "case \"$*\" in *-json*-statistics*)"
    return Fake(
        port_kind="af_packet", calls=calls, unknown=unknown, counted=counted,
        tools={**dict.fromkeys(more, ""), "sbin/ip": f"{asked} cat <<'END'\n{links}\nEND\nesac"},
        garbled=Fault("sbin/ip", f"{asked} echo '100: p0@if2: <BROADCAST,UP> mtu 1500'; exit;; esac",
                      ("ip gave something else", "mtu 1500")),
        hangs=Fault("sbin/ip", f"{asked} {HANGS};; esac", ("/sbin/ip", "-statistics", "not within")))


IN_ORDER = (PortCounters("p0", 90, 70, 3), PortCounters("p1", 40, 80, 0))
LINUX_BRIDGE = _in_the_kernel(
    ("p0", "p1"), IN_ORDER,
    ("ip .*link add name br0 type bridge", "ip .*link set dev p0 master br0", "bridge .*link set dev p0 learning off",
     "ip .*link set dev p1 master br0", "bridge .*link set dev p1 learning off", "ip .*link set dev br0 up"),
    # it says how it wants to be called, and nothing else
    Fault("sbin/bridge", _refuses("Usage: bridge link set dev DEV [ cost COST ] [ priority PRIO ] [ state STATE ]\n"
                                  "                               [ guard {on | off} ]\n"
                                  "       bridge link show [dev DEV]", 255),
          ("status 255", "learning off", "Usage: bridge link set dev DEV")), ("sbin/bridge",))
XDP = _in_the_kernel(
    ("p0", "p1"), IN_ORDER,
    ("ip .*link set dev p0 xdpdrv object .*section xdp", "ip .*link set dev p1 xdpdrv object .*section xdp"),
    Fault("sbin/ip", _refuses('Error: either "dev" is duplicate, or "xdpdrv" is a garbage.', 255),
          ("status 255", "link set dev p0 xdpdrv", '"xdpdrv" is a garbage')))
MACVTAP = _in_the_kernel(       # it is asked at the peers' ends: what these send, the switch receives
    ("p0-peer", "p1-peer"), (PortCounters("p0", 70, 90, 3), PortCounters("p1", 80, 40, 0)),
    ("ip .*link del dev p0", "ip .*link del dev p1", "ip .*link add name lower0 type veth",
     "ip .*link set dev lower0 ", "ip .*link set dev lower0-end ", "ip .*link add link lower0 name p0-peer .*macvlan",
     "ip .*link set dev p0-peer .*up", "ip .*link add link lower0 name p1-peer .*macvlan",
     "ip .*link set dev p1-peer .*up"),
    Fault("sbin/ip", f"case \"$*\" in *macvlan*) {_refuses('Error: Unknown device type.', 2)};; esac",
          ("status 2", "type macvlan", "Unknown device type")))


# ---- on top of DPDK ------------------------------------------------------------------------------------------------

# lib/telemetry of DPDK; $ANSWER is an answer of another form
TELEMETRY = """
import json, os, socket, sys
folder = os.path.join(os.environ["RUNTIME_DIRECTORY"], "dpdk", sys.argv[sys.argv.index("--file-prefix") + 1])
os.makedirs(folder)
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind(os.path.join(folder, "dpdk_telemetry.v2"))
server.listen()
here = os.path.dirname(__file__)
open(here + "/up", "w")
while True:
    one, _ = server.accept()
    one.send(json.dumps(%(greeting)r).encode())
    while command := one.recv(1024).decode():
        if not os.path.exists(here + "/hang"):
            answer = json.dumps({command.partition(",")[0]: %(stats)r})
            one.send(os.environ.get("ANSWER", answer).encode())
""" % {"greeting": DPDK_GREETING, "stats": DPDK_STATS}
EAL_USAGE = """EAL: Detected CPU lcores: 2
EAL: Detected NUMA nodes: 1
{program}: unrecognized option '{option}'

Usage: {program} [options]

EAL common options:
  -c COREMASK         Hexadecimal bitmask of cores to run on
  --huge-worker-stack[=size]
                      Allocate worker thread stacks from hugepage memory."""
TESTPMD = Fake(
    daemon="bin/dpdk-testpmd", process="testpmd", calls=("dpdk-testpmd .*net_vhost0,.*net_vhost1,.* -- ",),
    tools={"bin/dpdk-testpmd": f'exec {PYTHON} "$here/telemetry.py" "$@"'}, files={"telemetry.py": TELEMETRY},
    unknown=Fault("bin/dpdk-testpmd", _refuses(EAL_USAGE.format(program="dpdk-testpmd", option="--in-memory"), 1),
                  ("testpmd ended with status 1", "unrecognized option '--in-memory'")),
    garbled=Fault("bin/dpdk-testpmd", "export ANSWER='{\"/ethdev/stats\": null}'", ("testpmd gave something else",)),
    hangs=Fault("bin/dpdk-testpmd", "", ("DPDK telemetry", "/ethdev/stats,0", "timed out")),
    counted=(PortCounters("p0", 100, 90, None), PortCounters("p1", 100, 90, None)))

# elements/userlevel/controlsocket.hh; $ANSWER as above
CONTROL = """
import os, socket
server = socket.socket(socket.AF_UNIX)
control = os.environ["RUNTIME_DIRECTORY"] + "/control"
server.bind(control + ".new")
server.listen()
os.rename(control + ".new", control)
counts = {"rx0.count": 100, "tx0.count": 9, "tx0.dropped": 1, "rx1.count": 10, "tx1.count": 90, "tx1.dropped": 10}
while True:
    stream = server.accept()[0].makefile("rwb", buffering=0)
    stream.write(b"Click::ControlSocket/1.3\\r\\n")
    while line := stream.readline():
        handler = line.decode().split()[1]
        said = str(counts[handler])
        answer = "200 Read handler '%s' OK\\r\\nDATA %d\\r\\n%s" % (handler, len(said), said)
        if not os.path.exists(os.path.dirname(__file__) + "/hang"):
            stream.write(os.environ.get("ANSWER", answer).encode())
"""
FASTCLICK = Fake(
    daemon="bin/click", process="fastclick", ready="control",
    calls=("click --dpdk .*net_vhost0,.*net_vhost1,.*patch.click",),
    tools={"bin/click": f'exec {PYTHON} "$here/control.py"'}, files={"control.py": CONTROL},
    unknown=Fault("bin/click", _refuses(EAL_USAGE.format(program="/usr/bin/click", option="--no-telemetry"), 1),
                  ("fastclick ended with status 1", "unrecognized option '--no-telemetry'")),
    garbled=Fault("bin/click", "export ANSWER=\"511 No handler named 'rx0.count'\r\n\"",
                  ("FastClick's control socket", "511 No handler named 'rx0.count'")),
    hangs=Fault("bin/click", "", ("FastClick's control socket", "timed out")),
    counted=(PortCounters("p0", 100, 9, 1), PortCounters("p1", 10, 90, 10)))


# ---- VPP -----------------------------------------------------------------------------------------------------------

VPP_LIBRARIES = ("libvnet.so.23.06", *(f"vpp_plugins/{name}_plugin.so" for name in ("vhost", "af_packet", "memif")))
UNKNOWN_INPUT = "set interface l2: unknown input `xconnect Virtual...'"
VPP = Fake(
    daemon="bin/vpp", process="vpp", ready="api.sock",
    calls=("vpp -c .*startup.conf", *(f"vppctl -s .*cli.sock {command}" for command in (
        "create vhost-user socket .*/p0$", "set interface state VirtualEthernet0/0/0 up",
        "create vhost-user socket .*/p1$", "set interface state VirtualEthernet0/0/1 up",
        "set interface l2 xconnect VirtualEthernet0/0/0 VirtualEthernet0/0/1",
        "set interface l2 xconnect VirtualEthernet0/0/1 VirtualEthernet0/0/0"))),
    tools={"bin/vpp": f': > "${{2%/*}}/api.sock"\n{STAYS}',
           # the name of what was made, nothing where all is well
           "bin/vppctl": 'case "$*" in *create*) echo "VirtualEthernet0/0/${6##*/p}";; esac',
           "bin/vpp_get_stats": f"cat <<'END'\n{VPP_STATS}END"},
    files={f"lib/x86_64-linux-gnu/{name}": "" for name in VPP_LIBRARIES},
    # its status is 0 whatever is wrong
    unknown=Fault("bin/vppctl", f"case \"$*\" in *xconnect*) cat <<'END'\n{UNKNOWN_INPUT}\nEND\nexit;; esac",
                  ("command said", "l2 xconnect", UNKNOWN_INPUT, "commands.log")),
    garbled=Fault("bin/vpp_get_stats", "echo '[0]: local0 /if/names'; exit",
                  ("vpp_get_stats gave something else", "local0")),
    hangs=Fault("bin/vpp_get_stats", HANGS, ("vpp_get_stats", "not within")),
    counted=(PortCounters("p0", 242130, 238704, 2850), PortCounters("p1", 241554, 239568, 2562)))


# ---- Snabb ---------------------------------------------------------------------------------------------------------

# a counter is a file of 8 bytes (core/counter.lua): here of one byte that counts, and seven zeros
COUNTS = """
link() {
	mkdir -p "$SNABB_SHM_ROOT/4711/links/$1" && cd "$SNABB_SHM_ROOT/4711/links/$1" || exit
	printf "\\\\$2$ZEROS" > txpackets.counter
	printf "\\\\$3$ZEROS" > txdrop.counter
	printf "\\\\$4$ZEROS" > rxpackets.counter
}
: "${ZEROS=\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0}"
link "port0.tx -> port1.rx" 144 024 132
link "port1.tx -> port0.rx" 007 000 006
: > "$SNABB_SHM_ROOT/../ready"
"""
SNABB = Fake(
    daemon="bin/snabb", process="snabb", ready="ready", calls=("snabb snsh .*patch.lua",),
    tools={"bin/snabb": COUNTS + STAYS},
    unknown=Fault("bin/snabb", _refuses("unsupported program: snsh\nUsage: /usr/bin/snabb <program> ...\n\nThis snabb "
                                        "executable has the following programs built in:\n  alarms\n  top", 1),
                  ("snabb ended with status 1", "unsupported program: snsh")),
    garbled=Fault("bin/snabb", "ZEROS=", ("Snabb has no counters of the link",)),
    counted=(PortCounters("p0", 120, 6, 0), PortCounters("p1", 7, 90, 20)))


# ---- T4P4S ---------------------------------------------------------------------------------------------------------

# several may listen at that port: there is one namespace only
LISTENER = """
import socket, sys, threading
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
threading.Event().wait()
"""
T4P4S = Fake(
    daemon="bin/t4p4s-l2fwd", process="t4p4s",
    calls=("dpdk_l2fwd_controller 11111 .*/tables", "t4p4s-l2fwd .*net_vhost0,.*net_vhost1,.* -- -p 0x3 --config "),
    tools={"bin/t4p4s-l2fwd": f'exec {PYTHON} "$here/telemetry.py" "$@"',
           "bin/dpdk_l2fwd_controller": f'exec {PYTHON} "$here/listener.py" "$@"'},
    files={"telemetry.py": TELEMETRY, "listener.py": LISTENER},
    unknown=Fault("bin/t4p4s-l2fwd", _refuses("t4p4s-l2fwd: unrecognized option '--config'\nEAL: Error - exiting with "
                                              "code: 1\n  Cause: Invalid T4P4S arguments", 1),
                  ("t4p4s ended with status 1", "Invalid T4P4S arguments")),
    garbled=Fault("bin/t4p4s-l2fwd", "export ANSWER='{\"/ethdev/stats\": null}'", ("t4p4s gave something else",)),
    hangs=Fault("bin/t4p4s-l2fwd", "", ("DPDK telemetry", "/ethdev/stats,0", "timed out")),
    counted=(PortCounters("p0", 100, 90, None), PortCounters("p1", 100, 90, None)))


# ---- BESS ----------------------------------------------------------------------------------------------------------

# Instead of gRPC and of the messages that protoc generated, which need packages of their own (test_bess.py has them): a
# call is a run of the script `ask`, whose output is the answer.
GRPC = """
import json, os, subprocess
from types import SimpleNamespace
class RpcError(Exception):
    pass
class Channel:
    def __init__(self, target, options):
        pass
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def unary_unary(self, path, asked, answered):
        def ask(request, timeout, wait_for_ready):
            argv = [os.path.dirname(__file__) + "/ask", path.rpartition("/")[2], request]
            answer = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout or "{}")
            return SimpleNamespace(error=SimpleNamespace(code=0), answer=answer)
        return ask
insecure_channel = Channel
"""
MESSAGES = """
from types import SimpleNamespace
class Methods(dict):
    def __contains__(self, name):
        return True
    def __getitem__(self, name):
        return SimpleNamespace(input_type=0, output_type=0, containing_service=SimpleNamespace(full_name="BESSControl"))
DESCRIPTOR = SimpleNamespace(services_by_name={"BESSControl": SimpleNamespace(methods_by_name=Methods())})
"""
PROTOBUF = {"json_format": "class ParseError(Exception):\n    pass\ndef Parse(text, message):\n    return text\n"
                           "def MessageToDict(answer, **how):\n    return answer.answer\n",
            "message_factory": "class Message:\n    SerializeToString = FromString = None\nclass MessageFactory:\n"
                               "    def GetPrototype(self, kind):\n        return Message\n"}
BESS_STATS = """
case "$*" in
GetPortStats*port0*) echo '{"inc": {"packets": "100", "dropped": "1"}, "out": {"packets": "9", "dropped": "2"}}';;
GetPortStats*port1*) echo '{"inc": {"packets": "10", "dropped": "0"}, "out": {"packets": "90", "dropped": "0"}}';;
esac"""
ASK = "pybess/builtin_pb/ask"
BESS = Fake(
    daemon="bin/bessd", process="bessd", ready="grpc",
    calls=("bessd -f .*-grpc_url unix:", "ask CreatePort .*net_vhost0,", "ask CreatePort .*net_vhost1,",
           "ask AddWorker ", *(f"ask CreateModule .*{kind}" for kind in ("PortInc", "PortOut") * 2),
           "ask ConnectModules .*in0.*out1", "ask ConnectModules .*in1.*out0", "ask CheckSchedulingConstraints",
           "ask ResumeAll"),
    tools={"bin/bessd": f'for last; do :; done\n: > "${{last#unix:}}"\n{STAYS}', ASK: BESS_STATS},
    files={f"pybess/builtin_pb/{name}.py": text for name, text in {
        "grpc": GRPC, "service_pb2": MESSAGES, "module_msg_pb2": "", "ports/port_msg_pb2": "", "ports/__init__": "",
        "google/__init__": "", "google/protobuf/__init__": "",
        **{f"google/protobuf/{name}": text for name, text in PROTOBUF.items()}}.items()},
    unknown=Fault("bin/bessd", _refuses("ERROR: unknown command line flag 'grpc_url'", 1),
                  ("bessd ended with status 1", "unknown command line flag 'grpc_url'")),
    garbled=Fault(ASK, "case $1 in GetPortStats) echo '{\"packets\": 7}'; exit;; esac",
                  ("BESS gave something else", "packets")),
    hangs=Fault(ASK, f"case $1 in GetPortStats) {HANGS};; esac", ("control.py", "stats.calls", "not within")),
    counted=(PortCounters("p0", 100, 9, 3), PortCounters("p1", 10, 90, 0)))


# Of every driver one, by its name; the null switch has nothing to fake.
FAKES: Mapping[str, Fake] = {
    "ovs-dpdk": _open_vswitch("vhost-user", "netdev", ".*dpdk-init=\"true\""),
    "ovs-userspace": _open_vswitch("af_packet", "netdev"),
    "ovs-kernel": _open_vswitch("af_packet", "system"),
    "linux-bridge": LINUX_BRIDGE,
    "macvtap": MACVTAP,
    "xdp": XDP,
    "testpmd": TESTPMD,
    "vpp": VPP,
    "fastclick": FASTCLICK,
    "snabb": SNABB,
    "t4p4s": T4P4S,
    "bess": BESS,
}
