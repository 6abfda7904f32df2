/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Log-linear histogram of durations in nanoseconds, fixed layout.
 *
 * 0..255 ns: one bin a nanosecond.  From there each octave [2^k, 2^(k+1)) has 128 bins of equal width, so
 * a bin is at most 1/128 = 0.79 % of its value wide.  The last bin ends at 2^34 ns (17.2 s); what is longer
 * is counted in `overflow`.  All histograms have this one layout, so they merge by adding counts.
 * (The idea is HdrHistogram's; a fixed layout needs no header and no allocation.)
 */
#ifndef VSW_HIST_H
#define VSW_HIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HIST_EXACT 256u      /* values below this have a bin of their own */
#define HIST_SUB_BITS 7u     /* log2 of the bins an octave */
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_FIRST_OCTAVE 8u /* 2^8 = HIST_EXACT */
#define HIST_LAST_OCTAVE 33u
#define HIST_BINS (HIST_EXACT + (HIST_LAST_OCTAVE - HIST_FIRST_OCTAVE + 1) * HIST_SUB)

struct hist {
	uint64_t count[HIST_BINS];
	uint64_t overflow; /* values of 2^34 ns and more; not in count[] */
	uint64_t total;    /* values recorded, overflow included */
	uint64_t sum_ns;   /* of all values */
	uint64_t min_ns;   /* meaningful only if total > 0 */
	uint64_t max_ns;   /* exact, overflow included */
};

void hist_reset(struct hist *h);

/* An empty one into *h if `wanted`, else NULL.  False if there is no memory; freed by free(). */
bool hist_make(struct hist **h, bool wanted);

/* Adds all of `from` to `to`. */
void hist_merge(struct hist *to, const struct hist *from);

/* Lowest value of a bin, and the lowest value above it: bin = [low, high). */
uint64_t hist_bin_low(unsigned int bin);
uint64_t hist_bin_high(unsigned int bin);

/* {"count", "min_ns", "max_ns", "sum_ns", "overflow_count", "bins": [[low_ns, high_ns, count], ...]}; null for NULL
 * or an empty one.  New reference. */
json_t *hist_json(const struct hist *h);

/* Bin of a value; HIST_BINS if it does not fit. */
static inline unsigned int
hist_bin(uint64_t ns)
{
	if (ns < HIST_EXACT)
		return (unsigned int)ns;
	unsigned int octave = 63u - (unsigned int)__builtin_clzll(ns);
	if (octave > HIST_LAST_OCTAVE)
		return HIST_BINS;
	unsigned int sub = (unsigned int)(ns >> (octave - HIST_SUB_BITS)) & (HIST_SUB - 1);
	return HIST_EXACT + (octave - HIST_FIRST_OCTAVE) * HIST_SUB + sub;
}

/* Records `n` equal values (packets of one burst often share a latency). */
static inline void
hist_add(struct hist *h, uint64_t ns, uint64_t n)
{
	unsigned int bin = hist_bin(ns);

	if (bin < HIST_BINS)
		h->count[bin] += n;
	else
		h->overflow += n;
	h->total += n;
	h->sum_ns += ns * n;
	if (ns < h->min_ns)
		h->min_ns = ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

#endif
