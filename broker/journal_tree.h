/*  journal_tree.h - the records of a journal in an LMDB database, under the keys of record.h

    An operation has two halves: what it takes away, and what it adds. They are done apart, as the
    first cannot wait and the second can (journal_lmdb.c).

    Each works on a cursor of a transaction that writes, and returns an error of LMDB; what is not there
    is not an error, and leaves every page as it is. One thread at a time. */

#ifndef SEQPUSH_JOURNAL_TREE_H
#define SEQPUSH_JOURNAL_TREE_H

#include "journal.h"
#include <lmdb.h>

//  Looks for the push of this place: 0, or MDB_NOTFOUND.
int journal_tree_find(MDB_cursor *cursor, const journal_op_t *push);

//  Takes away what the operation makes needless. Of a position, epoch and seq are the position's own.
int journal_tree_take_away(MDB_cursor *cursor, const journal_op_t *op);

//  Adds what the operation, read from a segment, is to keep: a push, gap, marker or position.
int journal_tree_add(MDB_cursor *cursor, const journal_op_t *op);

#endif
