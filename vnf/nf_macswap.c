/* SPDX-License-Identifier: BSD-3-Clause
 *
 * macswap: exchanges source and destination MAC address, as testpmd's macswap mode does.
 */
#include <rte_ether.h>
#include <rte_prefetch.h>

#include "nf.h"

extern const struct nf nf_macswap;

#define PREFETCH_AHEAD 4

static inline void
swap(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr dst = eth->dst_addr;

	eth->dst_addr = eth->src_addr;
	eth->src_addr = dst;
}

static uint16_t
macswap_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	(void)side;
	(void)drop;
	for (uint16_t i = 0; i < PREFETCH_AHEAD && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + PREFETCH_AHEAD], void *));
		if (rte_pktmbuf_data_len(pkts[i]) >= sizeof(struct rte_ether_hdr))
			swap(pkts[i]);
	}
	return 0;
}

const struct nf nf_macswap = {
	.name = "macswap",
	.help = "exchange source and destination MAC address",
	.process = macswap_process,
};
