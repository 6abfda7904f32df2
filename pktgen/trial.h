/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One trial of the generator: streams sent at their rates for a duration, received frames accounted, then
 * drained until silent.
 *
 * A stream has a sending and a receiving lane for each queue pair of its ports.  Each lane belongs to one worker: with
 * one worker that does everything, with several some send and some receive.  The lanes of a stream share its flows
 * out, so no two senders number the same flow; what its receivers counted is merged when all is over.
 */
#ifndef VSW_TRIAL_H
#define VSW_TRIAL_H

#include <jansson.h>
#include <stdint.h>

#include "account.h"
#include "capture.h"
#include "floworder.h"
#include "frame.h"
#include "loop.h"
#include "pace.h"
#include "port.h"
#include "replayfile.h"
#include "worker.h"

#define TRIAL_BURST 32u
#define TRIAL_STREAMS_MAX 16u
#define TRIAL_LANES_MAX (TRIAL_STREAMS_MAX * PORT_QUEUES_MAX)
#define TRIAL_ERROR_MAX 256u
#define TRIAL_LATE_NS 10000  /* a frame that leaves later than this after it was due is counted as late */

/* One direction of traffic: in at a port, out at another or the same, of which we may hold one only. */
struct stream {
	bool sent;    /* false: somebody else sends it */
	uint16_t tx_port;
	bool metered; /* false: somebody else receives it */
	uint16_t rx_port;
	struct frame_request headers;
	enum flow_order order;
	double zipf_exponent;
	struct pace_request pace;
	double catch_up_s; /* 0: send everything, however late */
	char replay_path[4096];       /* "": none */

	struct frame frame;
	struct replay_file file; /* what is sent instead, if any */
	uint32_t *next_seq; /* [flows]; each belongs to the lane that has the flow */
};

/* A part of a stream's sending, for one worker. */
struct tx_lane {
	struct stream *stream;
	uint8_t number; /* of its stream */
	uint16_t queue;
	struct pace pace;
	struct floworder order;
	uint32_t next_size;
	uint32_t next_replay;   /* frame of the file */
	uint16_t due_count;     /* frames that are due: the first pending_count of them are built */
	uint16_t pending_count; /* built, not yet taken by the driver */
	struct rte_mbuf *pending[TRIAL_BURST];
	uint64_t due[TRIAL_BURST];    /* when each was to be sent */
	uint64_t l4_sum[TRIAL_BURST]; /* of each, see frame_finish() */
	uint64_t built_count;
	uint64_t sent_count;    /* taken by the driver */
	uint64_t tx_full_count; /* calls in which the driver took less than offered */
	uint64_t tx_full_tsc;   /* time between such a call and the next one that it took all of */
	uint64_t full_since_tsc;
	uint64_t alloc_failed_count;
	uint64_t late_count;
	uint64_t last_tsc; /* of the last departure */
	struct hist *lateness_ns; /* with gaps, if paced */
	struct hist *gap_ns;      /* with gaps */
	struct hist *gap_error_ns; /* replay: gaps achieved against gaps asked for */
	uint64_t last_due;
	struct series series;
};

/* A part of a stream's receiving, for one worker. */
struct rx_lane {
	struct stream *stream;
	uint16_t queue;
	struct account account;
};

struct trial {
	/* what is asked for */
	struct stream stream[TRIAL_STREAMS_MAX];
	uint32_t streams;
	uint16_t epoch;
	double duration_s;
	double drain_s;     /* silence that ends the trial */
	double drain_max_s; /* after this it ends anyway */
	double interval_s;  /* of the series; 0: none */
	bool gaps;
	bool ipdv;
	bool records;
	bool profile;
	bool held; /* others take part: sending begins with trial_schedule(), receiving ends with `stop` */

	struct ports *ports;
	struct tx_lane *tx;
	struct rx_lane *rx;
	uint32_t tx_lanes;
	uint32_t rx_lanes;
	struct capture *capture; /* NULL: none; part i is of worker i */
	uint64_t start_tsc;
	bool go;             /* the clocks of all sending lanes are set */
	uint32_t senders;    /* workers that have not yet sent everything */
	uint64_t tx_end_tsc; /* written by the last sender when the last frame is out; 0 before */
	bool stop;           /* set by the control thread: end at once */
	bool undrained;      /* a receiver did not see silence before drain_max_s */
};

/* The part of a trial that one worker does: of the lanes, each step-th from the first; step 0: none. */
struct trial_part {
	struct trial *trial;
	uint32_t number; /* of the worker */
	uint32_t tx_first, tx_step;
	uint32_t rx_first, rx_step;
	enum idle idle;
	struct loop_stats stats; /* from the start of the sending */
	uint64_t last_rx_tsc;    /* when frames were last received; 0: never.  Written by the worker, read by any. */
} __rte_cache_aligned;

/* Allocates what the streams need, makes the lanes.  0, or -1 with a sentence and nothing allocated. */
int trial_prepare(struct trial *t, char error[TRIAL_ERROR_MAX]);

/* Sets the clock of what is received: its time series begin at start_tsc.  Before trial_run(). */
void trial_listen(struct trial *t, uint64_t start_tsc);

/* Sets the clock of all that is sent, and has it sent from start_tsc on; of a trial that is held while it runs. */
void trial_schedule(struct trial *t, uint64_t start_tsc);

void trial_free(struct trial *t);

/* Runs a part; a worker_fn with a struct trial_part. */
void trial_run(void *part);

#endif
