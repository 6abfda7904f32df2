/* SPDX-License-Identifier: BSD-3-Clause */
#include "request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "control.h"

#define RATE_MAX_PPS 1e9
#define DURATION_MAX_S 86400.0
#define DRAIN_MAX_S 20.0 /* a stamp tells ages up to 27 s on the fastest machines */
#define BURST_FRAMES_MAX 1000000
#define CAPTURE_FRAMES_MAX 10000000
#define VLAN_ID_MAX 4094
#define PORT_SRC 1024
#define PORT_DST 9 /* discard, RFC 863 */

static int
refuse(char error[TRIAL_ERROR_MAX], const char *what, const char *allowed)
{
	snprintf(error, TRIAL_ERROR_MAX, "%s: allowed is %s", what, allowed);
	return -1;
}

/* The position of `name` in `names` (which ends with NULL), or -1. */
static int
find_name(const char *name, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++) {
		if (strcmp(name, names[i]) == 0)
			return i;
	}
	return -1;
}

static int
choose(const char *key, const char *name, const char *const *names, char error[TRIAL_ERROR_MAX])
{
	char allowed[200] = "";
	int i = find_name(name, names);

	if (i >= 0)
		return i;
	for (size_t used = 0; *names != NULL && used < sizeof(allowed); names++)
		used += (size_t)snprintf(allowed + used, sizeof(allowed) - used, "%s%s", used > 0 ? ", " : "one of ", *names);
	return refuse(error, key, allowed);
}

/* ---- frames --------------------------------------------------------------------------------------------------- */

static int
read_mac(const char *key, const char *text, struct rte_ether_addr *mac, char error[TRIAL_ERROR_MAX])
{
	if (text != NULL && rte_ether_unformat_addr(text, mac) != 0)
		return refuse(error, key, "an address like 02:00:00:00:00:01");
	return 0;
}

/* A port's address; rings in memory have none, so they get one. */
static struct rte_ether_addr
mac_of(uint16_t port)
{
	struct rte_ether_addr mac = {{0}};

	if (rte_eth_macaddr_get(port, &mac) != 0 || rte_is_zero_ether_addr(&mac))
		mac = (struct rte_ether_addr){{0x02, 0x76, 0x73, 0x77, 0x02, (uint8_t)port}};
	return mac;
}

static int
read_ip(const char *key, const char *text, bool ipv6, uint8_t ip[16], bool *given, char error[TRIAL_ERROR_MAX])
{
	*given = text != NULL;
	if (text != NULL && inet_pton(ipv6 ? AF_INET6 : AF_INET, text, ip) != 1)
		return refuse(error, key, ipv6 ? "an IPv6 address" : "an IPv4 address");
	return 0;
}

/* Addresses of stream `number`: 4096 sources and 4096 destinations that no other stream has. */
static void
default_ips(struct frame_request *r, unsigned int number)
{
	const uint32_t src = rte_cpu_to_be_32(RTE_IPV4(198u, 18u, 0, 1) + (number << FRAME_IP_BITS));
	const uint32_t dst = rte_cpu_to_be_32(RTE_IPV4(198u, 19u, 0, 1) + (number << FRAME_IP_BITS));
	const uint8_t range[6] = {0x20, 0x01, 0, 0x02, 0, 0}; /* 2001:2::/48 */

	if (r->ipv6) { /* 2001:2:0:N::1 to 2001:2:0:8N::1 */
		memcpy(r->src_ip, range, sizeof(range));
		memcpy(r->dst_ip, range, sizeof(range));
		r->src_ip[7] = r->dst_ip[7] = (uint8_t)number;
		r->dst_ip[6] = 0x80;
		r->src_ip[15] = r->dst_ip[15] = 1;
	} else {
		memcpy(r->src_ip, &src, sizeof(src));
		memcpy(r->dst_ip, &dst, sizeof(dst));
	}
}

static int
read_sizes(struct frame_request *r, json_t *sizes, const struct ports *ports, char error[TRIAL_ERROR_MAX])
{
	json_t *one = json_is_array(sizes) ? NULL : sizes;
	size_t n = one != NULL ? 1 : json_array_size(sizes);
	char allowed[100];

	snprintf(allowed, sizeof(allowed), "64 to %u, FCS included (larger: --frame-max), or a list of 1 to %u of them",
		 ports->frame_max, FRAME_SIZES_MAX);
	if (sizes == NULL) {
		r->size[0] = FRAME_MIN_BYTES;
		r->sizes = 1;
		return 0;
	}
	if (n < 1 || n > FRAME_SIZES_MAX)
		return refuse(error, "frame_bytes", allowed);
	for (size_t i = 0; i < n; i++) {
		json_t *size = one != NULL ? one : json_array_get(sizes, i);
		json_int_t bytes = json_integer_value(size);
		if (!json_is_integer(size) || bytes < FRAME_MIN_BYTES || bytes > ports->frame_max)
			return refuse(error, "frame_bytes", allowed);
		r->size[i] = (uint16_t)bytes;
	}
	r->sizes = (unsigned int)n;
	return 0;
}

