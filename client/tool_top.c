/*  tool_top.c - `seqpush top`: what the broker does, again and again

    On a terminal each look takes the place of the one before, and fits the window; elsewhere they follow
    each other, in full and without any escapes. */

#include "tool.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const tool_command_t s_command = {
    .name = "top",
    .usage = "",
    .description =
        "Shows the broker's rates, times, workers, and the clients that do not move, until it is\n"
        "interrupted.",
    .statuses = "  0  interrupted, or shown --count times\n"
                "  1  the broker does not answer\n"
                "  2  wrong use",
};

#define PLAIN "\033[0m"

//  ---- what is shown -----------------------------------------------------------------------------

//  A line begins with the colour that it has on a terminal.
typedef enum { NORMAL = ' ', HEADING = '#', BAD = '!' } colour_t;

typedef struct {
    const char *label, *path;
    tool_form_t form;
} cell_t;

static void s_put_cells(FILE *out, const json_t *from, const cell_t *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[TOOL_FIGURE_MAX];
        const json_t *figure = tool_find(from, cells[i].path);
        //  A duration of 0 is that of nothing.
        bool none = cells[i].form == TOOL_AGE && json_number_value(figure) == 0;
        fprintf(out, "%s%s %s", i ? "   " : "", cells[i].label,
                none ? "-" : tool_figure(text, figure, cells[i].form));
    }
    fputc('\n', out);
}
#define PUT_CELLS(out, from, cells) s_put_cells(out, from, cells, sizeof cells / sizeof *cells)

static const cell_t s_rates[] = {{"in", "recent/accepted_per_second", TOOL_RATE},
                                 {"out", "recent/delivered_per_second", TOOL_RATE},
                                 {"refused", "recent/refused_per_second", TOOL_RATE},
                                 {"again", "recent/redelivered_per_second", TOOL_RATE}};
static const cell_t s_times[] = {{"enqueue p50", "recent/enqueue/p50", TOOL_AGE},
                                 {"p99", "recent/enqueue/p99", TOOL_AGE},
                                 {"delivery p50", "recent/delivery/p50", TOOL_AGE},
                                 {"p99", "recent/delivery/p99", TOOL_AGE}};
static const cell_t s_kept[] = {{"clients", "orderer/clients", TOOL_COUNT},
                                {"receivers", "orderer/receivers", TOOL_COUNT},
                                {"publishers", "front/publishers", TOOL_COUNT},
                                {"held", "orderer/held_messages", TOOL_COUNT},
                                {"retained", "orderer/retained_messages", TOOL_COUNT},
                                {"gaps", "orderer/gaps_open", TOOL_COUNT}};

static void s_put_workers(FILE *out, const json_t *workers)
{
    static const char *const counts[] = {"worker",    "backlog_messages",  "inflight_messages",
                                         "endpoints", "endpoints_blocked", "sends"};
    fprintf(out, "%c%6s%12s%12s%12s%12s%14s\n", HEADING, "worker", "backlog", "in flight",
            "endpoints", "stuck", "sends");
    size_t index;
    json_t *worker;
    json_array_foreach((json_t *)workers, index, worker)
    {
        fputc(json_number_value(tool_find(worker, "endpoints_blocked")) > 0 ? BAD : NORMAL, out);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            char text[TOOL_FIGURE_MAX];
            fprintf(out, "%*s",
                    i == 0   ? 6
                    : i == 5 ? 14
                             : 12,
                    tool_figure(text, tool_find(worker, counts[i]), TOOL_COUNT));
        }
        fputc('\n', out);
    }
}

static void s_put_stuck(FILE *out, const json_t *stuck)
{
    size_t index;
    json_t *client;
    char heading[TOOL_HEADING_MAX];
    fprintf(
        out, "%c%s\n", HEADING,
        tool_heading(heading, stuck, "clients", "clients that do not move", "all clients move"));
    json_array_foreach((json_t *)tool_find(stuck, "clients"), index, client)
    {
        char id[TOOL_ID_TEXT];
        const char *why = json_string_value(tool_find(client, "why"));
        fprintf(out, "%c%s: %s\n", BAD, tool_id_text(id, client, "client"), why ? why : "-");
    }
}

