/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtable.h"

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_prefetch.h>
#include <string.h>
#include <sys/random.h>

#define NO_FLOW UINT32_MAX

_Static_assert(sizeof(struct flow_line) == RTE_CACHE_LINE_SIZE, "a flow is one cache line");

static void
make_secret(struct flow_secret *secret)
{
	if (getrandom(secret, sizeof(*secret), GRND_NONBLOCK) == sizeof(*secret))
		return;
	for (unsigned int i = 0; i < RTE_DIM(secret->word); i++) /* early at boot: better than none */
		secret->word[i] = flow_fold(rte_rdtsc() + i, UINT64_C(0x9e3779b97f4a7c15));
}

int
flowtable_init(struct flowtable *t, uint32_t capacity, char error[BIG_ERROR_MAX])
{
	memset(t, 0, sizeof(*t));
	t->capacity = capacity;
	t->slots = rte_align32pow2(2 * capacity);
	make_secret(&t->secret);
	t->line = big_alloc(capacity * sizeof(*t->line), "the flow table", error);
	if (t->line != NULL)
		t->cold = big_alloc(capacity * sizeof(*t->cold), "the flow table's cold part", error);
	if (t->cold != NULL)
		t->index = big_alloc(t->slots * sizeof(*t->index), "the flow table's index", error);
	if (t->index != NULL)
		return 0;
	flowtable_free(t);
	return -1;
}

void
flowtable_free(struct flowtable *t)
{
	big_free(t->line, t->capacity * sizeof(*t->line));
	big_free(t->cold, t->capacity * sizeof(*t->cold));
	big_free(t->index, t->slots * sizeof(*t->index));
	memset(t, 0, sizeof(*t));
}

static inline uint32_t
tag_of(uint64_t hash_or_entry)
{
	return (uint32_t)(hash_or_entry >> 32);
}

static inline uint32_t
flow_of(uint64_t entry)
{
	return (uint32_t)entry - 1;
}

/* The first flow whose hash has the same 32 bits: most probably the one.  NO_FLOW if there is none. */
static inline uint32_t
guess(const struct flowtable *t, uint64_t hash)
{
	uint32_t slot = (uint32_t)hash & (t->slots - 1);
	uint64_t entry;

	while ((entry = t->index[slot]) != 0) {
		if (likely(tag_of(entry) == tag_of(hash)))
			return flow_of(entry);
		slot = (slot + 1) & (t->slots - 1);
	}
	return NO_FLOW;
}

/* The flow with this key, added if it is new.  NO_FLOW if there is no room for it. */
static uint32_t
search(struct flowtable *t, const struct flow_key *key, uint64_t hash, uint64_t now_tsc)
{
	uint32_t slot = (uint32_t)hash & (t->slots - 1);
	uint64_t entry;

	while ((entry = t->index[slot]) != 0) {
		if (tag_of(entry) == tag_of(hash) && flow_same(&t->line[flow_of(entry)].key, key))
			return flow_of(entry);
		slot = (slot + 1) & (t->slots - 1);
	}
	if (t->count == t->capacity)
		return NO_FLOW;
	uint32_t flow = t->count++;
	t->index[slot] = (uint64_t)tag_of(hash) << 32 | (flow + 1);
	t->line[flow].key = *key;
	t->line[flow].bytes_min = UINT16_MAX;
	t->cold[flow].first_tsc = now_tsc;
	return flow;
}

static inline void
count_frame(struct flowtable *t, uint32_t flow, uint32_t bytes, uint64_t now_tsc)
{
	struct flow_line *line = &t->line[flow];
	uint16_t size = (uint16_t)RTE_MIN(bytes, (uint32_t)UINT16_MAX);

	if (unlikely(++line->packets == 0))
		t->cold[flow].packets_high++;
	line->bytes += bytes;
	if (unlikely(line->bytes < bytes))
		t->cold[flow].bytes_high++;
	if (unlikely(size < line->bytes_min))
		line->bytes_min = size;
	if (unlikely(size > line->bytes_max))
		line->bytes_max = size;
	line->last_tsc = now_tsc;
}

static inline void
add(struct flowtable *t, const struct flow_key *key, uint64_t hash, uint32_t flow, uint32_t bytes, uint64_t now_tsc)
{
	if (unlikely(flow == NO_FLOW || !flow_same(&t->line[flow].key, key)))
		flow = search(t, key, hash, now_tsc);
	if (likely(flow != NO_FLOW)) {
		count_frame(t, flow, bytes, now_tsc);
	} else {
		t->no_room[key->kind].packets++;
		t->no_room[key->kind].bytes += bytes;
	}
}

void
flowtable_add(struct flowtable *t, const struct flow_key *key, uint64_t hash, uint32_t bytes, uint64_t now_tsc)
{
	add(t, key, hash, guess(t, hash), bytes, now_tsc);
}

void
flowtable_burst(struct flowtable *t, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	struct flow_key key[FLOW_BURST_MAX];
	uint64_t hash[FLOW_BURST_MAX];
	uint32_t flow[FLOW_BURST_MAX];

	for (uint16_t i = 0; i < n; i++)
		flow_key_of(pkts[i], &key[i]);
	for (uint16_t i = 0; i < n; i++) {
		hash[i] = flow_hash(&key[i], &t->secret);
		rte_prefetch0(&t->index[(uint32_t)hash[i] & (t->slots - 1)]);
	}
	for (uint16_t i = 0; i < n; i++) {
		flow[i] = guess(t, hash[i]);
		if (likely(flow[i] != NO_FLOW))
			rte_prefetch0(&t->line[flow[i]]);
	}
	for (uint16_t i = 0; i < n; i++)
		add(t, &key[i], hash[i], flow[i], rte_pktmbuf_pkt_len(pkts[i]), now_tsc);
}

uint32_t
flowtable_copy(const struct flowtable *t, uint32_t first, struct flow out[FLOW_CHUNK])
{
	uint32_t n = first < t->count ? RTE_MIN(FLOW_CHUNK, t->count - first) : 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct flow_line *line = &t->line[first + i];
		const struct flow_cold *cold = &t->cold[first + i];
		out[i] = (struct flow){.key = line->key,
				       .bytes_min = line->bytes_min,
				       .bytes_max = line->bytes_max,
				       .packets = (uint64_t)cold->packets_high << 32 | line->packets,
				       .bytes = (uint64_t)cold->bytes_high << 32 | line->bytes,
				       .first_tsc = cold->first_tsc,
				       .last_tsc = line->last_tsc};
	}
	return n;
}