static int
read_vlans(struct frame_request *r, json_t *vlans, char error[TRIAL_ERROR_MAX])
{
	size_t n = json_array_size(vlans);

	if (vlans == NULL)
		return 0;
	if (!json_is_array(vlans) || n > 2)
		return refuse(error, "vlan", "a list of at most 2 numbers, the outer one first");
	for (size_t i = 0; i < n; i++) {
		json_int_t id = json_integer_value(json_array_get(vlans, i));
		if (id < 1 || id > VLAN_ID_MAX)
			return refuse(error, "vlan", "1 to 4094");
		r->vlan[i] = (uint16_t)id;
	}
	r->vlans = (unsigned int)n;
	return 0;
}

static int
read_fields(struct frame_request *r, json_t *fields, char error[TRIAL_ERROR_MAX])
{
	static const char *const names[] = {"src_mac",	"dst_mac",  "vlan", "src_ip", "dst_ip",
					    "src_port", "dst_port", "vni",  "teid",   NULL};
	size_t n = json_array_size(fields);

	if (fields == NULL) {
		r->field[0] = FIELD_SRC_PORT;
		r->field[1] = FIELD_SRC_IP;
		r->fields = 2;
		return 0;
	}
	if (!json_is_array(fields) || n < 1 || n > FRAME_FIELDS_MAX)
		return refuse(error, "flow_fields", "a list of 1 to 9 names");
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_array_get(fields, i));
		int field = choose("flow_fields", name != NULL ? name : "", names, error);
		if (field < 0)
			return -1;
		for (unsigned int k = 0; k < i; k++) {
			if (r->field[k] == (enum frame_field)field)
				return refuse(error, "flow_fields", "each name once");
		}
		r->field[i] = (enum frame_field)field;
	}
	r->fields = (unsigned int)n;
	return 0;
}

/* The keys of a stream that concern its frames, as they come out of the JSON. */
struct frame_keys {
	json_t *sizes, *vlans, *fields;
	json_int_t flows, ip, src_port, dst_port;
	const char *l4, *tunnel, *src_mac, *dst_mac, *src_ip, *dst_ip;
	int udp_checksum;
};

static int
read_frames(struct stream *s, unsigned int number, const struct frame_keys *k, const struct ports *ports,
	    char error[TRIAL_ERROR_MAX])
{
	static const char *const l4_names[] = {"udp", "tcp", NULL};
	static const char *const tunnels[] = {"none", "vxlan", "gtpu", NULL};
	struct frame_request *r = &s->headers;
	int l4 = choose("l4", k->l4, l4_names, error);
	int tunnel = choose("tunnel", k->tunnel, tunnels, error);

	if (l4 < 0 || tunnel < 0)
		return -1;
	if (k->ip != 4 && k->ip != 6)
		return refuse(error, "ip", "4 or 6");
	if (k->flows < 1 || k->flows > (json_int_t)STAMP_FLOWS_MAX)
		return refuse(error, "flows", "1 to 16777216");
	if (k->src_port < 0 || k->src_port > UINT16_MAX || k->dst_port < 0 || k->dst_port > UINT16_MAX)
		return refuse(error, "src_port, dst_port", "0 to 65535");
	r->tcp = l4 == 1;
	r->tunnel = (enum frame_tunnel)tunnel;
	r->ipv6 = k->ip == 6;
	r->udp_checksum = k->udp_checksum != 0;
	r->flows = (uint32_t)k->flows;
	r->src_port = (uint16_t)k->src_port;
	r->dst_port = (uint16_t)k->dst_port;
	r->src_mac = mac_of(s->tx_port);
	r->dst_mac = s->metered ? mac_of(s->rx_port)
				: (struct rte_ether_addr){{0x02, 0x76, 0x73, 0x77, 0x01, (uint8_t)number}};
	default_ips(r, number);
	if (read_mac("src_mac", k->src_mac, &r->src_mac, error) != 0 ||
	    read_mac("dst_mac", k->dst_mac, &r->dst_mac, error) != 0 ||
	    read_ip("src_ip", k->src_ip, r->ipv6, r->src_ip, &r->src_ip_given, error) != 0 ||
	    read_ip("dst_ip", k->dst_ip, r->ipv6, r->dst_ip, &r->dst_ip_given, error) != 0)
		return -1;
	if (read_sizes(r, k->sizes, ports, error) != 0 || read_vlans(r, k->vlans, error) != 0)
		return -1;
	return read_fields(r, k->fields, error);
}

