/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A capture file (pcap or pcapng, read by libpcap) in memory, ready to be sent again: frames one after the other in one
 * block of memory, and when each of them came.
 *
 * The file is hostile until proven otherwise.  Refused: what is no capture of Ethernet frames, an empty one, frames that
 * the capture cut off, frames too short or too long to send, a time that goes back by more than REPLAY_DISORDER_MAX_NS.
 * Made good and counted: frames below the 60 bytes that Ethernet asks for (IEEE 802.3 3.2.8) are padded with zeros; a
 * time that goes back by less becomes the time before it (captures of several queues are not quite in order).
 */
#ifndef VSW_REPLAYFILE_H
#define VSW_REPLAYFILE_H

#include <stdint.h>

#define REPLAY_ERROR_MAX 256u
#define REPLAY_FRAME_MIN_BYTES 60u                   /* without FCS */
#define REPLAY_DISORDER_MAX_NS UINT64_C(1000000000) /* more is no disorder but a clock that was set, or files joined */

struct replay_frame {
	uint64_t offset;  /* of its first byte in `blob` */
	uint64_t time_ns; /* since the first frame; never less than that of the frame before */
	uint16_t bytes;   /* without FCS, padding included */
};

struct replay_file {
	struct replay_frame *frame; /* [frames] */
	uint8_t *blob;
	uint32_t frames;
	uint64_t bytes;             /* of all frames, without FCS */
	uint64_t span_ns;           /* from the first frame to the last */
	uint32_t padded_count;      /* frames that were shorter than REPLAY_FRAME_MIN_BYTES */
	uint32_t disorder_count;    /* frames earlier than one before them */
	uint64_t disorder_max_ns;   /* how much earlier at most */
	uint64_t frame_mapped;      /* bytes of memory behind `frame` and `blob` */
	uint64_t blob_mapped;
};

/* Loads the file at `path`.  `memory_max_bytes` bounds frames and their index together; `frame_max_bytes` is the
 * largest frame that may be sent, FCS included as everywhere (a capture file holds none).
 * 0, or -1 with a sentence and nothing allocated.  On success the caller owes replay_free(). */
int replay_load(struct replay_file *r, const char *path, uint64_t memory_max_bytes, uint16_t frame_max_bytes,
		char error[REPLAY_ERROR_MAX]);

/* Accepts a zeroed struct. */
void replay_free(struct replay_file *r);

#endif
