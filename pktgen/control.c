/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 100

int
control_open(struct control *c)
{
	int in = dup(STDIN_FILENO);
	int out = dup(STDOUT_FILENO);
	struct stat status;

	signal(SIGPIPE, SIG_IGN); /* if nobody reads our replies, input ends too, and that ends us in good order */
	if (in < 0 || out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return -errno;
	c->in = in;
	c->in_is_device = fstat(in, &status) == 0 && S_ISCHR(status.st_mode);
	c->have = c->next = 0;
	c->out = fdopen(out, "w");
	return c->out != NULL ? 0 : -errno;
}

static void
send_line(struct control *c, json_t *object)
{
	if (json_dumpf(object, c->out, JSON_COMPACT) == 0)
		fputc('\n', c->out);
	else
		fputs("{\"ok\":false,\"error\":\"reply could not be written as JSON\"}\n", c->out);
	fflush(c->out);
}

void
control_event(struct control *c, const char *event, json_t *members)
{
	json_t *object = json_object();

	json_object_set_new(object, "event", json_string(event));
	if (members != NULL)
		json_object_update(object, members);
	json_decref(members);
	send_line(c, object);
	json_decref(object);
}

bool
control_closed(const struct control *c)
{
	struct pollfd p = {.fd = c->in, .events = POLLRDHUP};

	/* sockets and virtio-serial ports say POLLIN as well then, for the end that read() would find */
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0;
}

int
control_unpack(json_t *request, char error[CONTROL_ERROR_MAX], const char *format, ...)
{
	json_error_t why;
	va_list args;

	va_start(args, format);
	int rc = json_vunpack_ex(request, &why, 0, format, args);
	va_end(args);
	if (rc != 0)
		snprintf(error, CONTROL_ERROR_MAX, "bad request: %.200s", why.text);
	return rc;
}

static json_t *
help(const struct control_command *commands)
{
	json_t *list = json_object();

	for (; commands->name != NULL; commands++)
		json_object_set_new(list, commands->name, json_string(commands->help));
	return list;
}

static int
dispatch(const struct control_command *commands, void *ctx, const char *name, json_t *request, json_t *reply,
	 char error[CONTROL_ERROR_MAX])
{
	if (strcmp(name, "help") == 0)
		return json_object_set_new(reply, "commands", help(commands));
	for (; commands->name != NULL; commands++) {
		if (strcmp(commands->name, name) == 0)
			return commands->run(ctx, request, reply, error);
	}
	snprintf(error, CONTROL_ERROR_MAX, "unknown command '%.40s'; \"help\" lists them", name);
	return -1;
}

/* A sentence as a JSON string: cut to size it may end inside a character, and the request need not be ASCII. */
static json_t *
sentence(char *text)
{
	for (char *p = text; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	return json_string(text);
}

bool
control_handle_line(struct control *c, const char *line, size_t length, const struct control_command *commands,
		    void *ctx)
{
	char error[CONTROL_ERROR_MAX] = "failed";
	json_error_t why;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why);
	json_t *reply = json_object();
	const char *name = json_string_value(json_object_get(request, "cmd"));
	bool quit = name != NULL && strcmp(name, "quit") == 0;
	int rc = -1;

	json_object_set(reply, "id", json_object_get(request, "id"));
	if (request == NULL) {
		snprintf(error, sizeof(error), "not a JSON object: %.160s (column %d)", why.text, why.column);
	} else if (name == NULL) {
		snprintf(error, sizeof(error), "a request is an object with a string \"cmd\"");
	} else if (quit) {
		rc = 0;
	} else {
		char *kept_name = strdup(name);
		json_object_del(request, "id");
		json_object_del(request, "cmd");
		rc = dispatch(commands, ctx, kept_name, request, reply, error);
		free(kept_name);
	}
	json_object_set_new(reply, "ok", json_boolean(rc == 0));
	if (rc != 0)
		json_object_set_new(reply, "error", sentence(error));
	send_line(c, reply);
	json_decref(request);
	json_decref(reply);
	return !quit;
}

/* Waits for input.  In an emulated guest the interrupt that announces data on a virtio-serial port gets lost now and
 * then (seen with QEMU 7.2, TCG with several virtual CPUs); poll() looks at the queue itself, so look again. */
static void
wait_for_input(const struct control *c)
{
	struct pollfd p = {.fd = c->in, .events = POLLIN};

	while (poll(&p, 1, c->in_is_device ? LOOK_AGAIN_MS : -1) == 0)
		;
}

/* The next byte, or EOF. */
static int
next_byte(struct control *c)
{
	if (c->next == c->have) {
		ssize_t n;
		do {
			wait_for_input(c);
			n = read(c->in, c->buffer, sizeof(c->buffer));
		} while (n < 0 && (errno == EINTR || errno == EAGAIN));
		if (n <= 0)
			return EOF;
		c->have = (size_t)n;
		c->next = 0;
	}
	return (unsigned char)c->buffer[c->next++];
}

/* Reads one line without its newline into `line`; what is longer than CONTROL_LINE_MAX is read and dropped.
 * Returns the length, -1 at end of input, -2 for a line that was too long. */
static ssize_t
read_line(struct control *c, char *line)
{
	size_t n = 0;
	bool too_long = false;
	int ch;

	while ((ch = next_byte(c)) != EOF && ch != '\n') {
		if (n < CONTROL_LINE_MAX)
			line[n++] = (char)ch;
		else
			too_long = true;
	}
	if (ch == EOF)
		return -1; /* a last line without newline was cut off: not to be obeyed */
	return too_long ? -2 : (ssize_t)n;
}

void
control_serve(struct control *c, const struct control_command *commands, void *ctx)
{
	char *line = malloc(CONTROL_LINE_MAX);
	ssize_t n;

	while (line != NULL && (n = read_line(c, line)) != -1) {
		if (n == -2)
			control_event(c, "error", json_pack("{s:s}", "error", "request longer than 1 MiB ignored"));
		else if (n > 0 && !control_handle_line(c, line, (size_t)n, commands, ctx))
			break;
	}
	free(line);
}
