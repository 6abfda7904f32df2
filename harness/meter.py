# SPDX-License-Identifier: BSD-3-Clause
"""`vswbench meter`: counts traffic that is not ours, on a network interface or any other port that DPDK drives.

It starts pktgen/meter.c with one port, waits, and shows what it read. Interfaces are opened through libpcap (DPDK's
net_pcap), so they stay the kernel's and need no hugepages. libpcap hands frames over in blocks, up to some 10 ms late:
of an interface, times and bursts say no more than that; counts are exact.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import host, programs, run, terminal
from harness.channel import Channel
from harness.errors import BadInput, CannotRun, CellFailed
from harness.proc import Process

INTERFACES = Path("/sys/class/net")
CARRIES_ETHERNET = (1, 772)     # ARPHRD_ETHER, ARPHRD_LOOPBACK
IFF_UP = 1
READY_S = 30.0
READ_S = 120.0              # a million flows as CSV take some seconds
TOP_MAX = 100_000           # some 30 MB of JSON; all flows are what the CSV is for
HANDED_OVER_S = 0.03        # libpcap hands over what came in blocks, some 10 ms later
LOOK_S = 0.5                # how often the meter is asked while it counts: it may have died
ENDING = {signal.SIGINT, signal.SIGTERM}
FCS_BYTES = 4
PCAP_FRAME_MAX_BYTES = 9728     # libpcap, as DPDK opens it, cuts what is longer
# RFC 2819 etherStatsPkts64Octets and so on, with FCS
SIZE_BUCKETS = ((0, 63), (64, 64), (65, 127), (128, 255), (256, 511), (512, 1023), (1024, 1518), (1519, 1 << 30))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    port = parser.add_mutually_exclusive_group(required=True)
    port.add_argument("--interface", metavar="NAME", help="a network interface of the kernel, through libpcap")
    port.add_argument("--vdev", metavar="DEVICE", help="a DPDK device, e.g. 'net_vhost0,iface=/path,client=1'")
    parser.add_argument("--outgoing", action="store_true", help="count what leaves the interface too")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long; without it until Ctrl-C")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="list the N largest flows (default 10)")
    parser.add_argument("--by", choices=("packets", "bytes"), default="packets", help="what makes a flow large")
    parser.add_argument("--flows", type=int, default=1 << 20, metavar="N",
                        help="room for N flows, about 100 bytes each (default 1048576); more are counted together")
    parser.add_argument("--interval-s", type=float, default=1.0, metavar="S", help="throughput over time (default 1)")
    parser.add_argument("--flows-csv", type=Path, metavar="FILE", help="write all flows to this file")
    parser.add_argument("--idle", choices=("busy", "yield", "sleep"), default="yield",
                        help="what to do when nothing comes (default yield)")
    parser.add_argument("--json", action="store_true", help="for programs")


def main(arguments: argparse.Namespace) -> int:
    """Count and show. BadInput, CannotRun. Ctrl-C ends the counting, not the showing."""
    check(arguments)
    say = terminal.console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="vswbench-meter-"))
    try:
        with ExitStack() as stack:
            reply = _count(arguments, folder, stack, say)
    except CellFailed as failure:       # the folder stays: the log in it is named in the error
        raise CannotRun(str(failure)) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps(reply))
    else:
        show(reply, terminal.console(), arguments.by)
    return 0


def check(arguments: argparse.Namespace) -> None:
    """BadInput or CannotRun for what need not be tried."""
    if not (arguments.seconds is None or 0 < arguments.seconds < float("inf")):
        raise BadInput(f"--seconds {arguments.seconds:g}: must be more than 0")
    for name, value, low, high in (("top", arguments.top, 0, TOP_MAX), ("flows", arguments.flows, 1, 1 << 24),
                                   ("interval-s", arguments.interval_s, 0.001, 3600)):
        if not low <= value <= high:
            raise BadInput(f"--{name} {value:g}: allowed are {low:g} to {high}")
    if arguments.flows_csv:
        _check_writable(arguments.flows_csv)
    program = run.BUILD / "meter"
    if not program.exists():
        raise CannotRun(f"{program} is not built: run `make setup`")
    if arguments.interface is None:
        if arguments.outgoing:
            raise BadInput("--outgoing is for --interface only")
        return
    _check_interface(arguments.interface)
    if os.geteuid() != 0:
        raise CannotRun("listening on an interface needs root: try sudo ./vswbench meter ...")


def _check_interface(name: str) -> None:
    there = sorted(path.name for path in INTERFACES.iterdir() if path.is_dir())
    if name not in there:
        raise BadInput(f"--interface {name}: there is none of that name, but {', '.join(there)}")
    if int((INTERFACES / name / "type").read_text()) not in CARRIES_ETHERNET:
        raise BadInput(f"--interface {name}: does not carry Ethernet frames")
    if not int((INTERFACES / name / "flags").read_text(), 16) & IFF_UP:
        raise CannotRun(f"--interface {name}: is down: try sudo ip link set {name} up")


def _check_writable(path: Path) -> None:
    """Before the counting, not after it."""
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise BadInput(f"--flows-csv {path}: cannot be written: {error.strerror}") from None


def argv(arguments: argparse.Namespace, cpus: Sequence[int], free_hugepages: int) -> list[str]:
    """The meter's command line: its control thread on the first CPU, its poller on the last. Hugepages are used where
    they are free and the port is DPDK's own."""
    prefix = f"vswbench-meter-{os.getpid()}"
    if arguments.interface is not None:
        direction = "rx_iface" if arguments.outgoing else "rx_iface_in"
        vdev, huge = f"net_pcap0,{direction}={arguments.interface}", False
    else:
        vdev, huge = arguments.vdev, free_hugepages * 2 > 2 * programs.PROCESS_MIB
    eal = programs.host_eal(prefix, cpus[0], cpus[-1:], []) if huge else programs.wired_eal(prefix, cpus[0], cpus[-1:])
    return [str(run.BUILD / "meter"), *eal, "--vdev", vdev, *programs.own("meter", "", arguments.idle, 1024)]


