/* SPDX-License-Identifier: BSD-3-Clause */
#include "account.h"

#include <rte_prefetch.h>
#include <string.h>

#include "clock.h"
#include "frame.h"
#include "stamp.h"

#define PREFETCH_AHEAD 4

int
account_init(struct account *a, uint16_t epoch, uint8_t stream, uint32_t flows)
{
	memset(a, 0, sizeof(*a));
	a->epoch = epoch;
	a->stream = stream;
	hist_reset(&a->latency_ns);
	return seq_init(&a->seq, flows);
}

void
account_free(struct account *a)
{
	seq_free(&a->seq);
}

/* The stamp of a frame, if it has one at the place where our frames have it. */
static inline bool
find_stamp(const struct rte_mbuf *m, struct stamp *s)
{
	if (rte_pktmbuf_data_len(m) < FRAME_STAMP_OFFSET + STAMP_BYTES)
		return false;
	return stamp_read(rte_pktmbuf_mtod_offset(m, const void *, FRAME_STAMP_OFFSET), s);
}

static inline void
account_one(struct account *a, const struct rte_mbuf *m, uint64_t now_tsc)
{
	struct stamp s;
	uint32_t flow;

	if (!find_stamp(m, &s)) {
		a->foreign_count++;
		return;
	}
	if (s.epoch != a->epoch) {
		a->stale_count++;
		return;
	}
	flow = s.flow & (STAMP_FLOWS_MAX - 1);
	if (s.flow >> STAMP_FLOW_BITS != a->stream || flow >= a->seq.flows) {
		a->foreign_count++;
		return;
	}
	a->ours_count++;
	a->ours_bytes += rte_pktmbuf_pkt_len(m);
	hist_add(&a->latency_ns, clock_ns(stamp_age_tsc(&s, now_tsc)), 1);
	seq_add(&a->seq, flow, s.seq);
}

void
account_burst(struct account *a, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	uint64_t before = a->ours_count;

	for (uint16_t i = 0; i < PREFETCH_AHEAD && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod_offset(pkts[i], void *, FRAME_STAMP_OFFSET));
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod_offset(pkts[i + PREFETCH_AHEAD], void *, FRAME_STAMP_OFFSET));
		account_one(a, pkts[i], now_tsc);
	}
	if (a->ours_count == before)
		return;
	if (a->first_tsc == 0)
		a->first_tsc = now_tsc;
	a->last_tsc = now_tsc;
	a->burst_count++;
	if (n > a->burst_max)
		a->burst_max = n;
}

static json_t *
bins_json(const struct hist *h)
{
	json_t *bins = json_array();

	for (unsigned int i = 0; i < HIST_BINS && bins != NULL; i++) {
		if (h->count[i] == 0)
			continue;
		json_array_append_new(bins, json_pack("[I,I,I]", (json_int_t)hist_bin_low(i),
						      (json_int_t)hist_bin_high(i), (json_int_t)h->count[i]));
	}
	return bins;
}

static json_t *
latency_json(const struct hist *h)
{
	if (h->total == 0)
		return json_null();
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "count", (json_int_t)h->total, "min_ns", (json_int_t)h->min_ns,
			 "max_ns", (json_int_t)h->max_ns, "sum_ns", (json_int_t)h->sum_ns, "overflow_count",
			 (json_int_t)h->overflow, "bins", bins_json(h));
}

json_t *
account_json(const struct account *a)
{
	double span_s = a->ours_count ? clock_seconds(a->last_tsc - a->first_tsc) : 0;

	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:o}", "received_count",
			 (json_int_t)a->seq.unique_count, "received_bytes", (json_int_t)a->ours_bytes, "duplicate_count",
			 (json_int_t)a->seq.duplicate_count, "reordered_count", (json_int_t)a->seq.reordered_count,
			 "reorder_extent_max", (json_int_t)a->seq.reorder_extent_max, "old_count",
			 (json_int_t)a->seq.old_count, "stale_count", (json_int_t)a->stale_count, "foreign_count",
			 (json_int_t)a->foreign_count, "span_s", span_s, "burst_count", (json_int_t)a->burst_count,
			 "burst_max", (json_int_t)a->burst_max, "latency", latency_json(&a->latency_ns));
}
