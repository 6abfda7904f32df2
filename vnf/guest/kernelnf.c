/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kernelnf: network functions that are the kernel's own. Sets one up between two network devices, then says what
 * it counts; it never sees a frame. In a VM and in a network namespace of the host alike.
 *
 *   kernelnf --nf linux-router|linux-bridge|xdp-forward --port MAC=PEER --port MAC=PEER [--cpu N]
 *
 * MAC is the address of the device, PEER that of a router's next hop there.
 * --cpu: of the devices' interrupts (PCI devices, so of a VM).
 *
 * linux-router: IPv4. What comes in at the first device goes out at the second, and back, whatever its destination, since
 * both directions of our traffic have the same: by a default route each way, of which a rule chooses the one back.
 * TTL - 1; frames must be addressed to the router; neighbours are static, no reverse path filter (RFC 3704), no addresses.
 * linux-bridge: a bridge that learns.
 * xdp-forward: the same routes, which a program at the devices' drivers looks up (xdp_forward.bpf.c), native, or where a
 * driver has no XDP generic, behind both drivers: `ready` says which as `xdp_mode`.
 *
 * Speaks as our other programs do (pktgen/control.h): `ports` and `stats`, as vnf, without what the kernel does not count
 * for each device: cycles, and why it dropped, which only our own program says.
 * Failure: a line on stderr; exit status 1, and 2 for bad arguments.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "rtlink.h"
#include "sysfile.h"
#include "xdpforward.h"

#define PORTS XDP_FORWARD_PORTS
#define EXIT_BAD_ARGUMENTS 2
#define DEVICE_WAIT_S 10
#define MAIN_TABLE 254    /* rt_tables of iproute2 */
#define BACK_TABLE 100
#define GATEWAY "192.0.2.1"    /* TEST-NET-1 (RFC 5737), behind each device */
#define BRIDGE "bridge"
#define LOOPBACK 1    /* its index in every namespace (include/net/net_namespace.h, LOOPBACK_IFINDEX) */

struct port {
	uint8_t mac[MAC_BYTES], peer[MAC_BYTES];
	struct link link;
};

static struct port ports[PORTS];
static struct xdp_forward_port *xdp_ports;    /* NULL: no XDP program */
static const char *xdp_mode = "";

