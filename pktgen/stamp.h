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
 *       12     6   time      TSC when it was handed to the driver, low 48 bits
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
#define STAMP_TIME_OFFSET 12u
#define STAMP_TIME_MASK ((UINT64_C(1) << 48) - 1)

struct stamp {
	uint16_t magic;
	uint16_t epoch;
	uint32_t flow; /* stream << STAMP_FLOW_BITS | flow */
	uint32_t seq;
	uint64_t time_tsc; /* 48 bits */
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

/* Writes the send time; called last, right before the frame goes to the driver. */
static inline void
stamp_write_time(void *p, uint64_t tsc)
{
	uint32_t low = (uint32_t)tsc;
	uint16_t high = (uint16_t)(tsc >> 32);

	memcpy((char *)p + STAMP_TIME_OFFSET, &low, sizeof(low));
	memcpy((char *)p + STAMP_TIME_OFFSET + 4, &high, sizeof(high));
}

/* Reads the 18 bytes at `p`; false if they are no stamp. */
static inline bool
stamp_read(const void *p, struct stamp *s)
{
	uint64_t head;
	uint32_t low;
	uint16_t high;

	memcpy(&head, p, sizeof(head));
	s->magic = (uint16_t)head;
	s->epoch = (uint16_t)(head >> 16);
	s->flow = (uint32_t)(head >> 32);
	memcpy(&s->seq, (const char *)p + 8, sizeof(s->seq));
	memcpy(&low, (const char *)p + STAMP_TIME_OFFSET, sizeof(low));
	memcpy(&high, (const char *)p + STAMP_TIME_OFFSET + 4, sizeof(high));
	s->time_tsc = (uint64_t)high << 32 | low;
	return s->magic == STAMP_MAGIC;
}

/* TSC ticks from the stamp to `now`, which must be less than 2^47 (16 h at 2.4 GHz) apart.  0 for a stamp from the
 * future: the TSCs of two cores may differ by some ticks. */
static inline uint64_t
stamp_age_tsc(const struct stamp *s, uint64_t now_tsc)
{
	int64_t age = (int64_t)((now_tsc - s->time_tsc) << 16) >> 16;

	return age > 0 ? (uint64_t)age : 0;
}

#endif
