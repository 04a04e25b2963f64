//  metrics.c - a broker's figures as text for Prometheus; see metrics.h

#include "metrics.h"
#include "process.h"
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_SECOND 1000000000

//  ---- the metrics -------------------------------------------------------------------------------

typedef enum { COUNTER, GAUGE, HISTOGRAM } type_t;

//  Whose figure it is, and so what its offset counts from.
typedef enum { BROKER, PROCESS, SCRAPES, VERSION, WORKERS, AREAS } area_t;

//  A row with a name begins a metric; those that follow without one add series to it. The area
//  WORKERS gives a series for every worker, which has a label `worker` if no other label is
//  numbered.
typedef struct {
    const char *name;
    const char *help;
    type_t type;
    bool seconds; //  the figure is ns, else it is printed as it is
    area_t area;
    size_t offset;
    const char *label; //  NULL: none
    const char *value; //  of the label
    const char *(*names)(unsigned); //  values of the label, for an array of `count` figures
    unsigned count;
    bool numbered; //  the label's value ends with the worker's number
    bool summed; //  one series, the sum over all workers
} metric_t;

#define FRONT(field) .area = BROKER, .offset = offsetof(broker_stats_t, front.field)
#define GATE(field) .area = BROKER, .offset = offsetof(broker_stats_t, gate.field)
#define ORDERER(field) .area = BROKER, .offset = offsetof(broker_stats_t, orderer.field)
#define JOURNAL(field) .area = BROKER, .offset = offsetof(broker_stats_t, journal.field)
#define WORKER(field) .area = WORKERS, .offset = offsetof(worker_stats_t, field)
#define KERNEL(field) .area = PROCESS, .offset = offsetof(process_t, field)

