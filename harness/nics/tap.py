# SPDX-License-Identifier: BSD-3-Clause
"""A NIC on a tap device (kernel: networking/tuntap.rst), which is the switch's port: what the guest sends comes in at
it. The kernel works on the guest's queues (vhost-net) or, where it does not have that, QEMU does. Pure.

The device is there before QEMU starts, which runs in the device's network namespace and finds it by name.
"""

from dataclasses import dataclass

from harness.virtio import Virtio


@dataclass(frozen=True)
class Tap:
    device: str
    mac: str
    vhost: bool             # vhost-net
    tx_ring_max = 256       # of every backend but vhost-user (QEMU hw/net/virtio-net.c, virtio_net_max_tx_queue_size)

    def backend(self, index: int, kind: Virtio) -> list[str]:
        vhost = "on" if self.vhost else "off"
        return ["-netdev", f"tap,id=net{index},ifname={self.device},script=no,downscript=no,vhost={vhost}"]