static _Noreturn void fail(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("kernelnf: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

/* `result` is 0 or -errno. */
static void must(int result, const char *what, const char *of)
{
	if (result < 0)
		fail(EXIT_FAILURE, "cannot %s %s: %s", what, of, strerror(-result));
}

static void set(const char *path, const char *value)
{
	if (!write_text(path, value))
		fail(EXIT_FAILURE, "cannot write %s: %s", path, strerror(errno));
}

/* The kernel's own frames (RFC 4861) are none of the traffic. Without IPv6 there is nothing to switch off. */
static void no_ipv6(void)
{
	static const char *const path = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
	if (access(path, F_OK) == 0)
		set(path, "1");
}

/* A device that has just been given to its driver may take a moment. */
static void find(struct port *p)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int result;
	for (int tries = DEVICE_WAIT_S * 100; (result = rtlink_read(0, p->mac, &p->link)) == -ENODEV && tries > 0; tries--)
		nanosleep(&pause, NULL);
	if (result != 0)
		fail(EXIT_FAILURE, "no device with the address %02x:%02x:%02x:%02x:%02x:%02x: %s", p->mac[0], p->mac[1],
		     p->mac[2], p->mac[3], p->mac[4], p->mac[5], strerror(-result));
}

/* Of one interrupt; false if there is none of this number. */
static bool steer(const char *irq, const char *cpu)
{
	char path[300];
	snprintf(path, sizeof(path), "/proc/irq/%s/smp_affinity_list", irq);
	return write_text(path, cpu);
}

/* The interrupts of the PCI device below a virtio-net device: several (MSI-X), or one. */
static void steer_interrupts(const struct link *l, const char *cpu)
{
	char path[200], irq[16];
	int steered = 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/../msi_irqs", l->name);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
		steered += e->d_name[0] != '.' && steer(e->d_name, cpu);
	if (dir != NULL)
		closedir(dir);
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/../irq", l->name);
	if (steered == 0 && !(read_text(path, irq, sizeof(irq)) && steer(irq, cpu)))
		fail(EXIT_FAILURE, "the interrupt of %s cannot be moved to CPU %s: %s", l->name, cpu, strerror(errno));
}

static void route(void)
{
	const uint32_t gateway = inet_addr(GATEWAY);
	char path[128];
	/* its address makes the table of local ones, without which the kernel takes no gateway (net/ipv4/fib_frontend.c) */
	must(rtlink_up(LOOPBACK), "set up", "the loopback device");
	set("/proc/sys/net/ipv4/ip_forward", "1");
	set("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
	for (int i = 0; i < PORTS; i++) {
		const struct port *p = &ports[i];
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", p->link.name);
		set(path, "0");
		must(rtlink_add_neighbour(p->link.index, gateway, p->peer), "set the neighbour of", p->link.name);
	}
	must(rtlink_add_default_route(MAIN_TABLE, ports[1].link.index, gateway), "route to", ports[1].link.name);
	must(rtlink_add_default_route(BACK_TABLE, ports[0].link.index, gateway), "route to", ports[0].link.name);
	must(rtlink_add_rule(ports[1].link.name, BACK_TABLE), "route what comes from", ports[1].link.name);
}

static void bridge(void)
{
	must(rtlink_add_bridge(BRIDGE), "make", BRIDGE);
	int index = (int)if_nametoindex(BRIDGE);
	for (int i = 0; i < PORTS; i++)
		must(rtlink_join(ports[i].link.index, index), "bridge", ports[i].link.name);
	must(rtlink_up(index), "set up", BRIDGE);
}

/* To both devices, or to none. */
static int attach(int program, uint32_t flags)
{
	int result = rtlink_attach(ports[0].link.index, program, flags);
	if (result != 0)
		return result;
	if ((result = rtlink_attach(ports[1].link.index, program, flags)) != 0)
		rtlink_attach(ports[0].link.index, -1, flags);
	return result;
}

static void forward(void)
{
	int program = xdp_forward_load(&xdp_ports);
	if (program == -ENOSYS)
		fail(EXIT_FAILURE, "xdp-forward is not part of this build: install clang, and build again");
	must(program, "load", "the XDP program");
	route();
	for (int i = 0; i < PORTS; i++) {
		xdp_ports[i].index = (uint32_t)ports[i].link.index;
		memcpy(xdp_ports[i].mac, ports[i].mac, MAC_BYTES);
	}
	xdp_mode = "native";
	if (attach(program, XDP_FLAGS_DRV_MODE) == 0)
		return;
	xdp_mode = "generic";
	must(attach(program, XDP_FLAGS_SKB_MODE), "attach the XDP program to", ports[0].link.name);
}

static const struct function {
	const char *name;
	void (*start)(void);
} functions[] = {{"linux-router", route}, {"linux-bridge", bridge}, {"xdp-forward", forward}};

static void read_again(void)
{
	for (int i = 0; i < PORTS; i++)
		must(rtlink_read(ports[i].link.index, NULL, &ports[i].link), "read", ports[i].link.name);
}

static int cmd_ports(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	json_t *list = json_array();
	(void)ctx;
	if (control_unpack(request, error, "{!}") != 0)
		return -1;
	read_again();
	for (int i = 0; i < PORTS; i++)
		json_array_append_new(list, json_pack("{s:i, s:s, s:b}", "port", i, "name", ports[i].link.name, "link_up",
						      ports[i].link.carrier));
	return json_object_set_new(reply, "ports", list);
}

/* By receiving port; what it sent on is what the other sent. */
static json_t *side(int i)
{
	const struct rtnl_link_stats64 *in = &ports[i].link.stats, *out = &ports[1 - i].link.stats;
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:{}}", "rx_port", i, "rx_count", (json_int_t)in->rx_packets, "tx_count",
			 (json_int_t)out->tx_packets, "tx_full_count", (json_int_t)out->tx_dropped, "missed_count",
			 (json_int_t)(in->rx_dropped + in->rx_missed_errors + in->rx_errors), "dropped");
}

