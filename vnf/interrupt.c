/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupt.h"

#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "port.h"

static const char *
driver_of(uint16_t port)
{
	static struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(port, &info) == 0 ? info.driver_name : "unknown";
}

static int
open_port(int epoll, uint16_t port)
{
	int rc = rte_eth_dev_rx_intr_ctl_q(port, 0, epoll, RTE_INTR_EVENT_ADD, NULL);

	if (rc == 0)
		rc = rte_eth_dev_rx_intr_enable(port, 0);
	return rc == 0 ? rte_eth_dev_rx_intr_disable(port, 0) : rc;
}

int
interrupts_open(struct interrupts *i, uint16_t port_count, char error[INTERRUPT_ERROR_MAX])
{
	i->port_count = port_count;
	i->armed = false;
	i->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (uint16_t port = 0; port < port_count; port++) {
		int rc = open_port(i->epoll, port);
		if (rc != 0) {
			snprintf(error, INTERRUPT_ERROR_MAX, "--idle interrupt: port %u (%s) has no receive interrupts here: %s: "
							     "use busy, yield or sleep", port, driver_of(port), strerror(rc < 0 ? -rc : rc));
			close(i->epoll);
			return -1;
		}
	}
	return 0;
}

void
interrupts_arm(struct interrupts *i)
{
	for (uint16_t port = 0; port < i->port_count; port++)
		rte_eth_dev_rx_intr_enable(port, 0);
	i->armed = true;
}

void
interrupts_disarm(struct interrupts *i)
{
	for (uint16_t port = 0; port < i->port_count; port++)
		rte_eth_dev_rx_intr_disable(port, 0);
	i->armed = false;
}

void
interrupts_wait(const struct interrupts *i)
{
	struct rte_epoll_event events[PORT_MAX];

	rte_epoll_wait(i->epoll, events, i->port_count, INTERRUPT_WAIT_MS);
}

void
interrupts_close(struct interrupts *i)
{
	for (uint16_t port = 0; port < i->port_count; port++)
		rte_eth_dev_rx_intr_ctl_q(port, 0, i->epoll, RTE_INTR_EVENT_DEL, NULL);
	close(i->epoll);
}
