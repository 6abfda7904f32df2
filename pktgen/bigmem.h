/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Large zeroed tables: in transparent huge pages where the kernel has them (a random access then misses the TLB
 * once in 2 MiB, not in 4 KiB), and really there: every page is touched before big_alloc() returns, so that no page
 * fault stops a worker later, and no overcommitted page kills the program later.
 *
 * Slow (some 0.3 s a GiB): for the control thread, never for a worker.
 */
#ifndef VSW_BIGMEM_H
#define VSW_BIGMEM_H

#include <stddef.h>
#include <stdint.h>

#define BIG_ERROR_MAX 256u
#define BIG_PAGE (UINT64_C(2) << 20)

/* Bytes that big_alloc() would still give: 7/8 of the kernel's MemAvailable or of what our control group (version 2: a
 * container, a systemd service) has left, whichever is less; the rest is left to others.  UINT64_MAX if the kernel
 * does not tell. */
uint64_t big_limit(void);

/* `bytes` of zeros for `what` ("the flow table"), aligned to a page, and to 2 MiB if that large.  NULL, with a
 * sentence that names the demand and the limit. */
void *big_alloc(size_t bytes, const char *what, char error[BIG_ERROR_MAX]);

/* Gives back what big_alloc(bytes, ...) returned; NULL does nothing. */
void big_free(void *memory, size_t bytes);

#endif
