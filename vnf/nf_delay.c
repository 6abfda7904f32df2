/* SPDX-License-Identifier: BSD-3-Clause
 *
 * delay: every packet leaves a given time after it came in, in order; a known latency to test latency meters with.
 *
 * Time is the TSC at our measured frequency (clock.h), from the poll that found the packet to the poll that hands it
 * to the transmitting port: so a packet is never early, and late by up to one iteration of the loop.
 * A side's queue is bounded: what finds it full is the nf's drop.  The ports' pools bound it too: a port that finds no
 * buffer counts that (missed_count of the stats).
 */
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "nf.h"
#include "port.h"

extern const struct nf nf_delay;

#define QUEUE_DEFAULT 65536u
#define QUEUE_MAX (1u << 24)
#define DELAY_MAX_S 10.0

struct held {
	struct rte_mbuf *packet;
	uint64_t due_tsc;
};

/* The packets of one side: from..to, both counted from the start and never taken back. */
struct queue {
	struct held *held; /* [size] */
	uint64_t from;
	uint64_t to;
};

static struct queue queues[PORT_MAX];
static uint64_t delay_tsc;
static uint32_t queue_size;  /* packets a side holds at most */
static uint32_t queue_mask; /* of the array, whose size is a power of two */

/* Seconds of "10us"; negative if it is no time.  `*end` is what follows. */
static double
parse_time(const char *text, char **end)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}};
	double value = strtod(text, end);

	if (*end == text)
		return -1;
	for (size_t i = 0; i < RTE_DIM(units); i++) {
		if (strncmp(*end, units[i].unit, 2) == 0) {
			*end += 2;
			return value * units[i].seconds;
		}
	}
	return -1;
}

/* TIME[,PACKETS] */
static int
parse(const char *arg)
{
	char *end;
	unsigned long size = QUEUE_DEFAULT;
	double seconds = parse_time(arg, &end);

	if (*end == ',') {
		if (end[1] < '0' || end[1] > '9')
			return -1;
		size = strtoul(end + 1, &end, 10);
	}
	if (!(seconds > 0 && seconds <= DELAY_MAX_S) || *end != '\0' || size < 1 || size > QUEUE_MAX)
		return -1;
	delay_tsc = clock_ticks(seconds);
	queue_size = (uint32_t)size;
	return 0;
}

static void
delay_fini(void)
{
	for (unsigned int side = 0; side < PORT_MAX; side++) {
		struct queue *q = &queues[side];
		for (; q->from < q->to; q->from++)
			rte_pktmbuf_free(q->held[q->from & queue_mask].packet);
		free(q->held);
		q->held = NULL;
	}
}

static int
delay_init(const char *arg, char *error)
{
	uint32_t slots;

	if (arg == NULL || parse(arg) != 0) {
		snprintf(error, NF_ERROR_MAX, "'%s' is no argument: allowed is TIME[,PACKETS], a time above 0 up to 10000ms with its "
					   "unit (ns, us, ms), and the packets that a side holds at most (1 to %u, "
					   "default %u); e.g. delay:10us", arg ? arg : "", QUEUE_MAX, QUEUE_DEFAULT);
		return -1;
	}
	slots = rte_align32pow2(queue_size);
	queue_mask = slots - 1;
	for (uint16_t side = 0; side < rte_eth_dev_count_avail(); side++) {
		queues[side].held = malloc(slots * sizeof(struct held));
		if (queues[side].held == NULL) {
			snprintf(error, NF_ERROR_MAX, "no memory to hold %u packets a side: give fewer", queue_size);
			delay_fini();
			return -1;
		}
		memset(queues[side].held, 0, slots * sizeof(struct held)); /* no page faults later */
	}
	return 0;
}

static uint16_t
delay_take(uint16_t side, struct rte_mbuf **pkts, uint16_t n)
{
	struct queue *q = &queues[side];
	uint64_t due_tsc = rte_rdtsc() + delay_tsc;
	uint16_t keep = (uint16_t)RTE_MIN((uint64_t)n, queue_size - (q->to - q->from));

	for (uint16_t i = 0; i < keep; i++)
		q->held[(q->to + i) & queue_mask] = (struct held){.packet = pkts[i], .due_tsc = due_tsc};
	q->to += keep;
	return keep;
}

static uint16_t
delay_give(uint16_t side, struct rte_mbuf **pkts, uint16_t n)
{
	struct queue *q = &queues[side];
	uint64_t now_tsc = rte_rdtsc();
	uint16_t given = 0;

	while (given < n && q->from < q->to && q->held[q->from & queue_mask].due_tsc <= now_tsc)
		pkts[given++] = q->held[q->from++ & queue_mask].packet;
	return given;
}

const struct nf nf_delay = {
	.name = "delay",
	.help = "TIME[,PACKETS]: forward a time (10us, 1ms) later, at most PACKETS held a side",
	.init = delay_init,
	.take = delay_take,
	.give = delay_give,
	.fini = delay_fini,
};
