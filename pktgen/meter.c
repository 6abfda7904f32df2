/* SPDX-License-Identifier: BSD-3-Clause
 *
 * meter: counts what arrives, and sends nothing.  Of stamped frames it accounts the armed epoch as pktgen does;
 * of any traffic it counts packets, bytes, sizes and inter-arrival times, in all, over time, and per flow where asked.
 *
 * Its ports may be anything that DPDK drives; a network interface of the kernel too, through libpcap (net_pcap):
 *   --vdev net_pcap0,rx_iface_in=eth0     what comes in;  rx_iface=eth0: what goes out as well
 * Frames that the kernel dropped because we were too slow are then "imissed".  libpcap hands frames over in blocks, up
 * to some 10 ms late, which is the resolution of times and gaps there.  It cuts frames at 9728 bytes:
 * where the kernel merges segments (GRO, TSO) there are such frames until `ethtool -K eth0 gro off tso off`.
 *
 * Reading stops the worker for some 5 us to copy the figures and then for some 5 us for each 512 flows, between which
 * it receives; JSON and files are made by the control thread from the copy.  Only the account of stamped frames is made
 * into JSON by the worker (some 100 us): read it when the traffic has settled.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "account.h"
#include "bigmem.h"
#include "burst.h"
#include "clock.h"
#include "flowreport.h"
#include "flowtable.h"
#include "frame.h"
#include "program.h"
#include "settle.h"
#include "stamp.h"
#include "traffic.h"

#define BURST FLOW_BURST_MAX
#define SERIES_SPAN_S 3600.0 /* of stamped frames */

struct meter {
	struct program program;
	struct worker worker;
	bool armed;
	bool with_account; /* of stamped frames */
	struct account account; /* of all ports together */
	bool with_flows;
	struct flowtable flows;
	struct traffic traffic;
	struct traffic copy; /* for the control thread to read */
	int64_t armed_unix_ns;
	uint64_t interval_tsc;
	struct port_missed missed_before;
};

static void
count(struct meter *m, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	traffic_burst(&m->traffic, pkts, n, now_tsc);
	if (m->with_account)
		account_burst(&m->account, pkts, n, now_tsc);
	if (m->with_flows)
		flowtable_burst(&m->flows, pkts, n, now_tsc);
}

static bool
poll_ports(void *arg)
{
	struct meter *m = arg;
	struct rte_mbuf *pkts[BURST];
	bool work = false;

	const struct ports *ports = &m->program.ports;

	for (unsigned int i = 0; i < (unsigned int)ports->count * ports->queues; i++) {
		uint16_t n = rte_eth_rx_burst((uint16_t)(i / ports->queues), (uint16_t)(i % ports->queues), pkts, BURST);
		if (n == 0)
			continue;
		work = true;
		if (m->armed)
			count(m, pkts, n, rte_rdtsc());
		burst_free(pkts, n);
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
	struct timespec now;

	m->missed_before = port_missed_all(&m->program.ports);
	clock_gettime(CLOCK_REALTIME, &now);
	m->armed_unix_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	traffic_reset(&m->traffic, rte_rdtsc(), m->interval_tsc);
	series_start(&m->account.series, m->traffic.start_tsc);
	m->armed = true;
}

static void
forget(struct meter *m)
{
	if (m->with_account)
		account_free(&m->account);
	memset(&m->account, 0, sizeof(m->account));
	flowtable_free(&m->flows);
	m->with_account = false;
	m->with_flows = false;
}

/* What a request to arm asks for. */
struct arm_request {
	bool with_account; /* it names an epoch */
	struct account_request account;
	uint32_t table; /* flows; 0: none */
};

static int
read_arm(struct arm_request *r, json_t *request, char error[CONTROL_ERROR_MAX])
{
	json_int_t epoch = 0;
	json_int_t stream = 0;
	json_int_t flows = 1;
	json_int_t table = 0;
	json_int_t stamp_offset = FRAME_STAMP_OFFSET;
	double interval_s = 1;
	int gaps = 0;
	int ipdv = 0;
	int unstamped = 0;

	if (control_unpack(request, error, "{s?I,s?I,s?I,s?I,s?F,s?I,s?b,s?b,s?b!}", "epoch", &epoch, "stream", &stream,
			   "flows", &flows, "flow_table", &table, "interval_s", &interval_s, "stamp_offset", &stamp_offset, "gaps",
			   &gaps, "ipdv", &ipdv, "unstamped", &unstamped) != 0)
		return -1;
	if (epoch < 0 || epoch > UINT16_MAX || stream < 0 || stream >= (int)STAMP_STREAM_LEARNING || flows < 1 ||
	    flows > (int)STAMP_FLOWS_MAX || table < 0 || table > (int)FLOWTABLE_CAPACITY_MAX || stamp_offset < 0 ||
	    stamp_offset > (int)(FRAME_HEAD_MAX - STAMP_BYTES) || !(interval_s >= 0.001 && interval_s <= 3600)) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: epoch 0..65535, stream 0..254, flows 1..16777216, flow_table "
						   "0..16777216 flows, interval_s 0.001..3600, stamp_offset 0..%u",
			 FRAME_HEAD_MAX - STAMP_BYTES);
		return -1;
	}
	r->with_account = json_object_get(request, "epoch") != NULL;
	r->table = (uint32_t)table;
	r->account = (struct account_request){.epoch = (uint16_t)epoch, .stream = (uint8_t)stream, .flows = (uint32_t)flows,
					      .stamp_offset = (uint16_t)stamp_offset, .unstamped = unstamped != 0,
					      .gaps = gaps != 0, .ipdv = ipdv != 0, .interval_s = interval_s,
					      .span_s = SERIES_SPAN_S};
	return 0;
}

