/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The loop of a trial: what every worker does from the start to the end of the drain.
 */
#include "trial.h"

#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#include "burst.h"
#include "clock.h"

#define YIELD_AFTER 256u  /* frames after which a poller that shares its core lets the others run */
#define GRACE_MAX_S 5e-3   /* for frames that were due before the end, */
#define GRACE_RATIO 0.01   /* but no more than this of the duration */
#define PROFILE_EVERY 64u /* iterations: reading the TSC between the parts would cost more than they */

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* The headers, in whole cache lines: sizes that the compiler knows are copied in a few instructions. */
static inline void
copy_head(uint8_t *to, const uint8_t *from, uint16_t head_bytes)
{
	for (uint16_t i = 0; i < head_bytes; i += RTE_CACHE_LINE_SIZE)
		memcpy(to + i, from + i, RTE_CACHE_LINE_SIZE);
}

static inline void
build_one(const struct trial *t, struct tx_lane *l, struct stream *s, uint16_t k)
{
	struct rte_mbuf *m = l->pending[k];
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	const struct frame_image *image = s->frame.image;
	uint32_t flow = floworder_next(&l->order);

	if (s->frame.sizes > 1) {
		image += s->frame.sequence[l->next_size];
		l->next_size = l->next_size + 1 < s->frame.sizes ? l->next_size + 1 : 0;
	}
	m->data_len = image->mbuf_bytes;
	m->pkt_len = image->mbuf_bytes;
	copy_head(p, image->bytes, t->ports->head_bytes);
	l->l4_sum[k] = s->frame.varies > 0 ? frame_set_flow(&s->frame, image, p, flow) : image->l4_sum;
	stamp_write(p + s->frame.stamp_offset, t->epoch, stamp_flow(l->number, flow), s->next_seq[flow]++);
}

static void
copy_recorded(struct tx_lane *l, const struct replay_file *file, uint16_t k)
{
	const struct replay_frame *f = &file->frame[l->next_replay];
	struct rte_mbuf *m = l->pending[k];

	l->next_replay = l->next_replay + 1 < file->frames ? l->next_replay + 1 : 0;
	m->data_len = f->bytes;
	m->pkt_len = f->bytes;
	rte_memcpy(rte_pktmbuf_mtod(m, void *), file->blob + f->offset, f->bytes);
}

/* Builds what is due and not yet built. */
static inline void
build(const struct trial *t, struct tx_lane *l)
{
	struct stream *s = l->stream;
	const bool replay = s->file.frames > 0;
	uint16_t have = l->pending_count;
	uint16_t n = (uint16_t)(l->due_count - have);

	/* a recording overwrites whole buffers, so it must not use those that are zeros behind the headers */
	if (burst_alloc(replay ? t->ports->rx_pool : t->ports->tx_pool, &l->pending[have], n) != 0) {
		l->alloc_failed_count++;
		return;
	}
	for (uint16_t k = have; k < have + n; k++) {
		if (replay)
			copy_recorded(l, &s->file, k);
		else
			build_one(t, l, s, k);
	}
	l->pending_count = l->due_count;
	l->built_count += n;
}

/* Writes the time at which the pending frames go to the driver, and what depends on it. */
static inline void
stamp_times(struct tx_lane *l, uint64_t now_tsc)
{
	const struct frame *f = &l->stream->frame;
	const bool paced = l->pace.shape != PACE_SATURATE;

	if (l->stream->file.frames > 0)
		return;
	for (uint16_t k = 0; k < l->pending_count; k++) {
		uint8_t *p = rte_pktmbuf_mtod(l->pending[k], uint8_t *);
		stamp_write_time(p + f->stamp_offset, now_tsc, paced ? stamp_late_code(now_tsc - l->due[k]) : 0);
		if (f->l4_sum_offset != 0)
			frame_finish(f, p, l->l4_sum[k]);
	}
}

