/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: whatever a trial's request says, it is refused by a sentence, or its frames can be built and every
 * flow of them stays inside the buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* control.c makes it printable. */
static void
require_sentence(const char *error)
{
	require(error[0] != '\0' && strlen(error) < TRIAL_ERROR_MAX);
}

/* Frames of some flows, the first and the last among them. */
static void
build_frames(const struct frame_request *r)
{
	static uint8_t buffer[FRAME_HEAD_MAX];
	struct frame f;
	char error[FRAME_ERROR_MAX] = "";

	if (frame_build(&f, r, error) != 0) {
		require_sentence(error);
		return;
	}
	require(f.stamp_offset + STAMP_BYTES <= FRAME_HEAD_MAX && f.images >= 1 && f.sizes == r->sizes);
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t flow = i < 7 ? (uint32_t)((uint64_t)r->flows * i / 7) : r->flows - 1;
		const struct frame_image *image = &f.image[f.sequence[i % f.sizes]];
		require(image->mbuf_bytes >= f.stamp_offset + STAMP_BYTES);
		memcpy(buffer, image->bytes, sizeof(buffer));
		frame_finish(&f, buffer, frame_set_flow(&f, image, buffer, flow));
	}
	frame_free(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trial trial;
	static struct request_files files;
	struct ports ports = {.count = 2, .ring_size = 1024, .queues = 2, .frame_max = FRAME_MAX_BYTES};
	char error[TRIAL_ERROR_MAX] = "";
	json_t *request = json_loadb((const char *)data, size, 0, NULL);

	if (!json_is_object(request)) {
		json_decref(request);
		return 0;
	}
	if (request_trial(&trial, &files, &ports, request, error) != 0)
		require_sentence(error);
	else
		for (uint32_t i = 0; i < trial.streams; i++)
			build_frames(&trial.stream[i].headers);
	json_decref(request);
	return 0;
}
