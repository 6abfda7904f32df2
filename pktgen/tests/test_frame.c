/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames read back byte by byte at the offsets of RFC 791 and RFC 768, checksums recomputed as RFC 1071 has it.
 */
#include "frame.h"

#include <stdbool.h>

#include "test.h"

#define IP_OFFSET 14u
#define UDP_OFFSET 34u
#define FLOWS 100000u
#define STREAMS 16u
#define LARGEST 2048u
#define SPREAD 4096u /* flows of a stream that are looked at, evenly over all it may have */

static const struct rte_ether_addr src = {{0x02, 1, 2, 3, 4, 5}};
static const struct rte_ether_addr dst = {{0x06, 6, 7, 8, 9, 10}};
static struct frame frame;
static uint8_t copy[FRAME_HEAD_MAX];
static char error[FRAME_ERROR_MAX];
static uint64_t tuple[FLOWS];

/* What the generator asks for unless told otherwise (request.c), of one size. */
static const struct frame_image *
build(unsigned int frame_bytes, uint8_t stream)
{
	struct frame_request r = {.src_mac = src, .dst_mac = dst, .src_port = 1024, .dst_port = 9, .flows = STAMP_FLOWS_MAX,
				  .field = {FIELD_SRC_PORT, FIELD_SRC_IP}, .fields = 2, .size = {(uint16_t)frame_bytes},
				  .sizes = 1, .src_ip = {198, 18, (uint8_t)(stream << 4), 1},
				  .dst_ip = {198, 19, (uint8_t)(stream << 4), 1}};

	frame_free(&frame);
	return frame_build(&frame, &r, error) == 0 ? frame.image : NULL;
}

static uint64_t
big_endian(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* RFC 1071: over a right header, checksum included, the one's complement sum is all ones. */
static bool
ip_checksum_right(const uint8_t *p)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 20; i += 2)
		sum += big_endian(p + IP_OFFSET + i, 2);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* All that a receiver looks at; `f` is the image, `p` the frame. */
static const char *
check_frame(const struct frame_image *f, const uint8_t *p, unsigned int frame_bytes)
{
	check(f->mbuf_bytes == frame_bytes - 4, "%u bytes of %u", f->mbuf_bytes, frame_bytes);
	check(big_endian(p, 6) == 0x06060708090a && big_endian(p + 6, 6) == 0x020102030405, "MAC addresses");
	check(big_endian(p + 12, 2) == 0x0800, "EtherType");
	check(p[IP_OFFSET] == 0x45, "version and header length %02x", p[IP_OFFSET]);
	check(big_endian(p + IP_OFFSET + 2, 2) == frame_bytes - 4 - 14, "IPv4 length of a frame of %u", frame_bytes);
	check(p[IP_OFFSET + 8] > 0 && p[IP_OFFSET + 9] == 17, "time to live, protocol");
	check((big_endian(p + IP_OFFSET + 6, 2) & 0x3fff) == 0, "a fragment");
	check(ip_checksum_right(p), "checksum %04" PRIx64, big_endian(p + IP_OFFSET + 10, 2));
	check(big_endian(p + IP_OFFSET + 12, 2) >> 1 == (198 << 8 | 18) >> 1, "source outside of 198.18.0.0/15");
	check(big_endian(p + IP_OFFSET + 16, 2) >> 1 == (198 << 8 | 18) >> 1, "destination outside of 198.18.0.0/15");
	check(big_endian(p + UDP_OFFSET + 4, 2) == frame_bytes - 4 - 14 - 20, "UDP length of a frame of %u", frame_bytes);
	check(big_endian(p + UDP_OFFSET + 6, 2) == 0, "UDP checksum");
	check(big_endian(p + UDP_OFFSET, 2) >= 1024 && big_endian(p + UDP_OFFSET + 2, 2) != 0, "ports");
	return NULL;
}

