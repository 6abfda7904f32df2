/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What init says on the console, and how it ends.
 */
#ifndef VSW_GUEST_END_H
#define VSW_GUEST_END_H

#include <stdbool.h>

/* One line "vswbench-init: ..." on the console. */
void say(const char *text);

void pause_ms(long ms);

/* Ends the guest, and with it QEMU. */
_Noreturn void power_off(void);

/* Says why on the console and, once it is open, to the host ({"event":"failed","error":".."}), then powers off. */
_Noreturn __attribute__((format(printf, 1, 2))) void die(const char *fmt, ...);

#endif
