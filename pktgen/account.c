/* SPDX-License-Identifier: BSD-3-Clause */
#include "account.h"

#include <rte_prefetch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "stamp.h"

#define PREFETCH_AHEAD 4

int
account_init(struct account *a, const struct account_request *r, char error[BIG_ERROR_MAX])
{
	bool flows = r->ipdv || r->records;
	bool failed = false;

	memset(a, 0, sizeof(*a));
	a->request = *r;
	a->head_wanted = stamp_head_wanted(r->epoch, r->stream);
	a->detailed = r->gaps || flows;
	hist_reset(&a->latency_ns);
	failed |= !hist_make(&a->latency_intended_ns, a->detailed);
	failed |= !hist_make(&a->ipdv_ns, r->ipdv);
	failed |= !hist_make(&a->gap_ns, r->gaps);
	failed |= series_init(&a->series, r->interval_s, r->span_s) != 0;
	if (failed)
		snprintf(error, BIG_ERROR_MAX, "no memory for histograms and time series");
	if (!failed && flows) {
		a->flow = big_alloc(r->flows * sizeof(*a->flow), "the records of the flows", error);
		failed = a->flow == NULL;
	}
	if (!failed && seq_init(&a->seq, r->flows, error) == 0)
		return 0;
	account_free(a);
	return -1;
}

void
account_free(struct account *a)
{
	seq_free(&a->seq);
	series_free(&a->series);
	free(a->latency_intended_ns);
	free(a->ipdv_ns);
	free(a->gap_ns);
	big_free(a->flow, a->request.flows * sizeof(*a->flow));
	memset(a, 0, sizeof(*a));
}

/* A frame that is not ours: which other kind. */
static void
count_other(struct account *a, const struct rte_mbuf *m)
{
	struct stamp s;

	if (rte_pktmbuf_data_len(m) < a->request.stamp_offset + STAMP_BYTES ||
	    !stamp_read(rte_pktmbuf_mtod_offset(m, const void *, a->request.stamp_offset), &s))
		a->foreign_count++;
	else if (s.flow >> STAMP_FLOW_BITS == STAMP_STREAM_LEARNING)
		a->learning_count++;
	else if (s.epoch != a->request.epoch)
		a->stale_count++;
	else
		a->foreign_count++;
}

/* Frames that were sent together and are received together have one latency: they are entered together. */
struct latency_run {
	uint64_t age_tsc;
	uint64_t frames;
};

static inline void
enter(struct account *a, const struct latency_run *run)
{
	if (run->frames > 0)
		hist_add(&a->latency_ns, clock_ns(run->age_tsc), run->frames);
}

