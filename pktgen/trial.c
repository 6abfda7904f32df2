/* SPDX-License-Identifier: BSD-3-Clause */
#include "trial.h"

#include <rte_cycles.h>
#include <rte_memcpy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"

#define HEADER_COPY_BYTES 64u /* all that differs between frames; the rest of a tx buffer is zero for good */
#define YIELD_AFTER 256u      /* frames after which a poller that shares its core lets the others run */

int
trial_prepare(struct trial *t, char error[TRIAL_ERROR_MAX])
{
	for (uint32_t i = 0; i < t->streams; i++) {
		struct stream *s = &t->stream[i];
		struct rte_ether_addr src;
		struct rte_ether_addr dst = {{0x02, 0x76, 0x73, 0x77, 0x01, (uint8_t)i}};

		rte_eth_macaddr_get(s->tx_port, &src);
		if (s->metered)
			rte_eth_macaddr_get(s->rx_port, &dst);
		frame_build(&s->frame, s->frame_bytes, (uint8_t)i, &src, &dst);
		s->next_seq = calloc(s->flows, sizeof(*s->next_seq));
		if (s->next_seq == NULL || (s->metered && account_init(&s->account, t->epoch, (uint8_t)i, s->flows) != 0)) {
			snprintf(error, TRIAL_ERROR_MAX, "no memory for %u flows", s->flows);
			trial_free(t);
			return -1;
		}
	}
	return 0;
}

void
trial_free(struct trial *t)
{
	for (uint32_t i = 0; i < t->streams; i++) {
		struct stream *s = &t->stream[i];
		rte_pktmbuf_free_bulk(s->pending, s->pending_count);
		s->pending_count = 0;
		free(s->next_seq);
		s->next_seq = NULL;
		account_free(&s->account);
	}
}

static inline void
build_one(struct stream *s, uint16_t epoch, uint32_t stream, struct rte_mbuf *m)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t flow = s->next_flow;

	m->data_len = s->frame.mbuf_bytes;
	m->pkt_len = s->frame.mbuf_bytes;
	rte_memcpy(p, s->frame.bytes, HEADER_COPY_BYTES);
	if (s->flows > 1) {
		frame_set_flow(&s->frame, p, flow);
		s->next_flow = flow + 1 < s->flows ? flow + 1 : 0;
	}
	stamp_write(p + FRAME_STAMP_OFFSET, epoch, stamp_flow(stream, flow), s->next_seq[flow]++);
}

/* Fills pending[] up to `want` frames. */
static inline void
build(struct trial *t, uint32_t i, uint64_t want)
{
	struct stream *s = &t->stream[i];
	uint16_t have = s->pending_count;
	uint16_t n = (uint16_t)(RTE_MIN(want, (uint64_t)TRIAL_BURST) - have);

	if (rte_pktmbuf_alloc_bulk(t->ports->tx_pool, &s->pending[have], n) != 0) {
		s->alloc_failed_count++;
		return;
	}
	for (uint16_t k = 0; k < n; k++)
		build_one(s, t->epoch, i, s->pending[have + k]);
	s->pending_count = (uint16_t)(have + n);
}

/* Sends what of stream i is due at `now`.  Returns the frames sent. */
static inline uint16_t
send_due(struct trial *t, uint32_t i, uint64_t now_tsc)
{
	struct stream *s = &t->stream[i];
	uint64_t want = pace_due(&s->pace, now_tsc) - s->sent_count;

	if (want == 0)
		return 0;
	if (s->pending_count < TRIAL_BURST && s->pending_count < want)
		build(t, i, want);
	for (uint16_t k = 0; k < s->pending_count; k++)
		stamp_write_time(rte_pktmbuf_mtod_offset(s->pending[k], void *, FRAME_STAMP_OFFSET), now_tsc);
	uint16_t sent = rte_eth_tx_burst(s->tx_port, 0, s->pending, s->pending_count);
	s->sent_count += sent;
	if (sent < s->pending_count) {
		s->tx_full_count++;
		memmove(s->pending, &s->pending[sent], (size_t)(s->pending_count - sent) * sizeof(s->pending[0]));
	}
	s->pending_count = (uint16_t)(s->pending_count - sent);
	return sent;
}

