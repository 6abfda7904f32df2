/* SPDX-License-Identifier: BSD-3-Clause */
#include "nf.h"

#include <stddef.h>
#include <string.h>

extern const struct nf nf_delay;
extern const struct nf nf_firewall;
extern const struct nf nf_io;
extern const struct nf nf_l2fwd;
extern const struct nf nf_l3fwd;
extern const struct nf nf_loadbalance;
extern const struct nf nf_macswap;
extern const struct nf nf_reflector;
extern const struct nf nf_monitor;
extern const struct nf nf_nat;
extern const struct nf nf_noisy;
extern const struct nf nf_qos;

const struct nf *const nf_all[] = {
	&nf_io,
	&nf_macswap,
	&nf_l2fwd,
	&nf_l3fwd,
	&nf_firewall,
	&nf_nat,
	&nf_qos,
	&nf_loadbalance,
	&nf_monitor,
	&nf_noisy,
	&nf_delay,
	&nf_reflector,
	NULL,
};

const char *const nf_drop_names[NF_DROPS] = {
	[NF_FORWARD] = "forward",
	[NF_MALFORMED] = "malformed",
	[NF_NOT_IP] = "not_ip",
	[NF_TTL] = "ttl",
	[NF_NO_ROUTE] = "no_route",
	[NF_DENIED] = "denied",
	[NF_NO_MAPPING] = "no_mapping",
	[NF_TABLE_FULL] = "table_full",
	[NF_RATE] = "rate",
	[NF_QUEUE_FULL] = "queue_full",
};

const struct nf *
nf_find(const char *name)
{
	for (unsigned int i = 0; nf_all[i] != NULL; i++) {
		if (strcmp(nf_all[i]->name, name) == 0)
			return nf_all[i];
	}
	return NULL;
}