static const metric_t s_metrics[] = {
    {"seqpush_pushes_total", "Pushes decided, by outcome.", COUNTER, ORDERER(outcomes),
     .label = "outcome", .names = outcome_name, .count = OUTCOMES},
    {"seqpush_duplicates_total", "Pushes that were held or released already.", COUNTER,
     ORDERER(outcomes[OUTCOME_DUPLICATE])},
    {"seqpush_errors_total", "Requests answered with an Error, by its code.", COUNTER,
     FRONT(errors), .label = "code", .names = error_code_name, .count = ERROR_CODES},
    {"seqpush_replies_total", "Replies, by what became of them.", COUNTER, FRONT(replies),
     .label = "result", .value = "sent"},
    {FRONT(replies_dropped_unreachable), .label = "result", .value = "unreachable"},
    {FRONT(replies_dropped_full), .label = "result", .value = "full"},
    {"seqpush_enqueue_duration_seconds", "From the front's receipt to the outcome.", HISTOGRAM,
     true, ORDERER(enqueue)},
    {"seqpush_ordering_wait_seconds", "From acceptance to release.", HISTOGRAM, true,
     ORDERER(ordering_wait)},
    {"seqpush_delivery_duration_seconds", "From the first send to the receiver's ack.", HISTOGRAM,
     true, ORDERER(delivery)},
    {"seqpush_send_duration_seconds", "Socket calls of a worker.", HISTOGRAM, true, WORKER(send)},
    {"seqpush_pipe_wait_seconds", "Waits between actors.", HISTOGRAM, true, ORDERER(request_wait),
     .label = "pipe", .value = "requests"},
    {FRONT(reply_wait), .label = "pipe", .value = "replies"},
    {ORDERER(report_wait), .label = "pipe", .value = "reports"},
    {JOURNAL(wait), .label = "pipe", .value = "journal"},
    {WORKER(batch_wait), .label = "pipe", .value = "batches-", .numbered = true},
    {"seqpush_queue_length_messages", "Pushes kept for a client, sampled at each enqueue.",
     HISTOGRAM, ORDERER(queue_length)},
    {"seqpush_queue_messages",
     "Pushes kept: held until those before them come, retained until they are acknowledged; of the "
     "retained, sending ones wait in workers.",
     GAUGE, ORDERER(held_messages), .label = "stage", .value = "held"},
    {ORDERER(retained_messages), .label = "stage", .value = "retained"},
    {WORKER(backlog_messages), .label = "stage", .value = "sending", .summed = true},
    {"seqpush_queue_bytes", "Bytes of the pushes kept.", GAUGE, ORDERER(held_bytes),
     .label = "stage", .value = "held"},
    {ORDERER(retained_bytes), .label = "stage", .value = "retained"},
    {"seqpush_frame_bytes", "Bytes of the frames that the pushes kept lie in.", GAUGE,
     ORDERER(frame_bytes)},
    {"seqpush_send_backlog_messages", "Messages that a worker has and has not sent.", GAUGE,
     WORKER(backlog_messages)},
    {"seqpush_inflight_messages", "Pushes given to a worker and not yet acknowledged.", GAUGE,
     WORKER(inflight_messages)},
    {"seqpush_oldest_unacked_seconds", "Age of the oldest unacknowledged push.", GAUGE, true,
     ORDERER(oldest_unacked)},
    {"seqpush_sends_total",
     "Sends of a worker: frames sent, sends put off or failed, messages discarded unsent.", COUNTER,
     WORKER(sends), .label = "result", .value = "sent"},
    {WORKER(would_block), .label = "result", .value = "would_block"},
    {WORKER(failed), .label = "result", .value = "failed"},
    {WORKER(discarded), .label = "result", .value = "discarded"},
    {"seqpush_deliveries_total",
     "Pushes acknowledged by receivers, taken by ZeroMQ where nobody acknowledges, sent again, "
     "given up by a Reset, or given up after delivery/retain_max.",
     COUNTER, ORDERER(acked), .label = "result", .value = "acknowledged"},
    {ORDERER(taken), .label = "result", .value = "taken"},
    {ORDERER(redelivered), .label = "result", .value = "redelivered"},
    {ORDERER(pushes_given_up), .label = "result", .value = "given_up"},
    {ORDERER(pushes_expired), .label = "result", .value = "expired"},
    {"seqpush_gaps_total",
     "Holes closed by a push, a Skip, the policy or a Reset, or open for too long.", COUNTER,
     ORDERER(gaps_filled), .label = "outcome", .value = "filled"},
    {ORDERER(gaps_skipped), .label = "outcome", .value = "skipped"},
    {ORDERER(gaps_expired), .label = "outcome", .value = "expired"},
    {ORDERER(gaps_reset), .label = "outcome", .value = "reset"},
    {ORDERER(gaps_alarmed), .label = "outcome", .value = "alarmed"},
    {"seqpush_repairs_total",
     "Publishers asked for missing pushes: sent, or dropped as the peer is gone or has had too "
     "many.",
     COUNTER, FRONT(repairs_sent), .label = "result", .value = "sent"},
    {FRONT(repairs_dropped), .label = "result", .value = "dropped"},
    {"seqpush_gaps_open", "Clients that wait for a missing push.", GAUGE, ORDERER(gaps_open)},
    {"seqpush_workers", "Sender workers that run.", GAUGE, .area = BROKER,
     .offset = offsetof(broker_stats_t, worker_count)},
    {"seqpush_endpoints_moved_total", "Endpoints that went from one worker to another.", COUNTER,
     ORDERER(endpoints_moved)},
    {"seqpush_clients", "Clients with state.", GAUGE, ORDERER(clients)},
    {"seqpush_receivers", "Attached receivers and routes.", GAUGE, ORDERER(receivers)},
    {"seqpush_connections", "Connections to the front.", GAUGE, FRONT(connections)},
    {"seqpush_connections_refused_total",
     "Connections beyond front/max_connections, and peers that are not let in.", COUNTER,
     FRONT(connections_refused)},
    {"seqpush_auth_total",
     "Handshakes, and requests and pushes of known keys that were denied, by result.", COUNTER,
     GATE(admitted), .label = "result", .value = "admitted"},
    {GATE(unknown_key), .label = "result", .value = "unknown_key"},
    {FRONT(bad_handshakes), .label = "result", .value = "bad_handshake"},
    {FRONT(unfinished_handshakes), .label = "result", .value = "unfinished_handshake"},
    {FRONT(denied_key), .label = "result", .value = "denied_key"},
    {FRONT(denied), .label = "result", .names = denied_name, .count = DENIED_CAUSES},
    {ORDERER(denied_owner), .label = "result", .value = "denied_owner"},
    {"seqpush_publishers", "Peers that pushed lately.", GAUGE, FRONT(publishers)},
    {"seqpush_journal_commit_seconds", "Commits of the journal.", HISTOGRAM, true, JOURNAL(commit)},
    {"seqpush_journal_batch_messages", "Pushes of a commit.", HISTOGRAM, JOURNAL(batch)},
    {"seqpush_journal_commits_total", "Commits of the journal, by what became of them.", COUNTER,
     JOURNAL(commits), .label = "result", .value = "kept"},
    {JOURNAL(commits_failed), .label = "result", .value = "failed"},
    {"seqpush_journal_unsaved_changes",
     "Changes, most of them positions of clients, that the journal does not keep yet.", GAUGE,
     ORDERER(unsaved)},
    {"seqpush_journal_failing", "1 while the journal cannot be written, and pushes are refused.",
     GAUGE, JOURNAL(failing)},
    {"seqpush_metrics_scrape_duration_seconds", "Making this text, the scrapes so far.", HISTOGRAM,
     true, .area = SCRAPES},
    {"seqpush_build_info", "Always 1; the version is the label.", GAUGE, .area = VERSION,
     .label = "version", .value = SEQPUSH_VERSION},
    {"process_cpu_seconds_total", "User and system processor time.", COUNTER, true, KERNEL(cpu)},
    {"process_resident_memory_bytes", "Resident memory.", GAUGE, KERNEL(resident_memory_bytes)},
    {"process_open_fds", "Open file descriptors.", GAUGE, KERNEL(open_fds)},
    {"process_max_fds", "The limit on open file descriptors.", GAUGE, KERNEL(max_fds)},
    {"process_start_time_seconds", "When the process started, since 1970.", GAUGE, true,
     KERNEL(start_time)},
};
#define METRICS (sizeof s_metrics / sizeof s_metrics[0])