static inline uint16_t
receive(struct stream *s)
{
	struct rte_mbuf *pkts[TRIAL_BURST];
	uint16_t n = rte_eth_rx_burst(s->rx_port, 0, pkts, TRIAL_BURST);

	if (n == 0)
		return 0;
	account_burst(&s->account, pkts, n, rte_rdtsc());
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

/* True once every stream has sent all, or time is up. */
static bool
sending_done(const struct trial *t, uint64_t now_tsc)
{
	for (uint32_t i = 0; i < t->streams; i++) {
		const struct stream *s = &t->stream[i];
		if (now_tsc < s->pace.end_tsc && s->sent_count < s->pace.total)
			return false;
	}
	return true;
}

static void
note_gap(struct loop_stats *stats, uint64_t gap_tsc, uint64_t stall_tsc)
{
	if (gap_tsc > stats->gap_max_tsc)
		stats->gap_max_tsc = gap_tsc;
	if (gap_tsc > stall_tsc)
		stats->stall_tsc += gap_tsc;
}

static uint64_t
involuntary_switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_nivcsw;
}

/* True when the receiver may go: sending is over and it has been silent, or the patience is. */
static bool
receiving_done(struct trial *t, uint64_t now_tsc, uint64_t last_rx_tsc)
{
	uint64_t end = __atomic_load_n(&t->tx_end_tsc, __ATOMIC_ACQUIRE);

	if (end == 0 || now_tsc < end) /* the sender may have ended after this iteration began */
		return false;
	if (clock_seconds(now_tsc - RTE_MAX(end, last_rx_tsc)) > t->drain_s) {
		t->drained = true;
		return true;
	}
	return clock_seconds(now_tsc - end) > t->drain_max_s;
}

void
trial_run(void *arg)
{
	struct trial_part *part = arg;
	struct trial *t = part->trial;
	const uint64_t stall_tsc = clock_ticks(TRIAL_STALL_NS * 1e-9);
	bool sending = part->sends;
	uint64_t last_rx_tsc = 0;
	uint64_t before = rte_rdtsc();
	uint32_t since_yield = 0;

	memset(&part->stats, 0, sizeof(part->stats));
	part->stats.involuntary_switches = involuntary_switches();
	for (;;) {
		uint64_t now = rte_rdtsc();
		uint32_t moved = 0;

		note_gap(&part->stats, now - before, stall_tsc);
		before = now;
		part->stats.iterations++;
		if (sending && (sending_done(t, now) || __atomic_load_n(&t->stop, __ATOMIC_RELAXED))) {
			sending = false;
			__atomic_store_n(&t->tx_end_tsc, now, __ATOMIC_RELEASE);
		}
		for (uint32_t i = 0; sending && i < t->streams; i++)
			moved += send_due(t, i, now);
		for (uint32_t i = 0; part->receives && i < t->streams; i++) {
			uint16_t n = t->stream[i].metered ? receive(&t->stream[i]) : 0;
			if (n > 0)
				last_rx_tsc = now;
			moved += n;
		}
		if (!sending && (!part->receives || receiving_done(t, now, last_rx_tsc)))
			break;
		since_yield += moved;
		if (moved == 0) {
			part->stats.idle_iterations++;
			idle_wait(part->idle);
		}
		if (part->idle == IDLE_YIELD && since_yield >= YIELD_AFTER) {
			since_yield = 0;
			idle_wait(IDLE_YIELD);
		}
	}
	part->stats.involuntary_switches = involuntary_switches() - part->stats.involuntary_switches;
}

static json_t *
stream_json(const struct stream *s)
{
	json_t *intended = s->rate_pps > 0 ? json_integer((json_int_t)s->pace.total) : json_null();

	return json_pack("{s:i,s:o,s:o,s:I,s:I,s:I,s:o}", "tx", s->tx_port, "rx",
			 s->metered ? json_integer(s->rx_port) : json_null(), "intended_count", intended, "sent_count",
			 (json_int_t)s->sent_count, "tx_full_count", (json_int_t)s->tx_full_count, "alloc_failed_count",
			 (json_int_t)s->alloc_failed_count, "meter",
			 s->metered ? account_json(&s->account) : json_null());
}

json_t *
trial_json(const struct trial *t)
{
	json_t *streams = json_array();

	for (uint32_t i = 0; i < t->streams; i++)
		json_array_append_new(streams, stream_json(&t->stream[i]));
	return json_pack("{s:o,s:f,s:b}", "streams", streams, "tx_span_s",
			 clock_seconds(t->tx_end_tsc - t->start_tsc), "drained", t->drained);
}

json_t *
loop_stats_json(const struct loop_stats *s)
{
	double idle = s->iterations ? (double)s->idle_iterations / (double)s->iterations : 0;

	return json_pack("{s:I,s:f,s:I,s:I,s:I}", "iterations", (json_int_t)s->iterations, "idle_ratio", idle,
			 "gap_max_ns", (json_int_t)clock_ns(s->gap_max_tsc), "stall_ns",
			 (json_int_t)clock_ns(s->stall_tsc), "involuntary_switches",
			 (json_int_t)s->involuntary_switches);
}
