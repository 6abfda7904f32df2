/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one receiving port learns from stamped frames during one trial: every frame is read, none sampled.
 *
 * A frame is `ours` if it carries a stamp of this epoch and this stream, with a flow number in range;
 * `learning` if its stamp is of a frame that only taught the switch an address; `stale` if it is of another
 * epoch; `foreign` otherwise.  Only ours enter the figures.
 * One account belongs to one worker; accounts of several workers on one stream are merged when all are done.
 *
 * What is always counted costs the least; the histograms and records that are asked for cost a few nanoseconds each a
 * packet, and nothing where they are not asked for.
 */
#ifndef VSW_ACCOUNT_H
#define VSW_ACCOUNT_H

#include <jansson.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "hist.h"
#include "seq.h"
#include "series.h"

struct account_request {
	uint16_t epoch;
	uint8_t stream;
	uint32_t flows;        /* 1..STAMP_FLOWS_MAX */
	uint16_t stamp_offset; /* bytes before the stamp: FRAME_STAMP_OFFSET unless the headers are others */
	bool unstamped;        /* traffic without stamps (replay): frames are ours by count alone, */
	bool stamped_too;      /* even those that carry a stamp (the recording was of our own traffic) */
	bool gaps;             /* inter-arrival gaps */
	bool ipdv;             /* RFC 3393 */
	bool records;          /* a record of every flow */
	double interval_s;     /* of the series, which begins with series_start(); 0: none */
	double span_s;         /* how long it may get */
};

/* What is known of a flow, where asked for (ipdv, records).  Latencies as for `latency_ns`. */
struct flow_stats {
	uint64_t received_count; /* each number once */
	uint64_t latency_sum_ns; /* of all frames, duplicates included */
	uint32_t latency_min_ns; /* 32 bits hold 4.29 s; longer ones are this */
	uint32_t latency_max_ns;
	uint32_t latency_last_ns;
	uint32_t duplicate_count;
	uint32_t reordered_count;
	uint32_t frame_count;
};

struct account {
	struct account_request request;
	uint64_t head_wanted; /* of our stamps, see STAMP_HEAD_MASK */
	bool detailed;
	struct seq seq;
	struct hist latency_ns;
	struct hist *latency_intended_ns; /* with gaps or ipdv: from the time at which the frame was due */
	struct hist *ipdv_ns;
	struct hist *gap_ns;
	struct flow_stats *flow; /* [flows] */
	struct series series;
	uint64_t ours_count; /* duplicates included */
	uint64_t ours_bytes; /* mbuf bytes, without FCS */
	uint64_t learning_count;
	uint64_t stale_count;
	uint64_t foreign_count;
	uint64_t ipdv_excluded_count; /* pairs of which one was lost, late or twice (RFC 3393 3.4) */
	uint64_t crossed_flows_count; /* see seq_merge() */
	uint64_t first_tsc; /* arrival of the first and last of ours; 0: none */
	uint64_t last_tsc;
	uint64_t burst_count; /* bursts with at least one frame, for the mean burst */
	uint64_t burst_max;
};

/* 0, or -1 with a sentence and nothing allocated. */
int account_init(struct account *a, const struct account_request *r, char error[BIG_ERROR_MAX]);

/* Accepts a zeroed struct. */
void account_free(struct account *a);

/* Reads `n` frames that were received at `now_tsc`; does not free them. */
void account_burst(struct account *a, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc);

/* Adds what another worker has received of the same stream. */
void account_merge(struct account *to, const struct account *from);

/* The account as JSON; its members are explained in pktgen/README.md.  New
 * reference. */
json_t *account_json(const struct account *a);

#endif
