/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The lanes of a trial: made before, scheduled at its start, freed after.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bigmem.h"
#include "clock.h"
#include "trial.h"

/* What a stream's seed is used for, by each of its lanes. */
enum seed_use { SEED_TIMES, SEED_FLOWS, SEED_USES };

static uint64_t
seed_of(const struct tx_lane *l, enum seed_use use)
{
	return random_branch(l->stream->pace.seed, ((uint64_t)l->number * PORT_QUEUES_MAX + l->queue) * SEED_USES + use);
}

static int
no_memory(char error[TRIAL_ERROR_MAX], const char *what, uint32_t flows)
{
	snprintf(error, TRIAL_ERROR_MAX, "no memory for %s of %u flows: use fewer flows", what, flows);
	return -1;
}

/* Senders of a stream: one a queue pair, but no more than there are flows, and one for a recording. */
static uint32_t
senders_of(const struct trial *t, const struct stream *s)
{
	return s->replay_path[0] != '\0' ? 1 : RTE_MIN((uint32_t)t->ports->queues, s->headers.flows);
}

static int
prepare_stream(struct trial *t, struct stream *s, char error[TRIAL_ERROR_MAX])
{
	uint64_t bytes = (uint64_t)s->headers.flows * sizeof(*s->next_seq);

	if (s->replay_path[0] != '\0') {
		if (replay_load(&s->file, s->replay_path, big_limit() / 2, t->ports->frame_max, error) != 0)
			return -1;
		s->pace.list_ns = &s->file.frame[0].time_ns;
		s->pace.list_count = s->file.frames;
		s->pace.list_stride = sizeof(s->file.frame[0]);
	}
	if (frame_build(&s->frame, &s->headers, error) != 0)
		return -1;
	if (!s->sent)
		return 0;
	s->next_seq = big_alloc(bytes, "the sequence numbers", error);
	return s->next_seq != NULL ? 0 : -1;
}

static int
prepare_tx(struct trial *t, struct tx_lane *l, struct stream *s, uint16_t queue, uint32_t senders,
	   char error[TRIAL_ERROR_MAX])
{
	bool paced = s->pace.shape != PACE_SATURATE;
	bool replay = s->file.frames > 0;

	l->stream = s;
	l->number = (uint8_t)(s - t->stream);
	l->queue = queue;
	if (!hist_make(&l->gap_ns, t->gaps) || !hist_make(&l->lateness_ns, t->gaps && paced) ||
	    !hist_make(&l->gap_error_ns, replay && paced) ||
	    series_init(&l->series, t->interval_s, t->duration_s + t->drain_max_s) != 0)
		return no_memory(error, "histograms and time series", s->headers.flows);
	return floworder_init(&l->order, s->order, s->headers.flows, queue, senders, s->zipf_exponent,
			      seed_of(l, SEED_FLOWS), error);
}

/* The recording is of frames of ours. */
static bool
recorded_stamps(const struct stream *s)
{
	for (uint32_t i = 0; i < s->file.frames; i++) {
		const struct replay_frame *f = &s->file.frame[i];
		if (f->bytes >= s->frame.stamp_offset + STAMP_BYTES &&
		    (uint16_t)stamp_head(s->file.blob + f->offset + s->frame.stamp_offset) == STAMP_MAGIC)
			return true;
	}
	return false;
}

static int
prepare_rx(const struct trial *t, struct rx_lane *l, struct stream *s, uint16_t queue, char error[TRIAL_ERROR_MAX])
{
	const struct account_request r = {
		.epoch = t->epoch, .stream = (uint8_t)(s - t->stream), .flows = s->headers.flows,
		.stamp_offset = s->frame.stamp_offset, .unstamped = s->file.frames > 0,
		.stamped_too = recorded_stamps(s), .gaps = t->gaps, .ipdv = t->ipdv,
		.records = t->records, .interval_s = t->interval_s, .span_s = t->duration_s + t->drain_max_s,
	};

	l->stream = s;
	l->queue = queue;
	return account_init(&l->account, &r, error);
}

static int
make_lanes(struct trial *t, char error[TRIAL_ERROR_MAX])
{
	uint32_t most = t->streams * t->ports->queues;

	t->tx = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(most * sizeof(*t->tx)));
	t->rx = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(most * sizeof(*t->rx)));
	if (t->tx == NULL || t->rx == NULL)
		return no_memory(error, "the lanes", 0);
	memset(t->tx, 0, most * sizeof(*t->tx));
	memset(t->rx, 0, most * sizeof(*t->rx));
	for (uint32_t i = 0; i < t->streams; i++) {
		struct stream *s = &t->stream[i];
		uint32_t senders = senders_of(t, s);
		for (uint16_t q = 0; s->sent && q < senders; q++) {
			if (prepare_tx(t, &t->tx[t->tx_lanes++], s, q, senders, error) != 0)
				return -1;
		}
		for (uint16_t q = 0; s->metered && q < t->ports->queues; q++) {
			if (prepare_rx(t, &t->rx[t->rx_lanes++], s, q, error) != 0)
				return -1;
		}
	}
	return 0;
}

