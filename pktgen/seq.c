/* SPDX-License-Identifier: BSD-3-Clause */
#include "seq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_TOTAL_BITS (UINT64_C(1) << 24) /* 2 MiB of bits over all flows */
#define WINDOW_MAX (1u << 20)
#define WINDOW_MIN 64u
#define COUNTED UINT32_MAX /* `missing` of a flow that seq_merge() has told of */

static uint64_t
window_bytes(const struct seq *s)
{
	return (uint64_t)s->flows * (s->window / 8);
}

int
seq_init(struct seq *s, uint32_t flows, char error[BIG_ERROR_MAX])
{
	memset(s, 0, sizeof(*s));
	s->flows = flows;
	s->window = WINDOW_MAX;
	while (s->window > WINDOW_MIN && (uint64_t)s->window * flows > WINDOW_TOTAL_BITS)
		s->window /= 2;
	s->flow = big_alloc(flows * sizeof(*s->flow), "the next numbers of the flows", error);
	s->gap = malloc(SEQ_GAPS * sizeof(*s->gap));
	if (s->gap == NULL)
		snprintf(error, BIG_ERROR_MAX, "no memory for %u jumps", SEQ_GAPS);
	if (s->flow != NULL && s->gap != NULL)
		s->missing = big_alloc(window_bytes(s), "the windows of the flows", error);
	if (s->missing != NULL)
		return 0;
	seq_free(s);
	return -1;
}

void
seq_free(struct seq *s)
{
	big_free(s->flow, s->flows * sizeof(*s->flow));
	big_free(s->missing, window_bytes(s));
	free(s->gap);
	s->flow = NULL;
	s->missing = NULL;
	s->gap = NULL;
}

static uint64_t *
window_of(const struct seq *s, uint32_t flow)
{
	return &s->missing[(size_t)flow * (s->window / 64)];
}

/* Gives up what the window still remembers of the numbers that `next + 1` .. `next + advance` push out. */
static void
forget(const struct seq *s, struct seq_flow *f, uint64_t *bits, uint32_t advance)
{
	if (f->missing == 0)
		return;
	if (advance >= s->window) {
		memset(bits, 0, s->window / 8);
		f->missing = 0;
		return;
	}
	for (uint32_t i = 0; i < advance; i++) {
		uint32_t slot = (f->next + i) & (s->window - 1);
		uint64_t bit = UINT64_C(1) << (slot & 63);
		if (bits[slot >> 6] & bit) {
			bits[slot >> 6] &= ~bit;
			f->missing--;
		}
	}
}

static void
mark_missing(const struct seq *s, struct seq_flow *f, uint64_t *bits, uint32_t from, uint32_t to)
{
	if (to - from > s->window)
		from = to - s->window;
	for (uint32_t n = from; n != to; n++) {
		uint32_t slot = n & (s->window - 1);
		bits[slot >> 6] |= UINT64_C(1) << (slot & 63);
		f->missing++;
	}
}

static void
remember_gap(struct seq *s, uint32_t flow, uint32_t from, uint32_t to)
{
	s->gap[s->gaps++ % SEQ_GAPS] = (struct seq_gap){flow, from, to, s->flow[flow].unique};
}

/* How many arrivals ago number `seq` was first overtaken (RFC 4737 4.2.1); the latest jumps are the likeliest. */
static void
note_extent(struct seq *s, uint32_t flow, uint32_t seq)
{
	for (uint64_t i = s->gaps; i > 0 && i + SEQ_GAPS > s->gaps; i--) {
		const struct seq_gap *g = &s->gap[(i - 1) % SEQ_GAPS];
		if (g->flow != flow || seq - g->from >= g->to - g->from)
			continue;
		uint32_t extent = s->flow[flow].unique - g->position;
		if (extent > s->reorder_extent_max)
			s->reorder_extent_max = extent;
		return;
	}
	s->extent_unknown_count++;
}

enum seq_kind
seq_slow(struct seq *s, uint32_t flow, uint32_t seq)
{
	struct seq_flow *f = &s->flow[flow];
	uint64_t *bits = window_of(s, flow);
	int32_t ahead = (int32_t)(seq - f->next);

	if (ahead >= 0) {
		/* seq itself takes a slot that belonged to seq - window; the numbers skipped become missing,
		 * of which only the last window - 1 can be remembered beside seq. */
		uint32_t gap = (uint32_t)ahead;
		forget(s, f, bits, gap + 1);
		uint32_t from = gap < s->window ? f->next : seq - (s->window - 1);
		mark_missing(s, f, bits, from, seq);
		if (gap > 0)
			remember_gap(s, flow, f->next, seq);
		f->next = seq + 1;
		f->unique++;
		s->unique_count++;
		return gap == 0 ? SEQ_IN_ORDER : SEQ_GAP;
	}
	uint32_t behind = f->next - seq; /* >= 1 */
	if (behind > s->window) {
		s->old_count++;
		f->unique++;
		s->unique_count++;
		return SEQ_OLD;
	}
	uint32_t slot = seq & (s->window - 1);
	uint64_t bit = UINT64_C(1) << (slot & 63);
	if (!(bits[slot >> 6] & bit)) {
		s->duplicate_count++;
		return SEQ_DUPLICATE;
	}
	bits[slot >> 6] &= ~bit;
	f->missing--;
	s->reordered_count++;
	note_extent(s, flow, seq);
	f->unique++;
	s->unique_count++;
	return SEQ_LATE;
}

uint32_t
seq_merge(struct seq *to, const struct seq *from)
{
	uint32_t both = 0;

	for (uint32_t i = 0; i < to->flows && i < from->flows; i++) {
		if (from->flow[i].next == 0)
			continue;
		if (to->flow[i].next != 0 && to->flow[i].missing != COUNTED) {
			both++;
			to->flow[i].missing = COUNTED;
		}
		to->flow[i].next = 1; /* seen, for a third part */
	}
	to->unique_count += from->unique_count;
	to->duplicate_count += from->duplicate_count;
	to->reordered_count += from->reordered_count;
	to->old_count += from->old_count;
	to->extent_unknown_count += from->extent_unknown_count;
	if (from->reorder_extent_max > to->reorder_extent_max)
		to->reorder_extent_max = from->reorder_extent_max;
	return both;
}
