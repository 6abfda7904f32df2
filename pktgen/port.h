/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The DPDK ports of a program: every ethdev that the EAL options made, with as many queue pairs as asked for,
 * started, promiscuous, without offloads; and wires, pairs of ports joined by rings in memory (the null switch).
 */
#ifndef VSW_PORT_H
#define VSW_PORT_H

#include <jansson.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define PORT_MAX 32u
#define PORT_RING_DEFAULT 1024u
#define PORT_QUEUES_MAX 8u
#define PORT_FRAME_DEFAULT 1518u /* with FCS */
#define PORT_ERROR_MAX 256u

/* What a program asks of its ports. */
struct port_request {
	uint16_t ring_size; /* descriptors a queue */
	uint16_t queues;    /* queue pairs a port */
	uint16_t frame_max; /* largest frame, with FCS: buffers and MTU are made for it */
	bool interrupts;    /* receive interrupts can be asked for, where the port has them */
};

struct ports {
	uint16_t count;            /* ports 0..count-1 are DPDK port ids */
	uint16_t ring_size;        /* descriptors a queue asked for */
	uint16_t queues;
	uint16_t frame_max;
	bool interrupts;
	uint16_t head_bytes;       /* a multiple of 64: bytes of a tx buffer that may be other than 0 */
	struct rte_mempool *rx_pool;
	struct rte_mempool *tx_pool; /* buffers zeroed once; only our own frames live here */
};

/* Frames lost at our own door, not in the switch. */
struct port_missed {
	uint64_t imissed;   /* the port's queue was full */
	uint64_t ierrors;
	uint64_t rx_nombuf; /* no buffer */
};

/* Creates `pairs` wires: 2 x pairs further ports, 2k joined with 2k+1, a ring each way a queue.  0, or -1 with a
 * sentence. */
int port_make_wires(unsigned int pairs, const struct port_request *r, char error[PORT_ERROR_MAX]);

/* Configures and starts every port.  0, or -1 with a sentence. */
int port_start_all(struct ports *p, const struct port_request *r, char error[PORT_ERROR_MAX]);
void port_stop_all(struct ports *p);

/* All ports as JSON: [{"port":0,"name":"...","driver":"...","mac":"...","link_up":true}, ...]. */
json_t *port_json(const struct ports *p);

/* Frames of ours now have headers and stamp of up to `bytes`: from here on every frame overwrites so many, so that behind
 * its own headers there are zeros again whatever the buffer held before. */
void port_note_head(struct ports *p, uint16_t bytes);

/* Of one port, and of all ports together, so far. */
struct port_missed port_missed_one(uint16_t port);
struct port_missed port_missed_all(const struct ports *p);

/* {"imissed":, "ierrors":, "rx_nombuf":} of what came since `before`.  New reference. */
json_t *port_missed_json(const struct ports *p, struct port_missed before);

/* The sum of the three since `before`. */
uint64_t port_missed_count(const struct ports *p, struct port_missed before);

#endif
