/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Network devices, neighbours and routes of the network namespace that this process is in, by rtnetlink(7): a guest has no
 * ip(8), and wants none. One socket, of this file. Functions that change something give 0 or -errno, as the kernel
 * answered.
 */
#ifndef VSW_GUEST_RTLINK_H
#define VSW_GUEST_RTLINK_H

#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define MAC_BYTES 6

struct link {
	int index;
	char name[IFNAMSIZ];
	uint8_t mac[MAC_BYTES];
	bool carrier;
	struct rtnl_link_stats64 stats;    /* since the device was made */
};

int rtlink_open(void);

/* Reads the device with this index or, if that is 0, with this MAC address. -ENODEV if there is none. */
int rtlink_read(int index, const uint8_t mac[MAC_BYTES], struct link *found);

int rtlink_up(int index);

/* A bridge that neither speaks STP nor looks at multicast; and a device into it. */
int rtlink_add_bridge(const char *name);
int rtlink_join(int index, int bridge);

/* Gives a device an XDP program, or takes it away (-1); `flags` are XDP_FLAGS_* of linux/if_link.h. */
int rtlink_attach(int index, int program, uint32_t flags);

/* The neighbour `address` (IPv4, network order) behind a device has this MAC address, for ever. */
int rtlink_add_neighbour(int index, uint32_t address, const uint8_t mac[MAC_BYTES]);

/* All IPv4 that looks into this routing table goes to the neighbour `gateway` behind a device. */
int rtlink_add_default_route(uint32_t table, int index, uint32_t gateway);

/* What comes in at this device looks into this table first. */
int rtlink_add_rule(const char *in, uint32_t table);

#endif
