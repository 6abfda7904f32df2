/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames of every header stack, taken apart by a reader that knows the RFCs and nothing of frame.c: it walks from
 * header to header by what each says comes next, checks every length and checksum on its way, and gives the fields that
 * tell flows apart.
 */
#include "frame.h"

#include <stdbool.h>
#include <string.h>

#include "test.h"

#define FIELDS 9u
#define FLOWS_LOOKED_AT 400u
#define RANDOM_STACKS 4000

/* What the reader found. */
struct seen {
	uint64_t field[FIELDS]; /* by enum frame_field: 48 bits of a MAC, the last 32 of an address */
	uint64_t src_rest, dst_rest; /* of IPv6: all but the last 32 bits, summed up */
	unsigned int tags;
	uint16_t tag[2];
	unsigned int version;
	uint8_t protocol;
	bool has_sum;
	bool vxlan, gtpu;
	uint16_t entropy;
	unsigned int payload; /* where it begins */
};

struct reader {
	const uint8_t *p;
	unsigned int bytes;
	unsigned int at;
};

static const char *const names[] = {"src_mac", "dst_mac", "vlan", "src_ip", "dst_ip", "src_port", "dst_port",
				    "vni",     "teid"};
static uint8_t buffer[FRAME_MAX_BYTES];
static struct frame frame;
static char error[FRAME_ERROR_MAX];

