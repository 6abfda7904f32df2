/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames and bytes in intervals of equal length.
 */
#ifndef VSW_SERIES_H
#define VSW_SERIES_H

#include <jansson.h>
#include <stdint.h>

#define SERIES_MAX 100000u /* intervals; what comes later is counted in the last */

struct series_point {
	uint64_t frames;
	uint64_t bytes; /* mbuf bytes, without FCS */
};

struct series {
	struct series_point *point; /* [points], owned; NULL: not asked for */
	uint32_t points;
	uint32_t used; /* up to the last one that was touched */
	uint64_t start_tsc;
	uint64_t interval_tsc;
};

/* `interval_s` 0: no series.  `span_s` is how long it may get.  0 or -ENOMEM. */
int series_init(struct series *s, double interval_s, double span_s);

/* Interval 0 begins at start_tsc. */
void series_start(struct series *s, uint64_t start_tsc);
void series_free(struct series *s);
void series_merge(struct series *to, const struct series *from);

/* [[frames, bytes], ...] or null. */
json_t *series_json(const struct series *s);

static inline void
series_add(struct series *s, uint64_t now_tsc, uint64_t frames, uint64_t bytes)
{
	if (s->point == NULL || now_tsc < s->start_tsc)
		return;
	uint64_t i = (now_tsc - s->start_tsc) / s->interval_tsc;
	if (i >= s->points)
		i = s->points - 1;
	if (i >= s->used)
		s->used = (uint32_t)i + 1;
	s->point[i].frames += frames;
	s->point[i].bytes += bytes;
}

#endif
