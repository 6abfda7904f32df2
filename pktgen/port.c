/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <rte_eth_ring.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <string.h>

#define POOL_CACHE 256u
#define POOL_SPARE 1024u /* bursts in flight and per-lcore caches */
#define DRIVER_ROOM 12u /* beyond a frame with its FCS: net_virtio wants room for a VLAN tag and its own header, too */

static int
fail(char error[PORT_ERROR_MAX], const char *what, uint16_t port, int rc)
{
	snprintf(error, PORT_ERROR_MAX, "%s port %u: %s", what, port, rte_strerror(rc < 0 ? -rc : rc));
	return -1;
}

/* The rings of one side of a wire. */
static int
wire_rings(unsigned int pair, char side, const struct port_request *r, struct rte_ring *ring[PORT_QUEUES_MAX])
{
	char name[32];

	for (unsigned int q = 0; q < r->queues; q++) {
		snprintf(name, sizeof(name), "wire%u%c%u", pair, side, q);
		ring[q] = rte_ring_create(name, r->ring_size, (int)rte_socket_id(), RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (ring[q] == NULL)
			return -1;
	}
	return 0;
}

static int
make_wire(unsigned int pair, const struct port_request *r)
{
	struct rte_ring *a[PORT_QUEUES_MAX];
	struct rte_ring *b[PORT_QUEUES_MAX];
	char name[32];

	if (wire_rings(pair, 'a', r, a) != 0 || wire_rings(pair, 'b', r, b) != 0)
		return -1;
	snprintf(name, sizeof(name), "wire%ua", pair);
	if (rte_eth_from_rings(name, b, r->queues, a, r->queues, rte_socket_id()) < 0)
		return -1;
	snprintf(name, sizeof(name), "wire%ub", pair);
	return rte_eth_from_rings(name, a, r->queues, b, r->queues, rte_socket_id()) < 0 ? -1 : 0;
}

int
port_make_wires(unsigned int pairs, const struct port_request *r, char error[PORT_ERROR_MAX])
{
	for (unsigned int i = 0; i < pairs; i++) {
		if (make_wire(i, r) == 0)
			continue;
		snprintf(error, PORT_ERROR_MAX, "wire %u: %s", i, rte_strerror(rte_errno));
		return -1;
	}
	return 0;
}

static struct rte_mempool *
make_pool(const char *name, unsigned int count, uint16_t frame_max)
{
	unsigned int bytes = RTE_ALIGN_CEIL(frame_max + DRIVER_ROOM, RTE_CACHE_LINE_SIZE);
	unsigned int room = RTE_MAX(RTE_MBUF_DEFAULT_BUF_SIZE, RTE_PKTMBUF_HEADROOM + bytes);

	return rte_pktmbuf_pool_create(name, count, POOL_CACHE, 0, (uint16_t)room, (int)rte_socket_id());
}

static void
zero_buffer(struct rte_mempool *pool, void *opaque, void *obj, unsigned int index)
{
	struct rte_mbuf *m = obj;

	(void)pool;
	(void)opaque;
	(void)index;
	memset(m->buf_addr, 0, m->buf_len);
}

static int
make_pools(struct ports *p, char error[PORT_ERROR_MAX])
{
	unsigned int count = p->count * 2u * p->queues * p->ring_size + POOL_SPARE + POOL_CACHE * rte_lcore_count();

	p->rx_pool = make_pool("rx", count, p->frame_max);
	p->tx_pool = make_pool("tx", count, p->frame_max);
	if (p->rx_pool == NULL || p->tx_pool == NULL) {
		snprintf(error, PORT_ERROR_MAX, "no memory for two pools of %u packet buffers of %u bytes: %s: give DPDK more "
						"with -m, or use smaller rings, fewer queues or a smaller --frame-max", count,
			 p->frame_max, rte_strerror(rte_errno));
		return -1;
	}
	rte_mempool_obj_iter(p->tx_pool, zero_buffer, NULL);
	return 0;
}

void
port_note_head(struct ports *p, uint16_t bytes)
{
	p->head_bytes = RTE_MAX(p->head_bytes, (uint16_t)RTE_ALIGN_CEIL((unsigned int)bytes, RTE_CACHE_LINE_SIZE));
}

/* Several queues need a rule that spreads flows over them, where the port has one; a virtual port's other end decides. */
static struct rte_eth_conf
configuration(const struct ports *p, const struct rte_eth_dev_info *info)
{
	const uint64_t hashes = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP);
	struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE}, .txmode = {.mq_mode = RTE_ETH_MQ_TX_NONE}};

	if (p->queues > 1 && hashes != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = hashes;
	}
	conf.intr_conf.rxq = p->interrupts;
	if (p->frame_max > PORT_FRAME_DEFAULT)
		conf.rxmode.mtu = p->frame_max - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
	return conf;
}

