/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include <rte_launch.h>
#include <sched.h>
#include <string.h>
#include <time.h>

static const char *const idle_names[] = {[IDLE_BUSY] = "busy", [IDLE_YIELD] = "yield", [IDLE_SLEEP] = "sleep",
					  [IDLE_INTERRUPT] = "interrupt"};

bool
idle_parse(const char *name, enum idle *idle)
{
	for (unsigned int i = 0; i < sizeof(idle_names) / sizeof(idle_names[0]); i++) {
		if (strcmp(name, idle_names[i]) == 0) {
			*idle = (enum idle)i;
			return true;
		}
	}
	return false;
}

const char *
idle_name(enum idle idle)
{
	return idle_names[idle];
}

void
idle_wait(enum idle idle)
{
	const struct timespec nap = {.tv_nsec = IDLE_SLEEP_NS};

	if (idle == IDLE_YIELD)
		sched_yield();
	else if (idle == IDLE_SLEEP)
		nanosleep(&nap, NULL);
}

static worker_fn
pending(struct worker *w)
{
	return __atomic_load_n(&w->call, __ATOMIC_ACQUIRE);
}

static void
run_call(struct worker *w)
{
	w->call(w->call_arg);
	pthread_mutex_lock(&w->lock);
	__atomic_store_n(&w->call, NULL, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&w->finished);
	pthread_mutex_unlock(&w->lock);
}

static void
sleep_until_posted(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (pending(w) == NULL)
		pthread_cond_wait(&w->posted, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static int
worker_main(void *arg)
{
	struct worker *w = arg;

	while (!w->quit) {
		if (w->loop == NULL)
			sleep_until_posted(w);
		if (pending(w) != NULL)
			run_call(w);
		else if (!w->loop(w->loop_arg))
			idle_wait(w->idle);
	}
	return 0;
}

int
worker_start(struct worker *w, unsigned int lcore, enum idle idle, worker_loop_fn loop, void *loop_arg)
{
	pthread_condattr_t monotonic;

	memset(w, 0, sizeof(*w));
	w->lcore = lcore;
	w->idle = idle;
	w->loop = loop;
	w->loop_arg = loop_arg;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->posted, NULL);
	pthread_cond_init(&w->finished, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int rc = rte_eal_remote_launch(worker_main, w, lcore);
	w->running = rc == 0;
	return rc;
}

void
worker_post(struct worker *w, worker_fn fn, void *arg)
{
	pthread_mutex_lock(&w->lock);
	w->call_arg = arg;
	__atomic_store_n(&w->call, fn, __ATOMIC_RELEASE);
	pthread_cond_signal(&w->posted);
	pthread_mutex_unlock(&w->lock);
}

void
worker_wait(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (pending(w) != NULL)
		pthread_cond_wait(&w->finished, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

bool
worker_wait_ms(struct worker *w, unsigned int timeout_ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&w->lock);
	while (pending(w) != NULL && rc == 0)
		rc = pthread_cond_timedwait(&w->finished, &w->lock, &until);
	bool done = pending(w) == NULL;
	pthread_mutex_unlock(&w->lock);
	return done;
}

void
worker_call(struct worker *w, worker_fn fn, void *arg)
{
	worker_post(w, fn, arg);
	worker_wait(w);
}

static void
set_quit(void *arg)
{
	struct worker *w = arg;

	w->quit = true;
}

void
worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	worker_call(w, set_quit, w);
	rte_eal_wait_lcore(w->lcore);
	w->running = false;
}
