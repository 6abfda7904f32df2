/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bare: sends and receives without touching a packet: the upper bound of what any generator can do on a port.
 *
 * Every buffer of the pool is filled once with a valid frame.  Sending takes buffers and sets their lengths;
 * what comes back is freed unread.  Nothing is stamped, checked or timed, so only counts come out.
 */
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "program.h"

#define BURST 32u
#define FRAME_MIN_BYTES 64u /* with FCS */
#define FRAME_MAX_BYTES 1518u
#define STREAMS_MAX 16u
#define DURATION_MAX_S 3600.0

struct lane {
	uint16_t tx_port;
	uint16_t rx_port;
	struct rte_mbuf *pending[BURST]; /* not yet taken by the port */
	uint16_t pending_count;
	uint64_t sent_count;
	uint64_t received_count;
};

struct bare {
	struct program program;
	struct worker worker;
	struct lane lane[STREAMS_MAX];
	uint32_t lanes;
	uint16_t mbuf_bytes;
	double duration_s;
	uint64_t span_tsc;
};

/* A UDP packet of RFC 2544 appendix C.2.2's addresses, to the discard port. */
static void
fill_buffer(struct rte_mempool *pool, void *opaque, void *obj, unsigned int index)
{
	const struct bare *b = opaque;
	struct rte_mbuf *m = obj;
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)((char *)m->buf_addr + RTE_PKTMBUF_HEADROOM);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	const uint16_t ip_bytes = (uint16_t)(b->mbuf_bytes - sizeof(*eth));

	(void)pool;
	(void)index;
	memset(eth, 0, b->mbuf_bytes);
	eth->dst_addr = (struct rte_ether_addr){{0x02, 0x76, 0x73, 0x77, 0, 1}};
	eth->src_addr = (struct rte_ether_addr){{0x02, 0x76, 0x73, 0x77, 0, 0}};
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF, .time_to_live = 64, .next_proto_id = IPPROTO_UDP};
	ip->total_length = rte_cpu_to_be_16(ip_bytes);
	ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(198, 18, 0, 1));
	ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(198, 19, 0, 1));
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->src_port = rte_cpu_to_be_16(1024);
	udp->dst_port = rte_cpu_to_be_16(9);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(ip_bytes - sizeof(*ip)));
}

static void
send_burst(struct bare *b, struct lane *l)
{
	const uint16_t have = l->pending_count;

	if (have < BURST && rte_pktmbuf_alloc_bulk(b->program.ports.tx_pool, &l->pending[have], BURST - have) == 0) {
		for (uint16_t i = have; i < BURST; i++)
			l->pending[i]->pkt_len = l->pending[i]->data_len = b->mbuf_bytes;
		l->pending_count = BURST;
	}
	uint16_t sent = rte_eth_tx_burst(l->tx_port, 0, l->pending, l->pending_count);
	l->sent_count += sent;
	l->pending_count = (uint16_t)(l->pending_count - sent);
	memmove(l->pending, &l->pending[sent], l->pending_count * sizeof(l->pending[0]));
}

static void
receive_burst(struct lane *l)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(l->rx_port, 0, pkts, BURST);

	rte_pktmbuf_free_bulk(pkts, n);
	l->received_count += n;
}

static void
run(void *arg)
{
	struct bare *b = arg;
	const uint64_t start = rte_rdtsc();
	const uint64_t end = start + clock_ticks(b->duration_s);
	uint64_t now;

	while ((now = rte_rdtsc()) < end) {
		for (uint32_t i = 0; i < b->lanes; i++) {
			send_burst(b, &b->lane[i]);
			receive_burst(&b->lane[i]);
		}
	}
	b->span_tsc = now - start;
	for (uint32_t i = 0; i < b->lanes; i++)
		rte_pktmbuf_free_bulk(b->lane[i].pending, b->lane[i].pending_count);
}

static int
read_lane(const struct bare *b, json_t *request, struct lane *l, char error[CONTROL_ERROR_MAX])
{
	json_int_t tx;
	json_int_t rx;

	if (control_unpack(request, error, "{s:I,s:I!}", "tx", &tx, "rx", &rx) != 0)
		return -1;
	if (tx < 0 || tx >= b->program.ports.count || rx < 0 || rx >= b->program.ports.count) {
		snprintf(error, CONTROL_ERROR_MAX, "tx, rx: allowed are the numbers of ports that exist, 0 to %d",
			 b->program.ports.count - 1);
		return -1;
	}
	*l = (struct lane){.tx_port = (uint16_t)tx, .rx_port = (uint16_t)rx};
	return 0;
}

static json_t *
lane_json(const struct lane *l)
{
	return json_pack("{s:i,s:i,s:I,s:I}", "tx", l->tx_port, "rx", l->rx_port, "sent_count",
			 (json_int_t)l->sent_count, "received_count", (json_int_t)l->received_count);
}

static int
read_run(struct bare *b, json_t *request, char error[CONTROL_ERROR_MAX])
{
	json_int_t frame_bytes = FRAME_MIN_BYTES;
	json_t *streams;
	json_t *stream;
	size_t i;

	if (control_unpack(request, error, "{s:F,s?I,s:o!}", "duration_s", &b->duration_s, "frame_bytes", &frame_bytes,
			   "streams", &streams) != 0)
		return -1;
	b->lanes = (uint32_t)json_array_size(streams); /* 0 if it is no array */
	b->mbuf_bytes = (uint16_t)(frame_bytes - RTE_ETHER_CRC_LEN);
	if (!(b->duration_s > 0 && b->duration_s <= DURATION_MAX_S) || frame_bytes < (int)FRAME_MIN_BYTES ||
	    frame_bytes > (int)FRAME_MAX_BYTES || b->lanes < 1 || b->lanes > STREAMS_MAX) {
		snprintf(error, CONTROL_ERROR_MAX, "allowed: duration_s above 0, up to 3600; frame_bytes 64 to 1518, FCS "
						   "included; streams an array of 1 to 16 objects");
		return -1;
	}
	json_array_foreach(streams, i, stream) {
		if (read_lane(b, stream, &b->lane[i], error) != 0)
			return -1;
	}
	return 0;
}

static int
cmd_run(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	struct bare *b = ctx;
	json_t *lanes;

	if (read_run(b, request, error) != 0)
		return -1;
	rte_mempool_obj_iter(b->program.ports.tx_pool, fill_buffer, b);
	worker_call(&b->worker, run, b);
	lanes = json_array();
	for (uint32_t i = 0; i < b->lanes; i++)
		json_array_append_new(lanes, lane_json(&b->lane[i]));
	json_object_set_new(reply, "streams", lanes);
	return json_object_set_new(reply, "span_s", json_real(clock_seconds(b->span_tsc)));
}

static const struct control_command commands[] = {
	{"ports", "the ports and their links", program_ports},
	{"run", "duration_s, [frame_bytes with FCS], streams: [{tx, rx}]: send and receive, as fast as the ports go", cmd_run},
	{.name = NULL},
};

int
main(int argc, char **argv)
{
	static struct bare b;

	program_start(&b.program, "bare", argc, argv, NULL);
	if (worker_start(&b.worker, b.program.worker_lcore[0], b.program.idle, NULL, NULL) != 0)
		return EXIT_FAILURE;
	program_ready(&b.program, NULL);
	control_serve(&b.program.control, commands, &b);
	worker_stop(&b.worker);
	program_end(&b.program);
	return EXIT_SUCCESS;
}
