/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The order of flows against exact probabilities: the alias table is turned back into the probability of each flow, and
 * what is drawn is held against it by a chi-square test.
 */
#include "floworder.h"

#include <math.h>
#include <string.h>

#include "stamp.h"
#include "test.h"

static char error[BIG_ERROR_MAX];

#define FLOWS_MAX 200000u
#define DRAWS 400000u

static double want[FLOWS_MAX]; /* probability of each flow */
static double got[FLOWS_MAX];
static uint32_t count[FLOWS_MAX];
static uint8_t owner[FLOWS_MAX];

/* Probabilities of the flows first, first + step, ... among themselves; 0 of the others. */
static void
exact_zipf(uint32_t flows, uint32_t first, uint32_t step, double exponent)
{
	double sum = 0;

	for (uint32_t i = 0; i < flows; i++)
		want[i] = i % step == first ? exp(-exponent * log((double)i + 1)) : 0;
	for (uint32_t i = flows; i-- > 0;) /* the small ones first: nothing is lost */
		sum += want[i];
	for (uint32_t i = 0; i < flows; i++)
		want[i] /= sum;
}

static double
random_exponent(void)
{
	return test_below(4) == 0 ? 0 : (double)test_below(3000) / 1000;
}

/* What the table says: entry i is hit 1 / count of the time, and then is i below its threshold, else another. */
static const char *
test_the_alias_table_is_the_distribution(void)
{
	for (int round = 0; round < 60; round++) {
		uint32_t flows = 1 + (uint32_t)test_below(round < 50 ? 300 : FLOWS_MAX);
		uint32_t step = 1 + (uint32_t)test_below(flows < 8 ? flows : 8);
		uint32_t first = (uint32_t)test_below(step);
		double exponent = random_exponent();
		struct floworder f;

		check(floworder_init(&f, FLOW_ZIPF, flows, first, step, exponent, 1, error) == 0, "%s", error);
		exact_zipf(flows, first, step, exponent);
		memset(got, 0, sizeof(got));
		for (uint32_t i = 0; i < f.count; i++) {
			double mine = f.alias[i].threshold * 0x1p-32 / f.count;
			got[first + i * step] += mine;
			got[first + f.alias[i].other * step] += 1.0 / f.count - mine;
		}
		for (uint32_t i = 0; i < flows; i++)
			check(fabs(got[i] - want[i]) < 1e-9, "flow %u of %u, %u/%u, exponent %g: %g, not %g", i, flows, first, step,
			      exponent, got[i], want[i]);
		floworder_free(&f);
	}
	return NULL;
}

/* How many standard deviations the chi-square of `count` is from its mean (Wilson and Hilferty 1931); flows that are
 * expected less than 10 times are taken together. */
static double
deviation(uint32_t flows, uint32_t draws)
{
	double chi2 = 0;
	double rare_want = 0;
	double rare_got = 0;
	double freedom = -1;

	for (uint32_t i = 0; i < flows; i++) {
		double expected = want[i] * draws;
		if (expected < 10) {
			rare_want += expected;
			rare_got += count[i];
			continue;
		}
		chi2 += (count[i] - expected) * (count[i] - expected) / expected;
		freedom++;
	}
	if (rare_want >= 10) {
		chi2 += (rare_got - rare_want) * (rare_got - rare_want) / rare_want;
		freedom++;
	}
	if (freedom < 1)
		return 0;
	return (cbrt(chi2 / freedom) - (1 - 2 / (9 * freedom))) / sqrt(2 / (9 * freedom));
}

static const char *
test_what_is_drawn_is_zipf_or_uniform(void)
{
	for (int round = 0; round < 24; round++) {
		uint32_t flows = 2 + (uint32_t)test_below(round % 2 ? 50 : 20000);
		uint32_t step = 1 + (uint32_t)test_below(flows < 4 ? flows : 4);
		uint32_t first = (uint32_t)test_below(step);
		double exponent = round % 3 == 0 ? 0 : random_exponent();
		struct floworder f;

		check(floworder_init(&f, round % 3 == 0 ? FLOW_RANDOM : FLOW_ZIPF, flows, first, step, exponent, test_random(), error) == 0,
		      "%s", error);
		exact_zipf(flows, first, step, exponent);
		memset(count, 0, sizeof(count));
		for (uint32_t i = 0; i < DRAWS; i++) {
			uint32_t flow = floworder_next(&f);
			check(flow < flows && flow % step == first, "flow %u of %u, %u/%u", flow, flows, first, step);
			count[flow]++;
		}
		double off = deviation(flows, DRAWS);
		check(fabs(off) < 6, "%u flows, %u/%u, exponent %g: off by %g standard deviations", flows, first, step, exponent,
		      off);
		floworder_free(&f);
	}
	return NULL;
}

