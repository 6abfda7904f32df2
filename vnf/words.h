/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An nf's argument as statements of words: "cir_bytes_per_s 1000; by flow" or one a line; '#' begins a comment that
 * goes to the end of its statement.  The text is another's: every reader says false to what is not wholly what it
 * reads.
 */
#ifndef VSW_WORDS_H
#define VSW_WORDS_H

#include <rte_ether.h>
#include <stdbool.h>
#include <stdint.h>

#define WORDS_MAX 8u              /* in a statement */
#define WORDS_STATEMENT_MAX 256u /* bytes of one */

struct words {
	const char *at;      /* what is left of the text */
	unsigned int number; /* of the statement at hand, from 1 */
	unsigned int count;
	const char *word[WORDS_MAX];
	char text[WORDS_STATEMENT_MAX]; /* the words point here */
};

/* `text` may be NULL: no statements. */
void words_start(struct words *w, const char *text);

/* Reads the next statement that is not empty.  1, or 0 at the end, or -1 if it is too long or has too many words. */
int words_next(struct words *w);

/* How many statements there can be in `text` at most. */
unsigned int words_bound(const char *text);

/* Writes "statement 3 (cir x): WHY" to error[256], and returns -1. */
int words_refuse(const struct words *w, char *error, const char *why);

bool words_number(const char *word, uint64_t low, uint64_t high, uint64_t *value);
bool words_mac(const char *word, struct rte_ether_addr *mac);

struct prefix {
	uint8_t version;   /* 4 or 6 */
	uint8_t bits;      /* its length */
	uint8_t bytes[16]; /* network order, the first 4 for IPv4; behind the prefix all 0 */
};

/* "10.0.0.0/8", "2001:db8::/32", or an address alone, which is a prefix of full length.  Bits behind the prefix must
 * be 0. */
bool words_prefix(const char *word, struct prefix *p);

struct port_range {
	uint16_t low;
	uint16_t high;
};

/* "any", "53" or "1024-65535". */
bool words_ports(const char *word, struct port_range *r);

/* A setting "NAME VALUE": a number, or one of `choices` (NULL-terminated), whose place is the value, or an IPv4
 * address, which is read to `address` in host order. */
struct setting {
	const char *name;
	uint64_t low;
	uint64_t high;
	const char *const *choices;
	uint64_t *value;
	uint32_t *address;
};

/* Reads a text of settings only; `settings` ends with a NULL name.  0, or -1 with a sentence. */
int words_settings(const char *text, const struct setting *settings, char *error);

#endif
