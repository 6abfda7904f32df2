/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nat: source NAPT of TCP and UDP over IPv4 (RFC 3022 2.2), and the way back.
 *
 * What comes in at an even side has its source address and port replaced by an outer pair, always the same one for one
 * inner pair and protocol, whoever it talks to (endpoint-independent mapping, RFC 4787 REQ-1); what comes in at an odd
 * side for an outer pair in use gets the inner one as its destination.  Checksums are kept right incrementally.
 *
 * Inner pairs are found by rte_hash; where one lies in its table makes the outer pair, so the way back is an index.
 * Mappings that were not used from inside for timeout_ms go, some are looked at in every batch (RFC 4787 REQ-5, REQ-6:
 * 2 minutes are the least there; the default is the 5 that it recommends).
 * What cannot be translated (other protocols, fragments, IPv6, no mapping) passes untouched, or with `unmatched drop`
 * does not.  A new mapping that finds no room is dropped (table_full).
 */
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "nf.h"
#include "packet.h"
#include "words.h"

extern const struct nf nf_nat;

#define PORT_FIRST 1024u
#define PORTS (UINT16_MAX + 1u - PORT_FIRST) /* of an outer address */
#define OUTER_DEFAULT RTE_IPV4(198u, 18u, 255, 1)
#define FLOWS_MIN 8u /* of rte_hash */
#define FLOWS_DEFAULT 65536u
#define FLOWS_MAX (1u << 22)
#define SWEEP 8u        /* mappings looked at in a batch */
#define SWEEP_FULL 256u /* when there is no room */

struct inner {
	uint32_t ip; /* network order, as in the frame; so is port */
	uint16_t port;
	uint8_t protocol;
	uint8_t zero;
};

struct mapping {
	struct inner inner;
	uint64_t used_tsc; /* 0: free */
};

static struct rte_hash *table;
static struct mapping *mappings; /* [flows_max], by the place in the table */
static uint64_t flows_max;
static uint64_t timeout_tsc;
static uint64_t strict;
static uint32_t outer_first; /* host order */
static uint32_t sweep_at;
static uint32_t in_use;
static uint64_t expired_count;

/* ---- starting ------------------------------------------------------------------------------------------------- */

static int
parse(const char *arg, char *error)
{
	static const char *const policies[] = {"pass", "drop", NULL};
	uint64_t timeout_ms = 300000;
	const struct setting settings[] = {
		{.name = "address", .address = &outer_first},
		{.name = "flows_max", .low = FLOWS_MIN, .high = FLOWS_MAX, .value = &flows_max},
		{.name = "timeout_ms", .low = 1, .high = 86400000, .value = &timeout_ms},
		{.name = "unmatched", .choices = policies, .value = &strict},
		{.name = NULL},
	};
	int rc;

	outer_first = OUTER_DEFAULT;
	flows_max = FLOWS_DEFAULT;
	strict = 0;
	rc = words_settings(arg, settings, error);
	timeout_tsc = clock_ticks((double)timeout_ms / 1e3);
	return rc;
}

static void
nat_fini(void)
{
	rte_hash_free(table);
	free(mappings);
	table = NULL;
	mappings = NULL;
}

static int
nat_init(const char *arg, char *error)
{
	if (parse(arg, error) != 0)
		return -1;
	struct rte_hash_parameters p = {.name = "nat", .entries = (uint32_t)flows_max,
					.key_len = sizeof(struct inner), .hash_func = rte_hash_crc, .socket_id = SOCKET_ID_ANY,
					.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE};
	table = rte_hash_create(&p);
	mappings = calloc(p.entries, sizeof(*mappings));
	if (table == NULL || mappings == NULL) {
		snprintf(error, NF_ERROR_MAX, "no memory for %llu mappings: give fewer with flows_max",
			 (unsigned long long)flows_max);
		nat_fini();
		return -1;
	}
	memset(mappings, 0, p.entries * sizeof(*mappings)); /* no page faults later */
	return 0;
}

/* ---- mappings ------------------------------------------------------------------------------------------------- */

/* Looks at the next `count` mappings, and forgets those that are too old. */
static void
sweep(uint32_t count, uint64_t now_tsc)
{
	for (; count > 0; count--) {
		struct mapping *m = &mappings[sweep_at];
		if (m->used_tsc != 0 && now_tsc - m->used_tsc > timeout_tsc) {
			rte_hash_del_key(table, &m->inner);
			m->used_tsc = 0;
			in_use--;
			expired_count++;
		}
		sweep_at = sweep_at + 1 < flows_max ? sweep_at + 1 : 0;
	}
}

/* The place of a new mapping, negative if there is no room. */
static int32_t
map(const struct inner *inner, uint64_t now_tsc)
{
	int32_t place = rte_hash_lookup(table, inner); /* it may have come in this batch */

	if (place >= 0)
		return place;
	if (in_use >= flows_max)
		sweep(RTE_MIN(SWEEP_FULL, (uint32_t)flows_max), now_tsc);
	place = in_use < flows_max ? rte_hash_add_key(table, inner) : -ENOSPC;
	if (place >= 0) {
		mappings[place].inner = *inner;
		in_use++;
	}
	return place;
}

