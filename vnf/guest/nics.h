/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The virtio-net NICs of the guest, and the driver that DPDK takes them over from.
 */
#ifndef VSW_GUEST_NICS_H
#define VSW_GUEST_NICS_H

#include <jansson.h>

/* The PCI addresses of all virtio-net devices, ascending. New reference. */
json_t *find_nics(void);

/* Reserves a NIC for uio_pci_generic. To be called before virtio_pci is loaded, which would take it otherwise. */
void claim_nic(const char *address);

/* Loading the driver bound the claimed NICs: believe it only after looking. */
void check_nic(const char *address);

#endif
