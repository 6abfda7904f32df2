/* SPDX-License-Identifier: BSD-3-Clause */
#include "hist.h"

#include <stdlib.h>
#include <string.h>

void
hist_reset(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min_ns = UINT64_MAX;
}

bool
hist_make(struct hist **h, bool wanted)
{
	*h = wanted ? malloc(sizeof(**h)) : NULL;
	if (*h != NULL)
		hist_reset(*h);
	return *h != NULL || !wanted;
}

void
hist_merge(struct hist *to, const struct hist *from)
{
	for (unsigned int i = 0; i < HIST_BINS; i++)
		to->count[i] += from->count[i];
	to->overflow += from->overflow;
	to->total += from->total;
	to->sum_ns += from->sum_ns;
	if (from->min_ns < to->min_ns)
		to->min_ns = from->min_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
}

uint64_t
hist_bin_low(unsigned int bin)
{
	if (bin < HIST_EXACT)
		return bin;
	unsigned int octave = HIST_FIRST_OCTAVE + (bin - HIST_EXACT) / HIST_SUB;
	uint64_t sub = (bin - HIST_EXACT) % HIST_SUB;
	return (HIST_SUB + sub) << (octave - HIST_SUB_BITS);
}

uint64_t
hist_bin_high(unsigned int bin)
{
	return hist_bin_low(bin + 1);
}

json_t *
hist_json(const struct hist *h)
{
	json_t *bins;

	if (h == NULL || h->total == 0)
		return json_null();
	bins = json_array();
	for (unsigned int i = 0; i < HIST_BINS; i++) {
		if (h->count[i] == 0)
			continue;
		json_array_append_new(bins, json_pack("[I,I,I]", (json_int_t)hist_bin_low(i),
						      (json_int_t)hist_bin_high(i), (json_int_t)h->count[i]));
	}
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "count", (json_int_t)h->total, "min_ns", (json_int_t)h->min_ns,
			 "max_ns", (json_int_t)h->max_ns, "sum_ns", (json_int_t)h->sum_ns, "overflow_count",
			 (json_int_t)h->overflow, "bins", bins);
}
