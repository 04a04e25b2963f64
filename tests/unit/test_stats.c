//  test_stats.c - the figures: histograms, both ways to print them, and the server that shows them

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http.h"
#include "metrics.h"
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

//  ---- histograms --------------------------------------------------------------------------------

//  xorshift64 (Marsaglia, 2003): the same numbers at every run.
static uint64_t s_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void buckets_are_adjacent_and_narrow(void **state)
{
    (void)state;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t upper = histogram_upper(bucket);
        uint64_t lower = bucket ? histogram_upper(bucket - 1) + 1 : 0;
        assert_true(lower <= upper);
        assert_int_equal(histogram_bucket(lower), bucket);
        assert_int_equal(histogram_bucket(upper), bucket);
        assert_true(upper - lower <= lower / 4);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static int s_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_those_of_the_sorted_samples(void **state)
{
    (void)state;
    enum { SAMPLES = 5000 };
    static const double quantiles[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t samples[SAMPLES];
    histogram_t histogram = {0};
    uint64_t seed = 42, sum = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        samples[i] = s_random(&seed) >> (24 + s_random(&seed) % 40);
        histogram_add(&histogram, samples[i], 1);
        sum += samples[i];
    }
    qsort(samples, SAMPLES, sizeof samples[0], s_compare);
    assert_int_equal(histogram_count(&histogram), SAMPLES);
    assert_int_equal(stats_get(&histogram.sum), sum);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        size_t rank = (size_t)ceil(quantiles[i] * SAMPLES);
        uint64_t exact = samples[rank ? rank - 1 : 0];
        uint64_t value = histogram_quantile(&histogram, quantiles[i]);
        assert_true(value >= exact && value <= exact + exact / 4);
    }
}

static void an_empty_histogram_has_quantile_0(void **state)
{
    (void)state;
    histogram_t histogram = {0};
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_count(&histogram), 0);
}

static void merging_adds_events_and_sums(void **state)
{
    (void)state;
    histogram_t a = {0}, b = {0};
    histogram_add(&a, 5, 2);
    histogram_add(&b, 5, 1);
    histogram_add(&b, 1000, 4);
    histogram_merge(&a, &b);
    assert_int_equal(histogram_count(&a), 7);
    assert_int_equal(stats_get(&a.sum), 5 * 3 + 1000 * 4);
    assert_int_equal(stats_get(&a.buckets[5]), 3);
    assert_int_equal(histogram_count(&b), 5);
}

static void names_are_those_of_the_wire(void **state)
{
    (void)state;
    assert_string_equal(outcome_name(OUTCOME_ACCEPTED), "accepted");
    assert_string_equal(outcome_name(OUTCOME_SHUTTING_DOWN), "shutting_down");
    assert_string_equal(outcome_name(OUTCOMES), "unknown");
    assert_string_equal(error_code_name(ERROR_MALFORMED), "malformed");
    assert_string_equal(error_code_name(ERROR_SHUTTING_DOWN), "shutting_down");
    assert_string_equal(error_code_name(ERROR_CODES), "unknown");
}

static void a_worker_keeps_its_figures(void **state)
{
    (void)state;
    broker_stats_t *stats = stats_new(1, 0);
    worker_stats_t *worker = stats_worker(stats, STATS_WORKERS_MAX - 1);
    assert_non_null(worker);
    assert_ptr_equal(stats_worker(stats, STATS_WORKERS_MAX - 1), worker);
    assert_ptr_not_equal(stats_worker(stats, 0), worker);
    stats_destroy(&stats);
    assert_null(stats);
    stats_destroy(&stats);
}

//  ---- a reader of the exposition format ---------------------------------------------------------

//  It knows the format alone, nothing of how the text is made.
typedef struct {
    char series[256]; //  name and labels, as they stand in the text
    char value[64];
} sample_t;

typedef struct {
    char names[128][96]; //  metrics that had their TYPE
    size_t name_count;
    sample_t samples[4096];
    size_t sample_count;
    //  The metric and the histogram series that is being read.
    char name[96];
    char type[16];
    bool typed;
    char labels[160]; //  of the histogram series, without le; "!" between two
    double border;
    uint64_t count;
} exposition_t;

static void s_read_help(exposition_t *self, const char *line)
{
    assert_int_equal(sscanf(line, "# HELP %95[a-zA-Z0-9_:] %*[^\n]", self->name), 1);
    self->typed = false;
}

