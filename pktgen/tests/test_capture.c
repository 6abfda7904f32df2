/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Captures as a program, for test_capture.py: test_capture OUT, a JSON object on stdin, one on stdout.
 *   {"parts", "first", "every", "filter", "snap_bytes", "memory_max_bytes", "discard",
 *    "bursts": [[part, port, TSC ticks since the capture was opened, bytes a segment, ["hex", ...]], ...]}
 */
#include <jansson.h>
#include <stdio.h>

#include "capture.h"
#include "clock.h"
#include "fakembuf.h"

#define BURST_MAX 64

static struct rte_mbuf *
frame_of(const char *hex, uint16_t segment_bytes)
{
	size_t bytes = strlen(hex) / 2;
	uint8_t *data = malloc(bytes + 1);
	struct rte_mbuf *m;

	if (data == NULL)
		abort();
	for (size_t i = 0; i < bytes; i++)
		sscanf(hex + 2 * i, "%2hhx", &data[i]);
	m = fake_mbuf(data, (uint32_t)bytes, segment_bytes);
	free(data);
	return m;
}

static void
feed(struct capture *c, json_t *burst)
{
	struct rte_mbuf *pkts[BURST_MAX];
	int part;
	int port;
	int segment_bytes;
	json_int_t ticks;
	json_t *frames;
	uint16_t n;

	if (json_unpack(burst, "[i,i,I,i,o]", &part, &port, &ticks, &segment_bytes, &frames) != 0 ||
	    json_array_size(frames) > BURST_MAX)
		abort();
	n = (uint16_t)json_array_size(frames);
	for (uint16_t i = 0; i < n; i++)
		pkts[i] = frame_of(json_string_value(json_array_get(frames, i)), (uint16_t)segment_bytes);
	capture_burst(&c->part[part], (uint16_t)port, pkts, n, c->start_tsc + (uint64_t)ticks);
	for (uint16_t i = 0; i < n; i++)
		fake_free(pkts[i]);
}

static json_t *
run(struct capture *c, const char *path, json_t *request)
{
	char error[CAPTURE_ERROR_MAX] = "";
	int parts, first, every, snap_bytes, discard;
	json_int_t memory;
	json_t *filter, *bursts, *burst; /* a filter of null is no string, and so becomes NULL */
	size_t i;

	if (json_unpack(request, "{s:i,s:i,s:i,s:o,s:i,s:I,s:b,s:o}", "parts", &parts, "first", &first, "every", &every,
			"filter", &filter, "snap_bytes", &snap_bytes, "memory_max_bytes", &memory, "discard", &discard,
			"bursts", &bursts) != 0)
		abort();
	if (capture_open(c, path, (unsigned int)parts, (uint32_t)first, (uint32_t)every,
			 json_string_value(filter), (uint32_t)snap_bytes, (uint64_t)memory, error) != 0)
		return json_pack("{s:b,s:s}", "ok", 0, "error", error);
	json_int_t start_real_ns = (json_int_t)c->start_real_ns;
	json_array_foreach(bursts, i, burst)
		feed(c, burst);
	if (discard)
		capture_discard(c);
	else if (capture_close(c, error) != 0)
		return json_pack("{s:b,s:s}", "ok", 0, "error", error);
	return json_pack("{s:b,s:i,s:I,s:I}", "ok", 1, "captured_count", (int)c->captured_count, "start_real_ns",
			 start_real_ns, "clock_multiplier", (json_int_t)clock_multiplier);
}

int
main(int argc, char **argv)
{
	struct capture c;
	json_t *request = json_loadf(stdin, 0, NULL);
	json_t *reply;

	if (argc != 2 || request == NULL) {
		fprintf(stderr, "usage: %s OUT <request.json\n", argv[0]);
		return 2;
	}
	clock_init();
	memset(&c, 0xff, sizeof(c));
	reply = run(&c, argv[1], request);
	json_dumpf(reply, stdout, JSON_COMPACT);
	json_decref(reply);
	json_decref(request);
	capture_discard(&c); /* harmless after all of the above */
	return EXIT_SUCCESS;
}
