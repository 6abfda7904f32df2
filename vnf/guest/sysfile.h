/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Small files of /proc and /sys.
 */
#ifndef VSW_GUEST_SYSFILE_H
#define VSW_GUEST_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads at most size-1 bytes and cuts the line end. False if the file cannot be read. */
bool read_text(const char *path, char *buf, size_t size);

/* False, with errno, if the file cannot be written. */
bool write_text(const char *path, const char *text);

#endif
