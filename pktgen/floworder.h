/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which flow the next packet belongs to.  The order follows from the request and its seed alone, never from the
 * order in which a mempool hands out buffers (the trap of pre-filled pools).
 *
 *   increment  0, 1, 2, ... and again: every flow equally often
 *   random     uniform
 *   zipf       flow i with probability proportional to 1 / (i + 1)^exponent, by the alias method (Walker 1977; Vose
 *              1991): one random number and one 8-byte record a packet, however many flows
 *
 * Of several senders of one stream, sender `first` of `step` has the flows first, first + step, ...
 */
#ifndef VSW_FLOWORDER_H
#define VSW_FLOWORDER_H

#include <stdint.h>

#include "bigmem.h"
#include "random.h"

enum flow_order { FLOW_INCREMENT, FLOW_RANDOM, FLOW_ZIPF };

struct alias {
	uint32_t threshold; /* below it this one, else the other */
	uint32_t other;
};

struct floworder {
	enum flow_order order;
	uint32_t count; /* flows of this sender */
	uint32_t first;
	uint32_t step;
	uint32_t next; /* increment */
	uint64_t random;
	struct alias *alias; /* [count], zipf; owned */
	double share;        /* of the stream's packets, 0..1 */
};

/* `flows` of the whole stream; step <= flows.  0, or -1 with a sentence and nothing allocated. */
int floworder_init(struct floworder *f, enum flow_order order, uint32_t flows, uint32_t first, uint32_t step,
		   double zipf_exponent, uint64_t seed, char error[BIG_ERROR_MAX]);
void floworder_free(struct floworder *f);

static inline uint32_t
floworder_next(struct floworder *f)
{
	uint32_t i = 0;

	if (f->count > 1) {
		if (f->order == FLOW_INCREMENT) {
			i = f->next;
			f->next = i + 1 < f->count ? i + 1 : 0;
		} else {
			uint64_t r = random_next(&f->random);
			i = random_scale((uint32_t)(r >> 32), f->count);
			if (f->order == FLOW_ZIPF && (uint32_t)r >= f->alias[i].threshold)
				i = f->alias[i].other;
		}
	}
	return f->first + i * f->step;
}

#endif
