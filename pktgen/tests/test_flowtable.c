/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The flow table against a model that only compares: a list of all flows, searched from its beginning. */
#include <stdlib.h>
#include <string.h>

#include "flowtable.h"
#include "test.h"

#define MODEL_MAX 512u

static char error[BIG_ERROR_MAX];

/* Few different values, so that flows come again and differ in one field only. */
static struct flow_key
random_key(void)
{
	struct flow_key key;

	memset(&key, 0, sizeof(key));
	key.kind = (uint8_t)(1 + test_below(FLOW_KINDS - 1));
	key.src[test_below(16)] = (uint8_t)test_below(2);
	key.dst[test_below(16)] = (uint8_t)test_below(2);
	key.src_port = (uint16_t)(test_below(2) << 15);
	key.dst_port = (uint16_t)test_below(2);
	key.vlan[0] = test_below(2) ? FLOW_NO_VLAN : 0;
	key.vlan[1] = FLOW_NO_VLAN;
	key.ether_type = (uint16_t)(test_below(2) << 15);
	key.protocol = (uint8_t)(test_below(2) * 255);
	return key;
}

struct model {
	struct flow flow[MODEL_MAX];
	uint32_t count;
	uint32_t capacity;
	struct flow_count no_room[FLOW_KINDS];
};

static void
model_add(struct model *m, const struct flow_key *key, uint32_t bytes, uint64_t now)
{
	uint16_t size = bytes > UINT16_MAX ? UINT16_MAX : (uint16_t)bytes;
	uint32_t i = 0;

	while (i < m->count && memcmp(&m->flow[i].key, key, sizeof(*key)) != 0)
		i++;
	if (i == m->capacity) {
		m->no_room[key->kind].packets++;
		m->no_room[key->kind].bytes += bytes;
		return;
	}
	struct flow *f = &m->flow[i];
	if (i == m->count) {
		m->count++;
		*f = (struct flow){.key = *key, .bytes_min = UINT16_MAX, .first_tsc = now};
	}
	f->packets++;
	f->bytes += bytes;
	f->bytes_min = size < f->bytes_min ? size : f->bytes_min;
	f->bytes_max = size > f->bytes_max ? size : f->bytes_max;
	f->last_tsc = now;
}

static const char *
same_flow(const struct flow *a, const struct flow *b)
{
	check(memcmp(&a->key, &b->key, sizeof(a->key)) == 0, "key");
	check(a->packets == b->packets && a->bytes == b->bytes, "packets %" PRIu64 " %" PRIu64 ", bytes %" PRIu64 " %" PRIu64,
	      a->packets, b->packets, a->bytes, b->bytes);
	check(a->bytes_min == b->bytes_min && a->bytes_max == b->bytes_max, "sizes %u..%u, %u..%u", a->bytes_min,
	      a->bytes_max, b->bytes_min, b->bytes_max);
	check(a->first_tsc == b->first_tsc && a->last_tsc == b->last_tsc, "times");
	return NULL;
}

static const char *
compare(const struct flowtable *t, const struct model *m)
{
	static struct flow chunk[FLOW_CHUNK];
	uint32_t seen = 0;
	uint32_t n;
	const char *why;

	check(t->count == m->count, "%u flows, should be %u", t->count, m->count);
	check(memcmp(t->no_room, m->no_room, sizeof(m->no_room)) == 0, "what found no room");
	while ((n = flowtable_copy(t, seen, chunk)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			if ((why = same_flow(&chunk[i], &m->flow[seen + i])) != NULL)
				return why;
		}
		seen += n;
	}
	check(seen == m->count, "%u flows copied", seen);
	return NULL;
}