//  ---- the text ----------------------------------------------------------------------------------

//  One series of a metric, and where it is written.
typedef struct {
    FILE *out;
    const metric_t *metric; //  the row with the name
    struct {
        const char *name;
        char value[64];
    } labels[2];
    unsigned label_count;
} series_t;

//  A power of two minus one is where an octave ends, so these are exact: 1 us to 69 s, 1 to a
//  million.
#define SECONDS_FIRST 10
#define SECONDS_LAST 36
#define MESSAGES_FIRST 1
#define MESSAGES_LAST 20

static void s_put_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fputc(*value, out);
    }
    fputc('"', out);
}

//  Writes a figure; ns as seconds, exactly and whatever the locale.
static void s_put_figure(FILE *out, uint64_t figure, bool seconds)
{
    if (seconds)
        fprintf(out, "%" PRIu64 ".%09" PRIu64, figure / NS_PER_SECOND, figure % NS_PER_SECOND);
    else
        fprintf(out, "%" PRIu64, figure);
}

//  Writes the name and the labels of the series, without the closing brace. Returns what comes
//  before the next label.
static char s_put_name(const series_t *self, const char *suffix)
{
    char separator = '{';
    fprintf(self->out, "%s%s", self->metric->name, suffix);
    for (unsigned i = 0; i < self->label_count; i++) {
        fputc(separator, self->out);
        s_put_label(self->out, self->labels[i].name, self->labels[i].value);
        separator = ',';
    }
    return separator;
}

static void s_put_sample(const series_t *self, const char *suffix, uint64_t figure, bool seconds)
{
    fputs(s_put_name(self, suffix) == '{' ? " " : "} ", self->out);
    s_put_figure(self->out, figure, seconds);
    fputc('\n', self->out);
}

//  Writes how many events are at most `border`, which is UINT64_MAX for all.
static void s_put_bucket(const series_t *self, uint64_t border, uint64_t count)
{
    fprintf(self->out, "%cle=\"", s_put_name(self, "_bucket"));
    if (border == UINT64_MAX)
        fputs("+Inf", self->out);
    else
        s_put_figure(self->out, border, self->metric->seconds);
    fprintf(self->out, "\"} %" PRIu64 "\n", count);
}

