/* SPDX-License-Identifier: BSD-3-Clause
 *
 * reflector: sends every frame back out of the port that it came in at, with source and destination MAC address
 * exchanged, so that whoever sent it sees how long it was under way, on its own clock.
 */
#include "nf.h"

extern const struct nf nf_macswap;
extern const struct nf nf_reflector;

static uint16_t
reflector_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	return nf_macswap.process(side, pkts, n, drop);
}

const struct nf nf_reflector = {
	.name = "reflector",
	.help = "send back out of the port it came in at, MAC addresses exchanged",
	.reflects = true,
	.process = reflector_process,
};
