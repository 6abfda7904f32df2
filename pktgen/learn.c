/* SPDX-License-Identifier: BSD-3-Clause */
#include "learn.h"

#include <rte_cycles.h>
#include <stdio.h>

#include "burst.h"
#include "clock.h"

#define PATIENCE_S 1.0

/* The frame that shows where the destination of `r` is: the same headers the other way round, as small as they get, one
 * for each destination MAC address. */
static struct frame_request
reversed(const struct frame_request *r)
{
	struct frame_request back = *r;

	back.src_mac = r->dst_mac;
	back.dst_mac = r->src_mac;
	memcpy(back.src_ip, r->dst_ip, sizeof(back.src_ip));
	memcpy(back.dst_ip, r->src_ip, sizeof(back.dst_ip));
	back.fields = 1;
	back.field[0] = FIELD_SRC_MAC;
	back.flows = frame_values(r, FIELD_DST_MAC);
	back.sizes = 1;
	for (unsigned int i = 1; i < r->sizes; i++)
		back.size[0] = RTE_MIN(back.size[0], r->size[i]);
	return back;
}

/* Takes in and drops what came to our ports, so that none stands full of the frames that we send. */
static void
empty_ports(const struct ports *ports)
{
	struct rte_mbuf *pkts[TRIAL_BURST];

	for (uint16_t port = 0; port < ports->count; port++) {
		for (uint16_t q = 0; q < ports->queues; q++)
			burst_free(pkts, rte_eth_rx_burst(port, q, pkts, TRIAL_BURST));
	}
}

/* Sends `m`.  False, and it is still ours, if the port does not take it. */
static bool
send_one(const struct ports *ports, uint16_t port, struct rte_mbuf *m)
{
	uint64_t end = rte_rdtsc() + clock_ticks(PATIENCE_S);

	while (rte_eth_tx_burst(port, 0, &m, 1) == 0) {
		if (rte_rdtsc() > end)
			return false;
		empty_ports(ports);
		idle_wait(IDLE_YIELD); /* who empties the port may share our CPU */
	}
	return true;
}

static int
teach(struct learning *l, const struct stream *s, const struct frame *f, uint32_t flows)
{
	struct rte_mempool *pool = l->trial->ports->rx_pool; /* its buffers need not be zeros */
	const struct frame_image *image = f->image;

	for (uint64_t i = 0; i < (uint64_t)l->count * flows; i++) {
		const uint32_t flow = (uint32_t)(i % flows);
		struct rte_mbuf *m;
		uint64_t sum;
		if (burst_alloc(pool, &m, 1) != 0)
			return -1;
		uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
		m->data_len = image->mbuf_bytes;
		m->pkt_len = image->mbuf_bytes;
		memset(p, 0, image->mbuf_bytes);
		memcpy(p, image->bytes, RTE_MIN((size_t)image->mbuf_bytes, sizeof(image->bytes)));
		sum = f->varies > 0 ? frame_set_flow(f, image, p, flow) : image->l4_sum;
		stamp_write(p + f->stamp_offset, l->trial->epoch, stamp_flow(STAMP_STREAM_LEARNING, flow),
			    (uint32_t)(i / flows));
		stamp_write_time(p + f->stamp_offset, rte_rdtsc(), 0);
		frame_finish(f, p, sum);
		if (!send_one(l->trial->ports, s->rx_port, m)) {
			rte_pktmbuf_free(m);
			return -1;
		}
		l->sent_count++;
		if (__atomic_load_n(&l->stop, __ATOMIC_RELAXED))
			break;
	}
	return 0;
}

void
learn_run(void *arg)
{
	struct learning *l = arg;

	for (uint32_t i = 0; i < l->trial->streams; i++) {
		const struct stream *s = &l->trial->stream[i];
		struct frame_request back = reversed(&s->headers);
		struct frame f;
		if (!s->metered)
			continue;
		if (frame_build(&f, &back, l->error) != 0)
			return;
		int rc = teach(l, s, &f, back.flows);
		frame_free(&f);
		if (rc != 0) {
			snprintf(l->error, sizeof(l->error), "port %u took no learning frame for %g s: is its other end up?",
				 s->rx_port, PATIENCE_S);
			return;
		}
	}
}
