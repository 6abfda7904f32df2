/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: whatever a capture file holds, it is loaded or refused with a sentence, and what is loaded keeps the
 * promises of replayfile.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replayfile.h"

#define MEMORY_MAX_BYTES 20000u /* within reach of a small file, so that its refusal is tried too */
#define FRAME_MAX_BYTES 9216u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_file(const struct replay_file *r)
{
	volatile uint8_t sum = 0;
	uint64_t bytes = 0;
	uint64_t last_ns = 0;

	require(r->frames > 0);
	for (uint32_t i = 0; i < r->frames; i++) {
		const struct replay_frame *f = &r->frame[i];
		require(f->bytes >= REPLAY_FRAME_MIN_BYTES && f->bytes <= FRAME_MAX_BYTES - 4);
		require(f->offset == bytes && f->time_ns >= last_ns);
		sum = sum ^ r->blob[f->offset] ^ r->blob[f->offset + f->bytes - 1];
		bytes += f->bytes;
		last_ns = f->time_ns;
	}
	require(r->frame[0].time_ns == 0 && r->span_ns == last_ns && r->bytes == bytes);
	require(bytes + r->frames * sizeof(struct replay_frame) <= MEMORY_MAX_BYTES);
	require(r->padded_count <= r->frames && r->disorder_count < r->frames);
	require(r->disorder_max_ns <= REPLAY_DISORDER_MAX_NS && (r->disorder_max_ns > 0) == (r->disorder_count > 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct replay_file r;
	char error[REPLAY_ERROR_MAX] = "";
	char path[64];
	int fd = memfd_create("replay", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (replay_load(&r, path, MEMORY_MAX_BYTES, FRAME_MAX_BYTES, error) == 0)
		check_file(&r);
	else
		require(error[0] != '\0' && r.frame == NULL && r.blob == NULL);
	replay_free(&r);
	close(fd);
	return 0;
}