static void s_read_type(exposition_t *self, const char *line)
{
    char name[96], rest;
    assert_int_equal(sscanf(line, "# TYPE %95s %15s%c", name, self->type, &rest), 2);
    assert_string_equal(name, self->name);
    assert_non_null(strstr("counter gauge histogram", self->type));
    for (size_t i = 0; i < self->name_count; i++)
        assert_string_not_equal(self->names[i], name);
    snprintf(self->names[self->name_count++], sizeof name, "%s", name);
    self->typed = true;
    snprintf(self->labels, sizeof self->labels, "!");
}

//  Reads {name="value",...} and returns what follows. Sets `le` to that label's value and `others`
//  to the labels without it.
static const char *s_read_labels(const char *text, char le[64], char others[160])
{
    size_t size = 0;
    *le = *others = '\0';
    while (*text == '{' || *text == ',') {
        const char *start = ++text;
        assert_true(isalpha((unsigned char)*text) || *text == '_');
        text += strcspn(text, "=");
        bool is_le = text - start == 2 && memcmp(start, "le", 2) == 0;
        assert_int_equal(text[1], '"');
        const char *value = text + 2;
        for (text = value; *text != '"'; text++) {
            if (*text == '\\')
                assert_non_null(strchr("\\\"n", *++text));
            assert_int_not_equal(*text, '\0');
        }
        if (is_le)
            snprintf(le, 64, "%.*s", (int)(text - value), value);
        else
            size +=
                (size_t)snprintf(others + size, 160 - size, "%.*s,", (int)(text - start), start);
        text++;
    }
    assert_true(*text == ' ' || *text == '}');
    return *text == '}' ? text + 1 : text;
}

//  Buckets are cumulative, their borders ascend to +Inf, and _sum and _count follow the last one.
static void s_read_histogram(exposition_t *self, const char *suffix, const char *le,
                             const char *labels, double value)
{
    bool first = strcmp(self->labels, "!") == 0;
    if (!first)
        assert_string_equal(self->labels, labels);
    if (strcmp(suffix, "_bucket") == 0) {
        double border = strcmp(le, "+Inf") == 0 ? INFINITY : atof(le);
        assert_true(first || border > self->border);
        assert_true(first || value >= (double)self->count);
        snprintf(self->labels, sizeof self->labels, "%s", labels);
        self->border = border;
        self->count = (uint64_t)value;
        return;
    }
    assert_true(!first && isinf(self->border));
    if (strcmp(suffix, "_sum") == 0)
        return;
    assert_string_equal(suffix, "_count");
    assert_true(value == (double)self->count);
    snprintf(self->labels, sizeof self->labels, "!");
}

static void s_read_sample(exposition_t *self, const char *line)
{
    size_t size = strlen(self->name);
    assert_true(self->typed);
    assert_memory_equal(line, self->name, size);
    char suffix[16] = "", le[64], labels[160];
    size_t suffix_size = strcspn(line + size, "{ ");
    snprintf(suffix, sizeof suffix, "%.*s", (int)suffix_size, line + size);
    const char *end = s_read_labels(line + size + suffix_size, le, labels);
    char *rest;
    double value = strtod(end, &rest);
    assert_true(*end == ' ' && rest > end + 1 && *rest == '\0' && value >= 0);
    if (strcmp(self->type, "histogram") == 0)
        s_read_histogram(self, suffix, le, labels, value);
    else
        assert_string_equal(suffix, "");
    assert_int_equal(strcmp(self->type, "counter") == 0,
                     size > 6 && strcmp(self->name + size - 6, "_total") == 0);
    sample_t *sample = &self->samples[self->sample_count++];
    snprintf(sample->series, sizeof sample->series, "%.*s", (int)(end - line), line);
    snprintf(sample->value, sizeof sample->value, "%s", end + 1);
    for (sample_t *other = self->samples; other < sample; other++)
        assert_string_not_equal(other->series, sample->series);
}

