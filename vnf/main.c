/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vnf: the program that hosts a network function in a guest.
 *
 * Ports are paired: what comes in at 2k goes through the nf and out at 2k+1, and back (forward.h).
 */
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "nf.h"
#include "program.h"

struct vnf {
	struct program program;
	struct worker worker;
	struct forward forward;
};

static const struct nf *chosen_nf;
static const char *chosen_arg; /* NULL: none.  Part of argv. */

static int
choose_nf(const char *value)
{
	char name[64];
	size_t length = strcspn(value, ":");

	if (length >= sizeof(name))
		return -1;
	memcpy(name, value, length);
	name[length] = '\0';
	chosen_arg = value[length] == ':' ? value + length + 1 : NULL;
	chosen_nf = nf_find(name);
	return chosen_nf != NULL ? 0 : -1;
}

struct stats_request {
	struct vnf *vnf;
	json_t *reply;
};

static void
read_stats(void *arg)
{
	struct stats_request *r = arg;

	forward_report(&r->vnf->forward, r->reply);
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
	{"stats", "packets per receiving port, drops by reason, packets held, cycles (TSC) spent on packets, times",
	 cmd_stats},
	{.name = NULL},
};

static void
start_forwarding(struct vnf *v)
{
	struct forward *f = &v->forward;
	char error[NF_ERROR_MAX] = "";

	f->nf = chosen_nf;
	f->idle = v->program.idle;
	f->port_count = v->program.ports.count;
	f->queue_count = v->program.ports.queues;
	for (uint16_t port = 0; port < f->port_count; port++)
		f->out[port] = f->nf->reflects ? port : nf_out_port(port);
	if (f->idle == IDLE_INTERRUPT && interrupts_open(&f->interrupts, f->port_count, error) != 0) {
		fprintf(stderr, "vnf: %s\n", error);
		exit(EXIT_CANNOT_RUN);
	}
	if (f->nf->init == NULL && chosen_arg != NULL) {
		fprintf(stderr, "vnf: %s takes no argument, not '%.40s'\n", f->nf->name, chosen_arg);
		exit(EXIT_BAD_ARGUMENTS);
	}
	if (f->nf->init != NULL && f->nf->init(chosen_arg, error) != 0) {
		/* the reason last: error lines of the harness have the last line */
		fprintf(stderr, "vnf: %s takes %s\nvnf: %s: %s\n", f->nf->name, f->nf->help, f->nf->name, error);
		exit(EXIT_BAD_ARGUMENTS);
	}
	if (worker_start(&v->worker, v->program.worker_lcore[0], f->idle, forward_poll, f) != 0)
		exit(EXIT_FAILURE);
}

int
main(int argc, char **argv)
{
	static const struct program_option own[] = {
		{"nf", "NAME[:ARGUMENT]        the network function, and what it takes (default io)", choose_nf},
		{.name = NULL},
	};
	static struct vnf v;

	chosen_nf = nf_all[0];
	program_start(&v.program, "vnf", argc, argv, own);
	start_forwarding(&v);
	program_ready(&v.program, json_pack("{s:s}", "nf", v.forward.nf->name));
	control_serve(&v.program.control, commands, &v);
	worker_stop(&v.worker);
	if (v.forward.nf->fini != NULL)
		v.forward.nf->fini();
	if (v.forward.idle == IDLE_INTERRUPT)
		interrupts_close(&v.forward.interrupts);
	program_end(&v.program);
	return EXIT_SUCCESS;
}
