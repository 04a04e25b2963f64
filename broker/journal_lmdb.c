//  journal_lmdb.c - the journal in an LMDB environment; see journal.h
//
//  One database has all records, and a group is one transaction. Every commit is synchronous, pages
//  first, then the page that makes them the present ones (no NOSYNC, NOMETASYNC or WRITEMAP), so what
//  was committed outlives a loss of power, and what was not leaves nothing behind.
//
//  LMDB lets two processes write to one store, so the folder is locked for as long as it is open. With
//  that, LMDB's own lock file is not needed.
//
//  The map is as large as the store may become: that takes addresses, not memory. What takes pushes
//  away needs pages of its own while the transaction lasts, so it may use a sixteenth more.

#include "journal.h"
#include "journal_pages.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXTRA_MIN (UINT64_C(1) << 20) //  bytes beyond max_bytes for what only takes away, at least

typedef struct {
    uint8_t bytes[RECORD_KEY_MAX];
    uint8_t size;
} stored_key_t;

struct journal_store {
    char *path;
    uint64_t max_bytes;
    int folder; //  locked while the store is open
    MDB_env *env; //  NULL after a failure: opened again by the next commit
    MDB_dbi records;
    size_t last_txn; //  that is kept for certain
    //  Pushes to take out again, as their publishers were told that they are not kept: `undo_count` of
    //  a transaction that is kept though its commit failed, then those of one that may be.
    stored_key_t *doubtful;
    size_t undo_count, doubtful_count, doubtful_capacity;
};

//  ---- errors ------------------------------------------------------------------------------------

//  LMDB's own errors as an errno, so that those who tell of it need not know LMDB.
static int s_errno(int rc)
{
    if (rc == 0)
        return 0;
    if (rc == MDB_MAP_FULL)
        return -ENOSPC;
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
        rc == MDB_VERSION_MISMATCH || rc == MDB_NOTFOUND)
        return -EUCLEAN;
    return rc > 0 ? -rc : -EIO;
}

static void s_explain(const char *path, const char *what, const char *advice, char **error)
{
    if (asprintf(error, "journal %s: %s%s", path, what, advice) < 0)
        *error = NULL;
}

static void s_damaged(const char *path, const char *what, char **error)
{
    s_explain(
        path, what,
        "; the store is damaged and nothing of it is used: put a copy in its place, or move it"
        " away to begin without what it holds",
        error);
}

//  ---- opening -----------------------------------------------------------------------------------

//  Makes the folder if need be, and locks it. A process that ends lets go of it, however it ends.
static bool s_lock(journal_store_t *self, char **error)
{
    if (mkdir(self->path, 0700) < 0 && errno != EEXIST) {
        s_explain(self->path, strerror(errno), ": journal/path must be a folder that can be made",
                  error);
        return false;
    }
    self->folder = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->folder < 0) {
        s_explain(self->path, strerror(errno), "", error);
        return false;
    }
    if (flock(self->folder, LOCK_EX | LOCK_NB) == 0)
        return true;
    s_explain(self->path,
              errno == EWOULDBLOCK ? "another process has this journal open" : strerror(errno), "",
              error);
    return false;
}

