/* SPDX-License-Identifier: BSD-3-Clause */
#include "bigmem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define MIB (UINT64_C(1) << 20)
#define LIMIT_NUMERATOR 7u
#define LIMIT_DENOMINATOR 8u

/* A number of our control group (cgroups(7), version 2); UINT64_MAX where there is none, or "max". */
static uint64_t
group_number(const char *name)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char group[2048] = "";
	char path[sizeof(group) + 64];
	unsigned long long value;
	uint64_t number = UINT64_MAX;

	if (file == NULL)
		return number;
	bool found = fscanf(file, "0::%2047s", group) == 1;
	fclose(file);
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", group, name);
	file = found ? fopen(path, "re") : NULL;
	if (file == NULL)
		return number;
	if (fscanf(file, "%llu", &value) == 1)
		number = value;
	fclose(file);
	return number;
}

static uint64_t
group_available(void)
{
	uint64_t limit = group_number("memory.max");
	uint64_t used = group_number("memory.current");

	if (limit == UINT64_MAX || used == UINT64_MAX)
		return UINT64_MAX;
	return used < limit ? limit - used : 0;
}

static uint64_t
machine_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib;
	uint64_t bytes = UINT64_MAX;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			bytes = (uint64_t)kib * 1024;
	}
	if (file != NULL)
		fclose(file);
	return bytes;
}

uint64_t
big_limit(void)
{
	uint64_t machine = machine_available();
	uint64_t group = group_available();
	uint64_t bytes = machine < group ? machine : group;

	return bytes == UINT64_MAX ? bytes : bytes / LIMIT_DENOMINATOR * LIMIT_NUMERATOR;
}

static size_t
round_up(size_t bytes)
{
	size_t page = bytes >= BIG_PAGE ? BIG_PAGE : (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* Address space for `bytes`, aligned to BIG_PAGE if they are that many.  MAP_FAILED if there is none. */
static void *
map_aligned(size_t bytes)
{
	size_t spare = bytes >= BIG_PAGE ? BIG_PAGE : 0;
	char *all = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (all == MAP_FAILED || spare == 0)
		return all;
	size_t before = (BIG_PAGE - (uintptr_t)all % BIG_PAGE) % BIG_PAGE;
	if (before > 0)
		munmap(all, before);
	if (spare > before)
		munmap(all + before + bytes, spare - before);
	return all + before;
}

/* Touches every page.  0, or the errno of the kernel that has none left. */
static int
populate(void *memory, size_t bytes)
{
	if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	memset(memory, 0, bytes); /* a kernel that does not know the advice */
	return 0;
}

void *
big_alloc(size_t bytes, const char *what, char error[BIG_ERROR_MAX])
{
	uint64_t limit = big_limit();
	int rc = ENOMEM;

	if (bytes > limit || bytes > SIZE_MAX - 2 * BIG_PAGE) {
		snprintf(error, BIG_ERROR_MAX, "%s needs %llu MiB: this machine has %llu MiB to give (7/8 of what is available)",
			 what, (unsigned long long)(bytes / MIB), (unsigned long long)(limit / MIB));
		return NULL;
	}
	size_t whole = round_up(bytes > 0 ? bytes : 1);
	void *memory = map_aligned(whole);
	if (memory != MAP_FAILED) {
		(void)madvise(memory, whole, MADV_HUGEPAGE); /* a wish: without it all works, more slowly */
		rc = populate(memory, whole);
		if (rc == 0)
			return memory;
		munmap(memory, whole);
	}
	snprintf(error, BIG_ERROR_MAX, "%s needs %llu MiB: %s", what, (unsigned long long)(bytes / MIB), strerror(rc));
	return NULL;
}

void
big_free(void *memory, size_t bytes)
{
	if (memory != NULL)
		munmap(memory, round_up(bytes > 0 ? bytes : 1));
}
