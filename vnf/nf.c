/* SPDX-License-Identifier: BSD-3-Clause */
#include "nf.h"

#include <stddef.h>
#include <string.h>

extern const struct nf nf_delay;
extern const struct nf nf_io;
extern const struct nf nf_macswap;
extern const struct nf nf_reflector;

const struct nf *const nf_all[] = {
	&nf_io,
	&nf_macswap,
	&nf_delay,
	&nf_reflector,
	NULL,
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
