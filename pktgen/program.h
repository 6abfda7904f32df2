/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What pktgen, meter and vnf have in common: EAL, common options, ports, the control channel.
 *
 *   PROGRAM [EAL options] -- [--idle busy|yield|sleep|interrupt] [--ring-size N] [--wires N]
 *           [--queues N] [--frame-max N] [own options]
 *
 * The main lcore only serves the control channel and sleeps in read(); workers do the rest.  Two lcores may
 * share a CPU: --lcores '0@0,1@0'.
 * Exit status: 0 fine, 1 failed, 2 bad arguments, 77 cannot run here (no memory, no such device).
 */
#ifndef VSW_PROGRAM_H
#define VSW_PROGRAM_H

#include <getopt.h>
#include <jansson.h>

#include "control.h"
#include "port.h"
#include "worker.h"

#define EXIT_BAD_ARGUMENTS 2
#define EXIT_CANNOT_RUN 77
#define PROGRAM_WORKERS_MAX 8u

struct program {
	const char *name;
	struct control control;
	struct ports ports;
	enum idle idle;
	unsigned int worker_lcore[PROGRAM_WORKERS_MAX];
	unsigned int workers;
};

/* An own option of a program: getopt_long's has_arg is always required_argument. */
struct program_option {
	const char *name; /* without "--" */
	const char *help;
	int (*set)(const char *value); /* 0, or -1 for a value that cannot be */
};

/* Parses, initialises, starts the ports; exits with a sentence on stderr if that fails.  `own` ends with a NULL
 * name and may be NULL. */
void program_start(struct program *p, const char *name, int argc, char **argv, const struct program_option *own);

/* Sends the ready event: program, version, pid, tsc_hz, dpdk, ports, and `more` (may be NULL, reference taken). */
void program_ready(struct program *p, json_t *more);

/* The command "ports", which all programs have; its ctx is a struct that begins with a struct program. */
int program_ports(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX]);

/* Stops ports and EAL. */
void program_end(struct program *p);

#endif
