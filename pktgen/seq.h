/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Per-flow sequence accounting: what was received once, twice, out of order.
 *
 * A flow keeps the next sequence number it expects and a window of bits, one for each of the last
 * `window` numbers, set where a number is still MISSING.  So the usual packet (the expected one, nothing
 * missing) costs one comparison and touches one 16-byte record; the window is read only around loss.
 *
 *   seq == next            in order
 *   seq >  next            a gap: [next, seq) become missing
 *   seq <  next, missing   late: reordered in the sense of RFC 4737 (section 3.3: smaller than NextExp)
 *   seq <  next, present   duplicate
 *   older than the window  `old`: cannot be told apart any more; counted as received, never as duplicate
 *
 * Sequence numbers are 32 bits and wrap (RFC 1982 arithmetic).
 */
#ifndef VSW_SEQ_H
#define VSW_SEQ_H

#include <stdbool.h>
#include <stdint.h>

struct seq_flow {
	uint32_t next;    /* next expected number */
	uint32_t missing; /* bits set in this flow's window */
	uint64_t received; /* packets of the flow, duplicates not included */
};

struct seq {
	struct seq_flow *flow; /* [flows] */
	uint64_t *missing;     /* [flows][window / 64] bits */
	uint32_t flows;
	uint32_t window; /* numbers a flow remembers: a power of two, at least 64 */
	uint64_t unique_count;
	uint64_t duplicate_count;
	uint64_t reordered_count;
	uint64_t reorder_extent_max; /* RFC 4737 4.2.1, in sequence numbers */
	uint64_t old_count;
};

/* Prepares for `flows` flows.  The window is chosen so that all windows together stay near 2 MiB.
 * 0, or -ENOMEM with nothing allocated. */
int seq_init(struct seq *s, uint32_t flows);

/* Accepts a zeroed struct. */
void seq_free(struct seq *s);

/* The rare cases: everything but an in-order packet of a flow that misses nothing. */
void seq_slow(struct seq *s, uint32_t flow, uint32_t seq);

/* Accounts one packet; `flow` < s->flows is the caller's duty. */
static inline void
seq_add(struct seq *s, uint32_t flow, uint32_t seq)
{
	struct seq_flow *f = &s->flow[flow];

	if (__builtin_expect(seq == f->next && f->missing == 0, 1)) {
		f->next++;
		f->received++;
		s->unique_count++;
	} else {
		seq_slow(s, flow, seq);
	}
}

#endif
