/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Per-flow sequence accounting: what was received once, twice, out of order.
 *
 * A flow keeps the next sequence number it expects and a window of bits, one for each of the last
 * `window` numbers, set where a number is still MISSING.  So the usual packet (the expected one, nothing
 * missing) costs one comparison and touches one 12-byte record; the window is read only around loss.
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

#include "bigmem.h"

struct seq_flow {
	uint32_t next;    /* next expected number */
	uint32_t missing; /* bits set in this flow's window */
	uint32_t unique;  /* arrivals so far, duplicates not counted: the position of the next one; wraps */
};

/* A jump over numbers, kept so that a late one can tell how late it is: the packet that jumped is the first of those
 * that overtook it. */
struct seq_gap {
	uint32_t flow;
	uint32_t from; /* numbers [from, to) were jumped over */
	uint32_t to;
	uint32_t position; /* of the arrival that jumped */
};

#define SEQ_GAPS 4096u /* the latest ones of all flows */

/* What a packet was. */
enum seq_kind { SEQ_IN_ORDER, SEQ_GAP, SEQ_LATE, SEQ_DUPLICATE, SEQ_OLD };

struct seq {
	struct seq_flow *flow; /* [flows] */
	uint64_t *missing;     /* [flows][window / 64] bits */
	uint32_t flows;
	uint32_t window; /* numbers a flow remembers: a power of two, at least 64 */
	uint64_t unique_count;
	uint64_t duplicate_count;
	uint64_t reordered_count;
	uint64_t reorder_extent_max; /* RFC 4737 4.2.1: arrivals since the first that overtook it, itself included */
	uint64_t extent_unknown_count; /* reordered packets whose jump is not among the SEQ_GAPS latest */
	struct seq_gap *gap; /* [SEQ_GAPS], a ring */
	uint64_t gaps;       /* written so far */
	uint64_t old_count;
};

/* Prepares for `flows` flows.  The window is chosen so that all windows together stay near 2 MiB.
 * 0, or -1 with a sentence and nothing allocated. */
int seq_init(struct seq *s, uint32_t flows, char error[BIG_ERROR_MAX]);

/* Accepts a zeroed struct. */
void seq_free(struct seq *s);

/* The rare cases: everything but an in-order packet of a flow that misses nothing. */
enum seq_kind seq_slow(struct seq *s, uint32_t flow, uint32_t seq);

/* Accounts one packet; `flow` < s->flows is the caller's duty. */
static inline enum seq_kind
seq_add(struct seq *s, uint32_t flow, uint32_t seq)
{
	struct seq_flow *f = &s->flow[flow];

	if (__builtin_expect(seq == f->next && f->missing == 0, 1)) {
		f->next++;
		f->unique++;
		s->unique_count++;
		return SEQ_IN_ORDER;
	}
	return seq_slow(s, flow, seq);
}

/* Adds the counts of `from` to `to`: two parts of one stream, received by two workers.  Gives the number of flows
 * that both have seen and no merge into `to` has counted before: of those neither duplicates nor reordering can be
 * told.  From then on `to` accounts no more packets. */
uint32_t seq_merge(struct seq *to, const struct seq *from);

#endif