/* Replay: how far the gap before each frame is from the gap in the recording. */
static void
note_replay_gaps(struct tx_lane *l, uint16_t sent, uint64_t now_tsc)
{
	uint64_t gap_tsc = now_tsc - l->last_tsc; /* of the first; the others left with it */

	for (uint16_t k = 0; k < sent; k++) {
		int64_t error = (int64_t)gap_tsc - (int64_t)(l->due[k] - l->last_due);
		if (l->last_tsc != 0 || k > 0)
			hist_add(l->gap_error_ns, clock_ns((uint64_t)llabs(error)), 1);
		l->last_due = l->due[k];
		gap_tsc = 0;
	}
}

static void
note_lateness(struct tx_lane *l, uint16_t sent, uint64_t now_tsc)
{
	const uint64_t late_tsc = clock_ticks(TRIAL_LATE_NS * 1e-9);

	for (uint16_t k = 0; k < sent; k++) {
		l->late_count += now_tsc - l->due[k] > late_tsc;
		if (l->lateness_ns != NULL)
			hist_add(l->lateness_ns, clock_ns(now_tsc - l->due[k]), 1);
	}
}

/* What is to be known of the first `sent` pending frames, which left at `now`. */
static inline void
note_departures(struct tx_lane *l, uint16_t sent, uint64_t now_tsc)
{
	if (l->pace.shape != PACE_SATURATE)
		note_lateness(l, sent, now_tsc);
	if (l->gap_error_ns != NULL)
		note_replay_gaps(l, sent, now_tsc);
	if (l->gap_ns != NULL) {
		if (l->last_tsc != 0)
			hist_add(l->gap_ns, clock_ns(now_tsc - l->last_tsc), 1);
		if (sent > 1)
			hist_add(l->gap_ns, 0, sent - 1u);
	}
	l->last_tsc = now_tsc;
}

static void
note_full(struct tx_lane *l, bool full, uint64_t now_tsc)
{
	l->tx_full_count += full;
	if (full && l->full_since_tsc == 0)
		l->full_since_tsc = now_tsc;
	if (!full && l->full_since_tsc != 0) {
		l->tx_full_tsc += now_tsc - l->full_since_tsc;
		l->full_since_tsc = 0;
	}
}

static uint64_t
bytes_of(struct rte_mbuf *const *pkts, uint16_t n)
{
	uint64_t bytes = 0;

	for (uint16_t k = 0; k < n; k++)
		bytes += rte_pktmbuf_pkt_len(pkts[k]);
	return bytes;
}

/* Hands the pending frames to the driver; what it does not take stays first in line. */
static inline uint16_t
transmit(struct tx_lane *l, uint64_t now_tsc)
{
	uint16_t n = l->pending_count;
	/* asked before, since frames that are gone cannot be */
	uint64_t bytes = l->series.point != NULL ? bytes_of(l->pending, n) : 0;
	burst_hand_over(l->pending, n);
	uint16_t sent = rte_eth_tx_burst(l->stream->tx_port, l->queue, l->pending, n);
	uint16_t left = (uint16_t)(n - sent);

	if (left > 0 || l->full_since_tsc != 0)
		note_full(l, left > 0, now_tsc);
	if (sent == 0)
		return 0;
	note_departures(l, sent, now_tsc);
	if (l->series.point != NULL)
		series_add(&l->series, now_tsc, sent, bytes - (left > 0 ? bytes_of(&l->pending[sent], left) : 0));
	l->sent_count += sent;
	if (left > 0) {
		memmove(l->pending, &l->pending[sent], left * sizeof(l->pending[0]));
		memmove(l->l4_sum, &l->l4_sum[sent], left * sizeof(l->l4_sum[0]));
	}
	if (l->due_count > sent)
		memmove(l->due, &l->due[sent], (size_t)(l->due_count - sent) * sizeof(l->due[0]));
	l->pending_count = left;
	l->due_count = (uint16_t)(l->due_count - sent);
	return sent;
}

