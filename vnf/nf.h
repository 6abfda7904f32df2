/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A network function: it gets a batch and gives a batch, at once or (take, give) later.  main.c owns ports,
 * loop, drops and counters, so an nf is only what it does to packets.
 */
#ifndef VSW_NF_H
#define VSW_NF_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

struct nf {
	const char *name;
	const char *help; /* one line; says what `arg` is */
	bool reflects;    /* every port is its own pair */

	/* Optional.  `arg` is what followed "name:" or NULL.  0, or -1 with a sentence in `error` (256 bytes). */
	int (*init)(const char *arg, char *error);

	/* Works on pkts[0..n-1] and returns how many go on: those first in pkts, in order, and behind them
	 * the ones that main.c counts as dropped and frees.  Called by one thread only. */
	uint16_t (*process)(struct rte_mbuf **pkts, uint16_t n);

	/* Instead of process, for an nf that keeps packets: both are called in every iteration for every side, which is
	 * the port that its packets came in at.  take() gets what came (n > 0), and returns how many it keeps: the first
	 * ones; main.c counts the others as dropped and frees them.  give() puts up to n packets that are to leave now in
	 * pkts, and returns how many; they are main.c's then.  fini() frees what is still kept. */
	uint16_t (*take)(uint16_t side, struct rte_mbuf **pkts, uint16_t n);
	uint16_t (*give)(uint16_t side, struct rte_mbuf **pkts, uint16_t n);

	void (*fini)(void); /* optional */
};

/* Every nf there is: one line each in nf.c. */
extern const struct nf *const nf_all[];

/* NULL if there is none of that name. */
const struct nf *nf_find(const char *name);

#endif
