/* SPDX-License-Identifier: BSD-3-Clause */
#include "series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

int
series_init(struct series *s, double interval_s, double span_s)
{
	memset(s, 0, sizeof(*s));
	if (interval_s <= 0)
		return 0;
	s->points = (uint32_t)fmin(ceil(span_s / interval_s) + 1, SERIES_MAX);
	s->interval_tsc = clock_ticks(interval_s);
	s->point = calloc(s->points, sizeof(*s->point));
	return s->point != NULL ? 0 : -ENOMEM;
}

void
series_start(struct series *s, uint64_t start_tsc)
{
	s->start_tsc = start_tsc;
}

void
series_free(struct series *s)
{
	free(s->point);
	s->point = NULL;
}

void
series_merge(struct series *to, const struct series *from)
{
	if (from->used > to->used)
		to->used = from->used;
	for (uint32_t i = 0; i < from->used; i++) {
		to->point[i].frames += from->point[i].frames;
		to->point[i].bytes += from->point[i].bytes;
	}
}

json_t *
series_json(const struct series *s)
{
	json_t *list;

	if (s->point == NULL)
		return json_null();
	list = json_array();
	for (uint32_t i = 0; i < s->used; i++)
		json_array_append_new(list, json_pack("[I,I]", (json_int_t)s->point[i].frames,
						      (json_int_t)s->point[i].bytes));
	return list;
}
