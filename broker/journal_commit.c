//  journal_commit.c - groups of operations in a journal's store; see journal_commit.h
//
//  What takes pushes away, or to their places, needs pages of its own while the transaction lasts, so it
//  may use more than the map has.

#include "journal_commit.h"
#include "journal_error.h"
#include "journal_file.h"
#include "journal_log.h"

#define EXTRA_MIN (UINT64_C(4) << 20) //  bytes beyond max_bytes for what only takes away, at least
#define LOG_BYTES_MAX (UINT64_C(64) << 20) //  length of the log

//  Keeps the operations, and then shortens the log to so many bytes.
static int s_transact(journal_store_t *self, journal_op_t **ops, size_t count, uint64_t log_bytes)
{
    journal_writing_t writing;
    int rc = mdb_txn_begin(self->env, NULL, 0, &writing.txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(writing.txn, self->records, &writing.cursor);
    if (rc == 0) {
        rc = journal_log_write(self, &writing, ops, count);
        if (rc == 0)
            rc = journal_log_settle(self, &writing, log_bytes);
        mdb_cursor_close(writing.cursor);
    }
    if (rc != 0) {
        mdb_txn_abort(writing.txn);
        return rc;
    }
    return mdb_txn_commit(writing.txn);
}

//  After a failure LMDB may be of no more use: opens the environment anew.
static int s_reopen(journal_store_t *self)
{
    journal_file_close(self);
    int rc = journal_file_open(self);
    if (rc == 0)
        rc = journal_log_read(self, false);
    if (rc != 0)
        journal_file_close(self);
    return rc;
}

static bool s_adds(journal_op_t *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->kind == JOURNAL_PUSH)
            return true;
    return false;
}

static uint64_t s_log_max(const journal_store_t *self)
{
    return self->max_bytes / 8 < LOG_BYTES_MAX ? self->max_bytes / 8 : LOG_BYTES_MAX;
}

//  The same with more room. Without a map, which cannot always be had again, the environment is of no use.
static int s_transact_beyond(journal_store_t *self, journal_op_t **ops, size_t count,
                             uint64_t log_bytes)
{
    uint64_t extra = self->max_bytes / 16 > EXTRA_MIN ? self->max_bytes / 16 : EXTRA_MIN;
    int rc = mdb_env_set_mapsize(self->env, self->max_bytes + extra);
    if (rc == 0)
        rc = s_transact(self, ops, count, log_bytes);
    int after = mdb_env_set_mapsize(self->env, self->max_bytes);
    return after != 0 ? after : rc;
}

//  Notes that a transaction is kept.
static void s_end(journal_store_t *self)
{
    self->end = journal_index_next(self->index);
    self->doubtful = 0;
}

//  A page that a transaction frees is used by the next but one.
static int s_pass_transaction(journal_store_t *self)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = journal_file_touch(self, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

//  Puts all of the log in its place, which frees what it has taken.
static int s_settle_all(journal_store_t *self, bool beyond)
{
    if (journal_index_first(self->index) == journal_index_next(self->index))
        return 0;
    int rc = beyond ? s_transact_beyond(self, NULL, 0, 0) : s_transact(self, NULL, 0, 0);
    if (rc != 0)
        return rc;
    s_end(self);
    rc = s_pass_transaction(self);
    return rc == MDB_MAP_FULL ? 0 : rc;
}

//  When the store is full: tries again with the room that the log has taken. What only takes away may
//  use more than there should be.
static int s_commit_full(journal_store_t *self, journal_op_t **ops, size_t count)
{
    bool beyond = !s_adds(ops, count);
    int rc = journal_log_read(self, false);
    if (rc == 0)
        rc = s_settle_all(self, beyond);
    if (rc != 0)
        return rc;
    return beyond ? s_transact_beyond(self, ops, count, s_log_max(self))
                  : s_transact(self, ops, count, s_log_max(self));
}

//  Keeps a group. When it fails, the index is no longer that of the log.
static int s_try(journal_store_t *self, journal_op_t **ops, size_t count)
{
    int rc = self->env ? 0 : s_reopen(self);
    if (rc == 0)
        rc = s_transact(self, ops, count, s_log_max(self));
    return rc == MDB_MAP_FULL ? s_commit_full(self, ops, count) : rc;
}

int journal_commit(journal_store_t *self, journal_op_t **ops, size_t count)
{
    int rc = s_try(self, ops, count);
    if (rc == 0)
        s_end(self);
    else if (rc != MDB_MAP_FULL || journal_log_read(self, false) != 0)
        journal_file_close(self);
    return journal_error_number(rc);
}