static void s_put(FILE *out, const tool_t *tool, const json_t *status)
{
    char uptime[TOOL_FIGURE_MAX];
    fprintf(out, "%cseqpushd at %s, up for %s\n%c", HEADING, tool->http,
            tool_figure(uptime, tool_find(status, "uptime_seconds"), TOOL_AGE), NORMAL);
    PUT_CELLS(out, status, s_rates);
    fputc(NORMAL, out);
    PUT_CELLS(out, status, s_times);
    fputc(NORMAL, out);
    PUT_CELLS(out, status, s_kept);
    fprintf(out, "%c\n", NORMAL);
    s_put_workers(out, tool_find(status, "workers"));
    fprintf(out, "%c\n", NORMAL);
    s_put_stuck(out, tool_find(status, "stuck_clients"));
}

//  ---- where it is shown -------------------------------------------------------------------------

static void s_on_resize(int number)
{
    (void)number; //  the sleep ends, and it is shown anew
}

//  Bytes of a line that fit into so many columns; a character counts as one.
static size_t s_fit(const char *line, size_t size, size_t columns)
{
    size_t used = 0;
    while (used < size && (columns || ((unsigned char)line[used] & 0xc0) == 0x80))
        columns -= ((unsigned char)line[used++] & 0xc0) != 0x80;
    return used;
}

static void s_show_on_terminal(const char *text)
{
    struct winsize window = {.ws_row = 24, .ws_col = 80};
    struct winsize told = {0};
    //  A serial line has no size.
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &told) == 0 && told.ws_row && told.ws_col)
        window = told;
    bool coloured = !getenv("NO_COLOR");
    printf("\033[H");
    for (unsigned row = 0; *text && row + 1 < window.ws_row; row++) {
        size_t size = strcspn(text, "\n");
        const char *colour = *text == HEADING ? "\033[1m" : *text == BAD ? "\033[31m" : "";
        printf("%s%.*s%s\033[K\n", coloured ? colour : "",
               (int)s_fit(text + 1, size - 1, window.ws_col), text + 1, coloured ? PLAIN : "");
        text += size + (text[size] == '\n');
    }
    printf("\033[J");
}

static void s_show_plain(const char *text)
{
    while (*text) {
        size_t size = strcspn(text, "\n");
        printf("%.*s\n", (int)size - 1, text + 1);
        text += size + (text[size] == '\n');
    }
    putchar('\n');
}

//  Takes over the reference.
static int s_show(const tool_t *tool, json_t *status, bool terminal)
{
    char *text = NULL;
    size_t size;
    FILE *out = tool->json ? NULL : open_memstream(&text, &size);
    if (tool->json) {
        tool_print_json(stdout, status);
        status = NULL;
    } else if (out) {
        s_put(out, tool, status);
        fclose(out);
        (terminal ? s_show_on_terminal : s_show_plain)(text);
    }
    free(text);
    json_decref(status);
    return fflush(stdout) == 0 ? TOOL_OK : TOOL_BAD;
}

int top_run(tool_t *tool, int argc, char **argv)
{
    uint64_t count = 0, interval = 1000;
    const tool_option_t options[] = {
        {"count", TOOL_NUMBER, &count, 1, UINT64_MAX, "N", "end after N looks"},
        {"interval", TOOL_NUMBER, &interval, 100, 3600000, "MS", "between two looks (1000)"},
    };
    tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    bool terminal = isatty(STDOUT_FILENO) && !tool->json;
    struct sigaction action = {.sa_handler = s_on_resize};
    sigaction(SIGWINCH, &action, NULL);
    tool_catch_signals();
    if (terminal)
        printf("\033[2J\033[?25l"); //  without the cursor
    int result = TOOL_OK;
    for (uint64_t looks = 1; result == TOOL_OK && !tool_interrupted(); looks++) {
        json_t *status = tool_api_get(tool, "/api/status");
        result = status ? s_show(tool, status, terminal) : TOOL_BAD;
        if (looks == count)
            break;
        if (result == TOOL_OK && !tool_interrupted())
            tool_sleep_until(tool_now() + (int64_t)interval * 1000000);
    }
    if (terminal)
        printf("\033[?25h");
    fflush(stdout);
    return result;
}
