/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Chosen received frames, kept on the data path in memory that was there before, written as a pcapng file afterwards.
 *
 * Of the frames that match the filter (all, if there is none) every `every`-th is kept, beginning with the first, until
 * `first` frames are kept; from then on a burst costs one comparison.  One capture may be fed by several workers, each
 * into a part of its own: each part then counts `every` by itself, and of all that the parts kept the file has the
 * `first` that came first.
 *
 * A frame's time is that of its burst: the TSC, in nanoseconds of clock.h (as all our figures) since the capture was
 * opened, plus CLOCK_REALTIME at that moment.  Interface n of the file is port n.
 *
 * The control thread opens and closes; between the two each part belongs to one worker.
 */
#ifndef VSW_CAPTURE_H
#define VSW_CAPTURE_H

#include <pcap/pcap.h>
#include <rte_branch_prediction.h>
#include <rte_mbuf.h>
#include <stdint.h>

#include "pcapng.h"

#define CAPTURE_ERROR_MAX 256u
#define CAPTURE_PARTS_MAX 32u
#define CAPTURE_FRAME_MAX_BYTES 9212u /* without FCS; of a longer frame no more is kept */

struct capture_part {
	uint32_t left; /* frames that may still be kept; 0: done */
	uint32_t every;
	uint32_t skip; /* frames that match, to let go before the next is kept */
	uint32_t snap_bytes;
	const struct bpf_program *filter; /* NULL: every frame matches */
	uint8_t *buffer;                  /* records, one after the other, in order of time */
	uint64_t used;
	uint32_t kept_count;
	uint16_t port_max;                        /* greatest port of a kept frame */
	uint8_t scratch[CAPTURE_FRAME_MAX_BYTES]; /* where a frame of several segments is put together */
} __rte_cache_aligned;

struct capture {
	struct capture_part *part; /* [parts] */
	unsigned int parts;
	uint32_t first;
	uint32_t captured_count; /* frames in the file; set by capture_close() */
	uint64_t part_bytes;     /* of each part's buffer */
	struct bpf_program filter;
	struct pcapng file;
	uint64_t start_tsc; /* the same moment on both clocks */
	uint64_t start_real_ns;
};

/* Prepares a capture into the file at `path` for `parts` workers, and starts to write the file.
 * `filter`: pcap-filter(7), compiled for Ethernet, or NULL; names of hosts in it are looked up, so use addresses.
 * `snap_bytes`: how much of a frame is kept at most.  `memory_max_bytes` bounds the buffers of all parts together, which
 * are touched here, so that the data path meets no page fault.
 * 0, or -1 with a sentence and nothing to close.  On success the caller owes capture_close() or capture_discard(). */
int capture_open(struct capture *c, const char *path, unsigned int parts, uint32_t first, uint32_t every,
		 const char *filter, uint32_t snap_bytes, uint64_t memory_max_bytes, char error[CAPTURE_ERROR_MAX]);

/* What capture_burst() does while the part is not done. */
void capture_keep(struct capture_part *p, uint16_t port, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc);

/* Looks at `n` frames that port `port` received at `now_tsc`, which never goes back; keeps copies, frees nothing. */
static inline void
capture_burst(struct capture_part *p, uint16_t port, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	if (unlikely(p->left > 0))
		capture_keep(p, port, pkts, n, now_tsc);
}

/* Writes the file and frees everything; `captured_count` stays.  No worker may feed it any more.
 * 0, or -1 with a sentence and no file. */
int capture_close(struct capture *c, char error[CAPTURE_ERROR_MAX]);

/* Frees everything, leaves no file.  Accepts a zeroed struct, and one that is closed. */
void capture_discard(struct capture *c);

#endif
