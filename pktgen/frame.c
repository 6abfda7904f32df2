/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"

#include <errno.h>
#include <rte_gtp.h>
#include <rte_vxlan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL 64
#define WIDE_BITS 24u
#define PORT_BITS 15u
#define VLAN_MAX 4094u
#define VXLAN_PORT 4789      /* RFC 7348 */
#define VXLAN_VNI_VALID 0x08000000u
#define VXLAN_ENTROPY 0xc000 /* outer source ports 49152..65535 (RFC 7348 section 5) */
#define VXLAN_ENTROPY_BITS 14u
#define GTPU_PORT 2152       /* 3GPP TS 29.281 4.4.2 */
#define GTPU_FLAGS 0x30      /* version 1, GTP, no optional fields */
#define GTPU_T_PDU 0xff
#define TUNNEL_SRC RTE_IPV4(198u, 19u, 254, 1)
#define TUNNEL_DST RTE_IPV4(198u, 19u, 255, 1)

/* Where the headers of a stack lie; 0: there is none. */
struct layout {
	uint16_t vlan[2];
	uint16_t outer_ip;
	uint16_t outer_udp;
	uint16_t tunnel;
	uint16_t eth; /* whose addresses vary: the inner one of VXLAN */
	uint16_t ip;
	uint16_t l4;
	uint16_t stamp;
};

static struct layout
lay_out(const struct frame_request *r)
{
	struct layout l = {0};
	uint16_t at = sizeof(struct rte_ether_hdr);

	for (unsigned int i = 0; i < r->vlans; i++) {
		l.vlan[i] = at;
		at += sizeof(struct rte_vlan_hdr);
	}
	if (r->tunnel != TUNNEL_NONE) {
		l.outer_ip = at;
		l.outer_udp = (uint16_t)(l.outer_ip + sizeof(struct rte_ipv4_hdr));
		l.tunnel = (uint16_t)(l.outer_udp + sizeof(struct rte_udp_hdr));
		at = (uint16_t)(l.tunnel + 8); /* both VXLAN and GTP-U without options */
	}
	if (r->tunnel == TUNNEL_VXLAN) {
		l.eth = at;
		at += sizeof(struct rte_ether_hdr);
	}
	l.ip = at;
	at += r->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	l.l4 = at;
	at += r->tcp ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr);
	l.stamp = at;
	return l;
}

