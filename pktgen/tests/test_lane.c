/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The schedules of a stream's lanes taken together: they must be what the stream alone would have.
 */
#include <math.h>
#include <string.h>

#include "clock.h"
#include "test.h"
#include "trial.h"

#define POISSON_PACKETS 200000u
#define GAPS 50000u

static struct ports ports = {.count = 2, .frame_max = 1518};
static struct trial trial;
static char error[TRIAL_ERROR_MAX];
static uint64_t due[POISSON_PACKETS * 2];
static double gap[PORT_QUEUES_MAX][GAPS];

static int
prepare(uint16_t queues, enum pace_shape shape, enum flow_order order, uint32_t flows, double rate_pps,
	double duration_s)
{
	struct stream *s = &trial.stream[0];

	memset(&trial, 0, sizeof(trial));
	ports.queues = queues;
	trial.ports = &ports;
	trial.streams = 1;
	trial.duration_s = duration_s;
	s->sent = true;
	s->order = order;
	s->zipf_exponent = 1;
	s->headers = (struct frame_request){.src_port = 1024, .flows = flows,
					    .field = {FIELD_SRC_PORT, FIELD_SRC_IP}, .fields = 2, .size = {64}, .sizes = 1, .src_ip = {198, 18, 0, 1}, .dst_ip = {198, 19, 0, 1}};
	s->pace = (struct pace_request){.shape = shape, .rate_pps = rate_pps, .burst_frames = 8, .seed = test_random()};
	if (trial_prepare(&trial, error) != 0)
		return -1;
	trial_schedule(&trial, 1000000);
	return 0;
}

/* All due times of a lane, into `due` from `n` on; the new `n`. */
static uint32_t
take_all(struct tx_lane *l, uint32_t n, uint32_t room)
{
	uint16_t taken;

	while (n + TRIAL_BURST <= room && (taken = pace_take(&l->pace, UINT64_MAX, TRIAL_BURST, &due[n])) > 0)
		n += taken;
	return n;
}

static int
ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* However few packets and however the flows are shared, the lanes intend exactly what one sender would. */
static const char *
test_lanes_intend_the_whole(void)
{
	static const enum pace_shape shapes[] = {PACE_CONSTANT, PACE_BURST, PACE_RAMP};

	for (int round = 0; round < 400; round++) {
		uint16_t queues = (uint16_t)(1 + test_below(PORT_QUEUES_MAX));
		enum pace_shape shape = shapes[test_below(3)];
		enum flow_order order = (enum flow_order)test_below(3);
		uint32_t flows = 1 + (uint32_t)test_below(round % 2 ? 10 : 1000);
		double rate_pps = (double)(1 + test_below(round % 4 < 2 ? 10 : 100000));
		double duration_s = round % 8 < 4 ? 1 : (double)(1 + test_below(100)) / 100;
		uint64_t sum = 0;
		uint64_t told = 0;
		uint32_t n = 0;
		struct pace whole;

		check(prepare(queues, shape, order, flows, rate_pps, duration_s) == 0, "%s", error);
		pace_start(&whole, &trial.stream[0].pace, trial.duration_s, clock_hz, 0);
		for (uint32_t i = 0; i < trial.tx_lanes; i++) {
			uint32_t before = n;
			n = take_all(&trial.tx[i], n, sizeof(due) / sizeof(due[0]));
			sum += n - before;
			told += pace_intended(&trial.tx[i].pace);
		}
		check(told == whole.total, "%u lanes, %u flows, order %d, shape %d, %g pps for %g s: %" PRIu64 " intended of %"
		      PRIu64,
		      trial.tx_lanes, flows, order, shape, rate_pps, duration_s, told, whole.total);
		check(sum == told, "%u lanes, %u flows, order %d, shape %d, %g pps for %g s: %" PRIu64 " due, %" PRIu64 " intended",
		      trial.tx_lanes, flows, order, shape, rate_pps, duration_s, sum, told);
		trial_free(&trial);
	}
	return NULL;
}

