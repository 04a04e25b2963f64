//  metrics.c - a broker's figures as text for Prometheus and as JSON; see metrics.h

#include "metrics.h"
#include "pipe.h"
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000

static const char *s_code_name(unsigned code)
{
    return error_code_name((error_code_t)code);
}

static const char *s_go_back_name(unsigned reason)
{
    static const char *const names[] = {"missing", "timeout", "generation"};
    return names[reason];
}

//  ---- the process -------------------------------------------------------------------------------

//  What the kernel knows of the process. A figure that cannot be read is 0.
typedef struct {
    stats_t cpu; //  ns, user and system
    stats_t start_time; //  ns since 1970
    stats_t resident_memory_bytes;
    stats_t open_fds;
    stats_t max_fds;
} process_t;

//  When the system started, in seconds since 1970.
static uint64_t s_boot_time(void)
{
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    uint64_t seconds = 0;
    char line[256];
    while (fgets(line, sizeof line, file) && sscanf(line, "btime %" SCNu64, &seconds) != 1)
        continue;
    fclose(file);
    return seconds;
}

static uint64_t s_open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    uint64_t entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries - 3; //  ".", ".." and the directory itself
}

//  Source: proc(5), fields 14, 15, 22 and 24 of /proc/pid/stat. The second one is the program's
//  name and may have anything in it, but no later one has a parenthesis.
static void s_read_stat(process_t *self)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[size] = '\0';
    const char *name_end = strrchr(line, ')');
    uint64_t user, system, start, pages;
    if (!name_end || sscanf(name_end + 1,
                            " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
                            " %*s %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64,
                            &user, &system, &start, &pages) != 4)
        return;
    uint64_t tick = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
    stats_set(&self->cpu, (user + system) * tick);
    uint64_t boot = s_boot_time();
    stats_set(&self->start_time, boot ? boot * NS_PER_SECOND + start * tick : 0);
    stats_set(&self->resident_memory_bytes, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void s_read_process(process_t *self)
{
    *self = (process_t){0};
    s_read_stat(self);
    stats_set(&self->open_fds, s_open_fds());
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        stats_set(&self->max_fds, limit.rlim_cur);
}

//  ---- Prometheus: the metrics -------------------------------------------------------------------

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
#define ORDERER(field) .area = BROKER, .offset = offsetof(broker_stats_t, orderer.field)
#define WORKER(field) .area = WORKERS, .offset = offsetof(worker_stats_t, field)
#define KERNEL(field) .area = PROCESS, .offset = offsetof(process_t, field)

static const metric_t s_metrics[] = {
    {"seqpush_pushes_total", "Pushes decided, by outcome.", COUNTER, ORDERER(outcomes),
     .label = "outcome", .names = outcome_name, .count = OUTCOMES},
    {"seqpush_duplicates_total", "Pushes that were held or released already.", COUNTER,
     ORDERER(outcomes[OUTCOME_DUPLICATE])},
    {"seqpush_errors_total", "Requests answered with an Error, by its code.", COUNTER,
     FRONT(errors), .label = "code", .names = s_code_name, .count = ERROR_CODES},
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
     "Pushes acknowledged by receivers, taken by ZeroMQ where nobody acknowledges, sent again, or "
     "given up.",
     COUNTER, ORDERER(acked), .label = "result", .value = "acknowledged"},
    {ORDERER(taken), .label = "result", .value = "taken"},
    {ORDERER(redelivered), .label = "result", .value = "redelivered"},
    {ORDERER(pushes_given_up), .label = "result", .value = "given_up"},
    {"seqpush_gaps_total", "Holes closed by a push, a Skip or a Reset, or open for too long.",
     COUNTER, ORDERER(gaps_filled), .label = "outcome", .value = "filled"},
    {ORDERER(gaps_skipped), .label = "outcome", .value = "skipped"},
    {ORDERER(gaps_reset), .label = "outcome", .value = "reset"},
    {ORDERER(gaps_alarmed), .label = "outcome", .value = "alarmed"},
    {"seqpush_gaps_open", "Clients that wait for a missing push.", GAUGE, ORDERER(gaps_open)},
    {"seqpush_clients", "Clients with state.", GAUGE, ORDERER(clients)},
    {"seqpush_receivers", "Attached receivers and routes.", GAUGE, ORDERER(receivers)},
    {"seqpush_publishers", "Peers that pushed lately.", GAUGE, FRONT(publishers)},
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

//  ---- Prometheus: the text ----------------------------------------------------------------------

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

//  Worker k's figures, or NULL.
static const worker_stats_t *s_worker(const broker_stats_t *stats, unsigned k)
{
    return atomic_load_explicit(&((broker_stats_t *)stats)->workers[k], memory_order_acquire);
}

static void s_put_workers(const series_t *self, const metric_t *row, const broker_stats_t *stats)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++) {
        const uint8_t *worker = (const uint8_t *)s_worker(stats, k);
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
    s_read_process(&process);
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

//  ---- JSON --------------------------------------------------------------------------------------

typedef enum { NUMBER, SECONDS, DURATIONS, LENGTHS } form_t;

typedef struct {
    const char *key;
    size_t offset;
    form_t form;
    const char *(*names)(unsigned); //  of an array of `count` numbers, else NULL
    unsigned count;
} figure_t;

#define FIGURE(type, field) .key = #field, .offset = offsetof(type, field)

static const figure_t s_front[] = {
    {FIGURE(front_stats_t, requests)},
    {FIGURE(front_stats_t, request_bytes)},
    {FIGURE(front_stats_t, errors), .names = s_code_name, .count = ERROR_CODES},
    {FIGURE(front_stats_t, replies)},
    {FIGURE(front_stats_t, replies_dropped_unreachable)},
    {FIGURE(front_stats_t, replies_dropped_full)},
    {FIGURE(front_stats_t, peers)},
    {FIGURE(front_stats_t, publishers)},
    {FIGURE(front_stats_t, reply_wait), .form = DURATIONS},
};

static const figure_t s_orderer[] = {
    {FIGURE(orderer_stats_t, outcomes), .names = outcome_name, .count = OUTCOMES},
    {FIGURE(orderer_stats_t, unreceived)},
    {FIGURE(orderer_stats_t, clients)},
    {FIGURE(orderer_stats_t, clients_evicted)},
    {FIGURE(orderer_stats_t, receivers)},
    {FIGURE(orderer_stats_t, held_messages)},
    {FIGURE(orderer_stats_t, held_bytes)},
    {FIGURE(orderer_stats_t, retained_messages)},
    {FIGURE(orderer_stats_t, retained_bytes)},
    {FIGURE(orderer_stats_t, unacked_messages)},
    {FIGURE(orderer_stats_t, oldest_unacked), .form = SECONDS},
    {FIGURE(orderer_stats_t, gaps_open)},
    {FIGURE(orderer_stats_t, gaps_filled)},
    {FIGURE(orderer_stats_t, gaps_skipped)},
    {FIGURE(orderer_stats_t, gaps_reset)},
    {FIGURE(orderer_stats_t, gaps_alarmed)},
    {FIGURE(orderer_stats_t, gap_notices)},
    {FIGURE(orderer_stats_t, pushes_given_up)},
    {FIGURE(orderer_stats_t, released)},
    {FIGURE(orderer_stats_t, acked)},
    {FIGURE(orderer_stats_t, taken)},
    {FIGURE(orderer_stats_t, redelivered)},
    {FIGURE(orderer_stats_t, go_backs), .names = s_go_back_name, .count = 3},
    {FIGURE(orderer_stats_t, acks_stale)},
    {FIGURE(orderer_stats_t, acks_beyond)},
    {FIGURE(orderer_stats_t, acks_unknown)},
    {FIGURE(orderer_stats_t, attaches)},
    {FIGURE(orderer_stats_t, takeovers)},
    {FIGURE(orderer_stats_t, receivers_timed_out)},
    {FIGURE(orderer_stats_t, enqueue), .form = DURATIONS},
    {FIGURE(orderer_stats_t, ordering_wait), .form = DURATIONS},
    {FIGURE(orderer_stats_t, delivery), .form = DURATIONS},
    {FIGURE(orderer_stats_t, queue_length), .form = LENGTHS},
    {FIGURE(orderer_stats_t, request_wait), .form = DURATIONS},
    {FIGURE(orderer_stats_t, report_wait), .form = DURATIONS},
};

static const figure_t s_workers[] = {
    {FIGURE(worker_stats_t, sends)},
    {FIGURE(worker_stats_t, sent_messages)},
    {FIGURE(worker_stats_t, sent_bytes)},
    {FIGURE(worker_stats_t, would_block)},
    {FIGURE(worker_stats_t, failed)},
    {FIGURE(worker_stats_t, discarded)},
    {FIGURE(worker_stats_t, backlog_messages)},
    {FIGURE(worker_stats_t, inflight_messages)},
    {FIGURE(worker_stats_t, endpoints)},
    {FIGURE(worker_stats_t, endpoints_blocked)},
    {FIGURE(worker_stats_t, send), .form = DURATIONS},
    {FIGURE(worker_stats_t, batch_wait), .form = DURATIONS},
};

static const figure_t s_process[] = {
    {FIGURE(process_t, cpu), .form = SECONDS},
    {FIGURE(process_t, start_time), .form = SECONDS},
    {FIGURE(process_t, resident_memory_bytes)},
    {FIGURE(process_t, open_fds)},
    {FIGURE(process_t, max_fds)},
};

//  The object, or NULL if something could not be put into it for want of memory.
static json_t *s_whole(json_t *json, int failed)
{
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *s_json_histogram(const histogram_t *figure, double unit)
{
    static const struct {
        const char *key;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max_bucket", 1}};
    histogram_t copy = {0};
    histogram_merge(&copy, figure);
    uint64_t count = histogram_count(&copy);
    double mean = count ? (double)stats_get(&copy.sum) / (double)count * unit : 0;
    json_t *json = json_pack("{s:I, s:f}", "count", (json_int_t)count, "mean", mean);
    int failed = 0;
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        double value = (double)histogram_quantile(&copy, quantiles[i].q) * unit;
        failed |= json_object_set_new(json, quantiles[i].key, json_real(value));
    }
    return s_whole(json, failed);
}

static json_t *s_json_array(const figure_t *figure, const stats_t *numbers)
{
    json_t *json = json_object();
    int failed = 0;
    for (unsigned i = 0; i < figure->count; i++)
        failed |= json_object_set_new(json, figure->names(i),
                                      json_integer((json_int_t)stats_get(&numbers[i])));
    return s_whole(json, failed);
}

static json_t *s_json_figure(const figure_t *figure, const void *at)
{
    if (figure->names)
        return s_json_array(figure, at);
    switch (figure->form) {
    case NUMBER:
        return json_integer((json_int_t)stats_get(at));
    case SECONDS:
        return json_real((double)stats_get(at) / NS_PER_SECOND);
    case DURATIONS:
        return s_json_histogram(at, 1.0 / NS_PER_SECOND);
    case LENGTHS:
        return s_json_histogram(at, 1);
    }
    return NULL;
}

//  Adds the figures of an actor to an object. Returns it, or NULL if there is no memory.
static json_t *s_json_add(json_t *json, const figure_t *figures, size_t count, const void *actor)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        failed |= json_object_set_new(
            json, figures[i].key,
            s_json_figure(&figures[i], (const uint8_t *)actor + figures[i].offset));
    return s_whole(json, failed);
}
#define JSON_ADD(json, figures, actor) \
    s_json_add(json, figures, sizeof figures / sizeof figures[0], actor)

static json_t *s_json_workers(const broker_stats_t *stats)
{
    json_t *json = json_array();
    int failed = 0;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++) {
        const worker_stats_t *worker = s_worker(stats, k);
        if (worker)
            failed |= json_array_append_new(
                json, JSON_ADD(json_pack("{s:i}", "worker", (int)k), s_workers, worker));
    }
    return s_whole(json, failed);
}

char *metrics_json(const broker_stats_t *stats)
{
    process_t process;
    s_read_process(&process);
    char instance[24];
    snprintf(instance, sizeof instance, "%" PRIu64, stats->instance);
    json_t *json =
        json_pack("{s:s, s:s, s:b, s:f, s:o, s:o, s:o, s:o}", "version", SEQPUSH_VERSION,
                  "instance", instance, "ready", atomic_load(&((broker_stats_t *)stats)->ready),
                  "uptime_seconds", (double)(pipe_clock() - stats->started) / NS_PER_SECOND,
                  "front", JSON_ADD(json_object(), s_front, &stats->front), "orderer",
                  JSON_ADD(json_object(), s_orderer, &stats->orderer), "workers",
                  s_json_workers(stats), "process", JSON_ADD(json_object(), s_process, &process));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
