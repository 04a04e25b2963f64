//  journal_log.c - the log of a journal's store; see journal_log.h

#include "journal_log.h"
#include "journal_tree.h"
#include "segment.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES (65536 - 16) //  with the head that LMDB gives it, whole pages

//  ---- reading -----------------------------------------------------------------------------------

MDB_val *journal_log_key(journal_log_key_t *key, uint64_t number)
{
    record_key_t of = {.kind = RECORD_SEGMENT, .seq = number};
    key->val = (MDB_val){record_put_key(key->bytes, &of), key->bytes};
    return &key->val;
}

int journal_log_walk(journal_store_t *self, const uint8_t *bytes, size_t size,
                     journal_log_visit_t *visit, void *context)
{
    size_t at = SEGMENT_HEAD;
    while (at < size) {
        journal_op_t op;
        size_t length = segment_get(bytes + at, size - at, &op);
        int rc = length ? visit(self, context, &op, (uint32_t)at) : MDB_CORRUPTED;
        if (rc != 0)
            return rc;
        at += length;
    }
    return 0;
}

static int s_note(journal_store_t *self, void *context, journal_op_t *op, uint32_t offset)
{
    (void)context;
    return journal_index_note(self->index, op, offset) ? 0 : ENOMEM;
}

static int s_read_segment(journal_store_t *self, const MDB_val *key, const MDB_val *value)
{
    if (!record_is_sound(key->mv_data, key->mv_size, value->mv_data, value->mv_size))
        return MDB_CORRUPTED;
    if (!journal_index_begin(self->index))
        return ENOMEM;
    journal_index_end(self->index, value->mv_size);
    return journal_log_walk(self, value->mv_data, value->mv_size, s_note, NULL);
}

