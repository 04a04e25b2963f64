//  tool_push_settings.c - the options of `seqpush push`; see tool_push_settings.h

#include "tool_push_settings.h"

#define PUBLISHERS_MAX 64

const tool_command_t push_command = {
    .name = "push",
    .usage = "--client ID [FILE]",
    .description = "Pushes each line of FILE, or of standard input, without its newline. Ends\n"
                   "when every push has an outcome; with --confirm when every push that was\n"
                   "taken is delivered. A push that may not be taken yet is tried again by\n"
                   "itself.",
    .statuses = "  0  every push was accepted, or was a duplicate; with --confirm: and delivered\n"
                "  1  some were refused, got no outcome, or were not delivered\n"
                "  2  wrong use, or input that cannot be read",
    .operands_max = 1,
};

size_t push_settings_parse(push_settings_t *self, tool_t *tool, int argc, char ***argv)
{
    *self = (push_settings_t){
        .publishers = 1, .shuffle = 1, .seed = 1, .seq = 1, .timeout = 60, .max_payload = 4 << 20};
    const tool_option_t options[] = {
        {"client", TOOL_STRING, &self->client, 0, 0, "ID", "the client to push for"},
        {"clients", TOOL_NUMBER, &self->clients, 1, 1000000, "N",
         "spread the lines over ID-1 to ID-N by turns, each numbered for itself"},
        {"seq", TOOL_NUMBER, &self->seq, 0, 1ULL << 62, "N",
         "number of a client's first push (1); 0: the broker numbers them"},
        {"epoch", TOOL_NUMBER, &self->epoch, 0, UINT64_MAX, "N", "epoch of the pushes (0)"},
        {"publishers", TOOL_NUMBER, &self->publishers, 1, PUBLISHERS_MAX, "N",
         "connections; a client's pushes take them by turns (1)"},
        {"shuffle", TOOL_NUMBER, &self->shuffle, 1, 1000000, "N",
         "scramble the order within blocks of N lines (1); more than the broker's\n"
         "                       window of seqs a client means retries"},
        {"seed", TOOL_NUMBER, &self->seed, 0, UINT64_MAX, "N", "of --shuffle (1)"},
        {"rate", TOOL_NUMBER, &self->rate, 1, 1000000000, "N", "pushes a second (no limit)"},
        {"timeout", TOOL_NUMBER, &self->timeout, 1, 1000000, "S",
         "give up after S seconds without any outcome, or confirmation (60)"},
        {"confirm", TOOL_FLAG, &self->confirm, 0, 0, NULL,
         "wait until receivers have acknowledged all; not with --seq 0"},
        {"max-payload", TOOL_NUMBER, &self->max_payload, 1, 1 << 30, "BYTES",
         "do not send a longer line, count it as too_large (4 MiB)"},
        {"progress", TOOL_FLAG, &self->progress, 0, 0, NULL,
         "report every few seconds, even if not on a terminal"},
    };
    size_t count = sizeof options / sizeof *options;
    size_t operands = tool_parse(tool, &push_command, options, count, argc, argv);
    if (!self->client)
        tool_misused(&push_command, "--client is missing");
    if (self->confirm && self->seq == 0)
        tool_misused(&push_command, "--confirm needs pushes with a seq");
    return operands;
}
