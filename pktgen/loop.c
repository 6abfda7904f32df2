/* SPDX-License-Identifier: BSD-3-Clause */
#include "loop.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

/* Time that this thread was ready to run and had no CPU: second number of schedstat (proc(5)). */
static uint64_t
run_delay_ns(void)
{
	char path[64];
	unsigned long long ran;
	unsigned long long waited = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", (long)syscall(SYS_gettid));
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(file);
	return waited;
}

void
loop_note_kernel(struct loop_stats *s, int sign)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	s->involuntary_switches += (uint64_t)(sign * usage.ru_nivcsw);
	s->voluntary_switches += (uint64_t)(sign * usage.ru_nvcsw);
	s->run_delay_ns += (uint64_t)sign * run_delay_ns();
	s->cpu = sched_getcpu();
}

static json_t *
profile_json(const struct profile *p)
{
	double sent = p->sent > 0 ? (double)p->sent : 1;
	double received = p->received > 0 ? (double)p->received : 1;

	return json_pack("{s:f,s:f,s:f,s:f,s:f}", "pace", (double)p->pace_tsc / sent, "build", (double)p->build_tsc / sent,
			 "tx", (double)p->tx_tsc / sent, "rx", (double)p->rx_tsc / received, "meter",
			 (double)p->meter_tsc / received);
}

json_t *
loop_json(const struct loop_stats *s, bool profiled)
{
	double idle = s->iterations ? (double)s->idle_iterations / (double)s->iterations : 0;

	return json_pack("{s:I,s:f,s:I,s:I,s:I,s:I,s:I,s:i,s:o}", "iterations", (json_int_t)s->iterations, "idle_ratio",
			 idle, "gap_max_ns", (json_int_t)clock_ns(s->gap_max_tsc), "stall_ns",
			 (json_int_t)clock_ns(s->stall_tsc), "involuntary_switches",
			 (json_int_t)s->involuntary_switches, "voluntary_switches", (json_int_t)s->voluntary_switches,
			 "run_delay_ns", (json_int_t)s->run_delay_ns, "cpu", s->cpu, "profile",
			 profiled ? profile_json(&s->profile) : json_null());
}
