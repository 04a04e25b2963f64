/*  tool_clients.c - `seqpush clients`: the broker's clients, those that do not move first */

#include "tool.h"
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 1000 //  rows that the broker gives at a time

static const tool_command_t s_command = {
    .name = "clients",
    .usage = "",
    .description =
        "Lists the broker's clients, a line each: since when it stands still, and why. Those that\n"
        "stand still for longest come first. With --json a line is an object.",
    .statuses = "  0  printed\n"
                "  1  the broker does not answer\n"
                "  2  wrong use",
};

static json_t *s_get_page(const tool_t *tool, bool stuck, uint64_t rows, const char *cursor)
{
    char path[512];
    snprintf(path, sizeof path, "/api/clients?stuck=%d&limit=%llu%s%s", stuck,
             (unsigned long long)rows, cursor ? "&cursor=" : "", cursor ? cursor : "");
    return tool_api_get(tool, path);
}

static void s_print(const tool_t *tool, const json_t *client)
{
    if (tool->json) {
        tool_print_json(stdout, json_incref((json_t *)client));
        return;
    }
    char id[TOOL_ID_TEXT], still[TOOL_FIGURE_MAX];
    const char *why = json_string_value(tool_find(client, "why"));
    printf("%-24s%12s  %s\n", tool_id_text(id, client, "client"),
           tool_figure(still, tool_find(client, "still_seconds"), TOOL_AGE), why ? why : "-");
}

//  Prints a page. Returns how many rows it has.
static uint64_t s_print_page(const tool_t *tool, const json_t *page)
{
    size_t index;
    json_t *client;
    const json_t *clients = tool_find(page, "clients");
    json_array_foreach((json_t *)clients, index, client) s_print(tool, client);
    if (!json_is_true(tool_find(page, "whole")))
        tool_say("the broker was too busy to look at all clients; ask again");
    return json_array_size(clients);
}

int clients_run(tool_t *tool, int argc, char **argv)
{
    bool stuck = false, all = false;
    uint64_t limit = 20;
    const tool_option_t options[] = {
        {"stuck", TOOL_FLAG, &stuck, 0, 0, NULL, "only those that stand still for a second"},
        {"limit", TOOL_NUMBER, &limit, 1, UINT64_MAX, "N", "as many at most (20)"},
        {"all", TOOL_FLAG, &all, 0, 0, NULL, "all of them"},
    };
    tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    uint64_t left = all ? UINT64_MAX : limit;
    char *cursor = NULL;
    int result = TOOL_OK;
    do {
        json_t *page = s_get_page(tool, stuck, left < PAGE_MAX ? left : PAGE_MAX, cursor);
        free(cursor);
        cursor = NULL;
        if (!page) {
            result = TOOL_BAD;
            break;
        }
        left -= s_print_page(tool, page);
        const char *next = json_string_value(tool_find(page, "next"));
        cursor = next ? strdup(next) : NULL;
        json_decref(page);
    } while (cursor && left);
    free(cursor);
    return result;
}