static int
set_up_queues(struct ports *p, uint16_t port, char error[PORT_ERROR_MAX])
{
	uint16_t rx_size = p->ring_size;
	uint16_t tx_size = p->ring_size;
	int socket = rte_eth_dev_socket_id(port);
	unsigned int numa = socket < 0 ? rte_socket_id() : (unsigned int)socket;
	int rc;

	if ((rc = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_size, &tx_size)) != 0)
		return fail(error, "ring sizes of", port, rc);
	for (uint16_t q = 0; q < p->queues; q++) {
		if ((rc = rte_eth_rx_queue_setup(port, q, rx_size, numa, NULL, p->rx_pool)) != 0)
			return fail(error, "receive queue of", port, rc);
		if ((rc = rte_eth_tx_queue_setup(port, q, tx_size, numa, NULL)) != 0)
			return fail(error, "transmit queue of", port, rc);
	}
	return 0;
}

static int
start_one(struct ports *p, uint16_t port, char error[PORT_ERROR_MAX])
{
	struct rte_eth_dev_info info;
	int rc;

	if ((rc = rte_eth_dev_info_get(port, &info)) != 0)
		return fail(error, "properties of", port, rc);
	if (p->queues > info.max_rx_queues || p->queues > info.max_tx_queues) {
		snprintf(error, PORT_ERROR_MAX, "port %u has %u receive and %u transmit queues: --queues %u is too many", port,
			 info.max_rx_queues, info.max_tx_queues, p->queues);
		return -1;
	}
	const struct rte_eth_conf conf = configuration(p, &info);
	if ((rc = rte_eth_dev_configure(port, p->queues, p->queues, &conf)) != 0)
		return fail(error, "configure", port, rc);
	if (set_up_queues(p, port, error) != 0)
		return -1;
	if ((rc = rte_eth_dev_start(port)) != 0)
		return fail(error, "start", port, rc);
	rc = rte_eth_promiscuous_enable(port);
	if (rc != 0 && rc != -ENOTSUP)
		return fail(error, "promiscuous mode of", port, rc);
	return 0;
}

int
port_start_all(struct ports *p, const struct port_request *r, char error[PORT_ERROR_MAX])
{
	memset(p, 0, sizeof(*p));
	p->count = rte_eth_dev_count_avail();
	p->ring_size = r->ring_size;
	p->queues = r->queues;
	p->frame_max = r->frame_max;
	p->interrupts = r->interrupts;
	if (p->count == 0 || p->count > PORT_MAX) {
		snprintf(error, PORT_ERROR_MAX, "%u ports: give 1 to %u by EAL options (--vdev, -a) or --wires", p->count,
			 PORT_MAX);
		return -1;
	}
	if (make_pools(p, error) != 0)
		return -1;
	for (uint16_t port = 0; port < p->count; port++) {
		if (start_one(p, port, error) != 0)
			return -1;
	}
	return 0;
}

void
port_stop_all(struct ports *p)
{
	for (uint16_t port = 0; port < p->count; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
}

static json_t *
one_json(uint16_t port)
{
	struct rte_eth_dev_info info;
	struct rte_eth_link link = {0};
	struct rte_ether_addr mac = {{0}};
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	char text[RTE_ETHER_ADDR_FMT_SIZE];

	if (rte_eth_dev_info_get(port, &info) != 0)
		info.driver_name = "unknown";
	rte_eth_link_get_nowait(port, &link);
	rte_eth_macaddr_get(port, &mac);
	rte_eth_dev_get_name_by_port(port, name);
	rte_ether_format_addr(text, sizeof(text), &mac);
	return json_pack("{s:i,s:s,s:s,s:s,s:b}", "port", port, "name", name, "driver", info.driver_name, "mac", text,
			 "link_up", link.link_status == RTE_ETH_LINK_UP);
}

json_t *
port_json(const struct ports *p)
{
	json_t *list = json_array();

	for (uint16_t port = 0; port < p->count; port++)
		json_array_append_new(list, one_json(port));
	return list;
}

struct port_missed
port_missed_one(uint16_t port)
{
	struct rte_eth_stats stats;

	if (rte_eth_stats_get(port, &stats) != 0)
		return (struct port_missed){0};
	return (struct port_missed){stats.imissed, stats.ierrors, stats.rx_nombuf};
}

struct port_missed
port_missed_all(const struct ports *p)
{
	struct port_missed sum = {0};

	for (uint16_t port = 0; port < p->count; port++) {
		struct port_missed one = port_missed_one(port);
		sum.imissed += one.imissed;
		sum.ierrors += one.ierrors;
		sum.rx_nombuf += one.rx_nombuf;
	}
	return sum;
}

json_t *
port_missed_json(const struct ports *p, struct port_missed before)
{
	struct port_missed now = port_missed_all(p);

	return json_pack("{s:I,s:I,s:I}", "imissed", (json_int_t)(now.imissed - before.imissed), "ierrors",
			 (json_int_t)(now.ierrors - before.ierrors), "rx_nombuf",
			 (json_int_t)(now.rx_nombuf - before.rx_nombuf));
}

uint64_t
port_missed_count(const struct ports *p, struct port_missed before)
{
	struct port_missed now = port_missed_all(p);

	return now.imissed - before.imissed + now.ierrors - before.ierrors + now.rx_nombuf - before.rx_nombuf;
}
