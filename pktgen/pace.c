/* SPDX-License-Identifier: BSD-3-Clause */
#include "pace.h"

#include <math.h>
#include <rte_common.h>
#include <string.h>

#include "random.h"

/* floor(rate x duration), at least 1; the small term keeps 0.1 s x 10 pps at 1 although neither is exact in binary. */
static uint64_t
packets(double rate_pps, double duration_s)
{
	double n = floor(rate_pps * duration_s + 1e-6);

	return n < 1 ? 1 : (uint64_t)n;
}

static double
list_time(const struct pace *p, uint64_t i)
{
	return (double)*(const uint64_t *)((const char *)p->list_ns + i * p->list_stride);
}

static void
start_list(struct pace *p, const struct pace_request *r, double tsc_hz)
{
	p->list_ns = r->list_ns;
	p->list_count = r->list_count;
	p->list_stride = r->list_stride;
	p->list_ticks = r->list_scale * tsc_hz * 1e-9;
	/* a round ends one mean gap after its last packet, so that the next one does not begin back to back; if no two packets
	 * are apart, a second after it: rounds must take time */
	double last = list_time(p, r->list_count - 1);
	double gap = last > 0 ? last / (double)(r->list_count - 1) : 1e9;
	p->list_span = (last + gap) * p->list_ticks;
	p->total = r->list_loop ? UINT64_MAX : r->list_count;
}

void
pace_start(struct pace *p, const struct pace_request *r, double duration_s, uint64_t tsc_hz, uint64_t start_tsc)
{
	double hz = (double)tsc_hz;
	double per_tick = r->rate_pps / hz;

	memset(p, 0, sizeof(*p));
	p->shape = r->shape;
	p->start_tsc = start_tsc;
	p->end_tsc = start_tsc + (uint64_t)(duration_s * hz);
	p->phase = r->phase;
	p->random = r->seed;
	p->total = r->total > 0 ? r->total : packets(r->rate_pps, duration_s);
	switch (r->shape) {
	case PACE_SATURATE:
		p->total = UINT64_MAX;
		p->next_due = start_tsc;
		return;
	case PACE_CONSTANT:
		p->period = 1 / per_tick;
		break;
	case PACE_BURST:
		p->burst = r->burst_frames;
		p->period = r->burst_frames / per_tick;
		p->inner = r->burst_pps > 0 ? hz / r->burst_pps : 0;
		break;
	case PACE_RAMP:
		p->from = r->ramp_from_pps / hz;
		p->slope = (per_tick - p->from) / (duration_s * hz);
		if (r->total == 0)
			p->total = packets((r->ramp_from_pps + r->rate_pps) / 2, duration_s);
		break;
	case PACE_POISSON:
		p->period = 1 / per_tick;
		p->total = UINT64_MAX;
		break;
	case PACE_LIST:
		start_list(p, r, hz);
		break;
	}
	if (r->total == PACE_NOTHING) {
		p->total = 0;
		p->next_due = UINT64_MAX;
		return;
	}
	p->next_due = pace_schedule(p);
}

/* Time at which the integral of the rate, from t + slope t^2 / 2, reaches n.  The form that does not cancel. */
static double
ramp_time(const struct pace *p, double n)
{
	double root = sqrt(fmax(0, p->from * p->from + 2 * p->slope * n));

	return n > 0 ? 2 * n / (p->from + root) : 0;
}

uint64_t
pace_schedule(struct pace *p)
{
	double n = (double)p->next;
	double at;

	switch (p->shape) {
	case PACE_CONSTANT:
		at = (n + p->phase) * p->period;
		break;
	case PACE_BURST:
		at = ((double)(p->next / p->burst) + p->phase) * p->period + (double)(p->next % p->burst) * p->inner;
		break;
	case PACE_RAMP:
		at = ramp_time(p, n + p->phase);
		break;
	case PACE_POISSON:
		p->at -= log(random_unit(&p->random)) * p->period;
		at = p->at;
		break;
	case PACE_LIST:
		at = (double)(p->next / p->list_count) * p->list_span +
		     list_time(p, p->next % p->list_count) * p->list_ticks;
		break;
	default:
		return p->start_tsc;
	}
	uint64_t due = p->start_tsc + (uint64_t)at;
	/* a total means that so many are due before the end: rounding, or a sender's turn, takes none of them away */
	if (due >= p->end_tsc && p->next < p->total && p->total != UINT64_MAX && p->shape != PACE_LIST)
		return p->end_tsc - 1;
	return due;
}

/* A number that is not due before the end, for a schedule that goes on for ever. */
static uint64_t
beyond_end(const struct pace *p)
{
	double rounds = (double)(p->end_tsc - p->start_tsc) / p->list_span;

	return ((uint64_t)rounds + 2) * p->list_count;
}

/* All schedules but Poisson's can be asked for any packet: the first that is not due before the end is searched for, since
 * there may be billions. */
uint64_t
pace_intended(struct pace *p)
{
	if (p->shape == PACE_SATURATE)
		return UINT64_MAX;
	while (p->shape == PACE_POISSON && p->next_due < p->end_tsc)
		pace_advance(p);
	if (p->next_due >= p->end_tsc)
		return p->next;
	uint64_t due = p->next; /* before the end, and `high` is not */
	uint64_t high = p->total != UINT64_MAX ? p->total : RTE_MAX(beyond_end(p), due + 1);
	while (high - due > 1) {
		p->next = due + (high - due) / 2;
		if (pace_schedule(p) < p->end_tsc)
			due = p->next;
		else
			high = p->next;
	}
	p->next = high;
	p->next_due = UINT64_MAX;
	return high;
}
