//  journal_tree.c - the records of a journal in an LMDB database; see journal_tree.h

#include "journal_tree.h"
#include <string.h>

typedef struct {
    uint8_t bytes[RECORD_KEY_MAX];
    size_t size;
} stored_key_t;

static stored_key_t s_key(const journal_op_t *op, record_kind_t kind, uint64_t epoch, uint64_t seq)
{
    stored_key_t key;
    record_key_t of = {kind, op->id_size, op->id, epoch, seq};
    key.size = record_put_key(key.bytes, &of);
    return key;
}

//  ---- taking away -------------------------------------------------------------------------------

static int s_none_is_fine(int rc)
{
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int s_compare(const MDB_val *a, const stored_key_t *b)
{
    size_t shorter = a->mv_size < b->size ? a->mv_size : b->size;
    int order = memcmp(a->mv_data, b->bytes, shorter);
    return order ? order : (a->mv_size > b->size) - (a->mv_size < b->size);
}

//  Forgets the records whose keys lie between two keys, but for the first one itself.
static int s_delete_between(MDB_cursor *cursor, stored_key_t *low, const stored_key_t *high)
{
    MDB_val key = {low->size, low->bytes}, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (rc == 0 && s_compare(&key, low) == 0)
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    while (rc == 0 && s_compare(&key, high) <= 0) {
        rc = mdb_cursor_del(cursor, 0);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return s_none_is_fine(rc);
}

//  Forgets what is kept of the places from..seq.
static int s_delete_places(MDB_cursor *cursor, const journal_op_t *op)
{
    stored_key_t low = s_key(op, RECORD_PUSH, op->epoch, op->from);
    stored_key_t high = s_key(op, RECORD_MARKER, op->epoch, op->seq);
    low.bytes[low.size - 1] = 0;
    return s_delete_between(cursor, &low, &high);
}

//  Forgets what lies behind the client's position, up to a place.
static int s_delete_up_to(MDB_cursor *cursor, const journal_op_t *op, uint64_t epoch, uint64_t seq)
{
    stored_key_t low = s_key(op, RECORD_POSITION, 0, 0);
    stored_key_t high = s_key(op, RECORD_MARKER, epoch, seq);
    return s_delete_between(cursor, &low, &high);
}

static int s_delete(MDB_cursor *cursor, stored_key_t key)
{
    MDB_val stored_key = {key.size, key.bytes}, value;
    int rc = mdb_cursor_get(cursor, &stored_key, &value, MDB_SET);
    return s_none_is_fine(rc == 0 ? mdb_cursor_del(cursor, 0) : rc);
}

static int s_forget(MDB_cursor *cursor, const journal_op_t *op)
{
    int rc = s_delete(cursor, s_key(op, RECORD_POSITION, 0, 0));
    return rc == 0 ? s_delete_up_to(cursor, op, UINT64_MAX, UINT64_MAX) : rc;
}

int journal_tree_take_away(MDB_cursor *cursor, const journal_op_t *op)
{
    switch (op->kind) {
    case JOURNAL_REMOVE:
        return s_delete(cursor, s_key(op, RECORD_PUSH, op->epoch, op->seq));
    case JOURNAL_DROP:
    case JOURNAL_GAP:
        return s_delete_places(cursor, op);
    case JOURNAL_POSITION:
        return s_delete_up_to(cursor, op, op->epoch, op->seq);
    case JOURNAL_FORGET:
        return s_forget(cursor, op);
    default:
        return 0;
    }
}

//  ---- adding ------------------------------------------------------------------------------------

int journal_tree_find(MDB_cursor *cursor, const journal_op_t *push)
{
    stored_key_t key = s_key(push, RECORD_PUSH, push->epoch, push->seq);
    MDB_val stored_key = {key.size, key.bytes}, value;
    return mdb_cursor_get(cursor, &stored_key, &value, MDB_SET);
}

//  Makes a record of `size` bytes that the caller fills and seals: NULL with `*rc` set if it cannot be.
static uint8_t *s_reserve(MDB_cursor *cursor, stored_key_t *key, size_t size, int *rc)
{
    MDB_val stored_key = {key->size, key->bytes}, value = {size, NULL};
    *rc = mdb_cursor_put(cursor, &stored_key, &value, MDB_RESERVE);
    return *rc == 0 ? value.mv_data : NULL;
}

static int s_add_push(MDB_cursor *cursor, const journal_op_t *op)
{
    int rc;
    size_t size = RECORD_PUSH_HEAD + op->size;
    stored_key_t key = s_key(op, RECORD_PUSH, op->epoch, op->seq);
    uint8_t *value = s_reserve(cursor, &key, size, &rc);
    if (value) {
        record_put_push(value, op->bytes, op->size, op->numberless);
        record_seal(key.bytes, key.size, value, size);
    }
    return rc;
}

static int s_add_number(MDB_cursor *cursor, const journal_op_t *op, record_kind_t kind,
                        uint64_t number)
{
    int rc;
    stored_key_t key = s_key(op, kind, op->epoch, op->seq);
    uint8_t *value = s_reserve(cursor, &key, RECORD_NUMBER_SIZE, &rc);
    if (value) {
        record_put_number(value, number);
        record_seal(key.bytes, key.size, value, RECORD_NUMBER_SIZE);
    }
    return rc;
}

//  A segment has the value as it is stored.
static int s_add_position(MDB_cursor *cursor, const journal_op_t *op)
{
    stored_key_t key = s_key(op, RECORD_POSITION, 0, 0);
    MDB_val stored_key = {key.size, key.bytes}, value = {op->size, (void *)op->bytes};
    return mdb_cursor_put(cursor, &stored_key, &value, 0);
}

int journal_tree_add(MDB_cursor *cursor, const journal_op_t *op)
{
    switch (op->kind) {
    case JOURNAL_PUSH:
        return s_add_push(cursor, op);
    case JOURNAL_GAP:
        return s_add_number(cursor, op, RECORD_GAP, op->from);
    case JOURNAL_MARKER:
        return s_add_number(cursor, op, RECORD_MARKER, op->seq);
    default:
        return s_add_position(cursor, op);
    }
}