static inline void
translate_source(const struct packet *p, uint32_t place)
{
	uint32_t ip = rte_cpu_to_be_32(outer_first + place / PORTS);
	uint16_t port = rte_cpu_to_be_16((uint16_t)(PORT_FIRST + place % PORTS));
	struct rte_udp_hdr *l4 = (struct rte_udp_hdr *)p->l4; /* ports lie the same in TCP */

	packet_fix_l4(p, p->ip4->src_addr, ip, l4->src_port, port);
	p->ip4->hdr_checksum = checksum_replace32(p->ip4->hdr_checksum, p->ip4->src_addr, ip);
	p->ip4->src_addr = ip;
	l4->src_port = port;
}

static inline void
translate_destination(const struct packet *p, const struct inner *inner)
{
	struct rte_udp_hdr *l4 = (struct rte_udp_hdr *)p->l4;

	packet_fix_l4(p, p->ip4->dst_addr, inner->ip, l4->dst_port, inner->port);
	p->ip4->hdr_checksum = checksum_replace32(p->ip4->hdr_checksum, p->ip4->dst_addr, inner->ip);
	p->ip4->dst_addr = inner->ip;
	l4->dst_port = inner->port;
}

/* ---- packets -------------------------------------------------------------------------------------------------- */

static void
outwards(struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	struct packet p[NF_BATCH_MAX];
	struct inner inner[NF_BATCH_MAX];
	const void *keys[NF_BATCH_MAX];
	int32_t place[NF_BATCH_MAX];
	uint8_t at[NF_BATCH_MAX];
	uint64_t now_tsc = rte_rdtsc();
	uint32_t count = 0;

	sweep(RTE_MIN(SWEEP, (uint32_t)flows_max), now_tsc);
	for (uint16_t i = 0; i < n; i++) {
		packet_prefetch(pkts, i, n);
		if (!packet_parse(pkts[i], &p[i]))
			drop[i] = NF_MALFORMED;
		else if (p[i].ip4 == NULL || p[i].l4 == NULL)
			drop[i] = strict ? NF_NO_MAPPING : NF_FORWARD;
		else {
			inner[count] = (struct inner){p[i].ip4->src_addr, ((struct rte_udp_hdr *)p[i].l4)->src_port,
						      p[i].protocol, 0};
			keys[count] = &inner[count];
			at[count++] = (uint8_t)i;
		}
	}
	if (count > 0)
		rte_hash_lookup_bulk(table, keys, count, place);
	for (uint32_t k = 0; k < count; k++) {
		if (place[k] < 0)
			place[k] = map(&inner[k], now_tsc);
		if (place[k] < 0) {
			drop[at[k]] = NF_TABLE_FULL;
		} else {
			mappings[place[k]].used_tsc = now_tsc;
			translate_source(&p[at[k]], (uint32_t)place[k]);
		}
	}
}

/* The mapping of an outer pair; NULL if there is none. */
static inline const struct mapping *
mapping_of(const struct packet *p)
{
	uint32_t address = rte_be_to_cpu_32(p->ip4->dst_addr) - outer_first;
	uint32_t port = rte_be_to_cpu_16(((const struct rte_udp_hdr *)p->l4)->dst_port);
	uint64_t place = (uint64_t)address * PORTS + port - PORT_FIRST;

	if (port < PORT_FIRST || place >= flows_max)
		return NULL;
	const struct mapping *m = &mappings[place];
	return m->used_tsc != 0 && m->inner.protocol == p->protocol ? m : NULL;
}

static void
inwards(struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	struct packet p;

	for (uint16_t i = 0; i < n; i++) {
		const struct mapping *m = NULL;
		packet_prefetch(pkts, i, n);
		if (!packet_parse(pkts[i], &p)) {
			drop[i] = NF_MALFORMED;
			continue;
		}
		if (p.ip4 != NULL && p.l4 != NULL)
			m = mapping_of(&p);
		if (m != NULL)
			translate_destination(&p, &m->inner);
		else
			drop[i] = strict ? NF_NO_MAPPING : NF_FORWARD;
	}
}

static uint16_t
nat_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	uint16_t drops = 0;

	if (side % 2 == 0)
		outwards(pkts, n, drop);
	else
		inwards(pkts, n, drop);
	for (uint16_t i = 0; i < n; i++)
		drops += drop[i] != NF_FORWARD;
	return drops;
}

static void
nat_report(json_t *reply)
{
	json_object_set_new(reply, "mappings_count", json_integer(in_use));
	json_object_set_new(reply, "expired_count", json_integer((json_int_t)expired_count));
}

const struct nf nf_nat = {
	.name = "nat",
	.help = "[address IPV4; flows_max N; timeout_ms N; unmatched pass|drop]: source NAPT of TCP and UDP, and the way back",
	.init = nat_init,
	.process = nat_process,
	.report = nat_report,
	.fini = nat_fini,
};
