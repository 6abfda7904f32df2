/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pktgen: traffic generator, and meter of what comes back.  Lives for a whole cell: one trial after the other
 * without a restart, each with an epoch of its own.
 *
 * With one worker lcore it sends and receives in one loop; of several the first --senders (half of them unless told)
 * send, the others receive.
 *
 * A trial whose streams somebody else sends or receives is "armed" (we receive), sent once all are armed, left to
 * settle, and read.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "learn.h"
#include "program.h"
#include "report.h"
#include "request.h"
#include "settle.h"
#include "steal.h"
#include "trial.h"

#define CLOSED_CHECK_MS 200 /* each look costs the data path a context switch where it shares the CPU */
#define SENT_CHECK_S 1e-3   /* and so often near the end of what is sent */
#define START_S 100e-6      /* until then all workers are in their loops */

struct pktgen {
	struct program program;
	struct worker worker[PROGRAM_WORKERS_MAX];
	unsigned int senders;
	struct trial trial;
	struct trial_part part[PROGRAM_WORKERS_MAX];
	bool armed; /* the parts run until the trial is read or given up */
	struct clock_instant start; /* and what else is compared with the end of the trial */
	uint64_t stolen_ns;
	struct port_missed missed;
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

/* Runs the parts on their workers. */
static void
begin(struct pktgen *g)
{
	struct trial *t = &g->trial;

	t->senders = g->senders;
	g->missed = port_missed_all(&g->program.ports);
	g->stolen_ns = steal_ns();
	uint64_t start_tsc = rte_rdtsc() + clock_ticks(START_S);
	trial_listen(t, start_tsc);
	if (!t->held)
		trial_schedule(t, start_tsc);
	g->start = clock_now();
	for (unsigned int i = 0; i < g->program.workers; i++) {
		g->part[i] = part_of(g, i);
		worker_post(&g->worker[i], trial_run, &g->part[i]);
	}
}

static void
stop(struct pktgen *g)
{
	__atomic_store_n(&g->trial.stop, true, __ATOMIC_RELAXED);
}

/* Waits until the parts have ended; ends them early, and gives false, if nobody listens any more. */
static bool
wait_end(struct pktgen *g)
{
	bool closed = false;

	for (unsigned int i = 0; i < g->program.workers; i++) {
		while (!worker_wait_ms(&g->worker[i], CLOSED_CHECK_MS)) {
			if (control_closed(&g->program.control)) {
				closed = true;
				stop(g);
			}
		}
	}
	return !closed;
}

static void
add_workers(struct pktgen *g, json_t *reply)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->program.workers; i++)
		json_array_append_new(list, loop_json(&g->part[i].stats, g->trial.profile));
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

/* What is to be said of a trial that has ended. */
static int
report(struct pktgen *g, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct ports *ports = &g->program.ports;

	json_object_update_new(reply, report_trial(&g->trial));
	json_object_set_new(reply, "clock_error_ppm", json_real(clock_error_ppm(g->start)));
	json_object_set_new(reply, "steal_ns", json_integer((json_int_t)(steal_ns() - g->stolen_ns)));
	json_object_set_new(reply, "missed_count", json_integer((json_int_t)port_missed_count(ports, g->missed)));
	json_object_set_new(reply, "missed", port_missed_json(ports, g->missed));
	add_workers(g, reply);
	return write_files(g, reply, error);
}

static int
stopped_early(char error[CONTROL_ERROR_MAX])
{
	snprintf(error, CONTROL_ERROR_MAX, "stopped before its time by end of input");
	return -1;
}

static void
forget(struct pktgen *g)
{
	discard_files(g);
	trial_free(&g->trial);
}

