/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Loads the program of the nf "xdp-forward" (xdp_forward.bpf.c, which is part of this binary) into the kernel by bpf(2).
 * It stays with the devices that it is attached to (rtlink_attach()), and goes with them.
 */
#ifndef VSW_GUEST_XDPFORWARD_H
#define VSW_GUEST_XDPFORWARD_H

#include "xdp_forward.h"

extern const char *const xdp_forward_drop_names[XDP_FORWARD_DROPS];

/* A file descriptor of the program, or -errno; -ENOSYS if it was not built (without clang). `ports` is then the
 * program's own memory, which it counts in: indices and addresses of devices must be there before it sees a frame. */
int xdp_forward_load(struct xdp_forward_port **ports);

#endif
