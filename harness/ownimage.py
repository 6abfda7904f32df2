# SPDX-License-Identifier: BSD-3-Clause
"""A VM with an image of the person's own: any qcow2 or raw image that boots by itself, has ssh and reads cloud-init's
NoCloud seed. What is written goes into an unlinked overlay, so the image stays as it is.

The seed names a key pair that is made for the cell and ends with it. Over ssh our programs are copied in and init is
started (vnf/guest/inimage.h); from there on the guest is as our own: the control channel is a virtio-serial port.
"""

import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CellFailed
from harness.proc import Process, run_command, wait_until

FOLDER = "/opt/vswbench"        # in the guest
SSH_S = {"kvm": 120.0, "tcg": 600.0}    # from the start of QEMU until somebody may log in
COPY_S = 120.0
TRY_S = 30.0                    # of one try to log in
PAUSE_S = 1.0
# until then cloud-init takes the CPU, and may start ssh again
DONE = ("! command -v cloud-init >/dev/null || test -e /run/cloud-init/result.json || "
        "{ echo cloud-init is not done >&2; false; }")


@dataclass(frozen=True)
class OwnImage:
    """`seed`: a folder that QEMU shows as a FAT disk with the label that cloud-init looks for."""

    path: str
    format: str         # "qcow2" or "raw"
    seed: str
    ssh_port: int       # of the host's loopback interface
    mac: str            # of the NIC that ssh comes through
    programs: str       # tar file of our programs and their libraries

    @property
    def key(self) -> str:
        return f"{self.seed}.key"

    def ssh(self, command: str) -> list[str]:
        """The host key is as new as the guest, so there is none to compare with."""
        options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                   "LogLevel=ERROR", "ConnectTimeout=10", "ServerAliveInterval=15"]
        return ["ssh", "-F", "/dev/null", "-i", self.key, "-p", str(self.ssh_port),
                *(word for option in options for word in ("-o", option)), "root@127.0.0.1", command]

    def argv(self) -> list[str]:
        """Its part of QEMU's command line."""
        image, seed = (path.replace(",", ",,") for path in (self.path, self.seed))
        # devices in this order: the image is the guest's first disk, and the one that boots
        return ["-drive", f"file={image},if=none,id=disk,format={self.format},snapshot=on",
                "-device", "virtio-blk-pci,drive=disk,bootindex=1",
                "-blockdev", f"driver=vvfat,node-name=seed,dir={seed},label=cidata,read-only=on",
                "-device", "virtio-blk-pci,drive=seed",
                "-netdev", f"user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
                "-device", f"virtio-net-pci,netdev=ssh,mac={self.mac},romfile="]

    def seed_files(self, name: str, public_key: str) -> dict[str, str]:
        """cloud-init's NoCloud files. Only the NIC of ssh gets an address: the others are ours."""
        return {
            "meta-data": f"instance-id: vswbench-{name}-{self.ssh_port}\nlocal-hostname: {name}\n",
            "user-data": "#cloud-config\ndisable_root: false\nssh_pwauth: false\nusers:\n  - name: root\n"
                         f"    ssh_authorized_keys: [\"{public_key}\"]\n",
            "network-config": "version: 2\nethernets:\n  ssh:\n    match: {macaddress: \"" + self.mac + "\"}\n"
                              "    dhcp4: true\n",
        }


def prepare(name: str, own: OwnImage, log: Path) -> None:
    """Make the key pair and the seed. To be done before QEMU is started."""
    if not Path(own.path).is_file():
        raise CellFailed(f"{name}: the image {own.path} is not there ([guest] image)")
    Path(own.seed).mkdir()
    run_command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vswbench", "-f", own.key], log)
    public_key = Path(f"{own.key}.pub").read_text().strip()
    for file, text in own.seed_files(name, public_key).items():
        (Path(own.seed) / file).write_text(text)


def move_in(name: str, own: OwnImage, accel: str, hugepages: int, macs: Sequence[str], vm: Process, log: Path,
            stack: ExitStack) -> Process:
    """Wait for ssh and for the end of cloud-init, copy our programs in, start init. Gives the ssh session that it
    runs in, whose end is its end."""
    said = [""]

    def let_in() -> bool:
        said[0] = _said(own.ssh(DONE))
        return said[0] == ""

    try:
        wait_until(lambda: _listens(own.ssh_port) and let_in(), SSH_S[accel], f"{name}: ssh into {own.path}", [vm],
                   pause_s=PAUSE_S)
    except CellFailed as failure:
        raise CellFailed(f"{failure}{f' (ssh says: {said[0]})' if said[0] else ''}") from None
    _copy(name, own, log)
    command = f"exec {FOLDER}/init --in-image {hugepages} {' '.join(macs)}"
    session = Process(f"{name}-init", own.ssh(command), log)
    stack.callback(session.stop)
    return session


def _listens(port: int) -> bool:
    """Saves most of the tries: QEMU takes the connection itself, but says at once if nobody is behind it."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _said(argv: Sequence[str]) -> str:
    """The last line of what ssh complains of; empty if it did what it was asked to."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TRY_S, check=False,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"nothing for {TRY_S:g} s"
    except OSError as error:
        raise CellFailed(f"ssh could not be started: {error}: apt-get install openssh-client") from None
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


def _copy(name: str, own: OwnImage, log: Path) -> None:
    with log.open("ab") as out, open(own.programs, "rb") as programs:
        try:
            done = subprocess.run(own.ssh(f"mkdir -p {FOLDER} && tar -x -C {FOLDER}"), stdin=programs, stdout=out,
                                  stderr=out, timeout=COPY_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CellFailed(f"{name}: our programs could not be copied into the guest: {error}; see {log}") from None
    if done.returncode != 0:
        raise CellFailed(f"{name}: our programs could not be copied into the guest: status {done.returncode}; see {log}")