//  A file that was made is there after a loss of power only when its folder says so, too.
static int s_sync_folders(const journal_store_t *self)
{
    int parent = openat(self->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parent >= 0 && fsync(self->folder) == 0 && fsync(parent) == 0 ? 0 : errno;
    if (parent >= 0)
        close(parent);
    return rc;
}

static int s_open_env(journal_store_t *self)
{
    int rc = mdb_env_create(&self->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(self->env, self->max_bytes);
    if (rc == 0)
        rc = mdb_env_open(self->env, self->path, MDB_NOLOCK, 0600);
    if (rc != 0) {
        mdb_env_close(self->env);
        self->env = NULL;
    }
    return rc;
}

static size_t s_last_txn(const journal_store_t *self)
{
    MDB_envinfo info;
    mdb_env_info(self->env, &info);
    return info.me_last_txnid;
}

//  Looks at the file before LMDB does, which trusts it: what is damaged could end the process.
static bool s_look(const journal_store_t *self, char **error)
{
    int file = openat(self->folder, "data.mdb", O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return true;
    const char *wrong = NULL;
    int rc = file < 0 ? -errno : journal_pages_check(file, &wrong);
    if (file >= 0)
        close(file);
    if (wrong)
        s_damaged(self->path, wrong, error);
    else if (rc < 0)
        s_explain(self->path, strerror(-rc), "", error);
    return rc == 0;
}

static int s_write_version(journal_store_t *self, MDB_txn *txn)
{
    uint8_t key[RECORD_KEY_MAX], value[RECORD_NUMBER_SIZE];
    record_key_t of_store = {.kind = RECORD_STORE};
    size_t key_size = record_put_key(key, &of_store);
    record_put_number(value, RECORD_VERSION);
    record_seal(key, key_size, value, sizeof value);
    MDB_val stored_key = {key_size, key}, stored = {sizeof value, value};
    return mdb_put(txn, self->records, &stored_key, &stored, 0);
}

//  Looks for the version: 0, MDB_NOTFOUND in a store that has nothing, or what is wrong.
static int s_read_version(const journal_store_t *self, MDB_txn *txn)
{
    uint8_t zero = 0;
    MDB_stat stat;
    MDB_val key = {1, &zero}, value;
    int rc = mdb_get(txn, self->records, &key, &value);
    if (rc == MDB_NOTFOUND && mdb_stat(txn, self->records, &stat) == 0 && stat.ms_entries > 0)
        return MDB_INVALID;
    uint64_t version = 0;
    if (rc == 0 && (!record_is_sound(&zero, 1, value.mv_data, value.mv_size) ||
                    !record_get_number(value.mv_data, value.mv_size, &version)))
        return MDB_INVALID;
    return rc == 0 && version != RECORD_VERSION ? MDB_VERSION_MISMATCH : rc;
}

static int s_open_records(journal_store_t *self)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &self->records);
    if (rc == 0)
        rc = s_read_version(self, txn);
    if (rc != MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = s_write_version(self, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static bool s_open(journal_store_t *self, char **error)
{
    if (!s_look(self, error))
        return false;
    int rc = s_open_env(self);
    if (rc == 0)
        rc = s_open_records(self);
    if (rc == 0)
        rc = s_sync_folders(self);
    if (rc == 0) {
        self->last_txn = s_last_txn(self);
        return true;
    }
    if (rc == MDB_VERSION_MISMATCH)
        s_explain(self->path, "the store is of another version of seqpush", "", error);
    else if (s_errno(rc) == -EUCLEAN)
        s_damaged(self->path, "what is there is no journal", error);
    else
        s_explain(self->path, mdb_strerror(rc), "", error);
    return false;
}

static void s_close(journal_store_t **self_p)
{
    journal_store_t *self = *self_p;
    if (!self)
        return;
    if (self->env)
        mdb_env_close(self->env);
    if (self->folder >= 0)
        close(self->folder);
    free(self->doubtful);
    free(self->path);
    free(self);
    *self_p = NULL;
}

static journal_store_t *s_new(const journal_settings_t *settings, char **error)
{
    *error = NULL;
    journal_store_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->folder = -1;
    self->max_bytes = settings->max_bytes;
    self->path = strdup(settings->path);
    if (!self->path || !s_lock(self, error) || !s_open(self, error))
        s_close(&self);
    return self;
}

//  ---- loading -----------------------------------------------------------------------------------

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

static bool s_visit_all(journal_store_t *self, MDB_cursor *cursor, size_t entries,
                        journal_visit_t *visit, void *context, char **error)
{
    MDB_val key, value;
    journal_record_t record;
    size_t seen = 0;
    int rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        seen++;
        if (!s_read(&key, &value, &record)) {
            s_damaged(self->path, "a record's checksum is wrong", error);
            return false;
        }
        if (record.key.kind != RECORD_STORE && !visit(context, &record))
            return false;
    }
    if (rc == MDB_NOTFOUND && seen == entries)
        return true;
    s_damaged(self->path, rc == MDB_NOTFOUND ? "records are missing" : mdb_strerror(rc), error);
    return false;
}

static bool s_load(journal_store_t *self, journal_visit_t *visit, void *context, char **error)
{
    *error = NULL;
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    MDB_stat stat;
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        s_explain(self->path, mdb_strerror(rc), "", error);
        return false;
    }
    bool ok = mdb_stat(txn, self->records, &stat) == 0 &&
              mdb_cursor_open(txn, self->records, &cursor) == 0 &&
              s_visit_all(self, cursor, stat.ms_entries, visit, context, error);
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return ok;
}

//  ---- operations --------------------------------------------------------------------------------

static size_t s_key(const journal_op_t *op, record_kind_t kind, uint64_t seq,
                    uint8_t key[RECORD_KEY_MAX])
{
    record_key_t of = {kind, op->id_size, op->id, op->epoch, seq};
    return record_put_key(key, &of);
}

static int s_compare_bytes(const MDB_val *a, const uint8_t *b, size_t b_size)
{
    size_t shorter = a->mv_size < b_size ? a->mv_size : b_size;
    int order = memcmp(a->mv_data, b, shorter);
    return order ? order : (a->mv_size > b_size) - (a->mv_size < b_size);
}

//  Forgets the records whose keys lie between two keys, but for the first one itself.
static int s_delete_between(MDB_cursor *cursor, uint8_t *low, size_t low_size, const uint8_t *high,
                            size_t high_size)
{
    MDB_val key = {low_size, low}, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (rc == 0 && s_compare_bytes(&key, low, low_size) == 0)
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    while (rc == 0 && s_compare_bytes(&key, high, high_size) <= 0) {
        rc = mdb_cursor_del(cursor, 0);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

//  Forgets what is kept of the places from..to.
static int s_delete_places(MDB_cursor *cursor, const journal_op_t *op, uint64_t from, uint64_t to)
{
    uint8_t low[RECORD_KEY_MAX], high[RECORD_KEY_MAX];
    size_t low_size = s_key(op, RECORD_PUSH, from, low);
    size_t high_size = s_key(op, RECORD_MARKER, to, high);
    low[low_size - 1] = 0;
    return s_delete_between(cursor, low, low_size, high, high_size);
}

//  Makes a record of `size` bytes that the caller fills and seals: NULL with `*rc` set if it cannot be.
static uint8_t *s_reserve(MDB_cursor *cursor, uint8_t *key, size_t key_size, size_t size,
                          unsigned flags, int *rc)
{
    MDB_val stored_key = {key_size, key}, value = {size, NULL};
    *rc = mdb_cursor_put(cursor, &stored_key, &value, MDB_RESERVE | flags);
    return *rc == 0 ? value.mv_data : NULL;
}

static int s_push(MDB_cursor *cursor, journal_op_t *op)
{
    int rc;
    uint8_t key[RECORD_KEY_MAX];
    size_t key_size = s_key(op, RECORD_PUSH, op->seq, key), size = RECORD_PUSH_HEAD + op->size;
    uint8_t *value = s_reserve(cursor, key, key_size, size, MDB_NOOVERWRITE, &rc);
    op->existed = rc == MDB_KEYEXIST;
    if (value) {
        record_put_push(value, op->bytes, op->size, op->numberless);
        record_seal(key, key_size, value, size);
    }
    return op->existed ? 0 : rc;
}

static int s_remove(MDB_cursor *cursor, const journal_op_t *op)
{
    uint8_t key[RECORD_KEY_MAX];
    MDB_val stored_key = {s_key(op, RECORD_PUSH, op->seq, key), key}, value;
    int rc = mdb_cursor_get(cursor, &stored_key, &value, MDB_SET);
    if (rc == 0)
        rc = mdb_cursor_del(cursor, 0);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int s_mark(MDB_cursor *cursor, const journal_op_t *op, record_kind_t kind, uint64_t number)
{
    int rc;
    uint8_t key[RECORD_KEY_MAX];
    size_t key_size = s_key(op, kind, op->seq, key);
    uint8_t *value = s_reserve(cursor, key, key_size, RECORD_NUMBER_SIZE, 0, &rc);
    if (value) {
        record_put_number(value, number);
        record_seal(key, key_size, value, RECORD_NUMBER_SIZE);
    }
    return rc;
}

static int s_gap(MDB_cursor *cursor, const journal_op_t *op)
{
    int rc = s_delete_places(cursor, op, op->from, op->seq);
    return rc == 0 ? s_mark(cursor, op, RECORD_GAP, op->from) : rc;
}

static int s_position(MDB_cursor *cursor, const journal_op_t *op)
{
    uint8_t key[RECORD_KEY_MAX], last[RECORD_KEY_MAX], value[RECORD_POSITION_MAX];
    size_t key_size = s_key(op, RECORD_POSITION, 0, key);
    size_t size = record_put_position(value, op->position);
    record_seal(key, key_size, value, size);
    MDB_val stored_key = {key_size, key}, stored = {size, value};
    int rc = mdb_cursor_put(cursor, &stored_key, &stored, 0);
    if (rc != 0)
        return rc;
    journal_op_t upto = *op;
    upto.epoch = op->position->epoch;
    size_t last_size = s_key(&upto, RECORD_MARKER, op->position->seq, last);
    return s_delete_between(cursor, key, key_size, last, last_size);
}

static int s_forget(MDB_cursor *cursor, const journal_op_t *op)
{
    uint8_t key[RECORD_KEY_MAX], last[RECORD_KEY_MAX];
    size_t key_size = s_key(op, RECORD_POSITION, 0, key);
    journal_op_t all = *op;
    all.epoch = UINT64_MAX;
    size_t last_size = s_key(&all, RECORD_MARKER, UINT64_MAX, last);
    MDB_val stored_key = {key_size, key}, value;
    int rc = mdb_cursor_get(cursor, &stored_key, &value, MDB_SET);
    if (rc == 0)
        rc = mdb_cursor_del(cursor, 0);
    return rc == 0 || rc == MDB_NOTFOUND ? s_delete_between(cursor, key, key_size, last, last_size)
                                         : rc;
}

static int s_apply(MDB_cursor *cursor, journal_op_t *op)
{
    switch (op->kind) {
    case JOURNAL_PUSH:
        return s_push(cursor, op);
    case JOURNAL_REMOVE:
        return s_remove(cursor, op);
    case JOURNAL_DROP:
        return s_delete_places(cursor, op, op->from, op->seq);
    case JOURNAL_GAP:
        return s_gap(cursor, op);
    case JOURNAL_MARKER:
        return s_mark(cursor, op, RECORD_MARKER, op->seq);
    case JOURNAL_POSITION:
        return s_position(cursor, op);
    default:
        return s_forget(cursor, op);
    }
}

//  ---- committing --------------------------------------------------------------------------------

static int s_compare(const void *left, const void *right)
{
    const journal_op_t *a = *(journal_op_t *const *)left, *b = *(journal_op_t *const *)right;
    if (a->id_size != b->id_size)
        return a->id_size < b->id_size ? -1 : 1;
    int order = memcmp(a->id, b->id, a->id_size);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

//  Brings together what is said of one client, in its order: neighbours lie in the same pages.
static void s_sort(journal_op_t **ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ops[i]->order = (uint32_t)i;
    qsort(ops, count, sizeof *ops, s_compare);
}

static int s_undo(const journal_store_t *self, MDB_txn *txn)
{
    for (size_t i = 0; i < self->undo_count; i++) {
        MDB_val key = {self->doubtful[i].size, self->doubtful[i].bytes};
        int rc = mdb_del(txn, self->records, &key, NULL);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return rc;
    }
    return 0;
}

static int s_write(const journal_store_t *self, MDB_txn *txn, journal_op_t **ops, size_t count)
{
    MDB_cursor *cursor;
    int rc = s_undo(self, txn);
    if (rc == 0)
        rc = mdb_cursor_open(txn, self->records, &cursor);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = s_apply(cursor, ops[i]);
    mdb_cursor_close(cursor);
    return rc;
}

//  Sees to it that so many pushes can be noted as doubtful, beside those to take out.
static bool s_reserve_doubt(journal_store_t *self, size_t count)
{
    size_t needed = self->undo_count + count;
    if (needed <= self->doubtful_capacity)
        return true;
    stored_key_t *grown = realloc(self->doubtful, needed * sizeof *grown);
    if (!grown)
        return false;
    self->doubtful = grown;
    self->doubtful_capacity = needed;
    return true;
}

static void s_doubt(journal_store_t *self, journal_op_t *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind != JOURNAL_PUSH || ops[i]->existed)
            continue;
        stored_key_t *key = &self->doubtful[self->doubtful_count++];
        key->size = (uint8_t)s_key(ops[i], RECORD_PUSH, ops[i]->seq, key->bytes);
    }
}

//  After a failed commit the environment was opened anew, and tells whether it is kept after all.
static void s_settle_doubt(journal_store_t *self)
{
    size_t txn = s_last_txn(self), kept = self->doubtful_count - self->undo_count;
    if (txn != self->last_txn) {
        memmove(self->doubtful, self->doubtful + self->undo_count, kept * sizeof *self->doubtful);
        self->undo_count = kept;
    }
    self->doubtful_count = self->undo_count;
    self->last_txn = txn;
}

//  After a failure LMDB may be of no more use: opens the environment anew.
static int s_reopen(journal_store_t *self)
{
    if (self->env)
        mdb_env_close(self->env);
    self->env = NULL;
    int rc = s_open_env(self);
    if (rc == 0)
        rc = s_open_records(self);
    if (rc == 0) {
        s_settle_doubt(self);
    } else if (self->env) {
        mdb_env_close(self->env);
        self->env = NULL;
    }
    return rc;
}

static int s_transact(journal_store_t *self, journal_op_t **ops, size_t count)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = s_write(self, txn, ops, count);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static bool s_adds(journal_op_t *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->kind == JOURNAL_PUSH)
            return true;
    return false;
}

//  The same with more room, where it takes pushes away: later there will be less.
static int s_transact_beyond(journal_store_t *self, journal_op_t **ops, size_t count)
{
    uint64_t extra = self->max_bytes / 16 > EXTRA_MIN ? self->max_bytes / 16 : EXTRA_MIN;
    int rc = mdb_env_set_mapsize(self->env, self->max_bytes + extra);
    if (rc == 0)
        rc = s_transact(self, ops, count);
    mdb_env_set_mapsize(self->env, self->max_bytes);
    return rc;
}

static int s_commit(journal_store_t *self, journal_op_t **ops, size_t count)
{
    int rc = self->env ? 0 : s_reopen(self);
    if (rc == 0 && !s_reserve_doubt(self, count))
        rc = ENOMEM;
    if (rc != 0)
        return s_errno(rc);
    s_sort(ops, count);
    rc = s_transact(self, ops, count);
    if (rc == MDB_MAP_FULL && !s_adds(ops, count))
        rc = s_transact_beyond(self, ops, count);
    if (rc == 0) {
        self->last_txn = s_last_txn(self);
        self->undo_count = self->doubtful_count = 0;
    } else if (rc != MDB_MAP_FULL) {
        s_doubt(self, ops, count);
        mdb_env_close(self->env);
        self->env = NULL;
    }
    return s_errno(rc);
}

const journal_engine_t journal_lmdb = {
    .name = "lmdb",
    .keeps = true,
    .open = s_new,
    .load = s_load,
    .commit = s_commit,
    .close = s_close,
};
