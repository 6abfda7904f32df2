/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One trial of the generator: streams sent at their rates for a duration, received frames accounted, then
 * drained until silent.  Sending and receiving may be the work of one worker or of two.
 */
#ifndef VSW_TRIAL_H
#define VSW_TRIAL_H

#include <jansson.h>
#include <stdint.h>

#include "account.h"
#include "frame.h"
#include "pace.h"
#include "port.h"
#include "worker.h"

#define TRIAL_BURST 32u
#define TRIAL_STREAMS_MAX 16u
#define TRIAL_ERROR_MAX 256u

/* One direction of traffic: in at a port, out (if we hold that end) at another. */
struct stream {
	/* set by the request */
	uint16_t tx_port;
	bool metered;     /* false: somebody else receives it */
	uint16_t rx_port;
	double rate_pps;  /* 0: saturate */
	uint16_t frame_bytes;
	uint32_t flows;

	/* owned by the sending worker */
	struct frame frame;
	struct pace pace;
	uint32_t *next_seq; /* [flows] */
	uint32_t next_flow;
	struct rte_mbuf *pending[TRIAL_BURST]; /* built, not yet taken by the driver */
	uint16_t pending_count;
	uint64_t sent_count; /* taken by the driver */
	uint64_t tx_full_count; /* calls in which the driver took less than offered */
	uint64_t alloc_failed_count;

	/* owned by the receiving worker */
	struct account account;
};

/* What a worker saw of itself. */
struct loop_stats {
	uint64_t iterations;
	uint64_t idle_iterations;
	uint64_t gap_max_tsc;  /* longest time between two iterations */
	uint64_t stall_tsc;    /* sum of the gaps above TRIAL_STALL_NS */
	uint64_t involuntary_switches;
};

#define TRIAL_STALL_NS 10000

struct trial {
	struct stream stream[TRIAL_STREAMS_MAX];
	uint32_t streams;
	uint16_t epoch;
	double duration_s;
	double drain_s;     /* silence that ends the trial */
	double drain_max_s; /* after this it ends anyway */
	struct ports *ports;
	uint64_t start_tsc;
	uint64_t tx_end_tsc; /* written by the sender when the last frame is out; 0 before */
	bool stop;           /* set by the control thread: end at once */
	bool drained;        /* the receiver saw silence before drain_max_s */
};

/* The part of a trial that one worker does. */
struct trial_part {
	struct trial *trial;
	bool sends;
	bool receives;
	enum idle idle;
	struct loop_stats stats;
};

/* Allocates what the streams need.  0, or -1 with a sentence and nothing allocated. */
int trial_prepare(struct trial *t, char error[TRIAL_ERROR_MAX]);
void trial_free(struct trial *t);

/* Runs a part; a worker_fn with a struct trial_part. */
void trial_run(void *part);

/* {"streams":[...], "tx_span_s":, "drained":}.  New reference. */
json_t *trial_json(const struct trial *t);
json_t *loop_stats_json(const struct loop_stats *s);

#endif