/* Only the bits of `hash_mask` are kept of a hash: 0 makes all flows collide. */
static const char *
against_model(uint32_t capacity, uint64_t hash_mask)
{
	static struct model m;
	struct flowtable t;

	memset(&m, 0, sizeof(m));
	m.capacity = capacity;
	check(flowtable_init(&t, capacity, error) == 0, "%s", error);
	for (uint64_t now = 1; now < 20000; now++) {
		struct flow_key key = random_key();
		uint32_t bytes = (uint32_t)test_below(test_below(8) == 0 ? 100000 : 1600);
		flowtable_add(&t, &key, flow_hash(&key, &t.secret) & hash_mask, bytes, now);
		model_add(&m, &key, bytes, now);
	}
	const char *why = compare(&t, &m);
	flowtable_free(&t);
	return why;
}

static const char *
test_model(void)
{
	const uint64_t masks[] = {UINT64_MAX, 0, 3, UINT64_C(0xffffffff), UINT64_C(0xffffffff00000000), UINT64_C(1) << 63};
	const uint32_t capacities[] = {1, 2, 3, 7, 64, 65, 300, MODEL_MAX};
	const char *why;

	for (unsigned int m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
		for (unsigned int c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
			if ((why = against_model(capacities[c], masks[m])) != NULL) {
				fprintf(stderr, "  capacity %u, hash & %#" PRIx64 "\n", capacities[c], masks[m]);
				return why;
			}
		}
	}
	return NULL;
}

/* The low halves of the counters overflow into the high ones. */
static const char *
test_large_counters(void)
{
	const uint32_t packets_before = UINT32_MAX - 5;
	struct flow_key key = {.kind = FLOW_IPV4};
	struct flowtable t;
	struct flow chunk[FLOW_CHUNK];
	uint64_t bytes = 0;

	check(flowtable_init(&t, 1, error) == 0, "%s", error);
	uint64_t hash = flow_hash(&key, &t.secret);
	for (unsigned int i = 0; i < 100; i++, bytes += UINT32_MAX - 7)
		flowtable_add(&t, &key, hash, UINT32_MAX - 7, i);
	t.line[0].packets = packets_before; /* 2^32 real ones take a minute */
	for (unsigned int i = 0; i < 100; i++, bytes += 1)
		flowtable_add(&t, &key, hash, 1, i);
	check(flowtable_copy(&t, 0, chunk) == 1, "one flow");
	check(chunk[0].bytes == bytes, "%" PRIu64 " bytes, should be %" PRIu64, chunk[0].bytes, bytes);
	check(chunk[0].packets == packets_before + UINT64_C(100), "%" PRIu64 " packets", chunk[0].packets);
	flowtable_free(&t);
	return NULL;
}

/* Key number i of a pattern: traffic is as regular as this, and a hash that does not mix is slow with it. */
static struct flow_key
pattern_key(unsigned int pattern, uint32_t i)
{
	struct flow_key key = {.kind = FLOW_IPV4, .protocol = 17, .vlan = {FLOW_NO_VLAN, FLOW_NO_VLAN}};
	uint32_t big = __builtin_bswap32(i);

	if (pattern == 0) { /* ports count, then addresses, as our generator's do */
		key.src_port = __builtin_bswap16((uint16_t)(1024 + i % 32768));
		key.src[3] = (uint8_t)(i / 32768);
	} else if (pattern == 1) {
		memcpy(key.dst, &big, sizeof(big));
	} else if (pattern == 2) {
		key.kind = FLOW_IPV6;
		memcpy(key.src + 12, &big, sizeof(big));
		memcpy(key.dst + 12, &big, sizeof(big));
	} else {
		key.vlan[0] = (uint16_t)(i % 4096);
		key.dst_port = __builtin_bswap16((uint16_t)(i / 4096));
	}
	return key;
}

static uint64_t
probes(const struct flowtable *t, uint64_t hash, uint32_t flow)
{
	uint32_t slot = (uint32_t)hash & (t->slots - 1);
	uint64_t n = 1;

	while ((uint32_t)t->index[slot] != flow + 1) {
		slot = (slot + 1) & (t->slots - 1);
		n++;
	}
	return n;
}