static int
cmd_arm(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct meter *m = ctx;
	struct arm_request r;

	(void)reply;
	if (read_arm(&r, request, error) != 0)
		return -1;
	worker_call(&m->worker, disarm, m);
	forget(m);
	if (r.table > 0 && flowtable_init(&m->flows, r.table, error) != 0)
		return -1;
	m->with_flows = r.table > 0;
	if (r.with_account && account_init(&m->account, &r.account, error) != 0)
		return -1;
	m->with_account = r.with_account;
	m->interval_tsc = clock_ticks(r.account.interval_s);
	memset(&m->copy, 0, sizeof(m->copy)); /* so that no page fault stops the worker when it copies */
	worker_call(&m->worker, arm, m);
	return 0;
}

/* Flows copied out of the table, in the order in which they came. */
struct copied {
	struct meter *meter;
	struct flow *flows;
	uint32_t count;
	uint32_t room;
	size_t bytes; /* what `flows` was allocated with */
	uint32_t last; /* how many the last step gave */
};

struct read_request {
	struct meter *meter;
	json_t *account;
	uint64_t now_tsc;
	uint32_t flow_count;
	struct flow_count no_room[FLOW_KINDS];
};

/* Runs in the worker, so that the figures are of one instant. */
static void
read_figures(void *arg)
{
	struct read_request *r = arg;
	struct meter *m = r->meter;

	r->now_tsc = rte_rdtsc();
	r->flow_count = m->flows.count;
	memcpy(r->no_room, m->flows.no_room, sizeof(r->no_room));
	memcpy(&m->copy, &m->traffic, sizeof(m->copy));
	if (m->with_account)
		r->account = account_json(&m->account);
}

/* Runs in the worker. */
static void
copy_some_flows(void *arg)
{
	struct copied *c = arg;

	c->last = c->room - c->count < FLOW_CHUNK ? 0 : flowtable_copy(&c->meter->flows, c->count, c->flows + c->count);
	c->count += c->last;
}

/* 0, or -1 with a sentence. */
static int
copy_flows(struct copied *c, uint32_t flow_count, char error[BIG_ERROR_MAX])
{
	c->room = flow_count + 2 * FLOW_CHUNK; /* whole chunks, and some that come meanwhile */
	c->bytes = c->room * sizeof(*c->flows);
	c->flows = big_alloc(c->bytes, "a copy of the flow table", error);
	if (c->flows == NULL)
		return -1;
	do
		worker_call(&c->meter->worker, copy_some_flows, c);
	while (c->last > 0 && c->count < flow_count);
	return 0;
}

static void
add_figures(struct read_request *r, json_t *reply)
{
	const struct meter *m = r->meter;
	const struct ports *ports = &m->program.ports;
	json_t *traffic = traffic_json(&m->copy, r->now_tsc);

	json_object_update(reply, traffic);
	json_decref(traffic);
	json_object_set_new(reply, "meter", r->account != NULL ? r->account : json_null());
	json_object_set_new(reply, "armed_unix_ns", json_integer(m->armed_unix_ns));
	json_object_set_new(reply, "armed_s", json_real(clock_seconds(r->now_tsc - m->copy.start_tsc)));
	json_object_set_new(reply, "missed", port_missed_json(ports, m->missed_before));
	json_object_set_new(reply, "missed_count", json_integer((json_int_t)port_missed_count(ports, m->missed_before)));
}

/* What a read request asks of the flows. */
struct flow_request {
	json_int_t top;
	const char *by;
	const char *file; /* NULL: none */
};

