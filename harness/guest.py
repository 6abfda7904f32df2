# SPDX-License-Identifier: BSD-3-Clause
"""Peers at work: the generator and the guests, as processes on the host or in a VM. Each ends up as a Channel to one of
our programs. Making a RunningPeer starts it without waiting; ready() waits.
"""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness import ownimage, qemu, qmp
from harness.channel import Channel
from harness.errors import CellFailed
from harness.peers import Peer
from harness.proc import LAST_WORDS, Process, wait_until

PROGRAM_READY_S = 30.0
PANIC = "Kernel panic - not syncing"     # kernel/panic.c
BOOT_S = {"kvm": 15.0, "tcg": 60.0}


class RunningPeer:
    """A started peer. Everything is put on `stack`, to be stopped with it. `needs` fails if something has ended without
    which it would wait in vain: its ports have to be connected to, and no cell goes on without one of its peers."""

    def __init__(self, peer: Peer, log_folder: Path, stack: ExitStack,
                 needs: Callable[[], None] = lambda: None) -> None:
        self.peer = peer
        self._needs = needs
        self.channel: Channel | None = None
        self.tsc_hz = 0.0           # as its program measured it; a VM has the host's
        self.xdp_mode = ""          # of an nf in XDP: "native", or "generic" where a driver of its devices has none
        self._stack = stack
        log = log_folder / f"{peer.name}.log"
        if peer.vm:
            console = Path(peer.vm.console_log)
            self._inner_log = log_folder / f"{peer.name}.ssh.log"
            if peer.vm.own:
                ownimage.prepare(peer.name, peer.vm.own, self._inner_log)
            self.process = Process(peer.name, qemu.argv(peer.vm), log, cpus=peer.vm.boot_cpus,
                                   more_words=lambda: f"{_console(console)}; see {console}")
        else:
            self.process = Process(peer.name, peer.argv, log, env=dict(peer.env), piped=True)
        stack.callback(self.process.stop)

    def ready(self) -> None:
        """Wait for the program's ready event (in a VM: boot, then start it)."""
        if self.peer.vm:
            self.boot(self.peer.vm)
            qmp.pin(self.peer.name, self.peer.vm.qmp_socket, self.process.pid, self.peer.vm.control_cpu,
                    self.peer.vm.vcpu_cpus)
            assert self.channel
            if self.peer.vm.kernel_nics:
                self.channel.request("kernel_nics", PROGRAM_READY_S)
            self.channel.request("exec", PROGRAM_READY_S, argv=list(self.peer.argv))
        else:
            pipe_in, pipe_out = self.process.popen.stdout, self.process.popen.stdin
            assert pipe_in and pipe_out
            self.channel = Channel(self.peer.name, pipe_in.fileno(), pipe_out.fileno(), self._alive,
                                   str(self.process.log), self.process.last_words)
        assert self.channel
        said = self.channel.event("ready", PROGRAM_READY_S)
        self.tsc_hz, self.xdp_mode = float(said["tsc_hz"]), str(said.get("xdp_mode", ""))

    def _alive(self, patience_s: float) -> None:
        self.process.check_alive(patience_s)
        self._needs()

    def boot(self, vm: qemu.Vm) -> None:
        """Wait until the guest's init answers."""
        connection = self._connect(vm)
        alive = self._move_in(vm) if vm.own else self._alive
        self.channel = Channel(vm.name, connection.fileno(), connection.fileno(), alive, vm.console_log,
                               lambda: _console(Path(vm.console_log)))
        try:
            self.channel.event("booted", BOOT_S[vm.accel])
        except CellFailed as failure:
            words = _console(Path(vm.console_log))
            said = words in str(failure) or not str(failure).startswith(vm.name)
            raise failure if said else CellFailed(f"{failure}{words}") from None

    def _move_in(self, vm: qemu.Vm) -> Callable[[float], None]:
        """Start init in an image of the person's own. Gives what tells whether the guest is alive."""
        assert vm.own
        session = ownimage.move_in(vm.name, vm.own, vm.accel, vm.hugepages, [nic.mac for nic in vm.nics], self.process,
                                   self._inner_log, self._stack)

        def alive(patience_s: float) -> None:
            self._alive(0)      # its end is the session's, and says more
            session.check_alive(patience_s)
        return alive

    def _connect(self, vm: qemu.Vm) -> socket.socket:
        """QEMU makes the control socket early, but answers on it only when all its NICs have been connected."""
        connection = self._stack.enter_context(socket.socket(socket.AF_UNIX))

        def connected() -> bool:
            try:
                connection.connect(vm.control_socket)
            except (FileNotFoundError, ConnectionRefusedError):     # a socket has a name before anybody listens to it
                return False
            return True
        try:
            wait_until(connected, PROGRAM_READY_S, f"{vm.name}: control socket of QEMU", [self.process])
        except OSError as error:
            self.process.check_alive(1)
            raise CellFailed(f"{vm.name}: control socket of QEMU: {error}; see {self.process.log}") from None
        return connection

    def links_up(self) -> bool:
        assert self.channel
        return all(port["link_up"] for port in self.channel.request("ports", PROGRAM_READY_S)["ports"])


def _console(path: Path) -> str:
    """What a guest's console says in the end, for an error line; a panic before anything else."""
    try:
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return " (it has no console yet)"
    panics = [line for line in lines if PANIC in line]
    if panics:
        return f" (the guest's kernel gave up: {panics[0][panics[0].index(PANIC):][:LAST_WORDS]})"
    return f" (the console's last line: {lines[-1][:LAST_WORDS]})" if lines else " (the console is empty)"
