//  journal_error.c - what is wrong with a store, in words; see journal_error.h

#include "journal_error.h"
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

int journal_error_number(int rc)
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

void journal_error_explain(const char *path, const char *what, const char *advice, char **error)
{
    if (asprintf(error, "journal %s: %s%s", path, what, advice) < 0)
        *error = NULL;
}

void journal_error_damaged(const char *path, const char *what, char **error)
{
    journal_error_explain(
        path, what,
        "; the store is damaged and nothing of it is used: put a copy in its place, or move it"
        " away to begin without what it holds",
        error);
}

void journal_error_put(const char *path, int rc, char **error)
{
    if (rc == MDB_CORRUPTED)
        journal_error_damaged(path, "a record's checksum is wrong", error);
    else if (journal_error_number(rc) == -EUCLEAN)
        journal_error_damaged(path, "what is there is no journal", error);
    else
        journal_error_explain(path, mdb_strerror(rc),
                              "; what the store holds stays: start again when its folder can be"
                              " read and written",
                              error);
}
