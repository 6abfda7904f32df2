/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs a program at the request of the host. From the reply on the port to the host is its stdin and stdout; its stderr
 * is the console. At its end all that it left behind is killed, and the host is told.
 */
#ifndef VSW_GUEST_EXEC_H
#define VSW_GUEST_EXEC_H

#include <jansson.h>

/* {"id":1,"cmd":"exec","argv":["vnf","-l","0"]}: replies, and returns when the program has ended. */
void do_exec(json_t *id, json_t *request);

#endif
