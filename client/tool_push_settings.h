/*  tool_push_settings.h - what the user of `seqpush push` has asked for */

#ifndef SEQPUSH_TOOL_PUSH_SETTINGS_H
#define SEQPUSH_TOOL_PUSH_SETTINGS_H

#include "tool.h"

typedef struct {
    const char *client;
    uint64_t clients, publishers, shuffle, seed, seq, epoch, rate, timeout, max_payload;
    bool confirm, progress;
} push_settings_t;

extern const tool_command_t push_command;

//  Reads the options; `*argv` then begins with the operands, whose number is returned. Ends the process,
//  with a message, if they are wrong.
size_t push_settings_parse(push_settings_t *self, tool_t *tool, int argc, char ***argv);

#endif
