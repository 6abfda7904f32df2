/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The replay loader as a program, for test_replayfile.py: loads FILE and prints what it holds as one JSON object.
 *   test_replayfile FILE MEMORY_MAX_BYTES FRAME_MAX_BYTES
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "replayfile.h"

static json_t *
hex(const uint8_t *bytes, size_t n)
{
	char *text = malloc(2 * n + 1);
	json_t *string;

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	string = json_stringn(text, 2 * n);
	free(text);
	return string;
}

static json_t *
file_json(const struct replay_file *r)
{
	json_t *frames = json_array();

	for (uint32_t i = 0; i < r->frames; i++)
		json_array_append_new(frames, json_pack("[I,o]", (json_int_t)r->frame[i].time_ns,
							hex(r->blob + r->frame[i].offset, r->frame[i].bytes)));
	return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:o}", "ok", 1, "bytes", (json_int_t)r->bytes, "span_ns",
			 (json_int_t)r->span_ns, "padded_count", (json_int_t)r->padded_count, "disorder_count",
			 (json_int_t)r->disorder_count, "disorder_max_ns", (json_int_t)r->disorder_max_ns, "frames",
			 frames);
}

/* What must be so whatever the file held: nothing is allocated after a refusal, and freeing twice is harmless. */
static void
free_twice(struct replay_file *r)
{
	static const struct replay_file nothing;

	for (int i = 0; i < 2; i++) {
		replay_free(r);
		if (memcmp(r, &nothing, sizeof(*r)) != 0)
			abort();
	}
}

int
main(int argc, char **argv)
{
	struct replay_file r;
	char error[REPLAY_ERROR_MAX] = "";
	json_t *reply;

	if (argc != 4) {
		fprintf(stderr, "usage: %s FILE MEMORY_MAX_BYTES FRAME_MAX_BYTES\n", argv[0]);
		return 2;
	}
	memset(&r, 0xff, sizeof(r));
	if (replay_load(&r, argv[1], strtoull(argv[2], NULL, 0), (uint16_t)strtoul(argv[3], NULL, 0), error) == 0)
		reply = file_json(&r);
	else
		reply = json_pack("{s:b,s:s}", "ok", 0, "error", error);
	json_dumpf(reply, stdout, JSON_COMPACT);
	json_decref(reply);
	free_twice(&r);
	return EXIT_SUCCESS;
}
