/*  tool_skip.c - `seqpush skip` and `seqpush reset`: ways out for a client that stands still */

#include "tool.h"
#include <errno.h>
#include <string.h>

static const char *const s_statuses = "  0  the broker has answered\n"
                                      "  1  no answer in time, or refused\n"
                                      "  2  wrong use";

static const tool_command_t s_skip = {
    .name = "skip",
    .usage = "CLIENT FROM TO",
    .description =
        "Gives up what is missing of the client's seqs FROM to TO, so that delivery goes\n"
        "on behind it. The receiver is told of the gap. In another epoch than the\n"
        "client's nothing changes. Prints the position that the client is then at.",
    .statuses = s_statuses,
    .operands_min = 3,
    .operands_max = 3,
};

static const tool_command_t s_reset = {
    .name = "reset",
    .usage = "CLIENT EPOCH [NEXT]",
    .description =
        "Starts the client's sequence over in a greater EPOCH, with NEXT (the broker's\n"
        "first seq) as the first one expected. In the present or an older epoch nothing\n"
        "changes. Prints the position that the client is then at.",
    .statuses = s_statuses,
    .operands_min = 2,
    .operands_max = 3,
};

static uint64_t s_operand(const tool_command_t *command, const char *text)
{
    uint64_t value;
    if (!tool_number(text, 0, UINT64_MAX, &value))
        tool_misused(command, "'%s' is not a whole number", text);
    return value;
}

static seqpush_publisher_t *s_open(const tool_t *tool)
{
    seqpush_publisher_options_t options = {
        .broker = tool->broker, .key_file = tool->key, .server_key = tool->server_key};
    seqpush_publisher_t *publisher = seqpush_publisher_new(&options);
    if (!publisher)
        tool_say_unusable(tool, errno);
    return publisher;
}

static int s_report(const tool_t *tool, const void *id, size_t size, int result,
                    const seqpush_position_t *at)
{
    char text[TOOL_ID_TEXT];
    if (result != 0)
        tool_say_refused(tool, result, "the role publisher or admin, and this client");
    else if (tool->json) {
        json_t *object = json_object();
        tool_set_bytes(object, "client", id, size);
        json_object_set_new(object, "epoch", tool_json_number(at->epoch));
        json_object_set_new(object, "seq", tool_json_number(at->seq));
        tool_print_json(stdout, object);
    } else
        printf("%s: epoch %llu, seq %llu\n", tool_id_show(text, id, size),
               (unsigned long long)at->epoch, (unsigned long long)at->seq);
    return result == 0 ? TOOL_OK : TOOL_BAD;
}

int skip_run(tool_t *tool, int argc, char **argv)
{
    uint64_t epoch = 0, timeout = 5;
    bool base64 = false;
    const tool_option_t options[] = {
        {"base64", TOOL_FLAG, &base64, 0, 0, NULL, "CLIENT is the id in base64"},
        {"epoch", TOOL_NUMBER, &epoch, 0, UINT64_MAX, "N", "the client's epoch (0)"},
        {"timeout", TOOL_NUMBER, &timeout, 1, 1000000, "S", "seconds to wait for the answer (5)"},
    };
    tool_parse(tool, &s_skip, options, sizeof options / sizeof *options, argc, &argv);
    uint8_t id[SEQPUSH_ID_MAX];
    size_t size = tool_read_id(&s_skip, "client", argv[0], base64, id);
    uint64_t from = s_operand(&s_skip, argv[1]), to = s_operand(&s_skip, argv[2]);
    if (from > to)
        tool_misused(&s_skip, "FROM is beyond TO");
    seqpush_publisher_t *publisher = s_open(tool);
    if (!publisher)
        return TOOL_USAGE;
    seqpush_position_t at = {0};
    int result =
        seqpush_publisher_skip(publisher, id, size, epoch, from, to, &at, (int)timeout * 1000);
    seqpush_publisher_destroy(&publisher);
    return s_report(tool, id, size, result, &at);
}

int reset_run(tool_t *tool, int argc, char **argv)
{
    uint64_t timeout = 5;
    bool base64 = false;
    const tool_option_t options[] = {
        {"base64", TOOL_FLAG, &base64, 0, 0, NULL, "CLIENT is the id in base64"},
        {"timeout", TOOL_NUMBER, &timeout, 1, 1000000, "S", "seconds to wait for the answer (5)"},
    };
    size_t operands =
        tool_parse(tool, &s_reset, options, sizeof options / sizeof *options, argc, &argv);
    uint8_t id[SEQPUSH_ID_MAX];
    size_t size = tool_read_id(&s_reset, "client", argv[0], base64, id);
    uint64_t epoch = s_operand(&s_reset, argv[1]);
    uint64_t next = operands == 3 ? s_operand(&s_reset, argv[2]) : 0;
    seqpush_publisher_t *publisher = s_open(tool);
    if (!publisher)
        return TOOL_USAGE;
    seqpush_position_t at = {0};
    int result =
        seqpush_publisher_reset(publisher, id, size, epoch, next, &at, (int)timeout * 1000);
    seqpush_publisher_destroy(&publisher);
    return s_report(tool, id, size, result, &at);
}
