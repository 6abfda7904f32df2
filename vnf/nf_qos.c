/* SPDX-License-Identifier: BSD-3-Clause
 *
 * qos: a policer with rte_meter: colours every packet by token buckets, drops the red ones (rate).
 *
 *   meter srtcm   RFC 2697: cir_bytes_per_s, cbs_bytes, ebs_bytes
 *   meter trtcm   RFC 2698: cir_bytes_per_s, pir_bytes_per_s, cbs_bytes, pbs_bytes
 *   by all|dscp|flow   one meter for all packets, one for each DSCP (RFC 2474), or for each of `meters` groups of flows
 *   yellow pass|drop   what becomes of the yellow ones
 *
 * Colour-blind.  A packet is as long as its IP header says, which is what both RFCs count, other frames as their
 * payload.
 * The defaults are so high that all passes.
 */
#include <rte_cycles.h>
#include <rte_meter.h>
#include <stdio.h>
#include <stdlib.h>

#include "flowkey.h"
#include "nf.h"
#include "packet.h"
#include "words.h"

extern const struct nf nf_qos;

#define DSCP_COUNT 64u
#define METERS_MAX (1u << 20)
#define RATE_MAX 1000000000000u
#define RATE_DEFAULT 100000000000u
#define BURST_BYTES_MAX (1u << 30)
#define BURST_BYTES_DEFAULT (1u << 24)

enum { METER_SRTCM, METER_TRTCM };
enum { BY_ALL, BY_DSCP, BY_FLOW };

union bucket {
	struct rte_meter_srtcm sr;
	struct rte_meter_trtcm tr;
};

struct settings {
	uint64_t meter;
	uint64_t by;
	uint64_t meters;
	uint64_t drop_yellow;
	uint64_t cir, pir; /* bytes a second */
	uint64_t cbs, ebs, pbs;
};

static struct settings set;
static struct rte_meter_srtcm_profile srtcm;
static struct rte_meter_trtcm_profile trtcm;
static union bucket *buckets; /* [set.meters] */
static uint64_t coloured[RTE_COLORS];
static const struct flow_secret secret = {{0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
					   0xd6e8feb86659fd93, 0xa0761d6478bd642f, 0xe7037ed1a0b428db}};

static int
parse(const char *arg, char *error)
{
	static const char *const meters[] = {"srtcm", "trtcm", NULL};
	static const char *const by[] = {"all", "dscp", "flow", NULL};
	static const char *const yellow[] = {"pass", "drop", NULL};
	const struct setting settings[] = {
		{.name = "meter", .choices = meters, .value = &set.meter},
		{.name = "by", .choices = by, .value = &set.by},
		{.name = "yellow", .choices = yellow, .value = &set.drop_yellow},
		{.name = "meters", .low = 1, .high = METERS_MAX, .value = &set.meters},
		{.name = "cir_bytes_per_s", .low = 1, .high = RATE_MAX, .value = &set.cir},
		{.name = "pir_bytes_per_s", .low = 1, .high = RATE_MAX, .value = &set.pir},
		{.name = "cbs_bytes", .low = 1, .high = BURST_BYTES_MAX, .value = &set.cbs},
		{.name = "ebs_bytes", .low = 0, .high = BURST_BYTES_MAX, .value = &set.ebs},
		{.name = "pbs_bytes", .low = 1, .high = BURST_BYTES_MAX, .value = &set.pbs},
		{.name = NULL},
	};

	set = (struct settings){.meters = 1024, .cir = RATE_DEFAULT, .pir = RATE_DEFAULT, .cbs = BURST_BYTES_DEFAULT,
				.ebs = BURST_BYTES_DEFAULT, .pbs = BURST_BYTES_DEFAULT};
	return words_settings(arg, settings, error);
}

