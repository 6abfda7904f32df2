/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"

#define MIB 1048576.0
#define PCAP_WHOLE_FRAME 262144 /* what a filter says of a frame that matches; any number but 0 */

struct record {
	uint64_t tsc;
	uint32_t original_bytes;
	uint16_t captured_bytes;
	uint16_t port;
};

/* Records start at multiples of 8. */
static uint64_t
record_bytes(uint32_t captured_bytes)
{
	return sizeof(struct record) + ((captured_bytes + UINT64_C(7)) & ~UINT64_C(7));
}

static int
compile_filter(struct capture *c, const char *filter, char error[CAPTURE_ERROR_MAX])
{
	pcap_t *ethernet = pcap_open_dead(DLT_EN10MB, PCAP_WHOLE_FRAME);
	int rc = -1;

	if (ethernet == NULL) {
		snprintf(error, CAPTURE_ERROR_MAX, "no memory for a capture filter");
		return -1;
	}
	rc = pcap_compile(ethernet, &c->filter, filter, 1, PCAP_NETMASK_UNKNOWN);
	if (rc != 0)
		snprintf(error, CAPTURE_ERROR_MAX, "capture filter '%.80s' is none of pcap-filter(7): %.120s", filter,
			 pcap_geterr(ethernet));
	pcap_close(ethernet);
	return rc != 0 ? -1 : 0;
}

