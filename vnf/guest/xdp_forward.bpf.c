/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)
 *
 * The nf "xdp-forward": an IPv4 router in eBPF, at the driver of both devices of a guest (harness/kernelnf.py). It asks
 * the kernel's own routes and neighbours (bpf_fib_lookup), takes one from the time to live, and hands the frame to the
 * device that the route names (XDP_REDIRECT). Nothing is left to the kernel's stack but what is not addressed to the
 * router, which the stack ignores. It does not check the header's checksum and knows no fragmentation.
 *
 * Its licence is as it is because the kernel has bpf_fib_lookup for nobody else.
 */
#include "xdp_forward.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#define AF_INET 2    /* sys/socket.h is the C library's */
#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))    /* one program, without calls */
#define BE16(x) __builtin_bswap16(x)

static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const bpf_fib_lookup)(void *context, struct bpf_fib_lookup *params, int size, __u32 flags) =
	(void *)BPF_FUNC_fib_lookup;

/* The only data, so all of section .bss; the process that loads this has it in its memory, too. */
struct xdp_forward_port ports[XDP_FORWARD_PORTS];

INLINE int drop(struct xdp_forward_port *p, enum xdp_forward_drop why)
{
	p->dropped[why]++;
	return XDP_DROP;
}

/* The header's words sum up to 0x0100 less, so their sum's complement is as much more, its carry added (RFC 1624). */
INLINE void decrease_ttl(struct iphdr *ip)
{
	__u32 sum = (__u32)ip->check + BE16(0x0100);
	ip->check = (__u16)(sum + (sum >= 0xffff));
	ip->ttl--;
}

INLINE int is_mine(const struct ethhdr *eth, const struct xdp_forward_port *p)
{
	for (int i = 0; i < ETH_ALEN; i++)
		if (eth->h_dest[i] != p->mac[i])
			return 0;
	return 1;
}

INLINE int route(struct xdp_md *context, struct xdp_forward_port *p, struct ethhdr *eth, struct iphdr *ip)
{
	struct bpf_fib_lookup to;

	__builtin_memset(&to, 0, sizeof(to));    /* the kernel wants every byte of its unions set */
	to.family = AF_INET;
	to.l4_protocol = ip->protocol;
	to.tot_len = BE16(ip->tot_len);
	to.ifindex = context->ingress_ifindex;
	to.tos = ip->tos;
	to.ipv4_src = ip->saddr;
	to.ipv4_dst = ip->daddr;
	if (bpf_fib_lookup(context, &to, sizeof(to), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return drop(p, XDP_FORWARD_NO_ROUTE);
	decrease_ttl(ip);
	__builtin_memcpy(eth->h_dest, to.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, to.smac, ETH_ALEN);
	p->tx_count++;
	return (int)bpf_redirect(to.ifindex, 0);
}

SECTION("xdp")
int xdp_forward(struct xdp_md *context)
{
	struct xdp_forward_port *p = &ports[context->ingress_ifindex != ports[0].index];
	const void *end = (const void *)(unsigned long)context->data_end;
	struct ethhdr *eth = (struct ethhdr *)(unsigned long)context->data;
	struct iphdr *ip = (struct iphdr *)(eth + 1);

	p->rx_count++;
	if ((const void *)ip > end)
		return drop(p, XDP_FORWARD_MALFORMED);
	if (!is_mine(eth, p))
		return XDP_PASS;
	if (eth->h_proto != BE16(ETH_P_IP))
		return drop(p, XDP_FORWARD_NOT_IP);
	if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 ||
	    BE16(ip->tot_len) > (const char *)end - (const char *)ip)
		return drop(p, XDP_FORWARD_MALFORMED);
	if (ip->ttl <= 1)
		return drop(p, XDP_FORWARD_TTL);
	return route(context, p, eth, ip);
}
