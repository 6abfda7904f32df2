/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which flow a frame is of, read from its headers; it need not be ours.
 *
 *   IPv4, IPv6       addresses, protocol, ports (of TCP, UDP, DCCP, SCTP, UDP-Lite; 0 for others), VLAN ids
 *   ... fragment     a fragment after the first, which has no ports: addresses, protocol, VLAN ids.  The first
 *                    fragment has them and is counted with its flow.
 *   non-IP           EtherType and VLAN ids; 802.3 frames with a length in its place (LLC) have EtherType 0
 *   malformed        ends before its headers do, or they contradict each other: EtherType and VLAN ids
 *
 * Up to two VLAN tags are read (0x8100, 0x88a8, 0x9100); one below is non-IP.  Of IPv6, extension headers are
 * walked (RFC 8200 section 4), at most FLOW_EXTENSIONS_MAX.  Nothing is read beyond the first segment of an mbuf.
 */
#ifndef VSW_FLOWKEY_H
#define VSW_FLOWKEY_H

#include <netinet/in.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FLOW_NO_VLAN UINT16_MAX
#define FLOW_EXTENSIONS_MAX 8u

enum flow_kind {
	FLOW_EMPTY, /* no flow: a free place in a table */
	FLOW_IPV4,
	FLOW_IPV6,
	FLOW_IPV4_FRAGMENT,
	FLOW_IPV6_FRAGMENT,
	FLOW_NON_IP,
	FLOW_MALFORMED,
	FLOW_KINDS
};

/* What is not of its kind is 0, so that keys are compared and hashed as bytes. */
struct flow_key {
	uint8_t src[16]; /* IPv4: the first 4 */
	uint8_t dst[16];
	uint16_t src_port; /* as in the frame: big-endian */
	uint16_t dst_port;
	uint16_t vlan[2];    /* ids, outer first; FLOW_NO_VLAN where there is no tag */
	uint16_t ether_type; /* of FLOW_NON_IP and FLOW_MALFORMED */
	uint8_t protocol;
	uint8_t kind;
};

_Static_assert(sizeof(struct flow_key) == 44, "a key has no holes, and fits a cache line together with its counters");

/* "IPv4", "IPv6 fragment", ... */
const char *flow_kind_name(enum flow_kind kind);

/* True for protocols whose header begins with two ports. */
static inline bool
flow_has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

/* The key of a frame: always one, of any bytes. */
void flow_key_of(const struct rte_mbuf *m, struct flow_key *key);

/* Random numbers that a hash depends on, so that nobody can send flows that all collide. */
struct flow_secret {
	uint64_t word[6];
};

/* Both halves of a 64 x 64 bit product: cheap and, done twice, a good mixer (the idea is wyhash's). */
static inline uint64_t
flow_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Six words of a key, the last one of 4 bytes: loaded one by one, since a copy would be stored and read back. */
static inline uint64_t
flow_word(const struct flow_key *key, unsigned int i)
{
	uint64_t word = 0;

	memcpy(&word, (const char *)key + i * 8, i < 5 ? 8 : 4);
	return word;
}

/* The last fold is not for ornament: with one only, flows that differ in the port alone share half their low bits. */
static inline uint64_t
flow_hash(const struct flow_key *key, const struct flow_secret *secret)
{
	uint64_t addresses = flow_fold(flow_word(key, 0) ^ secret->word[0], flow_word(key, 2) ^ secret->word[1]) ^
			     flow_fold(flow_word(key, 1) ^ secret->word[2], flow_word(key, 3) ^ secret->word[3]);
	uint64_t rest = flow_fold(flow_word(key, 4) ^ secret->word[4], flow_word(key, 5) ^ secret->word[5]);

	return flow_fold(addresses ^ rest, UINT64_C(0x9e3779b97f4a7c15));
}

static inline bool
flow_same(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t differ = 0;

	for (unsigned int i = 0; i < 6; i++)
		differ |= flow_word(a, i) ^ flow_word(b, i);
	return differ == 0;
}

#endif