/* ---- schedule ------------------------------------------------------------------------------------------------- */

static int
read_shape(struct stream *s, const char *name, json_int_t burst_frames, char error[TRIAL_ERROR_MAX])
{
	static const char *const shapes[] = {"constant", "burst", "ramp", "poisson", NULL};
	static const enum pace_shape of[] = {PACE_CONSTANT, PACE_BURST, PACE_RAMP, PACE_POISSON};
	struct pace_request *r = &s->pace;
	int shape = choose("shape", name, shapes, error);

	if (shape < 0)
		return -1;
	if (!(r->rate_pps >= 0 && r->rate_pps <= RATE_MAX_PPS))
		return refuse(error, "rate_pps", "0 (saturate) to 1e9");
	if (!(r->ramp_from_pps >= 0 && r->ramp_from_pps <= RATE_MAX_PPS))
		return refuse(error, "ramp_from_pps", "0 to 1e9");
	if (burst_frames < 1 || burst_frames > BURST_FRAMES_MAX)
		return refuse(error, "burst_frames", "1 to 1000000");
	if (!(r->burst_pps == 0 || (r->burst_pps >= r->rate_pps && r->burst_pps <= RATE_MAX_PPS)))
		return refuse(error, "burst_pps", "0 (back to back), or from rate_pps to 1e9");
	if (!(s->zipf_exponent >= 0 && s->zipf_exponent <= 10))
		return refuse(error, "zipf_exponent", "0 to 10");
	if (!(s->catch_up_s >= 0 && s->catch_up_s <= DURATION_MAX_S))
		return refuse(error, "catch_up_s", "0 (send all, however late) to 86400");
	r->burst_frames = (uint32_t)burst_frames;
	r->shape = r->rate_pps > 0 ? of[shape] : PACE_SATURATE;
	if (r->rate_pps > 0 || of[shape] == PACE_CONSTANT)
		return 0;
	if (of[shape] == PACE_RAMP && r->ramp_from_pps > 0) { /* down to nothing */
		r->shape = PACE_RAMP;
		return 0;
	}
	return refuse(error, "rate_pps", "above 0 for this shape");
}

