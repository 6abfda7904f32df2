/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our init as a program in an image of somebody else: a whole system is there already, with its own libraries, modules and
 * ways. It lies in a folder with our programs and their libraries, which becomes its root.
 */
#ifndef VSW_GUEST_INIMAGE_H
#define VSW_GUEST_INIMAGE_H

#include <jansson.h>

/* Loads a driver that DPDK takes NICs over from, binds those with these MAC addresses (the list ends with NULL), reserves
 * so many hugepages, and makes its own folder the root, with the system's /dev, /proc and /sys in it. Gives the NICs'
 * PCI addresses (new reference) and the driver. What fails ends the guest with a reason (end.h). */
json_t *move_in(long hugepages, char *const macs[], const char **driver);

#endif
