/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sequence accounting against a model that forgets nothing: a byte for every number a flow ever skipped or saw,
 * by its position on the number line without wrap.
 */
#include "seq.h"

#include <string.h>

#include "test.h"

#define FLOWS_USED 4u

static char error[BIG_ERROR_MAX];

/* When a number was jumped over: at which arrival of its flow, by which jump of all. */
struct overtaken {
	uint64_t position;
	uint64_t jump;
};

/* One flow on an endless number line; the packet carries the low 32 bits. */
struct line {
	uint64_t next;    /* greatest number seen, plus one */
	uint64_t origin;  /* seen[0] stands for this number */
	uint64_t length;
	uint8_t *seen;    /* [length] */
	struct overtaken *overtaken; /* [length] */
	uint64_t unique;  /* arrivals so far */
};

struct model {
	unsigned int flows;         /* in use: FLOWS_USED, or 1 of a table for one */
	uint32_t index[FLOWS_USED]; /* their numbers in the table under test */
	struct line line[FLOWS_USED];
	uint64_t window;
	uint64_t added;
	uint64_t unique;
	uint64_t duplicates;
	uint64_t reordered;
	uint64_t old;
	uint64_t extent_max; /* RFC 4737 4.2.1 */
	uint64_t extent_unknown;
	uint64_t jumps;
};

/* Number n comes: all between are overtaken by it. */
static void
model_jump(struct model *m, struct line *l, uint64_t n)
{
	for (uint64_t k = l->next; k < n; k++)
		l->overtaken[k - l->origin] = (struct overtaken){l->unique, m->jumps};
	m->jumps += n > l->next;
}

/* What the header promises, for the packet with number n. */
static void
model_add(struct model *m, struct line *l, uint64_t n)
{
	bool old = n + m->window < l->next;

	m->added++;
	if (n < l->next && !old && l->seen[n - l->origin]) {
		m->duplicates++;
		return;
	}
	m->unique++;
	if (n >= l->next) {
		model_jump(m, l, n);
		l->next = n + 1;
	} else if (old) {
		m->old++;
	} else {
		const struct overtaken *o = &l->overtaken[n - l->origin];
		m->reordered++;
		if (m->jumps - o->jump > SEQ_GAPS)
			m->extent_unknown++;
		else if (l->unique - o->position > m->extent_max)
			m->extent_max = l->unique - o->position;
	}
	l->unique++;
	if (!old)
		l->seen[n - l->origin] = 1;
}

static const char *
compare(const struct seq *s, const struct model *m)
{
	check(s->unique_count == m->unique, "unique %" PRIu64 ", not %" PRIu64, s->unique_count, m->unique);
	check(s->duplicate_count == m->duplicates, "duplicates %" PRIu64 ", not %" PRIu64, s->duplicate_count,
	      m->duplicates);
	check(s->reordered_count == m->reordered, "reordered %" PRIu64 ", not %" PRIu64, s->reordered_count,
	      m->reordered);
	check(s->old_count == m->old, "old %" PRIu64 ", not %" PRIu64, s->old_count, m->old);
	check(s->reorder_extent_max == m->extent_max, "extent %" PRIu64 ", not %" PRIu64, s->reorder_extent_max,
	      m->extent_max);
	check(s->extent_unknown_count == m->extent_unknown, "extent unknown %" PRIu64 ", not %" PRIu64,
	      s->extent_unknown_count, m->extent_unknown);
	check(s->unique_count + s->duplicate_count == m->added, "unique + duplicates is not what was added");
	return NULL;
}

/* The numbers of the window that the model has not seen, one by one. */
static const char *
compare_flow(const struct seq *s, const struct model *m, unsigned int k)
{
	const struct line *l = &m->line[k];
	const struct seq_flow *f = &s->flow[m->index[k]];
	uint64_t missing = 0;

	for (uint64_t n = l->next - m->window; n < l->next; n++)
		missing += !l->seen[n - l->origin];
	check(f->next == (uint32_t)l->next, "flow %u expects %u, not %u", m->index[k], f->next, (uint32_t)l->next);
	check(f->missing == missing, "flow %u misses %u, not %" PRIu64, m->index[k], f->missing, missing);
	return NULL;
}

static bool
model_init(struct model *m, const struct seq *s, uint64_t length)
{
	uint32_t last = s->flows - 1;
	const uint32_t index[FLOWS_USED] = {0, 1, last / 2, last};

	memset(m, 0, sizeof(*m));
	m->window = s->window;
	m->flows = s->flows >= FLOWS_USED ? FLOWS_USED : 1;
	for (unsigned int k = 0; k < m->flows; k++) {
		struct line *l = &m->line[k];
		m->index[k] = index[k];
		/* what lies before number 0 counts as seen: there is no such packet to miss */
		l->origin = (UINT64_C(1) << 40) - 2 * m->window;
		l->next = UINT64_C(1) << 40;
		l->length = length + 4 * m->window;
		l->seen = calloc(l->length, 1);
		l->overtaken = calloc(l->length, sizeof(*l->overtaken));
		if (l->seen == NULL || l->overtaken == NULL)
			return false;
		memset(l->seen, 1, 2 * m->window);
	}
	return true;
}

static void
model_free(struct model *m)
{
	for (unsigned int k = 0; k < FLOWS_USED; k++) {
		free(m->line[k].seen);
		free(m->line[k].overtaken);
	}
}