static inline uint64_t
tick(bool on)
{
	return on ? rte_rdtsc() : 0;
}

/* Sends what of a lane is due.  Returns the frames sent. */
static inline uint16_t
send_due(const struct trial *t, struct tx_lane *l, uint64_t now_tsc, struct profile *profile)
{
	const bool profiled = profile != NULL;
	uint64_t t0 = tick(profiled);

	if (l->pace.shape == PACE_SATURATE)
		l->due_count = now_tsc < l->pace.start_tsc ? 0 : TRIAL_BURST;
	else if (l->due_count < TRIAL_BURST)
		l->due_count += pace_take(&l->pace, now_tsc, (uint16_t)(TRIAL_BURST - l->due_count), &l->due[l->due_count]);
	if (l->due_count == 0)
		return 0;
	uint64_t t1 = tick(profiled);
	if (l->pending_count < l->due_count)
		build(t, l);
	uint64_t send_tsc = rte_rdtsc();
	stamp_times(l, send_tsc);
	uint64_t t2 = tick(profiled);
	uint16_t sent = transmit(l, send_tsc);
	if (profiled && sent > 0) {
		profile->pace_tsc += t1 - t0;
		profile->build_tsc += t2 - t1;
		profile->tx_tsc += rte_rdtsc() - t2;
		profile->sent += sent;
	}
	return sent;
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static inline uint16_t
receive(const struct trial_part *part, struct rx_lane *l, struct profile *profile)
{
	struct rte_mbuf *pkts[TRIAL_BURST];
	const bool profiled = profile != NULL;
	uint64_t t0 = tick(profiled);
	uint16_t n = rte_eth_rx_burst(l->stream->rx_port, l->queue, pkts, TRIAL_BURST);

	if (n == 0)
		return 0;
	uint64_t now = rte_rdtsc();
	burst_take_over(pkts, n);
	if (part->trial->capture != NULL)
		capture_burst(&part->trial->capture->part[part->number], l->stream->rx_port, pkts, n, now);
	account_burst(&l->account, pkts, n, now);
	uint64_t t1 = tick(profiled);
	burst_free(pkts, n);
	if (profiled) {
		profile->meter_tsc += t1 - now;
		profile->rx_tsc += now - t0 + rte_rdtsc() - t1;
		profile->received += n;
	}
	return n;
}

/* ---- the worker itself ---------------------------------------------------------------------------------------- */

/* True once every lane of this worker has sent all that was due within the duration, or the grace is over: what was due
 * just before the end, or while the kernel had the CPU then, is late, not unsent. */
static bool
sending_done(const struct trial_part *part, uint64_t now_tsc)
{
	const struct trial *t = part->trial;
	const uint64_t grace_tsc = clock_ticks(RTE_MIN(GRACE_MAX_S, GRACE_RATIO * t->duration_s));

	for (uint32_t i = part->tx_first; i < t->tx_lanes; i += part->tx_step) {
		const struct tx_lane *l = &t->tx[i];
		bool all = pace_done(&l->pace, now_tsc) && (l->due_count == 0 || l->pace.shape == PACE_SATURATE);
		if (!all && now_tsc < l->pace.end_tsc + grace_tsc)
			return false;
	}
	return true;
}

static inline bool
stopped(const struct trial *t)
{
	return __atomic_load_n(&t->stop, __ATOMIC_RELAXED);
}

/* True when the receiver may go: sending is over and it has been silent, or the patience is; of a trial that is held,
 * when it is told so. */
static bool
receiving_done(struct trial *t, uint64_t now_tsc, uint64_t last_rx_tsc)
{
	uint64_t end = __atomic_load_n(&t->tx_end_tsc, __ATOMIC_ACQUIRE);

	if (t->held)
		return stopped(t);
	if (end == 0 || now_tsc < end) /* the sender may have ended after this iteration began */
		return false;
	if (clock_seconds(now_tsc - RTE_MAX(end, last_rx_tsc)) > t->drain_s)
		return true;
	if (clock_seconds(now_tsc - end) <= t->drain_max_s)
		return false;
	__atomic_store_n(&t->undrained, true, __ATOMIC_RELAXED);
	return true;
}

/* The last sender to end ends the sending. */
static void
end_sending(const struct trial_part *part, uint64_t now_tsc)
{
	struct trial *t = part->trial;

	for (uint32_t i = part->tx_first; i < t->tx_lanes; i += part->tx_step)
		note_full(&t->tx[i], false, now_tsc);
	if (__atomic_sub_fetch(&t->senders, 1, __ATOMIC_ACQ_REL) == 0)
		__atomic_store_n(&t->tx_end_tsc, now_tsc, __ATOMIC_RELEASE);
}

/* One look at every lane.  Returns the frames moved. */
static inline uint32_t
iterate(struct trial_part *part, bool sending, uint64_t now_tsc, struct profile *profile)
{
	struct trial *t = part->trial;
	uint32_t moved = 0;

	for (uint32_t i = part->tx_first; sending && i < t->tx_lanes; i += part->tx_step)
		moved += send_due(t, &t->tx[i], now_tsc, profile);
	for (uint32_t i = part->rx_first; part->rx_step > 0 && i < t->rx_lanes; i += part->rx_step) {
		uint16_t n = receive(part, &t->rx[i], profile);
		if (n > 0)
			__atomic_store_n(&part->last_rx_tsc, now_tsc, __ATOMIC_RELAXED);
		moved += n;
	}
	return moved;
}

/* True once there is something to be sent: what the worker sees of itself counts from here. */
static bool
begins(const struct trial *t, struct loop_stats *stats, uint64_t *before_tsc)
{
	if (!__atomic_load_n(&t->go, __ATOMIC_ACQUIRE))
		return false;
	loop_note_kernel(stats, -1);
	*before_tsc = rte_rdtsc();
	return true;
}

static inline void
let_others_run(enum idle idle, uint32_t moved, uint32_t *since_yield)
{
	*since_yield += moved;
	if (moved == 0)
		idle_wait(idle);
	if (idle == IDLE_YIELD && *since_yield >= YIELD_AFTER) {
		*since_yield = 0;
		idle_wait(IDLE_YIELD);
	}
}

void
trial_run(void *arg)
{
	struct trial_part *part = arg;
	struct trial *t = part->trial;
	struct loop_stats stats = {0};
	const uint64_t stall_tsc = clock_ticks(LOOP_STALL_NS * 1e-9);
	bool sending = part->tx_step > 0; /* or is going to */
	bool begun = false;
	bool proper = false; /* idle is a figure of the trial proper, not of the drain */
	uint32_t since_yield = 0;
	uint64_t before = 0;

	for (;;) {
		begun = begun || begins(t, &stats, &before);
		uint64_t now = rte_rdtsc();
		bool profiled = t->profile && stats.iterations % PROFILE_EVERY == 0;

		if (proper || (begun && !t->held))
			loop_note_gap(&stats, now - before, stall_tsc);
		before = now;
		if (sending && (stopped(t) || (begun && sending_done(part, now)))) {
			sending = false;
			end_sending(part, now);
		}
		uint32_t moved = iterate(part, sending && begun, now, profiled ? &stats.profile : NULL);
		if (!sending && (part->rx_step == 0 || receiving_done(t, now, part->last_rx_tsc)))
			break;
		proper = begun && (sending || __atomic_load_n(&t->tx_end_tsc, __ATOMIC_RELAXED) == 0);
		stats.iterations += proper;
		stats.idle_iterations += proper && moved == 0;
		let_others_run(part->idle, moved, &since_yield);
	}
	if (begun)
		loop_note_kernel(&stats, 1);
	part->stats = stats;
}
