/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The schedule against one in 128-bit integers: rates are whole packets a second and durations whole
 * milliseconds, so that the model is exact.
 */
#include "pace.h"

#include <math.h>
#include <stdbool.h>

#include "test.h"

#define SCHEDULES 20000
#define TIMES 100
#define RATE_MAX 100000000u
#define DURATION_MAX_MS 3600000u
#define EXACT_TOTAL UINT64_C(1000000000) /* up to here floor(rate x duration) is exact, beyond within 1 */

struct model {
	uint64_t rate;
	uint64_t ms;
	uint64_t hz;
	uint64_t start;
	uint64_t total;
};

static struct model
random_model(void)
{
	struct model m = {.hz = 1000000000 + test_below(UINT64_C(4000000000)),
			  .start = test_random() >> (8 + test_below(50))};

	/* log-uniform; a third of the rates are round numbers */
	m.rate = 1 + test_below(UINT64_C(1) << test_below(27));
	for (uint64_t ten = test_below(3) == 0 ? test_below(9) : 0; ten > 0; ten--)
		m.rate = m.rate * 10 <= RATE_MAX ? m.rate * 10 : m.rate;
	m.rate = m.rate < RATE_MAX ? m.rate : RATE_MAX;
	m.ms = 1 + test_below(UINT64_C(1) << test_below(22));
	m.ms = m.ms < DURATION_MAX_MS ? m.ms : DURATION_MAX_MS;
	m.total = m.rate * m.ms / 1000;
	m.total = m.total > 0 ? m.total : 1;
	return m;
}

/* Due by `now`, the first one at the start itself. */
static uint64_t
model_due(const struct model *m, uint64_t now)
{
	if (now < m->start)
		return 0;
	unsigned __int128 due = (unsigned __int128)(now - m->start) * m->rate / m->hz + 1;
	return due < m->total ? (uint64_t)due : m->total;
}

static struct pace
start(enum pace_shape shape, double rate_pps, double duration_s, uint64_t hz, uint64_t start_tsc)
{
	const struct pace_request r = {.shape = shape, .rate_pps = rate_pps, .burst_frames = 7, .seed = test_random()};
	struct pace p;

	pace_start(&p, &r, duration_s, hz, start_tsc);
	return p;
}

static bool
near(uint64_t a, uint64_t b)
{
	return a == b || a + 1 == b || b + 1 == a;
}

/* Packets at random places of the schedule are due when 128-bit integers say so, to two ticks. */
static const char *
test_follows_the_exact_schedule(void)
{
	for (int i = 0; i < SCHEDULES; i++) {
		struct model m = random_model();
		struct pace p = start(PACE_CONSTANT, (double)m.rate, (double)m.ms / 1000, m.hz, m.start);
		uint64_t length = (uint64_t)((unsigned __int128)m.ms * m.hz / 1000);

		check(m.total <= EXACT_TOTAL ? p.total == m.total : near(p.total, m.total),
		      "%" PRIu64 " pps for %" PRIu64 " ms is %" PRIu64 ", not %" PRIu64, m.rate, m.ms, p.total, m.total);
		check(p.start_tsc == m.start && near(p.end_tsc, m.start + length), "%" PRIu64 " ms at %" PRIu64 " Hz",
		      m.ms, m.hz);
		check(p.next_due == m.start, "the first is due at the start");
		for (int k = 0; k < TIMES; k++) {
			p.next = test_below(p.total);
			uint64_t due = pace_schedule(&p);
			check(model_due(&m, due + 2) > p.next && (due < m.start + 2 || model_due(&m, due - 2) <= p.next),
			      "%" PRIu64 " pps at %" PRIu64 " Hz: packet %" PRIu64 " due after %" PRIu64 " ticks", m.rate, m.hz,
			      p.next, due - m.start);
		}
	}
	return NULL;
}

/* However the sender looks, it takes every packet once, none early, in order, and all that the trial intends. */
static const char *
test_every_packet_is_taken_once(void)
{
	static const enum pace_shape shapes[] = {PACE_CONSTANT, PACE_BURST, PACE_RAMP, PACE_POISSON};
	const uint64_t hz = 2445400000;

	for (int i = 0; i < 400; i++) {
		enum pace_shape shape = shapes[i % 4];
		double rate = 1000 + (double)test_below(2000000);
		struct pace p = start(shape, rate, 0.01, hz, 12345);
		struct pace whole = p;
		uint64_t intended = pace_intended(&whole);
		uint64_t now = 12000;
		uint64_t taken = 0;
		uint64_t last = 0;
		uint64_t due[32];

		while (!pace_done(&p, now)) {
			uint16_t n = pace_take(&p, now, (uint16_t)(1 + test_below(32)), due);
			for (uint16_t k = 0; k < n; k++) {
				check(due[k] <= now && due[k] >= last, "shape %d: due %" PRIu64 " at %" PRIu64, shape, due[k], now);
				last = due[k];
			}
			taken += n;
			now += test_below(n == 32 ? 10 : 3000);
		}
		taken += pace_take(&p, p.end_tsc, 32, due);
		check(taken + 32 >= intended && taken <= intended, "shape %d: %" PRIu64 " of %" PRIu64, shape, taken, intended);
		check(shape == PACE_POISSON || intended == p.total, "shape %d intends %" PRIu64 " of %" PRIu64, shape, intended,
		      p.total);
	}
	return NULL;
}

