/*  journal_file.h - the folder and file of a journal's store: locked, looked at, opened

    One thread at a time. */

#ifndef SEQPUSH_JOURNAL_FILE_H
#define SEQPUSH_JOURNAL_FILE_H

#include "journal_state.h"

//  Makes the folder if need be, and locks it. A process that ends lets go of it, however it ends. Returns
//  false with `*error` set as journal_error.h says.
bool journal_file_lock(journal_store_t *self, char **error);

//  Looks at the file before LMDB does, which trusts it: what is damaged could end the process. Returns
//  false with `*error` set.
bool journal_file_look(const journal_store_t *self, char **error);

//  Opens the environment and its records, made if there are none. Returns an error of LMDB.
int journal_file_open(journal_store_t *self);

//  Makes certain that the file is found after a loss of power. Returns an errno.
int journal_file_sync_folders(const journal_store_t *self);

//  Closes the environment, if it is open; the folder stays locked.
void journal_file_close(journal_store_t *self);

//  Writes the version, which changes nothing that is kept. Returns an error of LMDB.
int journal_file_touch(journal_store_t *self, MDB_txn *txn);

#endif
