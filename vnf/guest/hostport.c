/* SPDX-License-Identifier: BSD-3-Clause */
#include "hostport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "end.h"
#include "sysfile.h"

#define PORT_WAIT_S 10      /* for the port's device node, then for the host to open its side: see await_host() */
#define HOST_WAIT_S 120

static int port = -1;

int port_fd(void)
{
	return port;
}

bool send_line(json_t *msg)
{
	char *text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	bool ok = text != NULL && port >= 0;
	if (ok) {
		size_t len = strlen(text), done = 0;
		text[len++] = '\n';    /* in the place of the terminating zero: one write, one line */
		while (done < len) {
			ssize_t n = write(port, text + done, len - done);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			done += (size_t)n;
		}
		ok = done == len;
	}
	free(text);
	json_decref(msg);
	return ok;
}

void refuse(json_t *id, const char *why)
{
	say(why);
	send_line(json_pack("{s:O, s:b, s:s}", "id", id, "ok", 0, "error", why));
}

/* Finds the port by its name. False if it is not there (yet). */
static bool find_port(char *device, size_t size)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	bool found = false;
	for (struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;) {
		char path[400], name[64];
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (e->d_name[0] != '.' && read_text(path, name, sizeof(name)) && strcmp(name, PORT_NAME) == 0) {
			snprintf(device, size, "/dev/%s", e->d_name);
			found = true;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

void open_port(void)
{
	char device[300];
	int tries = PORT_WAIT_S * 200;
	/* Ports appear some time after the module is loaded: their names come by messages from the host. */
	while (!find_port(device, sizeof(device))) {
		if (--tries == 0)
			die("no virtio-serial port named " PORT_NAME " (-device virtserialport,name=" PORT_NAME ")");
		pause_ms(5);
	}
	while ((port = open(device, O_RDWR | O_CLOEXEC)) < 0) {
		if (--tries <= 0 || errno != ENOENT)
			die("cannot open %s: %s", device, strerror(errno));
		pause_ms(5);
	}
}

/* Waits until the host has its side open: until then a read gives end of file, a write goes nowhere and poll() says
 * POLLHUP at once (virtio_console.c, port_fops_*), so there is nothing to sleep on but time. */
void await_host(void)
{
	for (int tries = HOST_WAIT_S * 100; tries > 0; tries--) {
		struct pollfd p = {.fd = port, .events = POLLOUT};
		if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLOUT)) == POLLOUT)
			return;
		pause_ms(10);
	}
	die("nobody opened the port within %d s", HOST_WAIT_S);
}

/* Waits for input. Under TCG with several virtual CPUs (QEMU 7.2) the port's interrupt gets lost now and then;
 * poll() looks at the queue itself, so look again. */
static void await_input(void)
{
	struct pollfd p = {.fd = port, .events = POLLIN};
	while (poll(&p, 1, LOOK_AGAIN_MS) == 0)
		;
}

ssize_t read_line(char *buf, size_t size)
{
	size_t len = 0;
	for (;;) {
		char c;
		await_input();
		ssize_t n = read(port, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n')
			break;
		if (len < size)
			buf[len] = c;
		len++;
	}
	return len <= size ? (ssize_t)len : -2;
}