/* The gaps of a Poisson process: mean 1/rate and variance 1/rate^2, within 5 standard errors; independent neighbours. */
static const char *
test_poisson_is_poisson(void)
{
	const double rate = 1e6;
	const uint64_t n = 400000;
	struct pace p = start(PACE_POISSON, rate, 1e3, 1000000000, 0);
	double sum = 0, squares = 0, products = 0, before = 0;
	uint64_t last = p.next_due;

	for (uint64_t i = 0; i < n; i++) {
		pace_advance(&p);
		double gap = (double)(p.next_due - last) / 1000;
		last = p.next_due;
		sum += gap;
		squares += gap * gap;
		products += (gap - 1) * (before - 1);
		before = gap;
	}
	double mean = sum / (double)n;
	double variance = squares / (double)n - mean * mean;
	check(fabs(mean - 1) < 5 / sqrt((double)n), "mean gap %g", mean);
	check(fabs(variance - 1) < 5 * sqrt(8.0 / (double)n), "variance %g", variance);
	check(fabs(products / (double)n) < 5 / sqrt((double)n), "neighbours correlate by %g", products / (double)n);
	return NULL;
}

static const char *
test_bursts_and_ramps(void)
{
	const struct pace_request burst = {.shape = PACE_BURST, .rate_pps = 1000, .burst_frames = 10, .burst_pps = 1e6};
	const struct pace_request ramp = {.shape = PACE_RAMP, .rate_pps = 2000, .ramp_from_pps = 1000};
	struct pace p;

	pace_start(&p, &burst, 1, 1000000000, 0);
	for (p.next = 0; p.next < 1000; p.next++) {
		uint64_t want = p.next / 10 * 10000000 + p.next % 10 * 1000;
		check(near(pace_schedule(&p), want), "packet %" PRIu64 " of bursts due at %" PRIu64, p.next, pace_schedule(&p));
	}
	pace_start(&p, &ramp, 1, 1000000000, 0);
	check(p.total == 1500, "a ramp from 1000 to 2000 pps sends %" PRIu64 " in a second", p.total);
	for (p.next = 1; p.next < p.total; p.next++) {
		double t = (double)pace_schedule(&p) * 1e-9;
		double n = 1000 * t + 500 * t * t;
		check(fabs(n - (double)p.next) < 1e-3, "packet %" PRIu64 " of a ramp comes as number %g", p.next, n);
	}
	return NULL;
}

/* A recording: its times, scaled, and again one mean gap after the last. */
static const char *
test_recordings(void)
{
	const uint64_t times[] = {0, 10, 1000, 1000, 5000};
	struct pace_request r = {.shape = PACE_LIST, .list_ns = times, .list_count = 5, .list_stride = sizeof(times[0]),
				 .list_scale = 2, .list_loop = true};
	struct pace p;

	pace_start(&p, &r, 1, 1000000000, 100);
	for (p.next = 0; p.next < 50; p.next++) {
		uint64_t want = 100 + p.next / 5 * 12500 + 2 * times[p.next % 5];
		check(near(pace_schedule(&p), want), "frame %" PRIu64 " due at %" PRIu64, p.next, pace_schedule(&p));
	}
	r.list_loop = false;
	pace_start(&p, &r, 1, 1000000000, 100);
	check(pace_intended(&p) == 5, "once through are %" PRIu64, p.next);
	return NULL;
}

/* Packets of the schedule before its end, one by one; at most `most`. */
static uint64_t
count_due(struct pace p, uint64_t most)
{
	while (p.next < most && p.next_due < p.end_tsc)
		pace_advance(&p);
	return p.next;
}

