/* SPDX-License-Identifier: BSD-3-Clause */
#include "forward.h"

#include <rte_cycles.h>
#include <string.h>
#include <time.h>

#define YIELD_AFTER 256u
#define INTERRUPT_AFTER 300u /* empty iterations: some 10 us, less than an interrupt costs */

/* Sends what leaves side `port`, frees what the pair does not take. */
static void
send_on(struct forward *f, uint16_t port, struct rte_mbuf **pkts, uint16_t n)
{
	struct side *side = &f->side[port];
	uint16_t sent = n > 0 ? rte_eth_tx_burst(f->out[port], f->queue, pkts, n) : 0;

	if (sent < n)
		rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	side->tx_count += sent;
	side->tx_full_count += (uint64_t)(n - sent);
}

/* Frees what has a reason, moves the others together; returns how many those are. */
static uint16_t
sift(struct side *side, struct rte_mbuf **pkts, uint16_t n, const uint8_t *drop)
{
	struct rte_mbuf *dropped[NF_BATCH_MAX];
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (drop[i] == NF_FORWARD) {
			pkts[kept++] = pkts[i];
		} else {
			dropped[i - kept] = pkts[i];
			side->dropped[drop[i]]++;
		}
	}
	rte_pktmbuf_free_bulk(dropped, n - kept);
	return kept;
}

/* For an nf that gives at once what it gets. */
static uint16_t
forward(struct forward *f, uint16_t port)
{
	struct rte_mbuf *pkts[NF_BATCH_MAX];
	uint8_t drop[NF_BATCH_MAX] = {NF_FORWARD};
	uint16_t n = rte_eth_rx_burst(port, f->queue, pkts, NF_BATCH_MAX);
	uint16_t keep = n;

	if (n == 0)
		return 0;
	uint64_t start = rte_rdtsc();
	uint16_t drops = f->nf->process(port, pkts, n, drop);
	f->nf_tsc += rte_rdtsc() - start;
	f->side[port].rx_count += n;
	if (drops > 0)
		keep = sift(&f->side[port], pkts, n, drop);
	send_on(f, port, pkts, keep);
	f->busy_tsc += rte_rdtsc() - start;
	return n;
}

/* For an nf that keeps packets.  Packets that are kept are work: whoever sleeps over them is late. */
static uint16_t
take_and_give(struct forward *f, uint16_t port)
{
	struct rte_mbuf *in[NF_BATCH_MAX];
	struct rte_mbuf *out[NF_BATCH_MAX];
	struct side *side = &f->side[port];
	uint16_t n = rte_eth_rx_burst(port, f->queue, in, NF_BATCH_MAX);
	uint64_t start = rte_rdtsc();

	if (n > 0) {
		uint16_t keep = f->nf->take(port, in, n);
		side->rx_count += n;
		side->held_count += keep;
		side->dropped[NF_QUEUE_FULL] += (uint64_t)(n - keep);
		rte_pktmbuf_free_bulk(&in[keep], n - keep);
	}
	uint16_t given = f->nf->give(port, out, NF_BATCH_MAX);
	side->held_count -= given;
	f->nf_tsc += n + given > 0 ? rte_rdtsc() - start : 0;
	send_on(f, port, out, given);
	if (n + given > 0)
		f->busy_tsc += rte_rdtsc() - start;
	return (uint16_t)(n + given + (side->held_count > 0));
}

/* An iteration that finds nothing with interrupts armed may wait; one before could overlook what came meanwhile. */
static void
wait_armed(struct forward *f, bool moved)
{
	if (f->interrupts.armed) {
		if (!moved)
			interrupts_wait(&f->interrupts);
		interrupts_disarm(&f->interrupts);
		f->empty_polls = 0;
	} else if (f->empty_polls >= INTERRUPT_AFTER) {
		interrupts_arm(&f->interrupts);
	}
}

static void
rest(struct forward *f, uint32_t moved)
{
	f->since_yield += moved;
	f->empty_polls = moved > 0 ? 0 : f->empty_polls + 1;
	if (f->idle == IDLE_YIELD && f->since_yield >= YIELD_AFTER) {
		f->since_yield = 0;
		idle_wait(IDLE_YIELD);
	}
	if (f->idle == IDLE_INTERRUPT)
		wait_armed(f, moved > 0);
}

bool
forward_poll(void *arg)
{
	struct forward *f = arg;
	uint32_t moved = 0;

	for (f->queue = 0; f->queue < f->queue_count; f->queue++)
		for (uint16_t port = 0; port < f->port_count; port++)
			moved += f->nf->take != NULL ? take_and_give(f, port) : forward(f, port);
	rest(f, moved);
	return moved > 0;
}

static json_t *
side_json(const struct side *s, uint16_t port)
{
	struct port_missed missed = port_missed_one(port);
	json_t *dropped = json_object();
	uint64_t all = 0;

	for (unsigned int reason = NF_FORWARD + 1; reason < NF_DROPS; reason++) {
		json_object_set_new(dropped, nf_drop_names[reason], json_integer((json_int_t)s->dropped[reason]));
		all += s->dropped[reason];
	}
	return json_pack("{s:i,s:I,s:I,s:I,s:o,s:I,s:I,s:I}", "rx_port", port, "rx_count", (json_int_t)s->rx_count, "tx_count",
			 (json_int_t)s->tx_count, "nf_dropped_count", (json_int_t)all, "dropped", dropped, "tx_full_count",
			 (json_int_t)s->tx_full_count, "held_count", (json_int_t)s->held_count, "missed_count",
			 (json_int_t)(missed.imissed + missed.ierrors + missed.rx_nombuf));
}

static json_t *
time_json(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return json_integer((json_int_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

void
forward_report(const struct forward *f, json_t *reply)
{
	json_t *sides = json_array();
	uint64_t packets = 0;

	for (uint16_t port = 0; port < f->port_count; port++) {
		json_array_append_new(sides, side_json(&f->side[port], port));
		packets += f->side[port].rx_count;
	}
	json_object_set_new(reply, "sides", sides);
	json_object_set_new(reply, "busy_cycles", json_integer((json_int_t)f->busy_tsc));
	json_object_set_new(reply, "nf_cycles", json_integer((json_int_t)f->nf_tsc));
	json_object_set_new(reply, "rx_count", json_integer((json_int_t)packets));
	json_object_set_new(reply, "time_ns", time_json(CLOCK_MONOTONIC));
	json_object_set_new(reply, "cpu_ns", time_json(CLOCK_THREAD_CPUTIME_ID));
	if (f->nf->report != NULL)
		f->nf->report(reply);
}