/* Linear probing at load 1/2 looks at 1.5 slots for a flow that is there (Knuth 6.4), if the hash is a good one. */
static const char *
test_hash_mixes(void)
{
	const uint32_t sizes[] = {64, 4096, 65536};
	struct flowtable t;

	for (unsigned int pattern = 0; pattern < 4; pattern++) {
		for (unsigned int s = 0; s < 3; s++) {
			check(flowtable_init(&t, sizes[s], error) == 0, "%s", error);
			uint64_t sum = 0;
			for (uint32_t i = 0; i < sizes[s]; i++) {
				struct flow_key key = pattern_key(pattern, i);
				flowtable_add(&t, &key, flow_hash(&key, &t.secret), 60, 1);
			}
			for (uint32_t i = 0; i < t.count; i++)
				sum += probes(&t, flow_hash(&t.line[i].key, &t.secret), i);
			double mean = (double)sum / t.count;
			check(t.count == sizes[s], "pattern %u: %u flows of %u", pattern, t.count, sizes[s]);
			check(mean < (sizes[s] < 1000 ? 4 : 1.7), "pattern %u, %u flows: %.2f slots", pattern, sizes[s],
			      mean);
			flowtable_free(&t);
		}
	}
	return NULL;
}

/* A million flows, each with a number of packets and bytes that follows from its own number; in random order. */
static const char *
test_a_million_flows(void)
{
	const uint32_t flows = 1000000;
	static struct flow chunk[FLOW_CHUNK];
	struct flowtable t;
	uint32_t *order = malloc(2 * flows * sizeof(*order)); /* every flow once, every second one twice */
	uint32_t packets = 0;
	uint32_t n;

	check(order != NULL && flowtable_init(&t, flows, error) == 0, "%s", error);
	for (uint32_t i = 0; i < flows; i++) {
		order[packets++] = i;
		if (i % 2 == 0)
			order[packets++] = i;
	}
	for (uint32_t i = packets - 1; i > 0; i--) {
		uint32_t j = (uint32_t)test_below(i + 1);
		uint32_t kept = order[i];
		order[i] = order[j];
		order[j] = kept;
	}
	for (uint32_t i = 0; i < packets; i++) {
		struct flow_key key = pattern_key(2, order[i]);
		flowtable_add(&t, &key, flow_hash(&key, &t.secret), 60 + order[i] % 1000, i);
	}
	struct flow_key stranger = pattern_key(2, flows);
	flowtable_add(&t, &stranger, flow_hash(&stranger, &t.secret), 77, packets);
	check(t.no_room[FLOW_IPV6].packets == 1 && t.no_room[FLOW_IPV6].bytes == 77, "the one too many");
	memset(order, 0, flows * sizeof(*order));
	for (uint32_t seen = 0; (n = flowtable_copy(&t, seen, chunk)) > 0; seen += n) {
		for (uint32_t i = 0; i < n; i++) {
			const struct flow *f = &chunk[i];
			uint32_t big;
			memcpy(&big, f->key.src + 12, sizeof(big));
			uint32_t number = __builtin_bswap32(big);
			check(number < flows && order[number]++ == 0, "flow %u twice", number);
			uint64_t want = number % 2 == 0 ? 2 : 1;
			uint32_t bytes = 60 + number % 1000;
			check(f->packets == want && f->bytes == want * bytes && f->bytes_min == bytes &&
			      f->bytes_max == bytes, "flow %u: %" PRIu64 " packets", number, f->packets);
			check(f->first_tsc <= f->last_tsc && (want == 1) == (f->first_tsc == f->last_tsc), "times");
		}
	}
	check(t.count == flows, "%u flows", t.count);
	flowtable_free(&t);
	free(order);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_model),
		TEST(test_large_counters),
		TEST(test_hash_mixes),
		TEST(test_a_million_flows),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
