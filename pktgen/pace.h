/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Constant rate on an absolute schedule: packet n is due at start + n / rate.  The schedule never drifts,
 * because nothing is added up: the number of packets due is computed anew from the time elapsed.
 */
#ifndef VSW_PACE_H
#define VSW_PACE_H

#include <math.h>
#include <stdint.h>

struct pace {
	uint64_t start_tsc;
	uint64_t end_tsc;
	double per_tick;     /* packets a TSC tick; 0: saturate, i.e. always due */
	uint64_t total;      /* packets the whole trial is to send; UINT64_MAX when saturating */
};

/* `rate_pps` 0 saturates.  The trial sends floor(rate x duration) packets, at least 1. */
static inline void
pace_start(struct pace *p, double rate_pps, double duration_s, uint64_t tsc_hz, uint64_t start_tsc)
{
	p->start_tsc = start_tsc;
	p->end_tsc = start_tsc + (uint64_t)(duration_s * (double)tsc_hz);
	p->per_tick = rate_pps / (double)tsc_hz;
	/* the small term keeps 0.1 s x 10 pps at 1 although neither is exact in binary */
	p->total = rate_pps > 0 ? (uint64_t)floor(rate_pps * duration_s + 1e-6) : UINT64_MAX;
	if (p->total == 0)
		p->total = 1;
}

/* Packets due by `now`, the first one at the start itself; none before it. */
static inline uint64_t
pace_due(const struct pace *p, uint64_t now_tsc)
{
	if (now_tsc < p->start_tsc)
		return 0;
	if (p->per_tick <= 0)
		return UINT64_MAX;
	uint64_t due = (uint64_t)((double)(now_tsc - p->start_tsc) * p->per_tick) + 1;
	return due < p->total ? due : p->total;
}

#endif
