/*  lane.c - what waits in a lane, and what it lets out */

#include "lane.h"
#include "socket.h"
#include <stdlib.h>
#include <utlist.h>

#define PAUSE_MIN 10 //  ms after a refusal, where the broker names no time
#define PAUSE_MAX 1000
#define ALLOWANCE_MAX 4096

//  A push that waits, encoded as it stands in a batch.
struct lane_push {
    struct lane_push *prev;
    struct lane_push *next;
    uint64_t epoch;
    uint64_t order; //  the seq, or the lane's own number for a push without
    bool numberless; //  the broker is to number it
    bool refused; //  has been sent before
    size_t size; //  bytes
    uint8_t bytes[];
};

//  ---- the table ---------------------------------------------------------------------------------

lane_t *lanes_find(const lanes_t *self, const seqpush_push_t *push)
{
    lane_t *lane = NULL;
    HASH_FIND(hh, self->table, push->client_id, push->client_id_size, lane);
    return lane;
}

static lane_t *s_add(lanes_t *self, const seqpush_push_t *push)
{
    lane_t *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    memcpy(lane->id, push->client_id, push->client_id_size);
    lane->id_size = (uint8_t)push->client_id_size;
    lane->allowance = ALLOWANCE_MAX;
    lane->low_epoch = push->epoch;
    lane->low_order = push->seq;
    HASH_ADD_KEYPTR(hh, self->table, lane->id, lane->id_size, lane);
    if (lane->hh.tbl)
        return lane;
    free(lane);
    return NULL;
}

lane_t *lanes_get(lanes_t *self, const seqpush_push_t *push)
{
    lane_t *lane = lanes_find(self, push);
    return lane ? lane : s_add(self, push);
}

static void s_drop_first(lane_t *lane)
{
    lane_push_t *first = lane->waiting;
    if (lane->last_refused == first)
        lane->last_refused = NULL;
    DL_DELETE(lane->waiting, first);
    free(first);
}

static void s_remove(lanes_t *self, lane_t *lane)
{
    while (lane->waiting)
        s_drop_first(lane);
    HASH_DEL(self->table, lane);
    free(lane);
}

void lanes_fini(lanes_t *self)
{
    batch_destroy(&self->fed);
    while (self->table)
        s_remove(self, self->table);
}

//  ---- waiting -----------------------------------------------------------------------------------

static bool s_is_after(const lane_push_t *push, uint64_t epoch, uint64_t order)
{
    return push->epoch > epoch || (push->epoch == epoch && push->order > order);
}

//  The push after which a place belongs, NULL for the front. What is refused comes in runs and belongs near
//  the front, what is new belongs near the end: the search begins there and is short.
static lane_push_t *s_predecessor(const lane_t *lane, uint64_t epoch, uint64_t order, bool refused)
{
    lane_push_t *at = lane->waiting;
    if (refused && lane->last_refused)
        at = lane->last_refused;
    else if (at && !refused)
        at = at->prev; //  the last one
    while (at && at->next && !s_is_after(at->next, epoch, order))
        at = at->next;
    while (at && s_is_after(at, epoch, order))
        at = at == lane->waiting ? NULL : at->prev;
    return at;
}

static lane_push_t *s_encode(const seqpush_push_t *push, uint64_t order)
{
    size_t size = batch_push_size(push);
    lane_push_t *held = calloc(1, sizeof *held + size);
    if (!held)
        return NULL;
    held->epoch = push->epoch;
    held->order = order;
    held->numberless = push->seq == 0;
    held->size = size;
    batch_encode(held->bytes, push);
    return held;
}

static bool s_hold(lanes_t *self, lane_t *lane, const seqpush_push_t *push, uint64_t order,
                   bool refused)
{
    lane_push_t *held = s_encode(push, order);
    if (!held)
        return false;
    held->refused = refused;
    lane_push_t *predecessor = s_predecessor(lane, held->epoch, order, refused);
    DL_APPEND_ELEM(lane->waiting, predecessor, held);
    if (refused)
        lane->last_refused = held;
    if (lane_is_behind(lane, held->epoch, order)) {
        lane->low_epoch = held->epoch;
        lane->low_order = order;
    }
    self->held++;
    self->held_bytes += held->size;
    return true;
}

//  ---- letting out -------------------------------------------------------------------------------

//  Notes that a push is on its way. Those without a number are decided in the order of the batch.
static void s_let_out(lane_t *lane, const batch_t *batch, uint64_t order)
{
    if (lane->sent++ == 0)
        lane->deciding = order;
    lane->serial = batch->serial;
}