static int
allocate(struct capture *c, uint32_t snap_bytes, uint64_t memory_max_bytes, char error[CAPTURE_ERROR_MAX])
{
	c->part_bytes = c->first * record_bytes(snap_bytes);
	if (c->part_bytes > memory_max_bytes / c->parts) {
		snprintf(error, CAPTURE_ERROR_MAX,
			 "a capture of %" PRIu32 " frames of up to %" PRIu32 " bytes by %u workers needs %.1f MiB of "
			 "memory, allowed are %.1f MiB: ask for less of \"first\" or \"snap_bytes\"",
			 c->first, snap_bytes, c->parts, (double)c->part_bytes * c->parts / MIB,
			 (double)memory_max_bytes / MIB);
		return -1;
	}
	c->part = aligned_alloc(RTE_CACHE_LINE_SIZE, c->parts * sizeof(*c->part));
	if (c->part != NULL)
		memset(c->part, 0, c->parts * sizeof(*c->part));
	for (unsigned int i = 0; c->part != NULL && i < c->parts; i++) {
		void *buffer = mmap(NULL, c->part_bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (buffer == MAP_FAILED)
			break;
		c->part[i].buffer = buffer;
	}
	if (c->part != NULL && c->part[c->parts - 1].buffer != NULL)
		return 0;
	snprintf(error, CAPTURE_ERROR_MAX, "no memory for a capture of %" PRIu32 " frames", c->first);
	return -1;
}

static bool
allowed(unsigned int parts, uint32_t first, uint32_t every, uint32_t snap_bytes)
{
	return parts >= 1 && parts <= CAPTURE_PARTS_MAX && first >= 1 && every >= 1 && snap_bytes >= 1;
}

int
capture_open(struct capture *c, const char *path, unsigned int parts, uint32_t first, uint32_t every,
	     const char *filter, uint32_t snap_bytes, uint64_t memory_max_bytes, char error[CAPTURE_ERROR_MAX])
{
	uint32_t snap = RTE_MIN(snap_bytes, CAPTURE_FRAME_MAX_BYTES);

	memset(c, 0, sizeof(*c));
	if (!allowed(parts, first, every, snap_bytes)) {
		snprintf(error, CAPTURE_ERROR_MAX,
			 "capture: allowed is at least 1 of \"first\", \"every\" and \"snap_bytes\", and 1 to %u workers",
			 CAPTURE_PARTS_MAX);
		return -1;
	}
	c->parts = parts;
	c->first = first;
	if ((filter != NULL && compile_filter(c, filter, error) != 0) ||
	    allocate(c, snap, memory_max_bytes, error) != 0 ||
	    pcapng_start(&c->file, path, "vswbench " VSW_VERSION, error) != 0) {
		capture_discard(c);
		return -1;
	}
	for (unsigned int i = 0; i < parts; i++) {
		c->part[i].left = first;
		c->part[i].every = every;
		c->part[i].snap_bytes = snap;
		c->part[i].filter = filter != NULL ? &c->filter : NULL;
	}
	struct clock_instant start = clock_now_on(CLOCK_REALTIME);
	c->start_tsc = start.tsc;
	c->start_real_ns = start.ns;
	return 0;
}

static bool
matches(const struct capture_part *p, const void *data, uint32_t bytes, uint32_t original_bytes)
{
	const struct pcap_pkthdr header = {.caplen = bytes, .len = original_bytes};

	return p->filter == NULL || pcap_offline_filter(p->filter, &header, data) != 0;
}

static void
keep_one(struct capture_part *p, uint16_t port, const struct rte_mbuf *m, uint64_t now_tsc)
{
	uint32_t original = rte_pktmbuf_pkt_len(m);
	uint32_t bytes = RTE_MIN(original, CAPTURE_FRAME_MAX_BYTES);
	const void *data = rte_pktmbuf_read(m, 0, bytes, p->scratch);

	if (data == NULL || !matches(p, data, bytes, original))
		return;
	if (p->skip > 0) {
		p->skip--;
		return;
	}
	bytes = RTE_MIN(bytes, p->snap_bytes);
	const struct record r = {.tsc = now_tsc, .original_bytes = original, .captured_bytes = (uint16_t)bytes,
				 .port = port};
	memcpy(p->buffer + p->used, &r, sizeof(r));
	memcpy(p->buffer + p->used + sizeof(r), data, bytes);
	p->used += record_bytes(bytes);
	p->port_max = RTE_MAX(p->port_max, port);
	p->kept_count++;
	p->skip = p->every - 1;
	p->left--;
}

void
capture_keep(struct capture_part *p, uint16_t port, struct rte_mbuf **pkts, uint16_t n, uint64_t now_tsc)
{
	for (uint16_t i = 0; i < n && p->left > 0; i++)
		keep_one(p, port, pkts[i], now_tsc);
}

static uint64_t
real_ns(const struct capture *c, uint64_t tsc)
{
	if (tsc >= c->start_tsc)
		return c->start_real_ns + clock_ns(tsc - c->start_tsc);
	return c->start_real_ns - clock_ns(c->start_tsc - tsc); /* TSCs of two cores may differ by some ticks */
}

/* The part whose next record is the earliest; NULL if all are at their ends. */
static struct capture_part *
earliest(struct capture *c, const uint64_t *at, struct record *record)
{
	struct capture_part *best = NULL;

	for (unsigned int i = 0; i < c->parts; i++) {
		struct record r;
		if (at[i] == c->part[i].used)
			continue;
		memcpy(&r, c->part[i].buffer + at[i], sizeof(r));
		if (best == NULL || r.tsc < record->tsc) {
			best = &c->part[i];
			*record = r;
		}
	}
	return best;
}

static void
write_interfaces(struct capture *c)
{
	char name[32];
	uint16_t last = 0;

	for (unsigned int i = 0; i < c->parts; i++)
		last = RTE_MAX(last, c->part[i].port_max);
	for (unsigned int port = 0; port <= last; port++) {
		snprintf(name, sizeof(name), "port %u", port);
		pcapng_interface(&c->file, name, c->part[0].snap_bytes);
	}
}

static uint32_t
write_packets(struct capture *c)
{
	uint64_t at[CAPTURE_PARTS_MAX] = {0};
	struct record r = {0};
	struct capture_part *p;
	uint32_t n;

	for (n = 0; n < c->first && (p = earliest(c, at, &r)) != NULL; n++) {
		uint64_t *here = &at[p - c->part];
		pcapng_packet(&c->file, r.port, real_ns(c, r.tsc), p->buffer + *here + sizeof(r), r.captured_bytes,
			      r.original_bytes);
		*here += record_bytes(r.captured_bytes);
	}
	return n;
}

int
capture_close(struct capture *c, char error[CAPTURE_ERROR_MAX])
{
	uint32_t written;
	int rc;

	write_interfaces(c);
	written = write_packets(c);
	rc = pcapng_finish(&c->file, error);
	capture_discard(c);
	c->captured_count = rc == 0 ? written : 0;
	return rc;
}

void
capture_discard(struct capture *c)
{
	uint32_t captured_count = c->captured_count;

	for (unsigned int i = 0; c->part != NULL && i < c->parts; i++) {
		if (c->part[i].buffer != NULL)
			munmap(c->part[i].buffer, c->part_bytes);
	}
	free(c->part);
	pcap_freecode(&c->filter); /* does nothing to a zeroed one */
	pcapng_discard(&c->file);
	memset(c, 0, sizeof(*c));
	c->captured_count = captured_count;
}
