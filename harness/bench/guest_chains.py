# SPDX-License-Identifier: BSD-3-Clause
"""Figure 5 of `bench guests`: long chains run to their end, whatever the number of CPUs: five VMs, and sixteen
processes, through Open vSwitch (testpmd has not so many ports), two trials each. The hops must account for every frame
that was lost: what a guest took in and neither sent on nor dropped for a reason is missing. And no guest may be lost:
each must still run and answer in the end.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from harness import accel, bed, cgroup, expand, host, plan, run, scenario, testbed
from harness.bench.lab import Lab
from harness.bench.rows import Row, at_least, at_most, failed, row
from harness.errors import CellFailed
from harness.guest import RunningPeer
from harness.search import Request
from harness.trial import Trial

NUMBER = 5
CHAINS = (("qemu", 5), ("process", 16))
MIB = 17 * 128 + 5 * 384 + 512
SWITCH = "ovs-dpdk"
TRIAL_S = 1.0
ANSWER_S = 10.0


def measure(the_lab: Lab) -> list[Row]:
    return [r for guest, length in CHAINS for r in _rows(the_lab, guest, length)]


def _rows(the_lab: Lab, guest: str, length: int) -> list[Row]:
    """One chain that fails does not take the other with it."""
    what = f"chain of {length} {'VMs' if guest == 'qemu' else 'processes'}"
    try:
        return _chain(the_lab, guest, length, what)
    except CellFailed as why:
        host.end_processes(the_lab.folder)
        return [failed(NUMBER, what, str(why))]


def _chain(the_lab: Lab, guest: str, length: int, what: str) -> list[Row]:
    the_bed = bed.load(None)
    how = accel.decide(the_bed, run.image(), the_lab.folder, the_lab.logs, the_lab.say) if guest == "qemu" else "tcg"
    table = {"name": "chain", "matrix": {"topology": "loopback", "guest": guest, "chain_length": length}}
    [cell] = expand.expand([scenario.from_table("bench guests", table)], the_bed, the_lab.cpus, [SWITCH])
    folder, logs = the_lab.folder / the_lab.next_name(guest), the_lab.logs / cell.id
    logs.mkdir()
    folder.mkdir()
    setup = plan.setup(cell, the_bed, run.image(), str(folder), str(logs), how, apart=cgroup.isolation()[0])
    the_lab.say(f"a chain of {length} guests ({guest})")
    with ExitStack() as stack:
        bed_up = stack.enter_context(testbed.up(cell, setup, logs))
        return _judged(bed_up, what)


def _judged(bed_up: testbed.Testbed, what: str) -> list[Row]:
    """Also of a chain that breaks: then the guests are counted that it broke with."""
    rows = []
    try:
        trials = [bed_up.measure(Request("rplus", rate, TRIAL_S)) for rate in (None, 10_000.0)]
        rows = [row(NUMBER, f"{what}: received at saturation", [trials[0].rx_pps], "pps", at_least(1)),
                row(NUMBER, f"{what}: lost frames that no hop accounts for, the worst trial",
                    [max(map(_unaccounted, trials))], "frames", at_most(0))]
    except CellFailed as why:
        rows = [failed(NUMBER, what, str(why))]
    lost = _lost({guest.name: bed_up.peers[guest.name] for guest in bed_up.cell.topology.guests})
    return [*rows, row(NUMBER, f"{what}: guests lost", [len(lost)], "guests", at_most(0), note=", ".join(lost))]


def _unaccounted(trial: Trial) -> int:
    """Hop by hop (hops.py), by counters of the guests, which know nothing of what the generator counts."""
    return abs(trial.sent_count - trial.received_count - sum(hop.gone_count for hop in trial.hops))


def _lost(guests: Mapping[str, RunningPeer]) -> Sequence[str]:
    """Those that have ended or do not answer, with why."""
    why = []
    for name, guest in guests.items():
        try:
            guest.process.check_alive()
            assert guest.channel
            guest.channel.request("stats", ANSWER_S)
        except CellFailed as failure:
            why.append(str(failure) or name)
    return why