/* The next packet of a flow: mostly in order; lost, late, duplicated and far ones around the window's edges. */
static uint64_t
pick(const struct line *l, uint64_t window, bool wild)
{
	uint64_t dice = test_below(1000);
	uint64_t back;

	if (dice < 650)
		return l->next;
	if (dice < 750)
		return l->next + 1 + test_below(5);
	if (dice < 850)
		back = 1 + test_below(8);
	else if (dice < 950)
		back = 1 + test_below(window);
	else if (dice < 990 || !wild)
		back = window - 2 + test_below(5); /* both sides of the edge */
	else if (dice < 994)
		back = 1 + test_below(2 * window);
	else if (dice < 999)
		return l->next + window - 2 + test_below(5);
	else
		return l->next + test_below(3 * window);
	back = back > 0 ? back : 1;
	return l->next - back;
}

/* Brings every flow near `seq` by two jumps, each less than 2^31, in both model and table. */
static void
jump_to(struct seq *s, struct model *m, uint32_t seq)
{
	for (unsigned int k = 0; k < m->flows; k++) {
		struct line *l = &m->line[k];
		for (unsigned int step = 0; step < 2; step++) {
			uint32_t to = step == 0 ? seq / 2 : seq;
			/* the line restarts there: of what came before nothing is in the window, all of it missing */
			memset(l->seen, 0, l->length);
			l->next = (UINT64_C(1) << 40) + to;
			l->origin = l->next - 2 * m->window;
			for (uint64_t i = 0; i < 2 * m->window; i++)
				l->overtaken[i] = (struct overtaken){l->unique, m->jumps};
			m->jumps++;
			model_add(m, l, l->next);
			seq_add(s, m->index[k], to);
		}
	}
}

static const char *
run(uint32_t flows, int packets, bool wild, uint32_t start)
{
	struct seq s;
	struct model m;
	const char *why = NULL;

	check(seq_init(&s, flows, error) == 0, "%s", error);
	check(s.window >= 64 && (s.window & (s.window - 1)) == 0, "window %u", s.window);
	check(model_init(&m, &s, (uint64_t)packets * (6 + (wild ? s.window / 32 : 0))), "%s", error);
	if (start != 0)
		jump_to(&s, &m, start);
	for (int i = 0; i < packets && why == NULL; i++) {
		unsigned int k = (unsigned int)test_below(m.flows);
		struct line *l = &m.line[k];
		uint64_t n = pick(l, m.window, wild);
		check(n - l->origin < l->length, "the model's line is too short");
		model_add(&m, l, n);
		seq_add(&s, m.index[k], (uint32_t)n);
		why = compare(&s, &m);
		if (why != NULL)
			fprintf(stderr, "  at packet %d, number %u of flow %u (next %u) of %u flows, window %u\n", i, (uint32_t)n,
				m.index[k], (uint32_t)l->next, flows, s.window);
	}
	for (unsigned int k = 0; k < m.flows && why == NULL; k++)
		why = compare_flow(&s, &m, k);
	model_free(&m);
	seq_free(&s);
	return why;
}

static const char *
test_random_streams(void)
{
	/* windows of 2^20, 2^12 and 64 */
	static const uint32_t flows[] = {1, 16, 4096, 262144, 1000000};
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]) && why == NULL; i++)
		why = run(flows[i], 100000, false, 0);
	return why;
}

static const char *
test_random_streams_with_jumps(void)
{
	const char *why = run(4096, 20000, true, 0);

	if (why == NULL)
		why = run(300000, 200000, true, 0);
	return why == NULL ? run(1, 200, true, 0) : why;
}

static const char *
test_around_the_wrap(void)
{
	const char *why = NULL;

	for (uint32_t back = 1; back < 1000 && why == NULL; back += 97)
		why = run(300000, 5000, true, 0u - back);
	for (uint32_t back = 1; back < 20000 && why == NULL; back += 4999)
		why = run(4096, 30000, true, 0u - back);
	return why == NULL ? run(1, 20000, false, 0u - 10000) : why;
}

/* Losses are what is left when the received are taken from the sent, whatever the order of arrival. */
static const char *
test_losses(void)
{
	enum { SENT = 50000, DISPLACED = 40 };
	static uint32_t order[SENT];
	static bool lost[SENT];
	struct seq s;
	uint64_t arrived = 0;
	uint64_t duplicated = 0;

	check(seq_init(&s, 1, error) == 0, "%s", error);
	for (uint32_t i = 0; i < SENT; i++) {
		order[i] = i;
		lost[i] = test_below(10) == 0;
	}
	lost[SENT - 1] = false;
	for (uint32_t i = 0; i + DISPLACED < SENT - 1; i++) {
		uint32_t with = i + (uint32_t)test_below(DISPLACED);
		uint32_t kept = order[i];
		order[i] = order[with];
		order[with] = kept;
	}
	for (uint32_t i = 0; i < SENT; i++) {
		if (lost[order[i]])
			continue;
		arrived++;
		seq_add(&s, 0, order[i]);
		if (test_below(20) == 0) {
			duplicated++;
			seq_add(&s, 0, order[i]);
		}
	}
	check(s.unique_count == arrived, "received %" PRIu64 " of %" PRIu64, s.unique_count, arrived);
	check(s.duplicate_count == duplicated, "duplicates %" PRIu64 " of %" PRIu64, s.duplicate_count, duplicated);
	check(s.flow[0].missing == SENT - arrived, "missing %u of %" PRIu64, s.flow[0].missing, SENT - arrived);
	check(s.old_count == 0, "old %" PRIu64, s.old_count);
	seq_free(&s);
	return NULL;
}

static const char *
test_free_accepts_a_zeroed_struct(void)
{
	struct seq s = {0};

	seq_free(&s);
	check(seq_init(&s, 1, error) == 0, "%s", error);
	seq_free(&s);
	seq_free(&s);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_random_streams),
		TEST(test_random_streams_with_jumps),
		TEST(test_around_the_wrap),
		TEST(test_losses),
		TEST(test_free_accepts_a_zeroed_struct),
		{NULL, NULL},
	};

	return test_main(argc, argv, tests);
}
