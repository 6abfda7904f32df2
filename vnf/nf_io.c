/* SPDX-License-Identifier: BSD-3-Clause
 *
 * io: forwards without looking at the packet, as testpmd's io mode does.
 */
#include "nf.h"

extern const struct nf nf_io;

static uint16_t
io_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	(void)side;
	(void)pkts;
	(void)n;
	(void)drop;
	return 0;
}

const struct nf nf_io = {
	.name = "io",
	.help = "forward untouched",
	.process = io_process,
};
