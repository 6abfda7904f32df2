# SPDX-License-Identifier: BSD-3-Clause
"""What the vhost-user ports of a cell are like, for the generator, process guests and VMs alike: keys of [matrix], so
that lists of them are compared. Pure.

queues: queue pairs of every port. rings: `split`, or `packed` (virtio 1.1, 2.8). mergeable: may a frame fill several
buffers (VIRTIO_NET_F_MRG_RXBUF)? ring_size: descriptors a queue, 0 for the testbed's. sockets: who makes them, the
`peer` (QEMU is the server, the switch may be restarted) or the `switch`.
"""

from dataclasses import dataclass

from harness.schema import Field

QUEUES_MAX = 8
KINDS = ("vhost-user", "pci")       # of ports on which guests have such
MATRIX = {
    "queues": Field(int, (1,), low=1, high=QUEUES_MAX, many=True),
    "rings": Field(str, ("split",), choices=("split", "packed"), many=True),
    "mergeable": Field(bool, (True,), many=True),
    "ring_size": Field(int, (0,), choices=(256, 512, 1024), many=True),
    "sockets": Field(str, ("peer",), choices=("peer", "switch"), many=True),
}


@dataclass(frozen=True)
class Virtio:
    queues: int = 1
    rings: str = "split"
    mergeable: bool = True
    ring_size: int = 0
    sockets: str = "peer"

    @property
    def label(self) -> str:
        """What is not as usual, for cell ids and the column `variant`."""
        parts = [f"{self.queues}q"] if self.queues > 1 else []
        parts += ["packed"] if self.rings == "packed" else []
        parts += [] if self.mergeable else ["unmerged"]
        parts += [f"{self.ring_size}ring"] if self.ring_size else []
        return "-".join(parts + (["server"] if self.sockets == "switch" else []))

    @property
    def of_a_ring_port(self) -> "Virtio":
        """What is left of it where ports are joined in memory."""
        return Virtio(queues=self.queues, ring_size=self.ring_size)
