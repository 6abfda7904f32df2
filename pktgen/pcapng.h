/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Writes a pcapng file (draft-ietf-opsawg-pcapng) of Ethernet frames: one section, its interfaces, its packets.
 *
 * A writer of our own, since rte_pcapng takes its times from DPDK's estimate of the TSC's frequency, which is up to
 * 1866 ppm off in virtual machines (clock.h), and libpcap only reads this format.
 *
 * What is written grows in FILE.part, readable by its owner only; pcapng_finish() gives it its name.  So FILE is either
 * whole or not there.  Errors of writing are remembered and told by pcapng_finish().
 */
#ifndef VSW_PCAPNG_H
#define VSW_PCAPNG_H

#include <stdint.h>
#include <stdio.h>

#define PCAPNG_ERROR_MAX 256u

struct pcapng {
	FILE *stream;
	char *path;
	char *part; /* where it grows */
	int error;  /* errno of the first write that failed */
};

/* Starts FILE.part with a section that says that `program` wrote it; what an earlier run left there goes.
 * 0, or -1 with a sentence and nothing to finish. */
int pcapng_start(struct pcapng *p, const char *path, const char *program, char error[PCAPNG_ERROR_MAX]);

/* Describes the next interface, from 0: nanoseconds, frames cut at `snap_bytes` (0: never).  Before the first packet. */
void pcapng_interface(struct pcapng *p, const char *name, uint32_t snap_bytes);

/* Adds a packet of interface `interface`: `captured_bytes` at `data` of a frame of `original_bytes`, which came
 * time_ns after 1970-01-01 UTC. */
void pcapng_packet(struct pcapng *p, uint32_t interface, uint64_t time_ns, const void *data, uint32_t captured_bytes,
		   uint32_t original_bytes);

/* Completes the file and gives it its name.  0, or -1 with a sentence and nothing left behind. */
int pcapng_finish(struct pcapng *p, char error[PCAPNG_ERROR_MAX]);

/* Gives it up: nothing is left behind.  Accepts a zeroed struct. */
void pcapng_discard(struct pcapng *p);

#endif
