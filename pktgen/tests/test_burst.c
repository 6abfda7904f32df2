/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Buffers taken and given back by our short cuts against what DPDK asks of them: what is taken is as
 * rte_pktmbuf_alloc() would hand it out, and whatever is given back, nothing is lost and nothing is there twice.
 */
#include "burst.h"

#include <rte_eal.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define BUFFERS 511u
#define BURST 32u

static struct rte_mempool *pool, *other;

/* As a buffer fresh from the pool is; the lengths are the caller's. */
static const char *
check_fresh(struct rte_mbuf *m)
{
	const char *why = "";

	m->data_len = 0;
	m->pkt_len = 0;
	check(rte_mbuf_check(m, 1, &why) == 0, "%s", why);
	check(m->data_off == RTE_PKTMBUF_HEADROOM && rte_mbuf_refcnt_read(m) == 1 && m->nb_segs == 1 && m->next == NULL,
	      "offset %u, %u references, %u segments", m->data_off, rte_mbuf_refcnt_read(m), m->nb_segs);
	check(m->ol_flags == 0 && m->port == RTE_MBUF_PORT_INVALID, "flags %" PRIx64 ", port %u", m->ol_flags, m->port);
	return NULL;
}

/* What drivers and switches leave in a buffer. */
static struct rte_mbuf *
misuse(struct rte_mbuf *m, struct rte_mbuf **held)
{
	struct rte_mbuf *more;

	switch (test_below(8)) {
	case 0: /* a chain */
		more = rte_pktmbuf_alloc(other);
		if (more != NULL && rte_pktmbuf_chain(m, more) != 0)
			rte_pktmbuf_free(more);
		return m;
	case 1: /* somebody else has it too */
		rte_mbuf_refcnt_update(m, 1);
		*held = m;
		return m;
	case 2: /* a clone, of a buffer that stays until the clone is gone */
		more = rte_pktmbuf_clone(m, other);
		if (more == NULL)
			return m;
		rte_pktmbuf_free(m);
		return more;
	case 3:
		m->data_off = 0;
		m->port = 3;
		m->ol_flags = RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_TX_IPV4;
		m->vlan_tci = 7;
		return m;
	default:
		m->data_len = m->buf_len - m->data_off;
		m->pkt_len = m->data_len;
		return m;
	}
}

static const char *
test_no_buffer_is_lost_or_wrong(void)
{
	for (int round = 0; round < 3000; round++) {
		struct rte_mbuf *pkts[BURST];
		struct rte_mbuf *held[BURST] = {NULL};
		uint16_t n = (uint16_t)(1 + test_below(BURST));
		bool odd = test_below(3) != 0;

		check(burst_alloc(pool, pkts, n) == 0, "no buffers for %u", n);
		for (uint16_t i = 0; i < n; i++) {
			const char *why = check_fresh(pkts[i]);
			if (why != NULL)
				return why;
			if (odd && test_below(4) == 0)
				pkts[i] = misuse(pkts[i], &held[i]);
		}
		if (test_below(4) == 0) { /* of two pools */
			rte_pktmbuf_free(pkts[n - 1]);
			pkts[n - 1] = rte_pktmbuf_alloc(other);
		}
		burst_free(pkts, n);
		for (uint16_t i = 0; i < n; i++)
			rte_pktmbuf_free(held[i]);
		check(rte_mempool_avail_count(pool) == BUFFERS && rte_mempool_avail_count(other) == BUFFERS,
		      "round %d: %u and %u of %u buffers are back", round, rte_mempool_avail_count(pool),
		      rte_mempool_avail_count(other), BUFFERS);
	}
	return NULL;
}

/* All of a burst or none. */
static const char *
test_an_empty_pool(void)
{
	struct rte_mbuf *pkts[BUFFERS];

	check(burst_alloc(pool, pkts, BUFFERS - 5) == 0, "no buffers");
	check(burst_alloc(pool, &pkts[BUFFERS - 5], 6) != 0, "6 buffers of 5");
	check(rte_mempool_avail_count(pool) == 5, "%u left", rte_mempool_avail_count(pool));
	check(burst_alloc(pool, &pkts[BUFFERS - 5], 5) == 0, "the last 5");
	for (uint32_t i = 0; i < BUFFERS; i++) {
		for (uint32_t k = 0; k < i; k++)
			check(pkts[i] != pkts[k], "a buffer is there twice");
	}
	burst_free(pkts, BUFFERS);
	check(rte_mempool_avail_count(pool) == BUFFERS, "%u are back", rte_mempool_avail_count(pool));
	return NULL;
}

/* DPDK's run-time folder, and what it makes in it. */
static void
remove_folder(const char *folder)
{
	static const char *const parts[] = {"/dpdk/test_burst", "/dpdk", ""};
	char path[256];

	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", folder, parts[i]);
		rmdir(path);
	}
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(test_no_buffer_is_lost_or_wrong),
		TEST(test_an_empty_pool),
		{NULL, NULL},
	};
	char *eal[] = {argv[0], "--no-huge", "--no-shconf", "--file-prefix=test_burst", "--no-pci", "--no-telemetry",
		       "-m", "64", "--log-level=lib.eal:error"};
	char folder[] = "/tmp/test_burst-XXXXXX";
	int rc = EXIT_FAILURE;

	if (mkdtemp(folder) == NULL)
		return EXIT_FAILURE;
	setenv("RUNTIME_DIRECTORY", folder, 1);
	if (rte_eal_init((int)(sizeof(eal) / sizeof(eal[0])), eal) >= 0) {
		pool = rte_pktmbuf_pool_create("pool", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		other = rte_pktmbuf_pool_create("other", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		rc = pool != NULL && other != NULL ? test_main(argc, argv, tests) : EXIT_FAILURE;
		rte_eal_cleanup();
	}
	remove_folder(folder);
	return rc;
}