static void s_put_histogram(const series_t *self, const histogram_t *figure)
{
    histogram_t copy = {0};
    histogram_merge(&copy, figure);
    bool seconds = self->metric->seconds;
    uint64_t count = 0;
    size_t bucket = 0;
    for (unsigned octave = seconds ? SECONDS_FIRST : MESSAGES_FIRST;
         octave <= (seconds ? SECONDS_LAST : MESSAGES_LAST); octave++) {
        uint64_t border = ((uint64_t)1 << octave) - 1;
        while (histogram_upper(bucket) <= border)
            count += stats_get(&copy.buckets[bucket++]);
        s_put_bucket(self, border, count);
    }
    count = histogram_count(&copy);
    s_put_bucket(self, UINT64_MAX, count);
    s_put_sample(self, "_sum", stats_get(&copy.sum), seconds);
    s_put_sample(self, "_count", count, false);
}

static void s_put_series(const series_t *self, const void *figure)
{
    assert(self->metric); //  the first row of the table has a name
    if (self->metric->type == HISTOGRAM)
        s_put_histogram(self, figure);
    else
        s_put_sample(self, "", stats_get(figure), self->metric->seconds);
}

static void s_add_label(series_t *self, const char *name, const char *value, const char *number)
{
    self->labels[self->label_count].name = name;
    snprintf(self->labels[self->label_count].value, sizeof self->labels[0].value, "%s%s", value,
             number);
    self->label_count++;
}

//  Writes a row whose figure, or array of figures, begins at `figure`.
static void s_put_array(const series_t *self, const metric_t *row, const stats_t *figure)
{
    for (unsigned i = 0; i < row->count; i++) {
        series_t series = *self;
        s_add_label(&series, row->label, row->names(i), "");
        s_put_series(&series, &figure[i]);
    }
}

static void s_put_worker(const series_t *self, const metric_t *row, unsigned k, const void *figure)
{
    char number[16];
    snprintf(number, sizeof number, "%u", k);
    series_t series = *self;
    if (!row->numbered)
        s_add_label(&series, "worker", "", number);
    if (row->label)
        s_add_label(&series, row->label, row->value, row->numbered ? number : "");
    s_put_series(&series, figure);
}

static void s_put_workers(const series_t *self, const metric_t *row, const broker_stats_t *stats)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++) {
        const uint8_t *worker = (const uint8_t *)stats_worker_get(stats, k);
        if (worker && row->summed)
            sum += stats_get((const stats_t *)(worker + row->offset));
        else if (worker)
            s_put_worker(self, row, k, worker + row->offset);
    }
    if (!row->summed)
        return;
    series_t series = *self;
    s_add_label(&series, row->label, row->value, "");
    s_put_sample(&series, "", sum, row->seconds);
}

//  Writes the series of a row; `areas` is what the rows' offsets count from, the broker's figures
//  for WORKERS too.
static void s_put_row(const series_t *self, const metric_t *row, const void *const areas[AREAS])
{
    if (row->area == WORKERS) {
        s_put_workers(self, row, areas[WORKERS]);
        return;
    }
    const void *figure = (const uint8_t *)areas[row->area] + row->offset;
    if (row->names) {
        s_put_array(self, row, figure);
        return;
    }
    series_t series = *self;
    if (row->label)
        s_add_label(&series, row->label, row->value, "");
    s_put_series(&series, figure);
}

static void s_put_metrics(FILE *out, const void *const areas[AREAS])
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    series_t series = {.out = out};
    for (const metric_t *row = s_metrics; row < s_metrics + METRICS; row++) {
        if (row->name) {
            series.metric = row;
            fprintf(out, "# HELP %s %s\n", row->name, row->help);
            fprintf(out, "# TYPE %s %s\n", row->name, types[row->type]);
        }
        s_put_row(&series, row, areas);
    }
}

char *metrics_text(const broker_stats_t *stats, const histogram_t *scrapes)
{
    static const stats_t one = 1;
    process_t process;
    process_read(&process);
    const void *const areas[AREAS] = {stats, &process, scrapes, &one, stats};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    s_put_metrics(out, areas);
    bool whole = !ferror(out);
    if (fclose(out) == 0 && whole)
        return text;
    free(text);
    return NULL;
}
