/*  positions.h - where each client's stream is, and what the receiver's rule says of an entry

    A position is made for a client that is attached, or by the first entry of one that a
    prefix brings, and stays until the end: what was received is remembered across detach and
    attach. Client ids may be other people's choice, so the table's hash is keyed (SipHash).

    One thread at a time; nothing blocks.                                                         */

#ifndef SEQPUSH_POSITIONS_H
#define SEQPUSH_POSITIONS_H

#include "delivery.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(id, size, value) ((value) = positions_hash(id, size))
#include <uthash.h>
#include <utlist.h>

typedef enum {
    CLIENT_OUT, //  not served here: what comes for it is dropped
    CLIENT_PREFIXED, //  served because a prefix is attached
    CLIENT_ATTACHED //  asked for by name
} client_state_t;

typedef struct position {
    uint64_t epoch; //  the last one received
    uint64_t seq;
    uint64_t attached_in; //  generation in which the broker attached the client by name, or 0
    uint64_t missing_in; //  generation in which this position was named as missing, or 0
    uint64_t asked; //  request_id of the last Attach that names it, until that is granted, or 0
    uint32_t unacked; //  pushes taken since the last ack
    bool known; //  false: there is no last one, the broker says where it goes on
    bool passed_over; //  an entry was dropped since that Attach was sent
    bool to_ack; //  in the list of those to be acknowledged
    bool to_name; //  in the list of those after which something is missing
    uint8_t id_size;
    client_state_t state;
    struct position *next_ack;
    struct position *next_missing;
    struct position **list; //  to be attached, or to be detached, or NULL
    struct position *prev; //  in that list
    struct position *next;
    UT_hash_handle hh;
    uint8_t id[];
} position_t;

//  The table; begin with zeros.
typedef struct {
    position_t *table;
} positions_t;

//  Puts a position into a list, and out of the one in which it was. NULL: into none.
void position_enlist(position_t *self, position_t **list);

//  Sets a position that was not received, but told by the broker or by the application.
static inline void position_set(position_t *self, uint64_t epoch, uint64_t seq)
{
    self->epoch = epoch;
    self->seq = seq;
    self->known = true;
    self->missing_in = 0;
}

//  True if (epoch, seq) comes after the position.
static inline bool position_is_behind(const position_t *self, uint64_t epoch, uint64_t seq)
{
    return epoch > self->epoch || (epoch == self->epoch && seq > self->seq);
}

//  What the receiver's rule says of an entry.
typedef enum {
    ENTRY_FOLLOWS, //  take it: it is the one that comes after the last
    ENTRY_MOVES, //  a marker that sets the position
    ENTRY_CONFIRMS, //  a marker at the position, or behind it
    ENTRY_DUPLICATE, //  drop it: it was received
    ENTRY_AHEAD //  drop it: what comes before it is missing
} entry_verdict_t;

//  True if the client is asked for by name and its Attached has not come yet.
static inline bool position_is_awaited(const position_t *self)
{
    return self->state == CLIENT_ATTACHED && (self->list || self->asked);
}

//  Judges an entry of the receiver's generation by the position of its client. A marker of an older
//  epoch counts only where no Attached has told the epoch: the broker can have forgotten the client.
static inline entry_verdict_t position_judge(const position_t *self, const delivery_entry_t *entry)
{
    uint64_t epoch = entry->push.epoch;
    uint64_t seq = entry->push.seq;
    bool same_epoch = self->known && epoch == self->epoch;
    bool older_epoch = self->known && epoch < self->epoch && self->state == CLIENT_ATTACHED;
    if (entry->marker)
        return older_epoch || (same_epoch && seq <= self->seq) ? ENTRY_CONFIRMS : ENTRY_MOVES;
    if (same_epoch && seq > self->seq)
        return seq - self->seq == 1 ? ENTRY_FOLLOWS : ENTRY_AHEAD;
    return self->known && epoch <= self->epoch ? ENTRY_DUPLICATE : ENTRY_AHEAD;
}

//  A client's position, or NULL.
position_t *positions_find(positions_t *self, const void *id, size_t id_size);

//  The same by the id's hash, as positions_hash makes it.
position_t *positions_find_hashed(positions_t *self, const void *id, size_t id_size, unsigned hash);

//  Brings into the cache what a look-up by this hash will read, in two steps: where it begins, and the
//  position that it most often ends at.
static inline void positions_prefetch_slot(const positions_t *self, unsigned hash)
{
    const UT_hash_table *table = self->table ? self->table->hh.tbl : NULL;
    if (table)
        __builtin_prefetch(&table->buckets[hash & (table->num_buckets - 1)]);
}

static inline void positions_prefetch(const positions_t *self, unsigned hash)
{
    const UT_hash_table *table = self->table ? self->table->hh.tbl : NULL;
    const char *at =
        table ? (const char *)table->buckets[hash & (table->num_buckets - 1)].hh_head : NULL;
    if (!at)
        return;
    at -= table->hho;
    for (size_t line = 0; line < sizeof(position_t); line += 64)
        __builtin_prefetch(at + line, 1);
}

//  A client's position; one that is not known, and out, is made if there is none. NULL: no memory.
position_t *positions_get(positions_t *self, const void *id, size_t id_size);

//  Frees all positions.
void positions_fini(positions_t *self);

unsigned positions_hash(const void *id, size_t size);

#endif
