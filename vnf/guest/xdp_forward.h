/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The nf "xdp-forward": what its program in the kernel (xdp_forward.bpf.c) and the process that loads it (xdpforward.c)
 * share. Each port is written by one CPU at a time, since a device has one receive queue.
 */
#ifndef VSW_GUEST_XDP_FORWARD_H
#define VSW_GUEST_XDP_FORWARD_H

#include <linux/types.h>

#define XDP_FORWARD_PORTS 2

/* Names are in xdpforward.c; they are those of vnf/nf.c. */
enum xdp_forward_drop {
	XDP_FORWARD_MALFORMED,
	XDP_FORWARD_NOT_IP,
	XDP_FORWARD_TTL,
	XDP_FORWARD_NO_ROUTE,
	XDP_FORWARD_DROPS
};

struct xdp_forward_port {
	__u32 index;    /* of the device */
	__u8 mac[6];
	__u64 rx_count, tx_count;    /* frames that came in here; and of these, that were handed to the other device */
	__u64 dropped[XDP_FORWARD_DROPS];
};

#endif
