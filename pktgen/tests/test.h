/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Minimal unit tests.  A test is `static const char *test_x(void)`: NULL if it passes, else where it failed.
 * Random numbers follow from one seed, which is printed: VSW_TEST_SEED or the first argument repeats a run. */
#ifndef VSW_TEST_H
#define VSW_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEST(fn) {#fn, fn}
#define TEST_TEXT_(x) #x
#define TEST_TEXT(x) TEST_TEXT_(x)

/* Ends the test if `condition` does not hold; the rest says with which values, as for printf. */
#define check(condition, ...)                                                                                  \
	do {                                                                                                   \
		if (!(condition)) {                                                                            \
			fprintf(stderr, "  " __VA_ARGS__);                                                     \
			fputc('\n', stderr);                                                                   \
			return __FILE__ ":" TEST_TEXT(__LINE__) ": " #condition;                               \
		}                                                                                              \
	} while (0)

struct test {
	const char *name;
	const char *(*run)(void);
};

static uint64_t test_random_state;

static inline uint64_t
test_random(void) /* splitmix64 */
{
	uint64_t z = test_random_state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint64_t
test_below(uint64_t n) /* 0..n-1, uniform enough */
{
	return test_random() % n;
}

static inline int
test_main(int argc, char **argv, const struct test *tests) /* `tests` ends with a NULL name */
{
	const char *given = argc > 1 ? argv[1] : getenv("VSW_TEST_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	int failed = 0;

	printf("VSW_TEST_SEED=%" PRIu64 "\n", seed);
	for (; tests->name != NULL; tests++) {
		test_random_state = seed; /* so that a test alone does what it does among others */
		const char *why = tests->run();
		printf("%s %s %s\n", why == NULL ? "ok  " : "FAIL", tests->name, why == NULL ? "" : why);
		failed += why != NULL;
	}
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
