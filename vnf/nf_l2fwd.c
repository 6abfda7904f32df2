/* SPDX-License-Identifier: BSD-3-Clause
 *
 * l2fwd: what DPDK's l2fwd example does to a frame: the source address becomes that of the port it leaves at, and the
 * destination that of the peer there, by default 02:00:00:00:00:PORT as in the example.
 */
#include <stdio.h>

#include "nf.h"
#include "packet.h"
#include "peers.h"
#include "port.h"
#include "words.h"

extern const struct nf nf_l2fwd;

static struct rte_ether_addr own[PORT_MAX]; /* by side: of the port at which its packets leave */
static struct rte_ether_addr peer[PORT_MAX];

static int
l2fwd_init(const char *arg, char *error)
{
	struct rte_ether_addr mac;
	struct words w;
	int more;

	peers_default(own, peer);
	words_start(&w, arg);
	while ((more = words_next(&w)) > 0) {
		if (w.count != 2 || strcmp(w.word[0], "peer") != 0 || !words_mac(w.word[1], &mac))
			return words_refuse(&w, error, "allowed is peer MAC, e.g. peer 02:00:00:00:00:01");
		for (unsigned int side = 0; side < PORT_MAX; side++)
			peer[side] = mac;
	}
	return more < 0 ? words_refuse(&w, error, "too long") : 0;
}

static uint16_t
l2fwd_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	uint16_t drops = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *);
		packet_prefetch(pkts, i, n);
		if (rte_pktmbuf_data_len(pkts[i]) >= sizeof(*eth)) {
			eth->dst_addr = peer[side];
			eth->src_addr = own[side];
		} else {
			drop[i] = NF_MALFORMED;
			drops++;
		}
	}
	return drops;
}

const struct nf nf_l2fwd = {
	.name = "l2fwd",
	.help = "[peer MAC]: forward with the port's own source and the peer's destination address",
	.init = l2fwd_init,
	.process = l2fwd_process,
};
