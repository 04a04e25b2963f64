//  journal_file.c - the folder and file of a journal's store; see journal_file.h
//
//  LMDB lets two processes write to one store, so the folder is locked for as long as it is open. With
//  that, LMDB's own lock file is not needed.
//
//  The map is as large as the store may become: that takes addresses, not memory.

#include "journal_file.h"
#include "journal_error.h"
#include "journal_pages.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (1 << 20) //  at a time

bool journal_file_lock(journal_store_t *self, char **error)
{
    if (mkdir(self->path, 0700) < 0 && errno != EEXIST) {
        journal_error_explain(self->path, strerror(errno),
                              ": journal/path must be a folder that can be made", error);
        return false;
    }
    self->folder = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->folder < 0) {
        journal_error_put(self->path, errno, error);
        return false;
    }
    if (flock(self->folder, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        journal_error_explain(self->path, "another process has this journal open",
                              "; stop that one first, or set another journal/path", error);
    else
        journal_error_put(self->path, errno, error);
    return false;
}

//  A file that was made is there after a loss of power only when its folder says so, too.
int journal_file_sync_folders(const journal_store_t *self)
{
    int parent = openat(self->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parent >= 0 && fsync(self->folder) == 0 && fsync(parent) == 0 ? 0 : errno;
    if (parent >= 0)
        close(parent);
    return rc;
}

void journal_file_close(journal_store_t *self)
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
        journal_file_close(self);
    return rc;
}

//  Reads all of the file once. What the disk cannot give is an error here; in mapped memory it would end
//  the process.
static int s_read_through(int fd)
{
    uint8_t *bytes = malloc(READ_BYTES);
    if (!bytes)
        return -ENOMEM;
    ssize_t size;
    for (off_t at = 0; (size = pread(fd, bytes, READ_BYTES, at)) > 0; at += size)
        ;
    int rc = size < 0 ? -errno : 0;
    free(bytes);
    return rc;
}

bool journal_file_look(const journal_store_t *self, char **error)
{
    int file = openat(self->folder, "data.mdb", O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return true;
    const char *wrong = NULL;
    int rc = file < 0 ? -errno : s_read_through(file);
    if (rc == 0)
        rc = journal_pages_check(file, &wrong);
    if (file >= 0)
        close(file);
    if (wrong)
        journal_error_damaged(self->path, wrong, error);
    else if (rc < 0)
        journal_error_put(self->path, -rc, error);
    return rc == 0;
}

int journal_file_touch(journal_store_t *self, MDB_txn *txn)
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
static int s_read_version(journal_store_t *self, MDB_txn *txn)
{
    uint8_t zero = 0;
    MDB_stat stat;
    MDB_val key = {1, &zero}, value;
    int rc = mdb_get(txn, self->records, &key, &value);
    if (rc == MDB_NOTFOUND && mdb_stat(txn, self->records, &stat) == 0 && stat.ms_entries > 0)
        return MDB_INVALID;
    if (rc == 0 && (!record_is_sound(&zero, 1, value.mv_data, value.mv_size) ||
                    !record_get_number(value.mv_data, value.mv_size, &self->version)))
        return MDB_INVALID;
    return rc == 0 && self->version != RECORD_VERSION ? MDB_VERSION_MISMATCH : rc;
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
    rc = journal_file_touch(self, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

int journal_file_open(journal_store_t *self)
{
    int rc = s_open_env(self);
    return rc == 0 ? s_open_records(self) : rc;
}
