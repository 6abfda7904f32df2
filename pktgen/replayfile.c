/* SPDX-License-Identifier: BSD-3-Clause */
#include "replayfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pcap/pcap.h>
#include <rte_ether.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB 1048576.0
#define REGION_FIRST_BYTES (UINT64_C(2) << 20) /* one huge page */
#define NS_A_SECOND INT64_C(1000000000)

/* Zeroed memory that grows.  Pages that nobody has written cost nothing, so growing may be generous. */
struct region {
	uint8_t *memory;
	uint64_t mapped;
	uint64_t used;
};

struct loader {
	struct replay_file *file;
	const char *path;
	pcap_t *pcap;
	struct region frames;
	struct region blob;
	uint64_t memory_max_bytes;
	uint64_t need_bytes; /* frames and index; goes on being counted when it is more than allowed */
	uint64_t packets;    /* number of the packet at hand, from 1 */
	uint16_t length_max; /* without FCS */
	int64_t first_ns;
	int64_t last_ns;
	char *error;
};

/* Puts the sentence together; -1, for the caller to return. */
__attribute__((format(printf, 2, 3))) static int
refuse(struct loader *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->error, REPLAY_ERROR_MAX, format, args);
	va_end(args);
	return -1;
}

static bool
region_reserve(struct region *r, uint64_t more)
{
	uint64_t size = r->mapped > 0 ? r->mapped : REGION_FIRST_BYTES;
	void *memory;

	if (r->memory != NULL && r->used + more <= r->mapped)
		return true;
	while (size < r->used + more)
		size *= 2;
	if (r->memory == NULL)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		memory = mremap(r->memory, r->mapped, size, MREMAP_MAYMOVE);
	if (memory == MAP_FAILED)
		return false;
	madvise(memory, size, MADV_HUGEPAGE); /* fewer TLB misses; where it is refused, small pages do */
	r->memory = memory;
	r->mapped = size;
	return true;
}

/* Gives back what was reserved and not used. */
static void
region_trim(struct region *r)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t size = (r->used + page - 1) & ~(page - 1);

	if (size < r->mapped && munmap(r->memory + size, r->mapped - size) == 0)
		r->mapped = size;
}

static void
region_free(struct region *r)
{
	if (r->memory != NULL)
		munmap(r->memory, r->mapped);
	r->memory = NULL;
}

static int
too_large(struct loader *l, const char *about, uint64_t need_bytes)
{
	return refuse(l, "'%.100s' needs %s%.1f MiB of memory, allowed are %.1f MiB: cut the file (editcap -r), "
		      "or use a machine with more", l->path, about, (double)need_bytes / MIB, (double)l->memory_max_bytes / MIB);
}

/* A file that is opened only if it is one: opening a FIFO would wait for its writer. */
static FILE *
open_file(struct loader *l)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	FILE *stream = NULL;

	if (fd < 0 || fstat(fd, &status) != 0) {
		refuse(l, "capture file '%.100s' cannot be opened: %s", l->path, strerror(errno));
	} else if (!S_ISREG(status.st_mode)) {
		refuse(l, "'%.100s' is not a file: name a pcap or pcapng file", l->path);
	} else if ((uint64_t)status.st_size / 2 > l->memory_max_bytes) {
		/* what a pcapng file says beside frames is rarely half of it; a smaller one is counted exactly */
		too_large(l, "about ", (uint64_t)status.st_size);
	} else {
		stream = fdopen(fd, "r");
		if (stream == NULL)
			refuse(l, "capture file '%.100s' cannot be read: %s", l->path, strerror(errno));
	}
	if (stream == NULL && fd >= 0)
		close(fd);
	return stream;
}

static int
open_capture(struct loader *l)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	FILE *stream = open_file(l);

	if (stream == NULL)
		return -1;
	l->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (l->pcap == NULL) {
		fclose(stream);
		return refuse(l, "'%.80s' is not a pcap or pcapng file: %.100s", l->path, why);
	}
	int link = pcap_datalink(l->pcap);
	if (link != DLT_EN10MB) {
		const char *name = pcap_datalink_val_to_name(link);
		return refuse(l, "'%.100s' holds no Ethernet frames: its link type is %s (%d)", l->path,
			      name != NULL ? name : "unknown", link);
	}
	if (LT_FCS_LENGTH_PRESENT(pcap_datalink_ext(l->pcap)) && LT_FCS_LENGTH(pcap_datalink_ext(l->pcap)) > 0)
		return refuse(l, "the frames of '%.100s' end in a checksum (FCS): cut it off with editcap -C -4",
			      l->path);
	return 0;
}

/* When the packet came, from an epoch that only has to be the same for all.  libpcap hands on what the file says:
 * fractions of a second may be larger than one, and times may be anything. */
static int
read_time(struct loader *l, const struct pcap_pkthdr *h, int64_t *ns)
{
	if (h->ts.tv_sec < INT32_MIN || h->ts.tv_sec > UINT32_MAX || h->ts.tv_usec <= -NS_A_SECOND * 5000 ||
	    h->ts.tv_usec >= NS_A_SECOND * 5000)
		return refuse(l, "packet %" PRIu64 " of '%.100s' has no sensible time: %" PRId64 " s", l->packets,
			      l->path, (int64_t)h->ts.tv_sec);
	*ns = (int64_t)h->ts.tv_sec * NS_A_SECOND + h->ts.tv_usec; /* tv_usec: nanoseconds, as we asked */
	return 0;
}

