/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Accounts against a model that remembers every number of every flow, and works with times, not with histograms.
 */
#include "account.h"

#include <string.h>

#include "clock.h"
#include "fakembuf.h"
#include "frame.h"
#include "stamp.h"
#include "test.h"

#define FLOWS 7u
#define NUMBERS 3000u
#define EVENTS 6000u
#define EPOCH 77u
#define STREAM 3u
#define BURST 32u
#define PARTS 3u
#define SERIES_POINTS 500u

struct model_flow {
	int64_t highest;
	bool seen[NUMBERS];
	uint64_t received, frames, duplicates, late, sum_ns;
	uint32_t min_ns, max_ns, last_ns;
};

struct model {
	struct model_flow flow[FLOWS];
	struct hist latency, intended, ipdv, gap;
	uint64_t excluded, bytes, learning, stale, foreign, bursts, burst_max;
	uint64_t first_tsc, last_tsc;
	uint64_t series[SERIES_POINTS][2];
};

/* A frame that is received, or will be. */
struct event {
	uint32_t flow, seq;
	uint64_t sent_tsc;
	uint64_t late_tsc;
	uint16_t bytes;
	uint8_t kind; /* 0 ours, 1 learning, 2 another epoch, 3 another stream, 4 unknown flow, 5 no stamp, 6 too short */
};

static struct model model;
static struct event event[EVENTS];
static uint32_t events;
static uint16_t offset;
static char error[BIG_ERROR_MAX];
static struct account account, part[PARTS];

static void
model_reset(void)
{
	memset(&model, 0, sizeof(model));
	for (uint32_t i = 0; i < FLOWS; i++)
		model.flow[i].highest = -1;
	hist_reset(&model.latency);
	hist_reset(&model.intended);
	hist_reset(&model.ipdv);
	hist_reset(&model.gap);
}

static struct rte_mbuf *
frame_of(const struct event *e)
{
	static uint8_t data[2048];
	uint16_t epoch = e->kind == 2 ? EPOCH + 1 : EPOCH;
	uint8_t stream = e->kind == 1 ? STAMP_STREAM_LEARNING : e->kind == 3 ? STREAM + 1 : STREAM;
	uint16_t bytes = e->bytes;

	memset(data, 0, sizeof(data));
	stamp_write(data + offset, epoch, stamp_flow(stream, e->kind == 4 ? FLOWS + e->flow : e->flow), e->seq);
	stamp_write_time(data + offset, e->sent_tsc, stamp_late_code(e->late_tsc));
	if (e->kind == 5)
		data[offset] ^= 1;
	if (e->kind == 6)
		bytes = (uint16_t)(offset + STAMP_BYTES - 1 - e->seq % 20);
	return fake_mbuf(data, bytes, 0);
}

/* RFC 3393 of a pair: both are there, once, one after the other. */
static void
model_flow_add(struct model_flow *f, const struct event *e, uint32_t ns)
{
	bool first = f->frames == 0;

	f->frames++;
	f->sum_ns += ns;
	f->min_ns = first || ns < f->min_ns ? ns : f->min_ns;
	f->max_ns = ns > f->max_ns ? ns : f->max_ns;
	if (f->seen[e->seq]) {
		f->duplicates++;
		model.excluded++;
		return;
	}
	f->seen[e->seq] = true;
	f->received++;
	if (e->seq < f->highest) {
		f->late++;
		model.excluded++;
		return;
	}
	if (e->seq != f->highest + 1)
		model.excluded++;
	else if (!first)
		hist_add(&model.ipdv, ns > f->last_ns ? ns - f->last_ns : f->last_ns - ns, 1);
	f->highest = e->seq;
	f->last_ns = ns;
}

static bool
model_add(const struct event *e, uint64_t now_tsc)
{
	/* a stamp keeps half ticks, and of the lateness 8 bits */
	uint64_t age_tsc = ((now_tsc >> 1) - (e->sent_tsc >> 1)) * 2;
	uint64_t ns = clock_ns(age_tsc);

	model.learning += e->kind == 1;
	model.stale += e->kind == 2;
	model.foreign += e->kind >= 3;
	if (e->kind != 0)
		return false;
	hist_add(&model.latency, ns, 1);
	hist_add(&model.intended, clock_ns(age_tsc + stamp_late_tsc(stamp_late_code(e->late_tsc))), 1);
	model.bytes += e->bytes;
	model_flow_add(&model.flow[e->flow], e, ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX);
	return true;
}