static uint32_t
saturated(uint64_t ns)
{
	return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void
add_flow(struct account *a, uint32_t flow, enum seq_kind kind, uint32_t latency_ns)
{
	struct flow_stats *f = &a->flow[flow];
	bool pair = kind == SEQ_IN_ORDER && f->frame_count > 0; /* its predecessor was the last to come */

	if (a->ipdv_ns != NULL && pair)
		hist_add(a->ipdv_ns, latency_ns > f->latency_last_ns ? latency_ns - f->latency_last_ns
								     : f->latency_last_ns - latency_ns, 1);
	else if (a->ipdv_ns != NULL && kind != SEQ_IN_ORDER)
		a->ipdv_excluded_count++;
	if (kind == SEQ_IN_ORDER || kind == SEQ_GAP)
		f->latency_last_ns = latency_ns; /* of the highest number so far */
	f->latency_sum_ns += latency_ns;
	if (f->frame_count == 0 || latency_ns < f->latency_min_ns)
		f->latency_min_ns = latency_ns;
	if (latency_ns > f->latency_max_ns)
		f->latency_max_ns = latency_ns;
	f->frame_count++;
	f->received_count += kind != SEQ_DUPLICATE;
	f->duplicate_count += kind == SEQ_DUPLICATE;
	f->reordered_count += kind == SEQ_LATE;
}

/* What costs more and is not always asked for. */
static void
add_detail(struct account *a, const void *stamp, uint32_t flow, enum seq_kind kind, uint64_t age_tsc)
{
	uint64_t late_tsc = stamp_late_tsc((uint16_t)(stamp_time(stamp) >> STAMP_TIME_BITS));

	hist_add(a->latency_intended_ns, clock_ns(age_tsc + late_tsc), 1);
	if (a->flow != NULL)
		add_flow(a, flow, kind, saturated(clock_ns(age_tsc)));
}

static inline void
read_frames(struct account *a, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc, const bool detailed)
{
	const uint16_t offset = a->request.stamp_offset;
	const uint64_t wanted = a->head_wanted;
	struct latency_run run = {0};
	uint64_t bytes = 0;
	uint64_t ours = 0;

	for (uint16_t i = 0; i < PREFETCH_AHEAD && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod_offset(pkts[i], void *, offset));
	for (uint16_t i = 0; i < n; i++) {
		const struct rte_mbuf *m = pkts[i];
		const void *stamp = rte_pktmbuf_mtod_offset(m, const void *, offset);

		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod_offset(pkts[i + PREFETCH_AHEAD], void *, offset));
		if (unlikely(rte_pktmbuf_data_len(m) < offset + STAMP_BYTES)) {
			count_other(a, m);
			continue;
		}
		uint64_t head = stamp_head(stamp);
		uint32_t flow = stamp_head_flow(head);
		if (unlikely(((head ^ wanted) & STAMP_HEAD_MASK) != 0 || flow >= a->seq.flows)) {
			count_other(a, m);
			continue;
		}
		uint64_t age_tsc = stamp_age_tsc(stamp_time(stamp), now_tsc);
		if (age_tsc != run.age_tsc) {
			enter(a, &run);
			run = (struct latency_run){.age_tsc = age_tsc};
		}
		run.frames++;
		ours++;
		bytes += rte_pktmbuf_pkt_len(m);
		enum seq_kind kind = seq_add(&a->seq, flow, stamp_seq(stamp));
		if (detailed)
			add_detail(a, stamp, flow, kind, age_tsc);
	}
	enter(a, &run);
	a->ours_count += ours;
	a->ours_bytes += bytes;
}

/* Without stamps ours are told from others only by what they are not: stamped frames of other trials, and learning. */
static void
count_unstamped(struct account *a, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		const void *stamp = rte_pktmbuf_mtod_offset(pkts[i], const void *, a->request.stamp_offset);
		bool room = rte_pktmbuf_data_len(pkts[i]) >= a->request.stamp_offset + STAMP_BYTES;
		if (room && !a->request.stamped_too && (uint16_t)stamp_head(stamp) == STAMP_MAGIC) {
			count_other(a, pkts[i]);
			continue;
		}
		a->ours_count++;
		a->seq.unique_count++;
		a->ours_bytes += rte_pktmbuf_pkt_len(pkts[i]);
	}
}

void
account_burst(struct account *a, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	const uint64_t frames_before = a->ours_count;
	const uint64_t bytes_before = a->ours_bytes;

	if (a->request.unstamped)
		count_unstamped(a, pkts, n);
	else if (a->detailed)
		read_frames(a, pkts, n, now_tsc, true);
	else
		read_frames(a, pkts, n, now_tsc, false);
	uint64_t frames = a->ours_count - frames_before;
	if (frames == 0)
		return;
	if (a->gap_ns != NULL) {
		if (a->last_tsc != 0)
			hist_add(a->gap_ns, clock_ns(now_tsc - a->last_tsc), 1);
		if (frames > 1)
			hist_add(a->gap_ns, 0, frames - 1);
	}
	series_add(&a->series, now_tsc, frames, a->ours_bytes - bytes_before);
	if (a->first_tsc == 0)
		a->first_tsc = now_tsc;
	a->last_tsc = now_tsc;
	a->burst_count++;
	if (n > a->burst_max)
		a->burst_max = n;
}

