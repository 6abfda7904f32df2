/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The switch "xdp" (harness/switches/xdp.py): a patch panel in eBPF.  Runs at the driver of every port of the switch
 * and hands each frame to the port's neighbour.  The harness numbers the devices so that wires join an even index with
 * the odd one behind it (harness/ports.py).  A frame that the neighbour does not take is dropped and counted there.
 */
#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))

static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;

SECTION("xdp")
int
xdp_patch(struct xdp_md *context)
{
	return (int)bpf_redirect(context->ingress_ifindex ^ 1u, 0);
}
