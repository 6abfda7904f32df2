/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TSC ticks to nanoseconds, at a frequency that we measure ourselves.
 *
 * DPDK's estimate is rounded and in virtual machines can be wrong by far more (an EPYC guest: 2450 MHz said,
 * 2445.4 MHz true, 1866 ppm; DPDK bug 1869: 30 %).  So clock_init() compares the TSC with the kernel's
 * CLOCK_MONOTONIC_RAW, and every trial checks again.
 */
#ifndef VSW_CLOCK_H
#define VSW_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_SHIFT 32u
#define CLOCK_CALIBRATION_NS 50000000 /* 50 ms: two readings good to some 50 ns each, so about 2 ppm */

extern uint64_t clock_hz;         /* TSC ticks a second */
extern uint64_t clock_multiplier; /* ns a tick, in 2^-32 */

/* Measures the frequency; takes CLOCK_CALIBRATION_NS.  Call once, before any worker starts. */
void clock_init(void);

static inline uint64_t
clock_ns(uint64_t ticks)
{
	/* rounded: a sum of many gaps, each cut off, would be short */
	return (uint64_t)(((unsigned __int128)ticks * clock_multiplier + (1u << (CLOCK_SHIFT - 1))) >> CLOCK_SHIFT);
}

static inline uint64_t
clock_ticks(double seconds)
{
	return (uint64_t)(seconds * (double)clock_hz);
}

static inline double
clock_seconds(uint64_t ticks)
{
	return (double)ticks / (double)clock_hz;
}

/* One instant on the TSC and on a clock of the kernel. */
struct clock_instant {
	uint64_t tsc;
	uint64_t ns;
};

/* Now, on the clock `id` (clock_gettime(2)); and on CLOCK_MONOTONIC_RAW. */
struct clock_instant clock_now_on(clockid_t id);
struct clock_instant clock_now(void);

/* How far the TSC at clock_hz ran ahead of CLOCK_MONOTONIC_RAW since `start`, in parts per million. */
double clock_error_ppm(struct clock_instant start);

#endif
