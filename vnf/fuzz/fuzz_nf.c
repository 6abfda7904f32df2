/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target of what nfs read: their arguments, and the headers of frames.
 * Input: the first byte is 0 for the text of an argument, else a frame in segments of one less than that.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "fakembuf.h"
#include "packet.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static void
read_word(const char *word)
{
	struct rte_ether_addr mac;
	struct port_range range;
	struct prefix p;
	uint64_t number;

	words_mac(word, &mac);
	if (words_number(word, 5, 4096, &number))
		require(number >= 5 && number <= 4096);
	if (words_ports(word, &range))
		require(range.low <= range.high);
	if (words_prefix(word, &p))
		require((p.version == 4 && p.bits <= 32) || (p.version == 6 && p.bits <= 128));
}

static void
read_text(const char *text)
{
	static const char *const colours[] = {"red", "green", NULL};
	uint64_t count = 5;
	uint64_t colour = 0;
	uint32_t address;
	const struct setting settings[] = {
		{.name = "count", .low = 5, .high = 4096, .value = &count},
		{.name = "colour", .choices = colours, .value = &colour},
		{.name = "address", .address = &address},
		{.name = NULL},
	};
	char error[NF_ERROR_MAX];
	unsigned int statements = 0;
	struct words w;
	int more;

	words_start(&w, text);
	while ((more = words_next(&w)) > 0) {
		statements++;
		require(w.count > 0 && w.count <= WORDS_MAX);
		for (unsigned int i = 0; i < w.count; i++)
			read_word(w.word[i]);
		words_refuse(&w, error, "a reason");
	}
	require(statements <= words_bound(text));
	if (words_settings(text, settings, error) == 0)
		require(count >= 5 && count <= 4096 && colour < 2);
}

/* Every header that is found lies in the first segment. */
static void
read_frame(struct rte_mbuf *m)
{
	const uint8_t *start = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *end = start + rte_pktmbuf_data_len(m);
	struct packet p;

	if (!packet_parse(m, &p))
		return;
	require(p.ip4 == NULL || (const uint8_t *)p.ip4 + rte_ipv4_hdr_len(p.ip4) <= end);
	require(p.ip6 == NULL || (const uint8_t *)(p.ip6 + 1) <= end);
	require(p.ip4 == NULL || p.ip6 == NULL);
	if (p.l4 == NULL)
		return;
	require(p.l4 + (p.protocol == IPPROTO_UDP ? 8 : 20) <= end);
	packet_fix_l4(&p, 1, 2, 3, 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > UINT16_MAX)
		return 0;
	if (data[0] == 0) {
		char *text = malloc(size);
		memcpy(text, data + 1, size - 1);
		text[size - 1] = '\0';
		read_text(text);
		free(text);
	} else {
		struct rte_mbuf *m = fake_mbuf(data + 1, (uint32_t)size - 1, data[0] - 1u);
		read_frame(m);
		fake_free(m);
	}
	return 0;
}
