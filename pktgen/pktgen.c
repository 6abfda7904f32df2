/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pktgen: traffic generator, and meter of what comes back.  Lives for a whole cell: one trial after the other
 * without a restart, each with an epoch of its own.
 *
 * With one worker lcore it sends and receives in one loop; of several the first --senders (half of them unless told)
 * send, the others receive.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "learn.h"
#include "program.h"
#include "report.h"
#include "request.h"
#include "steal.h"
#include "trial.h"

#define CLOSED_CHECK_MS 200 /* each look costs the data path a context switch where it shares the CPU */
#define START_S 100e-6      /* until then all workers are in their loops */

struct pktgen {
	struct program program;
	struct worker worker[PROGRAM_WORKERS_MAX];
	unsigned int senders;
	struct trial trial;
	struct request_files files;
	struct capture capture;
	FILE *flow_records; /* NULL: none */
};

static unsigned int chosen_senders;

static int
choose_senders(const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (end == value || *end != '\0' || n < 1 || n >= PROGRAM_WORKERS_MAX)
		return -1;
	chosen_senders = (unsigned int)n;
	return 0;
}

static int
open_capture(struct pktgen *g, char error[CONTROL_ERROR_MAX])
{
	const struct request_files *f = &g->files;

	g->trial.capture = NULL;
	if (f->capture[0] == '\0')
		return 0;
	if (capture_open(&g->capture, f->capture, g->program.workers, f->capture_first, f->capture_every,
			 f->capture_filter[0] != '\0' ? f->capture_filter : NULL, f->capture_snap_bytes,
			 REQUEST_CAPTURE_MAX_BYTES, error) != 0)
		return -1;
	g->trial.capture = &g->capture;
	return 0;
}

static int
open_flow_records(struct pktgen *g, char error[CONTROL_ERROR_MAX])
{
	if (g->files.flow_records[0] == '\0')
		return 0;
	g->flow_records = report_flows_open(g->files.flow_records, error);
	return g->flow_records != NULL ? 0 : -1;
}

/* Leaves nothing behind of files that were opened and not written. */
static void
discard_files(struct pktgen *g)
{
	if (g->trial.capture != NULL)
		capture_discard(&g->capture);
	g->trial.capture = NULL;
	if (g->flow_records != NULL) {
		fclose(g->flow_records);
		unlink(g->files.flow_records);
	}
	g->flow_records = NULL;
}

/* Who does what: everything, or the first `senders` the one and the others the other. */
static struct trial_part
part_of(struct pktgen *g, unsigned int i)
{
	unsigned int senders = g->senders;
	unsigned int receivers = g->program.workers - senders;
	struct trial_part part = {.trial = &g->trial, .number = i, .idle = g->program.idle};

	if (g->program.workers == 1) {
		part.tx_step = part.rx_step = 1;
	} else if (i < senders) {
		part.tx_first = i;
		part.tx_step = senders;
	} else {
		part.rx_first = i - senders;
		part.rx_step = receivers;
	}
	return part;
}

/* Runs the parts on their workers; ends them early if nobody listens any more. */
static void
run_parts(struct pktgen *g, struct trial_part *part)
{
	for (unsigned int i = 0; i < g->program.workers; i++) {
		part[i] = part_of(g, i);
		worker_post(&g->worker[i], trial_run, &part[i]);
	}
	for (unsigned int i = 0; i < g->program.workers; i++) {
		while (!worker_wait_ms(&g->worker[i], CLOSED_CHECK_MS)) {
			if (control_closed(&g->program.control))
				__atomic_store_n(&g->trial.stop, true, __ATOMIC_RELAXED);
		}
	}
}

static void
add_workers(struct pktgen *g, const struct trial_part *part, json_t *reply)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->program.workers; i++)
		json_array_append_new(list, loop_json(&part[i].stats, g->trial.profile));
	json_object_set_new(reply, "workers", list);
}

/* Files that the trial leaves; the reply says what is in them. */
static int
write_files(struct pktgen *g, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	json_object_set_new(reply, "captured_count", json_null());
	if (g->trial.capture != NULL) {
		if (capture_close(&g->capture, error) != 0)
			return -1;
		json_object_set_new(reply, "captured_count", json_integer(g->capture.captured_count));
		g->trial.capture = NULL;
	}
	FILE *file = g->flow_records;
	g->flow_records = NULL;
	return file != NULL ? report_flows(&g->trial, file, g->files.flow_records, error) : 0;
}

