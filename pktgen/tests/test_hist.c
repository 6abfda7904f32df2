/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The histogram against its promises (bins tile the range and are narrow) and against the sorted values.
 */
#include "hist.h"

#include <string.h>

#include "test.h"

#define VALUES 20000u
#define ROUNDS 20
#define LONGEST_NS UINT64_C(10000000000) /* 10 s must fit */

static struct hist one;
static struct hist two;
static struct hist both;
static uint64_t value[VALUES];

/* Log-uniform, so that every octave is met; a tenth of them at the edge of a power of two. */
static uint64_t
random_ns(unsigned int bits)
{
	uint64_t octave = test_below(bits);
	uint64_t ns = (UINT64_C(1) << octave) + test_below(UINT64_C(1) << octave);

	return test_below(10) == 0 ? (UINT64_C(1) << octave) - test_below(2) : ns;
}

static const char *
test_bins_tile_the_range(void)
{
	check(hist_bin_low(0) == 0, "the first bin starts at %" PRIu64, hist_bin_low(0));
	for (unsigned int bin = 0; bin < HIST_BINS; bin++) {
		uint64_t low = hist_bin_low(bin);
		uint64_t high = hist_bin_high(bin);
		check(high > low, "bin %u is [%" PRIu64 ", %" PRIu64 ")", bin, low, high);
		check(bin + 1 == HIST_BINS || hist_bin_low(bin + 1) == high, "hole or overlap after bin %u", bin);
		check(high - low == 1 || (high - low) * 100 <= low, "bin %u is wider than 1 %%", bin);
		check(hist_bin(low) == bin && hist_bin(high - 1) == bin, "edges of bin %u are in bins %u and %u", bin,
		      hist_bin(low), hist_bin(high - 1));
	}
	check(hist_bin_high(HIST_BINS - 1) > LONGEST_NS, "10 s does not fit");
	return NULL;
}

static const char *
test_values_lie_in_their_bins(void)
{
	uint64_t end = hist_bin_high(HIST_BINS - 1);

	for (int i = 0; i < 1000000; i++) {
		uint64_t ns = random_ns(64);
		unsigned int bin = hist_bin(ns);
		if (ns >= end) {
			check(bin == HIST_BINS, "%" PRIu64 " ns is too long but in bin %u", ns, bin);
			continue;
		}
		check(bin < HIST_BINS, "%" PRIu64 " ns has no bin", ns);
		check(hist_bin_low(bin) <= ns && ns < hist_bin_high(bin), "%" PRIu64 " ns is in bin %u", ns, bin);
		check(hist_bin(ns + 1) >= bin, "bins decrease after %" PRIu64 " ns", ns);
	}
	check(hist_bin(UINT64_MAX) == HIST_BINS, "UINT64_MAX has a bin");
	return NULL;
}

static int
ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* How many of the n sorted values lie below `limit`. */
static uint64_t
below(uint64_t n, uint64_t limit)
{
	uint64_t low = 0;

	while (low < n) {
		uint64_t middle = low + (n - low) / 2;
		if (value[middle] < limit)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

/* Every count, and the five figures beside them, from the sorted values alone. */
static const char *
compare(const struct hist *h, uint64_t n)
{
	uint64_t sum = 0;

	qsort(value, n, sizeof(value[0]), ascending);
	for (uint64_t i = 0; i < n; i++)
		sum += value[i];
	for (unsigned int bin = 0; bin < HIST_BINS; bin++) {
		uint64_t want = below(n, hist_bin_high(bin)) - below(n, hist_bin_low(bin));
		check(h->count[bin] == want, "bin %u has %" PRIu64 " of %" PRIu64, bin, h->count[bin], want);
	}
	check(h->overflow == n - below(n, hist_bin_high(HIST_BINS - 1)), "overflow %" PRIu64, h->overflow);
	check(h->total == n, "total %" PRIu64 " of %" PRIu64, h->total, n);
	check(h->sum_ns == sum, "sum %" PRIu64 ", not %" PRIu64, h->sum_ns, sum);
	check(h->min_ns == value[0], "min %" PRIu64 ", not %" PRIu64, h->min_ns, value[0]);
	check(h->max_ns == value[n - 1], "max %" PRIu64 ", not %" PRIu64, h->max_ns, value[n - 1]);
	return NULL;
}

static const char *
test_agrees_with_the_sorted_values(void)
{
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t n = 0;
		uint64_t want = 1 + test_below(VALUES);
		hist_reset(&one);
		while (n < want) {
			uint64_t ns = random_ns(36); /* a few above the last bin */
			uint64_t times = 1 + test_below(test_below(4) == 0 ? 32 : 1);
			times = times < want - n ? times : want - n;
			hist_add(&one, ns, times);
			for (uint64_t k = 0; k < times; k++)
				value[n++] = ns;
		}
		const char *why = compare(&one, n);
		if (why != NULL)
			return why;
	}
	return NULL;
}

static const char *
test_merging_is_recording_both(void)
{
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t n = test_below(1000); /* now and then nothing on one side */
		uint64_t cut = round == 0 ? 0 : round == 1 ? n : test_below(n + 1);
		hist_reset(&one);
		hist_reset(&two);
		hist_reset(&both);
		for (uint64_t i = 0; i < n; i++) {
			value[i] = random_ns(36);
			hist_add(i < cut ? &one : &two, value[i], 1);
			hist_add(&both, value[i], 1);
		}
		hist_merge(&one, &two);
		check(memcmp(&one, &both, sizeof(one)) == 0, "%" PRIu64 " values, %" PRIu64 " of them on one side", n,
		      cut);
		if (n > 0) {
			const char *why = compare(&one, n);
			if (why != NULL)
				return why;
		}
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_bins_tile_the_range),
		TEST(test_values_lie_in_their_bins),
		TEST(test_agrees_with_the_sorted_values),
		TEST(test_merging_is_recording_both),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
