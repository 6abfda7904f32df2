/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Learning frames: sent before a trial from where its frames will be received, so that a switch which learns addresses
 * knows where each is and floods nothing (RFC 2544 section 23; RFC 2889 section 5.8).  They carry a stamp of stream
 * STAMP_STREAM_LEARNING and are counted apart by whoever receives them.
 */
#ifndef VSW_LEARN_H
#define VSW_LEARN_H

#include "trial.h"

struct learning {
	struct trial *trial; /* only streams, epoch and ports are used */
	uint32_t count;      /* frames an address */
	uint64_t sent_count;
	bool stop;           /* set by the control thread: end at once */
	char error[TRIAL_ERROR_MAX]; /* "" if all went well */
};

/* A worker_fn with a struct learning: sends `count` frames from each address to which the trial's metered streams will
 * send, by queue 0 of the port that receives.  Gives up on a port that takes nothing for a second. */
void learn_run(void *learning);

#endif