/* `n` frames that come together.  The model counts what ours of them mean for gaps, series, bursts. */
static void
model_burst(const struct event *e, uint16_t n, uint64_t now_tsc, uint64_t start_tsc, uint64_t interval_tsc)
{
	uint64_t bytes = model.bytes;
	uint64_t ours = 0;

	for (uint16_t i = 0; i < n; i++)
		ours += model_add(&e[i], now_tsc);
	if (ours == 0)
		return;
	if (model.last_tsc != 0)
		hist_add(&model.gap, clock_ns(now_tsc - model.last_tsc), 1);
	for (uint64_t i = 1; i < ours; i++)
		hist_add(&model.gap, 0, 1);
	model.first_tsc = model.first_tsc != 0 ? model.first_tsc : now_tsc;
	model.last_tsc = now_tsc;
	model.bursts++;
	model.burst_max = n > model.burst_max ? n : model.burst_max;
	uint64_t k = (now_tsc - start_tsc) / interval_tsc;
	model.series[k][0] += ours;
	model.series[k][1] += model.bytes - bytes;
}

/* Traffic with loss, duplicates, reordering and the frames of others. */
static void
make_traffic(void)
{
	uint32_t next[FLOWS] = {0};

	events = 0;
	while (events + 2 < EVENTS) {
		struct event *e = &event[events++];
		uint64_t dice = test_below(100);
		*e = (struct event){.flow = (uint32_t)test_below(FLOWS), .bytes = (uint16_t)(offset + 18 + test_below(1000)),
				    .late_tsc = test_below(UINT64_C(1) << test_below(36))};
		e->seq = next[e->flow]++;
		if (dice < 5)
			events--; /* lost */
		else if (dice < 8)
			event[events++] = *e; /* twice */
		else if (dice < 12)
			*e = event[test_below(events)]; /* this one lost, and one of long ago again */
		else if (dice < 20) {
			struct event *other = &event[events - 1 - test_below(events < 40 ? events : 40)];
			struct event keep = *other;
			*other = *e;
			*e = keep;
		} else if (dice < 26) {
			e->kind = (uint8_t)(1 + test_below(6));
		}
	}
}

static void
receive(struct account *a, const struct event *e, uint16_t n, uint64_t now_tsc)
{
	struct rte_mbuf *pkts[BURST];

	for (uint16_t i = 0; i < n; i++)
		pkts[i] = frame_of(&e[i]);
	account_burst(a, pkts, n, now_tsc);
	for (uint16_t i = 0; i < n; i++)
		fake_free(pkts[i]);
}

