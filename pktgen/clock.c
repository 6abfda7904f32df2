/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"

#include <rte_cycles.h>

#define READINGS 16

uint64_t clock_hz;
uint64_t clock_multiplier;

static uint64_t
kernel_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The reading during which least time passed is the one that was not interrupted. */
struct clock_instant
clock_now_on(clockid_t id)
{
	struct clock_instant best = {0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = rte_rdtsc_precise();
		uint64_t ns = kernel_ns(id);
		uint64_t width = rte_rdtsc_precise() - before;
		if (width < best_width) {
			best_width = width;
			best = (struct clock_instant){.tsc = before + width / 2, .ns = ns};
		}
	}
	return best;
}

struct clock_instant
clock_now(void)
{
	return clock_now_on(CLOCK_MONOTONIC_RAW);
}

void
clock_init(void)
{
	const struct timespec wait = {.tv_nsec = CLOCK_CALIBRATION_NS};
	struct clock_instant start = clock_now();

	nanosleep(&wait, NULL);
	struct clock_instant end = clock_now();
	double ns = (double)(end.ns - start.ns);
	double hz = (double)(end.tsc - start.tsc) / ns * 1e9;
	clock_hz = (uint64_t)(hz + 0.5);
	clock_multiplier = (uint64_t)(1e9 / hz * (double)(UINT64_C(1) << CLOCK_SHIFT) + 0.5);
}

double
clock_error_ppm(struct clock_instant start)
{
	struct clock_instant end = clock_now();
	double tsc_ns = (double)(end.tsc - start.tsc) / (double)clock_hz * 1e9;
	double ns = (double)(end.ns - start.ns);

	return ns > 0 ? (tsc_ns / ns - 1) * 1e6 : 0;
}
