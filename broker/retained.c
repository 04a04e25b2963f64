//  retained.c - released pushes that are not yet acknowledged; see retained.h

#include "retained.h"
#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 2
#define CAPACITY_KEPT 64 //  of a ring that is empty

void retained_fini(retained_t *self)
{
    free(self->entries);
    *self = (retained_t){0};
}

bool retained_grow(retained_t *self, uint32_t count)
{
    uint32_t capacity = self->capacity ? self->capacity * 2 : CAPACITY_MIN;
    while (capacity < self->count + count)
        capacity *= 2;
    retained_entry_t *entries = malloc(capacity * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < self->count; i++)
        entries[i] = *retained_at(self, i);
    free(self->entries);
    self->entries = entries;
    self->capacity = capacity;
    self->head = 0;
    return true;
}

retained_entry_t *retained_find(const retained_t *self, uint64_t seq)
{
    uint32_t from = self->count - self->of_epoch, to = self->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (retained_at(self, middle)->seq < seq)
            from = middle + 1;
        else
            to = middle;
    }
    retained_entry_t *entry = from < self->count ? retained_at(self, from) : NULL;
    return entry && entry->kind == RETAINED_PUSH && entry->seq == seq ? entry : NULL;
}

static uint32_t s_less(uint32_t boundary, uint32_t by)
{
    return boundary > by ? boundary - by : 0;
}

void retained_drop(retained_t *self, uint32_t count)
{
    assert(count <= self->count);
    for (uint32_t i = 0; self->notices && i < count; i++)
        self->notices -= retained_at(self, i)->kind != RETAINED_PUSH;
    self->head = (self->head + count) & (self->capacity - 1);
    self->count -= count;
    self->sent = s_less(self->sent, count);
    self->handed = s_less(self->handed, count);
    if (self->of_epoch > self->count)
        self->of_epoch = self->count;
    //  What a client once kept while its receiver was away is no reason to have the room for ever.
    if (self->count == 0 && self->capacity > CAPACITY_KEPT)
        retained_fini(self);
}

retained_entry_t retained_pop(retained_t *self)
{
    assert(self->count > 0);
    retained_entry_t entry = *retained_at(self, 0);
    retained_drop(self, 1);
    return entry;
}

//  Where a boundary between entries is when those from `first` up to `end` are one.
static uint32_t s_moved(uint32_t boundary, uint32_t first, uint32_t end)
{
    if (boundary >= end)
        return boundary - (end - first - 1);
    return boundary > first ? first + 1 : boundary;
}

void retained_merge(retained_t *self, uint32_t first, uint32_t end, retained_entry_t notice)
{
    assert(first < end && end <= self->count);
    assert(self->sent <= first || self->sent >= end);
    for (uint32_t i = first; i < end; i++)
        self->notices -= retained_at(self, i)->kind != RETAINED_PUSH;
    self->notices++;
    *retained_at(self, end - 1) = notice;
    //  The gap is closed from the front: what expires is old.
    uint32_t gone = end - first - 1;
    for (uint32_t i = first; i > 0; i--)
        *retained_at(self, i - 1 + gone) = *retained_at(self, i - 1);
    self->head = (self->head + gone) & (self->capacity - 1);
    if (first + self->of_epoch >= self->count)
        self->of_epoch -= gone;
    self->count -= gone;
    self->sent = s_moved(self->sent, first, end);
    self->handed = s_moved(self->handed, first, end);
}

retained_entry_t retained_pop_newest(retained_t *self)
{
    assert(self->count > self->handed);
    retained_entry_t entry = *retained_at(self, --self->count);
    self->of_epoch--;
    if (entry.kind != RETAINED_PUSH)
        self->notices--;
    return entry;
}
