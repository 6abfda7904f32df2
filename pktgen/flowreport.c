/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowreport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define COLUMNS                                                                                                     \
	"kind,ether_type,outer_vlan,inner_vlan,src,dst,protocol,src_port,dst_port,packets,bytes,min_bytes,max_bytes," \
	"first_s,last_s,mean_gap_ns\r\n"

static bool
has_addresses(const struct flow_key *key)
{
	return key->kind != FLOW_NON_IP && key->kind != FLOW_MALFORMED;
}

static bool
has_ports(const struct flow_key *key)
{
	return (key->kind == FLOW_IPV4 || key->kind == FLOW_IPV6) && flow_has_ports(key->protocol);
}

static void
address(const struct flow_key *key, const uint8_t *bytes, char text[INET6_ADDRSTRLEN])
{
	bool v6 = key->kind == FLOW_IPV6 || key->kind == FLOW_IPV6_FRAGMENT;

	text[0] = '\0';
	if (has_addresses(key))
		inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, INET6_ADDRSTRLEN);
}

/* Mean inter-arrival time; negative: there is none. */
static double
mean_gap_ns(const struct flow *f)
{
	return f->packets > 1 ? (double)clock_ns(f->last_tsc - f->first_tsc) / (double)(f->packets - 1) : -1;
}

static json_t *
integer_or_null(bool there, uint64_t value)
{
	return there ? json_integer((json_int_t)value) : json_null();
}

static json_t *
string_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *
flow_json(const struct flow *f, uint64_t start_tsc)
{
	const struct flow_key *key = &f->key;
	char src[INET6_ADDRSTRLEN];
	char dst[INET6_ADDRSTRLEN];
	json_t *vlan = json_array();
	bool ip = has_addresses(key);
	bool ports = has_ports(key);
	double gap_ns = mean_gap_ns(f);

	address(key, key->src, src);
	address(key, key->dst, dst);
	for (unsigned int i = 0; i < 2 && key->vlan[i] != FLOW_NO_VLAN; i++)
		json_array_append_new(vlan, json_integer(key->vlan[i]));
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:i,s:i,s:f,s:f,s:o}", "kind",
			 flow_kind_name(key->kind), "ether_type", integer_or_null(!ip, key->ether_type), "vlan", vlan,
			 "src", string_or_null(src), "dst", string_or_null(dst), "protocol",
			 integer_or_null(ip, key->protocol), "src_port", integer_or_null(ports, ntohs(key->src_port)),
			 "dst_port", integer_or_null(ports, ntohs(key->dst_port)), "packets", (json_int_t)f->packets,
			 "bytes", (json_int_t)f->bytes, "min_bytes", f->bytes_min, "max_bytes", f->bytes_max, "first_s",
			 clock_seconds(f->first_tsc - start_tsc), "last_s", clock_seconds(f->last_tsc - start_tsc),
			 "mean_gap_ns", gap_ns >= 0 ? json_real(gap_ns) : json_null());
}

/* A flow's rank is compared without looking at the flow. */
struct ranked {
	uint64_t weight;
	uint32_t number;
};

static int
heavier_then_earlier(const void *a, const void *b)
{
	const struct ranked *x = a;
	const struct ranked *y = b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	return x->number > y->number ? 1 : -1;
}

json_t *
flowreport_top(const struct flow *flows, uint32_t n, uint32_t top, enum flow_order order, uint64_t start_tsc)
{
	struct ranked *all = calloc((size_t)n + 1, sizeof(*all));
	json_t *list = all == NULL ? NULL : json_array();

	for (uint32_t i = 0; list != NULL && i < n; i++)
		all[i] = (struct ranked){order == FLOW_BY_BYTES ? flows[i].bytes : flows[i].packets, i};
	if (list != NULL)
		qsort(all, n, sizeof(*all), heavier_then_earlier);
	for (uint32_t i = 0; list != NULL && i < n && i < top; i++)
		json_array_append_new(list, flow_json(&flows[all[i].number], start_tsc));
	free(all);
	return list;
}

json_t *
flowreport_kinds(const struct flow *flows, uint32_t n, const struct flow_count no_room[FLOW_KINDS])
{
	struct flow_count sum[FLOW_KINDS];
	uint32_t count[FLOW_KINDS] = {0};
	json_t *all = json_object();

	memcpy(sum, no_room, sizeof(sum));
	for (uint32_t i = 0; i < n; i++) {
		count[flows[i].key.kind]++;
		sum[flows[i].key.kind].packets += flows[i].packets;
		sum[flows[i].key.kind].bytes += flows[i].bytes;
	}
	for (unsigned int kind = FLOW_EMPTY + 1; kind < FLOW_KINDS; kind++)
		json_object_set_new(all, flow_kind_name(kind),
				    json_pack("{s:I,s:I,s:I}", "flow_count", (json_int_t)count[kind], "packets",
					      (json_int_t)sum[kind].packets, "bytes", (json_int_t)sum[kind].bytes));
	return all;
}

static void
csv_vlans(FILE *file, const struct flow_key *key)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (key->vlan[i] != FLOW_NO_VLAN)
			fprintf(file, "%u", key->vlan[i]);
		fputc(',', file);
	}
}

static void
csv_row(FILE *file, const struct flow *f, uint64_t start_tsc)
{
	const struct flow_key *key = &f->key;
	char src[INET6_ADDRSTRLEN];
	char dst[INET6_ADDRSTRLEN];
	double gap_ns = mean_gap_ns(f);

	address(key, key->src, src);
	address(key, key->dst, dst);
	fprintf(file, "%s,", flow_kind_name(key->kind));
	if (!has_addresses(key))
		fprintf(file, "0x%04x", key->ether_type);
	fputc(',', file);
	csv_vlans(file, key);
	fprintf(file, "%s,%s,", src, dst);
	if (has_addresses(key))
		fprintf(file, "%u", key->protocol);
	if (has_ports(key))
		fprintf(file, ",%u,%u,", ntohs(key->src_port), ntohs(key->dst_port));
	else
		fputs(",,,", file);
	fprintf(file, "%llu,%llu,%u,%u,%.9f,%.9f,", (unsigned long long)f->packets, (unsigned long long)f->bytes,
		f->bytes_min, f->bytes_max, clock_seconds(f->first_tsc - start_tsc),
		clock_seconds(f->last_tsc - start_tsc));
	if (gap_ns >= 0)
		fprintf(file, "%.1f", gap_ns);
	fputs("\r\n", file);
}

/* Half a table would be taken for a whole one; a device or pipe stays where it is. */
static void
remove_half_written(const char *path)
{
	struct stat about;

	if (lstat(path, &about) == 0 && S_ISREG(about.st_mode))
		unlink(path);
}

int
flowreport_csv(const char *path, const struct flow *flows, uint32_t n, uint64_t start_tsc,
	       char error[FLOWREPORT_ERROR_MAX])
{
	FILE *file = fopen(path, "we");
	int why = errno;

	if (file != NULL) {
		fputs(COLUMNS, file);
		for (uint32_t i = 0; i < n && !ferror(file); i++)
			csv_row(file, &flows[i], start_tsc);
		bool bad = ferror(file);
		why = errno;
		if (fclose(file) == 0 && !bad)
			return 0;
		why = bad ? why : errno;
		remove_half_written(path);
	}
	snprintf(error, FLOWREPORT_ERROR_MAX, "flows_file %.160s cannot be written: %s", path, strerror(why));
	return -1;
}