static void
merge_flows(struct flow_stats *to, const struct flow_stats *from, uint32_t flows)
{
	for (uint32_t i = 0; i < flows; i++) {
		if (from[i].frame_count == 0)
			continue;
		if (to[i].frame_count == 0 || from[i].latency_min_ns < to[i].latency_min_ns)
			to[i].latency_min_ns = from[i].latency_min_ns;
		if (from[i].latency_max_ns > to[i].latency_max_ns)
			to[i].latency_max_ns = from[i].latency_max_ns;
		to[i].received_count += from[i].received_count;
		to[i].latency_sum_ns += from[i].latency_sum_ns;
		to[i].duplicate_count += from[i].duplicate_count;
		to[i].reordered_count += from[i].reordered_count;
		to[i].frame_count += from[i].frame_count;
	}
}

void
account_merge(struct account *to, const struct account *from)
{
	to->crossed_flows_count += seq_merge(&to->seq, &from->seq);
	hist_merge(&to->latency_ns, &from->latency_ns);
	if (to->latency_intended_ns != NULL)
		hist_merge(to->latency_intended_ns, from->latency_intended_ns);
	if (to->ipdv_ns != NULL)
		hist_merge(to->ipdv_ns, from->ipdv_ns);
	if (to->gap_ns != NULL)
		hist_merge(to->gap_ns, from->gap_ns);
	if (to->flow != NULL)
		merge_flows(to->flow, from->flow, to->request.flows);
	series_merge(&to->series, &from->series);
	to->ours_count += from->ours_count;
	to->ours_bytes += from->ours_bytes;
	to->learning_count += from->learning_count;
	to->stale_count += from->stale_count;
	to->foreign_count += from->foreign_count;
	to->ipdv_excluded_count += from->ipdv_excluded_count;
	if (from->first_tsc != 0 && (to->first_tsc == 0 || from->first_tsc < to->first_tsc))
		to->first_tsc = from->first_tsc;
	to->last_tsc = RTE_MAX(to->last_tsc, from->last_tsc);
	to->burst_count += from->burst_count;
	to->burst_max = RTE_MAX(to->burst_max, from->burst_max);
}

json_t *
account_json(const struct account *a)
{
	static const char *const of_numbers[] = {"duplicate_count", "reordered_count", "reorder_extent_max", "old_count",
						 "crossed_flows_count", NULL}; /* cannot be known without stamps */
	double span_s = a->ours_count ? clock_seconds(a->last_tsc - a->first_tsc) : 0;
	json_t *counts = json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I}", "received_count",
		(json_int_t)a->seq.unique_count, "received_bytes", (json_int_t)a->ours_bytes, "duplicate_count",
		(json_int_t)a->seq.duplicate_count, "reordered_count", (json_int_t)a->seq.reordered_count,
		"reorder_extent_max", (json_int_t)a->seq.reorder_extent_max, "old_count", (json_int_t)a->seq.old_count,
		"learning_count", (json_int_t)a->learning_count, "stale_count", (json_int_t)a->stale_count,
		"foreign_count", (json_int_t)a->foreign_count, "crossed_flows_count", (json_int_t)a->crossed_flows_count,
		"span_s", span_s, "burst_count", (json_int_t)a->burst_count, "burst_max", (json_int_t)a->burst_max);

	for (const char *const *name = of_numbers; a->request.unstamped && *name != NULL; name++)
		json_object_set_new(counts, *name, json_null());
	json_object_set_new(counts, "latency", hist_json(&a->latency_ns));
	json_object_set_new(counts, "latency_intended", hist_json(a->latency_intended_ns));
	json_object_set_new(counts, "ipdv", hist_json(a->ipdv_ns));
	json_object_set_new(counts, "ipdv_excluded_count", json_integer((json_int_t)a->ipdv_excluded_count));
	json_object_set_new(counts, "arrival_gap", hist_json(a->gap_ns));
	json_object_set_new(counts, "series", series_json(&a->series));
	return counts;
}
