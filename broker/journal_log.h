/*  journal_log.h - the log of a journal's store: segments of operations, before they are in the tree

    Segments (segment.h) have numbers that follow each other, and stand at the tree's right edge under
    them. The store's index (journal_index.h) says which of their operations hold; it is kept as the log
    is while a transaction goes on, so when one fails the log is to be read again.

    All functions return an error of LMDB. One thread at a time. */

#ifndef SEQPUSH_JOURNAL_LOG_H
#define SEQPUSH_JOURNAL_LOG_H

#include "journal_state.h"

typedef struct {
    uint8_t bytes[RECORD_KEY_MAX];
    MDB_val val;
} journal_log_key_t;

//  The key of a segment, which lies in `key`.
MDB_val *journal_log_key(journal_log_key_t *key, uint64_t number);

//  Does something with an operation of a segment that is read. Returns an error of LMDB.
typedef int journal_log_visit_t(journal_store_t *self, void *context, journal_op_t *op,
                                uint32_t offset);

//  Visits all operations of a segment.
int journal_log_walk(journal_store_t *self, const uint8_t *bytes, size_t size,
                     journal_log_visit_t *visit, void *context);

//  Makes the index that of the log as it is kept for certain, or (`all`) as it is found.
int journal_log_read(journal_store_t *self, bool all);

//  Puts operations at the end of the log, and does at once what they take away from the tree.
int journal_log_write(journal_store_t *self, const journal_writing_t *writing, journal_op_t **ops,
                      size_t count);

//  Shortens the log to so many bytes, but for what is new in it: if the commit fails, that may have to be
//  taken out again.
int journal_log_settle(journal_store_t *self, const journal_writing_t *writing, uint64_t bytes);

#endif
