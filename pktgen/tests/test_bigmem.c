/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "bigmem.h"
#include "test.h"

/* Every byte is zero and writable, several at once do not overlap, at sizes around those of pages. */
static const char *
test_zeroed_and_apart(void)
{
	const size_t sizes[] = {0, 1, 4095, 4096, 4097, BIG_PAGE - 1, BIG_PAGE, BIG_PAGE + 1, 5 * BIG_PAGE - 7};
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	unsigned char *memory[COUNT];
	char error[BIG_ERROR_MAX] = "";

	for (unsigned int i = 0; i < COUNT; i++) {
		memory[i] = big_alloc(sizes[i], "a test", error);
		check(memory[i] != NULL, "%zu bytes: %s", sizes[i], error);
		uintptr_t alignment = sizes[i] >= BIG_PAGE ? BIG_PAGE : 4096;
		check((uintptr_t)memory[i] % alignment == 0, "%zu bytes at %p", sizes[i], (void *)memory[i]);
		for (size_t at = 0; at < sizes[i]; at++)
			check(memory[i][at] == 0, "%zu bytes: byte %zu is %u", sizes[i], at, memory[i][at]);
		memset(memory[i], (int)i + 1, sizes[i]);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			check(memory[i][at] == i + 1, "%zu bytes: byte %zu is %u", sizes[i], at, memory[i][at]);
		big_free(memory[i], sizes[i]);
	}
	big_free(NULL, 77);
	return NULL;
}

/* Resident pages of this process. */
static unsigned long
resident(void)
{
	unsigned long all = 0;
	unsigned long here = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file != NULL && fscanf(file, "%lu %lu", &all, &here) != 2)
		here = 0;
	if (file != NULL)
		fclose(file);
	return here;
}

/* The pages are there before they are used, and gone after big_free(). */
static const char *
test_pages_are_there(void)
{
	const size_t bytes = 32 << 20;
	char error[BIG_ERROR_MAX] = "";
	unsigned long before = resident();
	void *memory = big_alloc(bytes, "a test", error);

	check(memory != NULL, "%s", error);
	unsigned long during = resident();
	check(during >= before + bytes / 4096 * 9 / 10, "%lu pages before, %lu after", before, during);
	big_free(memory, bytes);
	unsigned long after = resident();
	check(after < before + bytes / 4096 / 10, "%lu pages before, %lu after it was given back", before, after);
	return NULL;
}

static const char *
test_too_much_is_refused(void)
{
	char error[BIG_ERROR_MAX] = "";
	uint64_t limit = big_limit();

	check(limit > 0 && limit < UINT64_MAX, "limit %" PRIu64, limit);
	check(big_alloc((size_t)limit * 2, "a test", error) == NULL, "twice the limit");
	check(strstr(error, "a test needs ") == error && strstr(error, "available") != NULL, "error '%s'", error);
	error[0] = '\0';
	check(big_alloc(SIZE_MAX - 5, "a test", error) == NULL, "all there is");
	check(error[0] != '\0', "no sentence");
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_zeroed_and_apart),
		TEST(test_pages_are_there),
		TEST(test_too_much_is_refused),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
