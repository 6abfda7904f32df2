/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowkey.h"

#include <rte_ether.h>
#include <rte_ip.h>

#define ETHERTYPE_QINQ_OLD 0x9100u /* QinQ before 802.1ad */
#define ETHERTYPE_MIN 0x0600u /* below, the field is a length (IEEE 802.3 3.2.6) */
#define TAG_BYTES 4u
#define VLAN_ID_MASK 0x0fffu
#define VLAN_TAGS_MAX 2u
#define PORTS_BYTES 4u
#define IPV6_FRAGMENT_OFFSET_MASK 0xfff8u

const char *
flow_kind_name(enum flow_kind kind)
{
	static const char *const names[FLOW_KINDS] = {
		[FLOW_EMPTY] = "empty",
		[FLOW_IPV4] = "IPv4",
		[FLOW_IPV6] = "IPv6",
		[FLOW_IPV4_FRAGMENT] = "IPv4 fragment",
		[FLOW_IPV6_FRAGMENT] = "IPv6 fragment",
		[FLOW_NON_IP] = "non-IP",
		[FLOW_MALFORMED] = "malformed",
	};

	return names[kind];
}

/* The bytes of a frame that are there: [at, end). */
struct view {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t
left(const struct view *v)
{
	return (size_t)(v->end - v->at);
}

static inline uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* An IP datagram says how long it is: what follows in the frame is padding. `said` counts from v->at. */
static inline void
cut_padding(struct view *v, size_t said)
{
	if (said < left(v))
		v->end = v->at + said;
}

static inline bool
read_ports(struct flow_key *key, const struct view *v)
{
	if (!flow_has_ports(key->protocol))
		return true;
	if (left(v) < PORTS_BYTES)
		return false;
	memcpy(&key->src_port, v->at, 2);
	memcpy(&key->dst_port, v->at + 2, 2);
	return true;
}

/* The readers of a protocol return false for what is malformed; the key then holds rubbish. */
static inline bool
read_ipv4(struct flow_key *key, struct view v)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)v.at;

	if (left(&v) < sizeof(*ip) || ip->version != IPVERSION || ip->ihl < RTE_IPV4_MIN_IHL)
		return false;
	size_t header = rte_ipv4_hdr_len(ip);
	size_t total = rte_be_to_cpu_16(ip->total_length);
	if (total == 0) /* a capture before segmentation offload: larger than the field can say */
		total = left(&v);
	if (total < header || left(&v) < header)
		return false;
	memcpy(key->src, &ip->src_addr, sizeof(ip->src_addr));
	memcpy(key->dst, &ip->dst_addr, sizeof(ip->dst_addr));
	key->protocol = ip->next_proto_id;
	if ((ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0) {
		key->kind = FLOW_IPV4_FRAGMENT;
		return true;
	}
	key->kind = FLOW_IPV4;
	cut_padding(&v, total);
	v.at += header;
	return read_ports(key, &v);
}

/* Bytes of the extension header at v->at; 0 if `protocol` is none that we can step over. */
static size_t
extension_bytes(uint8_t protocol, const struct view *v)
{
	size_t units = left(v) >= 2 ? v->at[1] : 0;

	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case 135: /* mobility, RFC 6275 */
	case 139: /* HIP, RFC 7401 */
	case 140: /* Shim6, RFC 5533 */
		return (units + 1) * 8;
	case IPPROTO_AH: /* RFC 4302 2.2 */
		return (units + 2) * 4;
	case IPPROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

static bool
read_ipv6(struct flow_key *key, struct view v)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)v.at;
	size_t bytes;

	if (left(&v) < sizeof(*ip) || v.at[0] >> 4 != 6)
		return false;
	memcpy(key->src, ip->src_addr, sizeof(key->src));
	memcpy(key->dst, ip->dst_addr, sizeof(key->dst));
	key->protocol = ip->proto;
	key->kind = FLOW_IPV6;
	size_t payload = rte_be_to_cpu_16(ip->payload_len);
	if (payload != 0) /* 0: a jumbogram (RFC 2675), or before segmentation offload */
		cut_padding(&v, sizeof(*ip) + payload);
	v.at += sizeof(*ip);
	for (unsigned int i = 0; i < FLOW_EXTENSIONS_MAX; i++) {
		bytes = extension_bytes(key->protocol, &v);
		if (bytes == 0)
			break;
		if (left(&v) < bytes)
			return false;
		bool later = key->protocol == IPPROTO_FRAGMENT && (be16(v.at + 2) & IPV6_FRAGMENT_OFFSET_MASK) != 0;
		key->protocol = v.at[0];
		v.at += bytes;
		if (later) {
			key->kind = FLOW_IPV6_FRAGMENT;
			return true;
		}
	}
	return read_ports(key, &v);
}

static inline bool
is_tag(uint16_t ether_type)
{
	return ether_type == RTE_ETHER_TYPE_VLAN || ether_type == RTE_ETHER_TYPE_QINQ || ether_type == ETHERTYPE_QINQ_OLD;
}

/* Steps over the tags; gives the EtherType below them and leaves v->at behind it.  False if the frame ends first. */
static inline bool
read_ether(struct flow_key *key, struct view *v, uint16_t *ether_type)
{
	unsigned int tags = 0;

	*ether_type = 0;
	if (left(v) < sizeof(struct rte_ether_hdr))
		return false;
	*ether_type = be16(v->at + 2 * RTE_ETHER_ADDR_LEN);
	v->at += sizeof(struct rte_ether_hdr);
	while (is_tag(*ether_type) && tags < VLAN_TAGS_MAX) {
		if (left(v) < TAG_BYTES)
			return false;
		key->vlan[tags++] = be16(v->at) & VLAN_ID_MASK;
		*ether_type = be16(v->at + 2);
		v->at += TAG_BYTES;
	}
	return true;
}

static inline void
clear(struct flow_key *key, const uint16_t vlan[2])
{
	uint16_t kept[2] = {vlan[0], vlan[1]};

	memset(key, 0, sizeof(*key));
	memcpy(key->vlan, kept, sizeof(kept));
}

void
flow_key_of(const struct rte_mbuf *m, struct flow_key *key)
{
	static const uint16_t no_vlan[2] = {FLOW_NO_VLAN, FLOW_NO_VLAN};
	const uint8_t *start = rte_pktmbuf_mtod(m, const uint8_t *);
	struct view v = {start, start + rte_pktmbuf_data_len(m)};
	uint16_t ether_type;
	bool good;

	clear(key, no_vlan);
	good = read_ether(key, &v, &ether_type);
	if (good && ether_type == RTE_ETHER_TYPE_IPV4) {
		good = read_ipv4(key, v);
	} else if (good && ether_type == RTE_ETHER_TYPE_IPV6) {
		good = read_ipv6(key, v);
	} else if (good) {
		key->kind = FLOW_NON_IP;
		key->ether_type = ether_type >= ETHERTYPE_MIN ? ether_type : 0;
	}
	if (!good) {
		clear(key, key->vlan);
		key->kind = FLOW_MALFORMED;
		key->ether_type = ether_type;
	}
}
