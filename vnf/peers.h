/* SPDX-License-Identifier: BSD-3-Clause
 *
 * MAC addresses of nfs that rewrite them, by side: the own one of the port at which its packets leave, and of whom they
 * go to there: 02:00:00:00:00:PORT unless told otherwise, as DPDK's l2fwd example has it.
 */
#ifndef VSW_PEERS_H
#define VSW_PEERS_H

#include <rte_ethdev.h>
#include <string.h>

#include "nf.h"
#include "port.h"

static inline void
peers_default(struct rte_ether_addr own[PORT_MAX], struct rte_ether_addr peer[PORT_MAX])
{
	for (uint16_t side = 0; side < PORT_MAX && side < rte_eth_dev_count_avail(); side++) {
		uint16_t out = nf_out_port(side);
		memset(&own[side], 0, sizeof(own[side]));
		rte_eth_macaddr_get(out, &own[side]);
		peer[side] = (struct rte_ether_addr){{2, 0, 0, 0, 0, (uint8_t)out}};
	}
}

#endif
