/*  journal_index.h - which of the operations in a journal's log still hold, and where they stand

    The log is a row of segments (segment.h) with numbers that follow each other: new ones come at its
    end, and the first one goes when nothing in it holds any more, or what holds has its place elsewhere.
    A push, gap or marker holds until an operation behind it takes it away, a client's position until
    the next one. All other operations do their work when they are noted.

    It is told of each operation in the order of the log. A client's are found by its id, and lie in the
    order of (epoch, seq): what is taken away is a range, most often the first of them. Memory is in
    proportion to what holds. One thread at a time. */

#ifndef SEQPUSH_JOURNAL_INDEX_H
#define SEQPUSH_JOURNAL_INDEX_H

#include "journal.h"

typedef struct journal_index journal_index_t;

//  NULL: no memory.
journal_index_t *journal_index_new(void);

//  Takes NULL.
void journal_index_destroy(journal_index_t **self_p);

//  Forgets everything. The next segment gets this number.
void journal_index_clear(journal_index_t *self, uint64_t number);

//  ---- segments ----------------------------------------------------------------------------------

//  Number of the first segment, and of the one behind the last; the same if there is none.
uint64_t journal_index_first(const journal_index_t *self);
uint64_t journal_index_next(const journal_index_t *self);

//  Bytes of all segments.
uint64_t journal_index_bytes(const journal_index_t *self);

//  Begins the next segment: false if there is no memory.
bool journal_index_begin(journal_index_t *self);

//  The last segment has so many bytes.
void journal_index_end(journal_index_t *self, uint64_t bytes);

//  How much holds in the first segment, and in all.
uint32_t journal_index_live_first(const journal_index_t *self);
uint64_t journal_index_live(const journal_index_t *self);

//  Forgets the first segment, in which nothing holds.
void journal_index_drop_first(journal_index_t *self);

//  ---- operations --------------------------------------------------------------------------------

//  True if a push of this place holds.
bool journal_index_has(const journal_index_t *self, const journal_op_t *push);

//  Takes note of an operation at byte `offset` of the last segment: false if there is no memory. Of a
//  position, epoch and seq are the position's own.
bool journal_index_note(journal_index_t *self, const journal_op_t *op, uint32_t offset);

//  True if what is added by the operation at this place holds.
bool journal_index_holds(const journal_index_t *self, const journal_op_t *op, uint64_t segment,
                         uint32_t offset);

//  Forgets what is added by an operation, which holds.
void journal_index_forget(journal_index_t *self, const journal_op_t *op);

#endif
