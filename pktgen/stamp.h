/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stamp that every frame of ours carries, and its reader.
 *
 * 18 bytes, so that it fits what a 64-byte frame (60 without FCS) leaves after Ethernet, IPv4 and UDP:
 *
 *   offset  size
 *        0     2   magic
 *        2     2   epoch     number of the trial; frames of other trials are counted apart
 *        4     4   flow      stream (8 bits) and flow within it (24 bits)
 *        8     4   seq       sequence number within the flow, from 0, wraps
 *       12     6   time      36 bits: TSC / 2 when it was handed to the driver; 12 bits: how late that was
 *
 * 36 bits of half ticks tell ages up to 57 s at 2.4 GHz, more than the 17 s that our histograms hold.  `late` is the
 * time since the frame was due, as a number with 7 bits behind the leading one (0.8 %), so that the receiver
 * knows the latency from the actual and from the intended send time of every packet (the one is the switch's,
 * the other is what a user sees who does not wait for the generator: "coordinated omission").
 *
 * Host byte order: sender and reader are the same machine (they share the TSC) or of the same kind.
 * The stamp is written inside data_len, always: bytes past it are not transmitted, and what the receiver
 * then reads there is stale mbuf content that looks like a latency.
 */
#ifndef VSW_STAMP_H
#define VSW_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STAMP_BYTES 18u
#define STAMP_MAGIC 0x5657u
#define STAMP_FLOW_BITS 24u
#define STAMP_FLOWS_MAX (1u << STAMP_FLOW_BITS)
#define STAMP_STREAMS_MAX 256u
#define STAMP_STREAM_LEARNING 255u /* frames that only teach a switch where an address is */
#define STAMP_TIME_OFFSET 12u
#define STAMP_TIME_BITS 36u
#define STAMP_TIME_MASK ((UINT64_C(1) << STAMP_TIME_BITS) - 1)
#define STAMP_LATE_MANTISSA 7u
#define STAMP_LATE_MAX 4095u /* 2^38 half ticks and more */

struct stamp {
	uint16_t magic;
	uint16_t epoch;
	uint32_t flow; /* stream << STAMP_FLOW_BITS | flow */
	uint32_t seq;
	uint64_t time_half; /* half ticks, STAMP_TIME_BITS */
	uint16_t late;      /* see stamp_late_tsc() */
};

static inline uint32_t
stamp_flow(uint32_t stream, uint32_t flow)
{
	return stream << STAMP_FLOW_BITS | flow;
}

/* Writes all but the time to the 18 bytes at `p`. */
static inline void
stamp_write(void *p, uint16_t epoch, uint32_t flow, uint32_t seq)
{
	uint64_t head = (uint64_t)STAMP_MAGIC | (uint64_t)epoch << 16 | (uint64_t)flow << 32;

	memcpy(p, &head, sizeof(head));
	memcpy((char *)p + 8, &seq, sizeof(seq));
}

/* Ticks as the 12 bits of `late`: exact below 256 ticks (2 by 2), else cut off to 8 significant bits. */
static inline uint16_t
stamp_late_code(uint64_t ticks)
{
	uint64_t half = ticks >> 1;

	if (half < (1u << STAMP_LATE_MANTISSA))
		return (uint16_t)half;
	unsigned int octave = 63u - (unsigned int)__builtin_clzll(half);
	unsigned int exponent = octave - STAMP_LATE_MANTISSA + 1;
	if (exponent > 31)
		return STAMP_LATE_MAX;
	return (uint16_t)(exponent << STAMP_LATE_MANTISSA |
			  ((half >> (octave - STAMP_LATE_MANTISSA)) & ((1u << STAMP_LATE_MANTISSA) - 1)));
}

/* Ticks of a code: the middle of what it may stand for. */
static inline uint64_t
stamp_late_tsc(uint16_t code)
{
	unsigned int exponent = code >> STAMP_LATE_MANTISSA;
	uint64_t mantissa = code & ((1u << STAMP_LATE_MANTISSA) - 1);

	if (exponent == 0)
		return mantissa << 1;
	return ((mantissa | 1u << STAMP_LATE_MANTISSA) << exponent) + (UINT64_C(1) << (exponent - 1));
}

/* Writes the send time; called last, right before the frame goes to the driver. */
static inline void
stamp_write_time(void *p, uint64_t tsc, uint16_t late)
{
	uint64_t time = ((tsc >> 1) & STAMP_TIME_MASK) | (uint64_t)late << STAMP_TIME_BITS;
	uint32_t low = (uint32_t)time;
	uint16_t high = (uint16_t)(time >> 32);

	memcpy((char *)p + STAMP_TIME_OFFSET, &low, sizeof(low));
	memcpy((char *)p + STAMP_TIME_OFFSET + 4, &high, sizeof(high));
}

/* The three parts of a stamp as they lie in the frame, each in one load.  Nothing is checked. */
static inline uint64_t
stamp_head(const void *p)
{
	uint64_t head;

	memcpy(&head, p, sizeof(head));
	return head;
}

static inline uint32_t
stamp_seq(const void *p)
{
	uint32_t seq;

	memcpy(&seq, (const char *)p + 8, sizeof(seq));
	return seq;
}

static inline uint64_t
stamp_time(const void *p)
{
	uint64_t time;

	memcpy(&time, (const char *)p + STAMP_BYTES - sizeof(time), sizeof(time));
	return time >> 16;
}

/* What the head of a stamp of this epoch and stream is but for the flow, and which bits that concerns. */
#define STAMP_HEAD_MASK (~((uint64_t)(STAMP_FLOWS_MAX - 1) << 32))

static inline uint64_t
stamp_head_wanted(uint16_t epoch, uint8_t stream)
{
	return (uint64_t)STAMP_MAGIC | (uint64_t)epoch << 16 | (uint64_t)stamp_flow(stream, 0) << 32;
}

static inline uint32_t
stamp_head_flow(uint64_t head)
{
	return (uint32_t)(head >> 32) & (STAMP_FLOWS_MAX - 1);
}

/* Reads the 18 bytes at `p`; false if they are no stamp. */
static inline bool
stamp_read(const void *p, struct stamp *s)
{
	uint64_t head = stamp_head(p);
	uint64_t time = stamp_time(p);

	s->magic = (uint16_t)head;
	s->epoch = (uint16_t)(head >> 16);
	s->flow = (uint32_t)(head >> 32);
	s->seq = stamp_seq(p);
	s->time_half = time & STAMP_TIME_MASK;
	s->late = (uint16_t)(time >> STAMP_TIME_BITS);
	return s->magic == STAMP_MAGIC;
}

#define STAMP_FUTURE_HALF (UINT64_C(1) << 22) /* 3 ms at 2.4 GHz */

/* TSC ticks from a stamp's time (stamp_time(), or time_half) to `now`: up to 2^37 ticks (57 s at 2.4 GHz, 27 s at 5)
 * less STAMP_FUTURE_HALF, which are taken for a stamp from the future and read as 0: the TSCs of two cores may differ
 * by some ticks. */
static inline uint64_t
stamp_age_tsc(uint64_t time, uint64_t now_tsc)
{
	uint64_t half = ((now_tsc >> 1) - time) & STAMP_TIME_MASK;

	return half < STAMP_TIME_MASK + 1 - STAMP_FUTURE_HALF ? half << 1 : 0;
}

#endif
