/* SPDX-License-Identifier: BSD-3-Clause
 *
 * monitor: counts every flow exactly, as the meter does (pktgen/flowtable.h), and forwards untouched.
 */
#include <rte_cycles.h>

#include "flowtable.h"
#include "nf.h"
#include "words.h"

extern const struct nf nf_monitor;

#define FLOWS_DEFAULT 65536u

static struct flowtable table;

static int
monitor_init(const char *arg, char *error)
{
	uint64_t flows_max = FLOWS_DEFAULT;
	const struct setting settings[] = {
		{.name = "flows_max", .low = 1, .high = FLOWTABLE_CAPACITY_MAX, .value = &flows_max},
		{.name = NULL},
	};

	if (words_settings(arg, settings, error) != 0)
		return -1;
	return flowtable_init(&table, (uint32_t)flows_max, error);
}

static uint16_t
monitor_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	(void)side;
	(void)drop;
	flowtable_burst(&table, pkts, n, rte_rdtsc());
	return 0;
}

static void
monitor_report(json_t *reply)
{
	uint64_t no_room = 0;

	for (unsigned int kind = 0; kind < FLOW_KINDS; kind++)
		no_room += table.no_room[kind].packets;
	json_object_set_new(reply, "flow_count", json_integer(table.count));
	json_object_set_new(reply, "no_room_count", json_integer((json_int_t)no_room));
}

static void
monitor_fini(void)
{
	flowtable_free(&table);
}

const struct nf nf_monitor = {
	.name = "monitor",
	.help = "[flows_max N]: count the packets and bytes of every flow",
	.init = monitor_init,
	.process = monitor_process,
	.report = monitor_report,
	.fini = monitor_fini,
};