/* Equal lanes take turns: together they are as even as one. */
static const char *
test_constant_lanes_take_turns(void)
{
	const double period = (double)clock_hz / 40000;
	uint32_t n = 0;

	check(prepare(4, PACE_CONSTANT, FLOW_INCREMENT, 100, 40000, 1) == 0, "%s", error);
	for (uint32_t i = 0; i < trial.tx_lanes; i++)
		n = take_all(&trial.tx[i], n, sizeof(due) / sizeof(due[0]));
	qsort(due, n, sizeof(due[0]), ascending);
	check(n == 40000, "%u packets", n);
	for (uint32_t i = 1; i < n; i++)
		check(fabs((double)(due[i] - due[i - 1]) - period) < 3, "gap %u is %" PRIu64, i, due[i] - due[i - 1]);
	trial_free(&trial);
	return NULL;
}

/* Pearson's, times sqrt(n): of independent numbers it is within 5 but once in a million times. */
static double
correlation(const double *a, const double *b, uint32_t n)
{
	double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;

	for (uint32_t i = 0; i < n; i++) {
		sa += a[i];
		sb += b[i];
		saa += a[i] * a[i];
		sbb += b[i] * b[i];
		sab += a[i] * b[i];
	}
	return (sab - sa * sb / n) / sqrt((saa - sa * sa / n) * (sbb - sb * sb / n)) * sqrt(n);
}

/* The gaps of a lane; false if it has too few. */
static bool
gaps_of(struct tx_lane *l, double *to)
{
	uint32_t n = take_all(l, 0, GAPS + 1 + TRIAL_BURST);

	for (uint32_t i = 0; i < GAPS && i + 1 < n; i++)
		to[i] = (double)(due[i + 1] - due[i]);
	return n > GAPS;
}

/* Poisson processes add up to one only if they know nothing of each other, at whatever shift. */
static const char *
test_poisson_lanes_are_independent(void)
{
	check(prepare(4, PACE_POISSON, FLOW_INCREMENT, 100, 250000, 1) == 0, "%s", error);
	for (uint32_t i = 0; i < trial.tx_lanes; i++)
		check(gaps_of(&trial.tx[i], gap[i]), "lane %u has too few packets", i);
	for (uint32_t a = 0; a < trial.tx_lanes; a++) {
		for (uint32_t b = 0; b < a; b++) {
			for (uint32_t shift = 0; shift < 16; shift++) {
				double c = correlation(gap[a], gap[b] + shift, GAPS - shift);
				double d = correlation(gap[a] + shift, gap[b], GAPS - shift);
				check(fabs(c) < 6 && fabs(d) < 6, "lanes %u and %u, shift %u: %g, %g", a, b, shift, c, d);
			}
		}
	}
	trial_free(&trial);
	return NULL;
}

/* Which flow a packet is of says nothing about when it leaves, although one seed gives both. */
static const char *
test_flows_are_independent_of_poisson_times(void)
{
	for (uint16_t queues = 1; queues <= 4; queues *= 2) {
		check(prepare(queues, PACE_POISSON, FLOW_RANDOM, 1000, 250000, 1) == 0, "%s", error);
		for (uint32_t i = 0; i < trial.tx_lanes; i++) {
			struct tx_lane *l = &trial.tx[i];
			check(gaps_of(l, gap[0]), "lane %u has too few packets", i);
			for (uint32_t k = 0; k < GAPS; k++)
				gap[1][k] = floworder_next(&l->order);
			for (uint32_t shift = 0; shift < 16; shift++) {
				double c = correlation(gap[0], gap[1] + shift, GAPS - shift);
				double d = correlation(gap[0] + shift, gap[1], GAPS - shift);
				check(fabs(c) < 6 && fabs(d) < 6, "%u lanes, shift %u: %g, %g", queues, shift, c, d);
			}
		}
		trial_free(&trial);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_lanes_intend_the_whole),
		TEST(test_constant_lanes_take_turns),
		TEST(test_poisson_lanes_are_independent),
		TEST(test_flows_are_independent_of_poisson_times),
		{NULL, NULL},
	};

	clock_init();
	return test_main(argc, argv, tests);
}
