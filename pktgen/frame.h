/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The frames we send: Ethernet / IPv4 / UDP, then the stamp, then zeros.
 *
 * Flow i differs in source address and source port.  Addresses are of 198.18.0.0/15 (RFC 2544 appendix
 * C.2.2).  The IPv4 checksum is right; the UDP checksum is 0, "none" (RFC 768), since the stamp changes
 * with every packet.
 */
#ifndef VSW_FRAME_H
#define VSW_FRAME_H

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdint.h>

#include "stamp.h"

#define FRAME_FCS_BYTES RTE_ETHER_CRC_LEN
#define FRAME_STAMP_OFFSET (sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define FRAME_MIN_BYTES 64u   /* with FCS */
#define FRAME_MAX_BYTES 1518u /* with FCS; larger ones need larger mbufs */

struct frame {
	uint8_t bytes[FRAME_MAX_BYTES] __rte_cache_aligned;
	uint16_t mbuf_bytes;  /* frame_bytes - FCS: what an mbuf holds */
	uint32_t ip_sum;      /* of the IPv4 header with source address 0, for frame_set_flow */
	uint32_t source_base; /* first source address, host order */
};

/* Fills the template.  `frame_bytes` includes the FCS and lies in FRAME_MIN_BYTES..FRAME_MAX_BYTES. */
void frame_build(struct frame *f, uint16_t frame_bytes, uint8_t stream, const struct rte_ether_addr *src,
		 const struct rte_ether_addr *dst);

/* Makes the frame at `p` (a copy of the template) one of flow `flow`. */
static inline void
frame_set_flow(const struct frame *f, uint8_t *p, uint32_t flow)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + sizeof(struct rte_ether_hdr));
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint32_t source = f->source_base + (flow >> 15);
	uint32_t sum = f->ip_sum + (source >> 16) + (source & 0xffff);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->src_addr = rte_cpu_to_be_32(source);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
	udp->src_port = rte_cpu_to_be_16((uint16_t)(1024 + (flow & 0x7fff)));
}

#endif
