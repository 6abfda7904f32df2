/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When packets are due.  Every shape is an absolute schedule, packet n at start + f(n): nothing is added up, so
 * nothing drifts, and a sender that was held up knows of every packet how late it is.
 *
 *   saturate   always
 *   constant   f(n) = (n + phase) / rate
 *   burst      bursts of `burst_frames`; within one at burst_pps (0: all at once), mean rate `rate_pps`
 *   ramp       the rate grows (or falls) linearly from ramp_from_pps to rate_pps over the duration
 *   poisson    gaps exponentially distributed with mean 1 / rate (the sum of the gaps is the schedule)
 *   list       times of a recording, scaled, again and again if it loops
 */
#ifndef VSW_PACE_H
#define VSW_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum pace_shape { PACE_SATURATE, PACE_CONSTANT, PACE_BURST, PACE_RAMP, PACE_POISSON, PACE_LIST };

#define PACE_NOTHING UINT64_MAX /* as a total: the share of a sender whose flows get no packet */

/* What is asked for. */
struct pace_request {
	enum pace_shape shape;
	double rate_pps;
	double ramp_from_pps;
	uint32_t burst_frames;
	double burst_pps;
	uint64_t seed;
	double phase;           /* of a period, 0..1: several senders of one stream take turns */
	uint64_t total;         /* packets to intend; 0: floor(rate x duration) and at least 1; or PACE_NOTHING */
	const uint64_t *list_ns; /* list: due times from its start, ascending, the first of them; borrowed */
	uint64_t list_count;
	uint64_t list_stride;   /* bytes from one time to the next */
	double list_scale;      /* schedule time = list time x this */
	bool list_loop;
};

struct pace {
	enum pace_shape shape;
	uint64_t start_tsc;
	uint64_t end_tsc;
	uint64_t total;    /* packets the trial intends; UINT64_MAX: as many as are due before end_tsc, or saturating */
	uint64_t next;     /* number of the next packet, from 0 */
	uint64_t next_due; /* TSC at which it is due */
	uint64_t skipped_count; /* given up because they were later than catch_up_tsc */
	uint64_t catch_up_tsc;  /* 0: never give up */
	double period;     /* ticks between packets, or between bursts */
	double inner;      /* ticks between the packets of a burst */
	double phase;
	uint32_t burst;
	double from;       /* ramp: packets a tick at the start */
	double slope;      /* ramp: packets a tick, a tick */
	double at;         /* poisson: ticks from the start of the next packet */
	uint64_t random;
	const uint64_t *list_ns;
	uint64_t list_count;
	uint64_t list_stride;
	double list_ticks; /* ticks a nanosecond of the list */
	double list_span;  /* ticks of one round */
};

/* Prepares a schedule.  It intends r->total packets or else floor(rate x duration), at least 1; poisson and a list that
 * loops as many as come. */
void pace_start(struct pace *p, const struct pace_request *r, double duration_s, uint64_t tsc_hz, uint64_t start_tsc);

/* When packet p->next is due; moves on the state of poisson.  UINT64_MAX: never. */
uint64_t pace_schedule(struct pace *p);

/* Packets that the trial intended, known once it is over: those not yet taken are counted, and the schedule is then
 * at its end.  UINT64_MAX when saturating. */
uint64_t pace_intended(struct pace *p);

static inline void
pace_advance(struct pace *p)
{
	p->next++;
	p->next_due = p->next < p->total ? pace_schedule(p) : UINT64_MAX;
}

/* Takes the packets that are due at `now`, at most `max`: their due times into `due`.  Returns how many.
 * Not for PACE_SATURATE. */
static inline uint16_t
pace_take(struct pace *p, uint64_t now_tsc, uint16_t max, uint64_t *due)
{
	uint16_t n = 0;

	while (n < max && p->next_due <= now_tsc && p->next_due < p->end_tsc) {
		if (p->catch_up_tsc != 0 && now_tsc - p->next_due > p->catch_up_tsc)
			p->skipped_count++;
		else
			due[n++] = p->next_due;
		pace_advance(p);
	}
	return n;
}

/* Nothing more will be due. */
static inline bool
pace_done(const struct pace *p, uint64_t now_tsc)
{
	return p->shape == PACE_SATURATE ? now_tsc >= p->end_tsc : p->next_due >= p->end_tsc;
}

#endif
