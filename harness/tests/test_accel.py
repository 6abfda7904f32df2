# SPDX-License-Identifier: BSD-3-Clause
"""KVM or TCG? By a fake QEMU, and a file in the place of /dev/kvm."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import accel, bed, host, run
from harness.errors import CannotRun
from harness.sim import simulated_up
from harness.switches.base import Check
from harness.tests.support import IMAGE, cells_of_text, executable, processes_of, write
from harness.tests.test_guest_faults import QEMU

HANGS = "#!/bin/sh\ntrap '' TERM\nsleep 60 & wait\nsleep 60\n"      # before it makes any socket
BOOTS = QEMU.format(python=sys.executable, before="pass", boot="pass", program="pass")


@pytest.fixture
def decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[str]]]:
    """What is decided with this QEMU, and what is said."""
    monkeypatch.setattr(accel, "KVM", write(tmp_path / "kvm", ""))
    monkeypatch.setattr(accel, "BOOT_S", {"kvm": 1.0})

    def decided(qemu: str, asked: str = "auto") -> tuple[str, list[str]]:
        fake = executable(tmp_path / "qemu", qemu)
        said: list[str] = []
        the_bed = replace(bed.load(None), qemu_binary=str(fake), accel=asked)
        return accel.decide(the_bed, replace(IMAGE, build=str(tmp_path)), tmp_path, tmp_path, said.append), said
    return decided


def test_a_qemu_that_hangs_costs_the_boot_time_out_once(decide: Any, tmp_path: Path) -> None:
    began = time.monotonic()
    how, said = decide(HANGS)
    assert how == "tcg" and "no guest boots under" in said[-1] and time.monotonic() - began < 3
    assert processes_of(tmp_path) == []
    again, said = decide(HANGS)
    assert again == "tcg" and len(said) == 1        # it is not tried again
    [kept] = json.loads((tmp_path / "kvm-verdict.json").read_text()).values()
    assert kept["works"] is False and "kvm-try" in kept["why"] and kept["why"] in said[0] and "\n" not in said[0]
    with pytest.raises(CannotRun, match="KVM was asked for"):
        decide(HANGS, "kvm")


def test_a_guest_that_boots_is_believed(decide: Any) -> None:
    assert decide(BOOTS)[0] == "kvm"


def test_what_qemu_said_last_is_kept_and_said(decide: Any, tmp_path: Path) -> None:
    for _ in range(2):
        _, said = decide("#!/bin/sh\necho 'KVM: this CPU has no idea' >&2\nexit 1\n")
        assert "this CPU has no idea" in said[-1]


@pytest.mark.parametrize("kept, how", [(True, "kvm"), (False, "tcg"), ("yes", "tcg"), ({}, "tcg")])
def test_a_verdict_without_a_reason_is_read_too(kept: Any, how: str, decide: Any, tmp_path: Path) -> None:
    decide(BOOTS)
    file = tmp_path / "kvm-verdict.json"
    [key] = json.loads(file.read_text())
    file.write_text(json.dumps({key: kept}))
    assert decide(BOOTS)[0] == how


def test_another_qemu_is_tried_anew(decide: Any) -> None:
    assert decide("#!/bin/sh\nexit 1\n")[0] == "tcg"
    assert decide(BOOTS)[0] == "kvm"


def test_a_signal_while_kvm_is_tried_ends_the_run(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
                                                  ) -> None:
    up: Any = simulated_up(5e6)
    monkeypatch.setattr(run, "real_up", up)
    monkeypatch.setattr(run, "missing", lambda *given: [])
    monkeypatch.setattr(run, "check_switches", lambda cells: {c.switch.name: Check("x") for c in cells})
    monkeypatch.setattr(host, "enough_hugepages", lambda *given: nullcontext())

    def slow(*given: object) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        return "tcg"
    monkeypatch.setattr(accel, "decide", slow)
    cells = cells_of_text(tmp_path, '[matrix]\ntopology = "p2v"\nguest = "qemu"\nswitch = "testpmd"\n')
    said: list[str] = []
    began = time.monotonic()
    folder, outcomes = run.run("t", cells, bed.load(None), tmp_path / "out", said.append, {}, up=up)
    assert outcomes == [] and "interrupted by SIGINT: the run ends here" in said and time.monotonic() - began < 4
    assert json.loads((folder / "run.json").read_text())["state"] == "interrupted"