//  Reads and checks the whole text. The caller frees the result.
static exposition_t *s_read(const char *text)
{
    exposition_t *self = calloc(1, sizeof *self);
    assert_non_null(self);
    assert_int_equal(text[strlen(text) - 1], '\n');
    while (*text) {
        char line[512];
        size_t size = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)size, text);
        if (strncmp(line, "# HELP ", 7) == 0)
            s_read_help(self, line);
        else if (strncmp(line, "# TYPE ", 7) == 0)
            s_read_type(self, line);
        else
            s_read_sample(self, line);
        text += size + 1;
    }
    return self;
}

//  The value of a series, as it stands in the text; "none" if there is no such series.
static const char *s_value(const exposition_t *self, const char *series)
{
    for (size_t i = 0; i < self->sample_count; i++)
        if (strcmp(self->samples[i].series, series) == 0)
            return self->samples[i].value;
    return "none";
}

//  ---- the two texts -----------------------------------------------------------------------------

//  Figures of which some are set; workers 0 and 3.
static broker_stats_t *s_figures(void)
{
    broker_stats_t *stats = stats_new(UINT64_MAX, 0);
    for (unsigned outcome = 0; outcome < OUTCOMES; outcome++)
        stats_set(&stats->orderer.outcomes[outcome], 100 + outcome);
    stats_set(&stats->front.errors[ERROR_STALE_GENERATION], 7);
    stats_set(&stats->front.replies_dropped_full, 8);
    stats_set(&stats->orderer.retained_bytes, 9);
    stats_set(&stats->orderer.oldest_unacked, 1500000001);
    stats_set(&stats->orderer.go_backs[1], 10);
    histogram_add(&stats->orderer.queue_length, 1, 2);
    histogram_add(&stats->orderer.queue_length, 4, 1);
    histogram_add(&stats->orderer.queue_length, 10000000, 1);
    histogram_add(&stats->orderer.enqueue, 1023, 1);
    histogram_add(&stats->orderer.enqueue, 1024, 1);
    for (unsigned k = 0; k <= 3; k += 3) {
        worker_stats_t *worker = stats_worker(stats, k);
        stats_set(&worker->would_block, 20 + k);
        stats_set(&worker->backlog_messages, 30 + k);
        stats_set(&worker->inflight_messages, 40 + k);
        histogram_add(&worker->batch_wait, 5000, k);
    }
    return stats;
}

