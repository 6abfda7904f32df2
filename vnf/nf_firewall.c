/* SPDX-License-Identifier: BSD-3-Clause
 *
 * firewall: permits or denies by the 5-tuple, without state; the first rule that matches decides (rte_acl).
 *
 *   permit|deny PROTOCOL SOURCE PORTS DESTINATION PORTS      e.g. deny udp 10.0.0.0/8 any any 53
 *   default permit|deny                                      what no rule matches; permit if not said
 *
 * PROTOCOL: any, tcp, udp, icmp, icmp6 or a number; an address: any, or a prefix; PORTS: any, N or N-M.  A rule with
 * addresses is of their family, one without is of both.
 * What has no ports, as a fragment after the first, has ports 0 here.  Frames that are no IP pass, as through a
 * filtering bridge; malformed ones do not.
 */
#include <rte_acl.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "flowkey.h"
#include "nf.h"
#include "packet.h"
#include "words.h"

extern const struct nf nf_firewall;

enum { FIELD_PROTOCOL, FIELD_SRC, FIELD_DST = FIELD_SRC + 4, FIELD_SRC_PORT = FIELD_DST + 4, FIELD_DST_PORT, FIELDS };
enum { ACTION_NONE, ACTION_PERMIT, ACTION_DENY };

RTE_ACL_RULE_DEF(acl_rule, FIELDS);

/* The rules of one family. */
struct family {
	uint8_t version;
	struct acl_rule *rules;
	unsigned int count;
	struct rte_acl_ctx *acl; /* NULL: no rules */
};

static struct family family4 = {.version = 4};
static struct family family6 = {.version = 6};
static uint32_t default_action;

/* ---- rules ---------------------------------------------------------------------------------------------------- */

static bool
parse_protocol(const char *word, struct rte_acl_field *f)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}, {"icmp6", IPPROTO_ICMPV6}};
	uint64_t number = 0;
	bool any = strcmp(word, "any") == 0;
	bool good = any;

	for (unsigned int i = 0; i < RTE_DIM(known) && !good; i++) {
		good = strcmp(word, known[i].name) == 0;
		number = good ? known[i].number : 0;
	}
	if (!good && !words_number(word, 0, UINT8_MAX, &number))
		return false;
	f->value.u8 = (uint8_t)number;
	f->mask_range.u8 = any ? 0 : UINT8_MAX;
	return true;
}

/* Four words of 32 bits, each with how many of its bits count.  IPv4 has one, the others are 0 in a flow's key. */
static bool
parse_address(const char *word, struct rte_acl_field f[4], uint8_t *version)
{
	struct prefix p = {.version = *version};
	uint32_t value;

	if (strcmp(word, "any") != 0) {
		if (!words_prefix(word, &p) || (*version != 0 && *version != p.version))
			return false;
		*version = p.version;
	}
	for (unsigned int i = 0; i < 4; i++) {
		memcpy(&value, &p.bytes[i * 4], sizeof(value));
		f[i].value.u32 = rte_be_to_cpu_32(value);
		f[i].mask_range.u32 = p.bits > i * 32 ? RTE_MIN(p.bits - i * 32, 32u) : 0;
	}
	return true;
}

static bool
parse_ports(const char *word, struct rte_acl_field *f)
{
	struct port_range r;

	if (!words_ports(word, &r))
		return false;
	f->value.u16 = r.low;
	f->mask_range.u16 = r.high;
	return true;
}

/* Gives the family that the rule is of, 0 for both; -1 for no rule. */
static int
parse_rule(const struct words *w, struct acl_rule *r)
{
	uint8_t version = 0;
	bool permit = w->count == 6 && strcmp(w->word[0], "permit") == 0;

	if (!permit && (w->count != 6 || strcmp(w->word[0], "deny") != 0))
		return -1;
	memset(r, 0, sizeof(*r));
	r->data.category_mask = 1;
	r->data.priority = (int32_t)(RTE_ACL_MAX_PRIORITY - w->number);
	r->data.userdata = permit ? ACTION_PERMIT : ACTION_DENY;
	if (!parse_protocol(w->word[1], &r->field[FIELD_PROTOCOL]) ||
	    !parse_address(w->word[2], &r->field[FIELD_SRC], &version) ||
	    !parse_ports(w->word[3], &r->field[FIELD_SRC_PORT]) ||
	    !parse_address(w->word[4], &r->field[FIELD_DST], &version) ||
	    !parse_ports(w->word[5], &r->field[FIELD_DST_PORT]))
		return -1;
	return version;
}

static bool
parse_default(const struct words *w)
{
	if (w->count != 2 || strcmp(w->word[0], "default") != 0)
		return false;
	default_action = strcmp(w->word[1], "deny") == 0 ? ACTION_DENY : ACTION_PERMIT;
	return default_action == ACTION_DENY || strcmp(w->word[1], "permit") == 0;
}

static int
parse(const char *arg, char *error)
{
	struct acl_rule rule;
	struct words w;
	int more;

	default_action = ACTION_PERMIT;
	words_start(&w, arg);
	while ((more = words_next(&w)) > 0) {
		if (parse_default(&w))
			continue;
		int version = parse_rule(&w, &rule);
		if (version < 0)
			return words_refuse(&w, error, "allowed is permit|deny PROTOCOL SOURCE PORTS DESTINATION PORTS, "
						       "and default permit|deny");
		if (version != 6)
			family4.rules[family4.count++] = rule;
		if (version != 4)
			family6.rules[family6.count++] = rule;
	}
	return more < 0 ? words_refuse(&w, error, "too long") : 0;
}

/* ---- the classifier ------------------------------------------------------------------------------------------- */

