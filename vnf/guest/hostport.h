/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The line to the host: one virtio-serial port, one JSON object a line, both ways. There is one, so it is not passed
 * around. What cannot be had ends the guest with a reason (end.h).
 */
#ifndef VSW_GUEST_HOSTPORT_H
#define VSW_GUEST_HOSTPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define PORT_NAME "vswbench.control"
#define LOOK_AGAIN_MS 100

/* Finds the port by its name and opens it. */
void open_port(void);

/* Waits until the host has its side open. */
void await_host(void);

/* The port's file descriptor, -1 as long as it is not open. */
int port_fd(void);

/* Reads one line, a byte at a time: what follows an exec line belongs to the program started by it.
 * Returns its length, -1 at the end of input, -2 if it was longer than the buffer (it is then skipped). */
ssize_t read_line(char *buf, size_t size);

/* Writes one object as one line. Takes the reference. False if the host is gone: the next read then says so too. */
bool send_line(json_t *msg);

/* {"id":..,"ok":false,"error":".."}, and the same on the console. `id` stays the caller's. */
void refuse(json_t *id, const char *why);

#endif