static void the_text_is_a_valid_exposition(void **state)
{
    (void)state;
    static const struct {
        const char *series;
        const char *value;
    } cases[] = {
        {"seqpush_pushes_total{outcome=\"accepted\"}", "100"},
        {"seqpush_pushes_total{outcome=\"shutting_down\"}", "111"},
        {"seqpush_duplicates_total", "101"},
        {"seqpush_errors_total{code=\"stale_generation\"}", "7"},
        {"seqpush_errors_total{code=\"malformed\"}", "0"},
        {"seqpush_replies_total{result=\"full\"}", "8"},
        {"seqpush_queue_bytes{stage=\"retained\"}", "9"},
        {"seqpush_queue_messages{stage=\"sending\"}", "63"},
        {"seqpush_oldest_unacked_seconds", "1.500000001"},
        {"seqpush_sends_total{worker=\"3\",result=\"would_block\"}", "23"},
        {"seqpush_sends_total{worker=\"1\",result=\"would_block\"}", "none"},
        {"seqpush_send_backlog_messages{worker=\"0\"}", "30"},
        {"seqpush_inflight_messages{worker=\"3\"}", "43"},
        {"seqpush_pipe_wait_seconds_count{pipe=\"batches-3\"}", "3"},
        {"seqpush_pipe_wait_seconds_sum{pipe=\"batches-3\"}", "0.000015000"},
        {"seqpush_pipe_wait_seconds_count{pipe=\"requests\"}", "0"},
        {"seqpush_queue_length_messages_bucket{le=\"1\"}", "2"},
        {"seqpush_queue_length_messages_bucket{le=\"3\"}", "2"},
        {"seqpush_queue_length_messages_bucket{le=\"7\"}", "3"},
        {"seqpush_queue_length_messages_bucket{le=\"1048575\"}", "3"},
        {"seqpush_queue_length_messages_bucket{le=\"+Inf\"}", "4"},
        {"seqpush_queue_length_messages_sum", "10000006"},
        {"seqpush_enqueue_duration_seconds_bucket{le=\"0.000001023\"}", "1"},
        {"seqpush_enqueue_duration_seconds_bucket{le=\"0.000002047\"}", "2"},
        {"seqpush_enqueue_duration_seconds_sum", "0.000002047"},
        {"seqpush_metrics_scrape_duration_seconds_count", "1"},
        {"seqpush_build_info{version=\"" SEQPUSH_VERSION "\"}", "1"},
    };
    broker_stats_t *stats = s_figures();
    histogram_t scrapes = {0};
    histogram_add(&scrapes, 100, 1);
    char *text = metrics_text(stats, &scrapes);
    exposition_t *exposition = s_read(text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(s_value(exposition, cases[i].series), cases[i].value);
    free(exposition);
    free(text);
    stats_destroy(&stats);
}

static void every_metric_is_there_before_anything_has_happened(void **state)
{
    (void)state;
    broker_stats_t *stats = stats_new(1, 0);
    histogram_t scrapes = {0};
    char *text = metrics_text(stats, &scrapes);
    exposition_t *exposition = s_read(text);
    for (unsigned outcome = 0; outcome < OUTCOMES; outcome++) {
        char series[96];
        snprintf(series, sizeof series, "seqpush_pushes_total{outcome=\"%s\"}",
                 outcome_name(outcome));
        assert_string_equal(s_value(exposition, series), "0");
    }
    assert_string_equal(s_value(exposition, "seqpush_queue_messages{stage=\"sending\"}"), "0");
    free(exposition);
    free(text);
    stats_destroy(&stats);
}

static void figures_of_the_process_are_those_of_the_kernel(void **state)
{
    (void)state;
    broker_stats_t *stats = stats_new(1, 0);
    histogram_t scrapes = {0};
    char *text = metrics_text(stats, &scrapes);
    exposition_t *exposition = s_read(text);
    double resident = atof(s_value(exposition, "process_resident_memory_bytes"));
    double started = atof(s_value(exposition, "process_start_time_seconds"));
    assert_true(resident > 100e3);
    assert_true(started > (double)time(NULL) - 3600 && started < (double)time(NULL) + 2);
    assert_true(atof(s_value(exposition, "process_open_fds")) >= 3);
    assert_int_equal(atol(s_value(exposition, "process_max_fds")), sysconf(_SC_OPEN_MAX));
    assert_true(atof(s_value(exposition, "process_cpu_seconds_total")) < 3600);
    free(exposition);
    free(text);
    stats_destroy(&stats);
}

static json_t *s_json(const broker_stats_t *stats)
{
    json_t *object = metrics_json(stats);
    char *text = json_dumps(object, 0);
    json_decref(object);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static void the_json_has_every_actor(void **state)
{
    (void)state;
    broker_stats_t *stats = s_figures();
    json_t *json = s_json(stats);
    const char *version, *instance;
    int ready, errors, accepted, go_backs, fds, count, worker0, worker3, inflight;
    double uptime, oldest, p50, p999, max, mean, wait;
    assert_int_equal(json_unpack(json,
                                 "{s:s, s:s, s:b, s:f, s:{s:{s:i}},"
                                 " s:{s:{s:i}, s:{s:i}, s:f, s:{s:i, s:f, s:f, s:f, s:f}},"
                                 " s:[{s:i, s:i}, {s:i, s:{s:f}} !], s:{s:i}}",
                                 "version", &version, "instance", &instance, "ready", &ready,
                                 "uptime_seconds", &uptime, "front", "errors", "stale_generation",
                                 &errors, "orderer", "outcomes", "accepted", &accepted, "go_backs",
                                 "timeout", &go_backs, "oldest_unacked", &oldest, "queue_length",
                                 "count", &count, "p50", &p50, "p999", &p999, "max_bucket", &max,
                                 "mean", &mean, "workers", "worker", &worker0, "inflight_messages",
                                 &inflight, "worker", &worker3, "batch_wait", "p90", &wait,
                                 "process", "open_fds", &fds),
                     0);
    assert_string_equal(version, SEQPUSH_VERSION);
    assert_string_equal(instance, "18446744073709551615");
    assert_false(ready);
    assert_true(uptime > 0 && fds >= 3);
    assert_int_equal(errors, 7);
    assert_int_equal(accepted, 100);
    assert_int_equal(go_backs, 10);
    assert_true(fabs(oldest - 1.500000001) < 1e-9);
    assert_int_equal(count, 4);
    assert_true(p50 == 1 && p999 == max && max >= 10000000 && max < 12500000);
    assert_true(mean == 10000006.0 / 4);
    assert_true(worker0 == 0 && worker3 == 3 && inflight == 40);
    assert_true(wait >= 5000e-9 && wait < 6250e-9);
    json_decref(json);
    stats_destroy(&stats);
}

//  ---- reading while others write ----------------------------------------------------------------

typedef struct {
    broker_stats_t *stats;
    _Atomic bool stop;
} writer_t;

#define WRITTEN 3000 //  ns, the only value

static void *s_write(void *arg)
{
    writer_t *self = arg;
    while (!self->stop) {
        stats_add(&self->stats->orderer.outcomes[OUTCOME_ACCEPTED], 1);
        histogram_add(&self->stats->orderer.enqueue, WRITTEN, 1);
    }
    return NULL;
}

static void totals_are_whole_and_never_go_back_while_a_writer_goes_on(void **state)
{
    (void)state;
    writer_t writer = {.stats = stats_new(1, 0)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, s_write, &writer), 0);
    histogram_t scrapes = {0};
    double count = 0, accepted = 0;
    //  Until the writer has been seen at work, too: on one processor it may start late.
    for (int i = 0; i < 100 || count == 0; i++) {
        char *text = metrics_text(writer.stats, &scrapes);
        exposition_t *now = s_read(text);
        double new_count = atof(s_value(now, "seqpush_enqueue_duration_seconds_count"));
        double sum = atof(s_value(now, "seqpush_enqueue_duration_seconds_sum"));
        double new_accepted = atof(s_value(now, "seqpush_pushes_total{outcome=\"accepted\"}"));
        assert_true(new_count >= count && new_accepted >= accepted);
        assert_true(sum <= new_count * WRITTEN * 1e-9 + 1e-9);
        count = new_count;
        accepted = new_accepted;
        free(now);
        free(text);
    }
    writer.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(stats_get(&writer.stats->orderer.enqueue.sum),
                     histogram_count(&writer.stats->orderer.enqueue) * WRITTEN);
    stats_destroy(&writer.stats);
}

//  ---- over HTTP ---------------------------------------------------------------------------------

typedef struct {
    broker_stats_t *stats;
    http_t *http;
    CURL *curl;
} server_t;

static int s_setup(void **state)
{
    server_t *self = calloc(1, sizeof *self);
    char *error = NULL;
    self->stats = s_figures();
    self->http = http_new("127.0.0.1:0", self->stats, NULL, &error);
    self->curl = curl_easy_init();
    *state = self;
    return self->http && self->curl ? 0 : -1;
}

static int s_teardown(void **state)
{
    server_t *self = *state;
    curl_easy_cleanup(self->curl);
    http_destroy(&self->http);
    stats_destroy(&self->stats);
    free(self);
    return 0;
}

typedef struct {
    long status;
    char headers[1024];
    char *body; //  "" if there is none
    size_t size;
    long connections; //  that were made for it
} response_t;

static size_t s_on_body(char *bytes, size_t one, size_t size, void *arg)
{
    (void)one;
    response_t *self = arg;
    self->body = realloc(self->body, self->size + size + 1);
    memcpy(self->body + self->size, bytes, size);
    self->size += size;
    self->body[self->size] = '\0';
    return size;
}

static size_t s_on_header(char *bytes, size_t one, size_t size, void *arg)
{
    (void)one;
    response_t *self = arg;
    size_t used = strlen(self->headers);
    snprintf(self->headers + used, sizeof self->headers - used, "%.*s", (int)size, bytes);
    return size;
}

//  Sends a request, `body` NULL for none. The caller frees the response's body.
static response_t s_request(server_t *self, const char *method, const char *path, const char *body)
{
    char url[128];
    response_t response = {.body = calloc(1, 1)};
    snprintf(url, sizeof url, "http://%s%s", http_address(self->http), path);
    curl_easy_reset(self->curl);
    curl_easy_setopt(self->curl, CURLOPT_URL, url);
    curl_easy_setopt(self->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(self->curl, CURLOPT_TIMEOUT_MS, 4000L);
    curl_easy_setopt(self->curl, CURLOPT_WRITEFUNCTION, s_on_body);
    curl_easy_setopt(self->curl, CURLOPT_WRITEDATA, &response);
    curl_easy_setopt(self->curl, CURLOPT_HEADERFUNCTION, s_on_header);
    curl_easy_setopt(self->curl, CURLOPT_HEADERDATA, &response);
    if (body)
        curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, body);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(self->curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(self->curl, CURLOPT_CUSTOMREQUEST, method);
    assert_int_equal(curl_easy_perform(self->curl), CURLE_OK);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &response.status);
    curl_easy_getinfo(self->curl, CURLINFO_NUM_CONNECTS, &response.connections);
    return response;
}

static void s_expect(server_t *self, const char *method, const char *path, const char *body,
                     long status, const char *text)
{
    response_t response = s_request(self, method, path, body);
    assert_int_equal(response.status, status);
    assert_string_equal(response.body, text);
    assert_non_null(strstr(response.headers, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(response.headers, "Cache-Control: no-store\r\n"));
    if (status == 405)
        assert_non_null(strstr(response.headers, "Allow: GET, HEAD\r\n"));
    free(response.body);
}

static void requests_get_their_status(void **state)
{
    static const struct {
        const char *method, *path, *body;
        long status;
        const char *text;
    } cases[] = {
        {"GET", "/healthz", NULL, 200, "ok\n"},
        {"GET", "/healthz?verbose=1", NULL, 200, "ok\n"},
        {"HEAD", "/healthz", NULL, 200, ""},
        {"HEAD", "/metrics", NULL, 200, ""},
        {"GET", "/readyz", NULL, 503, "not ready\n"},
        {"GET", "/index.html", NULL, 404, "not found\n"},
        {"GET", "/metrics/", NULL, 404, "not found\n"},
        {"GET", "/api/status/../../etc/passwd", NULL, 404, "not found\n"},
        {"HEAD", "/nothing", NULL, 404, ""},
        {"POST", "/metrics", "", 405, "method not allowed\n"},
        {"POST", "/metrics", "a body", 405, "method not allowed\n"},
        {"PUT", "/api/status", "a body", 405, "method not allowed\n"},
        {"DELETE", "/nothing", NULL, 405, "method not allowed\n"},
        {"OPTIONS", "/metrics", NULL, 405, "method not allowed\n"},
        {"GET", "/metrics", "a body", 413, "no body is taken\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        s_expect(*state, cases[i].method, cases[i].path, cases[i].body, cases[i].status,
                 cases[i].text);
}

static void ready_follows_the_broker(void **state)
{
    server_t *server = *state;
    server->stats->ready = 1;
    s_expect(server, "GET", "/readyz", NULL, 200, "ready\n");
    server->stats->ready = 0;
    s_expect(server, "GET", "/readyz", NULL, 503, "not ready\n");
}

static void a_scrape_is_a_valid_exposition_and_is_counted_in_the_next(void **state)
{
    for (int scrapes = 0; scrapes < 3; scrapes++) {
        response_t response = s_request(*state, "GET", "/metrics", NULL);
        assert_int_equal(response.status, 200);
        assert_non_null(strstr(response.headers, "Content-Type: text/plain; version=0.0.4"));
        exposition_t *exposition = s_read(response.body);
        assert_int_equal(atoi(s_value(exposition, "seqpush_metrics_scrape_duration_seconds_count")),
                         scrapes);
        free(exposition);
        free(response.body);
    }
}

static void status_is_json(void **state)
{
    response_t response = s_request(*state, "GET", "/api/status", NULL);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.headers, "Content-Type: application/json\r\n"));
    json_t *json = json_loads(response.body, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "workers")), 2);
    json_decref(json);
    free(response.body);
}

