/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_version.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define OWN_OPTIONS_MAX 8
#define WIRES_MAX (PORT_MAX / 2)
#define FRAME_LARGEST 9216

struct common {
	enum idle idle;
	unsigned int wires;
	struct port_request ports;
};

#define COMMON_OPTIONS 5

static void
usage(const char *name, const struct program_option *own)
{
	fprintf(stderr,
		"usage: %s [EAL options] -- [options]\n"
		"  --idle busy|yield|sleep|interrupt  what to do when there is no work (default busy); interrupt: vnf only\n"
		"  --ring-size N            descriptors a queue, a power of two (default %u)\n"
		"  --wires N                make N pairs of ports joined in memory\n"
		"  --queues N               queue pairs a port, 1..%u (default 1)\n"
		"  --frame-max N            largest frame with FCS, %u..9216 (default %u)\n",
		name, PORT_RING_DEFAULT, PORT_QUEUES_MAX, PORT_FRAME_DEFAULT, PORT_FRAME_DEFAULT);
	for (; own != NULL && own->name != NULL; own++)
		fprintf(stderr, "  --%s %s\n", own->name, own->help);
}

static bool
parse_number(const char *text, unsigned long low, unsigned long high, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno == 0 && *text != '-' && end != text && *end == '\0' && *value >= low && *value <= high;
}

static bool
set_common(struct common *c, const char *name, const char *value)
{
	unsigned long n;

	if (strcmp(name, "idle") == 0)
		return idle_parse(value, &c->idle);
	if (strcmp(name, "ring-size") == 0) {
		if (!parse_number(value, 64, 32768, &n) || (n & (n - 1)) != 0)
			return false;
		c->ports.ring_size = (uint16_t)n;
	} else if (strcmp(name, "queues") == 0) {
		if (!parse_number(value, 1, PORT_QUEUES_MAX, &n))
			return false;
		c->ports.queues = (uint16_t)n;
	} else if (strcmp(name, "frame-max") == 0) {
		if (!parse_number(value, PORT_FRAME_DEFAULT, FRAME_LARGEST, &n))
			return false;
		c->ports.frame_max = (uint16_t)n;
	} else {
		if (!parse_number(value, 0, WIRES_MAX, &n))
			return false;
		c->wires = (unsigned int)n;
	}
	return true;
}

static void
parse(struct common *c, const char *program, int argc, char **argv, const struct program_option *own)
{
	struct option options[COMMON_OPTIONS + OWN_OPTIONS_MAX + 1] = {
		{.name = "idle", .has_arg = required_argument},	  {.name = "ring-size", .has_arg = required_argument},
		{.name = "wires", .has_arg = required_argument},  {.name = "queues", .has_arg = required_argument},
		{.name = "frame-max", .has_arg = required_argument},
	};
	int index;
	int ch;

	for (int i = 0; own != NULL && own[i].name != NULL && i < OWN_OPTIONS_MAX; i++)
		options[COMMON_OPTIONS + i] = (struct option){.name = own[i].name, .has_arg = required_argument};
	optind = 1;
	while ((ch = getopt_long(argc, argv, "", options, &index)) != -1) {
		bool good = ch == 0 && (index < COMMON_OPTIONS ? set_common(c, options[index].name, optarg)
						  : own[index - COMMON_OPTIONS].set(optarg) == 0);
		if (!good) {
			if (ch == 0)
				fprintf(stderr, "%s: bad value for --%s: '%s'\n", program, options[index].name, optarg);
			usage(program, own);
			exit(EXIT_BAD_ARGUMENTS);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", program, argv[optind]);
		usage(program, own);
		exit(EXIT_BAD_ARGUMENTS);
	}
}

void
program_start(struct program *p, const char *name, int argc, char **argv, const struct program_option *own)
{
	struct common c = {.idle = IDLE_BUSY, .ports = {.ring_size = PORT_RING_DEFAULT, .queues = 1,
							.frame_max = PORT_FRAME_DEFAULT}};
	char error[PORT_ERROR_MAX];
	unsigned int lcore;

	memset(p, 0, sizeof(*p));
	p->name = name;
	if (control_open(&p->control) != 0) {
		fprintf(stderr, "%s: stdin and stdout must be open: they are the control channel\n", name);
		exit(EXIT_CANNOT_RUN);
	}
	int used = rte_eal_init(argc, argv);
	if (used < 0) {
		fprintf(stderr, "%s: DPDK could not start: %s\n", name, rte_strerror(rte_errno));
		exit(rte_errno == EINVAL ? EXIT_BAD_ARGUMENTS : EXIT_CANNOT_RUN);
	}
	clock_init();
	parse(&c, name, argc - used, argv + used, own);
	p->idle = c.idle;
	c.ports.interrupts = c.idle == IDLE_INTERRUPT;
	if (c.ports.interrupts && strcmp(name, "vnf") != 0) {
		fprintf(stderr, "%s: --idle interrupt: only vnf can wait for interrupts\n", name);
		exit(EXIT_BAD_ARGUMENTS);
	}
	RTE_LCORE_FOREACH_WORKER(lcore) {
		if (p->workers < PROGRAM_WORKERS_MAX)
			p->worker_lcore[p->workers++] = lcore;
	}
	if (p->workers == 0) {
		fprintf(stderr, "%s: needs a worker lcore beside the main one, e.g. --lcores '0@0,1@0'\n", name);
		exit(EXIT_BAD_ARGUMENTS);
	}
	if (port_make_wires(c.wires, &c.ports, error) != 0 || port_start_all(&p->ports, &c.ports, error) != 0) {
		fprintf(stderr, "%s: %s\n", name, error);
		exit(EXIT_CANNOT_RUN);
	}
}

void
program_ready(struct program *p, json_t *more)
{
	json_t *ready = json_pack("{s:s,s:s,s:i,s:I,s:s,s:s,s:o}", "program", p->name, "version", VSW_VERSION, "pid",
				  (int)getpid(), "tsc_hz", (json_int_t)clock_hz, "dpdk", rte_version(), "idle",
				  idle_name(p->idle), "ports", port_json(&p->ports));

	if (more != NULL)
		json_object_update(ready, more);
	json_decref(more);
	control_event(&p->control, "ready", ready);
}

int
program_ports(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct program *p = ctx;

	if (control_unpack(request, error, "{!}") != 0)
		return -1;
	return json_object_set_new(reply, "ports", port_json(&p->ports));
}

void
program_end(struct program *p)
{
	port_stop_all(&p->ports);
	rte_eal_cleanup();
}
