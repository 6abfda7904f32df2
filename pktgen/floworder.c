/* SPDX-License-Identifier: BSD-3-Clause */
#include "floworder.h"

#include <math.h>
#include <string.h>

static double
weight(uint32_t flow, double exponent)
{
	return pow((double)flow + 1, -exponent);
}

/* Vose's construction: `scaled` are the probabilities x count; the poor are filled up by the rich. */
static void
fill(struct floworder *f, double *scaled, uint32_t *work)
{
	uint32_t poor = 0;        /* work[0..poor-1] */
	uint32_t rich = f->count; /* work[rich..count-1] */

	for (uint32_t i = 0; i < f->count; i++) {
		if (scaled[i] < 1)
			work[poor++] = i;
		else
			work[--rich] = i;
	}
	while (poor > 0 && rich < f->count) {
		uint32_t p = work[--poor];
		uint32_t r = work[rich];
		f->alias[p] = (struct alias){.threshold = (uint32_t)(scaled[p] * 0x1p32), .other = r};
		scaled[r] -= 1 - scaled[p];
		if (scaled[r] < 1) {
			rich++;
			work[poor++] = r;
		}
	}
	/* what rounding has left over is a whole share */
	for (uint32_t i = 0; i < poor; i++)
		f->alias[work[i]] = (struct alias){.threshold = UINT32_MAX, .other = work[i]};
	for (uint32_t i = rich; i < f->count; i++)
		f->alias[work[i]] = (struct alias){.threshold = UINT32_MAX, .other = work[i]};
}

/* Weights of this sender's flows, scaled to mean 1; sets its share. */
static void
set_weights(struct floworder *f, double *scaled, uint32_t flows, double exponent)
{
	double mine = 0;
	double all = 0;

	for (uint32_t i = 0; i < flows; i++) {
		double w = weight(i, exponent);
		all += w;
		if (i % f->step == f->first) {
			scaled[i / f->step] = w;
			mine += w;
		}
	}
	for (uint32_t i = 0; i < f->count; i++)
		scaled[i] *= f->count / mine;
	f->share = mine / all;
}

static int
make_alias(struct floworder *f, uint32_t flows, double exponent, char error[BIG_ERROR_MAX])
{
	const size_t scaled_bytes = f->count * sizeof(double);
	const size_t work_bytes = f->count * sizeof(uint32_t);
	double *scaled = big_alloc(scaled_bytes, "the weights of the flows", error);
	uint32_t *work = scaled != NULL ? big_alloc(work_bytes, "the order of the flows", error) : NULL;

	if (work != NULL)
		f->alias = big_alloc(f->count * sizeof(*f->alias), "the popularity of the flows", error);
	if (f->alias != NULL) {
		set_weights(f, scaled, flows, exponent);
		fill(f, scaled, work);
	}
	big_free(scaled, scaled_bytes);
	big_free(work, work_bytes);
	return f->alias != NULL ? 0 : -1;
}

int
floworder_init(struct floworder *f, enum flow_order order, uint32_t flows, uint32_t first, uint32_t step,
	       double zipf_exponent, uint64_t seed, char error[BIG_ERROR_MAX])
{
	memset(f, 0, sizeof(*f));
	f->order = order;
	f->first = first;
	f->step = step;
	f->count = (flows - first + step - 1) / step;
	f->random = seed + first;
	f->share = (double)f->count / flows;
	return order == FLOW_ZIPF ? make_alias(f, flows, zipf_exponent, error) : 0;
}

void
floworder_free(struct floworder *f)
{
	big_free(f->alias, f->count * sizeof(*f->alias));
	f->alias = NULL;
}