int
trial_prepare(struct trial *t, char error[TRIAL_ERROR_MAX])
{
	int rc = 0;

	for (uint32_t i = 0; i < t->streams && rc == 0; i++)
		rc = prepare_stream(t, &t->stream[i], error);
	if (rc == 0)
		rc = make_lanes(t, error);
	if (rc != 0)
		trial_free(t);
	for (uint32_t i = 0; i < t->streams && rc == 0; i++)
		port_note_head(t->ports, t->stream[i].frame.stamp_offset + STAMP_BYTES);
	return rc;
}

/* Lanes take turns, but not so late that the last of a lane's packets would be due after the end: a lane's part of the
 * total is a whole number, so it may be a fraction of a packet more than its rate gives. */
static double
phase_of(const struct trial *t, const struct tx_lane *l, const struct pace_request *r)
{
	const double turn = (double)l->queue / l->order.step;
	const double last = (double)r->total - 1;
	double due = last;                        /* in packets of the mean rate, before the phase */
	double room = r->rate_pps * t->duration_s; /* likewise */
	double unit = 1;

	if (r->shape == PACE_POISSON)
		return turn;
	if (r->shape == PACE_RAMP)
		room = (r->ramp_from_pps + r->rate_pps) / 2 * t->duration_s;
	if (r->shape == PACE_BURST) {
		double inner = r->burst_pps > 0 ? r->rate_pps / r->burst_pps : 0;
		double in_burst = fmod(last, r->burst_frames);
		due = last - in_burst + in_burst * inner;
		unit = r->burst_frames;
	}
	return fmax(0, fmin(turn, (room - due) / unit - 1e-6));
}

/* What of the stream's schedule is this lane's: rate and total in proportion to its flows. */
static struct pace_request
share_of(const struct trial *t, const struct tx_lane *l, double before)
{
	struct pace_request r = l->stream->pace;
	struct pace whole;

	r.seed = seed_of(l, SEED_TIMES);
	if (r.shape == PACE_SATURATE || r.shape == PACE_LIST || l->order.step == 1)
		return r;
	pace_start(&whole, &r, t->duration_s, clock_hz, t->start_tsc);
	if (whole.total != UINT64_MAX) { /* floors of running sums add up to the whole; the term is that of pace.c */
		double after = l->queue + 1u == l->order.step ? 1 : before + l->order.share;
		r.total = (uint64_t)((double)whole.total * after + 1e-6) - (uint64_t)((double)whole.total * before + 1e-6);
		if (r.total == 0)
			r.total = PACE_NOTHING;
	}
	r.rate_pps *= l->order.share;
	r.ramp_from_pps *= l->order.share;
	r.burst_pps *= l->order.share;
	r.phase = phase_of(t, l, &r);
	return r;
}

void
trial_listen(struct trial *t, uint64_t start_tsc)
{
	for (uint32_t i = 0; i < t->rx_lanes; i++)
		series_start(&t->rx[i].account.series, start_tsc);
}

void
trial_schedule(struct trial *t, uint64_t start_tsc)
{
	double before = 0;

	t->start_tsc = start_tsc;
	for (uint32_t i = 0; i < t->tx_lanes; i++) {
		struct tx_lane *l = &t->tx[i];
		before = l->queue == 0 ? 0 : before;
		struct pace_request r = share_of(t, l, before);
		before += l->order.share;
		pace_start(&l->pace, &r, t->duration_s, clock_hz, start_tsc);
		l->pace.catch_up_tsc = clock_ticks(l->stream->catch_up_s);
		series_start(&l->series, start_tsc);
	}
	__atomic_store_n(&t->go, true, __ATOMIC_RELEASE);
}

void
trial_free(struct trial *t)
{
	for (uint32_t i = 0; i < t->tx_lanes; i++) {
		struct tx_lane *l = &t->tx[i];
		rte_pktmbuf_free_bulk(l->pending, l->pending_count);
		floworder_free(&l->order);
		series_free(&l->series);
		free(l->lateness_ns);
		free(l->gap_ns);
		free(l->gap_error_ns);
	}
	for (uint32_t i = 0; i < t->rx_lanes; i++)
		account_free(&t->rx[i].account);
	free(t->tx);
	free(t->rx);
	t->tx = NULL;
	t->rx = NULL;
	t->tx_lanes = t->rx_lanes = 0;
	for (uint32_t i = 0; i < t->streams; i++) {
		struct stream *s = &t->stream[i];
		big_free(s->next_seq, (uint64_t)s->headers.flows * sizeof(*s->next_seq));
		s->next_seq = NULL;
		frame_free(&s->frame);
		replay_free(&s->file);
	}
}