static int
read_replay(struct stream *s, json_t *replay, char error[TRIAL_ERROR_MAX])
{
	static const char *const timings[] = {"original", "rate", NULL};
	struct pace_request *r = &s->pace;
	const char *file;
	const char *timing = "original";
	double speed = 1;
	int loop = -1;

	if (replay == NULL || json_is_null(replay))
		return 0;
	if (control_unpack(replay, error, "{s:s,s?s,s?F,s?b!}", "file", &file, "timing", &timing, "speed", &speed, "loop",
			   &loop) != 0)
		return -1;
	int how = choose("timing", timing, timings, error);
	if (how < 0)
		return -1;
	if (file[0] == '\0' || strlen(file) >= sizeof(s->replay_path))
		return refuse(error, "replay: file", "a path of 1 to 4095 bytes");
	if (!(speed >= 1e-6 && speed <= 1e6))
		return refuse(error, "replay: speed", "0.000001 to 1000000");
	if (how == 1 && loop >= 0)
		return refuse(error, "replay: loop", "left out with \"timing\":\"rate\": the file is sent again and again");
	if (how == 0 && r->rate_pps > 0)
		return refuse(error, "rate_pps", "0 with \"timing\":\"original\": the recording decides");
	snprintf(s->replay_path, sizeof(s->replay_path), "%s", file);
	if (how == 0) {
		r->shape = PACE_LIST;
		r->list_scale = 1 / speed;
		r->list_loop = loop > 0;
	}
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static int
read_port(const char *key, json_t *value, const struct ports *ports, bool *given, uint16_t *port,
	  char error[TRIAL_ERROR_MAX])
{
	json_int_t number = json_integer_value(value);

	*given = value != NULL && !json_is_null(value);
	if (!*given)
		return 0;
	if (!json_is_integer(value) || number < 0 || number >= ports->count)
		return refuse(error, key, "null or the number of a port that exists");
	*port = (uint16_t)number;
	return 0;
}

static int
read_ports(struct stream *s, json_t *tx, json_t *rx, const struct ports *ports, char error[TRIAL_ERROR_MAX])
{
	if (read_port("tx", tx, ports, &s->sent, &s->tx_port, error) != 0 ||
	    read_port("rx", rx, ports, &s->metered, &s->rx_port, error) != 0)
		return -1;
	return s->sent || s->metered ? 0 : refuse(error, "tx, rx", "at least one port, or nobody here has to do with it");
}

/* One element of "streams". */
static int
read_stream(struct stream *s, unsigned int number, const struct ports *ports, json_t *request,
	    char error[TRIAL_ERROR_MAX])
{
	static const char *const orders[] = {"increment", "random", "zipf", NULL};
	struct frame_keys k = {.flows = 1, .ip = 4, .src_port = PORT_SRC, .dst_port = PORT_DST, .l4 = "udp", .tunnel = "none"};
	const char *shape = "constant";
	const char *order_name = "increment";
	json_t *rx = NULL;
	json_t *tx = NULL;
	json_t *replay = NULL;
	json_int_t burst_frames = TRIAL_BURST;
	json_int_t seed = 1;

	s->zipf_exponent = 1;
	if (control_unpack(request, error,
			   "{s:o,s?o,s?F,s?s,s?I,s?F,s?F,s?F,s?I,s?s,s?F,s?o,"
			   "s?o,s?I,s?o,s?o,s?I,s?s,s?b,s?s,s?s,s?s,s?s,s?s,s?I,s?I!}",
			   "tx", &tx, "rx", &rx, "rate_pps", &s->pace.rate_pps, "shape", &shape, "burst_frames", &burst_frames,
			   "burst_pps", &s->pace.burst_pps, "ramp_from_pps", &s->pace.ramp_from_pps, "catch_up_s",
			   &s->catch_up_s, "seed", &seed, "flow_order", &order_name, "zipf_exponent", &s->zipf_exponent,
			   "replay", &replay, "frame_bytes", &k.sizes, "flows", &k.flows, "flow_fields", &k.fields, "vlan",
			   &k.vlans, "ip", &k.ip, "l4", &k.l4, "udp_checksum", &k.udp_checksum, "tunnel", &k.tunnel,
			   "src_mac", &k.src_mac, "dst_mac", &k.dst_mac, "src_ip", &k.src_ip, "dst_ip", &k.dst_ip,
			   "src_port", &k.src_port, "dst_port", &k.dst_port) != 0)
		return -1;
	int order = choose("flow_order", order_name, orders, error);
	if (order < 0)
		return -1;
	s->order = (enum flow_order)order;
	s->pace.seed = (uint64_t)seed;
	if (read_ports(s, tx, rx, ports, error) != 0 || read_frames(s, number, &k, ports, error) != 0 ||
	    read_shape(s, shape, burst_frames, error) != 0)
		return -1;
	return read_replay(s, replay, error);
}

static int
read_streams(struct trial *t, json_t *streams, char error[TRIAL_ERROR_MAX])
{
	json_t *stream;
	size_t i;

	if (!json_is_array(streams) || json_array_size(streams) < 1 || json_array_size(streams) > TRIAL_STREAMS_MAX)
		return refuse(error, "streams", "an array of 1 to 16 objects");
	json_array_foreach(streams, i, stream) {
		if (read_stream(&t->stream[i], (unsigned int)i, t->ports, stream, error) != 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (t->stream[i].metered && t->stream[k].metered && t->stream[i].rx_port == t->stream[k].rx_port)
				return refuse(error, "rx", "one stream a port");
		}
		if (t->records && !t->stream[i].sent)
			return refuse(error, "flow_records", "only of what is sent here");
		t->streams++;
	}
	return 0;
}

static int
read_capture(struct request_files *f, json_t *capture, char error[TRIAL_ERROR_MAX])
{
	const char *file;
	const char *filter = "";
	json_int_t first = 1000;
	json_int_t every = 1;
	json_int_t snap_bytes = UINT16_MAX;

	if (capture == NULL || json_is_null(capture))
		return 0;
	if (control_unpack(capture, error, "{s:s,s?I,s?I,s?s,s?I!}", "file", &file, "first", &first, "every", &every,
			   "filter", &filter, "snap_bytes", &snap_bytes) != 0)
		return -1;
	if (file[0] == '\0' || strlen(file) >= sizeof(f->capture))
		return refuse(error, "capture: file", "a path of 1 to 4095 bytes");
	if (first < 1 || first > CAPTURE_FRAMES_MAX || every < 1 || every > UINT32_MAX || snap_bytes < 16 ||
	    snap_bytes > UINT16_MAX || strlen(filter) >= sizeof(f->capture_filter))
		return refuse(error, "capture", "first 1..10000000, every 1 and more, snap_bytes 16..65535, a filter of "
						"below 1024 bytes");
	snprintf(f->capture, sizeof(f->capture), "%s", file);
	snprintf(f->capture_filter, sizeof(f->capture_filter), "%s", filter);
	f->capture_first = (uint32_t)first;
	f->capture_every = (uint32_t)every;
	f->capture_snap_bytes = (uint32_t)snap_bytes;
	return 0;
}

static int
check_trial(const struct trial *t, char error[TRIAL_ERROR_MAX])
{
	if (!(t->duration_s > 0 && t->duration_s <= DURATION_MAX_S))
		return refuse(error, "duration_s", "above 0, up to 86400");
	if (!(t->drain_s >= 0 && t->drain_s <= t->drain_max_s && t->drain_max_s <= DRAIN_MAX_S))
		return refuse(error, "drain_s, drain_max_s", "0 <= drain_s <= drain_max_s <= 20");
	if (!(t->interval_s == 0 || (t->interval_s >= 0.001 && t->interval_s <= 3600)))
		return refuse(error, "interval_s", "0 (no time series), or 0.001 to 3600");
	if (t->interval_s > 0 && (t->duration_s + t->drain_max_s) / t->interval_s > SERIES_MAX - 2)
		return refuse(error, "interval_s", "what makes at most 99998 intervals of duration_s + drain_max_s");
	return 0;
}

static int
set_epoch(struct trial *t, json_int_t epoch, char error[TRIAL_ERROR_MAX])
{
	if (epoch < 0 || epoch > UINT16_MAX)
		return refuse(error, "epoch", "0 to 65535");
	t->epoch = (uint16_t)epoch;
	return 0;
}

int
request_trial(struct trial *t, struct request_files *files, struct ports *ports, json_t *request,
	      char error[TRIAL_ERROR_MAX])
{
	json_t *streams;
	json_t *capture = NULL;
	json_t *records = NULL;
	json_int_t epoch;
	int gaps = 0;
	int ipdv = 0;
	int profile = 0;

	memset(t, 0, sizeof(*t));
	memset(files, 0, sizeof(*files));
	t->ports = ports;
	t->drain_s = 0.01;
	t->drain_max_s = 2;
	if (control_unpack(request, error, "{s:I,s:F,s?F,s?F,s?F,s?b,s?b,s?b,s?o,s?o,s:o!}", "epoch", &epoch,
			   "duration_s", &t->duration_s, "drain_s", &t->drain_s, "drain_max_s", &t->drain_max_s, "interval_s",
			   &t->interval_s, "gaps", &gaps, "ipdv", &ipdv, "profile", &profile, "flow_records", &records, "capture",
			   &capture, "streams", &streams) != 0)
		return -1;
	t->gaps = gaps != 0;
	t->ipdv = ipdv != 0;
	t->profile = profile != 0;
	if (records != NULL && !json_is_null(records)) {
		const char *path = json_string_value(records);
		if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(files->flow_records))
			return refuse(error, "flow_records", "null or a path of 1 to 4095 bytes");
		snprintf(files->flow_records, sizeof(files->flow_records), "%s", path);
		t->records = true;
	}
	if (set_epoch(t, epoch, error) != 0 || check_trial(t, error) != 0 || read_capture(files, capture, error) != 0)
		return -1;
	return read_streams(t, streams, error);
}

int
request_learn(struct trial *t, uint32_t *count, struct ports *ports, json_t *request, char error[TRIAL_ERROR_MAX])
{
	json_t *streams;
	json_int_t epoch;
	json_int_t each = 3;

	memset(t, 0, sizeof(*t));
	t->ports = ports;
	if (control_unpack(request, error, "{s:I,s?I,s:o!}", "epoch", &epoch, "count", &each, "streams", &streams) != 0)
		return -1;
	if (each < 1 || each > 1000)
		return refuse(error, "count", "1 to 1000");
	*count = (uint32_t)each;
	return set_epoch(t, epoch, error) != 0 ? -1 : read_streams(t, streams, error);
}
