/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where the headers of a frame lie, for nfs that change them; and incremental checksums (RFC 1624).
 *
 * Frames are of others, so every length is checked.  Up to two VLAN tags are stepped over.  Only the first segment is
 * read, which holds the headers of all frames that ports of ours receive.  IPv6 extension headers are not walked:
 * behind one there is no l4.  What only needs the 5-tuple reads it with flowkey.h, which walks them.
 */
#ifndef VSW_PACKET_H
#define VSW_PACKET_H

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <stdbool.h>
#include <string.h>

#include "nf.h"

#define PACKET_PREFETCH_AHEAD 4u

struct packet {
	struct rte_ether_hdr *eth;
	struct rte_ipv4_hdr *ip4; /* NULL: it is no IPv4 */
	struct rte_ipv6_hdr *ip6; /* NULL: it is no IPv6 */
	uint8_t *l4;              /* a whole TCP or UDP header; NULL: there is none, or it is a fragment */
	uint8_t protocol;
};

/* The header of packet 0.. of a batch will soon be needed: call it with i = 0..n-1. */
static inline void
packet_prefetch(struct rte_mbuf **pkts, uint16_t i, uint16_t n)
{
	if (i == 0) {
		for (uint16_t k = 1; k < PACKET_PREFETCH_AHEAD && k < n; k++)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[k], void *));
	}
	if (i + PACKET_PREFETCH_AHEAD < n)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i + PACKET_PREFETCH_AHEAD], void *));
}

static inline void
packet_find_l4(struct packet *p, uint8_t *l4, const uint8_t *end)
{
	size_t need = p->protocol == IPPROTO_UDP   ? sizeof(struct rte_udp_hdr)
		      : p->protocol == IPPROTO_TCP ? sizeof(struct rte_tcp_hdr)
						   : SIZE_MAX;

	if ((size_t)(end - l4) >= need)
		p->l4 = l4;
}

static inline bool
packet_parse_ipv4(struct packet *p, uint8_t *at, const uint8_t *end, size_t in_frame)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)at;

	if ((size_t)(end - at) < sizeof(*ip) || ip->version != IPVERSION || ip->ihl < RTE_IPV4_MIN_IHL)
		return false;
	size_t header = rte_ipv4_hdr_len(ip);
	size_t total = rte_be_to_cpu_16(ip->total_length);
	if (total < header || total > in_frame || (size_t)(end - at) < header)
		return false;
	p->ip4 = ip;
	p->protocol = ip->next_proto_id;
	if ((ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) == 0)
		packet_find_l4(p, at + header, RTE_MIN(end, (const uint8_t *)at + total));
	return true;
}

static inline bool
packet_parse_ipv6(struct packet *p, uint8_t *at, const uint8_t *end, size_t in_frame)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)at;

	if ((size_t)(end - at) < sizeof(*ip) || at[0] >> 4 != 6)
		return false;
	size_t total = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	if (total > in_frame)
		return false;
	p->ip6 = ip;
	p->protocol = ip->proto;
	packet_find_l4(p, at + sizeof(*ip), RTE_MIN(end, (const uint8_t *)at + total));
	return true;
}

/* False if the frame is malformed; `p` then holds rubbish.  A frame that is no IP is fine. */
static inline bool
packet_parse(struct rte_mbuf *m, struct packet *p)
{
	uint8_t *start = rte_pktmbuf_mtod(m, uint8_t *);
	const uint8_t *end = start + rte_pktmbuf_data_len(m);
	uint8_t *at = start + sizeof(struct rte_ether_hdr);

	*p = (struct packet){.eth = (struct rte_ether_hdr *)start};
	if (at > end)
		return false;
	uint16_t type = p->eth->ether_type;
	for (unsigned int tags = 0; tags < 2; tags++) {
		if (type != RTE_BE16(RTE_ETHER_TYPE_VLAN) && type != RTE_BE16(RTE_ETHER_TYPE_QINQ))
			break;
		if (end - at < (ptrdiff_t)sizeof(struct rte_vlan_hdr))
			return false;
		type = ((struct rte_vlan_hdr *)at)->eth_proto;
		at += sizeof(struct rte_vlan_hdr);
	}
	size_t in_frame = rte_pktmbuf_pkt_len(m) - (size_t)(at - start);
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return packet_parse_ipv4(p, at, end, in_frame);
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return packet_parse_ipv6(p, at, end, in_frame);
	return true;
}

/* The checksum `sum` when a 16-bit word that it covers becomes another: HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3).  All
 * in network order, which one's complement sums do not mind (RFC 1071 2 (B)). */
static inline uint16_t
checksum_replace16(uint16_t sum, uint16_t before, uint16_t after)
{
	uint32_t s = (uint16_t)~sum + (uint32_t)(uint16_t)~before + after;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

static inline uint16_t
checksum_replace32(uint16_t sum, uint32_t before, uint32_t after)
{
	sum = checksum_replace16(sum, (uint16_t)before, (uint16_t)after);
	return checksum_replace16(sum, (uint16_t)(before >> 16), (uint16_t)(after >> 16));
}

static inline void
checksum_store(void *at, uint16_t sum)
{
	memcpy(at, &sum, sizeof(sum));
}

/* The checksum of the TCP or UDP header of `p` when an address (its pseudo header, RFC 768) and a port become others.
 * UDP's 0 stands for none and stays; a sum that comes out as 0 is sent as ffff. */
static inline void
packet_fix_l4(const struct packet *p, uint32_t ip_before, uint32_t ip_after, uint16_t port_before, uint16_t port_after)
{
	bool udp = p->protocol == IPPROTO_UDP;
	uint8_t *at = p->l4 + (udp ? offsetof(struct rte_udp_hdr, dgram_cksum) : offsetof(struct rte_tcp_hdr, cksum));
	uint16_t sum;

	memcpy(&sum, at, sizeof(sum));
	if (udp && sum == 0)
		return;
	sum = checksum_replace32(sum, ip_before, ip_after);
	sum = checksum_replace16(sum, port_before, port_after);
	checksum_store(at, udp && sum == 0 ? UINT16_MAX : sum);
}

#endif
