/*  committer.h - the journal's actor: batches in, committed in groups, and out again with the result

    A group is what has come while the last one was committed, up to commit_max pushes or 4 MiB; it does
    not wait for more when nobody else waits. Batches go back in the order in which they came. When a
    group fails, its pushes are not kept; what lasts of it (journal_batch_t) goes first into the next
    one, and is tried again by itself until the disk is well. */

#ifndef SEQPUSH_COMMITTER_H
#define SEQPUSH_COMMITTER_H

#include "journal.h"
#include "stats.h"
#include <czmq.h>

typedef struct committer committer_t;

typedef struct {
    const journal_engine_t *engine;
    journal_store_t *store; //  borrowed
    uint32_t commit_max; //  pushes a group, about
    int64_t commit_interval; //  ns that a group may gather
    pipe_t *orderer; //  borrowed; the committer's end
    journal_stats_t *stats; //  borrowed
} committer_settings_t;

//  Main thread. NULL: no memory.
committer_t *committer_new(const committer_settings_t *settings);

//  Main thread, when the actor has ended. Batches that were not kept go back into the pipe's end. Takes
//  NULL.
void committer_destroy(committer_t **self_p);

//  The actor (zactor_fn): runs the committer `args` until $TERM; what has come until then is committed
//  first.
void committer_run(zsock_t *control, void *args);

#endif
