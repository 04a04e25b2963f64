/*  retained.h - what was released for one client and is not yet acknowledged, in its order

    A queue in a ring. The entries before `sent` are on their way; going back means setting `sent` to
    0. Those before `handed` have been handed to a worker in the receiver's present generation, and
    may be acknowledged. */

#ifndef SEQPUSH_RETAINED_H
#define SEQPUSH_RETAINED_H

#include "frame.h"
#include "push.h"
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { RETAINED_PUSH, RETAINED_GAP, RETAINED_MARKER } retained_kind_t;

typedef struct {
    frame_t *frame; //  of a notice: its own, with nothing else in it
    union {
        const uint8_t *bytes; //  pushes: encoded, in the frame
        uint64_t epoch; //  markers: the epoch that starts
    };
    uint64_t seq; //  the stream stands here after this entry
    uint32_t size : 30; //  pushes: of `bytes`
    uint32_t kind : 2; //  retained_kind_t
    uint32_t sent_at; //  when it was first handed to a worker, in ticks; 0: not yet
    uint32_t released_at; //  client_ms
} retained_entry_t;

typedef struct {
    retained_entry_t *entries;
    uint32_t capacity; //  a power of two, or 0
    uint32_t head; //  index of the first entry
    uint32_t count;
    uint32_t sent; //  of these, on their way
    uint32_t handed; //  of these, handed to a worker in this generation; at least `sent`
    uint32_t notices; //  gap notices and markers among the entries
    uint32_t of_epoch; //  entries behind the last marker: of the epoch that the stream has reached
} retained_t;

//  Frees the ring; the frames in it must be gone.
void retained_fini(retained_t *self);

//  The entry at `index`, counted from the oldest, which is 0.
static inline retained_entry_t *retained_at(const retained_t *self, uint32_t index)
{
    return &self->entries[(self->head + index) & (self->capacity - 1)];
}

//  The same where there is no room.
bool retained_grow(retained_t *self, uint32_t count);

//  Makes room for `count` more entries, so that as many puts cannot fail. False: no memory.
static inline bool retained_reserve(retained_t *self, uint32_t count)
{
    return self->count + count <= self->capacity || retained_grow(self, count);
}

//  The entry of a push of the epoch that the stream has reached, or NULL.
retained_entry_t *retained_find(const retained_t *self, uint64_t seq);

//  Appends an entry; there is room. The queue takes over the caller's reference to the frame.
static inline void retained_put(retained_t *self, retained_entry_t entry)
{
    assert(self->count < self->capacity);
    *retained_at(self, self->count++) = entry;
    self->notices += entry.kind != RETAINED_PUSH;
    self->of_epoch = entry.kind == RETAINED_MARKER ? 0 : self->of_epoch + 1;
}

//  Drops the oldest entry and returns it; the reference to its frame goes to the caller.
retained_entry_t retained_pop(retained_t *self);

//  Drops the oldest `count` entries, whose frames are the caller's already.
void retained_drop(retained_t *self, uint32_t count);

//  Makes one entry, a notice, of the entries from `first` up to and without `end`; `sent` is not
//  between. The references to their frames go to the caller. The notice counts as handed if one of
//  them was.
void retained_merge(retained_t *self, uint32_t first, uint32_t end, retained_entry_t notice);

//  Drops the newest entry, which was not handed to a worker, and returns it in the same way.
retained_entry_t retained_pop_newest(retained_t *self);

//  Bytes of an encoded entry.
static inline uint32_t retained_size(const retained_entry_t *entry)
{
    return entry->kind == RETAINED_PUSH ? entry->size : (uint32_t)frame_size(entry->frame);
}

//  Where the stream stands after `entry`, if it stood at `before`.
static inline position_t retained_after(const retained_entry_t *entry, position_t before)
{
    uint64_t epoch = entry->kind == RETAINED_MARKER ? entry->epoch : before.epoch;
    return (position_t){epoch, entry->seq};
}

#endif
