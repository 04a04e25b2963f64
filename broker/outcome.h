/*  outcome.h - what a publisher is told of a push; the numbers are those of the wire             */

#ifndef SEQPUSH_OUTCOME_H
#define SEQPUSH_OUTCOME_H

typedef enum {
    OUTCOME_ACCEPTED,
    OUTCOME_DUPLICATE,
    OUTCOME_STALE,
    OUTCOME_WINDOW_FULL,
    OUTCOME_BACKLOG_FULL,
    OUTCOME_OVERLOADED,
    OUTCOME_EPOCH_MISMATCH,
    OUTCOME_TOO_LARGE,
    OUTCOME_INVALID,
    OUTCOME_FORBIDDEN,
    OUTCOME_STORAGE_UNAVAILABLE,
    OUTCOME_SHUTTING_DOWN,
    OUTCOMES
} outcome_t;

#endif
