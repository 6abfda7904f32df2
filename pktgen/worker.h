/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A worker is an lcore that runs what the control thread gives it.
 *
 * Between calls it either sleeps (no loop) or polls its loop function (vnf, meter).  worker_call() has the
 * worker run a function between two iterations of the loop, so that only the worker ever touches its state
 * and the data path has no locks: one relaxed load an iteration is the whole price.
 */
#ifndef VSW_WORKER_H
#define VSW_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What a worker does when an iteration found no work. */
enum idle {
	IDLE_BUSY,  /* poll on: lowest latency, needs a core of its own */
	IDLE_YIELD, /* sched_yield(): for pollers that share a core */
	IDLE_SLEEP, /* nanosleep() of IDLE_SLEEP_NS: lets a virtual CPU halt */
	IDLE_INTERRUPT, /* the loop itself waits for an interrupt of its ports: vnf only */
};

#define IDLE_SLEEP_NS 20000

/* Reads "busy", "yield", "sleep" or "interrupt"; false for anything else. */
bool idle_parse(const char *name, enum idle *idle);
const char *idle_name(enum idle idle);
void idle_wait(enum idle idle);

typedef void (*worker_fn)(void *arg);
typedef bool (*worker_loop_fn)(void *arg); /* true: there was work */

struct worker {
	unsigned int lcore;
	enum idle idle;
	worker_loop_fn loop; /* may be NULL: sleep between calls */
	void *loop_arg;
	bool quit; /* written by the worker itself */
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t posted;
	pthread_cond_t finished;
	worker_fn call; /* pending; NULL: none.  Read without the lock by the loop. */
	void *call_arg;
};

/* Starts the worker on `lcore`.  0 or -errno. */
int worker_start(struct worker *w, unsigned int lcore, enum idle idle, worker_loop_fn loop, void *loop_arg);

/* Posts `fn` to the worker; worker_wait() returns when it has run.  One call at a time a worker. */
void worker_post(struct worker *w, worker_fn fn, void *arg);
void worker_wait(struct worker *w);

/* True once what was posted has run; waits at most timeout_ms. */
bool worker_wait_ms(struct worker *w, unsigned int timeout_ms);

/* Post and wait. */
void worker_call(struct worker *w, worker_fn fn, void *arg);

/* Ends the worker and waits for it. */
void worker_stop(struct worker *w);

#endif
