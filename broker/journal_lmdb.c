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

#include "journal_commit.h"
#include "journal_error.h"
#include "journal_file.h"
#include "journal_load.h"
#include "journal_log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void s_refuse_version(const journal_store_t *self, char **error)
{
    char what[128];
    snprintf(what, sizeof what,
             "the store has format version %" PRIu64 ", this is for format version %u",
             self->version, RECORD_VERSION);
    journal_error_explain(self->path, what,
                          "; let the version of seqpushd that made it deliver what it holds, or"
                          " move it away to begin without that",
                          error);
}

static bool s_open(journal_store_t *self, char **error)
{
    if (!journal_file_look(self, error))
        return false;
    int rc = journal_file_open(self);
    if (rc == 0)
        rc = journal_file_sync_folders(self);
    if (rc == 0)
        rc = journal_log_read(self, true);
    if (rc == 0)
        return true;
    if (rc == MDB_VERSION_MISMATCH)
        s_refuse_version(self, error);
    else
        journal_error_put(self->path, rc, error);
    return false;
}

static void s_close(journal_store_t **self_p)
{
    journal_store_t *self = *self_p;
    if (!self)
        return;
    journal_file_close(self);
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
    if (!self->path || !self->index || !journal_file_lock(self, error) || !s_open(self, error))
        s_close(&self);
    return self;
}

const journal_engine_t journal_lmdb = {
    .name = "lmdb",
    .keeps = true,
    .open = s_new,
    .load = journal_load,
    .commit = journal_commit,
    .close = s_close,
};
