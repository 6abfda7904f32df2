/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <rte_eth_ring.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <string.h>

#define POOL_CACHE 256u
#define POOL_SPARE 1024u /* bursts in flight and per-lcore caches */

static int
fail(char error[PORT_ERROR_MAX], const char *what, uint16_t port, int rc)
{
	snprintf(error, PORT_ERROR_MAX, "%s port %u: %s", what, port, rte_strerror(rc < 0 ? -rc : rc));
	return -1;
}

static struct rte_ring *
wire_ring(const char *name, uint16_t ring_size)
{
	return rte_ring_create(name, ring_size, (int)rte_socket_id(), RING_F_SP_ENQ | RING_F_SC_DEQ);
}

int
port_make_wires(unsigned int pairs, uint16_t ring_size, char error[PORT_ERROR_MAX])
{
	char name[32];

	for (unsigned int i = 0; i < pairs; i++) {
		struct rte_ring *ring[2];
		for (unsigned int side = 0; side < 2; side++) {
			snprintf(name, sizeof(name), "wire%u%c", i, 'a' + side);
			ring[side] = wire_ring(name, ring_size);
			if (ring[side] == NULL) {
				snprintf(error, PORT_ERROR_MAX, "ring %s: %s", name, rte_strerror(rte_errno));
				return -1;
			}
		}
		for (unsigned int side = 0; side < 2; side++) {
			snprintf(name, sizeof(name), "wire%u%c", i, 'a' + side);
			if (rte_eth_from_rings(name, &ring[!side], 1, &ring[side], 1, rte_socket_id()) < 0) {
				snprintf(error, PORT_ERROR_MAX, "port %s: %s", name, rte_strerror(rte_errno));
				return -1;
			}
		}
	}
	return 0;
}

static struct rte_mempool *
make_pool(const char *name, unsigned int count)
{
	return rte_pktmbuf_pool_create(name, count, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
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
	unsigned int count = p->count * 2u * p->ring_size + POOL_SPARE + POOL_CACHE * rte_lcore_count();

	p->rx_pool = make_pool("rx", count);
	p->tx_pool = make_pool("tx", count);
	if (p->rx_pool == NULL || p->tx_pool == NULL) {
		snprintf(error, PORT_ERROR_MAX, "no memory for two pools of %u packet buffers: %s", count,
			 rte_strerror(rte_errno));
		return -1;
	}
	rte_mempool_obj_iter(p->tx_pool, zero_buffer, NULL);
	return 0;
}

static int
start_one(struct ports *p, uint16_t port, char error[PORT_ERROR_MAX])
{
	const struct rte_eth_conf conf = {.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE},
					  .txmode = {.mq_mode = RTE_ETH_MQ_TX_NONE}};
	uint16_t rx_size = p->ring_size;
	uint16_t tx_size = p->ring_size;
	int socket = rte_eth_dev_socket_id(port);
	unsigned int numa = socket < 0 ? rte_socket_id() : (unsigned int)socket;
	int rc;

	if ((rc = rte_eth_dev_configure(port, 1, 1, &conf)) != 0)
		return fail(error, "configure", port, rc);
	if ((rc = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_size, &tx_size)) != 0)
		return fail(error, "ring sizes of", port, rc);
	if ((rc = rte_eth_rx_queue_setup(port, 0, rx_size, numa, NULL, p->rx_pool)) != 0)
		return fail(error, "receive queue of", port, rc);
	if ((rc = rte_eth_tx_queue_setup(port, 0, tx_size, numa, NULL)) != 0)
		return fail(error, "transmit queue of", port, rc);
	if ((rc = rte_eth_dev_start(port)) != 0)
		return fail(error, "start", port, rc);
	rc = rte_eth_promiscuous_enable(port);
	if (rc != 0 && rc != -ENOTSUP)
		return fail(error, "promiscuous mode of", port, rc);
	return 0;
}

int
port_start_all(struct ports *p, uint16_t ring_size, char error[PORT_ERROR_MAX])
{
	memset(p, 0, sizeof(*p));
	p->count = rte_eth_dev_count_avail();
	p->ring_size = ring_size;
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

uint64_t
port_missed(uint16_t port)
{
	struct rte_eth_stats stats;

	if (rte_eth_stats_get(port, &stats) != 0)
		return 0;
	return stats.imissed + stats.ierrors + stats.rx_nombuf;
}
