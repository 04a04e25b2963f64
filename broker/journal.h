/*  journal.h - what keeps accepted pushes and positions beyond the life of the process

    The journal is a table of functions over a store. What is to be kept comes as operations, gathered
    in batches (the orderer's) and committed in groups (the committer's): a group is kept whole or not
    at all, and groups are kept in the order in which they were committed. A push is told accepted, and
    released, only after the commit that holds it; the ordering core does not see it before.

    The interface has what a replicated log can offer, too, so that another engine may be one:

        open      the fence: from then on no other process appends. A log chains its messages, each
                  naming the id that must be the last; who finds another one there has been replaced.
        load      all that is kept, client by client, each client's records in the order of (epoch,
                  seq): a log is read from its start, and its records sorted by client.
        commit    appends a group and waits for the acknowledgement of its last message. A push that is
                  kept already is told so: a log has a message id, the record's key, to tell by.
        trim      is a part of the operations: a position makes everything up to it needless, a gap
                  what lies in it. A log purges a client's subject up to there, late and at leisure.

    An engine is used by one thread at a time: main's until the committer has it. */

#ifndef SEQPUSH_JOURNAL_H
#define SEQPUSH_JOURNAL_H

#include "frame.h"
#include "pipe.h"
#include "record.h"

typedef enum {
    JOURNAL_PUSH, //  keep this push; if there is one of this place, leave it and set `existed`
    JOURNAL_REMOVE, //  forget the push of this place
    JOURNAL_DROP, //  forget the pushes from..seq
    JOURNAL_GAP, //  from..seq were given up: forget what is kept of them, and keep that
    JOURNAL_MARKER, //  the stream begins anew after (epoch, seq)
    JOURNAL_POSITION, //  keep the client's position, and forget all up to it
    JOURNAL_FORGET, //  forget the client
} journal_kind_t;

typedef struct {
    journal_kind_t kind;
    bool existed; //  set by a commit
    bool numberless; //  the push came without a seq
    uint8_t id_size;
    uint32_t size; //  of the push's bytes
    const uint8_t *id;
    uint64_t epoch, seq; //  of a position, the engine's
    union {
        const uint8_t *bytes; //  of a push
        uint64_t from; //  of a gap, of what is dropped
        const record_position_t *position;
    };
} journal_op_t;

//  A record as it is loaded. What it points to is valid during the call.
typedef struct {
    record_key_t key; //  RECORD_POSITION, PUSH, GAP or MARKER
    record_position_t position;
    uint64_t from; //  of a gap
    const uint8_t *bytes; //  of a push
    size_t size;
    bool numberless;
} journal_record_t;

//  Takes one record. Returns false to end the loading.
typedef bool journal_visit_t(void *context, const journal_record_t *record);

typedef struct {
    const char *path; //  folder of the store
    uint64_t max_bytes; //  that the store may have
} journal_settings_t;

typedef struct journal_store journal_store_t;

typedef struct {
    const char *name; //  as in journal/engine
    bool keeps; //  false: nothing is kept, and none of the functions is there

    //  Opens the store, made if there is none, and keeps all others out. On failure returns NULL and
    //  sets `*error` to a sentence that the caller frees: what is wrong, and how to go on.
    journal_store_t *(*open)(const journal_settings_t *settings, char **error);

    //  Visits all records: false if the store is damaged (with `*error` set, as above) or the visit
    //  ended it (`*error` is NULL).
    bool (*load)(journal_store_t *self, journal_visit_t *visit, void *context, char **error);

    //  Keeps a group of operations, all or none. Returns 0 once it would outlive a loss of power, or
    //  a negative errno: -ENOSPC if the disk is full or max_bytes are used. Blocks for as long as the disk
    //  does.
    int (*commit)(journal_store_t *self, journal_op_t **ops, size_t count);

    //  Closes the store and sets the pointer to NULL. Takes NULL.
    void (*close)(journal_store_t **self_p);
} journal_engine_t;

extern const journal_engine_t journal_none;
extern const journal_engine_t journal_lmdb;

//  The engine of this name, or NULL.
const journal_engine_t *journal_named(const char *name);

//  What goes to the committer over a pipe, and comes back with its result, in the order in which it
//  went; but one that lasts comes back only when it is kept.
struct request;

typedef struct {
    pipe_item_t item;
    bool lasts; //  tells of what has happened, and so is tried again until it is kept
    bool failed; //  what was to be kept is not
    uint32_t ticket; //  the orderer's: up to which of the core's changes it tells
    struct request *request; //  the orderer's: that waits for it, or NULL
    frame_t *frame; //  the orderer's: that its operations point into, or NULL
    uint64_t bytes; //  of its pushes
    uint32_t count;
    journal_op_t ops[];
} journal_batch_t;

#endif
