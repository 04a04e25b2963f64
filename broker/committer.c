//  committer.c - the journal's actor; see committer.h

#include "committer.h"
#include "log.h"
#include "pulse.h"
#include <stdlib.h>
#include <string.h>

#define RETRY_MIN 50000000 //  ns until what lasts is tried again; doubled up to
#define RETRY_MAX 1000000000

//  A group of so many bytes takes the disk longer than its syncs do: a larger one would gain nothing, and
//  hold up those that wait.
#define GROUP_BYTES (UINT64_C(4) << 20)

//  A queue of batches.
typedef struct {
    journal_batch_t *first, *last;
    size_t ops;
} queue_t;

struct committer {
    committer_settings_t settings;
    queue_t waiting; //  came, and are in no group yet
    queue_t group;
    queue_t owed; //  last, and are not kept yet
    journal_op_t **ops; //  of a group
    size_t ops_capacity;
    int64_t retry_at, retry_delay; //  of what is owed
    bool failing; //  pushes are refused
    bool terminated;
};

committer_t *committer_new(const committer_settings_t *settings)
{
    committer_t *self = calloc(1, sizeof *self);
    if (self)
        self->settings = *settings;
    return self;
}

//  ---- queues ------------------------------------------------------------------------------------

static void s_append(queue_t *queue, journal_batch_t *batch)
{
    batch->item.next = NULL;
    if (queue->last)
        queue->last->item.next = &batch->item;
    else
        queue->first = batch;
    queue->last = batch;
    queue->ops += batch->count;
}

static journal_batch_t *s_take_first(queue_t *queue)
{
    journal_batch_t *batch = queue->first;
    queue->first = (journal_batch_t *)batch->item.next;
    if (!queue->first)
        queue->last = NULL;
    queue->ops -= batch->count;
    return batch;
}

static void s_give_back(committer_t *self, journal_batch_t *batch)
{
    pipe_put(self->settings.orderer, &batch->item, 1 + batch->count);
}

void committer_destroy(committer_t **self_p)
{
    committer_t *self = *self_p;
    if (!self)
        return;
    queue_t *queues[] = {&self->owed, &self->waiting};
    for (int i = 0; i < 2; i++)
        while (queues[i]->first)
            s_give_back(self, s_take_first(queues[i]));
    free(self->ops);
    free(self);
    *self_p = NULL;
}

//  ---- gathering ---------------------------------------------------------------------------------

static bool s_receive(committer_t *self)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(self->settings.orderer, &waited);
    if (!item)
        return false;
    histogram_add(&self->settings.stats->wait, (uint64_t)waited, 1);
    while (item) {
        journal_batch_t *batch = (journal_batch_t *)item;
        item = item->next;
        s_append(&self->waiting, batch);
    }
    return true;
}

//  Makes the next group: what is owed, then what has come and still comes. Whole batches, and at least
//  one that waits.
static void s_gather(committer_t *self)
{
    int64_t end = pipe_clock() + self->settings.commit_interval;
    uint64_t pushes = 0, bytes = 0;
    while (self->owed.first)
        s_append(&self->group, s_take_first(&self->owed));
    while (pushes < self->settings.commit_max && bytes < GROUP_BYTES &&
           (self->waiting.first || s_receive(self))) {
        pushes += self->waiting.first->count;
        bytes += self->waiting.first->bytes;
        s_append(&self->group, s_take_first(&self->waiting));
        if (pipe_clock() >= end)
            break;
    }
}

//  ---- committing --------------------------------------------------------------------------------

static bool s_list_ops(committer_t *self)
{
    if (self->group.ops > self->ops_capacity) {
        size_t capacity = 2 * self->group.ops;
        journal_op_t **grown = realloc(self->ops, capacity * sizeof *grown);
        if (!grown)
            return false;
        self->ops = grown;
        self->ops_capacity = capacity;
    }
    journal_op_t **to = self->ops;
    for (journal_batch_t *at = self->group.first; at; at = (journal_batch_t *)at->item.next)
        for (uint32_t i = 0; i < at->count; i++)
            *to++ = &at->ops[i];
    return true;
}

