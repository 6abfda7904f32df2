/* SPDX-License-Identifier: BSD-3-Clause */
#include "pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STREAM_BUFFER_BYTES (UINT32_C(1) << 18)

/* section numbers are those of the draft */
#define BLOCK_SECTION UINT32_C(0x0a0d0d0a) /* 4.1 */
#define BLOCK_INTERFACE UINT32_C(1)        /* 4.2 */
#define BLOCK_PACKET UINT32_C(6)           /* 4.3, enhanced */
#define BYTE_ORDER_MAGIC UINT32_C(0x1a2b3c4d)
#define LINKTYPE_ETHERNET 1u
#define OPTION_END 0u
#define OPTION_SECTION_APPLICATION 4u
#define OPTION_INTERFACE_NAME 2u
#define OPTION_INTERFACE_RESOLUTION 9u
#define RESOLUTION_NANOSECONDS 9 /* 10^-9 s */

struct option_header {
	uint16_t code;
	uint16_t bytes;
};

/* Everything in a block starts at a multiple of four. */
static uint32_t
padded(uint32_t bytes)
{
	return (bytes + 3) & ~UINT32_C(3);
}

static void
put(struct pcapng *p, const void *data, uint32_t bytes)
{
	static const uint8_t zeros[4];
	uint32_t padding = padded(bytes) - bytes;

	if (p->error != 0)
		return;
	if (fwrite(data, 1, bytes, p->stream) != bytes || fwrite(zeros, 1, padding, p->stream) != padding)
		p->error = errno != 0 ? errno : EIO;
}

/* A block whose body is `parts`, each padded by itself. */
static void
put_block(struct pcapng *p, uint32_t type, const struct iovec *parts, int count)
{
	uint32_t total = 3 * sizeof(uint32_t); /* type, and the length at either end */

	for (int i = 0; i < count; i++)
		total += padded((uint32_t)parts[i].iov_len);
	put(p, &type, sizeof(type));
	put(p, &total, sizeof(total));
	for (int i = 0; i < count; i++)
		put(p, parts[i].iov_base, (uint32_t)parts[i].iov_len);
	put(p, &total, sizeof(total));
}

static struct iovec
part_of(const void *data, size_t bytes)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
}

int
pcapng_start(struct pcapng *p, const char *path, const char *program, char error[PCAPNG_ERROR_MAX])
{
	const struct {
		uint32_t magic;
		uint16_t version[2];
		int64_t section_bytes; /* -1: up to the end of the file */
	} section = {.magic = BYTE_ORDER_MAGIC, .version = {1, 0}, .section_bytes = -1};
	const struct option_header application = {OPTION_SECTION_APPLICATION, (uint16_t)strnlen(program, UINT16_MAX)};
	const struct option_header end = {OPTION_END, 0};
	int fd;

	memset(p, 0, sizeof(*p));
	p->path = strdup(path);
	if (p->path == NULL || asprintf(&p->part, "%s.part", path) < 0) {
		p->part = NULL;
		pcapng_discard(p);
		snprintf(error, PCAPNG_ERROR_MAX, "no memory for a capture file");
		return -1;
	}
	unlink(p->part);
	fd = open(p->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	p->stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (p->stream == NULL) {
		snprintf(error, PCAPNG_ERROR_MAX, "capture file '%.120s' cannot be written: %s", p->part,
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		pcapng_discard(p);
		return -1;
	}
	setvbuf(p->stream, NULL, _IOFBF, STREAM_BUFFER_BYTES);
	put_block(p, BLOCK_SECTION,
		  (const struct iovec[]){part_of(&section, sizeof(section)), part_of(&application, sizeof(application)),
					 part_of(program, application.bytes), part_of(&end, sizeof(end))}, 4);
	return 0;
}

void
pcapng_interface(struct pcapng *p, const char *name, uint32_t snap_bytes)
{
	const struct {
		uint16_t link;
		uint16_t reserved;
		uint32_t snap_bytes;
	} interface = {.link = LINKTYPE_ETHERNET, .snap_bytes = snap_bytes};
	const struct option_header called = {OPTION_INTERFACE_NAME, (uint16_t)strnlen(name, UINT16_MAX)};
	const struct option_header resolution = {OPTION_INTERFACE_RESOLUTION, 1};
	const uint8_t nanoseconds = RESOLUTION_NANOSECONDS;
	const struct option_header end = {OPTION_END, 0};

	put_block(p, BLOCK_INTERFACE,
		  (const struct iovec[]){part_of(&interface, sizeof(interface)), part_of(&called, sizeof(called)),
					 part_of(name, called.bytes), part_of(&resolution, sizeof(resolution)),
					 part_of(&nanoseconds, 1), part_of(&end, sizeof(end))}, 6);
}

void
pcapng_packet(struct pcapng *p, uint32_t interface, uint64_t time_ns, const void *data, uint32_t captured_bytes,
	      uint32_t original_bytes)
{
	const uint32_t packet[] = {interface, (uint32_t)(time_ns >> 32), (uint32_t)time_ns, captured_bytes,
				   original_bytes};

	put_block(p, BLOCK_PACKET,
		  (const struct iovec[]){part_of(packet, sizeof(packet)), part_of(data, captured_bytes)}, 2);
}

/* Closes the file; errno of what went wrong, or 0. */
static int
close_stream(struct pcapng *p)
{
	int why = p->error;

	errno = 0;
	if (p->stream != NULL && fclose(p->stream) != 0 && why == 0)
		why = errno != 0 ? errno : EIO;
	p->stream = NULL;
	return why;
}

int
pcapng_finish(struct pcapng *p, char error[PCAPNG_ERROR_MAX])
{
	int why = close_stream(p);

	if (why == 0 && rename(p->part, p->path) != 0)
		why = errno;
	if (why != 0) {
		snprintf(error, PCAPNG_ERROR_MAX, "capture file '%.120s' could not be written: %s", p->path,
			 strerror(why));
		pcapng_discard(p);
		return -1;
	}
	free(p->part);
	free(p->path);
	memset(p, 0, sizeof(*p));
	return 0;
}

void
pcapng_discard(struct pcapng *p)
{
	if (p->stream != NULL)
		close_stream(p);
	if (p->part != NULL)
		unlink(p->part);
	free(p->part);
	free(p->path);
	memset(p, 0, sizeof(*p));
}