/* However the sender got on, what was intended is what a sender that misses nothing would have sent. */
static const char *
test_what_was_intended_is_found_exactly(void)
{
	static const enum pace_shape shapes[] = {PACE_CONSTANT, PACE_BURST, PACE_RAMP, PACE_POISSON, PACE_LIST};

	for (int round = 0; round < 3000; round++) {
		uint64_t times[8] = {0};
		uint32_t frames = 1 + (uint32_t)test_below(8);
		for (uint32_t i = 1; i < frames; i++)
			times[i] = times[i - 1] + test_below(round % 2 ? 3 : 2000);
		struct pace_request r = {.shape = shapes[test_below(5)], .rate_pps = 1 + (double)test_below(30000),
					 .ramp_from_pps = (double)test_below(30000), .burst_frames = 1 + (uint32_t)test_below(40),
					 .seed = test_random(), .list_ns = times, .list_count = frames,
					 .list_stride = sizeof(times[0]), .list_scale = 1 + (double)test_below(1000),
					 .list_loop = test_below(2) == 0};
		struct pace p;
		uint64_t due[32];

		r.burst_pps = test_below(2) ? r.rate_pps * (1 + (double)test_below(5)) : 0;
		pace_start(&p, &r, 0.01, 2400000000, test_random() >> 8);
		for (uint64_t calls = test_below(4); calls > 0; calls--)
			pace_take(&p, p.start_tsc + test_below(30000000), 32, due);
		uint64_t want = count_due(p, 1000000);
		if (want < 1000000)
			check(pace_intended(&p) == want, "shape %d: %" PRIu64 ", not %" PRIu64, r.shape, p.next, want);
		check(pace_take(&p, UINT64_MAX, 32, due) == 0 || want == 1000000, "shape %d: more is due", r.shape);
	}
	return NULL;
}

/* Rounds take time even if no two frames of the recording are apart, and billions of rounds do not have to be counted. */
static const char *
test_recordings_without_gaps(void)
{
	const uint64_t times[] = {0, 0, 0, 1};
	struct pace_request r = {.shape = PACE_LIST, .list_ns = times, .list_count = 3, .list_stride = sizeof(times[0]),
				 .list_scale = 1, .list_loop = true};
	struct pace p;

	pace_start(&p, &r, 10, 1000000000, 5);
	check(pace_intended(&p) == 30, "10 rounds of 3 frames at one time are %" PRIu64, p.next);
	r.list_count = 4;
	r.list_scale = 1e-6;
	pace_start(&p, &r, 1, 1000000000, 5);
	uint64_t n = pace_intended(&p);
	check(fabs((double)n / 3e15 - 1) < 1e-6, "4 frames in 1 ns, a million times as fast: %" PRIu64, n);
	return NULL;
}

/* What comes too late is given up, and counted. */
static const char *
test_giving_up(void)
{
	struct pace p = start(PACE_CONSTANT, 1e6, 1, 1000000000, 0);
	uint64_t due[32];

	p.catch_up_tsc = 10000; /* 10 packets */
	uint16_t n = pace_take(&p, 1000000, 32, due);
	check(p.skipped_count + n == 1001 || n == 32, "%" PRIu64 " given up, %u taken", p.skipped_count, n);
	check(n >= 10 && n <= 12 && 1000000 - due[0] <= 10000, "%u taken, the first due at %" PRIu64, n, due[0]);
	return NULL;
}

static const char *
test_saturation_has_no_limit(void)
{
	struct pace p = start(PACE_SATURATE, 0, 1, 2400000000, 1000);

	check(p.total == UINT64_MAX && pace_intended(&p) == UINT64_MAX, "total %" PRIu64, p.total);
	check(p.end_tsc == 2400001000, "end %" PRIu64, p.end_tsc);
	check(!pace_done(&p, 2400000999) && pace_done(&p, 2400001000), "ends at the wrong time");
	return NULL;
}

static const char *
test_products_that_are_not_exact_in_binary(void)
{
	static const struct {
		double rate_pps;
		double duration_s;
		uint64_t total;
	} known[] = {
		{10, 0.1, 1},	     {10, 0.3, 3},	   {1000, 0.001, 1},  {3, 1.0 / 3, 1},	{1e6, 0.7, 700000},
		{0.1, 10, 1},	     {0.5, 1, 1},	   {1e6, 1e-9, 1},    {1.5, 1, 1},	{14880952.38, 1, 14880952},
		{29, 0.29, 8},	     {1e8, 3600, 360000000000}, {100, 1.1, 110}, {1e3, 0.9999, 999}, {70, 0.1, 7},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct pace p = start(PACE_CONSTANT, known[i].rate_pps, known[i].duration_s, 2445400000, 0);
		check(p.total == known[i].total, "%g pps for %g s is %" PRIu64 ", not %" PRIu64, known[i].rate_pps,
		      known[i].duration_s, p.total, known[i].total);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_follows_the_exact_schedule),
		TEST(test_every_packet_is_taken_once),
		TEST(test_poisson_is_poisson),
		TEST(test_bursts_and_ramps),
		TEST(test_recordings),
		TEST(test_what_was_intended_is_found_exactly),
		TEST(test_recordings_without_gaps),
		TEST(test_giving_up),
		TEST(test_saturation_has_no_limit),
		TEST(test_products_that_are_not_exact_in_binary),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
