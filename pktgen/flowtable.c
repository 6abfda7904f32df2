/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtable.h"

#include <arpa/inet.h>
#include <errno.h>
#include <rte_ether.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <string.h>

struct flow_key {
	uint32_t src;
	uint32_t dst;
	uint16_t src_port;
	uint16_t dst_port;
	uint8_t protocol;
	uint8_t is_ipv4;
	uint16_t zero;
};

int
flowtable_init(struct flowtable *t, uint32_t capacity)
{
	struct rte_hash_parameters how = {.name = "flows", .entries = capacity < 64 ? 64 : capacity,
					  .key_len = sizeof(struct flow_key), .hash_func = rte_hash_crc,
					  .socket_id = (int)rte_socket_id(),
					  .extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE};

	memset(t, 0, sizeof(*t));
	t->capacity = capacity;
	t->hash = rte_hash_create(&how);
	/* positions run to entries + 1 at most */
	t->record = calloc((size_t)how.entries + 2, sizeof(*t->record));
	if (t->hash == NULL || t->record == NULL) {
		flowtable_free(t);
		return -ENOMEM;
	}
	return 0;
}

void
flowtable_free(struct flowtable *t)
{
	rte_hash_free(t->hash);
	free(t->record);
	memset(t, 0, sizeof(*t));
}

/* The key of a frame; ports are 0 for fragments after the first and for other protocols than TCP and UDP. */
static struct flow_key
key_of(const struct rte_mbuf *m)
{
	struct flow_key key = {0};
	uint32_t length = rte_pktmbuf_data_len(m);
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(eth + 1);

	if (length < sizeof(*eth) + sizeof(*ip) || eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	    ip->version != IPVERSION || ip->ihl < RTE_IPV4_MIN_IHL)
		return key;
	key.is_ipv4 = 1;
	key.src = ip->src_addr;
	key.dst = ip->dst_addr;
	key.protocol = ip->next_proto_id;
	uint32_t l4 = (uint32_t)sizeof(*eth) + rte_ipv4_hdr_len(ip);
	bool first = (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) == 0;
	bool has_ports = key.protocol == IPPROTO_UDP || key.protocol == IPPROTO_TCP;
	if (first && has_ports && length >= l4 + 4) {
		memcpy(&key.src_port, rte_pktmbuf_mtod_offset(m, const void *, l4), 2);
		memcpy(&key.dst_port, rte_pktmbuf_mtod_offset(m, const void *, l4 + 2), 2);
	}
	return key;
}

void
flowtable_add(struct flowtable *t, const struct rte_mbuf *m)
{
	struct flow_key key = key_of(m);
	int32_t position = rte_hash_lookup(t->hash, &key);

	if (position < 0 && rte_hash_count(t->hash) < (int32_t)t->capacity)
		position = rte_hash_add_key(t->hash, &key);
	if (position < 0) {
		t->lost_count++;
		return;
	}
	t->record[position].packets++;
	t->record[position].bytes += rte_pktmbuf_pkt_len(m);
}

static json_t *
flow_json(const struct flow_key *key, const struct flow_record *record)
{
	char src[INET_ADDRSTRLEN];
	char dst[INET_ADDRSTRLEN];

	if (!key->is_ipv4)
		return json_pack("{s:s,s:I,s:I}", "kind", "not IPv4", "packets", (json_int_t)record->packets, "bytes",
				 (json_int_t)record->bytes);
	inet_ntop(AF_INET, &key->src, src, sizeof(src));
	inet_ntop(AF_INET, &key->dst, dst, sizeof(dst));
	return json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:I,s:I}", "kind", "IPv4", "src", src, "dst", dst, "src_port",
			 ntohs(key->src_port), "dst_port", ntohs(key->dst_port), "protocol", key->protocol, "packets",
			 (json_int_t)record->packets, "bytes", (json_int_t)record->bytes);
}

struct ranked {
	const struct flow_key *key;
	const struct flow_record *record;
};

static int
more_packets_first(const void *a, const void *b)
{
	uint64_t pa = ((const struct ranked *)a)->record->packets;
	uint64_t pb = ((const struct ranked *)b)->record->packets;

	return pa < pb ? 1 : pa > pb ? -1 : 0;
}

json_t *
flowtable_json(const struct flowtable *t, uint32_t top)
{
	int32_t count = rte_hash_count(t->hash);
	struct ranked *all = calloc((size_t)count + 1, sizeof(*all));
	json_t *list = json_array();
	const void *key;
	void *data;
	uint32_t next = 0;
	int32_t position;
	uint32_t n = 0;

	while (all != NULL && (position = rte_hash_iterate(t->hash, &key, &data, &next)) >= 0)
		all[n++] = (struct ranked){key, &t->record[position]};
	if (all != NULL)
		qsort(all, n, sizeof(*all), more_packets_first);
	for (uint32_t i = 0; i < n && i < top; i++)
		json_array_append_new(list, flow_json(all[i].key, all[i].record));
	free(all);
	return json_pack("{s:i,s:I,s:o}", "flow_count", count, "no_room_count", (json_int_t)t->lost_count, "top", list);
}
