//  journal_lmdb.c - the journal in an LMDB environment; see journal.h
//
//  One database has all records, and a group is one transaction. Every commit is synchronous, pages
//  first, then the page that makes them the present ones (no NOSYNC, NOMETASYNC or WRITEMAP), so what
//  was committed outlives a loss of power, and what was not leaves nothing behind.
//
//  A push among those of a thousand clients has a page of its own in a tree that is sorted by client,
//  and most are acknowledged soon. So a group is first kept in the log: whole, in segments at the tree's
//  right edge, which take few pages. Only what it takes away is taken from the tree at once. A segment
//  goes when nothing in it holds any more, the first one first; when the log has its length, what still
//  holds in its first segments is put in its place in the tree. What holds in the log is never in the
//  tree, too, and a store is its tree with the log's last word.
//
//  LMDB lets two processes write to one store, so the folder is locked for as long as it is open. With
//  that, LMDB's own lock file is not needed.
//
//  The map is as large as the store may become: that takes addresses, not memory. What takes pushes
//  away, or to their places, needs pages of its own while the transaction lasts, so it may use more.

#include "journal.h"
#include "journal_index.h"
#include "journal_pages.h"
#include "journal_tree.h"
#include "segment.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXTRA_MIN (UINT64_C(4) << 20) //  bytes beyond max_bytes for what only takes away, at least
#define LOG_BYTES_MAX (UINT64_C(64) << 20) //  length of the log
#define SEGMENT_BYTES (65536 - 16) //  with the head that LMDB gives it, whole pages

typedef struct {
    uint8_t *bytes;
    size_t used, capacity;
} buffer_t;

struct journal_store {
    char *path;
    uint64_t max_bytes;
    int folder; //  locked while the store is open
    MDB_env *env; //  NULL after a failure: opened again by the next commit
    MDB_dbi records;
    journal_index_t *index; //  of the log
    uint64_t end; //  number of the segment behind the last one that is kept for certain
    //  Segments from this number on are of a commit that failed and is kept after all. Their pushes were
    //  told not to be kept, so the next commit takes them out. 0: there are none.
    uint64_t doubtful;
    buffer_t filling; //  the segment that operations are put into
    buffer_t reading; //  a segment from which operations are put into the tree
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

static void s_close_env(journal_store_t *self)
{
    if (self->env)
        mdb_env_close(self->env);
    self->env = NULL;
}

static int s_open_env(journal_store_t *self)
{
    int rc = mdb_env_create(&self->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(self->env, self->max_bytes);
    if (rc == 0)
        rc = mdb_env_open(self->env, self->path, MDB_NOLOCK | MDB_NOMEMINIT, 0600);
    if (rc != 0)
        s_close_env(self);
    return rc;
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

//  ---- the log -----------------------------------------------------------------------------------

typedef struct {
    uint8_t bytes[RECORD_KEY_MAX];
    MDB_val val;
} segment_key_t;

static MDB_val *s_segment_key(segment_key_t *key, uint64_t number)
{
    record_key_t of = {.kind = RECORD_SEGMENT, .seq = number};
    key->val = (MDB_val){record_put_key(key->bytes, &of), key->bytes};
    return &key->val;
}

//  Does something with an operation of a segment that is read. Returns an error of LMDB.
typedef int visit_op_t(journal_store_t *self, void *context, journal_op_t *op, uint32_t offset);

static int s_walk(journal_store_t *self, const uint8_t *bytes, size_t size, visit_op_t *visit,
                  void *context)
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
    return s_walk(self, value->mv_data, value->mv_size, s_note, NULL);
}

//  Reads the segments that the cursor finds, which follow each other, up to `end`.
static int s_read_segments(journal_store_t *self, MDB_cursor *cursor, uint64_t end)
{
    segment_key_t first;
    record_key_t of;
    MDB_val key = *s_segment_key(&first, 0), value;
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

//  Makes the index that of the log as it is kept for certain, or (`all`) as it is found.
static int s_read_log(journal_store_t *self, bool all)
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

//  ---- the store ---------------------------------------------------------------------------------

static bool s_open(journal_store_t *self, char **error)
{
    if (!s_look(self, error))
        return false;
    int rc = s_open_env(self);
    if (rc == 0)
        rc = s_open_records(self);
    if (rc == 0)
        rc = s_sync_folders(self);
    if (rc == 0)
        rc = s_read_log(self, true);
    if (rc == 0)
        return true;
    if (rc == MDB_VERSION_MISMATCH)
        s_explain(self->path, "the store is of another version of seqpush", "", error);
    else if (rc == MDB_CORRUPTED)
        s_damaged(self->path, "a record's checksum is wrong", error);
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
    s_close_env(self);
    if (self->folder >= 0)
        close(self->folder);
    journal_index_destroy(&self->index);
    free(self->filling.bytes);
    free(self->reading.bytes);
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
    self->index = journal_index_new();
    if (!self->path || !self->index || !s_lock(self, error) || !s_open(self, error))
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
        segment_key_t key;
        MDB_val value;
        rc = mdb_get(txn, self->records, s_segment_key(&key, i), &value);
        if (rc == 0)
            rc = s_walk(self, value.mv_data, value.mv_size, s_hold, &(hold_t){held, i});
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
            s_damaged(self->path, "a record's checksum is wrong", error);
            return false;
        }
        if (!s_show_record(held, &record, visit, context))
            return false;
    }
    if (rc == MDB_NOTFOUND && seen == entries)
        return s_show_before(held, NULL, &replaced, visit, context);
    s_damaged(self->path, rc == MDB_NOTFOUND ? "records are missing" : mdb_strerror(rc), error);
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
        s_explain(self->path, mdb_strerror(rc), "", error);
    bool ok = rc == 0 && s_visit_all(self, cursor, stat.ms_entries, &held, visit, context, error);
    if (cursor)
        mdb_cursor_close(cursor);
    free(held.ops);
    return ok;
}

static bool s_load(journal_store_t *self, journal_visit_t *visit, void *context, char **error)
{
    *error = NULL;
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        s_explain(self->path, mdb_strerror(rc), "", error);
        return false;
    }
    bool ok = s_load_in(self, txn, visit, context, error);
    mdb_txn_abort(txn);
    return ok;
}

