/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one receiver sees of any traffic, ours or not, flows aside: packets and bytes in all and over time, frame sizes,
 * inter-arrival times, bursts.
 *
 * Sizes are mbuf bytes, without the FCS, and counted exactly one by one (RFC 2819's etherStats buckets, which are with
 * FCS, are sums of them).  A frame arrives when the receive call that brought it returned: that is the resolution of
 * inter-arrival times.  Of a burst of n frames n - 1 gaps are 0, so the number and size of bursts stand beside them.
 */
#ifndef VSW_TRAFFIC_H
#define VSW_TRAFFIC_H

#include <jansson.h>
#include <rte_mbuf.h>
#include <stdint.h>

#include "hist.h"

#define TRAFFIC_SIZES 16384u    /* larger frames are counted together */
#define TRAFFIC_INTERVALS 4096u /* what comes later is counted together */

struct traffic_count {
	uint64_t packets;
	uint64_t bytes;
};

/* 220 KiB, without pointers: copied as a whole for reading (some 5 us). */
struct traffic {
	struct traffic_count total;
	uint64_t start_tsc;
	uint64_t first_tsc; /* arrivals; meaningful only if there are packets */
	uint64_t last_tsc;
	uint64_t burst_count;
	uint32_t burst_max;
	uint32_t bytes_min; /* of frames */
	uint32_t bytes_max;
	uint64_t larger_count; /* frames of TRAFFIC_SIZES bytes and more */
	uint64_t interval_tsc;
	struct hist gap_ns; /* total.packets - 1 of them */
	struct traffic_count series[TRAFFIC_INTERVALS];
	struct traffic_count beyond; /* the last interval */
	uint64_t size[TRAFFIC_SIZES];
};

/* Forgets all; time begins at start_tsc. */
void traffic_reset(struct traffic *t, uint64_t start_tsc, uint64_t interval_tsc);

/* Counts `n` > 0 frames that were received at `now_tsc`; does not free them. */
void traffic_burst(struct traffic *t, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc);

/* {"packets", "bytes", "first_s", "last_s" (since start_tsc; null: no packets), "burst_count", "burst_max",
 *  "interval_s", "series":[[packets, bytes], ...] up to `now_tsc`, "series_beyond":[packets, bytes],
 *  "sizes":{"min_bytes", "max_bytes", "mean_bytes", "counts":[[bytes, count], ...], "larger_count"} or null,
 *  "gaps":{"count", "min_ns", "max_ns", "sum_ns", "overflow_count", "bins":[[low_ns, high_ns, count], ...]} or null}
 * New reference. */
json_t *traffic_json(const struct traffic *t, uint64_t now_tsc);

#endif
