/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The data path of vnf: takes batches from ports, has the nf work on them, sends them on at the pair of the port, and
 * counts.
 *
 * A full transmit queue drops, as a NIC does: waiting would only move the queue here.  Only the worker touches a struct
 * forward; forward_report() is called by it, between two batches.
 */
#ifndef VSW_FORWARD_H
#define VSW_FORWARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "interrupt.h"
#include "nf.h"
#include "port.h"
#include "worker.h"

struct side {
	uint64_t rx_count;
	uint64_t tx_count;
	uint64_t dropped[NF_DROPS]; /* by the nf, by reason */
	uint64_t tx_full_count;     /* no room in the transmit queue of the pair */
	uint64_t held_count;        /* now kept by the nf */
};

struct forward {
	const struct nf *nf;
	uint16_t port_count;
	uint16_t queue_count; /* of every port */
	uint16_t queue;       /* whose turn it is: what comes in at it goes out at that of the same number */
	uint16_t out[PORT_MAX]; /* nf_out_port() of each, which takes time */
	enum idle idle;
	struct interrupts interrupts; /* of IDLE_INTERRUPT */
	struct side side[PORT_MAX];   /* by receiving port; tx_count of what it sent on */
	uint64_t busy_tsc;            /* from having received a batch until it is sent */
	uint64_t nf_tsc;              /* of that in the nf */
	uint32_t since_yield;
	uint32_t empty_polls;
};

/* One iteration; a worker_loop_fn.  True if there was work. */
bool forward_poll(void *forward);

/* Adds to `reply` what was counted so far, with the times (ns) at which, and for which the worker had a CPU, so that
 * the difference of two reports is that of a time span. */
void forward_report(const struct forward *f, json_t *reply);

#endif