static size_t s_count_pushes(const committer_t *self)
{
    size_t pushes = 0;
    for (size_t i = 0; i < self->group.ops; i++)
        pushes += self->ops[i]->kind == JOURNAL_PUSH;
    return pushes;
}

static void s_count(committer_t *self, int rc, size_t pushes, int64_t began)
{
    journal_stats_t *stats = self->settings.stats;
    histogram_add(&stats->commit, (uint64_t)(pipe_clock() - began), 1);
    stats_add(rc == 0 ? &stats->commits : &stats->commits_failed, 1);
    if (rc == 0 && pushes)
        histogram_add(&stats->batch, pushes, 1);
}

static void s_tell(committer_t *self, int rc, size_t pushes)
{
    if (rc != 0 && !self->failing)
        log_error("the journal cannot be written: %s; pushes are refused until it can",
                  strerror(-rc));
    else if (rc == 0 && self->failing && pushes)
        log_info("the journal is written again");
    if (rc != 0 || pushes)
        self->failing = rc != 0;
    stats_set(&self->settings.stats->failing, self->failing);
}

//  Commits the group: 0, or why it could not be.
static int s_commit_group(committer_t *self)
{
    if (!self->group.ops)
        return 0;
    if (!s_list_ops(self))
        return -ENOMEM;
    size_t pushes = s_count_pushes(self);
    int64_t began = pipe_clock();
    int rc = self->settings.engine->commit(self->settings.store, self->ops, self->group.ops);
    s_count(self, rc, pushes, began);
    s_tell(self, rc, pushes);
    return rc;
}

static void s_retry_later(committer_t *self)
{
    self->retry_delay = self->retry_delay ? 2 * self->retry_delay : RETRY_MIN;
    if (self->retry_delay > RETRY_MAX)
        self->retry_delay = RETRY_MAX;
    self->retry_at = pipe_clock() + self->retry_delay;
}

//  Gives back what the group's result says all of. Returns true if something else than pushes failed
//  along with them, which may do better alone: it makes room.
static bool s_end_group(committer_t *self, int rc)
{
    bool mixed = false;
    while (self->group.first) {
        journal_batch_t *batch = s_take_first(&self->group);
        if (rc != 0 && batch->lasts) {
            s_append(&self->owed, batch);
            continue;
        }
        mixed |= batch->count > 0;
        batch->failed = rc != 0;
        s_give_back(self, batch);
    }
    if (rc == 0)
        self->retry_delay = 0;
    return rc != 0 && mixed && self->owed.first;
}

//  Commits what there is. Returns false if that is nothing.
static bool s_commit(committer_t *self)
{
    if (!self->waiting.first && !s_receive(self) &&
        (!self->owed.first || pipe_clock() < self->retry_at))
        return false;
    s_gather(self);
    if (s_end_group(self, s_commit_group(self))) {
        pipe_flush(self->settings.orderer);
        while (self->owed.first)
            s_append(&self->group, s_take_first(&self->owed));
        s_end_group(self, s_commit_group(self));
    }
    if (self->owed.first)
        s_retry_later(self);
    pipe_flush(self->settings.orderer);
    return true;
}

//  ---- the actor ---------------------------------------------------------------------------------

static void s_control(committer_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        self->terminated = true;
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->settings.stats->pulses, 1);
    zstr_free(&command);
}

static long s_timeout(const committer_t *self)
{
    if (!self->owed.first)
        return -1;
    int64_t left = self->retry_at - pipe_clock();
    return left > 0 ? (long)(left / 1000000 + 1) : 0;
}

static void s_wait(committer_t *self, zsock_t *control)
{
    zmq_pollitem_t items[2] = {{zsock_resolve(control), 0, ZMQ_POLLIN, 0}};
    if (pipe_wait(&self->settings.orderer, 1, items, 1, s_timeout(self)) && items[0].revents)
        s_control(self, control);
}

void committer_run(zsock_t *control, void *args)
{
    committer_t *self = args;
    pthread_setname_np(pthread_self(), "journal");
    zsock_signal(control, 0);
    while (!self->terminated) {
        bool busy = s_commit(self);
        pipe_flush(self->settings.orderer);
        if (!busy)
            s_wait(self, control);
        else
            s_control(self, control);
    }
    self->retry_at = 0;
    while (s_commit(self) && !self->owed.first)
        ;
}
