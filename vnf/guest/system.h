/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From a bare kernel to one that a program can run on: file systems, loopback, modules, hugepages. Whatever fails
 * ends the guest with a reason (end.h).
 */
#ifndef VSW_GUEST_SYSTEM_H
#define VSW_GUEST_SYSTEM_H


void mount_all(void);
void loopback_up(void);

/* `list`: one module path a line, in the order of loading. */
void load_modules(const char *list);

/* Number of hugepages there are; fails if the command line asked for more (hugepages=N, maybe several times). */
long check_hugepages(long *page_bytes);

#endif