def _count(arguments: argparse.Namespace, folder: Path, stack: ExitStack, say: Console) -> dict[str, Any]:
    process = Process("meter", argv(arguments, host.cpus(), host.hugepages("free")), folder / "meter.log", piped=True,
                      env={"RUNTIME_DIRECTORY": str(folder)})
    stack.callback(process.stop)
    pipe_in, pipe_out = process.popen.stdout, process.popen.stdin
    assert pipe_in and pipe_out
    channel = Channel("meter", pipe_in.fileno(), pipe_out.fileno(), process.check_alive)
    channel.event("ready", READY_S)
    channel.request("arm", READ_S, flow_table=arguments.flows, interval_s=arguments.interval_s)
    where = arguments.interface or arguments.vdev
    with _ctrl_c_held():
        say.print(f"counting on {where}" + (f" for {arguments.seconds:g} s" if arguments.seconds else "")
                  + "; Ctrl-C ends it", markup=False, soft_wrap=True)
        _wait(channel, arguments.seconds)
    channel.request("settle", READY_S, silence_s=HANDED_OVER_S, max_s=2 * HANDED_OVER_S)
    ask: dict[str, Any] = {"top": arguments.top, "by": arguments.by}
    if arguments.flows_csv:
        ask["flows_file"] = str(arguments.flows_csv.resolve())
    reply = dict(channel.request("read", READ_S, **ask))
    reply["port"] = where
    reply["port_is_gone"] = arguments.interface is not None and not (INTERFACES / arguments.interface).exists()
    return {key: value for key, value in reply.items() if key not in ("id", "ok", "meter")}


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM only wait for who asks for them, so that they come neither too early nor into the middle of a
    request."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(channel: Channel, seconds: float | None) -> None:
    """Until the time is over or Ctrl-C, which is held. CellFailed if the meter has died."""
    end = time.monotonic() + seconds if seconds else float("inf")
    while (left := end - time.monotonic()) > 0:
        if signal.sigtimedwait(ENDING, min(left, LOOK_S)):
            print(file=sys.stderr)      # behind the ^C of the terminal
            return
        channel.request("ports", READY_S)


