/* SPDX-License-Identifier: BSD-3-Clause
 *
 * l3fwd: an IPv4 and IPv6 router between the two ports of a pair.
 *
 *   route PREFIX MAC      packets to PREFIX go to the next hop MAC, at the port of the other side
 *   route PREFIX discard  they are dropped (no_route)
 *
 * The longest prefix decides (rte_fib: DIR24_8, TRIE).  Without any route there is one for each family, to
 * 02:00:00:00:00:PORT.  Time to live goes down by one with the header checksum kept right (RFC 1812 5.3.1, RFC 1624),
 * the hop limit too (RFC 8200 3); headers are checked as RFC 1812 5.2.2 has it, checksum included.  No ICMP is sent.
 */
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <stdio.h>
#include <stdlib.h>

#include "nf.h"
#include "packet.h"
#include "peers.h"
#include "words.h"

extern const struct nf nf_l3fwd;

#define HOPS_MAX 128u
#define HOP_DISCARD 0u
#define HOP_PEER 1u     /* the default one of a side */
#define TBL8_MAX 32767u /* what entries of 16 bits can point at (dir24_8.h, trie.h) */

struct route {
	struct prefix prefix;
	uint8_t hop;
};

static struct rte_ether_addr hops[HOPS_MAX];
static unsigned int hop_count;
static struct rte_ether_addr own[PORT_MAX];
static struct rte_ether_addr peer[PORT_MAX];
static struct rte_fib *fib4;
static struct rte_fib6 *fib6;

/* The number of a next hop; HOPS_MAX if there are too many. */
static unsigned int
hop_of(const struct rte_ether_addr *mac)
{
	for (unsigned int i = HOP_PEER + 1; i < hop_count; i++) {
		if (rte_is_same_ether_addr(&hops[i], mac))
			return i;
	}
	if (hop_count < HOPS_MAX)
		hops[hop_count] = *mac;
	return hop_count < HOPS_MAX ? hop_count++ : HOPS_MAX;
}

static int
parse_route(const struct words *w, struct route *r, char *error)
{
	struct rte_ether_addr mac;
	unsigned int hop = HOP_DISCARD;

	if (w->count != 3 || strcmp(w->word[0], "route") != 0 || !words_prefix(w->word[1], &r->prefix))
		return words_refuse(w, error, "allowed is route PREFIX MAC and route PREFIX discard");
	if (strcmp(w->word[2], "discard") != 0) {
		if (!words_mac(w->word[2], &mac))
			return words_refuse(w, error, "the next hop is a MAC address, or discard");
		hop = hop_of(&mac);
	}
	if (hop == HOPS_MAX)
		return words_refuse(w, error, "there are over 126 different next hops");
	r->hop = (uint8_t)hop;
	return 0;
}

/* All routes of `arg`.  Their number, or -1. */
static int
parse_routes(const char *arg, struct route *routes, char *error)
{
	struct words w;
	int count = 0;
	int more;

	hop_count = HOP_PEER + 1;
	words_start(&w, arg);
	while ((more = words_next(&w)) > 0) {
		if (parse_route(&w, &routes[count], error) != 0)
			return -1;
		count++;
	}
	return more < 0 ? words_refuse(&w, error, "too long") : count;
}

/* The hop of the default route.  It is not put into the FIB, but what is found where there is no route, since rte_fib6
 * of 22.11 does not take it as its first one. */
static uint64_t
default_hop(const struct route *routes, int count, uint8_t version)
{
	uint64_t hop = count == 0 ? HOP_PEER : HOP_DISCARD;

	for (int i = 0; i < count; i++) {
		if (routes[i].prefix.version == version && routes[i].prefix.bits == 0)
			hop = routes[i].hop;
	}
	return hop;
}

/* Tables behind the first 24 bits that the routes of a family need at most: one for every further 8 bits of each. */
static uint32_t
tables_needed(const struct route *routes, int count, uint8_t version)
{
	uint32_t needed = 1;

	for (int i = 0; i < count; i++) {
		if (routes[i].prefix.version == version && routes[i].prefix.bits > 24)
			needed += (routes[i].prefix.bits - 24u + 7) / 8;
	}
	return RTE_MIN(needed, TBL8_MAX);
}

static int
create_fibs(const struct route *routes, int count)
{
	struct rte_fib_conf conf4 = {.type = RTE_FIB_DIR24_8, .default_nh = default_hop(routes, count, 4),
				     .max_routes = count + 1,
				     .dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_2B,
						 .num_tbl8 = tables_needed(routes, count, 4)}};
	struct rte_fib6_conf conf6 = {.type = RTE_FIB6_TRIE, .default_nh = default_hop(routes, count, 6),
				      .max_routes = count + 1,
				      .trie = {.nh_sz = RTE_FIB6_TRIE_2B, .num_tbl8 = tables_needed(routes, count, 6)}};

	fib4 = rte_fib_create("l3fwd4", SOCKET_ID_ANY, &conf4);
	fib6 = rte_fib6_create("l3fwd6", SOCKET_ID_ANY, &conf6);
	if (fib4 != NULL && fib6 != NULL)
		return 0;
	return rte_errno != 0 ? -rte_errno : -ENOMEM;
}

