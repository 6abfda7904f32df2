/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a worker's loop knows of itself: how long it did not look, what the kernel did with it, where its cycles went.  A
 * generator that does not tell this hides its own faults in the figures of the switch.
 */
#ifndef VSW_LOOP_H
#define VSW_LOOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_STALL_NS 10000 /* an iteration that takes longer is a stall */

/* TSC cycles by part of the loop, of every 64th iteration that moved packets. */
struct profile {
	uint64_t build_tsc, pace_tsc, tx_tsc, rx_tsc, meter_tsc;
	uint64_t sent, received;
};

/* What a worker saw of itself. */
struct loop_stats {
	uint64_t iterations;
	uint64_t idle_iterations;
	uint64_t gap_max_tsc;  /* longest time between two iterations */
	uint64_t stall_tsc;    /* sum of the gaps above LOOP_STALL_NS */
	uint64_t involuntary_switches;
	uint64_t voluntary_switches;
	uint64_t run_delay_ns; /* ready to run, but waiting for the CPU (proc(5), schedstat) */
	int cpu;               /* on which it ended */
	struct profile profile;
};

static inline void
loop_note_gap(struct loop_stats *s, uint64_t gap_tsc, uint64_t stall_tsc)
{
	if (gap_tsc > s->gap_max_tsc)
		s->gap_max_tsc = gap_tsc;
	if (gap_tsc > stall_tsc)
		s->stall_tsc += gap_tsc;
}

/* Takes away (sign -1, at the start) or adds (sign 1, at the end) what the kernel says of the calling thread. */
void loop_note_kernel(struct loop_stats *s, int sign);

/* As JSON; `profiled`: with the profile.  New reference. */
json_t *loop_json(const struct loop_stats *s, bool profiled);

#endif
