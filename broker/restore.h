/*  restore.h - clients, as the journal has kept them

    The records of a journal come client by client, a client's position first and the rest in the order
    of (epoch, seq). What follows the position without a hole is retained, and delivered again; what
    lies behind a hole is held. Times begin anew. Before anything else happens to the core. */

#ifndef SEQPUSH_RESTORE_H
#define SEQPUSH_RESTORE_H

#include "core.h"

typedef struct restore restore_t;

//  Begins to restore at monotonic ns `now`. NULL: no memory.
restore_t *restore_new(core_t *core, int64_t now);

//  Takes the next record (journal_visit_t; `self` is a restore_t). Returns false if there is no room
//  or no memory for it.
bool restore_take(void *self, const journal_record_t *record);

//  Restores the last client. Returns false like restore_take.
bool restore_end(restore_t *self);

//  Takes NULL.
void restore_destroy(restore_t **self_p);

#endif
