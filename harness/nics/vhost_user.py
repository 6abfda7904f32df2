# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user NIC: the switch works on the guest's queues, through memory that both share. Pure."""

from dataclasses import dataclass

from harness.virtio import Virtio


@dataclass(frozen=True)
class VhostUser:
    socket: str
    mac: str
    vhost = True
    tx_ring_max = 1024

    def backend(self, index: int, kind: Virtio) -> list[str]:
        """QEMU makes the socket, or tries once a second to find the switch's."""
        role = "server=on,wait=off" if kind.sockets == "peer" else "server=off,reconnect=1"
        queues = f",queues={kind.queues}" if kind.queues > 1 else ""
        return ["-chardev", f"socket,id=nic{index},path={self.socket},{role}",
                "-netdev", f"vhost-user,id=net{index},chardev=nic{index}{queues}"]
