/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting for packets without polling: receive interrupts of all ports on one epoll descriptor.
 */
#ifndef VSW_INTERRUPT_H
#define VSW_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#define INTERRUPT_ERROR_MAX 256u
#define INTERRUPT_WAIT_MS 10 /* after which the worker looks whether the control thread wants something */

struct interrupts {
	int epoll;
	uint16_t port_count;
	bool armed;
};

/* For ports that were started with interrupts (port_request).  0, or -1 with a sentence that names the port which has
 * none. */
int interrupts_open(struct interrupts *i, uint16_t port_count, char error[INTERRUPT_ERROR_MAX]);

/* From here on packets interrupt.  One that came before does not: poll all ports once more before waiting. */
void interrupts_arm(struct interrupts *i);
void interrupts_disarm(struct interrupts *i);

/* Armed: returns when a packet comes or has come since, or after INTERRUPT_WAIT_MS. */
void interrupts_wait(const struct interrupts *i);

void interrupts_close(struct interrupts *i);

#endif