# -- for people ------------------------------------------------------------------------------------------------------


def show(reply: Mapping[str, Any], console: Console, by: str) -> None:
    """The figures as tables."""
    for part in (_totals(reply), _over_time(reply), _sizes(reply), _kinds(reply), _flows(reply, by)):
        if part is not None:
            console.print(part)
    for line in warnings(reply):
        console.print(f"warning: {line}", markup=False, soft_wrap=True)


def warnings(reply: Mapping[str, Any]) -> list[str]:
    """What makes the figures say less than they seem to."""
    lines = []
    missed, flows = reply["missed"], reply["flows"]
    if reply.get("port_is_gone"):
        lines.append(f"{reply['port']} is gone: nothing was counted from that moment on")
    elif reply["missed_count"]:
        lines.append(f"{reply['missed_count']} frames came and were not counted (imissed {missed['imissed']}, ierrors "
                     f"{missed['ierrors']}, rx_nombuf {missed['rx_nombuf']}): the meter was too slow for this traffic")
    if flows["no_room_count"]:
        lines.append(f"{flows['no_room_count']} packets are of flows that found no room in the table of "
                     f"{flows['capacity']}: raise --flows")
    if reply["sizes"] and reply["sizes"]["max_bytes"] == PCAP_FRAME_MAX_BYTES:
        lines.append(f"there are frames of {PCAP_FRAME_MAX_BYTES} bytes and perhaps more, cut off by libpcap: merged "
                     "segments; `ethtool -K INTERFACE gro off tso off gso off` shows those of the wire")
    if any(reply["series_beyond"]):
        lines.append(f"the series ends after {len(reply['series'])} intervals: raise --interval-s")
    return lines


