/*  shortlist.h - the first few of many: what has stood still for longest

    Rows come in any order, and those that do not belong to the first `limit` fall out again: a heap
    with the last of them on top. A row is a plain record that begins with its key. Does not allocate;
    any thread, one at a time.                                                                     */

#ifndef SEQPUSH_SHORTLIST_H
#define SEQPUSH_SHORTLIST_H

#include "push.h"
#include <stddef.h>

//  Who is first: who stands still since the earliest time; among equals, by id.
typedef struct {
    int64_t since; //  monotonic ns; INT64_MAX: it does not stand still
    uint8_t id_size;
    uint8_t id[ID_MAX];
} shortlist_key_t;

typedef struct {
    void *rows; //  borrowed: room for `limit` of them
    size_t row_size; //  at most SHORTLIST_ROW_MAX
    uint32_t limit; //  at least 1
    uint32_t count;
} shortlist_t;

#define SHORTLIST_ROW_MAX 512

//  Negative if `a` comes before `b`; for qsort, too.
int shortlist_compare(const void *a, const void *b);

//  True if a row with this key would be kept.
bool shortlist_wants(const shortlist_t *self, const shortlist_key_t *key);

//  Keeps a copy of the row, which is wanted, and drops the last one if there are too many.
void shortlist_add(shortlist_t *self, const void *row);

//  Puts the rows in order. Nothing can be added after that.
void shortlist_sort(shortlist_t *self);

#endif
