# SPDX-License-Identifier: BSD-3-Clause
"""NIC kinds of VMs: a file each, with a frozen class that has

    mac             its address in the guest
    vhost           somebody else than QEMU works on its queues
    tx_ring_max     descriptors of its transmit queue, at most
    backend(index, kind)    QEMU's words for what is behind the device net{index}

What the guest sees is the same for all: a virtio-net device, which qemu.py describes.
"""

from harness.nics.tap import Tap
from harness.nics.vhost_user import VhostUser

Nic = VhostUser | Tap
