/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The DPDK ports of a program: every ethdev that the EAL options made, one queue each way, started,
 * promiscuous, without offloads; and wires, pairs of ports joined by two rings in memory (the null switch).
 */
#ifndef VSW_PORT_H
#define VSW_PORT_H

#include <jansson.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdint.h>

#define PORT_MAX 32u
#define PORT_RING_DEFAULT 1024u
#define PORT_ERROR_MAX 256u

struct ports {
	uint16_t count;            /* ports 0..count-1 are DPDK port ids */
	uint16_t ring_size;        /* descriptors a queue asked for */
	struct rte_mempool *rx_pool;
	struct rte_mempool *tx_pool; /* buffers zeroed once; only our own frames live here */
};

/* Creates `pairs` wires: 2 x pairs further ports, 2k joined with 2k+1.  0, or -1 with a sentence. */
int port_make_wires(unsigned int pairs, uint16_t ring_size, char error[PORT_ERROR_MAX]);

/* Configures and starts every port.  0, or -1 with a sentence. */
int port_start_all(struct ports *p, uint16_t ring_size, char error[PORT_ERROR_MAX]);
void port_stop_all(struct ports *p);

/* All ports as JSON: [{"port":0,"name":"...","driver":"...","mac":"...","link_up":true}, ...]. */
json_t *port_json(const struct ports *p);

/* imissed + ierrors + rx_nombuf of a port so far: frames lost at our own door, not in the switch. */
uint64_t port_missed(uint16_t port);

#endif
