/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reads the JSON of a trial.  Everything is checked here, so that a trial which begins can also be done.
 */
#ifndef VSW_REQUEST_H
#define VSW_REQUEST_H

#include <jansson.h>
#include <limits.h>

#include "trial.h"

#define REQUEST_CAPTURE_MAX_BYTES (UINT64_C(1) << 30)

/* What else a trial is to leave behind. */
struct request_files {
	char flow_records[PATH_MAX]; /* "": none */
	char capture[PATH_MAX];      /* "": none */
	uint32_t capture_first;
	uint32_t capture_every;
	uint32_t capture_snap_bytes;
	char capture_filter[1024]; /* "": none */
};

/* Fills `t` (zeroed first; ports are set) and `files`.  0, or -1 with a sentence. */
int request_trial(struct trial *t, struct request_files *files, struct ports *ports, json_t *request,
		  char error[TRIAL_ERROR_MAX]);

/* {"epoch":, "count":, "streams":[...]} of a request to learn.  0, or -1 with a sentence. */
int request_learn(struct trial *t, uint32_t *count, struct ports *ports, json_t *request, char error[TRIAL_ERROR_MAX]);

#endif