def _plain(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _rate(count: float, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if seconds > 0 else "-"


def _totals(reply: Mapping[str, Any]) -> Table:
    """Rates while there was traffic: idle time before and after does not dilute them."""
    table = _plain(f"{reply['port']}: {reply['armed_s']:.3f} s", "", "")
    table.show_header = False
    table.add_row("packets", f"{reply['packets']:,}")
    table.add_row("bytes (without FCS)", f"{reply['bytes']:,}")
    missed = reply["missed"]
    table.add_row("missed: imissed, ierrors, rx_nombuf", f"{missed['imissed']:,}, {missed['ierrors']:,}, "
                                                         f"{missed['rx_nombuf']:,}")
    if reply["packets"]:
        span_s = reply["last_s"] - reply["first_s"]
        table.add_row("first, last packet (s)", f"{reply['first_s']:.6f}, {reply['last_s']:.6f}")
        table.add_row("packets/s, bits/s between them", f"{_rate(reply['packets'] - 1, span_s)}, "
                                                        f"{_rate(reply['bytes'] * 8, span_s)}")
        sizes = reply["sizes"]
        table.add_row("frame bytes: min, mean, max", f"{sizes['min_bytes']}, {sizes['mean_bytes']:.1f}, "
                                                     f"{sizes['max_bytes']}")
        table.add_row("receive bursts: mean, max packets", f"{reply['packets'] / reply['burst_count']:.1f}, "
                                                           f"{reply['burst_max']}")
    if gaps := reply["gaps"]:
        table.add_row("inter-arrival ns: mean, p50, p99, max",
                      f"{gaps['sum_ns'] / gaps['count']:,.0f}, {quantile(gaps, 0.5):,}, {quantile(gaps, 0.99):,}, "
                      f"{gaps['max_ns']:,}")
    return table


def quantile(histogram: Mapping[str, Any], q: float) -> int:
    """The highest value of the bin in which the quantile lies, and at most the largest value."""
    left = q * histogram["count"]
    for _, high, count in histogram["bins"]:
        left -= count
        if left <= 0:
            return min(int(high) - 1, int(histogram["max_ns"]))
    return int(histogram["max_ns"])


def _over_time(reply: Mapping[str, Any]) -> Table | None:
    """At most as many rows as a screen has; all are in the JSON."""
    rows = reply["series"]
    if len(rows) < 2 or not reply["packets"]:
        return None
    interval_s, shown = reply["interval_s"], 20
    table = _plain("over time" + (f" (the last {shown} intervals)" if len(rows) > shown else ""), "from s", "packets/s",
                   "bits/s")
    for index in range(max(0, len(rows) - shown), len(rows)):
        packets, bytes_ = rows[index]
        span_s = min(interval_s, reply["armed_s"] - index * interval_s)      # the last interval has just begun
        table.add_row(f"{index * interval_s:.3f}", _rate(packets, span_s), _rate(bytes_ * 8, span_s))
    return table


def _sizes(reply: Mapping[str, Any]) -> Table | None:
    if not reply["sizes"]:
        return None
    table = _plain("frame sizes, with FCS (RFC 2819)", "bytes", "packets", "share")
    counts = [(bytes_ + FCS_BYTES, count) for bytes_, count in reply["sizes"]["counts"]]
    for low, high in SIZE_BUCKETS:
        n = sum(count for bytes_, count in counts if low <= bytes_ <= high)
        n += reply["sizes"]["larger_count"] if high > 1 << 16 else 0
        if n:
            name = f"below {high + 1}" if low == 0 else f"{low} and more" if high > 1 << 16 else \
                str(low) if low == high else f"{low} to {high}"
            table.add_row(name, f"{n:,}", f"{n / reply['packets']:.1%}")
    return table


def _kinds(reply: Mapping[str, Any]) -> Table | None:
    kinds = {name: numbers for name, numbers in reply["flows"]["kinds"].items() if numbers["packets"]}
    if not kinds:
        return None
    table = _plain("kinds", "kind", "flows", "packets", "bytes")
    for name, numbers in kinds.items():
        table.add_row(name, f"{numbers['flow_count']:,}", f"{numbers['packets']:,}", f"{numbers['bytes']:,}")
    return table


def _flows(reply: Mapping[str, Any], by: str) -> Table | None:
    flows = reply["flows"]
    if not flows["top"]:
        return None
    table = _plain(f"{len(flows['top'])} of {flows['flow_count']:,} flows, by {by}", "flow", "packets", "bytes",
                   "bytes min-max", "first-last s", "mean gap us")
    for flow in flows["top"]:
        gap = flow["mean_gap_ns"]
        table.add_row(flow_name(flow), f"{flow['packets']:,}", f"{flow['bytes']:,}",
                      f"{flow['min_bytes']}-{flow['max_bytes']}", f"{flow['first_s']:.3f}-{flow['last_s']:.3f}",
                      "-" if gap is None else f"{gap / 1e3:,.3f}")
    return table


def flow_name(flow: Mapping[str, Any]) -> str:
    """One line, e.g. "10.0.0.1:53 > 10.0.0.2:4000 udp, vlan 5"."""
    if flow["src"] is None:
        text = f"{flow['kind']} 0x{flow['ether_type']:04x}"
    else:
        protocol = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}.get(flow["protocol"],
                                                                                  f"protocol {flow['protocol']}")
        ends = [_end(flow["src"], flow["src_port"]), _end(flow["dst"], flow["dst_port"])]
        text = f"{' > '.join(ends)} {protocol}" + (" fragment" if flow["kind"].endswith("fragment") else "")
    return text + "".join(f", vlan {number}" for number in flow["vlan"])


def _end(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
