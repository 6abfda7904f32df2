/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Seeded random numbers for the data path: splitmix64 (Steele, Lea, Flood 2014), one multiplication chain a number, so
 * that a seed gives the same traffic on every machine.
 */
#ifndef VSW_RANDOM_H
#define VSW_RANDOM_H

#include <stdint.h>

static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0..n-1 from 32 random bits (Lemire's multiplication; the bias is below n / 2^32). */
static inline uint32_t
random_scale(uint32_t bits, uint32_t n)
{
	return (uint32_t)((uint64_t)bits * n >> 32);
}

/* A seed for one use, number `branch`, of a request's seed: numbers of different branches know nothing of each other.  Sums
 * of seeds will not do: seed + k * the increment above gives the same numbers, k later. */
static inline uint64_t
random_branch(uint64_t seed, uint64_t branch)
{
	uint64_t state = seed;

	state = random_next(&state) ^ branch;
	return random_next(&state);
}

/* In (0, 1]. */
static inline double
random_unit(uint64_t *state)
{
	return (double)((random_next(state) >> 11) + 1) * 0x1p-53;
}

#endif
