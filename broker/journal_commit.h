/*  journal_commit.h - groups of operations, kept whole or not at all

    One thread at a time. */

#ifndef SEQPUSH_JOURNAL_COMMIT_H
#define SEQPUSH_JOURNAL_COMMIT_H

#include "journal_state.h"

//  As `commit` in journal.h.
int journal_commit(journal_store_t *self, journal_op_t **ops, size_t count);

#endif
