/*  journal_state.h - the LMDB journal's store, as its own parts see it

    The parts: its file (journal_file.h), its log (journal_log.h), what is loaded of it (journal_load.h),
    and what is committed to it (journal_commit.h). Errors are LMDB's, which has errno's among them,
    but where a header says otherwise. One thread at a time. */

#ifndef SEQPUSH_JOURNAL_STATE_H
#define SEQPUSH_JOURNAL_STATE_H

#include "journal.h"
#include "journal_index.h"
#include <lmdb.h>

typedef struct {
    uint8_t *bytes;
    size_t used, capacity;
} journal_buffer_t;

struct journal_store {
    char *path;
    uint64_t max_bytes;
    int folder; //  locked while the store is open
    MDB_env *env; //  NULL after a failure: opened again by the next commit
    MDB_dbi records;
    uint64_t version; //  of the format, as the store says
    journal_index_t *index; //  of the log
    uint64_t end; //  number of the segment behind the last one that is kept for certain
    //  Segments from this number on are of a commit that failed and is kept after all. Their pushes were
    //  told not to be kept, so the next commit takes them out. 0: there are none.
    uint64_t doubtful;
    journal_buffer_t filling; //  the segment that operations are put into
    journal_buffer_t reading; //  a segment from which operations are put into the tree
};

typedef struct {
    MDB_txn *txn;
    MDB_cursor *cursor;
} journal_writing_t;

#endif
