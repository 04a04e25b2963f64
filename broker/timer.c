//  timer.c - a binary heap of deadlines; see timer.h

#include "timer.h"
#include <assert.h>
#include <stdlib.h>

void timer_fini(timer_heap_t *self)
{
    free(self->entries);
    *self = (timer_heap_t){0};
}

static void s_set(timer_heap_t *self, uint32_t place, timer_entry_t *entry)
{
    self->entries[place] = entry;
    entry->place = place;
}

static void s_rise(timer_heap_t *self, uint32_t place, timer_entry_t *entry)
{
    for (; place > 1 && self->entries[place / 2]->at > entry->at; place /= 2)
        s_set(self, place, self->entries[place / 2]);
    s_set(self, place, entry);
}

static void s_sink(timer_heap_t *self, uint32_t place, timer_entry_t *entry)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > self->count)
            break;
        if (child < self->count && self->entries[child + 1]->at < self->entries[child]->at)
            child++;
        if (self->entries[child]->at >= entry->at)
            break;
        s_set(self, place, self->entries[child]);
        place = child;
    }
    s_set(self, place, entry);
}

static bool s_grow(timer_heap_t *self)
{
    uint32_t capacity = self->capacity ? self->capacity * 2 : 64;
    timer_entry_t **entries = realloc(self->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    self->entries = entries;
    self->capacity = capacity;
    return true;
}

bool timer_arm(timer_heap_t *self, timer_entry_t *entry, int64_t at)
{
    if (entry->place) {
        if (at < entry->at) {
            entry->at = at;
            s_rise(self, entry->place, entry);
        }
        return true;
    }
    if (self->count + 1 >= self->capacity && !s_grow(self))
        return false;
    entry->at = at;
    s_rise(self, ++self->count, entry);
    return true;
}

void timer_disarm(timer_heap_t *self, timer_entry_t *entry)
{
    uint32_t place = entry->place;
    if (!place)
        return;
    assert(self->entries[place] == entry);
    timer_entry_t *last = self->entries[self->count--];
    entry->place = 0;
    if (last == entry)
        return;
    if (place > 1 && self->entries[place / 2]->at > last->at)
        s_rise(self, place, last);
    else
        s_sink(self, place, last);
}

timer_entry_t *timer_take(timer_heap_t *self, int64_t now)
{
    if (!self->count || self->entries[1]->at > now)
        return NULL;
    timer_entry_t *first = self->entries[1];
    timer_disarm(self, first);
    return first;
}

int64_t timer_next(const timer_heap_t *self)
{
    return self->count ? self->entries[1]->at : INT64_MAX;
}
