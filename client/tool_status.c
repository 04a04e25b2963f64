/*  tool_status.c - `seqpush status`: the broker's figures as a page for a person

    The page is laid out by tables of paths into /api/status. A figure that a broker of another
    version does not have is shown as "-". */

#include "tool.h"
#include <stdlib.h>
#include <string.h>

static const tool_command_t s_command = {
    .name = "status",
    .usage = "",
    .description =
        "Prints what the broker counts and measures, since it was started. With --json it is\n"
        "the broker's own JSON, as it is.",
    .statuses = "  0  printed\n"
                "  1  the broker does not answer\n"
                "  2  wrong use",
};

typedef enum { COUNT, BYTES, AGE } form_t;

//  A line of figures: label and path of each.
typedef struct {
    const char *label;
    struct {
        const char *name, *path;
        form_t form;
    } figures[6];
} row_t;

static const row_t s_rows[] = {
    {"peers",
     {{"publishers", "front/publishers", COUNT},
      {"receivers", "orderer/receivers", COUNT},
      {"clients", "orderer/clients", COUNT},
      {"all peers", "front/peers", COUNT}}},
    {"released",
     {{"pushes", "orderer/released", COUNT},
      {"acknowledged", "orderer/acked", COUNT},
      {"taken unacknowledged", "orderer/taken", COUNT},
      {"redelivered", "orderer/redelivered", COUNT},
      {"given up", "orderer/pushes_given_up", COUNT}}},
    {"held",
     {{"messages", "orderer/held_messages", COUNT}, {"bytes", "orderer/held_bytes", BYTES}}},
    {"retained",
     {{"messages", "orderer/retained_messages", COUNT},
      {"bytes", "orderer/retained_bytes", BYTES},
      {"on their way", "orderer/unacked_messages", COUNT},
      {"oldest", "orderer/oldest_unacked", AGE}}},
    {"gaps",
     {{"open", "orderer/gaps_open", COUNT},
      {"filled", "orderer/gaps_filled", COUNT},
      {"skipped", "orderer/gaps_skipped", COUNT},
      {"reset", "orderer/gaps_reset", COUNT},
      {"alarms", "orderer/gaps_alarmed", COUNT},
      {"notices", "orderer/gap_notices", COUNT}}},
    {"process",
     {{"cpu", "process/cpu", AGE},
      {"memory", "process/resident_memory_bytes", BYTES},
      {"descriptors", "process/open_fds", COUNT}}},
};

//  A line of a table of quantiles.
typedef struct {
    const char *label, *path;
    form_t form;
} quantiles_t;

static const quantiles_t s_quantiles[] = {
    {"enqueue", "orderer/enqueue", AGE},
    {"ordering wait", "orderer/ordering_wait", AGE},
    {"delivery", "orderer/delivery", AGE},
    {"pipe requests", "orderer/request_wait", AGE},
    {"pipe replies", "front/reply_wait", AGE},
    {"pipe reports", "orderer/report_wait", AGE},
    {"queue length", "orderer/queue_length", COUNT},
};

static const char *const s_marks[] = {"p50", "p90", "p99", "p999", "max_bucket"};

#define MARKS (sizeof s_marks / sizeof *s_marks)
#define TEXT_MAX 32

//  What stands at a path of members, separated by slashes; NULL if nothing does.
static const json_t *s_find(const json_t *from, const char *path)
{
    while (from && *path) {
        size_t size = strcspn(path, "/");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)size, path);
        from = json_object_get(from, name);
        path += size + (path[size] == '/');
    }
    return from;
}

//  Scales by powers of `base` into the first unit that leaves less than that.
static void s_scale(char *text, double value, double base, const char *const *units)
{
    while (value >= base && units[1]) {
        value /= base;
        units++;
    }
    int digits = value >= 100 || value == 0 ? 0 : value >= 10 ? 1 : 2;
    snprintf(text, TEXT_MAX, "%.*f %s", digits, value, *units);
}

static void s_span(char *text, double seconds)
{
    unsigned long long minutes = (unsigned long long)seconds / 60;
    if (minutes < 60)
        snprintf(text, TEXT_MAX, "%llu min %.0f s", minutes, seconds - 60.0 * (double)minutes);
    else if (minutes < 24 * 60)
        snprintf(text, TEXT_MAX, "%llu h %llu min", minutes / 60, minutes % 60);
    else
        snprintf(text, TEXT_MAX, "%llu d %llu h", minutes / (24 * 60), minutes / 60 % 24);
}

static const char *s_text(char *text, const json_t *figure, form_t form)
{
    static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    static const char *const ages[] = {"ns", "us", "ms", "s", NULL};
    if (!json_is_number(figure))
        return "-";
    double value = json_number_value(figure);
    if (form == BYTES)
        s_scale(text, value, 1024, bytes);
    else if (form == AGE && value >= 120)
        s_span(text, value);
    else if (form == AGE)
        s_scale(text, value * 1e9, 1000, ages);
    else
        snprintf(text, TEXT_MAX, "%.0f", value);
    return text;
}