static int
measure(struct pktgen *g, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct trial *t = &g->trial;
	struct ports *ports = &g->program.ports;
	struct trial_part part[PROGRAM_WORKERS_MAX];
	struct port_missed missed = port_missed_all(ports);
	uint64_t stolen_ns = steal_ns();
	struct clock_instant start;

	t->senders = g->senders;
	trial_schedule(t, rte_rdtsc() + clock_ticks(START_S));
	start = clock_now();
	run_parts(g, part);
	if (t->stop) {
		snprintf(error, CONTROL_ERROR_MAX, "stopped before its time by end of input");
		return -1;
	}
	json_object_update_new(reply, report_trial(t));
	json_object_set_new(reply, "clock_error_ppm", json_real(clock_error_ppm(start)));
	json_object_set_new(reply, "steal_ns", json_integer((json_int_t)(steal_ns() - stolen_ns)));
	json_object_set_new(reply, "missed_count", json_integer((json_int_t)port_missed_count(ports, missed)));
	json_object_set_new(reply, "missed", port_missed_json(ports, missed));
	add_workers(g, part, reply);
	return write_files(g, reply, error);
}

/* A queue has one sender: streams that share a port may be sent only by the same worker there. */
static int
check_senders(const struct pktgen *g, char error[CONTROL_ERROR_MAX])
{
	const struct trial *t = &g->trial;

	for (uint32_t i = 0; i < t->tx_lanes; i++) {
		for (uint32_t k = 0; k < i; k++) {
			if (t->tx[i].stream->tx_port != t->tx[k].stream->tx_port || t->tx[i].queue != t->tx[k].queue ||
			    i % g->senders == k % g->senders)
				continue;
			snprintf(error, CONTROL_ERROR_MAX, "tx: several streams send by queue %u of port %u, and of %u senders not the "
							   "same would do it: start pktgen with --senders 1", t->tx[i].queue,
				 t->tx[i].stream->tx_port, g->senders);
			return -1;
		}
	}
	return 0;
}

static int
cmd_trial(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;
	struct trial *t = &g->trial;

	if (request_trial(t, &g->files, &g->program.ports, request, error) != 0 || trial_prepare(t, error) != 0)
		return -1;
	int rc = check_senders(g, error);
	if (rc == 0)
		rc = open_capture(g, error);
	if (rc == 0)
		rc = open_flow_records(g, error);
	if (rc == 0)
		rc = measure(g, reply, error);
	discard_files(g);
	trial_free(t);
	return rc;
}

static int
cmd_learn(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;
	struct learning l = {.trial = &g->trial};

	if (request_learn(&g->trial, &l.count, &g->program.ports, request, error) != 0)
		return -1;
	worker_post(&g->worker[0], learn_run, &l);
	while (!worker_wait_ms(&g->worker[0], CLOSED_CHECK_MS)) {
		if (control_closed(&g->program.control))
			__atomic_store_n(&l.stop, true, __ATOMIC_RELAXED);
	}
	if (l.error[0] != '\0') {
		snprintf(error, CONTROL_ERROR_MAX, "%s", l.error);
		return -1;
	}
	return json_object_set_new(reply, "sent_count", json_integer((json_int_t)l.sent_count));
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"learn", "epoch, [count], streams as in a trial: show the switch where their destinations are", cmd_learn},
	{"trial",
	 "epoch, duration_s, [drain_s, drain_max_s, interval_s, gaps, ipdv, profile, flow_records, capture], "
	 "streams: [{tx, [rx, rate_pps (0 saturates), shape, frame_bytes (with FCS), flows, ...}]: pktgen/README.md",
	 cmd_trial},
	{.name = NULL},
};

int
main(int argc, char **argv)
{
	static const struct program_option own[] = {
		{"senders", "N                workers that send, of several (default half of them)", choose_senders},
		{.name = NULL},
	};
	static struct pktgen g;

	program_start(&g.program, "pktgen", argc, argv, own);
	g.senders = chosen_senders > 0 ? chosen_senders : RTE_MAX(1u, g.program.workers / 2);
	if (g.senders > 1 && g.senders >= g.program.workers) {
		fprintf(stderr, "pktgen: --senders %u of %u workers leaves none to receive: allowed are 1 to %u\n", g.senders,
			g.program.workers, RTE_MAX(2u, g.program.workers) - 1);
		return EXIT_BAD_ARGUMENTS;
	}
	for (unsigned int i = 0; i < g.program.workers; i++) {
		if (worker_start(&g.worker[i], g.program.worker_lcore[i], g.program.idle, NULL, NULL) != 0)
			return EXIT_FAILURE;
	}
	program_ready(&g.program, NULL);
	control_serve(&g.program.control, commands, &g);
	for (unsigned int i = 0; i < g.program.workers; i++)
		worker_stop(&g.worker[i]);
	program_end(&g.program);
	return EXIT_SUCCESS;
}