//  Reads the segments that the cursor finds, which follow each other, up to `end`.
static int s_read_segments(journal_store_t *self, MDB_cursor *cursor, uint64_t end)
{
    journal_log_key_t first;
    record_key_t of;
    MDB_val key = *journal_log_key(&first, 0), value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (bool any = false; rc == 0; any = true) {
        if (!record_get_key(key.mv_data, key.mv_size, &of))
            return MDB_CORRUPTED;
        if (of.seq >= end) {
            self->doubtful = end;
            return 0;
        }
        if (!any)
            journal_index_clear(self->index, of.seq);
        else if (of.seq != journal_index_next(self->index))
            return MDB_CORRUPTED;
        rc = s_read_segment(self, &key, &value);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int journal_log_read(journal_store_t *self, bool all)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    journal_index_clear(self->index, all ? 1 : self->end);
    self->doubtful = 0;
    rc = mdb_cursor_open(txn, self->records, &cursor);
    if (rc == 0) {
        rc = s_read_segments(self, cursor, all ? UINT64_MAX : self->end);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    self->end = journal_index_next(self->index);
    return rc;
}

//  ---- into the tree -----------------------------------------------------------------------------

static bool s_reserve(journal_buffer_t *buffer, size_t size)
{
    if (size <= buffer->capacity)
        return true;
    uint8_t *grown = realloc(buffer->bytes, size);
    if (!grown)
        return false;
    buffer->bytes = grown;
    buffer->capacity = size;
    return true;
}

static int s_delete_segment(journal_store_t *self, MDB_txn *txn, uint64_t number)
{
    journal_log_key_t key;
    return mdb_del(txn, self->records, journal_log_key(&key, number), NULL);
}

//  Forgets the segments, from the first one on, in which nothing holds.
static int s_drop_dead(journal_store_t *self, MDB_txn *txn)
{
    journal_index_t *index = self->index;
    int rc = 0;
    while (rc == 0 && journal_index_first(index) < journal_index_next(index) &&
           journal_index_live_first(index) == 0) {
        rc = s_delete_segment(self, txn, journal_index_first(index));
        journal_index_drop_first(index);
    }
    return rc;
}

static int s_settle_op(journal_store_t *self, void *context, journal_op_t *op, uint32_t offset)
{
    if (!journal_index_holds(self->index, op, journal_index_first(self->index), offset))
        return 0;
    journal_index_forget(self->index, op);
    return journal_tree_add(context, op);
}

//  Puts what holds in the first segment into the tree. It is copied: the tree's pages move meanwhile.
static int s_settle_first(journal_store_t *self, const journal_writing_t *writing)
{
    journal_log_key_t key;
    MDB_val value;
    int rc = mdb_get(writing->txn, self->records,
                     journal_log_key(&key, journal_index_first(self->index)), &value);
    if (rc != 0)
        return rc;
    if (!s_reserve(&self->reading, value.mv_size))
        return ENOMEM;
    memcpy(self->reading.bytes, value.mv_data, value.mv_size);
    rc = journal_log_walk(self, self->reading.bytes, value.mv_size, s_settle_op, writing->cursor);
    return rc == 0 ? s_drop_dead(self, writing->txn) : rc;
}

int journal_log_settle(journal_store_t *self, const journal_writing_t *writing, uint64_t bytes)
{
    int rc = s_drop_dead(self, writing->txn);
    while (rc == 0 && journal_index_bytes(self->index) > bytes &&
           journal_index_first(self->index) < self->end)
        rc = s_settle_first(self, writing);
    return rc;
}

//  ---- writing -----------------------------------------------------------------------------------

//  Takes out what a commit has kept that was said to have failed.
static int s_delete_doubtful(journal_store_t *self, MDB_txn *txn)
{
    int rc = 0;
    for (uint64_t i = self->doubtful; i != 0 && rc == 0; i++)
        rc = s_delete_segment(self, txn, i);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int s_write_segment(journal_store_t *self, MDB_txn *txn)
{
    journal_buffer_t *buffer = &self->filling;
    if (buffer->used == 0)
        return 0;
    journal_log_key_t key;
    journal_log_key(&key, journal_index_next(self->index) - 1);
    record_seal(key.bytes, key.val.mv_size, buffer->bytes, buffer->used);
    MDB_val value = {buffer->used, buffer->bytes};
    journal_index_end(self->index, buffer->used);
    buffer->used = 0;
    return mdb_put(txn, self->records, &key.val, &value, MDB_APPEND);
}

//  Sees to it that there is room for an operation in a segment: one that is larger has its own.
static int s_make_room(journal_store_t *self, MDB_txn *txn, size_t size)
{
    journal_buffer_t *buffer = &self->filling;
    int rc = buffer->used + size > SEGMENT_BYTES ? s_write_segment(self, txn) : 0;
    if (rc != 0)
        return rc;
    if (!s_reserve(buffer, SEGMENT_BYTES + size))
        return ENOMEM;
    if (buffer->used > 0)
        return 0;
    buffer->used = SEGMENT_HEAD;
    return journal_index_begin(self->index) ? 0 : ENOMEM;
}

//  Sets whether a push of this place is kept.
static int s_look_for(const journal_store_t *self, MDB_cursor *cursor, journal_op_t *push)
{
    push->existed = journal_index_has(self->index, push);
    if (push->existed)
        return 0;
    int rc = journal_tree_find(cursor, push);
    push->existed = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int s_keep(journal_store_t *self, const journal_writing_t *writing, journal_op_t *op)
{
    int rc = op->kind == JOURNAL_PUSH ? s_look_for(self, writing->cursor, op)
                                      : journal_tree_take_away(writing->cursor, op);
    if (rc != 0 || (op->kind == JOURNAL_PUSH && op->existed))
        return rc;
    rc = s_make_room(self, writing->txn, segment_size_of(op));
    if (rc != 0)
        return rc;
    journal_buffer_t *buffer = &self->filling;
    if (!journal_index_note(self->index, op, (uint32_t)buffer->used))
        return ENOMEM;
    buffer->used += segment_put(buffer->bytes + buffer->used, op);
    return 0;
}

//  An operation that tells a position has its place in the stream, too.
static void s_place(journal_op_t *op)
{
    if (op->kind != JOURNAL_POSITION)
        return;
    op->epoch = op->position->epoch;
    op->seq = op->position->seq;
}

int journal_log_write(journal_store_t *self, const journal_writing_t *writing, journal_op_t **ops,
                      size_t count)
{
    int rc = s_delete_doubtful(self, writing->txn);
    self->filling.used = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        s_place(ops[i]);
        rc = s_keep(self, writing, ops[i]);
    }
    return rc == 0 ? s_write_segment(self, writing->txn) : rc;
}
