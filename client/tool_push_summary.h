/*  tool_push_summary.h - what `seqpush push` says at its end */

#ifndef SEQPUSH_TOOL_PUSH_SUMMARY_H
#define SEQPUSH_TOOL_PUSH_SUMMARY_H

#include "tool.h"

typedef struct {
    uint64_t lines; //  of the input
    int64_t started;
    bool confirm; //  confirmations were asked for
    uint64_t unconfirmed;
    const seqpush_publisher_stats_t *stats;
} push_summary_t;

//  Prints it, as JSON or as lines of text.
void push_summary_print(const push_summary_t *self, bool json);

#endif
