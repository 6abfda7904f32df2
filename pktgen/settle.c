/* SPDX-License-Identifier: BSD-3-Clause */
#include "settle.h"

#include <rte_common.h>
#include <rte_cycles.h>
#include <time.h>

#include "clock.h"

#define LOOK_NS 1000000
#define MAX_S 20 /* a stamp tells ages up to 27 s on the fastest machines */

int
settle(json_t *request, settle_last_fn last, void *ctx, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	const struct timespec nap = {.tv_nsec = LOOK_NS};
	const uint64_t start = rte_rdtsc();
	double silence_s = 0.02;
	double max_s = 2;
	double silent_s;
	uint64_t now;

	if (control_unpack(request, error, "{s?F,s?F!}", "silence_s", &silence_s, "max_s", &max_s) != 0)
		return -1;
	if (!(silence_s > 0 && silence_s <= max_s && max_s <= MAX_S)) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: 0 < silence_s <= max_s <= %d", MAX_S);
		return -1;
	}
	do {
		nanosleep(&nap, NULL);
		uint64_t since = last(ctx);
		now = rte_rdtsc();
		since = RTE_MAX(since, start);
		silent_s = since < now ? clock_seconds(now - since) : 0;
	} while (silent_s < silence_s && clock_seconds(now - start) < max_s);
	return json_object_set_new(reply, "silent", json_boolean(silent_s >= silence_s));
}
