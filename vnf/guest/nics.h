/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The virtio-net NICs of the guest, and the driver that DPDK takes them over from.
 */
#ifndef VSW_GUEST_NICS_H
#define VSW_GUEST_NICS_H

#include <jansson.h>

/* The PCI addresses of all virtio-net devices, ascending. New reference. */
json_t *find_nics(void);

/* Those with these MAC addresses, in this order, which the kernel's driver still has. `macs` ends with NULL. Ends the
 * guest if one is missing. New reference. */
json_t *find_nics_of(char *const macs[]);

/* Reserves a NIC for a driver, and takes it from the one that has it. Before virtio_pci and this driver are loaded that is
 * all; afterwards bind_nic() gives it to the driver. */
void claim_nic(const char *address, const char *driver);
void bind_nic(const char *address, const char *driver);

/* Believe that a NIC is bound only after looking. */
void check_nic(const char *address, const char *driver);

#endif
