/* SPDX-License-Identifier: BSD-3-Clause
 *
 * meter: counts what arrives, and sends nothing.  Of stamped frames it accounts the armed epoch as pktgen does;
 * of any traffic it counts packets and bytes, in all, over time, and per flow where asked.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "account.h"
#include "clock.h"
#include "flowtable.h"
#include "frame.h"
#include "program.h"
#include "stamp.h"

#define BURST 64u
#define SETTLE_LOOK_NS 1000000
#define INTERVALS_MAX 4096u
#define FLOWS_CAPACITY_MAX (1 << 24)

struct interval {
	uint64_t packets;
	uint64_t bytes;
};

struct meter {
	struct program program;
	struct worker worker;
	bool armed;
	struct account account; /* of all ports together */
	bool with_flows;
	struct flowtable flows;
	uint64_t packets;
	uint64_t bytes; /* mbuf bytes, without FCS */
	uint64_t armed_tsc;
	uint64_t interval_tsc;
	struct interval series[INTERVALS_MAX]; /* since armed; what comes later than the last is in `packets` only */
	struct port_missed missed_before;
};

static void
count(struct meter *m, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	uint64_t slot = (now_tsc - m->armed_tsc) / m->interval_tsc;
	uint64_t bytes = 0;

	account_burst(&m->account, pkts, n, now_tsc);
	for (uint16_t i = 0; i < n; i++)
		bytes += rte_pktmbuf_pkt_len(pkts[i]);
	for (uint16_t i = 0; m->with_flows && i < n; i++)
		flowtable_add(&m->flows, pkts[i]);
	m->packets += n;
	m->bytes += bytes;
	if (slot < INTERVALS_MAX) {
		m->series[slot].packets += n;
		m->series[slot].bytes += bytes;
	}
}

static bool
poll_ports(void *arg)
{
	struct meter *m = arg;
	struct rte_mbuf *pkts[BURST];
	bool work = false;

	for (uint16_t port = 0; port < m->program.ports.count; port++) {
		uint16_t n = rte_eth_rx_burst(port, 0, pkts, BURST);
		if (n == 0)
			continue;
		work = true;
		if (m->armed)
			count(m, pkts, n, rte_rdtsc());
		rte_pktmbuf_free_bulk(pkts, n);
	}
	return work;
}

static void
disarm(void *arg)
{
	struct meter *m = arg;

	m->armed = false;
}

static void
arm(void *arg)
{
	struct meter *m = arg;

	m->packets = 0;
	m->bytes = 0;
	memset(m->series, 0, sizeof(m->series));
	m->missed_before = port_missed_all(&m->program.ports);
	m->armed_tsc = rte_rdtsc();
	m->armed = true;
}

static int
cmd_arm(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct meter *m = ctx;
	json_int_t epoch;
	json_int_t stream = 0;
	json_int_t flows = 1;
	json_int_t table = 0;
	double interval_s = 1;

	(void)reply;
	if (control_unpack(request, error, "{s:I,s?I,s?I,s?I,s?F!}", "epoch", &epoch, "stream", &stream, "flows", &flows,
			   "flow_table", &table, "interval_s", &interval_s) != 0)
		return -1;
	if (epoch < 0 || epoch > UINT16_MAX || stream < 0 || stream >= (int)STAMP_STREAM_LEARNING || flows < 1 ||
	    flows > (int)STAMP_FLOWS_MAX || table < 0 || table > FLOWS_CAPACITY_MAX ||
	    !(interval_s >= 0.001 && interval_s <= 3600)) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: epoch 0..65535, stream 0..254, flows 1..16777216, "
						   "flow_table 0..16777216 flows, interval_s 0.001..3600");
		return -1;
	}
	worker_call(&m->worker, disarm, m);
	account_free(&m->account);
	if (m->with_flows)
		flowtable_free(&m->flows);
	m->with_flows = false;
	const struct account_request r = {.epoch = (uint16_t)epoch, .stream = (uint8_t)stream, .flows = (uint32_t)flows,
					  .stamp_offset = FRAME_STAMP_OFFSET};
	if (account_init(&m->account, &r, error) != 0)
		return -1;
	if (table > 0 && flowtable_init(&m->flows, (uint32_t)table) != 0) {
		snprintf(error, CONTROL_ERROR_MAX, "no memory for %d flows", (int)table);
		return -1;
	}
	m->with_flows = table > 0;
	m->interval_tsc = clock_ticks(interval_s);
	worker_call(&m->worker, arm, m);
	return 0;
}

struct read_request {
	struct meter *meter;
	json_t *reply;
	uint32_t top;
};

static json_t *
intervals_json(const struct meter *m, uint64_t now_tsc)
{
	uint64_t slots = RTE_MIN((now_tsc - m->armed_tsc) / m->interval_tsc + 1, (uint64_t)INTERVALS_MAX);
	json_t *list = json_array();

	for (uint64_t i = 0; i < slots; i++)
		json_array_append_new(list, json_pack("[I,I]", (json_int_t)m->series[i].packets,
						      (json_int_t)m->series[i].bytes));
	return list;
}