static const char *
test_increment_takes_turns(void)
{
	for (int round = 0; round < 50; round++) {
		uint32_t flows = 1 + (uint32_t)test_below(1000);
		uint32_t step = 1 + (uint32_t)test_below(flows < 8 ? flows : 8);
		uint32_t first = (uint32_t)test_below(step);
		struct floworder f;

		floworder_init(&f, FLOW_INCREMENT, flows, first, step, 1, test_random(), error);
		for (uint32_t i = 0, next = first; i < 3000; i++) {
			uint32_t flow = floworder_next(&f);
			check(flow == next, "number %u of %u flows, %u/%u is %u, not %u", i, flows, first, step, flow, next);
			next = next + step < flows ? next + step : first;
		}
	}
	return NULL;
}

/* Every flow has one sender, and the shares of the senders are those of their flows. */
static const char *
test_lanes_share_the_flows_out(void)
{
	for (int round = 0; round < 40; round++) {
		uint32_t flows = 1 + (uint32_t)test_below(500);
		uint32_t step = 1 + (uint32_t)test_below(flows < 8 ? flows : 8);
		enum flow_order order = (enum flow_order)test_below(3);
		double shares = 0;

		memset(owner, 0, sizeof(owner));
		for (uint32_t first = 0; first < step; first++) {
			struct floworder f;
			double share = 0;
			floworder_init(&f, order, flows, first, step, 0.5, test_random(), error);
			exact_zipf(flows, 0, 1, order == FLOW_ZIPF ? 0.5 : 0);
			for (uint32_t i = 0; i < f.count; i++) {
				owner[f.first + i * f.step]++;
				share += want[f.first + i * f.step];
			}
			check(fabs(f.share - share) < 1e-9, "share of %u/%u is %g, not %g", first, step, f.share, share);
			shares += f.share;
			floworder_free(&f);
		}
		for (uint32_t i = 0; i < flows; i++)
			check(owner[i] == 1, "flow %u of %u has %u senders of %u", i, flows, owner[i], step);
		check(fabs(shares - 1) < 1e-9, "shares add up to %.12f", shares);
	}
	return NULL;
}

/* How many of 1000 flows two orders have in common. */
static uint32_t
same(struct floworder a, struct floworder b)
{
	uint32_t n = 0;

	for (int i = 0; i < 1000; i++)
		n += floworder_next(&a) == floworder_next(&b);
	return n;
}

static const char *
test_the_seed_alone_decides(void)
{
	for (int round = 0; round < 40; round++) {
		enum flow_order order = round % 2 ? FLOW_RANDOM : FLOW_ZIPF;
		uint64_t seed = test_random() >> test_below(64);
		struct floworder a, b, c;

		floworder_init(&a, order, 1000, 0, 1, 0.3, seed, error);
		floworder_init(&b, order, 1000, 0, 1, 0.3, seed, error);
		floworder_init(&c, order, 1000, 0, 1, 0.3, seed + 1, error);
		check(same(a, b) == 1000, "seed %" PRIu64 " does not repeat", seed);
		check(same(a, c) < 100, "seeds %" PRIu64 " and the next one give the same", seed);
		floworder_free(&a);
		floworder_free(&b);
		floworder_free(&c);
	}
	return NULL;
}

/* As many flows as a stamp can tell, and a distribution as steep as is allowed. */
static const char *
test_extremes(void)
{
	struct floworder f;

	check(floworder_init(&f, FLOW_ZIPF, STAMP_FLOWS_MAX, 7, 8, 10, 1, error) == 0, "%s", error);
	for (int i = 0; i < 1000; i++) {
		uint32_t flow = floworder_next(&f);
		check(flow < STAMP_FLOWS_MAX && flow % 8 == 7, "flow %u", flow);
	}
	check(f.share > 0 && f.share < 1e-8, "share %g", f.share);
	floworder_free(&f);
	check(floworder_init(&f, FLOW_RANDOM, STAMP_FLOWS_MAX, 0, 1, 1, 1, error) == 0, "%s", error);
	uint32_t most = 0;
	for (int i = 0; i < 100000; i++) {
		uint32_t flow = floworder_next(&f);
		check(flow < STAMP_FLOWS_MAX, "flow %u", flow);
		most = flow > most ? flow : most;
	}
	check(most > STAMP_FLOWS_MAX - STAMP_FLOWS_MAX / 1000, "the largest of 100000 flows is %u", most);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_the_alias_table_is_the_distribution),
		TEST(test_what_is_drawn_is_zipf_or_uniform),
		TEST(test_increment_takes_turns),
		TEST(test_lanes_share_the_flows_out),
		TEST(test_the_seed_alone_decides),
		TEST(test_extremes),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
