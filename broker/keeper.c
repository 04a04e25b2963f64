//  keeper.c - requests that wait for the journal, and what the journal is told; see keeper.h

#include "keeper.h"
#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

#define POSITIONS_EVERY 100000000 //  ns between positions that are told
#define POSITIONS_MAX 8192 //  told at a time
#define RETRY_FULL 100 //  ms until a publisher is to try again, when too much waits

//  A peer of which something waits.
typedef struct {
    uint64_t number;
    uint32_t waiting; //  requests
    UT_hash_handle hh;
} peer_t;

struct keeper {
    keeper_settings_t settings;
    peer_t *peers;
    uint64_t waiting_bytes; //  of all requests that wait
    uint32_t lasting; //  batches with the journal that last
    uint64_t lasting_ops; //  of them
    int64_t positions_at; //  when positions are told next
    pipe_item_t *came; //  batches that came back and are not looked at yet
    request_t *held, *held_last; //  decided, and answered when a change is kept: a queue
    uint32_t stored; //  number of the last change that is kept
    journal_batch_t *deciding; //  of the request that keeper_next returned
};

keeper_t *keeper_new(const keeper_settings_t *settings)
{
    keeper_t *self = calloc(1, sizeof *self);
    if (self)
        self->settings = *settings;
    return self;
}

static void s_destroy_batch(journal_batch_t *batch)
{
    if (batch->frame)
        frame_unref(batch->frame);
    free(batch);
}

void keeper_take_back(pipe_item_t *batches)
{
    while (batches) {
        journal_batch_t *batch = (journal_batch_t *)batches;
        batches = batches->next;
        request_destroy(&batch->request);
        s_destroy_batch(batch);
    }
}

//  Takes the first reply that is held.
static request_t *s_let_go(keeper_t *self)
{
    request_t *request = self->held;
    self->held = (request_t *)request->item.next;
    if (!self->held)
        self->held_last = NULL;
    return request;
}

void keeper_destroy(keeper_t **self_p)
{
    keeper_t *self = *self_p;
    if (!self)
        return;
    peer_t *peer, *next;
    HASH_ITER (hh, self->peers, peer, next) {
        HASH_DEL(self->peers, peer);
        free(peer);
    }
    keeper_take_back(self->came);
    while (self->held) {
        request_t *request = s_let_go(self);
        request_destroy(&request);
    }
    free(self);
    *self_p = NULL;
}

//  ---- peers -------------------------------------------------------------------------------------

static bool s_peer_waits(const keeper_t *self, uint64_t number)
{
    peer_t *peer = NULL;
    if (self->peers)
        HASH_FIND(hh, self->peers, &number, sizeof number, peer);
    return peer != NULL;
}

//  Counts one more request of the peer. Returns false if there is no memory.
static bool s_count_peer(keeper_t *self, uint64_t number)
{
    peer_t *peer = NULL;
    HASH_FIND(hh, self->peers, &number, sizeof number, peer);
    if (!peer) {
        peer = calloc(1, sizeof *peer);
        if (!peer)
            return false;
        peer->number = number;
        HASH_ADD(hh, self->peers, number, sizeof number, peer);
    }
    peer->waiting++;
    return true;
}

static void s_discount_peer(keeper_t *self, uint64_t number)
{
    peer_t *peer = NULL;
    HASH_FIND(hh, self->peers, &number, sizeof number, peer);
    assert(peer);
    if (--peer->waiting > 0)
        return;
    HASH_DEL(self->peers, peer);
    free(peer);
}

//  ---- requests to the journal -------------------------------------------------------------------

static uint64_t s_cost(const request_t *request)
{
    return frame_size(request->frame) + sizeof *request +
           request->count * (sizeof(push_t) + sizeof(journal_op_t));
}

static bool s_has_room(const keeper_t *self, const request_t *request)
{
    return core_kept_bytes(self->settings.core) + self->waiting_bytes + s_cost(request) <=
           self->settings.memory_max;
}

static void s_refuse_all(request_t *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (push->outcome != OUTCOME_ACCEPTED)
            continue;
        push->outcome = OUTCOME_OVERLOADED;
        push->now_epoch = push->next_seq = push->window_end = 0;
        push->retry_after_ms = RETRY_FULL;
    }
}