void lane_pass(lane_t *self, const batch_t *batch)
{
    s_let_out(self, batch, self->handed_in++);
}

//  Lets out what the lane may let out. Of pushes without a number only one batch is under way.
static void s_feed(lanes_t *self, lane_t *lane)
{
    while (lane->waiting && lane->sent < lane->allowance) {
        lane_push_t *first = lane->waiting;
        batch_t *batch = outbox_room(self->outbox, &self->fed, first->size);
        if (!batch || (first->numberless && lane->sent && lane->serial != batch->serial))
            return;
        batch_put_encoded(batch, first->bytes, first->size, first->numberless);
        batch->fed = true;
        s_let_out(lane, batch, first->order);
        self->held--;
        self->held_bytes -= first->size;
        self->retries += first->refused;
        s_drop_first(lane);
    }
}

static void s_pause(lanes_t *self, lane_t *lane, uint32_t ms)
{
    lane->pausing = true;
    lane->due = socket_clock() + ms;
    lane_t *at = self->pausing ? self->pausing->prev : NULL;
    while (at && at->due > lane->due)
        at = at == self->pausing ? NULL : at->prev;
    DL_APPEND_ELEM(self->pausing, at, lane);
}

//  After a refusal the lane pauses, for as long as the broker says, and then begins with one push.
static void s_back_off(lanes_t *self, lane_t *lane, uint32_t retry_after_ms)
{
    if (lane->pausing)
        return;
    lane->pause = lane->pause ? lane->pause * 2 : PAUSE_MIN;
    if (lane->pause > PAUSE_MAX)
        lane->pause = PAUSE_MAX;
    lane->allowance = 1;
    s_pause(self, lane, retry_after_ms ? retry_after_ms : lane->pause);
}

//  A push was taken, so the lane lets out one more than before: twice as many each round trip.
static void s_go_on(lanes_t *self, lane_t *lane)
{
    if (lane->pausing)
        return;
    lane->pause = 0;
    if (lane->allowance < ALLOWANCE_MAX)
        lane->allowance++;
    s_feed(self, lane);
}

//  Looks after a lane of which nothing is under way: it goes when there is nothing left of it, and
//  it does not stand still where there was no memory to feed it.
static void s_settle(lanes_t *self, lane_t *lane)
{
    if (lane->sent)
        return;
    if (!lane->waiting)
        s_remove(self, lane);
    else if (!lane->pausing)
        s_pause(self, lane, PAUSE_MIN);
}

static void s_wake(lanes_t *self, lane_t *lane)
{
    DL_DELETE(self->pausing, lane);
    lane->pausing = false;
    s_feed(self, lane);
    s_settle(self, lane);
}

void lanes_wake(lanes_t *self, int64_t now)
{
    while (self->pausing && self->pausing->due <= now)
        s_wake(self, self->pausing);
}

bool lanes_repair(lanes_t *self, const seqpush_push_t *first, uint64_t last)
{
    lane_t *lane = lanes_find(self, first);
    const lane_push_t *waiting = lane ? lane->waiting : NULL;
    if (!waiting || waiting->numberless || waiting->epoch != first->epoch ||
        waiting->order < first->seq || waiting->order > last)
        return false;
    if (lane->pausing)
        s_wake(self, lane);
    return true;
}

bool lanes_put(lanes_t *self, lane_t *lane, const seqpush_push_t *push)
{
    if (!s_hold(self, lane, push, push->seq ? push->seq : lane->handed_in, false))
        return false;
    lane->handed_in += push->seq == 0;
    if (!lane->pausing)
        s_feed(self, lane);
    return true;
}

//  ---- decisions ---------------------------------------------------------------------------------

static bool s_take_back(lanes_t *self, lane_t *lane, const seqpush_push_t *push,
                        uint32_t retry_after_ms)
{
    if (!s_hold(self, lane, push, push->seq ? push->seq : lane->deciding, true))
        return false;
    s_back_off(self, lane, retry_after_ms);
    return true;
}

bool lanes_decide(lanes_t *self, const batch_t *batch, const seqpush_push_t *push, bool refused,
                  uint32_t retry_after_ms)
{
    lane_t *lane = lanes_get(self, push);
    if (!lane)
        return false;
    bool taken_back = refused && s_take_back(self, lane, push, retry_after_ms);
    if (batch->fed || push->seq == 0)
        lane->sent--;
    if (push->seq == 0)
        lane->deciding++;
    if (!refused)
        s_go_on(self, lane);
    s_settle(self, lane);
    return taken_back;
}
