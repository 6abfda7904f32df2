/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Received frames without DPDK running: mbufs whose segments each have memory of exactly their size, so that the address
 * sanitizer sees any byte read beside a frame. */
#ifndef VSW_FAKEMBUF_H
#define VSW_FAKEMBUF_H

#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

static inline struct rte_mbuf *
fake_segment(const uint8_t *data, uint16_t bytes)
{
	struct rte_mbuf *m = calloc(1, sizeof(*m));
	void *buffer = malloc(bytes > 0 ? bytes : 1);

	if (m == NULL || buffer == NULL)
		abort();
	memcpy(buffer, data, bytes);
	m->buf_addr = buffer;
	m->buf_len = m->data_len = bytes;
	m->pkt_len = bytes;
	m->nb_segs = 1;
	return m;
}

/* A frame of `bytes` at `data`, in segments of `segment_bytes` (0: one). */
static inline struct rte_mbuf *
fake_mbuf(const uint8_t *data, uint32_t bytes, uint16_t segment_bytes)
{
	uint32_t step = segment_bytes > 0 ? segment_bytes : UINT16_MAX;
	struct rte_mbuf *first = fake_segment(data, (uint16_t)RTE_MIN(step, bytes));
	struct rte_mbuf *last = first;

	for (uint32_t at = step; at < bytes; at += step) {
		last->next = fake_segment(data + at, (uint16_t)RTE_MIN(step, bytes - at));
		last = last->next;
		first->nb_segs++;
	}
	first->pkt_len = bytes;
	return first;
}

static inline void
fake_free(struct rte_mbuf *m)
{
	while (m != NULL) {
		struct rte_mbuf *next = m->next;
		free(m->buf_addr);
		free(m);
		m = next;
	}
}

#endif