static void s_write(journal_batch_t *batch, const push_t *push)
{
    batch->bytes += push->size;
    batch->ops[batch->count++] = (journal_op_t){.kind = JOURNAL_PUSH,
                                                .numberless = push->numberless,
                                                .id = push->id,
                                                .id_size = push->id_size,
                                                .epoch = push->epoch,
                                                .seq = push->seq,
                                                .bytes = push->bytes,
                                                .size = push->size};
}

static void s_write_pushes(const keeper_t *self, journal_batch_t *batch, request_t *request,
                           bool behind, int64_t now)
{
    core_t *core = self->settings.core;
    core_begin_batch(core, false, 0, false);
    for (uint32_t i = 0; i < request->count; i++) {
        if (i + 8 < request->count)
            core_prefetch_slot(core, &request->pushes[i + 8]);
        if (i + 4 < request->count)
            core_prefetch_client(core, &request->pushes[i + 4]);
        push_t *push = &request->pushes[i];
        if (push->outcome == OUTCOME_ACCEPTED && core_look(core, push, behind, now))
            s_write(batch, push);
    }
}

//  Sends a request by way of the journal, with what of it is to be kept.
static void s_send(keeper_t *self, journal_batch_t *batch, request_t *request)
{
    batch->request = request;
    batch->frame = request->frame;
    if (batch->frame) {
        frame_ref(batch->frame);
        self->waiting_bytes += s_cost(request);
    }
    pipe_put(self->settings.journal, &batch->item, 1 + batch->count);
}

static journal_batch_t *s_new_batch(size_t ops)
{
    journal_batch_t *batch = malloc(sizeof *batch + ops * sizeof(journal_op_t));
    if (batch)
        *batch = (journal_batch_t){0};
    return batch;
}

bool keeper_take(keeper_t *self, request_t *request, bool refuse, int64_t now)
{
    bool pushes = request->kind == REQUEST_PUSH && !refuse;
    bool waits = s_peer_waits(self, request->peer);
    if (request->kind == REQUEST_ACK || request->kind == REQUEST_HEARTBEAT || !(pushes || waits))
        return false;
    if (pushes && !s_has_room(self, request)) {
        s_refuse_all(request);
        pushes = false;
    }
    journal_batch_t *batch = s_new_batch(pushes ? request->count : 0);
    if (!batch && pushes)
        s_refuse_all(request);
    if (!batch)
        return false;
    if (!s_count_peer(self, request->peer)) {
        free(batch);
        s_refuse_all(request);
        return false;
    }
    if (pushes)
        s_write_pushes(self, batch, request, waits, now);
    if (batch->count || waits) {
        s_send(self, batch, request);
        return true;
    }
    s_discount_peer(self, request->peer);
    free(batch);
    return false;
}

//  ---- and back ----------------------------------------------------------------------------------

//  Notes with the pushes what became of them.
static void s_note_result(const journal_batch_t *batch)
{
    request_t *request = batch->request;
    const journal_op_t *op = batch->ops;
    for (uint32_t i = 0; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (!push->written)
            continue;
        if (batch->failed)
            push->outcome = OUTCOME_STORAGE_UNAVAILABLE;
        push->stored = !batch->failed && !op++->existed;
    }
}

static journal_batch_t *s_next_batch(keeper_t *self)
{
    int64_t waited;
    if (!self->came)
        self->came = pipe_take(self->settings.journal, &waited);
    journal_batch_t *batch = (journal_batch_t *)self->came;
    if (batch)
        self->came = batch->item.next;
    return batch;
}

static void s_end_lasting(keeper_t *self, journal_batch_t *batch)
{
    self->lasting--;
    self->lasting_ops -= batch->count;
    self->stored = batch->ticket;
    core_stored(self->settings.core, batch->ticket);
    s_destroy_batch(batch);
}

//  True if there is a reply whose change is kept.
static bool s_may_let_go(const keeper_t *self)
{
    return self->held && (int32_t)(self->stored - self->held->awaits) >= 0;
}