static bool
same_hist(const struct hist *a, const struct hist *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static const char *
check_flows(const struct account *a)
{
	for (uint32_t i = 0; i < FLOWS; i++) {
		const struct flow_stats *f = &a->flow[i];
		const struct model_flow *m = &model.flow[i];
		check(f->received_count == m->received && f->frame_count == m->frames && f->duplicate_count == m->duplicates &&
		      f->reordered_count == m->late, "flow %u: %" PRIu64 " received, %" PRIu64 " by the model", i,
		      f->received_count, m->received);
		check(f->latency_sum_ns == m->sum_ns && f->latency_min_ns == m->min_ns && f->latency_max_ns == m->max_ns,
		      "flow %u: latency %u %u, %u %u by the model", i, f->latency_min_ns, f->latency_max_ns, m->min_ns, m->max_ns);
	}
	return NULL;
}

static const char *
check_account(const struct account *a, bool gaps)
{
	uint64_t received = 0, duplicates = 0, late = 0;

	for (uint32_t i = 0; i < FLOWS; i++) {
		received += model.flow[i].received;
		duplicates += model.flow[i].duplicates;
		late += model.flow[i].late;
	}
	check(a->seq.unique_count == received && a->seq.duplicate_count == duplicates && a->seq.reordered_count == late,
	      "%" PRIu64 " %" PRIu64 " %" PRIu64 ", not %" PRIu64 " %" PRIu64 " %" PRIu64, a->seq.unique_count,
	      a->seq.duplicate_count, a->seq.reordered_count, received, duplicates, late);
	check(a->ours_count == received + duplicates && a->ours_bytes == model.bytes, "%" PRIu64 " bytes", a->ours_bytes);
	check(a->learning_count == model.learning && a->stale_count == model.stale && a->foreign_count == model.foreign,
	      "%" PRIu64 " %" PRIu64 " %" PRIu64 " not ours", a->learning_count, a->stale_count, a->foreign_count);
	check(same_hist(&a->latency_ns, &model.latency), "latency");
	check(same_hist(a->latency_intended_ns, &model.intended), "latency from the intended time");
	check(same_hist(a->ipdv_ns, &model.ipdv), "ipdv of %" PRIu64 ", not %" PRIu64, a->ipdv_ns->total, model.ipdv.total);
	check(a->ipdv_excluded_count == model.excluded, "%" PRIu64 " pairs excluded, not %" PRIu64, a->ipdv_excluded_count,
	      model.excluded);
	check(!gaps || same_hist(a->gap_ns, &model.gap), "gaps");
	check(a->first_tsc == model.first_tsc && a->last_tsc == model.last_tsc, "span");
	check(a->burst_count == model.bursts && a->burst_max == model.burst_max, "%" PRIu64 " bursts", a->burst_count);
	for (uint32_t i = 0; i < SERIES_POINTS; i++) {
		uint64_t frames = i < a->series.used ? a->series.point[i].frames : 0;
		uint64_t bytes = i < a->series.used ? a->series.point[i].bytes : 0;
		check(frames == model.series[i][0] && bytes == model.series[i][1], "interval %u: %" PRIu64, i, frames);
	}
	return check_flows(a);
}

static int
start(struct account *a, uint64_t start_tsc)
{
	const struct account_request r = {.epoch = EPOCH, .stream = STREAM, .flows = FLOWS, .stamp_offset = offset,
					  .gaps = true, .ipdv = true, .records = true, .interval_s = 0.001, .span_s = 0.4};

	if (account_init(a, &r, error) != 0)
		return -1;
	series_start(&a->series, start_tsc);
	return 0;
}

/* One account of everything, and `parts` of which each has flows of its own; frames that come together are of one. */
static const char *
run(uint32_t parts)
{
	const uint64_t start_tsc = 1 + (test_random() >> test_below(50));
	const uint64_t interval_tsc = clock_ticks(0.001);
	uint64_t now = start_tsc;

	offset = (uint16_t)(FRAME_STAMP_OFFSET + 4 * test_below(20));
	model_reset();
	make_traffic();
	check(start(&account, start_tsc) == 0, "%s", error);
	for (uint32_t i = 0; i < parts; i++)
		check(start(&part[i], start_tsc) == 0, "%s", error);
	for (uint32_t at = 0; at < events;) {
		uint32_t owner = event[at].flow % parts;
		uint16_t n = 0;
		uint64_t most = 1 + test_below(BURST);
		now += test_below(interval_tsc / 10);
		while (n < most && at + n < events && event[at + n].flow % parts == owner) {
			/* up to 50 ms ago, seldom more than a stamp's histogram holds */
			event[at + n].sent_tsc = now - test_below(clock_ticks(0.05)) - (test_below(500) == 0 ? clock_ticks(5) : 0);
			n++;
		}
		receive(&account, &event[at], n, now);
		receive(&part[owner], &event[at], n, now);
		model_burst(&event[at], n, now, start_tsc, interval_tsc);
		at += n;
	}
	const char *why = check_account(&account, true);
	for (uint32_t i = 1; i < parts; i++)
		account_merge(&part[0], &part[i]);
	if (why == NULL)
		why = check_account(&part[0], parts == 1);
	if (why == NULL)
		check(part[0].crossed_flows_count == 0, "%" PRIu64 " crossed", part[0].crossed_flows_count);
	account_free(&account);
	for (uint32_t i = 0; i < parts; i++)
		account_free(&part[i]);
	return why;
}

static const char *
test_everything_is_as_the_model_says(void)
{
	for (int round = 0; round < 10; round++) {
		const char *why = run(1);
		if (why != NULL)
			return why;
	}
	return NULL;
}

static const char *
test_merged_accounts_are_one_account(void)
{
	for (int round = 0; round < 10; round++) {
		const char *why = run(2 + (uint32_t)round % 2);
		if (why != NULL)
			return why;
	}
	return NULL;
}

/* A flow that several workers received is told once, however many they were. */
static const char *
test_crossed_flows_are_told(void)
{
	for (int round = 0; round < 50; round++) {
		uint32_t receivers[FLOWS] = {0};
		uint64_t want = 0;

		offset = FRAME_STAMP_OFFSET;
		for (uint32_t i = 0; i < PARTS; i++)
			check(start(&part[i], 0) == 0, "%s", error);
		for (uint32_t i = 0; i < PARTS; i++) {
			for (uint32_t flow = 0; flow < FLOWS; flow++) {
				const struct event e = {.flow = flow, .seq = i, .bytes = 64};
				if (test_below(2) == 0)
					continue;
				receivers[flow]++;
				receive(&part[i], &e, 1, 1000);
			}
		}
		for (uint32_t i = 1; i < PARTS; i++)
			account_merge(&part[0], &part[i]);
		for (uint32_t flow = 0; flow < FLOWS; flow++)
			want += receivers[flow] > 1;
		check(part[0].crossed_flows_count == want, "%" PRIu64 " crossed flows, not %" PRIu64, part[0].crossed_flows_count,
		      want);
		for (uint32_t i = 0; i < PARTS; i++)
			account_free(&part[i]);
	}
	return NULL;
}

/* Without stamps every frame counts, and nothing is read. */
static const char *
test_unstamped(void)
{
	const struct account_request r = {.flows = 1, .stamp_offset = FRAME_STAMP_OFFSET, .unstamped = true, .gaps = true};
	uint64_t bytes = 0;
	uint64_t frames = 0;

	check(account_init(&account, &r, error) == 0, "%s", error);
	for (int i = 0; i < 1000; i++) {
		uint8_t data[100] = {0};
		struct rte_mbuf *m = fake_mbuf(data, 14 + (uint32_t)test_below(80), (uint16_t)(14 + test_below(80)));
		account_burst(&account, &m, 1, 1 + (uint64_t)i);
		bytes += m->pkt_len;
		frames++;
		fake_free(m);
	}
	check(account.seq.unique_count == frames && account.ours_count == frames && account.ours_bytes == bytes,
	      "%" PRIu64 " frames, %" PRIu64 " bytes", account.ours_count, account.ours_bytes);
	check(account.latency_ns.total == 0 && account.gap_ns->total == frames - 1, "%" PRIu64 " gaps", account.gap_ns->total);
	account_free(&account);
	return NULL;
}

/* A series is as long as what fell into it, and what comes later is in its last interval. */
static const char *
test_series(void)
{
	for (int round = 0; round < 20; round++) {
		struct series s, other;
		uint64_t start_tsc = test_random() >> 2;
		uint64_t interval = clock_ticks(0.01);
		uint64_t frames = 0;
		uint64_t want[12] = {0};

		check(series_init(&s, 0.01, 0.1) == 0 && series_init(&other, 0.01, 0.1) == 0, "no memory");
		check(s.points == 11, "%u points", s.points);
		series_start(&s, start_tsc);
		series_start(&other, start_tsc);
		for (int i = 0; i < 300; i++) {
			uint64_t after = test_below(interval * 15);
			uint64_t n = 1 + test_below(32);
			series_add(test_below(2) ? &s : &other, start_tsc + after, n, 60 * n);
			want[after / interval < 10 ? after / interval : 10] += n;
			frames += n;
		}
		series_add(&s, start_tsc - 1, 1000, 1000); /* of before the trial */
		series_merge(&s, &other);
		for (uint32_t i = 0; i < 11; i++) {
			check(s.point[i].frames == want[i] && s.point[i].bytes == 60 * want[i], "interval %u: %" PRIu64, i,
			      s.point[i].frames);
			frames -= s.point[i].frames;
		}
		check(frames == 0 && s.used <= 11, "%" PRIu64 " frames lost", frames);
		series_free(&s);
		series_free(&other);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_everything_is_as_the_model_says),
		TEST(test_merged_accounts_are_one_account),
		TEST(test_crossed_flows_are_told),
		TEST(test_unstamped),
		TEST(test_series),
		{NULL, NULL},
	};

	clock_init();
	return test_main(argc, argv, tests);
}