static int
add_flows(const struct read_request *r, const struct flow_request *ask, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct copied c = {.meter = r->meter};
	uint64_t start_tsc = r->meter->copy.start_tsc;
	uint32_t top = (uint32_t)RTE_MIN(ask->top, (json_int_t)UINT32_MAX);
	enum flow_order order = strcmp(ask->by, "bytes") == 0 ? FLOW_BY_BYTES : FLOW_BY_PACKETS;
	struct flow_count no_room = {0};

	if (copy_flows(&c, r->flow_count, error) != 0)
		return -1;
	for (unsigned int kind = 0; kind < FLOW_KINDS; kind++) {
		no_room.packets += r->no_room[kind].packets;
		no_room.bytes += r->no_room[kind].bytes;
	}
	json_t *flows = json_pack("{s:I,s:I,s:I,s:I,s:o,s:o?}", "flow_count", (json_int_t)c.count, "capacity",
				  (json_int_t)r->meter->flows.capacity, "no_room_count", (json_int_t)no_room.packets,
				  "no_room_bytes", (json_int_t)no_room.bytes, "kinds",
				  flowreport_kinds(c.flows, c.count, r->no_room), "top",
				  flowreport_top(c.flows, c.count, top, order, start_tsc));
	json_object_set_new(reply, "flows", flows);
	int rc = ask->file == NULL ? 0 : flowreport_csv(ask->file, c.flows, c.count, start_tsc, error);
	big_free(c.flows, c.bytes);
	return rc;
}

struct counts {
	struct meter *meter;
	uint64_t received_count; /* of ours, each once */
	uint64_t packets;
};

static void
read_counts(void *arg)
{
	struct counts *c = arg;

	c->received_count = c->meter->account.seq.unique_count;
	c->packets = c->meter->traffic.total.packets;
}

struct last {
	struct meter *meter;
	uint64_t tsc; /* arrival of the last of our frames; of any frame if none is stamped */
};

static void
read_last(void *arg)
{
	struct last *l = arg;

	l->tsc = l->meter->with_account ? l->meter->account.last_tsc : l->meter->traffic.last_tsc;
}

static uint64_t
last_arrival(void *ctx)
{
	struct last l = {.meter = ctx};

	worker_call(&l.meter->worker, read_last, &l);
	return l.tsc;
}

static int
need_armed(const struct meter *m, char error[CONTROL_ERROR_MAX])
{
	if (m->armed)
		return 0;
	snprintf(error, CONTROL_ERROR_MAX, "nothing to read: send \"arm\" first");
	return -1;
}

static int
cmd_read(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct read_request r = {.meter = ctx};
	struct flow_request ask = {.top = 10, .by = "packets"};

	if (need_armed(ctx, error) != 0 ||
	    control_unpack(request, error, "{s?I,s?s,s?s!}", "top", &ask.top, "by", &ask.by, "flows_file", &ask.file) != 0)
		return -1;
	if (ask.top < 0 || (strcmp(ask.by, "packets") != 0 && strcmp(ask.by, "bytes") != 0)) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: top 0 or more, by \"packets\" or \"bytes\"");
		return -1;
	}
	if (ask.file != NULL && !r.meter->with_flows) {
		snprintf(error, CONTROL_ERROR_MAX, "no flows for flows_file: send \"arm\" with a flow_table first");
		return -1;
	}
	worker_call(&r.meter->worker, read_figures, &r);
	add_figures(&r, reply);
	return r.meter->with_flows ? add_flows(&r, &ask, reply, error) : 0;
}

/* Cheap: for the harness to see that traffic has become silent. */
static int
cmd_count(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct counts c = {.meter = ctx};

	if (need_armed(ctx, error) != 0 || control_unpack(request, error, "{!}") != 0)
		return -1;
	worker_call(&c.meter->worker, read_counts, &c);
	json_object_set_new(reply, "received_count", json_integer((json_int_t)c.received_count));
	return json_object_set_new(reply, "packets", json_integer((json_int_t)c.packets));
}

/* Waits until nothing of ours has come for silence_s; frames under way when a trial ends are its own. */
static int
cmd_settle(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	return need_armed(ctx, error) != 0 ? -1 : settle(request, last_arrival, ctx, reply, error);
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"arm",
	 "[epoch, stream, flows (of stamped frames), flow_table (flows to keep), interval_s]: forget all, count from now",
	 cmd_arm},
	{"count", "received_count and packets so far", cmd_count},
	{"settle", "[silence_s, max_s]: wait until no more of ours comes", cmd_settle},
	{"read", "[top (flows), by (packets, bytes), flows_file (path of a CSV of all flows)]: everything since armed",
	 cmd_read},
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
	forget(&m);
	program_end(&m.program);
	return EXIT_SUCCESS;
}