#define KEY_FIELD(index, input, kind, bytes, at) \
	(struct rte_acl_field_def){.type = RTE_ACL_FIELD_TYPE_##kind, .size = (bytes), .field_index = (index), \
				   .input_index = (input), .offset = (uint32_t)(at)}

/* rte_acl reads a struct flow_key: one byte first, then four at a time. */
static void
configure(struct rte_acl_config *c)
{
	memset(c, 0, sizeof(*c));
	c->num_categories = 1;
	c->num_fields = FIELDS;
	c->defs[FIELD_PROTOCOL] = KEY_FIELD(FIELD_PROTOCOL, 0, BITMASK, 1, offsetof(struct flow_key, protocol));
	for (unsigned int i = 0; i < 4; i++) {
		c->defs[FIELD_SRC + i] = KEY_FIELD(FIELD_SRC + i, 1 + i, MASK, 4, offsetof(struct flow_key, src) + i * 4);
		c->defs[FIELD_DST + i] = KEY_FIELD(FIELD_DST + i, 5 + i, MASK, 4, offsetof(struct flow_key, dst) + i * 4);
	}
	c->defs[FIELD_SRC_PORT] = KEY_FIELD(FIELD_SRC_PORT, 9, RANGE, 2, offsetof(struct flow_key, src_port));
	c->defs[FIELD_DST_PORT] = KEY_FIELD(FIELD_DST_PORT, 9, RANGE, 2, offsetof(struct flow_key, dst_port));
}

static int
build(struct family *f, const char *name)
{
	struct rte_acl_param param = {.name = name, .socket_id = SOCKET_ID_ANY,
				      .rule_size = RTE_ACL_RULE_SZ(FIELDS), .max_rule_num = f->count};
	struct rte_acl_config config;
	int rc;

	if (f->count == 0)
		return 0;
	configure(&config);
	f->acl = rte_acl_create(&param);
	if (f->acl == NULL)
		return -rte_errno;
	rc = rte_acl_add_rules(f->acl, (const struct rte_acl_rule *)f->rules, f->count);
	return rc == 0 ? rte_acl_build(f->acl, &config) : rc;
}

static void
firewall_fini(void)
{
	rte_acl_free(family4.acl);
	rte_acl_free(family6.acl);
	family4 = (struct family){.version = 4};
	family6 = (struct family){.version = 6};
}

static int
firewall_init(const char *arg, char *error)
{
	unsigned int bound = words_bound(arg);
	int rc = -ENOMEM;
	int parsed = 0;

	family4.rules = calloc(bound, sizeof(struct acl_rule));
	family6.rules = calloc(bound, sizeof(struct acl_rule));
	if (family4.rules != NULL && family6.rules != NULL) {
		parsed = parse(arg, error);
		rc = parsed != 0 ? 0 : build(&family4, "firewall4");
		if (parsed == 0 && rc == 0)
			rc = build(&family6, "firewall6");
	}
	free(family4.rules);
	free(family6.rules);
	if (rc != 0)
		snprintf(error, NF_ERROR_MAX, "the rules cannot be compiled: %s: give DPDK more memory with -m, or fewer rules",
			 rte_strerror(-rc));
	return parsed == 0 && rc == 0 ? 0 : -1;
}

/* ---- packets -------------------------------------------------------------------------------------------------- */

/* Those of a batch that are of one family. */
struct share {
	const uint8_t *key[NF_BATCH_MAX];
	uint32_t action[NF_BATCH_MAX];
	uint8_t place[NF_BATCH_MAX];
	uint32_t n;
};

static void
classify(const struct family *f, struct share *s, uint8_t *drop)
{
	memset(s->action, 0, s->n * sizeof(s->action[0]));
	if (f->acl != NULL && s->n > 0)
		rte_acl_classify(f->acl, s->key, s->action, s->n, 1);
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t action = s->action[i] != ACTION_NONE ? s->action[i] : default_action;
		drop[s->place[i]] = action == ACTION_DENY ? NF_DENIED : NF_FORWARD;
	}
}

static inline void
add(struct share *s, const struct flow_key *key, uint16_t place)
{
	s->key[s->n] = (const uint8_t *)key;
	s->place[s->n++] = (uint8_t)place;
}

static uint16_t
firewall_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	struct flow_key key[NF_BATCH_MAX + 1]; /* rte_acl reads four bytes at a time, the last ones beyond a key */
	struct share share4;
	struct share share6;
	uint16_t drops = 0;

	(void)side;
	share4.n = 0;
	share6.n = 0;
	for (uint16_t i = 0; i < n; i++) {
		packet_prefetch(pkts, i, n);
		flow_key_of(pkts[i], &key[i]);
		if (key[i].kind == FLOW_IPV4 || key[i].kind == FLOW_IPV4_FRAGMENT)
			add(&share4, &key[i], i);
		else if (key[i].kind == FLOW_IPV6 || key[i].kind == FLOW_IPV6_FRAGMENT)
			add(&share6, &key[i], i);
		else if (key[i].kind == FLOW_MALFORMED)
			drop[i] = NF_MALFORMED;
	}
	classify(&family4, &share4, drop);
	classify(&family6, &share6, drop);
	for (uint16_t i = 0; i < n; i++)
		drops += drop[i] != NF_FORWARD;
	return drops;
}

const struct nf nf_firewall = {
	.name = "firewall",
	.help = "[permit|deny PROTOCOL SOURCE PORTS DESTINATION PORTS; ...; default permit|deny]: filter by 5-tuple",
	.init = firewall_init,
	.process = firewall_process,
	.fini = firewall_fini,
};
