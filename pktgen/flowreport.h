/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Flows, copied out of a table, as JSON and CSV.  For the control thread: nothing here touches a worker.
 * Times are seconds since `start_tsc`.
 */
#ifndef VSW_FLOWREPORT_H
#define VSW_FLOWREPORT_H

#include <jansson.h>
#include <stdint.h>

#include "flowtable.h"

#define FLOWREPORT_ERROR_MAX 256u

enum flow_order { FLOW_BY_PACKETS, FLOW_BY_BYTES };

/* The `top` flows with the most packets or bytes, of equals those that came first:
 * [{"kind", "ether_type", "vlan":[id, ...], "src", "dst", "protocol", "src_port", "dst_port", "packets", "bytes",
 *   "min_bytes", "max_bytes", "first_s", "last_s", "mean_gap_ns"}, ...]; null where a kind has no such thing, and
 * for the mean inter-arrival time of one packet.  New reference, NULL if there is no memory. */
json_t *flowreport_top(const struct flow *flows, uint32_t n, uint32_t top, enum flow_order order, uint64_t start_tsc);

/* {"IPv4":{"flow_count", "packets", "bytes"}, ...} of all kinds, packets of flows without room included. */
json_t *flowreport_kinds(const struct flow *flows, uint32_t n, const struct flow_count no_room[FLOW_KINDS]);

/* Writes all flows to a new file, in the given order, with the columns of flowreport_top() (the VLAN ids as
 * outer_vlan and inner_vlan): RFC 4180, empty = null.  0, or -1 with a sentence; what was written is then removed. */
int flowreport_csv(const char *path, const struct flow *flows, uint32_t n, uint64_t start_tsc,
		   char error[FLOWREPORT_ERROR_MAX]);

#endif
