/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one receiving port learns from stamped frames during one trial: every frame is read, none sampled.
 *
 * A frame is `ours` if it carries a stamp of this epoch and this stream, with a flow number in range;
 * `stale` if its stamp is of another epoch; `foreign` otherwise.  Only ours enter the figures.
 * One account belongs to one worker; accounts of several workers are merged by the reader.
 */
#ifndef VSW_ACCOUNT_H
#define VSW_ACCOUNT_H

#include <jansson.h>
#include <rte_mbuf.h>
#include <stdint.h>

#include "hist.h"
#include "seq.h"

struct account {
	uint16_t epoch;
	uint8_t stream;
	struct seq seq;
	struct hist latency_ns;
	uint64_t ours_count; /* duplicates included */
	uint64_t ours_bytes; /* mbuf bytes, without FCS */
	uint64_t stale_count;
	uint64_t foreign_count;
	uint64_t first_tsc; /* arrival of the first and last of ours; 0: none */
	uint64_t last_tsc;
	uint64_t burst_count; /* bursts with at least one frame, for the mean burst */
	uint64_t burst_max;
};

/* 0 or -ENOMEM.  `flows` in 1..STAMP_FLOWS_MAX. */
int account_init(struct account *a, uint16_t epoch, uint8_t stream, uint32_t flows);
void account_free(struct account *a);

/* Reads `n` frames that were received at `now_tsc`; does not free them. */
void account_burst(struct account *a, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc);

/* The account as JSON: received_count (each number once), duplicate_count, reordered_count, old_count,
 * stale_count, foreign_count, received_bytes, first/last arrival as span_s, latency (min_ns, max_ns,
 * sum_ns, count, overflow_count, bins = [[low_ns, high_ns, count], ...]).  New reference, NULL if no memory. */
json_t *account_json(const struct account *a);

#endif