static void s_print_head(const json_t *status)
{
    char uptime[TEXT_MAX];
    const char *version = json_string_value(s_find(status, "version"));
    const char *instance = json_string_value(s_find(status, "instance"));
    printf("seqpushd %s, instance %s, %s, up for %s\n\n", version ? version : "-",
           instance ? instance : "-", json_is_true(s_find(status, "ready")) ? "ready" : "not ready",
           s_text(uptime, s_find(status, "uptime_seconds"), AGE));
}

//  Outcomes that have come about.
static void s_print_outcomes(const json_t *status)
{
    printf("%-14s", "pushes");
    const char *name, *separator = "";
    json_t *count;
    json_object_foreach((json_t *)s_find(status, "orderer/outcomes"), name, count)
    {
        if (json_number_value(count) == 0 && strcmp(name, "accepted") != 0)
            continue;
        char text[TEXT_MAX];
        printf("%s%s %s", separator, name, s_text(text, count, COUNT));
        separator = ", ";
    }
    puts(*separator ? "" : "-");
}

static void s_print_row(const json_t *status, const row_t *row)
{
    printf("%-14s", row->label);
    for (size_t i = 0; i < 6 && row->figures[i].name; i++) {
        char text[TEXT_MAX];
        printf("%s%s %s", i ? ", " : "", row->figures[i].name,
               s_text(text, s_find(status, row->figures[i].path), row->figures[i].form));
    }
    putchar('\n');
}

static void s_print_quantiles(const char *label, const json_t *histogram, form_t form)
{
    char text[TEXT_MAX];
    const json_t *count = s_find(histogram, "count");
    printf("%-14s%12s", label, s_text(text, count, COUNT));
    bool empty = json_number_value(count) == 0;
    for (size_t i = 0; i < MARKS; i++)
        printf("%11s", empty ? "-" : s_text(text, s_find(histogram, s_marks[i]), form));
    putchar('\n');
}

//  A share of socket calls: what ZeroMQ took at once, of all that was offered.
static void s_print_success(const json_t *worker)
{
    double sends = json_number_value(s_find(worker, "sends"));
    double offered = sends + json_number_value(s_find(worker, "would_block")) +
                     json_number_value(s_find(worker, "failed"));
    if (offered > 0)
        printf("%10.3f%%", 100 * sends / offered);
    else
        printf("%11s", "-");
}

static void s_print_worker(const json_t *worker)
{
    static const char *const counts[] = {"sends",     "sent_messages",    "would_block",
                                         "failed",    "backlog_messages", "inflight_messages",
                                         "endpoints", "endpoints_blocked"};
    char text[TEXT_MAX];
    printf("%-7s", s_text(text, s_find(worker, "worker"), COUNT));
    s_print_success(worker);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        printf("%11s", s_text(text, s_find(worker, counts[i]), COUNT));
    putchar('\n');
}

static void s_print_workers(const json_t *workers)
{
    size_t index;
    json_t *worker;
    printf("\n%-7s%11s%11s%11s%11s%11s%11s%11s%11s%11s\n", "worker", "success", "sends", "messages",
           "blocked", "failed", "backlog", "in flight", "endpoints", "stuck");
    json_array_foreach((json_t *)workers, index, worker) s_print_worker(worker);
}

static void s_print_durations(const json_t *status)
{
    printf("\n%-14s%12s%11s%11s%11s%11s%11s\n", "", "count", "p50", "p90", "p99", "p99.9", "max");
    for (size_t i = 0; i < sizeof s_quantiles / sizeof *s_quantiles; i++)
        s_print_quantiles(s_quantiles[i].label, s_find(status, s_quantiles[i].path),
                          s_quantiles[i].form);
    size_t index;
    json_t *worker;
    json_array_foreach((json_t *)s_find(status, "workers"), index, worker)
    {
        char label[48];
        snprintf(label, sizeof label, "send %zu", index);
        s_print_quantiles(label, s_find(worker, "send"), AGE);
        snprintf(label, sizeof label, "pipe batches %zu", index);
        s_print_quantiles(label, s_find(worker, "batch_wait"), AGE);
    }
}

static void s_print(const json_t *status)
{
    s_print_head(status);
    s_print_outcomes(status);
    for (size_t i = 0; i < sizeof s_rows / sizeof *s_rows; i++)
        s_print_row(status, &s_rows[i]);
    s_print_durations(status);
    s_print_workers(s_find(status, "workers"));
}

static int s_print_body(const tool_t *tool, const char *body)
{
    if (tool->json) {
        puts(body);
        return TOOL_OK;
    }
    json_t *status = json_loads(body, 0, NULL);
    if (status)
        s_print(status);
    else
        tool_say("%s does not answer with JSON: is it a seqpushd?", tool->http);
    json_decref(status);
    return status ? TOOL_OK : TOOL_BAD;
}

int status_run(tool_t *tool, int argc, char **argv)
{
    tool_parse(tool, &s_command, NULL, 0, argc, &argv);
    char *error = NULL;
    char *body = tool_http_get(tool, "/api/status", &error);
    int result = TOOL_BAD;
    if (body)
        result = s_print_body(tool, body);
    else
        tool_say("%s", error ? error : "out of memory");
    free(body);
    free(error);
    return result;
}