//  ---- from the log into the tree ----------------------------------------------------------------

typedef struct {
    MDB_txn *txn;
    MDB_cursor *cursor;
} writing_t;

static bool s_reserve(buffer_t *buffer, size_t size)
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
    segment_key_t key;
    return mdb_del(txn, self->records, s_segment_key(&key, number), NULL);
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
static int s_settle_first(journal_store_t *self, const writing_t *writing)
{
    segment_key_t key;
    MDB_val value;
    int rc = mdb_get(writing->txn, self->records,
                     s_segment_key(&key, journal_index_first(self->index)), &value);
    if (rc != 0)
        return rc;
    if (!s_reserve(&self->reading, value.mv_size))
        return ENOMEM;
    memcpy(self->reading.bytes, value.mv_data, value.mv_size);
    rc = s_walk(self, self->reading.bytes, value.mv_size, s_settle_op, writing->cursor);
    return rc == 0 ? s_drop_dead(self, writing->txn) : rc;
}

//  Shortens the log to so many bytes, but for what is new in it: if the commit fails, that may have to be
//  taken out again.
static int s_settle(journal_store_t *self, const writing_t *writing, uint64_t bytes)
{
    int rc = s_drop_dead(self, writing->txn);
    while (rc == 0 && journal_index_bytes(self->index) > bytes &&
           journal_index_first(self->index) < self->end)
        rc = s_settle_first(self, writing);
    return rc;
}

//  ---- into the log ------------------------------------------------------------------------------

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
    buffer_t *buffer = &self->filling;
    if (buffer->used == 0)
        return 0;
    segment_key_t key;
    s_segment_key(&key, journal_index_next(self->index) - 1);
    record_seal(key.bytes, key.val.mv_size, buffer->bytes, buffer->used);
    MDB_val value = {buffer->used, buffer->bytes};
    journal_index_end(self->index, buffer->used);
    buffer->used = 0;
    return mdb_put(txn, self->records, &key.val, &value, MDB_APPEND);
}

//  Sees to it that there is room for an operation in a segment: one that is larger has its own.
static int s_make_room(journal_store_t *self, MDB_txn *txn, size_t size)
{
    buffer_t *buffer = &self->filling;
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

static int s_keep(journal_store_t *self, const writing_t *writing, journal_op_t *op)
{
    int rc = op->kind == JOURNAL_PUSH ? s_look_for(self, writing->cursor, op)
                                      : journal_tree_take_away(writing->cursor, op);
    if (rc != 0 || (op->kind == JOURNAL_PUSH && op->existed))
        return rc;
    rc = s_make_room(self, writing->txn, segment_size_of(op));
    if (rc != 0)
        return rc;
    buffer_t *buffer = &self->filling;
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

static int s_write(journal_store_t *self, const writing_t *writing, journal_op_t **ops,
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

//  ---- committing --------------------------------------------------------------------------------

//  Keeps the operations, and then shortens the log to so many bytes.
static int s_transact(journal_store_t *self, journal_op_t **ops, size_t count, uint64_t log_bytes)
{
    writing_t writing;
    int rc = mdb_txn_begin(self->env, NULL, 0, &writing.txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(writing.txn, self->records, &writing.cursor);
    if (rc == 0) {
        rc = s_write(self, &writing, ops, count);
        if (rc == 0)
            rc = s_settle(self, &writing, log_bytes);
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
    s_close_env(self);
    int rc = s_open_env(self);
    if (rc == 0)
        rc = s_open_records(self);
    if (rc == 0)
        rc = s_read_log(self, false);
    if (rc != 0)
        s_close_env(self);
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

//  The same with more room.
static int s_transact_beyond(journal_store_t *self, journal_op_t **ops, size_t count,
                             uint64_t log_bytes)
{
    uint64_t extra = self->max_bytes / 16 > EXTRA_MIN ? self->max_bytes / 16 : EXTRA_MIN;
    int rc = mdb_env_set_mapsize(self->env, self->max_bytes + extra);
    if (rc == 0)
        rc = s_transact(self, ops, count, log_bytes);
    mdb_env_set_mapsize(self->env, self->max_bytes);
    return rc;
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
    rc = s_write_version(self, txn);
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
    int rc = s_read_log(self, false);
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

static int s_commit(journal_store_t *self, journal_op_t **ops, size_t count)
{
    int rc = s_try(self, ops, count);
    if (rc == 0)
        s_end(self);
    else if (rc != MDB_MAP_FULL || s_read_log(self, false) != 0)
        s_close_env(self);
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
