//  journal_load.c - what a journal's store keeps; see journal_load.h

#include "journal_load.h"
#include "journal_error.h"
#include "journal_log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool s_read(const MDB_val *key, const MDB_val *value, journal_record_t *record)
{
    *record = (journal_record_t){0};
    if (!record_is_sound(key->mv_data, key->mv_size, value->mv_data, value->mv_size) ||
        !record_get_key(key->mv_data, key->mv_size, &record->key))
        return false;
    switch (record->key.kind) {
    case RECORD_POSITION:
        return record_get_position(value->mv_data, value->mv_size, &record->position);
    case RECORD_PUSH:
        return record_get_push(value->mv_data, value->mv_size, &record->bytes, &record->size,
                               &record->numberless);
    case RECORD_GAP:
        return record_get_number(value->mv_data, value->mv_size, &record->from);
    default:
        return true;
    }
}

//  What holds in the log, in the order of keys.
typedef struct {
    journal_op_t *ops;
    size_t count, at;
} held_t;

static record_key_t s_key_of(const journal_op_t *op)
{
    record_key_t key = {.id_size = op->id_size, .id = op->id};
    key.kind = op->kind == JOURNAL_PUSH       ? RECORD_PUSH
               : op->kind == JOURNAL_GAP      ? RECORD_GAP
               : op->kind == JOURNAL_POSITION ? RECORD_POSITION
                                              : RECORD_MARKER;
    if (key.kind != RECORD_POSITION) {
        key.epoch = op->epoch;
        key.seq = op->seq;
    }
    return key;
}

//  As their keys compare: a client's position first, then by epoch, seq and kind.
static int s_compare_keys(const record_key_t *a, const record_key_t *b)
{
    if (a->id_size != b->id_size)
        return a->id_size < b->id_size ? -1 : 1;
    int order = memcmp(a->id, b->id, a->id_size);
    if (order != 0)
        return order;
    if (a->kind == RECORD_POSITION || b->kind == RECORD_POSITION)
        return (b->kind == RECORD_POSITION) - (a->kind == RECORD_POSITION);
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return (a->kind > b->kind) - (a->kind < b->kind);
}

static int s_compare_ops(const void *left, const void *right)
{
    record_key_t a = s_key_of(left), b = s_key_of(right);
    return s_compare_keys(&a, &b);
}

typedef struct {
    held_t *held;
    uint64_t segment;
} hold_t;

static int s_hold(journal_store_t *self, void *context, journal_op_t *op, uint32_t offset)
{
    const hold_t *hold = context;
    if (journal_index_holds(self->index, op, hold->segment, offset))
        hold->held->ops[hold->held->count++] = *op;
    return 0;
}

static int s_hold_all(journal_store_t *self, MDB_txn *txn, held_t *held)
{
    uint64_t live = journal_index_live(self->index), end = journal_index_next(self->index);
    held->ops = calloc(live ? live : 1, sizeof *held->ops);
    int rc = held->ops ? 0 : ENOMEM;
    for (uint64_t i = journal_index_first(self->index); i < end && rc == 0; i++) {
        journal_log_key_t key;
        MDB_val value;
        rc = mdb_get(txn, self->records, journal_log_key(&key, i), &value);
        if (rc == 0)
            rc = journal_log_walk(self, value.mv_data, value.mv_size, s_hold, &(hold_t){held, i});
    }
    if (rc == 0)
        qsort(held->ops, held->count, sizeof *held->ops, s_compare_ops);
    return rc;
}

//  A position has its value as in the tree.
static bool s_show(const journal_op_t *op, journal_visit_t *visit, void *context)
{
    journal_record_t record = {.key = s_key_of(op), .numberless = op->numberless};
    if (op->kind == JOURNAL_POSITION && !record_get_position(op->bytes, op->size, &record.position))
        return false;
    if (op->kind == JOURNAL_GAP)
        record.from = op->from;
    if (op->kind == JOURNAL_PUSH) {
        record.bytes = op->bytes;
        record.size = op->size;
    }
    return visit(context, &record);
}

//  Visits what comes in the log before a record of the tree (NULL: the end). A position of the log holds
//  instead of the tree's: then `*replaced` is set.
static bool s_show_before(held_t *held, const record_key_t *key, bool *replaced,
                          journal_visit_t *visit, void *context)
{
    *replaced = false;
    for (; held->at < held->count; held->at++) {
        record_key_t next = s_key_of(&held->ops[held->at]);
        int order = key ? s_compare_keys(&next, key) : -1;
        if (order > 0)
            break;
        *replaced = order == 0;
        if (!s_show(&held->ops[held->at], visit, context))
            return false;
    }
    return true;
}

static bool s_show_record(held_t *held, const journal_record_t *record, journal_visit_t *visit,
                          void *context)
{
    bool replaced;
    if (record->key.kind == RECORD_STORE || record->key.kind == RECORD_SEGMENT)
        return true;
    return s_show_before(held, &record->key, &replaced, visit, context) &&
           (replaced || visit(context, record));
}

static bool s_visit_all(journal_store_t *self, MDB_cursor *cursor, size_t entries, held_t *held,
                        journal_visit_t *visit, void *context, char **error)
{
    MDB_val key, value;
    journal_record_t record;
    size_t seen = 0;
    int rc;
    bool replaced;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        seen++;
        if (!s_read(&key, &value, &record)) {
            journal_error_damaged(self->path, "a record's checksum is wrong", error);
            return false;
        }
        if (!s_show_record(held, &record, visit, context))
            return false;
    }
    if (rc == MDB_NOTFOUND && seen == entries)
        return s_show_before(held, NULL, &replaced, visit, context);
    journal_error_damaged(self->path, rc == MDB_NOTFOUND ? "records are missing" : mdb_strerror(rc),
                          error);
    return false;
}

static bool s_load_in(journal_store_t *self, MDB_txn *txn, journal_visit_t *visit, void *context,
                      char **error)
{
    held_t held = {0};
    MDB_cursor *cursor = NULL;
    MDB_stat stat;
    int rc = mdb_stat(txn, self->records, &stat);
    if (rc == 0)
        rc = s_hold_all(self, txn, &held);
    if (rc == 0)
        rc = mdb_cursor_open(txn, self->records, &cursor);
    if (rc != 0)
        journal_error_put(self->path, rc, error);
    bool ok = rc == 0 && s_visit_all(self, cursor, stat.ms_entries, &held, visit, context, error);
    if (cursor)
        mdb_cursor_close(cursor);
    free(held.ops);
    return ok;
}

bool journal_load(journal_store_t *self, journal_visit_t *visit, void *context, char **error)
{
    *error = NULL;
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        journal_error_put(self->path, rc, error);
        return false;
    }
    bool ok = s_load_in(self, txn, visit, context, error);
    mdb_txn_abort(txn);
    return ok;
}
