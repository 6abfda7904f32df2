/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* Adds the counts of a lane to those of the first lane of its stream. */
static void
merge_tx(struct tx_lane *to, const struct tx_lane *from)
{
	to->built_count += from->built_count;
	to->sent_count += from->sent_count;
	to->tx_full_count += from->tx_full_count;
	to->tx_full_tsc += from->tx_full_tsc;
	to->alloc_failed_count += from->alloc_failed_count;
	to->late_count += from->late_count;
	to->pace.skipped_count += from->pace.skipped_count;
	if (to->gap_ns != NULL)
		hist_merge(to->gap_ns, from->gap_ns);
	if (to->lateness_ns != NULL)
		hist_merge(to->lateness_ns, from->lateness_ns);
	series_merge(&to->series, &from->series);
}

static json_t *
replay_json(const struct tx_lane *l)
{
	const struct replay_file *f = &l->stream->file;

	if (f->frames == 0)
		return json_null();
	return json_pack("{s:I,s:f,s:f,s:I,s:I,s:o}", "frames", (json_int_t)f->frames, "rounds",
			 (double)l->sent_count / f->frames, "file_span_s", (double)f->span_ns * 1e-9, "padded_count",
			 (json_int_t)f->padded_count, "disorder_count", (json_int_t)f->disorder_count, "gap_error",
			 hist_json(l->gap_error_ns));
}

/* What the sender of a stream knows of it. */
static json_t *
sent_json(const struct stream *s, const struct tx_lane *tx, uint64_t intended)
{
	json_t *o = json_pack(
		"{s:i,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "tx", s->tx_port, "intended_count",
		intended != UINT64_MAX ? json_integer((json_int_t)intended) : json_null(), "built_count",
		(json_int_t)tx->built_count, "sent_count", (json_int_t)tx->sent_count, "skipped_count",
		(json_int_t)tx->pace.skipped_count, "late_count", (json_int_t)tx->late_count, "tx_full_count",
		(json_int_t)tx->tx_full_count, "tx_full_ns", (json_int_t)clock_ns(tx->tx_full_tsc),
		"alloc_failed_count", (json_int_t)tx->alloc_failed_count);

	json_object_set_new(o, "frame_bytes_mean", json_real(s->frame.mean_bytes));
	json_object_set_new(o, "lateness", hist_json(tx->lateness_ns));
	json_object_set_new(o, "departure_gap", hist_json(tx->gap_ns));
	json_object_set_new(o, "sent_series", series_json(&tx->series));
	json_object_set_new(o, "replay", replay_json(tx));
	return o;
}

static json_t *
stream_json(const struct stream *s, const struct tx_lane *tx, uint64_t intended, const struct rx_lane *rx)
{
	json_t *o = tx != NULL ? sent_json(s, tx, intended) : json_pack("{s:n}", "tx");

	json_object_set_new(o, "rx", s->metered ? json_integer(s->rx_port) : json_null());
	json_object_set_new(o, "meter", rx != NULL ? account_json(&rx->account) : json_null());
	return o;
}

/* Frames that were built and never sent have numbers that do not count. */
static void
take_back(struct tx_lane *l)
{
	const struct stream *s = l->stream;

	for (uint16_t k = 0; k < l->pending_count && s->file.frames == 0; k++)
		s->next_seq[stamp_head_flow(stamp_head(rte_pktmbuf_mtod_offset(l->pending[k], void *,
									       s->frame.stamp_offset)))]--;
}

/* Merges the lanes of a stream into its first ones. */
static struct tx_lane *
merged_tx(struct trial *t, const struct stream *s, uint64_t *intended)
{
	struct tx_lane *first = NULL;

	*intended = 0;
	for (uint32_t i = 0; i < t->tx_lanes; i++) {
		struct tx_lane *l = &t->tx[i];
		if (l->stream != s)
			continue;
		uint64_t n = pace_intended(&l->pace);
		take_back(l);
		*intended = n == UINT64_MAX ? n : *intended + n;
		if (first == NULL)
			first = l;
		else
			merge_tx(first, l);
	}
	return first;
}

static struct rx_lane *
merged_rx(struct trial *t, const struct stream *s)
{
	struct rx_lane *first = NULL;

	for (uint32_t i = 0; i < t->rx_lanes; i++) {
		struct rx_lane *l = &t->rx[i];
		if (l->stream != s)
			continue;
		if (first == NULL)
			first = l;
		else
			account_merge(&first->account, &l->account);
	}
	return first;
}

json_t *
report_trial(struct trial *t)
{
	json_t *streams = json_array();

	for (uint32_t i = 0; i < t->streams; i++) {
		uint64_t intended;
		struct tx_lane *tx = merged_tx(t, &t->stream[i], &intended);
		json_array_append_new(streams, stream_json(&t->stream[i], tx, intended, merged_rx(t, &t->stream[i])));
	}
	return json_pack("{s:o,s:f,s:b}", "streams", streams, "tx_span_s",
			 t->go ? clock_seconds(t->tx_end_tsc - t->start_tsc) : 0, "drained", !t->undrained);
}

static void
write_flows(FILE *file, const struct stream *s, unsigned int number, const struct account *a)
{
	for (uint32_t flow = 0; flow < s->headers.flows; flow++) {
		const struct flow_stats *f = &a->flow[flow];
		uint64_t sent = s->next_seq[flow];
		double mean = f->frame_count > 0 ? (double)f->latency_sum_ns / f->frame_count : 0;

		fprintf(file, "%u,%u,%llu,%llu,%lld,%u,%u,", number, flow, (unsigned long long)sent,
			(unsigned long long)f->received_count, (long long)(sent - f->received_count), f->duplicate_count,
			f->reordered_count);
		if (f->frame_count > 0)
			fprintf(file, "%u,%.1f,%u\r\n", f->latency_min_ns, mean, f->latency_max_ns);
		else
			fprintf(file, ",,\r\n");
	}
}

FILE *
report_flows_open(const char *path, char error[TRIAL_ERROR_MAX])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (file == NULL)
		snprintf(error, TRIAL_ERROR_MAX, "flow_records: %.150s: %s", path, strerror(errno));
	return file;
}

int
report_flows(const struct trial *t, FILE *file, const char *path, char error[TRIAL_ERROR_MAX])
{
	fprintf(file, "stream,flow,sent_count,received_count,lost_count,duplicate_count,reordered_count,latency_min_ns,"
		      "latency_mean_ns,latency_max_ns\r\n");
	for (uint32_t i = 0; i < t->rx_lanes; i++) {
		const struct rx_lane *l = &t->rx[i];
		if (l->queue == 0 && l->account.flow != NULL)
			write_flows(file, l->stream, (unsigned int)(l->stream - t->stream), &l->account);
	}
	bool failed = ferror(file) != 0;
	if (fclose(file) == 0 && !failed)
		return 0;
	snprintf(error, TRIAL_ERROR_MAX, "flow_records: %.150s: %s", path, strerror(errno));
	unlink(path);
	return -1;
}