/* Runs in the worker, so that the figures are of one instant. */
static void
read_figures(void *arg)
{
	struct read_request *r = arg;
	struct meter *m = r->meter;

	json_object_set_new(r->reply, "meter", account_json(&m->account));
	json_object_set_new(r->reply, "packets", json_integer((json_int_t)m->packets));
	json_object_set_new(r->reply, "bytes", json_integer((json_int_t)m->bytes));
	json_object_set_new(r->reply, "missed_count", json_integer((json_int_t)port_missed_count(&m->program.ports, m->missed_before)));
	json_object_set_new(r->reply, "missed", port_missed_json(&m->program.ports, m->missed_before));
	json_object_set_new(r->reply, "series", intervals_json(m, rte_rdtsc()));
	if (m->with_flows)
		json_object_set_new(r->reply, "flows", flowtable_json(&m->flows, r->top));
}

static void
read_count(void *arg)
{
	struct read_request *r = arg;

	json_object_set_new(r->reply, "received_count", json_integer((json_int_t)r->meter->account.seq.unique_count));
	json_object_set_new(r->reply, "packets", json_integer((json_int_t)r->meter->packets));
}

struct settle {
	const struct meter *meter;
	uint64_t last_tsc; /* arrival of the last of our frames */
	uint64_t now_tsc;
};

static void
settle_look(void *arg)
{
	struct settle *s = arg;

	s->last_tsc = s->meter->account.last_tsc;
}

static int
need_armed(const struct meter *m, char error[CONTROL_ERROR_MAX])
{
	if (m->armed)
		return 0;
	snprintf(error, CONTROL_ERROR_MAX, "nothing to read: send \"arm\" with an epoch first");
	return -1;
}

static int
cmd_read(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct read_request r = {.meter = ctx, .reply = reply};
	json_int_t top = 10;

	if (need_armed(ctx, error) != 0 || control_unpack(request, error, "{s?I!}", "top", &top) != 0)
		return -1;
	r.top = (uint32_t)RTE_MAX(0, RTE_MIN(top, (json_int_t)UINT32_MAX));
	worker_call(&r.meter->worker, read_figures, &r);
	return 0;
}

/* Cheap: for the harness to see that traffic has become silent. */
static int
cmd_count(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct read_request r = {.meter = ctx, .reply = reply};

	if (need_armed(ctx, error) != 0 || control_unpack(request, error, "{!}") != 0)
		return -1;
	worker_call(&r.meter->worker, read_count, &r);
	return 0;
}

/* Waits until nothing of ours has come for silence_s; frames under way when a trial ends are its own. */
static int
cmd_settle(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct meter *m = ctx;
	const struct timespec nap = {.tv_nsec = SETTLE_LOOK_NS};
	struct settle s = {.meter = m};
	double silence_s = 0.02;
	double max_s = 2;

	if (need_armed(m, error) != 0 ||
	    control_unpack(request, error, "{s?F,s?F!}", "silence_s", &silence_s, "max_s", &max_s) != 0)
		return -1;
	if (!(silence_s > 0 && silence_s <= max_s && max_s <= 60)) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: 0 < silence_s <= max_s <= 60");
		return -1;
	}
	uint64_t start = rte_rdtsc();
	do {
		nanosleep(&nap, NULL);
		worker_call(&m->worker, settle_look, &s);
		s.now_tsc = rte_rdtsc();
	} while (clock_seconds(s.now_tsc - RTE_MAX(s.last_tsc, start)) < silence_s &&
		 clock_seconds(s.now_tsc - start) < max_s);
	bool silent = clock_seconds(s.now_tsc - RTE_MAX(s.last_tsc, start)) >= silence_s;
	return json_object_set_new(reply, "silent", json_boolean(silent));
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"arm", "epoch, [stream, flows, flow_table (flows to keep), interval_s]: forget all, count from now", cmd_arm},
	{"count", "received_count and packets so far", cmd_count},
	{"settle", "[silence_s, max_s]: wait until no more of ours comes", cmd_settle},
	{"read", "[top]: everything since armed", cmd_read},
	{.name = NULL},
};

int
main(int argc, char **argv)
{
	static struct meter m;

	program_start(&m.program, "meter", argc, argv, NULL);
	if (worker_start(&m.worker, m.program.worker_lcore[0], m.program.idle, poll_ports, &m) != 0)
		return EXIT_FAILURE;
	program_ready(&m.program, NULL);
	control_serve(&m.program.control, commands, &m);
	worker_stop(&m.worker);
	account_free(&m.account);
	program_end(&m.program);
	return EXIT_SUCCESS;
}