static uint64_t
big_endian(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

static uint64_t
number(struct reader *r, unsigned int n)
{
	uint64_t v = big_endian(r->p + r->at, n);

	r->at += n;
	return v;
}

/* RFC 1071 by its definition: 16-bit big-endian words, an odd byte padded; `sum` is that of what stands before. */
static uint32_t
ones_sum(uint32_t sum, const uint8_t *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += 2) {
		sum += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* The sum over pseudo header (RFC 768, RFC 9293 3.1, RFC 8200 8.1) and all of the segment: ffff if it is right. */
static uint32_t
segment_sum(const uint8_t *addresses, unsigned int address_bytes, uint8_t protocol, const uint8_t *p, unsigned int n)
{
	const uint8_t rest[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0, 0, 0, protocol};

	return ones_sum(ones_sum(ones_sum(0, addresses, address_bytes), rest, sizeof(rest)), p, n);
}

static const char *
read_ethernet(struct reader *r, struct seen *s, uint64_t *type)
{
	s->field[FIELD_DST_MAC] = number(r, 6);
	s->field[FIELD_SRC_MAC] = number(r, 6);
	*type = number(r, 2);
	return NULL;
}

static const char *
read_tags(struct reader *r, struct seen *s, uint64_t *type)
{
	while (*type == 0x8100 || *type == 0x88a8) {
		check(s->tags < 2, "three tags");
		check(*type == 0x8100 || s->tags == 0, "802.1ad inside of a tag");
		s->tag[s->tags] = (uint16_t)number(r, 2);
		check(s->tag[s->tags] >= 1 && s->tag[s->tags] <= 4094, "tag %04x", s->tag[s->tags]);
		s->field[FIELD_VLAN] = s->tag[s->tags++];
		*type = number(r, 2);
		check(s->tags == 2 || *type != 0x88a8, "802.1ad inside of a tag");
	}
	return NULL;
}

/* An IP header that fills the rest of the frame; `addresses` of the pseudo header. */
static const char *
read_ip(struct reader *r, struct seen *s, uint64_t type, const uint8_t **addresses)
{
	const uint8_t *h = r->p + r->at;
	unsigned int left = r->bytes - r->at;

	s->version = h[0] >> 4;
	if (type == 0x0800) {
		check(h[0] == 0x45 && big_endian(h + 2, 2) == left, "IPv4 of %" PRIu64 " of %u", big_endian(h + 2, 2), left);
		check((big_endian(h + 6, 2) & 0xbfff) == 0 && h[8] > 0, "a fragment, or no time to live");
		check(ones_sum(0, h, 20) == 0xffff, "IPv4 checksum");
		s->protocol = h[9];
		*addresses = h + 12;
		s->field[FIELD_SRC_IP] = big_endian(h + 12, 4);
		s->field[FIELD_DST_IP] = big_endian(h + 16, 4);
		r->at += 20;
		return NULL;
	}
	check(type == 0x86dd && s->version == 6, "EtherType %04" PRIx64 ", version %u", type, s->version);
	check(big_endian(h + 4, 2) == left - 40 && h[7] > 0, "IPv6 of %" PRIu64 " of %u", big_endian(h + 4, 2), left);
	s->protocol = h[6];
	*addresses = h + 8;
	s->src_rest = big_endian(h + 8, 8) * 3 + big_endian(h + 16, 4);
	s->dst_rest = big_endian(h + 24, 8) * 3 + big_endian(h + 32, 4);
	s->field[FIELD_SRC_IP] = big_endian(h + 20, 4);
	s->field[FIELD_DST_IP] = big_endian(h + 36, 4);
	r->at += 40;
	return NULL;
}

static const char *
read_segment(struct reader *r, struct seen *s, const uint8_t *addresses)
{
	const uint8_t *h = r->p + r->at;
	unsigned int left = r->bytes - r->at;
	bool tcp = s->protocol == 6;
	uint64_t sum = big_endian(h + (tcp ? 16 : 6), 2);

	check(tcp || s->protocol == 17, "protocol %u", s->protocol);
	s->field[FIELD_SRC_PORT] = big_endian(h, 2);
	s->field[FIELD_DST_PORT] = big_endian(h + 2, 2);
	s->has_sum = tcp || sum != 0;
	check(tcp ? h[12] == 0x50 : big_endian(h + 4, 2) == left, "length of a segment of %u", left);
	check(!s->has_sum || segment_sum(addresses, s->version == 4 ? 8 : 32, s->protocol, h, left) == 0xffff,
	      "checksum %04" PRIx64 " of %u bytes", sum, left);
	r->at += tcp ? 20 : 8;
	s->payload = r->at;
	return NULL;
}

/* What comes behind an outer UDP header of ours. */
static const char *
read_tunnel(struct reader *r, struct seen *s, uint64_t *type)
{
	const uint8_t *h = r->p + r->at;

	check(s->version == 4 && !s->has_sum, "the outer header");
	s->entropy = (uint16_t)s->field[FIELD_SRC_PORT];
	if (s->field[FIELD_DST_PORT] == 4789) {
		s->vxlan = true;
		check(big_endian(h, 4) == 0x08000000 && h[7] == 0, "VXLAN flags");
		check(s->entropy >= 49152, "outer source port %u", s->entropy);
		s->field[FIELD_VNI] = big_endian(h + 4, 3);
		r->at += 8;
		return read_ethernet(r, s, type);
	}
	s->gtpu = true;
	check(s->entropy == 2152 && h[0] == 0x30 && h[1] == 0xff, "GTP-U %02x %02x from %u", h[0], h[1], s->entropy);
	s->field[FIELD_TEID] = big_endian(h + 4, 4);
	r->at += 8;
	check(big_endian(h + 2, 2) == r->bytes - r->at, "GTP-U of %" PRIu64, big_endian(h + 2, 2));
	*type = r->p[r->at] >> 4 == 6 ? 0x86dd : 0x0800;
	return NULL;
}

static const char *
read_frame(const uint8_t *p, unsigned int bytes, struct seen *s)
{
	struct reader r = {.p = p, .bytes = bytes};
	const uint8_t *addresses = NULL;
	uint64_t type = 0;
	const char *why;

	memset(s, 0, sizeof(*s));
	if ((why = read_ethernet(&r, s, &type)) != NULL || (why = read_tags(&r, s, &type)) != NULL ||
	    (why = read_ip(&r, s, type, &addresses)) != NULL || (why = read_segment(&r, s, addresses)) != NULL)
		return why;
	if (s->field[FIELD_DST_PORT] != 4789 && s->field[FIELD_DST_PORT] != 2152)
		return NULL;
	if ((why = read_tunnel(&r, s, &type)) != NULL || (why = read_ip(&r, s, type, &addresses)) != NULL)
		return why;
	return read_segment(&r, s, addresses);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static void
random_address(uint8_t *p, bool *given, uint8_t first)
{
	for (unsigned int i = 0; i < 16; i++)
		p[i] = test_below(6) == 0 ? 0xff : (uint8_t)test_random();
	p[0] = first;
	*given = test_below(2) == 0;
}

static struct frame_request
random_request(void)
{
	struct frame_request r = {.ipv6 = test_below(2), .tcp = test_below(2), .udp_checksum = test_below(2),
				  .tunnel = (enum frame_tunnel)test_below(3), .vlans = (unsigned int)test_below(3),
				  .src_port = (uint16_t)(test_random() >> test_below(64)), .dst_port = (uint16_t)(5000 + test_below(1000))};

	for (unsigned int i = 0; i < 2; i++)
		r.vlan[i] = (uint16_t)(1 + test_below(4094));
	for (unsigned int i = 1; i < 6; i++) {
		r.src_mac.addr_bytes[i] = (uint8_t)test_random();
		r.dst_mac.addr_bytes[i] = test_below(3) ? (uint8_t)test_random() : 0xff;
	}
	random_address(r.src_ip, &r.src_ip_given, 10);
	random_address(r.dst_ip, &r.dst_ip_given, 20);
	r.flows = 1 + (uint32_t)test_below(UINT64_C(1) << test_below(25));
	for (unsigned int k = 0; k < FIELDS; k++) { /* each at most once, in any order */
		enum frame_field field = (enum frame_field)test_below(FIELDS);
		bool there = false;
		for (unsigned int i = 0; i < r.fields; i++)
			there |= r.field[i] == field;
		if (!there)
			r.field[r.fields++] = field;
	}
	r.sizes = 1 + (unsigned int)test_below(4);
	for (unsigned int i = 0; i < r.sizes; i++)
		r.size[i] = (uint16_t)(154 + test_below(test_below(2) ? 60 : FRAME_MAX_BYTES - 153));
	return r;
}

/* Bits by which a field can vary upwards of `base` without going past `last`, but at most `most`. */
static unsigned int
room(uint64_t base, uint64_t last, unsigned int most)
{
	unsigned int bits = 0;

	while (bits < most && base + (UINT64_C(1) << (bits + 1)) - 1 <= last)
		bits++;
	return bits;
}

static unsigned int
bits_of(const struct frame_request *r, enum frame_field field)
{
	const uint8_t *src = r->src_ip + (r->ipv6 ? 12 : 0);
	const uint8_t *dst = r->dst_ip + (r->ipv6 ? 12 : 0);

	switch (field) {
	case FIELD_SRC_MAC:
		return room(big_endian(&r->src_mac.addr_bytes[2], 4), UINT32_MAX, 24);
	case FIELD_DST_MAC:
		return room(big_endian(&r->dst_mac.addr_bytes[2], 4), UINT32_MAX, 24);
	case FIELD_VLAN:
		return r->vlans > 0 ? room(r->vlan[r->vlans - 1], 4094, 12) : 0;
	case FIELD_SRC_IP:
		return room(big_endian(src, 4), UINT32_MAX, r->src_ip_given ? 24 : 12);
	case FIELD_DST_IP:
		return room(big_endian(dst, 4), UINT32_MAX, r->dst_ip_given ? 24 : 12);
	case FIELD_SRC_PORT:
		return room(r->src_port, UINT16_MAX, 15);
	case FIELD_DST_PORT:
		return room(r->dst_port, UINT16_MAX, 15);
	case FIELD_VNI:
		return r->tunnel == TUNNEL_VXLAN ? 23 : 0;
	default:
		return r->tunnel == TUNNEL_GTPU ? 24 : 0;
	}
}

/* How many bits of flows the request allows; a field that cannot vary ends it. */
static unsigned int
capacity(const struct frame_request *r)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; i < r->fields && bits_of(r, r->field[i]) > 0; i++)
		bits += bits_of(r, r->field[i]);
	return bits;
}

static uint64_t
base_of(const struct frame_request *r, enum frame_field field)
{
	const uint64_t bases[] = {big_endian(r->src_mac.addr_bytes, 6),	      big_endian(r->dst_mac.addr_bytes, 6),
				  r->vlans > 0 ? r->vlan[r->vlans - 1] : 0, big_endian(r->src_ip + (r->ipv6 ? 12 : 0), 4),
				  big_endian(r->dst_ip + (r->ipv6 ? 12 : 0), 4), r->src_port,
				  r->dst_port,				      r->tunnel == TUNNEL_VXLAN,
				  r->tunnel == TUNNEL_GTPU};

	return bases[field];
}

/* What flow `flow` should look like: bits from the lowest, the first field takes as many as it can. */
static void
expect(const struct frame_request *r, uint32_t flow, uint64_t want[FIELDS])
{
	unsigned int need = 0;
	unsigned int done = 0;

	while (need < 32 && r->flows > UINT64_C(1) << need)
		need++;
	for (unsigned int i = 0; i < FIELDS; i++)
		want[i] = base_of(r, (enum frame_field)i);
	for (unsigned int i = 0; i < r->fields && done < need; i++) {
		unsigned int bits = RTE_MIN(bits_of(r, r->field[i]), need - done);
		want[r->field[i]] += flow >> done & ((UINT64_C(1) << bits) - 1);
		done += bits;
	}
}

/* Makes a frame as the data path does. */
static unsigned int
make(unsigned int position, uint32_t flow)
{
	const struct frame_image *image = &frame.image[frame.sequence[position]];
	uint8_t *stamp = buffer + frame.stamp_offset;

	memset(buffer, 0, sizeof(buffer));
	memcpy(buffer, image->bytes, FRAME_HEAD_MAX);
	uint64_t sum = frame.varies > 0 ? frame_set_flow(&frame, image, buffer, flow) : image->l4_sum;
	stamp_write(stamp, (uint16_t)test_random(), flow, (uint32_t)test_random());
	stamp_write_time(stamp, test_random(), (uint16_t)test_below(4096));
	frame_finish(&frame, buffer, sum);
	return image->mbuf_bytes;
}

static const char *
check_one(const struct frame_request *r, uint32_t flow)
{
	unsigned int position = (unsigned int)test_below(r->sizes);
	unsigned int bytes = make(position, flow);
	uint64_t want[FIELDS];
	struct seen s;
	const char *why = read_frame(buffer, bytes, &s);

	if (why != NULL)
		return why;
	check(bytes == r->size[position] - 4u, "%u bytes of %u", bytes, r->size[position]);
	check(s.version == (r->ipv6 ? 6 : 4) && s.protocol == (r->tcp ? 6 : 17) && s.tags == r->vlans, "headers");
	check(s.vxlan == (r->tunnel == TUNNEL_VXLAN) && s.gtpu == (r->tunnel == TUNNEL_GTPU), "tunnel");
	check(s.has_sum == (r->tcp || r->ipv6 || r->udp_checksum), "a checksum, or none");
	check(s.payload == frame.stamp_offset, "the stamp is at %u, the payload at %u", frame.stamp_offset, s.payload);
	check(r->vlans < 2 || s.tag[0] == r->vlan[0], "outer tag %u", s.tag[0]);
	expect(r, flow, want);
	for (unsigned int i = 0; i < FIELDS; i++)
		check(s.field[i] == want[i], "flow %u of %u: %s is %" PRIx64 ", not %" PRIx64, flow, r->flows, names[i], s.field[i],
		      want[i]);
	return NULL;
}

/* Different flows differ: the fields that vary, by number, are the same for no two of these. */
static const char *
check_distinct(const struct frame_request *r)
{
	uint64_t a[FIELDS];
	uint64_t b[FIELDS];
	uint32_t flow = (uint32_t)test_below(r->flows);
	struct seen s;

	make(0, flow);
	if (read_frame(buffer, r->size[0] - 4u, &s) != NULL)
		return "unreadable";
	memcpy(a, s.field, sizeof(a));
	for (unsigned int bit = 0; bit < 24; bit++) {
		uint32_t other = test_below(2) ? flow ^ 1u << bit : (uint32_t)test_below(r->flows);
		if (other == flow || other >= r->flows)
			continue;
		make(0, other);
		if (read_frame(buffer, r->size[0] - 4u, &s) != NULL)
			return "unreadable";
		memcpy(b, s.field, sizeof(b));
		check(memcmp(a, b, sizeof(a)) != 0, "flows %u and %u of %u look the same", flow, other, r->flows);
	}
	return NULL;
}

static const char *
check_request(const struct frame_request *r, unsigned int flows)
{
	const char *why = NULL;

	for (unsigned int i = 0; i < flows && why == NULL; i++)
		why = check_one(r, i == 0 ? r->flows - 1 : (uint32_t)test_below(r->flows));
	return why != NULL ? why : check_distinct(r);
}

static void
print_request(const struct frame_request *r)
{
	fprintf(stderr, "  vlans %u, IPv%d, %s, tunnel %d, %u flows by", r->vlans, r->ipv6 ? 6 : 4, r->tcp ? "TCP" : "UDP",
		r->tunnel, r->flows);
	for (unsigned int i = 0; i < r->fields; i++)
		fprintf(stderr, " %s", names[r->field[i]]);
	fputc('\n', stderr);
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static const char *
test_random_stacks(void)
{
	unsigned int built = 0;

	for (int round = 0; round < RANDOM_STACKS; round++) {
		const struct frame_request r = random_request();
		bool possible = r.flows <= UINT64_C(1) << RTE_MIN(capacity(&r), 32u);
		int rc = frame_build(&frame, &r, error);

		if ((rc == 0) != possible) {
			print_request(&r);
			check(false, "%s, %u bits are there: %s", rc == 0 ? "built" : "refused", capacity(&r), rc == 0 ? "" : error);
		}
		if (rc != 0) {
			check(strstr(error, "flow") != NULL, "%s", error);
			continue;
		}
		const char *why = check_request(&r, 20);
		frame_free(&frame);
		if (why != NULL) {
			print_request(&r);
			return why;
		}
		built++;
	}
	check(built > RANDOM_STACKS / 4, "only %u of %u could be built", built, RANDOM_STACKS);
	return NULL;
}

/* All 72 stacks, down to the smallest frame that each allows. */
static const char *
test_the_smallest_frame_of_every_stack(void)
{
	for (unsigned int i = 0; i < 3 * 2 * 2 * 2 * 3; i++) {
		struct frame_request r = {.vlans = i % 3, .vlan = {100, 200}, .ipv6 = i / 3 % 2, .tcp = i / 6 % 2,
					  .udp_checksum = i / 12 % 2, .tunnel = (enum frame_tunnel)(i / 24), .flows = 30000,
					  .field = {FIELD_SRC_PORT}, .fields = 1, .sizes = 1, .src_ip = {10}, .dst_ip = {20}};
		unsigned int headers = 14 + 4 * r.vlans + (r.ipv6 ? 40 : 20) + (r.tcp ? 20 : 8);
		char wanted[16];

		headers += r.tunnel == TUNNEL_VXLAN ? 20 + 8 + 8 + 14 : r.tunnel == TUNNEL_GTPU ? 20 + 8 + 8 : 0;
		r.size[0] = (uint16_t)(headers + 18 + 4 - 1);
		snprintf(wanted, sizeof(wanted), "need %u", headers + 18 + 4);
		check(frame_build(&frame, &r, error) != 0 && strstr(error, wanted) != NULL, "%u bytes: %s", r.size[0], error);
		r.size[0]++;
		check(frame_build(&frame, &r, error) == 0, "%s", error);
		check(frame.stamp_offset == headers, "the stamp is at %u", frame.stamp_offset);
		const char *why = check_request(&r, FLOWS_LOOKED_AT);
		frame_free(&frame);
		if (why != NULL) {
			print_request(&r);
			return why;
		}
	}
	return NULL;
}

/* The images come in the order of the sizes, each size once. */
static const char *
test_sequences_of_sizes(void)
{
	for (int round = 0; round < 200; round++) {
		struct frame_request r = {.flows = 1, .sizes = 1 + (unsigned int)test_below(FRAME_SIZES_MAX), .src_ip = {10}};
		unsigned int different = 0;
		double sum = 0;

		for (unsigned int i = 0; i < r.sizes; i++) {
			bool known = false;
			r.size[i] = (uint16_t)(64 + test_below(round % 2 ? 5 : FRAME_MAX_BYTES - 63));
			for (unsigned int k = 0; k < i; k++)
				known |= r.size[k] == r.size[i];
			different += !known;
			sum += r.size[i];
		}
		check(frame_build(&frame, &r, error) == 0, "%s", error);
		check(frame.sizes == r.sizes && frame.images == different, "%u images of %u sizes", frame.images, different);
		for (unsigned int i = 0; i < r.sizes; i++)
			check(frame.image[frame.sequence[i]].mbuf_bytes == r.size[i] - 4, "size %u of the sequence", i);
		check(frame.mean_bytes > sum / r.sizes - 1e-6 && frame.mean_bytes < sum / r.sizes + 1e-6, "mean %g",
		      frame.mean_bytes);
		frame_free(&frame);
	}
	return NULL;
}

/* A sum of 0 is sent as ffff by UDP, where 0 means none; both are seen when enough frames are. */
static const char *
test_udp_never_sends_a_sum_of_0(void)
{
	struct frame_request r = {.flows = 1, .udp_checksum = true, .sizes = 1, .size = {64}, .src_ip = {10}};
	unsigned int ones = 0;

	check(frame_build(&frame, &r, error) == 0, "%s", error);
	for (int i = 0; i < 1000000; i++) {
		make(0, 0);
		uint64_t sum = big_endian(buffer + 40, 2);
		check(sum != 0, "a checksum of 0");
		ones += sum == 0xffff;
	}
	check(ones > 1, "the case did not come up");
	frame_free(&frame);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_random_stacks),
		TEST(test_the_smallest_frame_of_every_stack),
		TEST(test_sequences_of_sizes),
		TEST(test_udp_never_sends_a_sum_of_0),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
