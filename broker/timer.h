/*  timer.h - what is to be looked at, and when: a binary heap of deadlines

    Deadlines are lazy. Whoever waits for something arms its timer no later than needed; when the
    timer fires the owner looks at what is really due and arms it again. So an event that makes a
    deadline obsolete, as a hole that is filled, costs nothing here. Source: the implicit binary
   heap of Williams, "Algorithm 232: Heapsort", CACM 7 (1964).

    Time is monotonic ns and always passed in. Owner's thread only. */

#ifndef SEQPUSH_TIMER_H
#define SEQPUSH_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  Embedded in what waits; zeroed means not armed.
typedef struct {
    int64_t at;
    uint32_t place; //  in the heap, from 1; 0: not armed
    uint32_t kind; //  the owner's: what the timer is embedded in
} timer_entry_t;

typedef struct {
    timer_entry_t **entries; //  entries[0] is unused
    uint32_t count;
    uint32_t capacity;
} timer_heap_t;

//  Frees the heap's memory, not the entries.
void timer_fini(timer_heap_t *self);

//  Arms an entry for `at`, unless it is armed for that time or earlier. Returns false if there is
//  no memory; the entry is then not armed.
bool timer_arm(timer_heap_t *self, timer_entry_t *entry, int64_t at);

//  Disarms it, if it is armed.
void timer_disarm(timer_heap_t *self, timer_entry_t *entry);

//  Takes the entry whose time is due, the earliest first, and disarms it. NULL if none is.
timer_entry_t *timer_take(timer_heap_t *self, int64_t now);

//  When the next one is due; INT64_MAX if none is armed.
int64_t timer_next(const timer_heap_t *self);

#endif
