/* SPDX-License-Identifier: BSD-3-Clause */
#include "rtlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RULE_PRIORITY 100    /* before that of the main table, 32766 (ip-rule(8)) */

/* A request under construction. */
struct request {
	struct nlmsghdr head;
	char body[1024];
};

static int sock = -1;
static uint32_t sequence;

int rtlink_open(void)
{
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return sock < 0 ? -errno : 0;
}

/* Begins a request with the fixed part that its type has. */
static struct request begin(uint16_t type, uint16_t flags, const void *fixed, size_t size)
{
	struct request r = {.head = {.nlmsg_len = (uint32_t)NLMSG_SPACE(size), .nlmsg_type = type,
				     .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags), .nlmsg_seq = ++sequence}};
	memcpy(r.body, fixed, size);
	return r;
}

/* Appends an attribute and gives it, so that others may be nested in it: end() then. */
static struct rtattr *put(struct request *r, uint16_t type, const void *data, size_t size)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)r + r->head.nlmsg_len);
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(a), data, size);
	r->head.nlmsg_len += (uint32_t)RTA_SPACE(size);
	return a;
}

static void end(const struct request *r, struct rtattr *a)
{
	a->rta_len = (uint16_t)((const char *)r + r->head.nlmsg_len - (char *)a);
}

/* Sends, and gives the size of the first message that answers, or -errno. */
static ssize_t ask(const struct request *r, void *answer, size_t size)
{
	struct nlmsghdr *head = answer;
	ssize_t n;
	if (send(sock, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(sock, answer, size, 0);
	while ((n < 0 && errno == EINTR) || (n >= (ssize_t)sizeof(*head) && head->nlmsg_seq != r->head.nlmsg_seq));
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)n))
		return -EPROTO;
	if (head->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
	return n;
}

static int change(struct request *r)
{
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	r->head.nlmsg_flags |= NLM_F_ACK;
	ssize_t n = ask(r, answer, sizeof(answer));
	return n > 0 ? -EPROTO : (int)n;
}

static void read_link(const struct nlmsghdr *head, struct link *l)
{
	const struct ifinfomsg *info = NLMSG_DATA(head);
	size_t left = IFLA_PAYLOAD(head);
	*l = (struct link){.index = info->ifi_index};
	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		size_t size = RTA_PAYLOAD(a);
		if (a->rta_type == IFLA_IFNAME)
			memcpy(l->name, RTA_DATA(a), size < IFNAMSIZ ? size : IFNAMSIZ - 1);
		else if (a->rta_type == IFLA_ADDRESS && size == MAC_BYTES)
			memcpy(l->mac, RTA_DATA(a), MAC_BYTES);
		else if (a->rta_type == IFLA_CARRIER)
			l->carrier = *(const uint8_t *)RTA_DATA(a) != 0;
		else if (a->rta_type == IFLA_STATS64)
			memcpy(&l->stats, RTA_DATA(a), size < sizeof(l->stats) ? size : sizeof(l->stats));
	}
}

static int read_index(int index, struct link *found)
{
	char answer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct ifinfomsg info = {.ifi_index = index};
	struct request r = begin(RTM_GETLINK, 0, &info, sizeof(info));
	ssize_t n = ask(&r, answer, sizeof(answer));
	if (n < 0)
		return (int)n;
	read_link((struct nlmsghdr *)(void *)answer, found);
	return 0;
}

int rtlink_read(int index, const uint8_t mac[MAC_BYTES], struct link *found)
{
	struct if_nameindex *all = index == 0 ? if_nameindex() : NULL;
	int result = -ENODEV;
	if (index != 0)
		return read_index(index, found);
	for (struct if_nameindex *i = all; i != NULL && i->if_index != 0 && result != 0; i++)
		if (read_index((int)i->if_index, found) == 0 && memcmp(found->mac, mac, MAC_BYTES) == 0)
			result = 0;
	if_freenameindex(all);
	return result;
}

int rtlink_up(int index)
{
	struct ifinfomsg info = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct request r = begin(RTM_NEWLINK, 0, &info, sizeof(info));
	return change(&r);
}

int rtlink_add_bridge(const char *name)
{
	static const uint32_t no_stp = 0;
	static const uint8_t no_snooping = 0;
	struct ifinfomsg info = {0};
	struct request r = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	put(&r, IFLA_IFNAME, name, strlen(name) + 1);
	struct rtattr *kind = put(&r, IFLA_LINKINFO, NULL, 0);
	put(&r, IFLA_INFO_KIND, "bridge", strlen("bridge"));
	struct rtattr *data = put(&r, IFLA_INFO_DATA, NULL, 0);
	put(&r, IFLA_BR_STP_STATE, &no_stp, sizeof(no_stp));
	put(&r, IFLA_BR_MCAST_SNOOPING, &no_snooping, sizeof(no_snooping));
	end(&r, data);
	end(&r, kind);
	return change(&r);
}

int rtlink_join(int index, int bridge)
{
	struct ifinfomsg info = {.ifi_index = index};
	struct request r = begin(RTM_NEWLINK, 0, &info, sizeof(info));
	put(&r, IFLA_MASTER, &bridge, sizeof(bridge));
	return change(&r);
}

int rtlink_attach(int index, int program, uint32_t flags)
{
	struct ifinfomsg info = {.ifi_index = index};
	struct request r = begin(RTM_NEWLINK, 0, &info, sizeof(info));
	struct rtattr *xdp = put(&r, IFLA_XDP | NLA_F_NESTED, NULL, 0);
	put(&r, IFLA_XDP_FD, &program, sizeof(program));
	put(&r, IFLA_XDP_FLAGS, &flags, sizeof(flags));
	end(&r, xdp);
	return change(&r);
}

int rtlink_add_neighbour(int index, uint32_t address, const uint8_t mac[MAC_BYTES])
{
	struct ndmsg n = {.ndm_family = AF_INET, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
	struct request r = begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &n, sizeof(n));
	put(&r, NDA_DST, &address, sizeof(address));
	put(&r, NDA_LLADDR, mac, MAC_BYTES);
	return change(&r);
}

int rtlink_add_default_route(uint32_t table, int index, uint32_t gateway)
{
	/* on the link: the device needs no address of the gateway's prefix, nor any */
	struct rtmsg m = {.rtm_family = AF_INET, .rtm_table = (uint8_t)table, .rtm_protocol = RTPROT_STATIC,
			  .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST, .rtm_flags = RTNH_F_ONLINK};
	struct request r = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));
	put(&r, RTA_GATEWAY, &gateway, sizeof(gateway));
	put(&r, RTA_OIF, &index, sizeof(index));
	return change(&r);
}

int rtlink_add_rule(const char *in, uint32_t table)
{
	static const uint32_t priority = RULE_PRIORITY;
	struct fib_rule_hdr h = {.family = AF_INET, .table = (uint8_t)table, .action = FR_ACT_TO_TBL};
	struct request r = begin(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h));
	put(&r, FRA_PRIORITY, &priority, sizeof(priority));
	put(&r, FRA_IIFNAME, in, strlen(in) + 1);
	return change(&r);
}
