/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: whatever a frame holds, its flow is read without reading outside of it, and the table counts it once.
 * Input: the first byte is the size of segments (0: one), the rest a frame.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "fakembuf.h"
#include "flowtable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Packets in flows and of flows without room: all that came. */
static uint64_t
counted(const struct flowtable *t)
{
	static struct flow flows[FLOW_CHUNK];
	uint64_t packets = 0;
	uint32_t n = flowtable_copy(t, 0, flows);

	for (uint32_t i = 0; i < n; i++)
		packets += flows[i].packets;
	for (unsigned int kind = 0; kind < FLOW_KINDS; kind++)
		packets += t->no_room[kind].packets;
	return packets;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flowtable t;
	struct rte_mbuf *pkts[2];
	char error[BIG_ERROR_MAX];

	if (size < 1 || size > UINT16_MAX || flowtable_init(&t, 1, error) != 0)
		return 0;
	/* the frame as it is, and without its last byte: two flows or one, and room for one */
	pkts[0] = fake_mbuf(data + 1, (uint32_t)size - 1, data[0]);
	pkts[1] = fake_mbuf(data + 1, size > 1 ? (uint32_t)size - 2 : 0, 0);
	flowtable_burst(&t, pkts, 2, 1);
	flowtable_burst(&t, pkts, 2, 2);
	if (counted(&t) != 4)
		abort();
	fake_free(pkts[0]);
	fake_free(pkts[1]);
	flowtable_free(&t);
	return 0;
}
