/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"

#include <string.h>

#define UDP_PORT_DISCARD 9 /* RFC 863 */
#define TTL 64

/* Sum of the header's 16-bit words in host order, checksum and source taken as 0. */
static uint32_t
header_sum(const struct rte_ipv4_hdr *ip)
{
	const uint8_t *p = (const uint8_t *)ip;
	uint32_t sum = 0;

	for (unsigned int i = 0; i < sizeof(*ip); i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

void
frame_build(struct frame *f, uint16_t frame_bytes, uint8_t stream, const struct rte_ether_addr *src,
	    const struct rte_ether_addr *dst)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)f->bytes;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	memset(f, 0, sizeof(*f));
	f->mbuf_bytes = (uint16_t)(frame_bytes - FRAME_FCS_BYTES);
	/* sources: a /23 a stream (512 addresses x 32768 ports = 2^24 flows); destinations: one each, of the second half */
	f->source_base = RTE_IPV4(198u, 18u, (stream & 0x7f) << 1, 1);

	rte_ether_addr_copy(src, &eth->src_addr);
	rte_ether_addr_copy(dst, &eth->dst_addr);
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(f->mbuf_bytes - sizeof(*eth)));
	ip->time_to_live = TTL;
	ip->next_proto_id = IPPROTO_UDP;
	ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(198u, 19u, stream, 1));
	f->ip_sum = header_sum(ip);
	udp->dst_port = rte_cpu_to_be_16(UDP_PORT_DISCARD);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(f->mbuf_bytes - sizeof(*eth) - sizeof(*ip)));
	frame_set_flow(f, f->bytes, 0);
}
