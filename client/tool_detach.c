/*  tool_detach.c - `seqpush detach`: takes clients from a receiver that does not serve them */

#include "tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const tool_command_t s_command = {
    .name = "detach",
    .usage = "RECEIVER [CLIENT...]",
    .description =
        "Takes the clients, or all that it has, from a receiver. They wait for the next one that\n"
        "attaches them, or go to one that has them by prefix or route. The receiver is told, and\n"
        "does not attach them again by itself.",
    .statuses = "  0  the broker has done it\n"
                "  1  no answer in time, refused, or the receiver does not have them\n"
                "  2  wrong use",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
};

static size_t s_check_id(const char *what, const char *id)
{
    size_t size = strlen(id);
    if (size < 1 || size > SEQPUSH_ID_MAX)
        tool_misused(&s_command, "a %s's id has 1 to %d bytes", what, SEQPUSH_ID_MAX);
    return size;
}

static void s_report(const tool_t *tool, const char *receiver, size_t count, int result)
{
    if (result == -ETIMEDOUT)
        tool_say_silent(tool);
    else if (result == -ENOENT)
        tool_say("%s is not attached, or has none of these clients by name: seqpush explain CLIENT "
                 "tells who has one",
                 receiver);
    else if (result == -EPROTO)
        tool_say("%s refuses it: the key needs the role admin, this receiver and its clients",
                 tool->broker);
    else if (result != 0)
        tool_say("%s", strerror(-result));
    else if (tool->json)
        tool_print_json(stdout, json_pack("{s:s, s:b}", "detached", receiver, "all", count == 0));
    else if (count)
        printf("detached from %s\n", receiver);
    else
        printf("%s is detached\n", receiver);
}

static int s_detach(seqpush_publisher_t *publisher, char **argv, size_t count, uint64_t timeout)
{
    seqpush_id_t *clients = calloc(count ? count : 1, sizeof *clients);
    if (!clients)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        clients[i] = (seqpush_id_t){argv[i + 1], s_check_id("client", argv[i + 1])};
    int result = seqpush_publisher_detach(publisher, argv[0], s_check_id("receiver", argv[0]),
                                          clients, count, (int)timeout * 1000);
    free(clients);
    return result;
}

int detach_run(tool_t *tool, int argc, char **argv)
{
    uint64_t timeout = 5;
    const tool_option_t options[] = {
        {"timeout", TOOL_NUMBER, &timeout, 1, 1000000, "S", "seconds to wait for the answer (5)"},
    };
    size_t operands =
        tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    seqpush_publisher_options_t settings = {
        .broker = tool->broker, .key_file = tool->key, .server_key = tool->server_key};
    seqpush_publisher_t *publisher = seqpush_publisher_new(&settings);
    if (!publisher) {
        tool_say_unusable(tool, errno);
        return TOOL_USAGE;
    }
    int result = s_detach(publisher, argv, operands - 1, timeout);
    seqpush_publisher_destroy(&publisher);
    s_report(tool, argv[0], operands - 1, result);
    return result == 0 ? TOOL_OK : TOOL_BAD;
}
