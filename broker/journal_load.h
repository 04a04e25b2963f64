/*  journal_load.h - what a journal's store keeps, visited in the order of its keys

    A store is its tree with its log's last word: what holds in the log is sorted, and both are walked
    side by side. One thread at a time. */

#ifndef SEQPUSH_JOURNAL_LOAD_H
#define SEQPUSH_JOURNAL_LOAD_H

#include "journal_state.h"

//  As `load` in journal.h.
bool journal_load(journal_store_t *self, journal_visit_t *visit, void *context, char **error);

#endif
