/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How the harness talks to our C programs: one JSON object a line.
 *
 *   program -> {"event":"ready", ...}                       once, when requests are welcome
 *   harness -> {"id":7,"cmd":"trial", ...}                  id: any integer, comes back
 *   program -> {"id":7,"ok":true, ...}  or  {"id":7,"ok":false,"error":"one clear sentence"}
 *
 * A line that is no JSON, an unknown command, key or type is answered with an error; the program goes on.
 * End of input ends the program.  Human text goes to stderr only: control_open() moves file descriptor 1
 * out of the way, so that nothing a library prints can get between the replies.
 */
#ifndef VSW_CONTROL_H
#define VSW_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define CONTROL_LINE_MAX (1u << 20) /* bytes of one request */
#define CONTROL_ERROR_MAX 256u

struct control {
	int in;
	bool in_is_device; /* a virtio-serial port */
	FILE *out;
	char buffer[4096]; /* read ahead of the line at hand: next..have */
	size_t next;
	size_t have;
};

/* Handles one request.  Adds members to `reply`.  Returns 0, or -1 with the sentence in `error`. */
typedef int (*control_fn)(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX]);

struct control_command {
	const char *name;
	const char *help;
	control_fn run;
};

/* Takes over stdin and stdout.  Call before anything can print.  0 or -errno. */
int control_open(struct control *c);

/* Sends one event; takes the reference of `members` (may be NULL) and adds "event". */
void control_event(struct control *c, const char *event, json_t *members);

/* Serves requests until end of input, or "quit".  `commands` ends with a NULL name.  "help" is built in. */
void control_serve(struct control *c, const struct control_command *commands, void *ctx);

/* Answers one line of `length` bytes, without its newline; uses nothing of `c` but `out`.  False if it asked to quit. */
bool control_handle_line(struct control *c, const char *line, size_t length, const struct control_command *commands,
			 void *ctx);

/* True once the other side has closed: long commands ask now and then. */
bool control_closed(const struct control *c);

/* json_unpack_ex() of a request with a sentence instead of a code; `format` should end in "!" so that unknown
 * keys are refused ("id" and "cmd" are taken off before).  0 or -1. */
int control_unpack(json_t *request, char error[CONTROL_ERROR_MAX], const char *format, ...);

#endif
