/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vswbench-init: PID 1 of the measurement guest.
 *
 * Purpose: bring a bare kernel to the state a DPDK program needs (kernel modules, virtio-net NICs bound to
 * uio_pci_generic, hugepages counted), then start programs on request of the host. Host and guest talk through one
 * virtio-serial port named "vswbench.control": one JSON object a line, both ways.
 *
 *   guest -> host  {"event":"booted","kernel":"6.1.0","nics":["0000:00:04.0"],"nic_driver":"uio_pci_generic",
 *                   "hugepages_count":128,"hugepage_bytes":2097152,"memory_bytes":...,"uptime_s":1.234}
 *   host -> guest  {"id":1,"cmd":"exec","argv":["vnf","-l","0"]}
 *   guest -> host  {"id":1,"ok":true,"pid":57}      from the next byte on the port belongs to that program:
 *                                                   its stdin and stdout are the port, its stderr is the console
 *   guest -> host  {"event":"exited","status":0}    or "signal":N; from here on init reads lines again
 *   host -> guest  {"id":2,"cmd":"kernel_nics"}     the NICs become network devices of the kernel, for kernelnf
 *   host -> guest  {"id":3,"cmd":"poweroff"}        so does the host when it closes the port
 *
 * In an image of somebody else it is a program that ssh starts (inimage.h), and does the same from there on.
 *
 * A request that cannot be done is answered {"id":..,"ok":false,"error":".."} and changes nothing.
 * Failure of the guest itself: one line "vswbench-init: ..." on the console, {"event":"failed","error":".."} on the
 * port if it is open, then power off. Should init die nevertheless the kernel panics: run with panic=-1 and
 * QEMU's -no-reboot, and QEMU exits.
 *
 * Units stand in the names; uptime_s counts from the start of the kernel (firmware not included).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "end.h"
#include "exec.h"
#include "hostport.h"
#include "inimage.h"
#include "nics.h"
#include "system.h"

#define NIC_DRIVER "uio_pci_generic"
#define KERNEL_NIC_DRIVER "virtio-pci"    /* on which virtio_net sits */
#define KERNEL_MODULES "/kernel.list"     /* a system of somebody else has its own */
#define LINE_BYTES 65536    /* longest request line */

static json_t *nics;    /* PCI addresses of all that are ours */

static void do_kernel_nics(json_t *id)
{
	size_t i;
	json_t *nic;
	if (access(KERNEL_MODULES, F_OK) == 0)
		load_modules(KERNEL_MODULES);
	json_array_foreach(nics, i, nic) {
		claim_nic(json_string_value(nic), KERNEL_NIC_DRIVER);
		bind_nic(json_string_value(nic), KERNEL_NIC_DRIVER);
	}
	send_line(json_pack("{s:O, s:b}", "id", id, "ok", 1));
}

/* Does one request. */
static void handle(const char *line, size_t len)
{
	json_error_t error;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	json_t *id = json_object_get(request, "id");
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	char text[256];

	id = id != NULL ? json_incref(id) : json_null();
	if (request == NULL) {
		snprintf(text, sizeof(text), "not a JSON object: %s", error.text);
		refuse(id, text);
	} else if (cmd == NULL) {
		refuse(id, "no cmd (exec, kernel_nics, poweroff)");
	} else if (strcmp(cmd, "exec") == 0) {
		do_exec(id, request);
	} else if (strcmp(cmd, "kernel_nics") == 0) {
		do_kernel_nics(id);
	} else if (strcmp(cmd, "poweroff") == 0) {
		send_line(json_pack("{s:O, s:b}", "id", id, "ok", 1));
		power_off();
	} else {
		snprintf(text, sizeof(text), "unknown cmd %.100s (exec, kernel_nics, poweroff)", cmd);
		refuse(id, text);
	}
	json_decref(id);
	json_decref(request);
}

/* As PID 1: all of the guest is ours. Finds the NICs and claims them. */
static void take_over(void)
{
	size_t i;
	json_t *nic;

	mount_all();
	loopback_up();
	nics = find_nics();
	json_array_foreach(nics, i, nic)
		claim_nic(json_string_value(nic), NIC_DRIVER);
	load_modules("/modules.list");
}

static void say_booted(const char *driver)
{
	size_t i;
	json_t *nic;
	long page_bytes = 0, pages = check_hugepages(&page_bytes);
	struct utsname kernel;
	struct sysinfo info;
	struct timespec up;

	json_array_foreach(nics, i, nic)
		check_nic(json_string_value(nic), driver);
	uname(&kernel);
	sysinfo(&info);
	clock_gettime(CLOCK_BOOTTIME, &up);
	send_line(json_pack("{s:s, s:s, s:O, s:s, s:I, s:I, s:I, s:f}", "event", "booted", "kernel", kernel.release,
			    "nics", nics, "nic_driver", driver, "hugepages_count", (json_int_t)pages, "hugepage_bytes",
			    (json_int_t)page_bytes, "memory_bytes", (json_int_t)info.totalram * info.mem_unit,
			    "uptime_s", (double)up.tv_sec + (double)up.tv_nsec / 1e9));
}

int main(int argc, char **argv)
{
	static char line[LINE_BYTES];
	const char *driver = NIC_DRIVER;

	if (getpid() == 1) {
		take_over();
	} else if (argc >= 3 && strcmp(argv[1], "--in-image") == 0) {
		nics = move_in(strtol(argv[2], NULL, 10), &argv[3], &driver);
	} else {
		fputs("vswbench-init: runs as PID 1 of a guest, or in one with --in-image HUGEPAGES MAC...\n", stderr);
		return 2;
	}
	open_port();
	await_host();    /* from here on a failure reaches the host too */
	say_booted(driver);
	for (;;) {
		ssize_t len = read_line(line, sizeof(line));
		if (len == -1)
			break;
		if (len == -2)
			refuse(json_null(), "line too long");
		else
			handle(line, (size_t)len);
	}
	say("the host closed the port: power off");
	power_off();
}
