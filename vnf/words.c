/* SPDX-License-Identifier: BSD-3-Clause */
#include "words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf.h"

#define ENDS ";\n"
#define BLANKS " \t\r"

void
words_start(struct words *w, const char *text)
{
	memset(w, 0, sizeof(*w));
	w->at = text != NULL ? text : "";
}

unsigned int
words_bound(const char *text)
{
	unsigned int n = 1;

	for (; text != NULL && *text != '\0'; text++)
		n += strchr(ENDS, *text) != NULL;
	return n;
}

/* Cuts w->text into words.  False if there are too many. */
static bool
cut(struct words *w)
{
	char *rest = w->text;
	char *word;

	w->count = 0;
	while ((word = strtok_r(rest, BLANKS, &rest)) != NULL) {
		if (w->count == WORDS_MAX)
			return false;
		w->word[w->count++] = word;
	}
	return true;
}

int
words_next(struct words *w)
{
	while (*w->at != '\0') {
		size_t whole = strcspn(w->at, ENDS);
		const char *comment = memchr(w->at, '#', whole);
		size_t length = comment != NULL ? (size_t)(comment - w->at) : whole;
		size_t kept = length < sizeof(w->text) ? length : sizeof(w->text) - 1;

		memcpy(w->text, w->at, kept);
		w->text[kept] = '\0';
		w->at += whole + (w->at[whole] != '\0');
		w->number++;
		if (!cut(w) || kept < length)
			return -1;
		if (w->count > 0)
			return 1;
	}
	return 0;
}

int
words_refuse(const struct words *w, char *error, const char *why)
{
	char said[64] = "";
	size_t at = 0;

	for (unsigned int i = 0; i < w->count && at < sizeof(said); i++)
		at += (size_t)snprintf(said + at, sizeof(said) - at, "%s%s", i > 0 ? " " : "", w->word[i]);
	snprintf(error, NF_ERROR_MAX, "statement %u (%s): %s", w->number, said, why);
	return -1;
}

bool
words_number(const char *word, uint64_t low, uint64_t high, uint64_t *value)
{
	char *end;

	if (*word < '0' || *word > '9')
		return false;
	errno = 0;
	*value = strtoull(word, &end, 10);
	return errno == 0 && *end == '\0' && *value >= low && *value <= high;
}

bool
words_mac(const char *word, struct rte_ether_addr *mac)
{
	return strlen(word) == RTE_ETHER_ADDR_FMT_SIZE - 1 && rte_ether_unformat_addr(word, mac) == 0;
}

static bool
only_prefix(const struct prefix *p)
{
	for (unsigned int bit = p->bits; bit < (p->version == 4 ? 32u : 128u); bit++) {
		if ((p->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
			return false;
	}
	return true;
}

bool
words_prefix(const char *word, struct prefix *p)
{
	size_t length = strcspn(word, "/");
	char address[INET6_ADDRSTRLEN];
	uint64_t bits;

	memset(p, 0, sizeof(*p));
	if (length >= sizeof(address))
		return false;
	memcpy(address, word, length);
	address[length] = '\0';
	p->version = strchr(address, ':') != NULL ? 6 : 4;
	bits = p->version == 4 ? 32 : 128;
	if (inet_pton(p->version == 4 ? AF_INET : AF_INET6, address, p->bytes) != 1)
		return false;
	if (word[length] == '/' && !words_number(word + length + 1, 0, bits, &bits))
		return false;
	p->bits = (uint8_t)bits;
	return only_prefix(p);
}

bool
words_ports(const char *word, struct port_range *r)
{
	char low[8];
	size_t length = strcspn(word, "-");
	uint64_t from = 0;
	uint64_t to = UINT16_MAX;

	if (strcmp(word, "any") != 0) {
		if (length >= sizeof(low))
			return false;
		memcpy(low, word, length);
		low[length] = '\0';
		if (!words_number(low, 0, UINT16_MAX, &from))
			return false;
		to = from;
		if (word[length] == '-' && !words_number(word + length + 1, from, UINT16_MAX, &to))
			return false;
	}
	*r = (struct port_range){(uint16_t)from, (uint16_t)to};
	return true;
}

static bool
read_address(const char *word, uint32_t *address)
{
	struct prefix p;

	if (!words_prefix(word, &p) || p.version != 4 || p.bits != 32)
		return false;
	memcpy(address, p.bytes, sizeof(*address));
	*address = rte_be_to_cpu_32(*address);
	return true;
}

static bool
read_setting(const struct setting *s, const char *word)
{
	if (s->address != NULL)
		return read_address(word, s->address);
	if (s->choices == NULL)
		return words_number(word, s->low, s->high, s->value);
	for (unsigned int i = 0; s->choices[i] != NULL; i++) {
		if (strcmp(s->choices[i], word) == 0) {
			*s->value = i;
			return true;
		}
	}
	return false;
}

static int
refuse_setting(const struct words *w, const struct setting *s, char *error)
{
	char why[160];
	size_t at = (size_t)snprintf(why, sizeof(why), "%s is ", s->name);

	if (s->address != NULL)
		snprintf(why + at, sizeof(why) - at, "an IPv4 address");
	else if (s->choices == NULL)
		snprintf(why + at, sizeof(why) - at, "a number from %llu to %llu", (unsigned long long)s->low,
			 (unsigned long long)s->high);
	for (unsigned int i = 0; s->choices != NULL && s->choices[i] != NULL && at < sizeof(why); i++)
		at += (size_t)snprintf(why + at, sizeof(why) - at, "%s%s", i > 0 ? " or " : "", s->choices[i]);
	return words_refuse(w, error, why);
}

int
words_settings(const char *text, const struct setting *settings, char *error)
{
	struct words w;
	int more;

	words_start(&w, text);
	while ((more = words_next(&w)) > 0) {
		const struct setting *s = settings;
		while (s->name != NULL && strcmp(s->name, w.word[0]) != 0)
			s++;
		if (s->name == NULL)
			return words_refuse(&w, error, "there is no such setting");
		if (w.count != 2 || !read_setting(s, w.word[1]))
			return refuse_setting(&w, s, error);
	}
	return more < 0 ? words_refuse(&w, error, "too long") : 0;
}
