/*  journal_error.h - what is wrong with a store, in words: what, and how to go on

    `*error` is set to a sentence that the caller frees, or to NULL if there is no memory for it. Any
    thread. */

#ifndef SEQPUSH_JOURNAL_ERROR_H
#define SEQPUSH_JOURNAL_ERROR_H

//  LMDB's own errors as a negative errno, so that those who tell of it need not know LMDB.
int journal_error_number(int rc);

void journal_error_explain(const char *path, const char *what, const char *advice, char **error);

//  The same of an error of LMDB, with the advice for that.
void journal_error_put(const char *path, int rc, char **error);

//  The same of a store that is damaged, with the advice for that.
void journal_error_damaged(const char *path, const char *what, char **error);

#endif
