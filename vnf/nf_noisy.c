/* SPDX-License-Identifier: BSD-3-Clause
 *
 * noisy: a neighbour that works hard: for every packet it changes `accesses` random cache lines of `memory_kib` KiB,
 * and then computes for `cycles` TSC cycles.  Packets are forwarded untouched.
 *
 * The lines are chosen by a generator that needs no memory, so what they cost is what the caches and memory cost.
 */
#include <rte_cycles.h>
#include <rte_pause.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf.h"
#include "words.h"

extern const struct nf nf_noisy;

#define LINE_BYTES 64u
#define MEMORY_KIB_MAX (4u << 20)

static uint64_t *memory; /* [lines * 8] */
static uint64_t lines;
static uint64_t accesses;
static uint64_t cycles;
static uint64_t state; /* of xorshift64* (Marsaglia 2003, Vigna 2016) */

static int
noisy_init(const char *arg, char *error)
{
	uint64_t memory_kib = 1024;
	const struct setting settings[] = {
		{.name = "memory_kib", .low = 1, .high = MEMORY_KIB_MAX, .value = &memory_kib},
		{.name = "accesses", .low = 0, .high = 1000000, .value = &accesses},
		{.name = "cycles", .low = 0, .high = 1000000000, .value = &cycles},
		{.name = NULL},
	};

	accesses = 8;
	cycles = 0;
	state = UINT64_C(0x9e3779b97f4a7c15);
	if (words_settings(arg, settings, error) != 0)
		return -1;
	lines = memory_kib * 1024 / LINE_BYTES;
	memory = aligned_alloc(LINE_BYTES, lines * LINE_BYTES);
	if (memory == NULL) {
		snprintf(error, NF_ERROR_MAX, "no memory for %llu KiB", (unsigned long long)memory_kib);
		return -1;
	}
	memset(memory, 1, lines * LINE_BYTES); /* no page faults later */
	return 0;
}

static inline uint64_t
next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline void
disturb(void)
{
	for (uint64_t i = 0; i < accesses; i++) {
		uint64_t line = (uint64_t)((unsigned __int128)next_random() * lines >> 64);
		memory[line * (LINE_BYTES / sizeof(*memory))]++;
	}
	if (cycles > 0) {
		uint64_t end_tsc = rte_rdtsc() + cycles;
		while (rte_rdtsc() < end_tsc)
			rte_pause();
	}
}

static uint16_t
noisy_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	(void)side;
	(void)pkts;
	(void)drop;
	for (uint16_t i = 0; i < n; i++)
		disturb();
	return 0;
}

static void
noisy_fini(void)
{
	free(memory);
	memory = NULL;
}

const struct nf nf_noisy = {
	.name = "noisy",
	.help = "[memory_kib N; accesses N; cycles N]: change random cache lines and compute for every packet",
	.init = noisy_init,
	.process = noisy_process,
	.fini = noisy_fini,
};