static int
add_route(const struct route *r)
{
	uint32_t ip4;

	if (r->prefix.bits == 0)
		return 0;
	if (r->prefix.version == 6)
		return rte_fib6_add(fib6, r->prefix.bytes, r->prefix.bits, r->hop);
	memcpy(&ip4, r->prefix.bytes, sizeof(ip4));
	return rte_fib_add(fib4, rte_be_to_cpu_32(ip4), r->prefix.bits, r->hop);
}

static void
l3fwd_fini(void)
{
	rte_fib_free(fib4);
	rte_fib6_free(fib6);
	fib4 = NULL;
	fib6 = NULL;
}

static int
l3fwd_init(const char *arg, char *error)
{
	struct route *routes = calloc(words_bound(arg), sizeof(*routes));
	int count = routes != NULL ? parse_routes(arg, routes, error) : -1;
	int rc = -1;

	if (routes == NULL)
		snprintf(error, NF_ERROR_MAX, "no memory for the routes");
	if (count >= 0) {
		peers_default(own, peer);
		rc = create_fibs(routes, count);
		for (int i = 0; i < count && rc == 0; i++)
			rc = add_route(&routes[i]);
		if (rc != 0)
			snprintf(error, NF_ERROR_MAX, "%d routes do not fit: %s: give DPDK more memory with -m, or fewer "
						      "routes", count, rte_strerror(rc < 0 ? -rc : rc));
	}
	free(routes);
	return rc == 0 ? 0 : -1;
}

static inline enum nf_drop
check(struct rte_mbuf *m, struct packet *p)
{
	if (!packet_parse(m, p))
		return NF_MALFORMED;
	if (p->ip4 != NULL) {
		if (rte_raw_cksum(p->ip4, rte_ipv4_hdr_len(p->ip4)) != UINT16_MAX)
			return NF_MALFORMED;
		return p->ip4->time_to_live > 1 ? NF_FORWARD : NF_TTL;
	}
	if (p->ip6 != NULL)
		return p->ip6->hop_limits > 1 ? NF_FORWARD : NF_TTL;
	return NF_NOT_IP;
}

/* Time to live and protocol are one word of the checksum. */
static inline void
age(const struct packet *p)
{
	uint16_t before;
	uint16_t after;

	if (p->ip4 == NULL) {
		p->ip6->hop_limits--;
		return;
	}
	memcpy(&before, &p->ip4->time_to_live, sizeof(before));
	p->ip4->time_to_live--;
	memcpy(&after, &p->ip4->time_to_live, sizeof(after));
	p->ip4->hdr_checksum = checksum_replace16(p->ip4->hdr_checksum, before, after);
}

struct lookup {
	uint32_t ip4[NF_BATCH_MAX];
	uint8_t ip6[NF_BATCH_MAX][16];
	uint64_t hop4[NF_BATCH_MAX];
	uint64_t hop6[NF_BATCH_MAX];
	int n4;
	int n6;
};

static inline void
gather(struct lookup *l, const struct packet *p)
{
	if (p->ip4 != NULL)
		l->ip4[l->n4++] = rte_be_to_cpu_32(p->ip4->dst_addr);
	else
		memcpy(l->ip6[l->n6++], p->ip6->dst_addr, 16);
}

static uint16_t
l3fwd_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	struct packet p[NF_BATCH_MAX];
	struct lookup l;
	uint16_t drops = 0;
	int next4 = 0;
	int next6 = 0;

	l.n4 = 0;
	l.n6 = 0;
	for (uint16_t i = 0; i < n; i++) {
		packet_prefetch(pkts, i, n);
		drop[i] = check(pkts[i], &p[i]);
		if (drop[i] == NF_FORWARD)
			gather(&l, &p[i]);
	}
	if (l.n4 > 0)
		rte_fib_lookup_bulk(fib4, l.ip4, l.hop4, l.n4);
	if (l.n6 > 0)
		rte_fib6_lookup_bulk(fib6, l.ip6, l.hop6, l.n6);
	for (uint16_t i = 0; i < n; i++) {
		if (drop[i] == NF_FORWARD) {
			uint64_t hop = p[i].ip4 != NULL ? l.hop4[next4++] : l.hop6[next6++];
			if (hop == HOP_DISCARD) {
				drop[i] = NF_NO_ROUTE;
			} else {
				age(&p[i]);
				p[i].eth->dst_addr = hop == HOP_PEER ? peer[side] : hops[hop];
				p[i].eth->src_addr = own[side];
			}
		}
		drops += drop[i] != NF_FORWARD;
	}
	return drops;
}

const struct nf nf_l3fwd = {
	.name = "l3fwd",
	.help = "[route PREFIX MAC|discard; ...]: route IPv4 and IPv6, time to live and checksum included",
	.init = l3fwd_init,
	.process = l3fwd_process,
	.fini = l3fwd_fini,
};