static const char *
test_every_size(void)
{
	for (unsigned int bytes = FRAME_MIN_BYTES; bytes <= LARGEST; bytes++) {
		const struct frame_image *image;

		image = build(bytes, (uint8_t)test_below(STREAMS));
		check(image != NULL, "%s", error);
		const char *why = check_frame(image, image->bytes, bytes);
		if (why != NULL)
			return why;
		for (unsigned int i = FRAME_STAMP_OFFSET; i < FRAME_HEAD_MAX; i++)
			check(image->bytes[i] == 0, "byte %u of the template is not 0", i);
	}
	check(FRAME_STAMP_OFFSET == 42, "the stamp starts at %zu", FRAME_STAMP_OFFSET);
	check(FRAME_STAMP_OFFSET + STAMP_BYTES <= FRAME_MIN_BYTES - 4, "the stamp does not fit the smallest frame");
	return NULL;
}

/* The 5-tuple without the parts that all our frames share: addresses' low halves and the source port. */
static uint64_t
tuple_of(const uint8_t *p)
{
	uint64_t from = big_endian(p + IP_OFFSET + 12, 4) & 0x1ffff;
	uint64_t to = big_endian(p + IP_OFFSET + 16, 4) & 0x1ffff;

	return from << 33 | to << 16 | big_endian(p + UDP_OFFSET, 2);
}

static int
ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static const char *
all_distinct(size_t n)
{
	qsort(tuple, n, sizeof(tuple[0]), ascending);
	for (size_t i = 1; i < n; i++)
		check(tuple[i - 1] != tuple[i], "two flows share %" PRIx64, tuple[i]);
	return NULL;
}

static const char *
test_flows_are_distinct_and_right(void)
{
	const struct frame_image *image = build(64, 0);

	memcpy(copy, image->bytes, sizeof(copy));
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		frame_set_flow(&frame, image, copy, flow);
		const char *why = check_frame(image, copy, 64);
		if (why != NULL)
			return why;
		tuple[flow] = tuple_of(copy);
	}
	return all_distinct(FLOWS);
}

/* Every stream has the same flows, evenly over the 24 bits of a stamp.  Sources alone must differ: a switch that
 * learns addresses must find each behind one port. */
static const char *
test_streams_do_not_meet(void)
{
	const uint32_t step = STAMP_FLOWS_MAX / SPREAD;
	const uint32_t offset = (uint32_t)test_below(step);
	size_t n = 0;

	for (uint32_t stream = 0; stream < STREAMS; stream++) {
		const struct frame_image *image = build(128, (uint8_t)stream);
		memcpy(copy, image->bytes, sizeof(copy));
		for (uint32_t k = 0; k < SPREAD; k++) {
			frame_set_flow(&frame, image, copy, k * step + offset);
			const char *why = check_frame(image, copy, 128);
			if (why != NULL)
				return why;
			tuple[n++] = (big_endian(copy + IP_OFFSET + 12, 4) & 0x1ffff) << 16 |
				     big_endian(copy + UDP_OFFSET, 2);
		}
	}
	return all_distinct(n);
}

/* Sizes and streams together take the checksum through all its values, so through both of its carries. */
static const char *
test_checksum_of_every_size_and_stream(void)
{
	for (uint32_t stream = 0; stream < STREAMS; stream++) {
		for (unsigned int bytes = FRAME_MIN_BYTES; bytes <= LARGEST; bytes++) {
			check(ip_checksum_right(build(bytes, (uint8_t)stream)->bytes), "stream %u, %u bytes", stream, bytes);
		}
	}
	return NULL;
}

/* Only source address, checksum and source port depend on the flow. */
static const char *
test_flow_changes_nothing_else(void)
{
	const struct frame_image *image = build(1518, 3);

	for (int i = 0; i < 10000; i++) {
		memcpy(copy, image->bytes, sizeof(copy));
		frame_set_flow(&frame, image, copy, (uint32_t)test_below(STAMP_FLOWS_MAX));
		for (unsigned int k = 0; k < FRAME_HEAD_MAX; k++) {
			bool may = (k >= 24 && k < 30) || k == 34 || k == 35;
			check(may || copy[k] == image->bytes[k], "byte %u changed", k);
		}
		frame_set_flow(&frame, image, copy, 0);
		check(memcmp(copy, image->bytes, FRAME_HEAD_MAX) == 0, "flow 0 is not the template");
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_every_size),
		TEST(test_flows_are_distinct_and_right),
		TEST(test_streams_do_not_meet),
		TEST(test_checksum_of_every_size_and_stream),
		TEST(test_flow_changes_nothing_else),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