static void a_connection_is_used_again(void **state)
{
    response_t first = s_request(*state, "GET", "/healthz", NULL);
    response_t second = s_request(*state, "GET", "/healthz", NULL);
    assert_int_equal(first.connections, 1);
    assert_int_equal(second.connections, 0);
    free(first.body);
    free(second.body);
}

//  Connects and sends some bytes.
static int s_send(server_t *self, const char *bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strchr(http_address(self->http), ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
    return fd;
}

static void half_open_connections_do_not_stop_a_scrape(void **state)
{
    int fds[30];
    for (size_t i = 0; i < 30; i++)
        fds[i] = s_send(*state, "GET /metrics HTTP/1.1\r\nHost: ");
    s_expect(*state, "GET", "/healthz", NULL, 200, "ok\n");
    for (size_t i = 0; i < 30; i++)
        close(fds[i]);
}

static void what_is_not_http_is_refused_and_the_server_goes_on(void **state)
{
    static const char *const requests[] = {
        "GET\r\n\r\n",
        "\x16\x03\x01\x02 not TLS here\r\n\r\n",
        "GET /metrics HTTP/9.9\r\nHost: h\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = s_send(*state, requests[i]);
        //  Some get an answer, some are closed without.
        char bytes[16] = "HTTP/1.1 400";
        assert_true(recv(fd, bytes, 12, MSG_WAITALL) >= 0);
        assert_true(atoi(bytes + strlen("HTTP/1.1 ")) >= 400);
        close(fd);
        s_expect(*state, "GET", "/healthz", NULL, 200, "ok\n");
    }
}

static void a_port_in_use_is_an_error(void **state)
{
    server_t *server = *state;
    char *error = NULL;
    assert_null(http_new(http_address(server->http), server->stats, NULL, &error));
    assert_int_equal(errno, EADDRINUSE);
    assert_non_null(strstr(error, http_address(server->http)));
    free(error);
    //  The one that was there is not disturbed, and the port is free when it has gone.
    s_expect(server, "GET", "/healthz", NULL, 200, "ok\n");
    char address[64];
    snprintf(address, sizeof address, "%s", http_address(server->http));
    http_destroy(&server->http);
    assert_null(server->http);
    server->http = http_new(address, server->stats, NULL, &error);
    assert_non_null(server->http);
    assert_string_equal(http_address(server->http), address);
}

static void only_literal_addresses_are_served(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "127.0.0.1",
        ":5580",
        "127.0.0.1:",
        "localhost:5580",
        "*:5580",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "::1:5580",
        "[::1]",
        "[::1]:",
        "[::1]:http",
        "[127.0.0.1]:5580",
        "[]:5580",
        "127.0.0:5580",
        "127.0.0.1:5580 ",
        "[::1:5580",
        "127.0.0.1:123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *error = NULL;
        assert_null(http_new(cases[i], NULL, NULL, &error));
        assert_int_equal(errno, EINVAL);
        assert_non_null(error);
        free(error);
    }
}

