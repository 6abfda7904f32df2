/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The schedule against one in 128-bit integers: rates are whole packets a second and durations whole
 * milliseconds, so that the model is exact.
 */
#include "pace.h"

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

static uint64_t
model_due(const struct model *m, uint64_t now)
{
	if (now < m->start)
		return 0;
	unsigned __int128 due = (unsigned __int128)(now - m->start) * m->rate / m->hz + 1;
	return due < m->total ? (uint64_t)due : m->total;
}

static bool
near(uint64_t a, uint64_t b)
{
	return a == b || a + 1 == b || b + 1 == a;
}

static const char *
test_follows_the_exact_schedule(void)
{
	for (int i = 0; i < SCHEDULES; i++) {
		struct model m = random_model();
		struct pace p;
		uint64_t length = (uint64_t)((unsigned __int128)m.ms * m.hz / 1000);
		uint64_t now = m.start > 1000 ? m.start - 1000 : 0;
		uint64_t last = 0;

		pace_start(&p, (double)m.rate, (double)m.ms / 1000, m.hz, m.start);
		check(m.total <= EXACT_TOTAL ? p.total == m.total : near(p.total, m.total),
		      "%" PRIu64 " pps for %" PRIu64 " ms is %" PRIu64 ", not %" PRIu64, m.rate, m.ms, p.total, m.total);
		check(p.start_tsc == m.start && near(p.end_tsc, m.start + length), "%" PRIu64 " ms at %" PRIu64 " Hz",
		      m.ms, m.hz);
		check(m.start == 0 || pace_due(&p, m.start - 1) == 0, "due before the start");
		check(pace_due(&p, 0) == (m.start == 0), "due at 0");
		check(pace_due(&p, m.start) == 1, "the first is due at the start, not %" PRIu64, pace_due(&p, m.start));
		check(pace_due(&p, m.start + 2 * length + m.hz) == p.total, "not all are due long after the end");
		for (int k = 0; k < TIMES; k++) {
			uint64_t due = pace_due(&p, now);
			check(near(due, model_due(&m, now)),
			      "%" PRIu64 " pps for %" PRIu64 " ms at %" PRIu64 " Hz: after %" PRIu64 " ticks %" PRIu64
			      " due, not %" PRIu64,
			      m.rate, m.ms, m.hz, now - m.start, due, model_due(&m, now));
			check(due >= last, "due went from %" PRIu64 " to %" PRIu64, last, due);
			check(due <= p.total, "%" PRIu64 " due of %" PRIu64, due, p.total);
			last = due;
			now += test_below(2) ? test_below(64) : test_below(length / TIMES * 2 + 2);
		}
	}
	return NULL;
}

/* All are due before the end, so that a sender that stops there has had its chance. */
static const char *
test_all_are_due_before_the_end(void)
{
	for (int i = 0; i < SCHEDULES; i++) {
		struct model m = random_model();
		struct pace p;

		pace_start(&p, (double)m.rate, (double)m.ms / 1000, m.hz, m.start);
		if (m.rate * m.ms < 1000 || m.hz < 4 * m.rate)
			continue; /* a single packet; or less than a few ticks between two */
		check(p.total - pace_due(&p, p.end_tsc - 1) <= (m.total > EXACT_TOTAL),
		      "%" PRIu64 " pps for %" PRIu64 " ms: %" PRIu64 " of %" PRIu64 " due at the end", m.rate, m.ms,
		      pace_due(&p, p.end_tsc - 1), p.total);
	}
	return NULL;
}

static const char *
test_saturation_has_no_limit(void)
{
	struct pace p;

	pace_start(&p, 0, 1, 2400000000, 1000);
	check(p.total == UINT64_MAX, "total %" PRIu64, p.total);
	check(pace_due(&p, 999) == 0, "due before the start");
	check(pace_due(&p, 1000) == UINT64_MAX && pace_due(&p, UINT64_MAX) == UINT64_MAX, "not always due");
	check(p.end_tsc == 2400001000, "end %" PRIu64, p.end_tsc);
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
		struct pace p;
		pace_start(&p, known[i].rate_pps, known[i].duration_s, 2445400000, 0);
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
		TEST(test_all_are_due_before_the_end),
		TEST(test_saturation_has_no_limit),
		TEST(test_products_that_are_not_exact_in_binary),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
