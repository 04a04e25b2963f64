/*  tool_explain.c - `seqpush explain`: why a client does not move */

#include "tool.h"
#include <stdlib.h>
#include <string.h>

static const tool_command_t s_command = {
    .name = "explain",
    .usage = "CLIENT",
    .description =
        "Tells why a client does not move: what it waits for and for how long, what is held and\n"
        "retained, who receives for it, and what can be done.",
    .statuses = "  0  printed\n"
                "  1  the broker does not answer, or does not know the client\n"
                "  2  wrong use",
    .operands_min = 1,
    .operands_max = 1,
};

static json_t *s_get(const tool_t *tool, const uint8_t *id, size_t size)
{
    char path[3 * SEQPUSH_ID_MAX + 32];
    char *encoded = tool_api_encode(id, size);
    snprintf(path, sizeof path, "/api/clients/%s", encoded ? encoded : "");
    free(encoded);
    return tool_api_get(tool, path);
}

//  Prints the figures of a line, those that there are: a text, and the path that it is before.
typedef struct {
    const char *text, *path;
    tool_form_t form;
} figure_t;

static void s_print_line(const json_t *client, const char *label, const figure_t *figures)
{
    const char *separator = "";
    printf("  %-12s", label);
    for (; figures->text; figures++) {
        const json_t *figure = tool_find(client, figures->path);
        char text[TOOL_FIGURE_MAX];
        if (!json_is_number(figure))
            continue;
        printf("%s%s %s", separator, figures->text, tool_figure(text, figure, figures->form));
        separator = ", ";
    }
    puts(*separator ? "" : "none");
}

static const figure_t s_stream[] = {{"epoch", "epoch", TOOL_COUNT},
                                    {"next seq", "next_seq", TOOL_COUNT},
                                    {"acknowledged to seq", "acknowledged/seq", TOOL_COUNT},
                                    {"of epoch", "acknowledged/epoch", TOOL_COUNT},
                                    {NULL}};
static const figure_t s_hole[] = {{"from", "hole/from", TOOL_COUNT},
                                  {"to", "hole/to", TOOL_COUNT},
                                  {"for", "hole/age_seconds", TOOL_AGE},
                                  {"given up in", "hole/given_up_in_seconds", TOOL_AGE},
                                  {"repairs asked", "hole/repairs_asked", TOOL_COUNT},
                                  {"next in", "hole/repair_in_seconds", TOOL_AGE},
                                  {NULL}};
static const figure_t s_held[] = {{"pushes", "held/pushes", TOOL_COUNT},
                                  {"bytes", "held/bytes", TOOL_BYTES},
                                  {"first seq", "held/first_seq", TOOL_COUNT},
                                  {"for", "held/first_for_seconds", TOOL_AGE},
                                  {NULL}};
static const figure_t s_retained[] = {{"entries", "retained", TOOL_COUNT},
                                      {"on their way", "unacknowledged", TOOL_COUNT},
                                      {"oldest", "retained_for_seconds", TOOL_AGE},
                                      {NULL}};
static const figure_t s_receiver[] = {{"worker", "receiver/worker", TOOL_COUNT},
                                      {"generation", "receiver/generation", TOOL_COUNT},
                                      {"clients", "receiver/clients", TOOL_COUNT},
                                      {"on their way", "receiver/unacknowledged", TOOL_COUNT},
                                      {"heard", "receiver/heard_seconds_ago", TOOL_AGE},
                                      {NULL}};
static const figure_t s_policy[] = {{"window", "policy/window", TOOL_COUNT},
                                    {"gap timeout", "policy/gap_timeout_seconds", TOOL_AGE},
                                    {"gap alarm", "policy/gap_alarm_seconds", TOOL_AGE},
                                    {"repair delay", "policy/repair_delay_seconds", TOOL_AGE},
                                    {NULL}};

static const char *s_string(const json_t *client, const char *path)
{
    const char *text = json_string_value(tool_find(client, path));
    return text ? text : "-";
}

static void s_print_receiver(const json_t *client)
{
    const json_t *receiver = tool_find(client, "receiver");
    char id[TOOL_ID_TEXT];
    printf("  %-12s%s, %s, at %s%s%s\n", "receiver", tool_id_text(id, receiver, "receiver"),
           s_string(receiver, "kind"), s_string(receiver, "endpoint"),
           json_is_true(tool_find(receiver, "endpoint_full")) ? ", takes nothing more" : "",
           json_is_true(tool_find(receiver, "bytes_full")) ? ", has all bytes it may have" : "");
    s_print_line(client, "", s_receiver);
}

static void s_print_publishers(const json_t *client)
{
    size_t index;
    json_t *peer;
    const json_t *publishers = tool_find(client, "publishers");
    printf("  %-12s%s", "publishers", json_array_size(publishers) ? "" : "not known");
    json_array_foreach((json_t *)publishers, index, peer)
        printf("%speer %" JSON_INTEGER_FORMAT, index ? ", " : "", json_integer_value(peer));
    putchar('\n');
}

static void s_print(const json_t *client)
{
    char id[TOOL_ID_TEXT];
    printf("%s: %s\n", tool_id_text(id, client, "client"), s_string(client, "why"));
    if (json_is_string(tool_find(client, "advice")))
        printf("%s\n", s_string(client, "advice"));
    putchar('\n');
    s_print_line(client, "stream", s_stream);
    s_print_line(client, "hole", s_hole);
    s_print_line(client, "held", s_held);
    s_print_line(client, "retained", s_retained);
    if (json_is_true(tool_find(client, "backlog_full")))
        printf("  %-12sfull: publishers are refused, but for what is missing\n", "backlog");
    s_print_receiver(client);
    printf("  %-12s%s, of the rule %s\n", "policy", s_string(client, "policy/name"),
           s_string(client, "policy/rule"));
    s_print_line(client, "", s_policy);
    s_print_publishers(client);
}

int explain_run(tool_t *tool, int argc, char **argv)
{
    bool base64 = false;
    const tool_option_t options[] = {
        {"base64", TOOL_FLAG, &base64, 0, 0, NULL, "CLIENT is the id in base64"},
    };
    tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    uint8_t id[SEQPUSH_ID_MAX];
    size_t size = tool_read_id(&s_command, "client", argv[0], base64, id);
    json_t *client = s_get(tool, id, size);
    if (!client)
        return TOOL_BAD;
    if (tool->json) {
        tool_print_json(stdout, client);
        return TOOL_OK;
    }
    s_print(client);
    json_decref(client);
    return TOOL_OK;
}
