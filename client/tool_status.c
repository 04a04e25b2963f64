/*  tool_status.c - `seqpush status`: the broker's figures as a page for a person

    The page is laid out by tables of paths into /api/status. A figure that a broker of another
    version does not have is shown as "-". */

#include "tool.h"
#include <string.h>
#include <unistd.h>

//  How often the broker is asked again for what it has not looked at yet, and us in between.
#define LOOKS 40
#define LOOKS_APART 50000

static const tool_command_t s_command = {
    .name = "status",
    .usage = "",
    .description =
        "Prints what the broker counts and measures, since it was started. With --json it is\n"
        "the broker's own JSON.",
    .statuses = "  0  printed\n"
                "  1  the broker does not answer\n"
                "  2  wrong use",
};

//  A line of figures: label and path of each.
typedef struct {
    const char *label;
    struct {
        const char *name, *path;
        tool_form_t form;
    } figures[6];
} row_t;

static const row_t s_rows[] = {
    {"recent",
     {{"accepted", "recent/accepted_per_second", TOOL_RATE},
      {"delivered", "recent/delivered_per_second", TOOL_RATE},
      {"refused", "recent/refused_per_second", TOOL_RATE},
      {"over", "recent/seconds", TOOL_AGE}}},
    {"peers",
     {{"publishers", "front/publishers", TOOL_COUNT},
      {"receivers", "orderer/receivers", TOOL_COUNT},
      {"clients", "orderer/clients", TOOL_COUNT},
      {"all peers", "front/peers", TOOL_COUNT}}},
    {"released",
     {{"pushes", "orderer/released", TOOL_COUNT},
      {"acknowledged", "orderer/acked", TOOL_COUNT},
      {"taken unacknowledged", "orderer/taken", TOOL_COUNT},
      {"redelivered", "orderer/redelivered", TOOL_COUNT},
      {"given up", "orderer/pushes_given_up", TOOL_COUNT}}},
    {"held",
     {{"messages", "orderer/held_messages", TOOL_COUNT},
      {"bytes", "orderer/held_bytes", TOOL_BYTES}}},
    {"retained",
     {{"messages", "orderer/retained_messages", TOOL_COUNT},
      {"bytes", "orderer/retained_bytes", TOOL_BYTES},
      {"on their way", "orderer/unacked_messages", TOOL_COUNT},
      {"oldest", "orderer/oldest_unacked", TOOL_AGE}}},
    {"gaps",
     {{"open", "orderer/gaps_open", TOOL_COUNT},
      {"filled", "orderer/gaps_filled", TOOL_COUNT},
      {"skipped", "orderer/gaps_skipped", TOOL_COUNT},
      {"reset", "orderer/gaps_reset", TOOL_COUNT},
      {"alarms", "orderer/gaps_alarmed", TOOL_COUNT},
      {"notices", "orderer/gap_notices", TOOL_COUNT}}},
    {"process",
     {{"cpu", "process/cpu", TOOL_AGE},
      {"memory", "process/resident_memory_bytes", TOOL_BYTES},
      {"descriptors", "process/open_fds", TOOL_COUNT}}},
};

//  A line of a table of quantiles.
typedef struct {
    const char *label, *path;
    tool_form_t form;
} quantiles_t;

static const quantiles_t s_quantiles[] = {
    {"enqueue", "orderer/enqueue", TOOL_AGE},
    {"ordering wait", "orderer/ordering_wait", TOOL_AGE},
    {"delivery", "orderer/delivery", TOOL_AGE},
    {"pipe requests", "orderer/request_wait", TOOL_AGE},
    {"pipe replies", "front/reply_wait", TOOL_AGE},
    {"pipe reports", "orderer/report_wait", TOOL_AGE},
    {"queue length", "orderer/queue_length", TOOL_COUNT},
};

static const char *const s_marks[] = {"p50", "p90", "p99", "p999", "max_bucket"};

#define MARKS (sizeof s_marks / sizeof *s_marks)

static void s_print_head(const json_t *status)
{
    char uptime[TOOL_FIGURE_MAX];
    const char *version = json_string_value(tool_find(status, "version"));
    const char *instance = json_string_value(tool_find(status, "instance"));
    printf("seqpushd %s, instance %s, %s, up for %s\n\n", version ? version : "-",
           instance ? instance : "-",
           json_is_true(tool_find(status, "ready")) ? "ready" : "not ready",
           tool_figure(uptime, tool_find(status, "uptime_seconds"), TOOL_AGE));
}

//  Outcomes that have come about.
static void s_print_outcomes(const json_t *status)
{
    printf("%-14s", "pushes");
    const char *name, *separator = "";
    json_t *count;
    json_object_foreach((json_t *)tool_find(status, "orderer/outcomes"), name, count)
    {
        if (json_number_value(count) == 0 && strcmp(name, "accepted") != 0)
            continue;
        char text[TOOL_FIGURE_MAX];
        printf("%s%s %s", separator, name, tool_figure(text, count, TOOL_COUNT));
        separator = ", ";
    }
    puts(*separator ? "" : "-");
}

