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

//  The receiver, and then `count` clients.
typedef struct {
    size_t count;
    struct {
        uint8_t bytes[SEQPUSH_ID_MAX];
        size_t size;
    } ids[];
} named_t;

static named_t *s_read(char **operands, size_t count, bool base64)
{
    named_t *named = calloc(1, sizeof *named + count * sizeof *named->ids);
    if (!named)
        abort();
    named->count = count - 1;
    for (size_t i = 0; i < count; i++)
        named->ids[i].size = tool_read_id(&s_command, i ? "client" : "receiver", operands[i],
                                          base64, named->ids[i].bytes);
    return named;
}

static void s_report(const tool_t *tool, const named_t *named, int result)
{
    char text[TOOL_ID_TEXT];
    const char *receiver = tool_id_show(text, named->ids[0].bytes, named->ids[0].size);
    if (result == -ENOENT)
        tool_say("%s is not attached, or has none of these clients by name: seqpush explain CLIENT "
                 "tells who has one",
                 receiver);
    else if (result != 0)
        tool_say_refused(tool, result, "the role admin, this receiver and its clients");
    else if (tool->json) {
        json_t *object = json_object();
        tool_set_bytes(object, "detached", named->ids[0].bytes, named->ids[0].size);
        json_object_set_new(object, "all", json_boolean(named->count == 0));
        tool_print_json(stdout, object);
    } else if (named->count)
        printf("detached from %s\n", receiver);
    else
        printf("%s is detached\n", receiver);
}

static int s_detach(seqpush_publisher_t *publisher, const named_t *named, uint64_t timeout)
{
    seqpush_id_t *clients = calloc(named->count + 1, sizeof *clients);
    if (!clients)
        return -ENOMEM;
    for (size_t i = 0; i < named->count; i++)
        clients[i] = (seqpush_id_t){named->ids[i + 1].bytes, named->ids[i + 1].size};
    int result = seqpush_publisher_detach(publisher, named->ids[0].bytes, named->ids[0].size,
                                          clients, named->count, (int)timeout * 1000);
    free(clients);
    return result;
}

int detach_run(tool_t *tool, int argc, char **argv)
{
    uint64_t timeout = 5;
    bool base64 = false;
    const tool_option_t options[] = {
        {"base64", TOOL_FLAG, &base64, 0, 0, NULL, "the ids are in base64"},
        {"timeout", TOOL_NUMBER, &timeout, 1, 1000000, "S", "seconds to wait for the answer (5)"},
    };
    size_t operands =
        tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    named_t *named = s_read(argv, operands, base64);
    seqpush_publisher_options_t settings = {
        .broker = tool->broker, .key_file = tool->key, .server_key = tool->server_key};
    seqpush_publisher_t *publisher = seqpush_publisher_new(&settings);
    if (!publisher) {
        tool_say_unusable(tool, errno);
        free(named);
        return TOOL_USAGE;
    }
    int result = s_detach(publisher, named, timeout);
    seqpush_publisher_destroy(&publisher);
    s_report(tool, named, result);
    free(named);
    return result == 0 ? TOOL_OK : TOOL_BAD;
}
