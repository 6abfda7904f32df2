# SPDX-License-Identifier: BSD-3-Clause
"""From a cell to every command that it takes. Pure: no I/O, no clock.

Law of fairness: peers (generator and guests) and network devices are made from scenario, testbed and topology; of a
cell's Setup only `devices`, `launch` and `wire` may depend on the switch.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from harness import kernelnf, ports, programs
from harness.bed import Bed, SwitchEntry
from harness.cell import Cell
from harness.isolation import Isolation
from harness.peers import (PAGE_MIB, Image, Peer, isolating, nf_of, peers_of, prefix_of, process_mib_of, ring_size_of,
                           socket_of)
from harness.switches import find, options
from harness.switches.base import Driver, Site, Step
from harness.topology import GENERATOR


@dataclass(frozen=True)
class Setup:
    """Everything that is started for a cell."""

    network: tuple[Step, ...]       # made before anything is started: devices, namespaces and control groups of peers
    peers: tuple[Peer, ...]
    site: Site
    launch: tuple[Step, ...]
    wire: tuple[Step, ...]
    hugepages: int                  # 2 MiB pages needed at the same time
    gigantic_pages: int = 0         # and pages of 1 GiB
    switch_first: bool = False      # it makes the sockets, so it starts before its peers
    devices: tuple[Step, ...] = ()  # that only this switch makes, behind the network and before the peers
    peers_first: bool = False       # the switch starts when its peers are ready, not only started


def setup(cell: Cell, bed: Bed, image: Image, folder: str, logs: str, accel: str, vhost_net: bool = True,
          apart: Isolation = Isolation()) -> Setup:
    """Every process, file and command of the cell. `folder` is its own, empty; its path must be short, since the path
    of a unix socket holds at most 107 bytes (unix(7)). `logs` is where a VM's console goes. `accel` is "kvm" or
    "tcg". `vhost_net`: has the host's kernel that? `apart`: what the host has to keep process guests apart."""
    site = site_of(cell, folder, ring_size_of(cell, bed), image.build)
    driver = driver_of(cell.switch)
    peers = tuple(peers_of(cell, bed, image, folder, logs, accel, vhost_net, apart))
    mib = 0
    if cell.port_kind != "ring":
        mib = driver.hugepages_mib + sum(_hugepages_mib(cell, peer) for peer in peers)
    gigantic = sum(p.vm.memory_mib // 1024 for p in peers if p.vm and p.vm.page_mib == 1024)
    network = (*_network(cell, site), *isolating(cell, folder, apart))
    return Setup(network, peers, site, tuple(driver.launch(site)), tuple(driver.wire(site)),
                 -(-mib // PAGE_MIB), gigantic, cell.virtio.sockets == "switch", tuple(driver.devices(site)),
                 cell.port_kind in ports.CONNECTED_ONCE)


def _hugepages_mib(cell: Cell, peer: Peer) -> int:
    """What a peer takes of the 2 MiB pages."""
    if peer.vm:
        return peer.vm.memory_mib if peer.vm.page_mib == PAGE_MIB else 0
    return 0 if cell.port_kind in ports.WITHOUT_HUGEPAGES else process_mib_of(cell, peer.name)


def site_of(cell: Cell, folder: str, ring_size: int, build: str) -> Site:
    """Where the cell's switch works. `folder`: the cell's; `build`: of what CMake builds."""
    nics = tuple(cell.pci[port.peer_port][1] if cell.pci and port.peer == GENERATOR else ""
                 for port in cell.topology.ports)
    sockets = tuple("" if nic else socket_of(cell, folder, port) for nic, port in zip(nics, cell.topology.ports))
    return Site(str(PurePosixPath(folder) / "switch"), () if cell.port_kind in ports.ON_DEVICES else sockets,
                cell.topology, cell.cores, cell.switch.prefix, ring_size, prefix_of(folder, "switch"),
                cell.frame_max_bytes, cell.virtio,
                options.complete(driver_of(cell.switch).options, cell.switch.options),
                cell.port_kind, ports.namespace(folder), build, _taps(cell),
                tuple(nf_of(cell, guest.name) for guest in cell.topology.guests if cell.chain_length), nics)


def _taps(cell: Cell) -> tuple[str, ...]:
    """The switch's devices that are NICs of VMs."""
    if cell.guest != "qemu" or cell.port_kind not in ports.ON_DEVICES:
        return ()
    return tuple(port.name for port in cell.topology.ports if port.peer != GENERATOR)


def _network(cell: Cell, site: Site) -> tuple[Step, ...]:
    """The devices of a cell, where its ports are such."""
    if not site.devices:
        return ()
    all_ports = cell.topology.ports
    macs = {port.name: programs.mac(port.peer, port.peer_port) for port in all_ports}
    cpus = {port.name: cell.cores.switch for port in all_ports} | {
        port.end: cell.cores.all_of(port.peer) for port in all_ports}
    by_xdp = [guest.name for guest, nf in zip(cell.topology.guests, cell.nf_names) if nf == kernelnf.XDP]
    polled = [port.name for port in all_ports if port.peer in by_xdp]
    return tuple(ports.steps(site.namespace, site.folder, all_ports, macs, cpus, site.queues, site.taps, polled))


def driver_of(entry: SwitchEntry) -> Driver:
    """Raises no error: entries are checked where they are read (expand.switch_entries)."""
    driver = find(entry.driver)
    assert driver is not None, entry
    return driver
