/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pktgen: traffic generator, and meter of what comes back.  Lives for a whole cell: one trial after the other
 * without a restart, each with an epoch of its own.
 *
 * With one worker lcore it sends and receives in one loop, with two or more the first sends, the second receives.
 */
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "program.h"
#include "trial.h"

#define RATE_MAX_PPS 1e9
#define DURATION_MAX_S 86400.0
#define CLOSED_CHECK_MS 200 /* each look costs the data path a context switch where it shares the CPU */

struct pktgen {
	struct program program;
	struct worker worker[2];
	unsigned int workers; /* 1 or 2 */
	struct trial trial;
};

static int
refuse(char error[CONTROL_ERROR_MAX], const char *what, const char *allowed)
{
	snprintf(error, CONTROL_ERROR_MAX, "%s: allowed is %s", what, allowed);
	return -1;
}

/* One element of "streams" into s. */
static int
read_stream(const struct pktgen *g, json_t *request, struct stream *s, char error[CONTROL_ERROR_MAX])
{
	json_t *rx = NULL;
	json_int_t tx;
	json_int_t frame_bytes = 64;
	json_int_t flows = 1;

	memset(s, 0, sizeof(*s));
	if (control_unpack(request, error, "{s:I,s?o,s?F,s?I,s?I!}", "tx", &tx, "rx", &rx, "rate_pps", &s->rate_pps,
			   "frame_bytes", &frame_bytes, "flows", &flows) != 0)
		return -1;
	if (tx < 0 || tx >= g->program.ports.count)
		return refuse(error, "tx", "the number of a port that exists");
	if (!(s->rate_pps >= 0 && s->rate_pps <= RATE_MAX_PPS))
		return refuse(error, "rate_pps", "0 (saturate) to 1e9");
	if (frame_bytes < (int)FRAME_MIN_BYTES || frame_bytes > (int)FRAME_MAX_BYTES)
		return refuse(error, "frame_bytes", "64 to 1518, FCS included");
	if (flows < 1 || flows > (int)STAMP_FLOWS_MAX)
		return refuse(error, "flows", "1 to 16777216");
	if (rx != NULL && !json_is_null(rx)) {
		json_int_t port = json_integer_value(rx);
		if (!json_is_integer(rx) || port < 0 || port >= g->program.ports.count)
			return refuse(error, "rx", "null or the number of a port that exists");
		s->metered = true;
		s->rx_port = (uint16_t)port;
	}
	s->tx_port = (uint16_t)tx;
	s->frame_bytes = (uint16_t)frame_bytes;
	s->flows = (uint32_t)flows;
	return 0;
}

static int
read_trial(struct pktgen *g, json_t *request, char error[CONTROL_ERROR_MAX])
{
	struct trial *t = &g->trial;
	json_t *streams;
	json_t *stream;
	size_t i;
	json_int_t epoch;

	memset(t, 0, sizeof(*t));
	t->ports = &g->program.ports;
	t->drain_s = 0.01;
	t->drain_max_s = 2;
	if (control_unpack(request, error, "{s:I,s:F,s?F,s?F,s:o!}", "epoch", &epoch, "duration_s", &t->duration_s,
			   "drain_s", &t->drain_s, "drain_max_s", &t->drain_max_s, "streams", &streams) != 0)
		return -1;
	if (epoch < 0 || epoch > UINT16_MAX)
		return refuse(error, "epoch", "0 to 65535");
	if (!(t->duration_s > 0 && t->duration_s <= DURATION_MAX_S))
		return refuse(error, "duration_s", "above 0, up to 86400");
	if (!(t->drain_s >= 0 && t->drain_s <= t->drain_max_s && t->drain_max_s <= 60))
		return refuse(error, "drain_s, drain_max_s", "0 <= drain_s <= drain_max_s <= 60");
	if (!json_is_array(streams) || json_array_size(streams) < 1 || json_array_size(streams) > TRIAL_STREAMS_MAX)
		return refuse(error, "streams", "an array of 1 to 16 objects");
	t->epoch = (uint16_t)epoch;
	json_array_foreach(streams, i, stream) {
		if (read_stream(g, stream, &t->stream[i], error) != 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (t->stream[i].metered && t->stream[k].metered && t->stream[i].rx_port == t->stream[k].rx_port)
				return refuse(error, "rx", "one stream a port");
		}
		t->streams++;
	}
	return 0;
}

static uint64_t
missed(const struct ports *p)
{
	uint64_t sum = 0;

	for (uint16_t port = 0; port < p->count; port++)
		sum += port_missed(port);
	return sum;
}

static void
start_clock(struct trial *t)
{
	t->start_tsc = rte_rdtsc() + clock_ticks(100e-6); /* 100 us: both workers are in their loops by then */
	for (uint32_t i = 0; i < t->streams; i++)
		pace_start(&t->stream[i].pace, t->stream[i].rate_pps, t->duration_s, clock_hz, t->start_tsc);
}

static int
cmd_trial(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct pktgen *g = ctx;
	struct trial *t = &g->trial;
	struct trial_part part[2];
	struct clock_instant start;
	json_t *loops;

	if (read_trial(g, request, error) != 0 || trial_prepare(t, error) != 0)
		return -1;
	uint64_t missed_before = missed(&g->program.ports);
	start_clock(t);
	start = clock_now();
	for (unsigned int i = 0; i < g->workers; i++) {
		part[i] = (struct trial_part){.trial = t, .idle = g->program.idle, .sends = i == 0,
					      .receives = i == g->workers - 1};
		worker_post(&g->worker[i], trial_run, &part[i]);
	}
	for (unsigned int i = 0; i < g->workers; i++) {
		while (!worker_wait_ms(&g->worker[i], CLOSED_CHECK_MS)) {
			if (control_closed(&g->program.control))
				__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
		}
	}
	if (t->stop) {
		snprintf(error, CONTROL_ERROR_MAX, "stopped before its time by end of input");
		trial_free(t);
		return -1;
	}
	json_object_update_new(reply, trial_json(t));
	json_object_set_new(reply, "clock_error_ppm", json_real(clock_error_ppm(start)));
	json_object_set_new(reply, "missed_count", json_integer((json_int_t)(missed(&g->program.ports) - missed_before)));
	loops = json_array();
	for (unsigned int i = 0; i < g->workers; i++)
		json_array_append_new(loops, loop_stats_json(&part[i].stats));
	json_object_set_new(reply, "workers", loops);
	trial_free(t);
	return 0;
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"trial",
	 "epoch, duration_s, [drain_s, drain_max_s], streams: [{tx, [rx], [rate_pps, 0 saturates], "
	 "[frame_bytes with FCS], [flows]}]",
	 cmd_trial},
	{.name = NULL},
};

int
main(int argc, char **argv)
{
	static struct pktgen g;

	program_start(&g.program, "pktgen", argc, argv, NULL);
	g.workers = g.program.workers > 1 ? 2 : 1;
	for (unsigned int i = 0; i < g.workers; i++) {
		if (worker_start(&g.worker[i], g.program.worker_lcore[i], g.program.idle, NULL, NULL) != 0)
			return EXIT_FAILURE;
	}
	program_ready(&g.program, NULL);
	control_serve(&g.program.control, commands, &g);
	for (unsigned int i = 0; i < g.workers; i++)
		worker_stop(&g.worker[i]);
	program_end(&g.program);
	return EXIT_SUCCESS;
}
