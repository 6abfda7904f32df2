/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: whatever line comes, it is answered by exactly one line: a JSON object with "ok", and either what was
 * asked for or a printable sentence.  The commands unpack their requests as those of our programs do.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
cmd_numbers(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	json_int_t epoch;
	double interval_s = 1;
	const char *name = "";
	int flag = 0;

	(void)ctx;
	if (control_unpack(request, error, "{s:I,s?F,s?s,s?b!}", "epoch", &epoch, "interval_s", &interval_s, "name",
			   &name, "flag", &flag) != 0)
		return -1;
	if (!(interval_s >= 0.001 && interval_s <= 3600)) {
		snprintf(error, CONTROL_ERROR_MAX, "interval_s of '%s': allowed is 0.001 to 3600", name);
		return -1;
	}
	json_object_set_new(reply, "epoch", json_integer(epoch));
	return json_object_set_new(reply, "name", json_string(name));
}

static int
cmd_streams(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	json_t *streams;
	json_t *stream;
	json_t *rx = NULL;
	json_int_t tx;
	size_t i;

	(void)ctx;
	if (control_unpack(request, error, "{s:o!}", "streams", &streams) != 0)
		return -1;
	json_array_foreach(streams, i, stream) {
		if (control_unpack(stream, error, "{s:I,s?o!}", "tx", &tx, "rx", &rx) != 0)
			return -1;
	}
	return json_object_set(reply, "streams", streams);
}

static const struct control_command commands[] = {
	{"numbers", "epoch, [interval_s, name, flag]", cmd_numbers},
	{"streams", "streams: [{tx, [rx]}]", cmd_streams},
	{.name = NULL},
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_reply(const char *text, size_t size)
{
	json_t *reply = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	json_t *ok = json_object_get(reply, "ok");
	const char *error = json_string_value(json_object_get(reply, "error"));

	require(size > 0 && memchr(text, '\n', size) == text + size - 1);
	require(json_is_boolean(ok));
	require(json_is_true(ok) == (error == NULL));
	for (; error != NULL && *error != '\0'; error++)
		require(*error >= ' ' && *error <= '~');
	json_decref(reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = NULL;
	size_t written = 0;
	struct control c = {.out = open_memstream(&text, &written)};
	char *line = malloc(size > 0 ? size : 1); /* of exactly its size, and without a zero at its end */

	if (c.out == NULL || line == NULL || size > CONTROL_LINE_MAX)
		abort();
	memcpy(line, data, size);
	control_handle_line(&c, line, size, commands, NULL);
	fclose(c.out);
	check_reply(text, written);
	free(text);
	free(line);
	return 0;
}
