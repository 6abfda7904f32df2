/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A network function: it gets a batch and gives a batch, at once or (take, give) later.  forward.c owns ports, loop,
 * drops and counters, so an nf is only what it does to packets.
 *
 * A side is the port that packets came in at; they leave at its pair (nf_out_port).  Even sides look inwards, to where
 * the traffic of the first direction comes from, odd ones outwards.
 */
#ifndef VSW_NF_H
#define VSW_NF_H

#include <jansson.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define NF_ERROR_MAX 256u
#define NF_BATCH_MAX 32u

/* Why an nf drops a packet.  Names are in nf.c, and each has a column in the harness's nfs.csv. */
enum nf_drop {
	NF_FORWARD,    /* it does not */
	NF_MALFORMED,  /* the frame ends before its headers do, or they contradict each other */
	NF_NOT_IP,
	NF_TTL,        /* time to live, or hop limit, is over */
	NF_NO_ROUTE,
	NF_DENIED,     /* by a rule */
	NF_NO_MAPPING, /* cannot be translated */
	NF_TABLE_FULL, /* no room for another flow */
	NF_RATE,       /* over the rate */
	NF_QUEUE_FULL, /* no room to keep it */
	NF_DROPS
};

extern const char *const nf_drop_names[NF_DROPS];

struct nf {
	const char *name;
	const char *help; /* one line; says what `arg` is */
	bool reflects;    /* every port is its own pair */

	/* Optional.  `arg` is what followed "name:" or NULL; it outlives the nf.  Ports are started.  0, or -1 with a
	 * sentence in `error` (NF_ERROR_MAX bytes). */
	int (*init)(const char *arg, char *error);

	/* Works on pkts[0..n-1], n <= NF_BATCH_MAX, that came in at `side`; returns how many are to be dropped, and for
	 * those writes the reason (enum nf_drop) to drop[i], which is NF_FORWARD before.  Their order stays.  Called by
	 * one thread only. */
	uint16_t (*process)(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop);

	/* Instead of process, for an nf that keeps packets: both are called in every iteration for every side.  take()
	 * gets what came (n > 0), and returns how many it keeps: the first ones; the others are dropped
	 * (NF_QUEUE_FULL).  give() puts up to n packets that are to leave now in pkts, and returns how many; they are the
	 * caller's then.  fini() frees what is still kept. */
	uint16_t (*take)(uint16_t side, struct rte_mbuf **pkts, uint16_t n);
	uint16_t (*give)(uint16_t side, struct rte_mbuf **pkts, uint16_t n);

	void (*report)(json_t *reply); /* optional: adds what only this nf counts; called between two batches */
	void (*fini)(void);            /* optional */
};

/* Every nf there is: one line each in nf.c. */
extern const struct nf *const nf_all[];

/* NULL if there is none of that name. */
const struct nf *nf_find(const char *name);

/* The port at which leaves what came in at `side`: ports are paired, 2k with 2k+1; a single last one is its own
 * pair. */
static inline uint16_t
nf_out_port(uint16_t side)
{
	uint16_t other = side ^ 1u;

	return other < rte_eth_dev_count_avail() ? other : side;
}

#endif