static void s_print_row(const json_t *status, const row_t *row)
{
    printf("%-14s", row->label);
    for (size_t i = 0; i < 6 && row->figures[i].name; i++) {
        char text[TOOL_FIGURE_MAX];
        printf("%s%s %s", i ? ", " : "", row->figures[i].name,
               tool_figure(text, tool_find(status, row->figures[i].path), row->figures[i].form));
    }
    putchar('\n');
}

static void s_print_quantiles(const char *label, const json_t *histogram, tool_form_t form)
{
    char text[TOOL_FIGURE_MAX];
    const json_t *count = tool_find(histogram, "count");
    printf("%-14s%12s", label, tool_figure(text, count, TOOL_COUNT));
    bool empty = json_number_value(count) == 0;
    for (size_t i = 0; i < MARKS; i++)
        printf("%11s", empty ? "-" : tool_figure(text, tool_find(histogram, s_marks[i]), form));
    putchar('\n');
}

//  A share of socket calls: what ZeroMQ took at once, of all that was offered.
static void s_print_success(const json_t *worker)
{
    double sends = json_number_value(tool_find(worker, "sends"));
    double offered = sends + json_number_value(tool_find(worker, "would_block")) +
                     json_number_value(tool_find(worker, "failed"));
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
    char text[TOOL_FIGURE_MAX];
    printf("%-7s", tool_figure(text, tool_find(worker, "worker"), TOOL_COUNT));
    s_print_success(worker);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        printf("%11s", tool_figure(text, tool_find(worker, counts[i]), TOOL_COUNT));
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
        s_print_quantiles(s_quantiles[i].label, tool_find(status, s_quantiles[i].path),
                          s_quantiles[i].form);
    size_t index;
    json_t *worker;
    json_array_foreach((json_t *)tool_find(status, "workers"), index, worker)
    {
        char label[48];
        snprintf(label, sizeof label, "send %zu", index);
        s_print_quantiles(label, tool_find(worker, "send"), TOOL_AGE);
        snprintf(label, sizeof label, "pipe batches %zu", index);
        s_print_quantiles(label, tool_find(worker, "batch_wait"), TOOL_AGE);
    }
}

//  The first few that stand still, each with its sentence.
static void s_print_stuck(const json_t *status)
{
    size_t index;
    json_t *row;
    char text[TOOL_ID_TEXT];
    char heading[TOOL_HEADING_MAX];
    const json_t *stuck = tool_find(status, "stuck_clients"),
                 *slow = tool_find(status, "slow_receivers");
    printf("\n%s\n",
           tool_heading(heading, stuck, "clients", "clients that do not move", "all clients move"));
    json_array_foreach((json_t *)tool_find(stuck, "clients"), index, row)
    {
        const char *why = json_string_value(tool_find(row, "why"));
        printf("  %s: %s\n", tool_id_text(text, row, "client"), why ? why : "-");
    }
    printf("\n%s\n", tool_heading(heading, slow, "receivers", "receivers that do not acknowledge",
                                  "all receivers acknowledge"));
    json_array_foreach((json_t *)tool_find(slow, "receivers"), index, row)
    {
        char waits[TOOL_FIGURE_MAX], count[TOOL_FIGURE_MAX];
        const char *endpoint = json_string_value(tool_find(row, "endpoint"));
        printf("  %s at %s: for %s, %s entries wait\n", tool_id_text(text, row, "receiver"),
               endpoint ? endpoint : "-",
               tool_figure(waits, tool_find(row, "waits_seconds"), TOOL_AGE),
               tool_figure(count, tool_find(row, "retained"), TOOL_COUNT));
    }
}

static void s_print(const json_t *status)
{
    s_print_head(status);
    s_print_outcomes(status);
    for (size_t i = 0; i < sizeof s_rows / sizeof *s_rows; i++)
        s_print_row(status, &s_rows[i]);
    s_print_durations(status);
    s_print_workers(tool_find(status, "workers"));
    s_print_stuck(status);
}

//  The broker looks who stands still when it is asked, and answers before that with what it saw last.
static bool s_is_old(const json_t *status)
{
    const json_t *stuck = tool_find(status, "stuck_clients");
    return json_is_null(stuck) || json_number_value(tool_find(stuck, "seconds_ago")) >= TOOL_OLD;
}

static json_t *s_get(const tool_t *tool)
{
    json_t *status = tool_api_get(tool, "/api/status");
    for (int i = 0; i < LOOKS && status && s_is_old(status); i++) {
        json_decref(status);
        usleep(LOOKS_APART);
        status = tool_api_get(tool, "/api/status");
    }
    return status;
}

int status_run(tool_t *tool, int argc, char **argv)
{
    tool_parse(tool, &s_command, NULL, 0, argc, &argv);
    json_t *status = s_get(tool);
    if (!status)
        return TOOL_BAD;
    if (tool->json) {
        tool_print_json(stdout, status);
        return TOOL_OK;
    }
    s_print(status);
    json_decref(status);
    return TOOL_OK;
}