static int
configure(char *error)
{
	struct rte_meter_srtcm_params sr = {.cir = set.cir, .cbs = set.cbs, .ebs = set.ebs};
	struct rte_meter_trtcm_params tr = {.cir = set.cir, .pir = set.pir, .cbs = set.cbs, .pbs = set.pbs};

	if (set.meter == METER_TRTCM && set.pir < set.cir) {
		snprintf(error, NF_ERROR_MAX, "pir_bytes_per_s is less than cir_bytes_per_s: it must be at least that (RFC 2698 2)");
		return -1;
	}
	if ((set.meter == METER_SRTCM ? rte_meter_srtcm_profile_config(&srtcm, &sr)
				      : rte_meter_trtcm_profile_config(&trtcm, &tr)) != 0) {
		snprintf(error, NF_ERROR_MAX, "rte_meter takes no such rates and bursts");
		return -1;
	}
	for (uint64_t i = 0; i < set.meters; i++) {
		if (set.meter == METER_SRTCM)
			rte_meter_srtcm_config(&buckets[i].sr, &srtcm);
		else
			rte_meter_trtcm_config(&buckets[i].tr, &trtcm);
	}
	return 0;
}

static void
qos_fini(void)
{
	free(buckets);
	buckets = NULL;
}

static int
qos_init(const char *arg, char *error)
{
	if (parse(arg, error) != 0)
		return -1;
	set.meters = set.by == BY_ALL ? 1 : set.by == BY_DSCP ? DSCP_COUNT : set.meters;
	buckets = calloc(set.meters, sizeof(*buckets));
	if (buckets == NULL) {
		snprintf(error, NF_ERROR_MAX, "no memory for %llu meters", (unsigned long long)set.meters);
		return -1;
	}
	if (configure(error) == 0)
		return 0;
	qos_fini();
	return -1;
}

static inline uint32_t
bytes_of(const struct rte_mbuf *m, const struct packet *p)
{
	if (p->ip4 != NULL)
		return rte_be_to_cpu_16(p->ip4->total_length);
	if (p->ip6 != NULL)
		return (uint32_t)sizeof(*p->ip6) + rte_be_to_cpu_16(p->ip6->payload_len);
	return rte_pktmbuf_pkt_len(m) - (uint32_t)sizeof(struct rte_ether_hdr);
}

static inline uint64_t
place_of(const struct rte_mbuf *m, const struct packet *p)
{
	struct flow_key key;

	if (set.by == BY_ALL)
		return 0;
	if (set.by == BY_FLOW) {
		flow_key_of(m, &key);
		return flow_hash(&key, &secret) % set.meters;
	}
	if (p->ip4 != NULL)
		return p->ip4->type_of_service >> 2;
	return p->ip6 != NULL ? rte_be_to_cpu_32(p->ip6->vtc_flow) >> 22 & (DSCP_COUNT - 1) : 0;
}

static inline enum rte_color
colour(union bucket *b, uint64_t now_tsc, uint32_t bytes)
{
	return set.meter == METER_SRTCM ? rte_meter_srtcm_color_blind_check(&b->sr, &srtcm, now_tsc, bytes)
					: rte_meter_trtcm_color_blind_check(&b->tr, &trtcm, now_tsc, bytes);
}

static uint16_t
qos_process(uint16_t side, struct rte_mbuf **pkts, uint16_t n, uint8_t *drop)
{
	uint64_t now_tsc = rte_rdtsc();
	struct packet p;
	uint16_t drops = 0;

	(void)side;
	for (uint16_t i = 0; i < n; i++) {
		packet_prefetch(pkts, i, n);
		if (!packet_parse(pkts[i], &p)) {
			drop[i] = NF_MALFORMED;
		} else {
			enum rte_color c = colour(&buckets[place_of(pkts[i], &p)], now_tsc, bytes_of(pkts[i], &p));
			coloured[c]++;
			if (c == RTE_COLOR_RED || (c == RTE_COLOR_YELLOW && set.drop_yellow))
				drop[i] = NF_RATE;
		}
		drops += drop[i] != NF_FORWARD;
	}
	return drops;
}

static void
qos_report(json_t *reply)
{
	json_object_set_new(reply, "green_count", json_integer((json_int_t)coloured[RTE_COLOR_GREEN]));
	json_object_set_new(reply, "yellow_count", json_integer((json_int_t)coloured[RTE_COLOR_YELLOW]));
	json_object_set_new(reply, "red_count", json_integer((json_int_t)coloured[RTE_COLOR_RED]));
}

const struct nf nf_qos = {
	.name = "qos",
	.help = "[meter srtcm|trtcm; by all|dscp|flow; cir_bytes_per_s N; cbs_bytes N; ...]: police by token buckets",
	.init = qos_init,
	.process = qos_process,
	.report = qos_report,
	.fini = qos_fini,
};
