/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Time that the hypervisor gave our CPUs to others: the "steal" of /proc/stat (proc(5)), in steps of a clock tick.
 */
#ifndef VSW_STEAL_H
#define VSW_STEAL_H

#include <stdint.h>

/* Nanoseconds since boot, of all CPUs; 0 where the kernel does not tell. */
uint64_t steal_ns(void);

#endif
