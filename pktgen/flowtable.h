/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Exact counts per flow of traffic that need not be ours.  A flow is the IPv4 5-tuple; what is no IPv4 is one
 * flow of its own.  Keys are compared in full (rte_hash), so two flows are never merged; flows that find
 * no room are counted in `lost_count` packets, never silently.
 */
#ifndef VSW_FLOWTABLE_H
#define VSW_FLOWTABLE_H

#include <jansson.h>
#include <rte_mbuf.h>
#include <stdint.h>

struct flow_record {
	uint64_t packets;
	uint64_t bytes;
};

struct flowtable {
	struct rte_hash *hash;
	struct flow_record *record; /* [capacity], by position in the hash */
	uint32_t capacity;
	uint64_t lost_count; /* packets of flows for which there was no room */
};

/* 0 or -errno.  `capacity` flows at most. */
int flowtable_init(struct flowtable *t, uint32_t capacity);
void flowtable_free(struct flowtable *t);
void flowtable_add(struct flowtable *t, const struct rte_mbuf *m);

/* {"flow_count":, "no_room_count":, "top":[{"src":"198.18.0.1","dst":...,"src_port":,"dst_port":,"protocol":,
 * "packets":,"bytes":}, ...]}, the `top` flows with the most packets.  New reference. */
json_t *flowtable_json(const struct flowtable *t, uint32_t top);

#endif
