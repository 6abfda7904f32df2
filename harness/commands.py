# SPDX-License-Identifier: BSD-3-Clause
"""A cell's commands as text, for `plan` and for run.json. Pure."""

import shlex

from harness import plan, qemu
from harness.bed import Bed
from harness.cell import Cell
from harness.isolation import WHOLE, Isolation
from harness.peers import Image
from harness.plan import Setup
from harness.switches.base import Await, Cgroup, File, Namespace, Spawn, Step

RUN_FOLDER = "$RUN"         # stands for the run's own folder
LOG_FOLDER = "$LOGS"        # for the cell's logs in the results folder


def setup_of(cell: Cell, the_bed: Bed, image: Image, apart: Isolation = WHOLE) -> Setup:
    """What would be started, with names for folders that only a run has."""
    accel = "tcg" if the_bed.accel == "auto" else the_bed.accel
    return plan.setup(cell, the_bed, image, RUN_FOLDER, LOG_FOLDER, accel, apart=apart)


def lines(setup: Setup) -> list[str]:
    """Everything that is started, one line each (files have more)."""
    found = [f"hugepages of 2 MiB: {setup.hugepages}"]
    found += [f"hugepages of 1 GiB: {setup.gigantic_pages}"] if setup.gigantic_pages else []
    found += map(_step, (*setup.network, *setup.devices))
    steps = [_step(step) for step in (*setup.launch, *setup.wire)]
    peers = []
    for peer in setup.peers:
        if peer.vm:
            if peer.vm.own:
                peers.append(f"make a key pair {peer.vm.own.key} and cloud-init's seed in {peer.vm.own.seed}")
            peers.append(f"start {peer.name} (VM): {shlex.join(qemu.argv(peer.vm))}")
            vcpus = ", ".join(f"vCPU {vcpu} on CPU {cpu}" for vcpu, cpu in enumerate(peer.vm.vcpu_cpus))
            if peer.vm.own:
                peers.append(f"  by {shlex.join(peer.vm.own.ssh('...'))}: copy {peer.vm.own.programs} in, start init")
            peers.append(f"  once it has booted: {vcpus}, other threads of QEMU on CPU {peer.vm.control_cpu}")
            peers.append(f"  in it: {shlex.join(peer.argv)}")
        else:
            peers.append(f"start {peer.name}: {shlex.join(peer.argv)}")
    return found + (steps + peers if setup.switch_first else peers + steps)


def _step(step: Step) -> str:
    if isinstance(step, File):
        return f"write {step.path}:\n{step.text}"
    if isinstance(step, Await):
        return f"wait for {step.path}"
    if isinstance(step, Namespace):
        return f"make network namespace {step.name}"
    if isinstance(step, Cgroup):
        return f"make control group {step.path}" + (f" for CPUs {','.join(map(str, step.cpus))}" if step.cpus else "")
    env = "".join(f"{key}={shlex.quote(value)} " for key, value in step.env)
    verb = "start" if isinstance(step, Spawn) else "run"
    return f"{verb} {env}{shlex.join(step.argv)}"