/* Gives up what is armed, if anything. */
static void
disarm(struct pktgen *g)
{
	if (!g->armed)
		return;
	stop(g);
	wait_end(g);
	forget(g);
	g->armed = false;
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

/* Makes the trial that is asked for.  0, or -1 with a sentence and nothing left of it. */
static int
prepare(struct pktgen *g, json_t *request, char error[CONTROL_ERROR_MAX])
{
	struct trial *t = &g->trial;

	disarm(g);
	if (request_trial(t, &g->files, &g->program.ports, request, error) != 0 || trial_prepare(t, error) != 0)
		return -1;
	if (check_senders(g, error) == 0 && open_capture(g, error) == 0 && open_flow_records(g, error) == 0)
		return 0;
	forget(g);
	return -1;
}

/* A trial alone begins and ends with what it sends. */
static int
check_all_sent(const struct trial *t, char error[CONTROL_ERROR_MAX])
{
	for (uint32_t i = 0; i < t->streams; i++) {
		if (t->stream[i].sent)
			continue;
		snprintf(error, CONTROL_ERROR_MAX, "tx: somebody else sends stream %u: \"arm\" the trial instead", i);
		return -1;
	}
	return 0;
}

static int
cmd_trial(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;

	if (prepare(g, request, error) != 0)
		return -1;
	int rc = check_all_sent(&g->trial, error);
	if (rc == 0) {
		begin(g);
		rc = wait_end(g) ? report(g, reply, error) : stopped_early(error);
	}
	forget(g);
	return rc;
}

static int
cmd_arm(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;

	(void)reply;
	if (prepare(g, request, error) != 0)
		return -1;
	g->trial.held = true;
	g->armed = true;
	begin(g);
	return 0;
}

static int
need_armed(const struct pktgen *g, char error[CONTROL_ERROR_MAX])
{
	if (g->armed)
		return 0;
	snprintf(error, CONTROL_ERROR_MAX, "no trial waits: send \"arm\" first");
	return -1;
}

/* False if nobody listens any more before all is sent. */
static bool
wait_sent(struct pktgen *g)
{
	const uint64_t end = g->trial.start_tsc + clock_ticks(g->trial.duration_s);

	while (__atomic_load_n(&g->trial.tx_end_tsc, __ATOMIC_ACQUIRE) == 0) {
		uint64_t now = rte_rdtsc();
		double left_s = now < end ? clock_seconds(end - now) : 0;
		double nap_s = left_s < SENT_CHECK_S ? SENT_CHECK_S : RTE_MIN(left_s, CLOSED_CHECK_MS * 1e-3);
		const struct timespec nap = {.tv_nsec = (long)(nap_s * 1e9)};
		nanosleep(&nap, NULL);
		if (control_closed(&g->program.control))
			return false;
	}
	return true;
}

static int
cmd_send(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;

	if (need_armed(g, error) != 0 || control_unpack(request, error, "{!}") != 0)
		return -1;
	if (g->trial.go || g->trial.tx_lanes == 0) {
		snprintf(error, CONTROL_ERROR_MAX, g->trial.go ? "the trial is sent already: \"read\" it, or \"arm\" the next"
							       : "no stream of the trial has a tx here");
		return -1;
	}
	trial_schedule(&g->trial, rte_rdtsc() + clock_ticks(START_S));
	if (!wait_sent(g))
		return stopped_early(error);
	return json_object_set_new(reply, "tx_span_s",
				   json_real(clock_seconds(g->trial.tx_end_tsc - g->trial.start_tsc)));
}

static uint64_t
last_arrival(void *ctx)
{
	const struct pktgen *g = ctx;
	uint64_t last = 0;

	for (unsigned int i = 0; i < g->program.workers; i++)
		last = RTE_MAX(last, __atomic_load_n(&g->part[i].last_rx_tsc, __ATOMIC_RELAXED));
	return last;
}

static int
cmd_settle(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	return need_armed(ctx, error) != 0 ? -1 : settle(request, last_arrival, ctx, reply, error);
}

static int
cmd_read(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;

	if (need_armed(g, error) != 0 || control_unpack(request, error, "{!}") != 0)
		return -1;
	stop(g);
	int rc = wait_end(g) ? report(g, reply, error) : stopped_early(error);
	forget(g);
	g->armed = false;
	return rc;
}

static int
cmd_learn(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;
	struct learning l = {.trial = &g->trial};

	disarm(g);
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
	{"arm", "as a trial, with tx null for what somebody else sends: receive from now on", cmd_arm},
	{"send", "send what is armed; the reply comes when all is out", cmd_send},
	{"settle", "[silence_s, max_s]: wait until no more comes", cmd_settle},
	{"read", "end what is armed, and what a trial replies", cmd_read},
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
	disarm(&g);
	for (unsigned int i = 0; i < g.program.workers; i++)
		worker_stop(&g.worker[i]);
	program_end(&g.program);
	return EXIT_SUCCESS;
}