/* The same as the XDP program counts, which devices count in part or when it suits their drivers. */
static json_t *xdp_side(int i)
{
	const struct xdp_forward_port *p = &xdp_ports[i];
	const struct rtnl_link_stats64 *in = &ports[i].link.stats;
	json_int_t full = (json_int_t)ports[1 - i].link.stats.tx_dropped;
	json_t *dropped = json_object();
	for (int why = 0; why < XDP_FORWARD_DROPS; why++)
		json_object_set_new(dropped, xdp_forward_drop_names[why], json_integer((json_int_t)p->dropped[why]));
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:o}", "rx_port", i, "rx_count", (json_int_t)p->rx_count, "tx_count",
			 (json_int_t)p->tx_count - full, "tx_full_count", full, "missed_count",
			 (json_int_t)(in->rx_missed_errors + in->rx_errors), "dropped", dropped);
}

static int cmd_stats(void *ctx, json_t *request, json_t *reply, char error[CONTROL_ERROR_MAX])
{
	json_t *sides = json_array();
	(void)ctx;
	if (control_unpack(request, error, "{!}") != 0)
		return -1;
	read_again();
	for (int i = 0; i < PORTS; i++)
		json_array_append_new(sides, xdp_ports != NULL ? xdp_side(i) : side(i));
	return json_object_set_new(reply, "sides", sides);
}

static const struct control_command commands[] = {
	{"ports", "the two devices and their links", cmd_ports},
	{"stats", "packets by receiving device, as the kernel counts them", cmd_stats},
	{.name = NULL},
};

static int usage(void)
{
	fputs("usage: kernelnf --nf linux-router|linux-bridge|xdp-forward --port MAC=PEER --port MAC=PEER [--cpu N]\n",
	      stderr);
	return EXIT_BAD_ARGUMENTS;
}

static bool read_port(const char *text, struct port *p)
{
	char rest;
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx=%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%c", &p->mac[0], &p->mac[1],
		      &p->mac[2], &p->mac[3], &p->mac[4], &p->mac[5], &p->peer[0], &p->peer[1], &p->peer[2], &p->peer[3],
		      &p->peer[4], &p->peer[5], &rest) == 2 * MAC_BYTES;
}

static const struct function *choose(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}

/* False for arguments that cannot be. */
static bool parse(int argc, char **argv, const struct function **function, const char **cpu)
{
	static const struct option options[] = {
		{"nf", required_argument, NULL, 'n'}, {"port", required_argument, NULL, 'p'},
		{"cpu", required_argument, NULL, 'c'}, {.name = NULL}};
	int count = 0, ch;
	while ((ch = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (ch == 'n')
			*function = choose(optarg);
		else if (ch == 'c')
			*cpu = optarg;
		else if (ch != 'p' || count == PORTS || !read_port(optarg, &ports[count++]))
			return false;
	}
	return *function != NULL && count == PORTS && optind == argc;
}

int main(int argc, char **argv)
{
	const struct function *function = NULL;
	const char *cpu = NULL;
	struct control control;

	if (control_open(&control) != 0)
		fail(EXIT_FAILURE, "stdin and stdout must be open: they are the control channel");
	if (!parse(argc, argv, &function, &cpu))
		return usage();
	clock_init();
	must(rtlink_open(), "open a socket of", "rtnetlink");
	no_ipv6();
	for (int i = 0; i < PORTS; i++) {
		find(&ports[i]);
		must(rtlink_up(ports[i].link.index), "set up", ports[i].link.name);
		if (cpu != NULL)
			steer_interrupts(&ports[i].link, cpu);
	}
	function->start();
	control_event(&control, "ready", json_pack("{s:s, s:s, s:i, s:I, s:s, s:s}", "program", "kernelnf", "version",
						    VSW_VERSION, "pid", (int)getpid(), "tsc_hz", (json_int_t)clock_hz, "nf",
						    function->name, "xdp_mode", xdp_mode));
	control_serve(&control, commands, &ports);
	return EXIT_SUCCESS;
}
