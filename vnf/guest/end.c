/* SPDX-License-Identifier: BSD-3-Clause */
#include "end.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "hostport.h"

void say(const char *text)
{
	dprintf(STDERR_FILENO, "vswbench-init: %s\n", text);
}

void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

_Noreturn void power_off(void)
{
	/* The host side of virtio-serial takes written data some time after write() returns (virtio_console.c,
	 * port_fops_write asks not to wait), so the last line needs a moment or it may be lost. */
	pause_ms(50);
	sync();
	/* Without ACPI a power off is a halt, and QEMU would stay; a reboot under -no-reboot ends it (reboot(2)). */
	reboot(access("/sys/firmware/acpi", F_OK) == 0 ? RB_POWER_OFF : RB_AUTOBOOT);
	say("cannot power off");
	_exit(1);    /* PID 1 ends: the kernel panics */
}

void die(const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say(text);
	send_line(json_pack("{s:s, s:s}", "event", "failed", "error", text));
	power_off();
}