//  The next batch of a request, with those before it that last taken note of. NULL: there is none, or a
//  reply may go first.
static journal_batch_t *s_next_of_request(keeper_t *self)
{
    while (!s_may_let_go(self)) {
        journal_batch_t *batch = s_next_batch(self);
        if (!batch || !batch->lasts)
            return batch;
        s_end_lasting(self, batch);
    }
    return NULL;
}

request_t *keeper_next(keeper_t *self, bool *decide)
{
    journal_batch_t *batch = s_next_of_request(self);
    *decide = batch != NULL;
    if (!batch)
        return s_may_let_go(self) ? s_let_go(self) : NULL;
    if (batch->frame)
        self->waiting_bytes -= s_cost(batch->request);
    s_discount_peer(self, batch->request->peer);
    s_note_result(batch);
    batch->request->item.next = NULL;
    self->deciding = batch;
    return batch->request;
}

//  What was written and then refused goes again.
static void s_take_out_refused(const keeper_t *self, const journal_batch_t *batch)
{
    const request_t *request = batch->request;
    const journal_op_t *op = batch->ops;
    for (uint32_t i = 0; i < request->count; i++) {
        const push_t *push = &request->pushes[i];
        if (!push->written)
            continue;
        if (push->stored && push->outcome != OUTCOME_ACCEPTED)
            core_take_out(self->settings.core, op);
        op++;
    }
}

//  Keeps the reply until all is kept that has changed by now.
static void s_hold(keeper_t *self, request_t *request)
{
    request->awaits = core_ticket(self->settings.core);
    request->item.next = NULL;
    if (self->held_last)
        self->held_last->item.next = &request->item;
    else
        self->held = request;
    self->held_last = request;
}

bool keeper_holds(const keeper_t *self)
{
    return self->held != NULL;
}

request_t *keeper_give_up(keeper_t *self)
{
    request_t *request = s_let_go(self);
    //  Its publisher is told nothing, and sends it again.
    request->kind = REQUEST_REFUSED;
    free(request->reply);
    request->reply = NULL;
    return request;
}

//  A Skip or Reset is answered when what it has changed is kept, and a push when all that its client's
//  stream rests on is: a restart would not know what to do with one of an epoch that it has not heard
//  of.
static bool s_must_hold(const keeper_t *self, const request_t *request)
{
    const core_t *core = self->settings.core;
    if (request->kind == REQUEST_PUSH)
        return core_batch_waits(core);
    bool changes = request->kind == REQUEST_SKIP || request->kind == REQUEST_RESET;
    return changes && core_has_changes(core);
}

bool keeper_decided(keeper_t *self, request_t *request)
{
    journal_batch_t *batch = self->deciding;
    if (batch) {
        s_take_out_refused(self, batch);
        s_destroy_batch(batch);
        self->deciding = NULL;
    }
    if (!s_must_hold(self, request))
        return true;
    s_hold(self, request);
    return false;
}

//  ---- changes -----------------------------------------------------------------------------------

static void s_tell(keeper_t *self, size_t positions)
{
    journal_batch_t *batch = core_changes(self->settings.core, positions);
    if (!batch)
        return;
    self->lasting++;
    self->lasting_ops += batch->count;
    pipe_put(self->settings.journal, &batch->item, 1 + batch->count);
}

void keeper_tell(keeper_t *self, bool all, int64_t now)
{
    const core_t *core = self->settings.core;
    bool due = all || (!self->lasting && now >= self->positions_at && core_positions(core) > 0);
    if (due)
        self->positions_at = now + POSITIONS_EVERY;
    if (due || core_has_changes(core))
        s_tell(self, all ? SIZE_MAX : due ? POSITIONS_MAX : 0);
    stats_set(&self->settings.stats->unsaved, self->lasting_ops + core_positions(core));
}

int64_t keeper_next_tick(const keeper_t *self)
{
    if (self->lasting || !core_positions(self->settings.core))
        return INT64_MAX;
    return self->positions_at;
}

bool keeper_is_busy(const keeper_t *self)
{
    return self->lasting > 0;
}
