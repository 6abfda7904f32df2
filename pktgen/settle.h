/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The request to wait for silence: frames under way when a trial's sending ends are its own.
 */
#ifndef VSW_SETTLE_H
#define VSW_SETTLE_H

#include <stdint.h>

#include "control.h"

/* The TSC at which the last frame came, 0 if none did. */
typedef uint64_t (*settle_last_fn)(void *ctx);

/* {"silence_s": 0.02, "max_s": 2}: waits until nothing has come for silence_s, counted from now at the earliest, or
 * until max_s have passed; adds "silent" to the reply.  0, or -1 with a sentence. */
int settle(json_t *request, settle_last_fn last, void *ctx, json_t *reply, char error[CONTROL_ERROR_MAX]);

#endif
