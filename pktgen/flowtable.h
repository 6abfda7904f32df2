/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Exact counts per flow: packets, bytes, smallest and largest frame, first and last arrival.
 *
 * Flows lie one after the other in the order in which they came, each in one 64-byte cache line that holds the whole
 * key and all that changes with a packet; what does not is in a second, cold array.  An index of 8 bytes a slot
 * (32 bits of the hash, and the number of the flow) finds them: open addressing, linear probing, at most half full.
 * Keys are compared in full: two flows are never merged.  A flow stays for ever; new flows that find no room are
 * counted as such, never silently.
 *
 * A burst is done in stages, so that its cache misses overlap: read the keys; hash, and prefetch the index; look it
 * up, and prefetch the flows; compare, and count.  Why not rte_hash: with the same keys, counters and bursts of 32,
 * rte_hash_lookup_bulk() took 1.2 to 1.6 (64 flows), 1.4 to 1.5 (64 k) and 1.3 to 1.9 times (1 M) the cycles a packet,
 * 50 to 170 of them instead of 32 to 92 (EPYC 9004, reading the key included).
 *
 * Reading: flowtable_copy() copies FLOW_CHUNK flows.  The worker calls it between two bursts, and so stops counting
 * for some 5 us at a time instead of the tens of ms that a million flows take.  The figures of one flow are of one
 * instant, those of two flows perhaps that far apart.
 */
#ifndef VSW_FLOWTABLE_H
#define VSW_FLOWTABLE_H

#include <rte_mbuf.h>
#include <stdint.h>

#include "bigmem.h"
#include "flowkey.h"

#define FLOWTABLE_CAPACITY_MAX (1u << 24)
#define FLOW_CHUNK 512u
#define FLOW_BURST_MAX 64u

/* The counters are the low halves: the high ones are in the cold array. */
struct flow_line {
	struct flow_key key;
	uint16_t bytes_min; /* of frames; UINT16_MAX stands for all larger ones */
	uint16_t bytes_max;
	uint32_t packets;
	uint32_t bytes;
	uint64_t last_tsc;
} __rte_cache_aligned;

struct flow_cold {
	uint64_t first_tsc;
	uint32_t packets_high;
	uint32_t bytes_high;
};

struct flow_count {
	uint64_t packets;
	uint64_t bytes; /* mbuf bytes, without FCS */
};

struct flowtable {
	struct flow_line *line; /* [capacity], the first `count` in use */
	struct flow_cold *cold; /* [capacity] */
	uint64_t *index;        /* [slots]: hash >> 32 << 32 | number of the flow + 1; 0: empty */
	uint32_t slots;
	uint32_t capacity;
	uint32_t count;
	struct flow_secret secret;
	struct flow_count no_room[FLOW_KINDS]; /* packets of flows that came when it was full */
};

/* What is known of a flow. */
struct flow {
	struct flow_key key;
	uint16_t bytes_min;
	uint16_t bytes_max;
	uint64_t packets;
	uint64_t bytes;
	uint64_t first_tsc;
	uint64_t last_tsc;
};

/* For 1..FLOWTABLE_CAPACITY_MAX flows; 96 to 112 bytes each, all there when it returns.  0, or -1 with a sentence. */
int flowtable_init(struct flowtable *t, uint32_t capacity, char error[BIG_ERROR_MAX]);

/* Accepts a zeroed struct, and leaves one. */
void flowtable_free(struct flowtable *t);

/* Counts a frame of `bytes` for the flow `key`, whose hash is flow_hash(key, &t->secret). */
void flowtable_add(struct flowtable *t, const struct flow_key *key, uint64_t hash, uint32_t bytes, uint64_t now_tsc);

/* Counts `n` <= FLOW_BURST_MAX frames that were received at `now_tsc`; does not free them. */
void flowtable_burst(struct flowtable *t, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc);

/* Copies the flows from number `first` on, FLOW_CHUNK at most; returns how many: 0 after the last. */
uint32_t flowtable_copy(const struct flowtable *t, uint32_t first, struct flow out[FLOW_CHUNK]);

#endif
