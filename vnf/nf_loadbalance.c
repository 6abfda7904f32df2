/* SPDX-License-Identifier: BSD-3-Clause
 *
 * loadbalance: spreads flows over backends, consistently: a flow keeps its backend, and all but a few keep theirs when
 * backends come or go (Maglev, NSDI 2016, section 3.4).
 *
 *   backend MAC [IPV4]      the frame goes to MAC, and is addressed to IPV4 if that is said
 *
 * Packets of even sides go to backends; what comes back passes untouched.  So do frames that are no IP.  Without any
 * there are four backends, 02:00:00:00:01:00 to :03.  Checksums are kept right.
 */
#include <stdio.h>
#include <stdlib.h>

#include "flowkey.h"
#include "nf.h"
#include "packet.h"
#include "words.h"

extern const struct nf nf_loadbalance;

#define BACKENDS_MAX 128u
#define BACKENDS_DEFAULT 4u
#define TABLE_SLOTS 65537u /* a prime, over 100 times the backends: then shares differ by at most 1 % (Maglev 3.4) */

struct backend {
	struct rte_ether_addr mac;
	uint32_t ip; /* network order; 0: leave the destination as it is */
	uint64_t packets;
};

static struct backend backends[BACKENDS_MAX];
static unsigned int backend_count;
static uint8_t table[TABLE_SLOTS];

/* The same in every process: a flow goes to the same backend wherever it is balanced. */
static const struct flow_secret secret = {{0x2d358dccaa6c78a5, 0x8bb84b93962eacc9, 0x4b33a62ed433d4a3,
					   0x4d5a2da51de1aa47, 0xa0761d6478bd642f, 0xe7037ed1a0b428db}};

static int
parse_backend(const struct words *w, char *error)
{
	struct backend *b = &backends[backend_count];
	struct prefix p = {.version = 4, .bits = 32};

	if (w->count < 2 || w->count > 3 || strcmp(w->word[0], "backend") != 0)
		return words_refuse(w, error, "allowed is backend MAC [IPV4]");
	if (backend_count == BACKENDS_MAX)
		return words_refuse(w, error, "there are over 128 backends");
	if (!words_mac(w->word[1], &b->mac) || (w->count == 3 && !words_prefix(w->word[2], &p)) || p.version != 4 ||
	    p.bits != 32)
		return words_refuse(w, error, "a backend is a MAC and perhaps an IPv4 address");
	memcpy(&b->ip, p.bytes, sizeof(b->ip));
	if (w->count == 2)
		b->ip = 0;
	backend_count++;
	return 0;
}

/* Where a backend wants to be first, and by which steps it goes on: of its own address only. */
static void
permutation(const struct backend *b, uint32_t *offset, uint32_t *skip)
{
	struct flow_key key;
	uint64_t hash;

	memset(&key, 0, sizeof(key));
	memcpy(key.src, b->mac.addr_bytes, RTE_ETHER_ADDR_LEN);
	memcpy(key.dst, &b->ip, sizeof(b->ip));
	hash = flow_hash(&key, &secret);
	*offset = (uint32_t)(hash >> 32) % TABLE_SLOTS;
	*skip = (uint32_t)hash % (TABLE_SLOTS - 1) + 1;
}

/* Backends take turns in taking the next free slot of their own permutation. */
static void
populate(void)
{
	uint32_t next[BACKENDS_MAX];
	uint32_t skip[BACKENDS_MAX];
	uint32_t filled = 0;

	for (unsigned int b = 0; b < backend_count; b++)
		permutation(&backends[b], &next[b], &skip[b]);
	memset(table, BACKENDS_MAX, sizeof(table));
	while (filled < TABLE_SLOTS) {
		for (unsigned int b = 0; b < backend_count && filled < TABLE_SLOTS; b++) {
			while (table[next[b]] != BACKENDS_MAX)
				next[b] = (next[b] + skip[b]) % TABLE_SLOTS;
			table[next[b]] = (uint8_t)b;
			filled++;
		}
	}
}

static int
loadbalance_init(const char *arg, char *error)
{
	struct words w;
	int more;

	memset(backends, 0, sizeof(backends));
	backend_count = 0;
	words_start(&w, arg);
	while ((more = words_next(&w)) > 0) {
		if (parse_backend(&w, error) != 0)
			return -1;
	}
	if (more < 0)
		return words_refuse(&w, error, "too long");
	if (backend_count == 0) {
		backend_count = BACKENDS_DEFAULT;
		for (uint8_t b = 0; b < BACKENDS_DEFAULT; b++)
			backends[b].mac = (struct rte_ether_addr){{2, 0, 0, 0, 1, b}};
	}
	populate();
	return 0;
}

/* Sends the packet to `b`. */
static inline void
address(const struct packet *p, struct backend *b)
{
	p->eth->dst_addr = b->mac;
	b->packets++;
	if (b->ip == 0 || p->ip4 == NULL)
		return;
	if (p->l4 != NULL)
		packet_fix_l4(p, p->ip4->dst_addr, b->ip, 0, 0);
	p->ip4->hdr_checksum = checksum_replace32(p->ip4->hdr_checksum, p->ip4->dst_addr, b->ip);
	p->ip4->dst_addr = b->ip;
}

static uint16_t
loadbalance_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	struct flow_key key;
	struct packet p;
	uint16_t drops = 0;

	if (side % 2 != 0)
		return 0;
	for (uint16_t i = 0; i < n; i++) {
		packet_prefetch(pkts, i, n);
		if (!packet_parse(pkts[i], &p)) {
			drop[i] = NF_MALFORMED;
			drops++;
		} else if (p.ip4 != NULL || p.ip6 != NULL) {
			flow_key_of(pkts[i], &key);
			address(&p, &backends[table[flow_hash(&key, &secret) % TABLE_SLOTS]]);
		}
	}
	return drops;
}

static void
loadbalance_report(json_t *reply)
{
	json_t *counts = json_array();

	for (unsigned int b = 0; b < backend_count; b++)
		json_array_append_new(counts, json_integer((json_int_t)backends[b].packets));
	json_object_set_new(reply, "backend_counts", counts);
}

const struct nf nf_loadbalance = {
	.name = "loadbalance",
	.help = "[backend MAC [IPV4]; ...]: spread flows over backends, consistently",
	.init = loadbalance_init,
	.process = loadbalance_process,
	.report = loadbalance_report,
};
