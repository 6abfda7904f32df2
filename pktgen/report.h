/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A finished trial as JSON, and its flows as CSV.
 */
#ifndef VSW_REPORT_H
#define VSW_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "trial.h"

/* {"streams":[...], "tx_span_s":, "drained":}.  What the lanes of a stream counted is merged here, into the first.
 * New reference. */
json_t *report_trial(struct trial *t);

/* A new file for report_flows(), made before the trial so that one which cannot be written costs none.  NULL with a
 * sentence. */
FILE *report_flows_open(const char *path, char error[TRIAL_ERROR_MAX]);

/* Writes a row a flow of every metered stream to `file`, at `path`, header row first (RFC 4180): stream, flow, sent_count,
 * received_count, lost_count, duplicate_count, reordered_count, latency_min_ns, latency_mean_ns, latency_max_ns.
 * Call after report_trial().  Closes the file.  0, or -1 with a sentence and no file. */
int report_flows(const struct trial *t, FILE *file, const char *path, char error[TRIAL_ERROR_MAX]);

#endif