static void ipv6_is_served_where_there_is_any(void **state)
{
    server_t *server = *state;
    char *error = NULL;
    http_t *v6 = http_new("[::1]:0", server->stats, NULL, &error);
    if (!v6) {
        assert_true(errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
        free(error);
        skip();
    }
    http_destroy(&server->http);
    server->http = v6;
    assert_memory_equal(http_address(v6), "[::1]:", 6);
    s_expect(server, "GET", "/healthz", NULL, 200, "ok\n");
}

static void destroying_nothing_is_fine(void **state)
{
    (void)state;
    http_t *none = NULL;
    http_destroy(&none);
    assert_null(none);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_adjacent_and_narrow),
        cmocka_unit_test(quantiles_are_those_of_the_sorted_samples),
        cmocka_unit_test(an_empty_histogram_has_quantile_0),
        cmocka_unit_test(merging_adds_events_and_sums),
        cmocka_unit_test(names_are_those_of_the_wire),
        cmocka_unit_test(a_worker_keeps_its_figures),
        cmocka_unit_test(the_text_is_a_valid_exposition),
        cmocka_unit_test(every_metric_is_there_before_anything_has_happened),
        cmocka_unit_test(figures_of_the_process_are_those_of_the_kernel),
        cmocka_unit_test(the_json_has_every_actor),
        cmocka_unit_test(totals_are_whole_and_never_go_back_while_a_writer_goes_on),
        SERVED(requests_get_their_status),
        SERVED(ready_follows_the_broker),
        SERVED(a_scrape_is_a_valid_exposition_and_is_counted_in_the_next),
        SERVED(status_is_json),
        SERVED(a_connection_is_used_again),
        SERVED(half_open_connections_do_not_stop_a_scrape),
        SERVED(what_is_not_http_is_refused_and_the_server_goes_on),
        SERVED(a_port_in_use_is_an_error),
        cmocka_unit_test(only_literal_addresses_are_served),
        SERVED(ipv6_is_served_where_there_is_any),
        cmocka_unit_test(destroying_nothing_is_fine),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failures;
}
