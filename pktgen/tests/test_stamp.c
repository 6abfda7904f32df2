/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stamp: its bytes as the header draws them, read back by a reader of our own, and nothing written beside.
 */
#include "stamp.h"

#include "test.h"

#define ITERATIONS 200000
#define CANARY 0xa5
#define MARGIN 16u

static uint8_t buffer[MARGIN + STAMP_BYTES + MARGIN];
static uint8_t *const place = buffer + MARGIN;

/* `n` bytes from `offset` of the stamp as a host-order number, lowest address first. */
static uint64_t
field(unsigned int offset, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n; i++)
		v |= (uint64_t)place[offset + i] << 8 * i;
	return v;
}

static bool
untouched(unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		if (buffer[i] != CANARY)
			return false;
	}
	return true;
}

static const char *
test_round_trip_and_layout(void)
{
	for (int i = 0; i < ITERATIONS; i++) {
		uint16_t epoch = (uint16_t)test_random();
		uint32_t stream = (uint32_t)test_below(STAMP_STREAMS_MAX);
		uint32_t flow = (uint32_t)test_below(STAMP_FLOWS_MAX);
		uint32_t seq = (uint32_t)test_random();
		uint64_t tsc = test_random() >> test_below(64);
		uint16_t late = (uint16_t)test_below(STAMP_LATE_MAX + 1);
		struct stamp s;

		memset(buffer, CANARY, sizeof(buffer));
		stamp_write(place, epoch, stamp_flow(stream, flow), seq);
		check(untouched(MARGIN + STAMP_TIME_OFFSET, sizeof(buffer)), "all but the time wrote past offset 12");
		stamp_write_time(place, tsc, late);
		check(untouched(0, MARGIN) && untouched(MARGIN + STAMP_BYTES, sizeof(buffer)), "wrote beside the 18 bytes");
		check(stamp_read(place, &s), "own stamp not recognised");
		check(s.magic == STAMP_MAGIC && s.epoch == epoch && s.seq == seq, "epoch %u seq %u", epoch, seq);
		check(s.flow >> 24 == stream && (s.flow & 0xffffff) == flow, "stream %u flow %u", stream, flow);
		check(s.time_half == ((tsc >> 1) & 0xfffffffff) && s.late == late, "time %" PRIx64 ", late %u", tsc, late);
		check(stamp_head_flow(stamp_head(place)) == flow &&
			      ((stamp_head(place) ^ stamp_head_wanted(epoch, (uint8_t)stream)) & STAMP_HEAD_MASK) == 0 &&
			      stamp_seq(place) == seq && stamp_time(place) == (s.time_half | (uint64_t)late << 36),
		      "the parts differ from the whole");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		check(field(0, 2) == 0x5657 && field(2, 2) == epoch && field(4, 3) == flow && field(7, 1) == stream &&
			      field(8, 4) == seq && field(12, 6) == (s.time_half | (uint64_t)late << 36),
		      "layout differs from the header's table");
#endif
	}
	return NULL;
}

static const char *
test_time_alone_keeps_the_rest(void)
{
	struct stamp s;

	stamp_write(place, 7, stamp_flow(3, 99), 1234567);
	stamp_write_time(place, UINT64_MAX, STAMP_LATE_MAX);
	stamp_write_time(place, 10, 3); /* a frame that waited gets a new time */
	check(stamp_read(place, &s), "not recognised");
	check(s.epoch == 7 && s.flow == stamp_flow(3, 99) && s.seq == 1234567 && s.time_half == 5 && s.late == 3, "changed");
	return NULL;
}

static const char *
test_age_survives_the_wrap(void)
{
	for (int i = 0; i < ITERATIONS; i++) {
		uint64_t sent = i % 2 ? test_random() : (test_random() << 37) - 1 - test_below(1000);
		uint64_t age = test_random() % (((UINT64_C(1) << 36) - STAMP_FUTURE_HALF) * 2 - 2) >> test_below(37);
		uint64_t ahead = 1 + test_below(2 * STAMP_FUTURE_HALF - 2);
		struct stamp s;

		stamp_write(place, 0, 0, 0);
		stamp_write_time(place, sent, STAMP_LATE_MAX);
		stamp_read(place, &s);
		uint64_t read = stamp_age_tsc(s.time_half, sent + age);
		check(read <= age + 1 && read + 1 >= age, "sent at %" PRIx64 ", age %" PRIx64 " read as %" PRIx64, sent, age, read);
		check(stamp_age_tsc(stamp_time(place), sent + age) == read, "what is beside the time changes the age");
		/* stamped by a core whose TSC is ahead of ours */
		check(stamp_age_tsc(s.time_half, sent - ahead) == 0, "sent %" PRIu64 " ticks in the future read as %" PRIx64,
		      ahead, stamp_age_tsc(s.time_half, sent - ahead));
	}
	return NULL;
}

/* At most 1 part in 256 off (the middle of 128 steps an octave), never falling, exact to 2 ticks when small. */
static const char *
test_lateness_is_known_to_a_percent(void)
{
	for (int i = 0; i < ITERATIONS; i++) {
		uint64_t ticks = test_random() >> (25 + test_below(39)); /* below 2^39 */
		uint64_t read = stamp_late_tsc(stamp_late_code(ticks));
		uint64_t off = read > ticks ? read - ticks : ticks - read;

		check(off <= 1 + ticks / 255, "%" PRIu64 " ticks late read as %" PRIu64, ticks, read);
		check(stamp_late_code(ticks) <= stamp_late_code(ticks + 1 + test_below(ticks + 1)), "falls at %" PRIu64, ticks);
	}
	check(stamp_late_code(UINT64_MAX) == STAMP_LATE_MAX && stamp_late_code(0) == 0, "the ends");
	for (unsigned int code = 0; code < STAMP_LATE_MAX; code++)
		check(stamp_late_code(stamp_late_tsc((uint16_t)code)) == code, "code %u", code);
	return NULL;
}

static const char *
test_only_the_magic_matches(void)
{
	uint8_t magic[2];
	uint16_t value = STAMP_MAGIC;

	memcpy(magic, &value, sizeof(magic));
	for (int i = 0; i < ITERATIONS; i++) {
		struct stamp s;
		bool same;

		for (unsigned int k = 0; k < STAMP_BYTES; k++)
			place[k] = (uint8_t)test_random();
		if (i % 4 == 0)
			place[0] = magic[0]; /* half right */
		if (i % 4 == 1)
			place[1] = magic[1];
		if (i % 8 == 2)
			memcpy(place, magic, sizeof(magic));
		same = memcmp(place, magic, sizeof(magic)) == 0;
		check(stamp_read(place, &s) == same, "%02x %02x", place[0], place[1]);
	}
	memset(place, 0, STAMP_BYTES);
	check(!stamp_read(place, &(struct stamp){0}), "zeros are a stamp");
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_round_trip_and_layout),
		TEST(test_time_alone_keeps_the_rest),
		TEST(test_age_survives_the_wrap),
		TEST(test_lateness_is_known_to_a_percent),
		TEST(test_only_the_magic_matches),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