/* One's complement sum of `n` bytes, an even number, in native words. */
static uint64_t
sum_bytes(const void *p, unsigned int n)
{
	const uint8_t *b = p;
	uint64_t sum = 0;
	uint16_t word;

	for (unsigned int i = 0; i + 1 < n; i += 2) {
		memcpy(&word, b + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static void
put_ipv4(uint8_t *p, uint16_t bytes, uint8_t protocol, const uint8_t src[4], const uint8_t dst[4])
{
	struct rte_ipv4_hdr ip = {.version_ihl = RTE_IPV4_VHL_DEF, .time_to_live = TTL, .next_proto_id = protocol,
				  .total_length = rte_cpu_to_be_16(bytes)};

	memcpy(&ip.src_addr, src, 4);
	memcpy(&ip.dst_addr, dst, 4);
	ip.hdr_checksum = (uint16_t)~frame_fold(sum_bytes(&ip, sizeof(ip)));
	memcpy(p, &ip, sizeof(ip));
}

static void
put_ipv6(uint8_t *p, uint16_t payload, uint8_t protocol, const uint8_t src[16], const uint8_t dst[16])
{
	struct rte_ipv6_hdr ip = {.vtc_flow = rte_cpu_to_be_32(6u << 28), .payload_len = rte_cpu_to_be_16(payload),
				  .proto = protocol, .hop_limits = TTL};

	memcpy(&ip.src_addr, src, 16);
	memcpy(&ip.dst_addr, dst, 16);
	memcpy(p, &ip, sizeof(ip));
}

static void
put_udp(uint8_t *p, uint16_t src, uint16_t dst, uint16_t bytes)
{
	struct rte_udp_hdr udp = {.src_port = rte_cpu_to_be_16(src), .dst_port = rte_cpu_to_be_16(dst),
				  .dgram_len = rte_cpu_to_be_16(bytes)};

	memcpy(p, &udp, sizeof(udp));
}

static void
put_tcp(uint8_t *p, uint16_t src, uint16_t dst)
{
	struct rte_tcp_hdr tcp = {.src_port = rte_cpu_to_be_16(src), .dst_port = rte_cpu_to_be_16(dst),
				  .data_off = sizeof(tcp) / 4 << 4, .tcp_flags = RTE_TCP_ACK_FLAG,
				  .rx_win = rte_cpu_to_be_16(UINT16_MAX)};

	memcpy(p, &tcp, sizeof(tcp));
}

static void
put_tunnel(uint8_t *p, const struct frame_request *r, const struct layout *l, uint16_t bytes)
{
	const uint32_t src = rte_cpu_to_be_32(TUNNEL_SRC);
	const uint32_t dst = rte_cpu_to_be_32(TUNNEL_DST);
	uint16_t udp_bytes = (uint16_t)(bytes - l->outer_udp);

	put_ipv4(p + l->outer_ip, (uint16_t)(bytes - l->outer_ip), IPPROTO_UDP, (const uint8_t *)&src,
		 (const uint8_t *)&dst);
	if (r->tunnel == TUNNEL_VXLAN) {
		struct rte_vxlan_hdr vxlan = {.vx_flags = rte_cpu_to_be_32(VXLAN_VNI_VALID),
					      .vx_vni = rte_cpu_to_be_32(1u << 8)};
		put_udp(p + l->outer_udp, VXLAN_ENTROPY, VXLAN_PORT, udp_bytes);
		memcpy(p + l->tunnel, &vxlan, sizeof(vxlan));
	} else {
		struct rte_gtp_hdr gtp = {.gtp_hdr_info = GTPU_FLAGS, .msg_type = GTPU_T_PDU, .teid = rte_cpu_to_be_32(1),
					  .plen = rte_cpu_to_be_16((uint16_t)(bytes - l->ip))};
		put_udp(p + l->outer_udp, GTPU_PORT, GTPU_PORT, udp_bytes);
		memcpy(p + l->tunnel, &gtp, sizeof(gtp));
	}
}

static void
put_ether(uint8_t *p, const struct frame_request *r, uint16_t type)
{
	struct rte_ether_hdr eth = {.dst_addr = r->dst_mac, .src_addr = r->src_mac, .ether_type = rte_cpu_to_be_16(type)};

	memcpy(p, &eth, sizeof(eth));
}

/* The outer Ethernet header with its tags; `type` is what comes behind them. */
static void
put_tags(uint8_t *p, const struct frame_request *r, const struct layout *l, uint16_t type)
{
	uint16_t first = r->vlans == 2 ? RTE_ETHER_TYPE_QINQ : r->vlans == 1 ? RTE_ETHER_TYPE_VLAN : type;

	put_ether(p, r, first);
	for (unsigned int i = 0; i < r->vlans; i++) {
		uint16_t next = i + 1 < r->vlans ? RTE_ETHER_TYPE_VLAN : type;
		struct rte_vlan_hdr tag = {.vlan_tci = rte_cpu_to_be_16(r->vlan[i]), .eth_proto = rte_cpu_to_be_16(next)};
		memcpy(p + l->vlan[i], &tag, sizeof(tag));
	}
}

/* All headers of a frame of `bytes` (without FCS), of flow 0. */
static void
put_headers(uint8_t *p, const struct frame_request *r, const struct layout *l, uint16_t bytes)
{
	uint16_t type = r->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	uint8_t protocol = r->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t l4_bytes = (uint16_t)(bytes - l->l4);

	put_tags(p, r, l, r->tunnel != TUNNEL_NONE ? RTE_ETHER_TYPE_IPV4 : type);
	if (r->tunnel != TUNNEL_NONE)
		put_tunnel(p, r, l, bytes);
	if (r->tunnel == TUNNEL_VXLAN)
		put_ether(p + l->eth, r, type);
	if (r->ipv6)
		put_ipv6(p + l->ip, l4_bytes, protocol, r->src_ip, r->dst_ip);
	else
		put_ipv4(p + l->ip, (uint16_t)(bytes - l->ip), protocol, r->src_ip, r->dst_ip);
	if (r->tcp)
		put_tcp(p + l->l4, r->src_port, r->dst_port);
	else
		put_udp(p + l->l4, r->src_port, r->dst_port, l4_bytes);
}

/* The checksums that vary, without what varies in them. */
static void
prepare_sums(const struct frame *f, struct frame_image *image, const struct frame_request *r, const struct layout *l)
{
	uint8_t copy[FRAME_HEAD_MAX];
	unsigned int address_bytes = r->ipv6 ? 32 : 8;
	unsigned int address = l->l4 - address_bytes; /* both are the last of their header */
	uint16_t pseudo[2] = {rte_cpu_to_be_16((uint16_t)(image->mbuf_bytes - l->l4)),
			      rte_cpu_to_be_16(r->tcp ? IPPROTO_TCP : IPPROTO_UDP)};

	memcpy(copy, image->bytes, sizeof(copy));
	if (!r->ipv6)
		memset(copy + l->ip + offsetof(struct rte_ipv4_hdr, hdr_checksum), 0, 2);
	for (unsigned int i = 0; i < f->varies; i++)
		memset(copy + f->vary[i].offset, 0, f->vary[i].bytes);
	image->ip_sum = sum_bytes(copy + l->ip, l->l4 - l->ip);
	image->l4_sum = sum_bytes(pseudo, sizeof(pseudo)) + sum_bytes(copy + address, address_bytes) +
			sum_bytes(copy + l->l4, l->stamp - l->l4);
}

/* ---- varying fields ------------------------------------------------------------------------------------------- */

struct place {
	const char *name;
	uint16_t offset;
	uint8_t bytes;
	uint8_t left;
	uint32_t base;
	unsigned int bits; /* by which it may vary; 0: this stack does not have it */
	bool in_ip_sum;
	bool in_l4_sum;
};

static unsigned int
bits_up_to(uint32_t room) /* values base..base + 2^bits - 1 with 2^bits - 1 <= room */
{
	unsigned int bits = 0;

	while (bits < WIDE_BITS && (UINT64_C(2) << bits) - 1 <= room)
		bits++;
	return bits;
}

static uint32_t
low_word(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return rte_be_to_cpu_32(v);
}

static struct place
place_mac(const char *name, const struct rte_ether_addr *mac, unsigned int offset)
{
	uint32_t low = low_word(&mac->addr_bytes[2]);

	return (struct place){name, (uint16_t)(offset + 2), 4, 0, low, bits_up_to(UINT32_MAX - low), false, false};
}

static struct place
place_ip(const char *name, const uint8_t *address, bool given, bool ipv6, unsigned int offset)
{
	uint32_t base = low_word(address + (ipv6 ? 12 : 0));
	unsigned int bits = bits_up_to(UINT32_MAX - base);

	return (struct place){name, (uint16_t)(offset + (ipv6 ? 12 : 0)), 4, 0, base,
			      given ? bits : RTE_MIN(bits, FRAME_IP_BITS), !ipv6, true};
}

static struct place
place_port(const char *name, uint16_t port, unsigned int offset)
{
	return (struct place){name, (uint16_t)offset, 2, 0, port,
			      RTE_MIN(bits_up_to((uint32_t)UINT16_MAX - port), PORT_BITS), false, true};
}

static struct place
place_of(const struct frame_request *r, const struct layout *l, enum frame_field field)
{
	unsigned int tag = r->vlans > 0 ? r->vlans - 1 : 0;
	unsigned int src_ip = l->l4 - (r->ipv6 ? 32u : 8u);
	unsigned int dst_ip = l->l4 - (r->ipv6 ? 16u : 4u);

	switch (field) {
	case FIELD_SRC_MAC:
		return place_mac("src_mac", &r->src_mac, l->eth + RTE_ETHER_ADDR_LEN);
	case FIELD_DST_MAC:
		return place_mac("dst_mac", &r->dst_mac, l->eth);
	case FIELD_VLAN:
		return (struct place){"vlan", l->vlan[tag], 2, 0, r->vlan[tag],
				      r->vlans > 0 ? bits_up_to(VLAN_MAX - r->vlan[tag]) : 0, false, false};
	case FIELD_SRC_IP:
		return place_ip("src_ip", r->src_ip, r->src_ip_given, r->ipv6, src_ip);
	case FIELD_DST_IP:
		return place_ip("dst_ip", r->dst_ip, r->dst_ip_given, r->ipv6, dst_ip);
	case FIELD_SRC_PORT:
		return place_port("src_port", r->src_port, l->l4);
	case FIELD_DST_PORT:
		return place_port("dst_port", r->dst_port, l->l4 + 2u);
	case FIELD_VNI:
		return (struct place){"vni", (uint16_t)(l->tunnel + 4), 4, 8, 1,
				      r->tunnel == TUNNEL_VXLAN ? WIDE_BITS - 1 : 0, false, false};
	default:
		return (struct place){"teid", (uint16_t)(l->tunnel + 4), 4, 0, 1,
				      r->tunnel == TUNNEL_GTPU ? WIDE_BITS : 0, false, false};
	}
}

static void
add_vary(struct frame *f, const struct place *p, unsigned int shift, unsigned int bits)
{
	f->vary[f->varies++] = (struct frame_vary){.offset = p->offset, .bytes = p->bytes, .shift = (uint8_t)shift,
						   .left = p->left, .in_ip_sum = p->in_ip_sum,
						   .in_l4_sum = p->in_l4_sum, .mask = (1u << bits) - 1, .base = p->base};
}

/* Hands the bits of a flow's number to the fields. */
static int
assign_fields(struct frame *f, const struct frame_request *r, const struct layout *l, char error[FRAME_ERROR_MAX])
{
	unsigned int need = r->flows > 1 ? 32u - (unsigned int)__builtin_clz(r->flows - 1) : 0;
	unsigned int done = 0;

	for (unsigned int i = 0; i < r->fields && done < need; i++) {
		struct place p = place_of(r, l, r->field[i]);
		unsigned int bits = RTE_MIN(p.bits, need - done);
		if (p.bits == 0) {
			snprintf(error, FRAME_ERROR_MAX, "flow_fields: %s cannot vary here: these frames do not have it, or its "
							 "base is the highest value", p.name);
			return -1;
		}
		add_vary(f, &p, done, bits);
		done += bits;
	}
	if (done < need) {
		snprintf(error, FRAME_ERROR_MAX, "flows: the chosen flow_fields can tell %u flows apart, not %u: choose more "
						 "fields, or give src_ip and dst_ip, which may then vary by 24 bits", 1u << done, r->flows);
		return -1;
	}
	if (r->tunnel == TUNNEL_VXLAN && need > 0) {
		struct place entropy = {"", l->outer_udp, 2, 0, VXLAN_ENTROPY, VXLAN_ENTROPY_BITS, false, false};
		add_vary(f, &entropy, 0, RTE_MIN(need, VXLAN_ENTROPY_BITS));
	}
	return 0;
}

uint32_t
frame_values(const struct frame_request *r, enum frame_field field)
{
	const struct layout l = lay_out(r);
	unsigned int done = 0;

	for (unsigned int i = 0; i < r->fields && done < 32; i++) {
		uint32_t left = (r->flows - 1) >> done; /* greatest number that the fields from here on have to hold */
		unsigned int bits = place_of(r, &l, r->field[i]).bits;
		if (r->field[i] == field)
			return RTE_MIN(left, (1u << bits) - 1) + 1;
		done += bits;
	}
	return 1;
}

/* ---- images --------------------------------------------------------------------------------------------------- */

static int
find_image(const struct frame *f, uint16_t mbuf_bytes)
{
	for (unsigned int i = 0; i < f->images; i++) {
		if (f->image[i].mbuf_bytes == mbuf_bytes)
			return (int)i;
	}
	return -1;
}

static int
check_sizes(const struct frame_request *r, const struct layout *l, char error[FRAME_ERROR_MAX])
{
	unsigned int least = l->stamp + STAMP_BYTES + FRAME_FCS_BYTES;

	for (unsigned int i = 0; i < r->sizes; i++) {
		if (r->size[i] < least) {
			snprintf(error, FRAME_ERROR_MAX, "frame_bytes: %u is too small: %u bytes of headers, %u of the stamp and "
							 "%u of FCS need %u", r->size[i], l->stamp, STAMP_BYTES, FRAME_FCS_BYTES, least);
			return -1;
		}
	}
	return 0;
}

static void
make_images(struct frame *f, const struct frame_request *r, const struct layout *l)
{
	uint64_t bytes = 0;

	f->sizes = r->sizes;
	for (unsigned int i = 0; i < r->sizes; i++) {
		uint16_t mbuf_bytes = (uint16_t)(r->size[i] - FRAME_FCS_BYTES);
		int known = find_image(f, mbuf_bytes);
		if (known < 0) {
			struct frame_image *image = &f->image[f->images];
			memset(image, 0, sizeof(*image));
			image->mbuf_bytes = mbuf_bytes;
			put_headers(image->bytes, r, l, mbuf_bytes);
			prepare_sums(f, image, r, l);
			frame_set_flow(f, image, image->bytes, 0);
			known = (int)f->images++;
		}
		f->sequence[i] = (uint16_t)known;
		bytes += r->size[i];
	}
	f->mean_bytes = (double)bytes / r->sizes;
}

int
frame_build(struct frame *f, const struct frame_request *r, char error[FRAME_ERROR_MAX])
{
	struct layout l = lay_out(r);
	bool has_l4_sum = r->tcp || r->ipv6 || r->udp_checksum;

	memset(f, 0, sizeof(*f));
	if (check_sizes(r, &l, error) != 0 || assign_fields(f, r, &l, error) != 0)
		return -1;
	f->image = aligned_alloc(RTE_CACHE_LINE_SIZE, r->sizes * sizeof(*f->image));
	if (f->image == NULL) {
		snprintf(error, FRAME_ERROR_MAX, "no memory for %u frame sizes", r->sizes);
		return -1;
	}
	f->stamp_offset = l.stamp;
	f->l4_is_udp = !r->tcp;
	f->l4_sum_offset = !has_l4_sum ? 0
				       : (uint16_t)(l.l4 + (r->tcp ? offsetof(struct rte_tcp_hdr, cksum)
								   : offsetof(struct rte_udp_hdr, dgram_cksum)));
	f->ip_sum_offset = r->ipv6 ? 0 : (uint16_t)(l.ip + offsetof(struct rte_ipv4_hdr, hdr_checksum));
	make_images(f, r, &l);
	return 0;
}

void
frame_free(struct frame *f)
{
	free(f->image);
	f->image = NULL;
}
