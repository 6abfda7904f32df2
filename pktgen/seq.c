/* SPDX-License-Identifier: BSD-3-Clause */
#include "seq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_TOTAL_BITS (UINT64_C(1) << 24) /* 2 MiB of bits over all flows */
#define WINDOW_MAX (1u << 20)
#define WINDOW_MIN 64u

int
seq_init(struct seq *s, uint32_t flows)
{
	memset(s, 0, sizeof(*s));
	s->flows = flows;
	s->window = WINDOW_MAX;
	while (s->window > WINDOW_MIN && (uint64_t)s->window * flows > WINDOW_TOTAL_BITS)
		s->window /= 2;
	s->flow = calloc(flows, sizeof(*s->flow));
	s->missing = calloc((size_t)flows * (s->window / 64), sizeof(*s->missing));
	if (s->flow == NULL || s->missing == NULL) {
		seq_free(s);
		return -ENOMEM;
	}
	return 0;
}

void
seq_free(struct seq *s)
{
	free(s->flow);
	free(s->missing);
	s->flow = NULL;
	s->missing = NULL;
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

void
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
		f->next = seq + 1;
		f->received++;
		s->unique_count++;
		return;
	}
	uint32_t behind = f->next - seq; /* >= 1 */
	if (behind > s->window) {
		s->old_count++;
		s->unique_count++;
		f->received++;
		return;
	}
	uint32_t slot = seq & (s->window - 1);
	uint64_t bit = UINT64_C(1) << (slot & 63);
	if (!(bits[slot >> 6] & bit)) {
		s->duplicate_count++;
		return;
	}
	bits[slot >> 6] &= ~bit;
	f->missing--;
	f->received++;
	s->unique_count++;
	s->reordered_count++;
	if (behind > s->reorder_extent_max)
		s->reorder_extent_max = behind;
}