/* The packet's time since the first, in order. */
static int
place_in_time(struct loader *l, const struct pcap_pkthdr *h, uint64_t *time_ns)
{
	struct replay_file *f = l->file;
	int64_t ns = 0;

	if (read_time(l, h, &ns) != 0)
		return -1;
	if (l->packets == 1)
		l->first_ns = l->last_ns = ns;
	if (ns < l->last_ns) {
		uint64_t back_ns = (uint64_t)(l->last_ns - ns);
		if (back_ns > REPLAY_DISORDER_MAX_NS)
			return refuse(l, "the time of packet %" PRIu64 " of '%.80s' goes back by %.6f s, allowed is "
				      "1 s: put the file in order with reordercap", l->packets, l->path,
				      (double)back_ns / 1e9);
		f->disorder_count++;
		if (back_ns > f->disorder_max_ns)
			f->disorder_max_ns = back_ns;
		ns = l->last_ns;
	}
	l->last_ns = ns;
	*time_ns = (uint64_t)(ns - l->first_ns);
	return 0;
}

static int
check_length(struct loader *l, const struct pcap_pkthdr *h)
{
	if (h->caplen < h->len)
		return refuse(l, "packet %" PRIu64 " of '%.80s' was cut off when it was captured: %u of %u bytes; "
			      "capture without a snap length (tcpdump -s 0)", l->packets, l->path, h->caplen, h->len);
	if (h->caplen < RTE_ETHER_HDR_LEN)
		return refuse(l, "packet %" PRIu64 " of '%.100s' has %u bytes, an Ethernet header alone has 14",
			      l->packets, l->path, h->caplen);
	if (h->caplen > l->length_max)
		return refuse(l, "packet %" PRIu64 " of '%.80s' has %u bytes, at most %u can be sent (%u with FCS): "
			      "allow larger frames, or leave it out", l->packets, l->path, h->caplen, l->length_max,
			      l->length_max + RTE_ETHER_CRC_LEN);
	return 0;
}

static int
add_packet(struct loader *l, const struct pcap_pkthdr *h, const uint8_t *data)
{
	struct replay_file *f = l->file;
	struct replay_frame frame = {.offset = l->blob.used};

	if (check_length(l, h) != 0 || place_in_time(l, h, &frame.time_ns) != 0)
		return -1;
	frame.bytes = (uint16_t)(h->caplen < REPLAY_FRAME_MIN_BYTES ? REPLAY_FRAME_MIN_BYTES : h->caplen);
	l->need_bytes += frame.bytes + sizeof(frame);
	if (l->need_bytes > l->memory_max_bytes)
		return 0; /* only counted on, for the sentence to name the need */
	if (f->frames == UINT32_MAX || !region_reserve(&l->blob, frame.bytes) ||
	    !region_reserve(&l->frames, sizeof(frame)))
		return refuse(l, "no memory for packet %" PRIu64 " of '%.100s'", l->packets, l->path);
	memcpy(l->blob.memory + l->blob.used, data, h->caplen);
	memcpy(l->frames.memory + l->frames.used, &frame, sizeof(frame));
	l->blob.used += frame.bytes;
	l->frames.used += sizeof(frame);
	f->frames++;
	f->bytes += frame.bytes;
	f->span_ns = frame.time_ns;
	f->padded_count += h->caplen < REPLAY_FRAME_MIN_BYTES;
	return 0;
}

static int
read_packets(struct loader *l)
{
	struct pcap_pkthdr *h;
	const uint8_t *data;
	int rc;

	for (l->packets = 1; (rc = pcap_next_ex(l->pcap, &h, &data)) == 1; l->packets++) {
		if (add_packet(l, h, data) != 0)
			return -1;
	}
	if (rc != PCAP_ERROR_BREAK) /* which is how pcap_next_ex() says end of file */
		return refuse(l, "packet %" PRIu64 " of '%.80s' cannot be read: %.100s", l->packets, l->path,
			      pcap_geterr(l->pcap));
	if (l->packets == 1)
		return refuse(l, "'%.100s' holds no packets", l->path);
	if (l->need_bytes > l->memory_max_bytes)
		return too_large(l, "", l->need_bytes);
	return 0;
}

int
replay_load(struct replay_file *r, const char *path, uint64_t memory_max_bytes, uint16_t frame_max_bytes,
	    char error[REPLAY_ERROR_MAX])
{
	struct loader l = {.file = r, .path = path, .memory_max_bytes = memory_max_bytes, .error = error};
	int rc = -1;

	memset(r, 0, sizeof(*r));
	l.length_max = frame_max_bytes > RTE_ETHER_CRC_LEN ? frame_max_bytes - RTE_ETHER_CRC_LEN : 0;
	if (open_capture(&l) == 0)
		rc = read_packets(&l);
	if (l.pcap != NULL)
		pcap_close(l.pcap); /* and the file with it */
	if (rc != 0) {
		region_free(&l.frames);
		region_free(&l.blob);
		memset(r, 0, sizeof(*r));
		return -1;
	}
	region_trim(&l.frames);
	region_trim(&l.blob);
	r->frame = (struct replay_frame *)l.frames.memory;
	r->frame_mapped = l.frames.mapped;
	r->blob = l.blob.memory;
	r->blob_mapped = l.blob.mapped;
	return 0;
}

void
replay_free(struct replay_file *r)
{
	if (r->frame != NULL)
		munmap(r->frame, r->frame_mapped);
	if (r->blob != NULL)
		munmap(r->blob, r->blob_mapped);
	memset(r, 0, sizeof(*r));
}
