/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The frames we send: a stack of headers, then the stamp, then zeros.
 *
 *   Ethernet [802.1ad] [802.1Q] [IPv4 UDP VXLAN Ethernet | IPv4 UDP GTP-U] IPv4|IPv6 UDP|TCP stamp 0...
 *
 * A flow is a number; some header fields are made of its bits, the first field of the lowest ones, so that different
 * numbers are different flows.  Addresses are of the benchmarking ranges 198.18.0.0/15 (RFC 2544 appendix C.2.2) and
 * 2001:2::/48 (RFC 5180 section 8) unless the request names others.
 *
 * Checksums are right.  IPv4/UDP has none (0, RFC 768) unless asked for, since the stamp changes with every packet; IPv6
 * and TCP always have one.  Outer UDP headers have none (RFC 7348 section 5, 3GPP TS 29.281).
 */
#ifndef VSW_FRAME_H
#define VSW_FRAME_H

#include <jansson.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_memcpy.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <stdbool.h>
#include <stdint.h>

#include "stamp.h"

#define FRAME_FCS_BYTES RTE_ETHER_CRC_LEN
#define FRAME_STAMP_OFFSET (sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define FRAME_MIN_BYTES 64u   /* with FCS */
#define FRAME_MAX_BYTES 9216u /* with FCS */
#define FRAME_HEAD_MAX 192u   /* the largest stack and its stamp: 150 bytes, in cache lines */
#define FRAME_SIZES_MAX 1024u /* length of a sequence of sizes */
#define FRAME_FIELDS_MAX 9u
#define FRAME_ERROR_MAX 256u

enum frame_field { FIELD_SRC_MAC, FIELD_DST_MAC, FIELD_VLAN, FIELD_SRC_IP, FIELD_DST_IP, FIELD_SRC_PORT,
		   FIELD_DST_PORT, FIELD_VNI, FIELD_TEID };
enum frame_tunnel { TUNNEL_NONE, TUNNEL_VXLAN, TUNNEL_GTPU };

/* What is asked for. */
struct frame_request {
	struct rte_ether_addr src_mac;
	struct rte_ether_addr dst_mac;
	uint16_t vlan[2]; /* outer first */
	unsigned int vlans;
	bool ipv6;
	bool tcp;
	bool udp_checksum;
	enum frame_tunnel tunnel;
	uint8_t src_ip[16]; /* the first 4 bytes for IPv4 */
	uint8_t dst_ip[16];
	bool src_ip_given; /* then it may vary by 24 bits, else by FRAME_IP_BITS, so that streams do not meet */
	bool dst_ip_given;
	uint16_t src_port;
	uint16_t dst_port;
	uint32_t flows;
	enum frame_field field[FRAME_FIELDS_MAX]; /* the first varies fastest */
	unsigned int fields;
	uint16_t size[FRAME_SIZES_MAX]; /* frame_bytes, with FCS: a sequence that repeats */
	unsigned int sizes;
};

#define FRAME_IP_BITS 12u

/* A varying field: `base + ((flow >> shift) & mask)`, moved left by `left`, big-endian, of `bytes` bytes. */
struct frame_vary {
	uint16_t offset;
	uint8_t bytes; /* 2 or 4 */
	uint8_t shift;
	uint8_t left;
	bool in_ip_sum;
	bool in_l4_sum;
	uint32_t mask;
	uint32_t base;
};

/* One of the different frame sizes. */
struct frame_image {
	uint8_t bytes[FRAME_HEAD_MAX] __rte_cache_aligned; /* headers of flow 0, then zeros */
	uint64_t ip_sum; /* of the inner IPv4 header without the varying fields; native 16-bit words (RFC 1071 2 (B)) */
	uint64_t l4_sum; /* of pseudo header, header without the varying fields and payload without the stamp */
	uint16_t mbuf_bytes; /* frame_bytes - FCS: what an mbuf holds */
};

struct frame {
	struct frame_vary vary[FRAME_FIELDS_MAX];
	unsigned int varies;
	uint16_t stamp_offset;
	uint16_t ip_sum_offset; /* 0: no IPv4 header checksum that varies */
	uint16_t l4_sum_offset; /* 0: no checksum behind the stamp */
	bool l4_is_udp;         /* whose checksum 0 means none, so that 0 is sent as ffff (RFC 768) */
	struct frame_image *image; /* [images], owned */
	unsigned int images;
	uint16_t sequence[FRAME_SIZES_MAX]; /* images in the order of sending */
	unsigned int sizes;
	double mean_bytes; /* frame_bytes of the sequence, with FCS */
};

/* Builds the images.  0, or -1 with a sentence (frame too small for its headers, more flows than the fields can tell)
 * and nothing allocated. */
int frame_build(struct frame *f, const struct frame_request *r, char error[FRAME_ERROR_MAX]);
void frame_free(struct frame *f);

/* How many values of `field` the flows of a request have, from its base on. */
uint32_t frame_values(const struct frame_request *r, enum frame_field field);

/* The 16-bit one's complement sum of native words. */
static inline uint16_t
frame_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Makes the frame at `p`, a copy of `image`, one of flow `flow`.  Returns the L4 sum so far, for frame_finish(). */
static inline uint64_t
frame_set_flow(const struct frame *f, const struct frame_image *image, uint8_t *p, uint32_t flow)
{
	uint64_t ip_sum = image->ip_sum;
	uint64_t l4_sum = image->l4_sum;

	for (unsigned int i = 0; i < f->varies; i++) {
		const struct frame_vary *v = &f->vary[i];
		uint32_t value = (v->base + ((flow >> v->shift) & v->mask)) << v->left;
		uint32_t stored;
		if (v->bytes == 2) {
			uint16_t word = rte_cpu_to_be_16((uint16_t)value);
			memcpy(p + v->offset, &word, sizeof(word));
			stored = word;
		} else {
			stored = rte_cpu_to_be_32(value);
			memcpy(p + v->offset, &stored, sizeof(stored));
		}
		ip_sum += v->in_ip_sum ? stored : 0;
		l4_sum += v->in_l4_sum ? stored : 0;
	}
	if (f->ip_sum_offset != 0) {
		uint16_t sum = (uint16_t)~frame_fold(ip_sum);
		memcpy(p + f->ip_sum_offset, &sum, sizeof(sum));
	}
	return l4_sum;
}

/* Writes the L4 checksum of a frame whose stamp is complete; nothing where there is none. */
static inline void
frame_finish(const struct frame *f, uint8_t *p, uint64_t l4_sum)
{
	const uint8_t *stamp = p + f->stamp_offset;
	uint64_t head;
	uint64_t middle;
	uint16_t tail;

	if (f->l4_sum_offset == 0)
		return;
	memcpy(&head, stamp, sizeof(head));
	memcpy(&middle, stamp + 8, sizeof(middle));
	memcpy(&tail, stamp + 16, sizeof(tail));
	l4_sum += (head & 0xffffffff) + (head >> 32) + (middle & 0xffffffff) + (middle >> 32) + tail;
	uint16_t sum = (uint16_t)~frame_fold(l4_sum);
	if (sum == 0 && f->l4_is_udp)
		sum = 0xffff;
	memcpy(p + f->l4_sum_offset, &sum, sizeof(sum));
}

#endif
