/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: whatever frames come, the stamp's reader and the account behind it do not crash, read nothing outside a
 * frame, and count each frame exactly once.
 *
 * Input: a header, then frames of [kind][bytes, 16 bits][body].  Most bodies are hostile bytes as they are; of kind
 * STAMPED they are flow, number and time of a stamp that is otherwise right, so that the windows of seq.c get work too.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "clock.h"
#include "fakembuf.h"
#include "frame.h"
#include "stamp.h"

#define BURST_MAX 32u
#define HEADER_BYTES 16u
#define FLOWS_MIN 1000u  /* windows of 2^14 numbers: with larger ones a gap takes most of the time */
#define FLOWS_MAX 70000u /* windows of 2^7 */

enum kind { RAW, RAW_IN_SEGMENTS, STAMPED, END_OF_BURST, KINDS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

/* The next `bytes` of the input, or as many as there are, then zeros. */
static uint64_t
take(struct input *in, size_t bytes)
{
	uint64_t value = 0;
	size_t n = RTE_MIN(bytes, in->left);

	memcpy(&value, in->at, n);
	in->at += n;
	in->left -= n;
	return value;
}

/* How an account is made and fed: all that this target knows of it. */
struct subject {
	struct account account;
	uint64_t fed_count;
};

static bool
subject_start(struct subject *s, uint16_t epoch, uint8_t stream, uint32_t flows)
{
	const struct account_request r = {.epoch = epoch, .stream = stream, .flows = flows,
					  .stamp_offset = FRAME_STAMP_OFFSET, .gaps = epoch & 1, .ipdv = epoch & 2,
					  .records = epoch & 4};
	char error[BIG_ERROR_MAX];

	s->fed_count = 0;
	return account_init(&s->account, &r, error) == 0;
}

static void
subject_burst(struct subject *s, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	account_burst(&s->account, pkts, n, now_tsc);
	s->fed_count += n;
}

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
subject_end(struct subject *s)
{
	const struct account *a = &s->account;
	json_t *json = account_json(a);

	require(a->ours_count + a->learning_count + a->stale_count + a->foreign_count == s->fed_count);
	require(a->seq.unique_count + a->seq.duplicate_count == a->ours_count);
	require(a->seq.reordered_count + a->seq.old_count <= a->seq.unique_count);
	require(a->latency_ns.total == a->ours_count);
	require(json != NULL);
	json_decref(json);
	account_free(&s->account);
}

static struct rte_mbuf *
stamped(struct input *in, const struct account *a)
{
	uint8_t frame[FRAME_STAMP_OFFSET + STAMP_BYTES] = {0};
	uint32_t flow = (uint32_t)take(in, 3);
	uint32_t seq = (uint32_t)take(in, 4);
	uint64_t time = take(in, 6);

	if (flow & 1) /* half of them of a flow that exists */
		flow = (flow >> 1) % a->seq.flows;
	stamp_write(frame + FRAME_STAMP_OFFSET, a->request.epoch, stamp_flow(a->request.stream, flow), seq);
	stamp_write_time(frame + FRAME_STAMP_OFFSET, time, (uint16_t)time);
	return fake_mbuf(frame, sizeof(frame), 0);
}

static struct rte_mbuf *
raw(struct input *in, bool segments)
{
	size_t bytes = RTE_MIN((size_t)take(in, 2), in->left);
	uint16_t segment_bytes = segments ? (uint16_t)take(in, 1) : 0;

	bytes = RTE_MIN(bytes, in->left);
	struct rte_mbuf *m = fake_mbuf(in->at, (uint32_t)bytes, segment_bytes);
	in->at += bytes;
	in->left -= bytes;
	return m;
}

static void
burst(struct subject *s, struct input *in)
{
	struct rte_mbuf *pkts[BURST_MAX];
	uint64_t now_tsc = take(in, 8);
	uint16_t n = 0;

	while (n < BURST_MAX && in->left > 0) {
		enum kind kind = (enum kind)(take(in, 1) % KINDS);
		if (kind == END_OF_BURST)
			break;
		pkts[n++] = kind == STAMPED ? stamped(in, &s->account) : raw(in, kind == RAW_IN_SEGMENTS);
	}
	subject_burst(s, pkts, n, now_tsc);
	for (uint16_t i = 0; i < n; i++)
		fake_free(pkts[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct subject s; /* histograms are too large for a stack */
	struct input in = {.at = data, .left = size};

	if (size < HEADER_BYTES)
		return -1;
	clock_multiplier = take(&in, 5); /* any frequency from 2^32 / 2^40 ns a tick */
	uint16_t epoch = (uint16_t)take(&in, 2);
	uint8_t stream = (uint8_t)take(&in, 1);
	uint32_t flows = FLOWS_MIN + (uint32_t)(take(&in, 4) % (FLOWS_MAX - FLOWS_MIN));
	clock_hz = 1 + take(&in, 4);
	if (!subject_start(&s, epoch, stream, flows))
		return -1;
	while (in.left > 0)
		burst(&s, &in);
	subject_end(&s);
	return 0;
}
