/* SPDX-License-Identifier: BSD-3-Clause */
#include "traffic.h"

#include <rte_common.h>
#include <string.h>

#include "clock.h"

void
traffic_reset(struct traffic *t, uint64_t start_tsc, uint64_t interval_tsc)
{
	memset(t, 0, sizeof(*t));
	hist_reset(&t->gap_ns);
	t->bytes_min = UINT32_MAX;
	t->start_tsc = start_tsc;
	t->interval_tsc = interval_tsc;
}

/* Gives the bytes of all. */
static inline uint64_t
count_sizes(struct traffic *t, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint32_t bytes = rte_pktmbuf_pkt_len(pkts[i]);
		sum += bytes;
		t->bytes_min = RTE_MIN(t->bytes_min, bytes);
		t->bytes_max = RTE_MAX(t->bytes_max, bytes);
		if (likely(bytes < TRAFFIC_SIZES))
			t->size[bytes]++;
		else
			t->larger_count++;
	}
	return sum;
}

static inline void
count_gaps(struct traffic *t, uint16_t n, uint64_t now_tsc)
{
	if (t->total.packets == 0)
		t->first_tsc = now_tsc;
	else
		hist_add(&t->gap_ns, clock_ns(now_tsc - t->last_tsc), 1);
	if (n > 1)
		hist_add(&t->gap_ns, 0, n - 1u);
	t->last_tsc = now_tsc;
}

void
traffic_burst(struct traffic *t, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	uint64_t slot = (now_tsc - t->start_tsc) / t->interval_tsc;
	struct traffic_count *interval = slot < TRAFFIC_INTERVALS ? &t->series[slot] : &t->beyond;
	uint64_t bytes = count_sizes(t, pkts, n);

	count_gaps(t, n, now_tsc);
	t->total.packets += n;
	t->total.bytes += bytes;
	interval->packets += n;
	interval->bytes += bytes;
	t->burst_count++;
	if (n > t->burst_max)
		t->burst_max = n;
}

static json_t *
pair(uint64_t a, uint64_t b)
{
	return json_pack("[I,I]", (json_int_t)a, (json_int_t)b);
}

static json_t *
intervals_json(const struct traffic *t, uint64_t now_tsc)
{
	uint64_t slots = (now_tsc - t->start_tsc) / t->interval_tsc + 1;
	json_t *list = json_array();

	for (uint64_t i = 0; i < slots && i < TRAFFIC_INTERVALS; i++)
		json_array_append_new(list, pair(t->series[i].packets, t->series[i].bytes));
	return list;
}

static json_t *
sizes_json(const struct traffic *t)
{
	json_t *counts = json_array();

	for (uint32_t bytes = 0; bytes < TRAFFIC_SIZES; bytes++) {
		if (t->size[bytes] > 0)
			json_array_append_new(counts, pair(bytes, t->size[bytes]));
	}
	return json_pack("{s:I,s:I,s:f,s:o,s:I}", "min_bytes", (json_int_t)t->bytes_min, "max_bytes",
			 (json_int_t)t->bytes_max, "mean_bytes", (double)t->total.bytes / (double)t->total.packets,
			 "counts", counts, "larger_count", (json_int_t)t->larger_count);
}

json_t *
traffic_json(const struct traffic *t, uint64_t now_tsc)
{
	bool any = t->total.packets > 0;

	return json_pack("{s:I,s:I,s:o,s:o,s:I,s:I,s:f,s:o,s:o,s:o,s:o}", "packets", (json_int_t)t->total.packets, "bytes",
			 (json_int_t)t->total.bytes, "first_s",
			 any ? json_real(clock_seconds(t->first_tsc - t->start_tsc)) : json_null(), "last_s",
			 any ? json_real(clock_seconds(t->last_tsc - t->start_tsc)) : json_null(), "burst_count",
			 (json_int_t)t->burst_count, "burst_max", (json_int_t)t->burst_max, "interval_s",
			 clock_seconds(t->interval_tsc), "series", intervals_json(t, now_tsc), "series_beyond",
			 pair(t->beyond.packets, t->beyond.bytes), "sizes", any ? sizes_json(t) : json_null(), "gaps",
			 hist_json(&t->gap_ns));
}
