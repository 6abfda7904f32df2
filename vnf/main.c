/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vnf: the program that hosts a network function in a guest.
 *
 * Ports are paired: what comes in at 2k goes through the nf and out at 2k+1, and back.  A single last port
 * is its own pair.  What comes in at queue q goes out at queue q.  A full transmit queue drops, as a NIC does: waiting
 * would only move the queue here.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#include "nf.h"
#include "program.h"

#define BURST 32u
#define YIELD_AFTER 256u

struct side {
	uint64_t rx_count;
	uint64_t tx_count;
	uint64_t nf_dropped_count; /* the nf did not want them forwarded */
	uint64_t tx_full_count;    /* no room in the transmit queue of the pair */
	uint64_t held_count;       /* now kept by the nf */
};

struct vnf {
	struct program program;
	struct worker worker;
	const struct nf *nf;
	struct side side[PORT_MAX]; /* by receiving port; tx_count of what it sent on */
	uint64_t busy_tsc;          /* time spent in iterations that had packets */
	uint32_t since_yield;
	uint16_t queue; /* of every port, whose turn it is */
};

static const struct nf *chosen_nf;
static char chosen_arg[256];
static bool has_arg;

static int
choose_nf(const char *value)
{
	char name[64];
	size_t length = strcspn(value, ":");

	if (length >= sizeof(name) || strlen(value) - length > sizeof(chosen_arg))
		return -1;
	memcpy(name, value, length);
	name[length] = '\0';
	has_arg = value[length] == ':';
	if (has_arg)
		snprintf(chosen_arg, sizeof(chosen_arg), "%s", value + length + 1);
	chosen_nf = nf_find(name);
	return chosen_nf != NULL ? 0 : -1;
}

static uint16_t
pair_of(const struct vnf *v, uint16_t port)
{
	uint16_t other = port ^ 1u;

	return other < v->program.ports.count ? other : port;
}

/* Sends what leaves side `port`, frees what the pair does not take. */
static void
send_on(struct vnf *v, uint16_t port, struct rte_mbuf **pkts, uint16_t n)
{
	struct side *side = &v->side[port];
	uint16_t sent = n > 0 ? rte_eth_tx_burst(pair_of(v, port), v->queue, pkts, n) : 0;

	if (sent < n)
		rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	side->tx_count += sent;
	side->tx_full_count += (uint64_t)(n - sent);
}

static void
drop(struct side *side, struct rte_mbuf **pkts, uint16_t n)
{
	if (n > 0)
		rte_pktmbuf_free_bulk(pkts, n);
	side->nf_dropped_count += n;
}

/* For an nf that gives at once what it gets. */
static uint16_t
forward(struct vnf *v, uint16_t port)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(port, v->queue, pkts, BURST);

	if (n == 0)
		return 0;
	uint64_t start = rte_rdtsc();
	uint16_t keep = v->nf->process(pkts, n);
	v->side[port].rx_count += n;
	drop(&v->side[port], &pkts[keep], n - keep);
	send_on(v, port, pkts, keep);
	v->busy_tsc += rte_rdtsc() - start;
	return n;
}

/* For an nf that keeps packets.  Packets that are kept are work: whoever sleeps over them is late. */
static uint16_t
take_and_give(struct vnf *v, uint16_t port)
{
	struct rte_mbuf *in[BURST];
	struct rte_mbuf *out[BURST];
	struct side *side = &v->side[port];
	uint16_t n = rte_eth_rx_burst(port, v->queue, in, BURST);
	uint64_t start = rte_rdtsc();

	if (n > 0) {
		uint16_t keep = v->nf->take(port, in, n);
		side->rx_count += n;
		side->held_count += keep;
		drop(side, &in[keep], n - keep);
	}
	uint16_t given = v->nf->give(port, out, BURST);
	side->held_count -= given;
	send_on(v, port, out, given);
	if (n + given > 0)
		v->busy_tsc += rte_rdtsc() - start;
	return (uint16_t)(n + given + (side->held_count > 0));
}

static bool
poll_ports(void *arg)
{
	struct vnf *v = arg;
	uint32_t moved = 0;

	for (v->queue = 0; v->queue < v->program.ports.queues; v->queue++)
		for (uint16_t port = 0; port < v->program.ports.count; port++)
			moved += v->nf->take != NULL ? take_and_give(v, port) : forward(v, port);
	v->since_yield += moved;
	if (v->worker.idle == IDLE_YIELD && v->since_yield >= YIELD_AFTER) {
		v->since_yield = 0;
		idle_wait(IDLE_YIELD);
	}
	return moved > 0;
}

struct stats_request {
	struct vnf *vnf;
	json_t *reply;
};

static json_t *
side_json(const struct side *s, uint16_t port)
{
	struct port_missed missed = port_missed_one(port);

	return json_pack("{s:i,s:I,s:I,s:I,s:I,s:I,s:I}", "rx_port", port, "rx_count", (json_int_t)s->rx_count, "tx_count",
			 (json_int_t)s->tx_count, "nf_dropped_count", (json_int_t)s->nf_dropped_count, "tx_full_count",
			 (json_int_t)s->tx_full_count, "held_count", (json_int_t)s->held_count, "missed_count",
			 (json_int_t)(missed.imissed + missed.ierrors + missed.rx_nombuf));
}

static void
read_stats(void *arg)
{
	struct stats_request *r = arg;
	struct vnf *v = r->vnf;
	json_t *sides = json_array();
	uint64_t packets = 0;

	for (uint16_t port = 0; port < v->program.ports.count; port++) {
		json_array_append_new(sides, side_json(&v->side[port], port));
		packets += v->side[port].rx_count;
	}
	json_object_set_new(r->reply, "sides", sides);
	json_object_set_new(r->reply, "busy_cycles", json_integer((json_int_t)v->busy_tsc));
	json_object_set_new(r->reply, "rx_count", json_integer((json_int_t)packets));
}

static int
cmd_stats(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct stats_request r = {.vnf = ctx, .reply = reply};

	if (control_unpack(request, error, "{!}") != 0)
		return -1;
	worker_call(&r.vnf->worker, read_stats, &r);
	return 0;
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"stats", "packets per receiving port, drops by reason, packets held, cycles (TSC) spent on packets", cmd_stats},
	{.name = NULL},
};

int
main(int argc, char **argv)
{
	static const struct program_option own[] = {
		{"nf", "NAME[:ARGUMENT]        the network function: io, macswap or delay:TIME[,PACKETS] (default io)", choose_nf},
		{.name = NULL},
	};
	static struct vnf v;
	char error[256] = "";

	chosen_nf = nf_all[0];
	program_start(&v.program, "vnf", argc, argv, own);
	v.nf = chosen_nf;
	if (v.nf->init != NULL && v.nf->init(has_arg ? chosen_arg : NULL, error) != 0) {
		fprintf(stderr, "vnf: %s: %s\n", v.nf->name, error);
		return EXIT_BAD_ARGUMENTS;
	}
	if (worker_start(&v.worker, v.program.worker_lcore[0], v.program.idle, poll_ports, &v) != 0)
		return EXIT_FAILURE;
	program_ready(&v.program, json_pack("{s:s}", "nf", v.nf->name));
	control_serve(&v.program.control, commands, &v);
	worker_stop(&v.worker);
	if (v.nf->fini != NULL)
		v.nf->fini();
	program_end(&v.program);
	return EXIT_SUCCESS;
}
