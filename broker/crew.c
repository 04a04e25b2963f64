//  crew.c - the workers as the orderer sees them; see crew.h

#include "crew.h"
#include "dispatch_pool.h"
#include "log.h"
#include "seat.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

typedef struct {
    pipe_t *pipe; //  NULL: it was released
    seat_t *seats; //  what it has, gets, or is to close
    unsigned carries; //  of them, those that are not being closed
    unsigned yielding; //  endpoints that it was told to yield and has not
} member_t;

struct crew {
    crew_settings_t settings;
    member_t members[STATS_WORKERS_MAX];
    unsigned count; //  members, those that leave behind those that stay
    unsigned staying;
    dispatch_pool_t pool;
};

crew_t *crew_new(const crew_settings_t *settings)
{
    crew_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->pool.entries = settings->batch_max;
    return self;
}

void crew_destroy(crew_t **self_p)
{
    crew_t *self = *self_p;
    if (!self)
        return;
    dispatch_pool_fini(&self->pool);
    free(self);
    *self_p = NULL;
}

//  ---- dispatches --------------------------------------------------------------------------------

dispatch_t *crew_new_dispatch(crew_t *self)
{
    return dispatch_pool_take(&self->pool);
}

static void s_send(crew_t *self, seat_t *seat, dispatch_t *dispatch)
{
    dispatch->seat = seat;
    dispatch->endpoint = seat->endpoint;
    if (seat->moves)
        seat_keep(seat, &dispatch->item);
    else
        pipe_put(self->members[seat->worker].pipe, &dispatch->item, 1);
}

void crew_send(crew_t *self, receiver_t *receiver, dispatch_t *dispatch)
{
    s_send(self, receiver->seat, dispatch);
}

//  A command that is lost would leave worker and core apart, so without memory the process ends.
static void s_command(crew_t *self, seat_t *seat, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch = crew_new_dispatch(self);
    if (!dispatch)
        abort();
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    s_send(self, seat, dispatch);
}

//  ---- who carries what --------------------------------------------------------------------------

static unsigned s_least(const crew_t *self)
{
    unsigned least = 0;
    for (unsigned k = 1; k < self->staying; k++)
        if (self->members[k].carries < self->members[least].carries)
            least = k;
    return least;
}

static unsigned s_most(const crew_t *self)
{
    unsigned most = 0;
    for (unsigned k = 1; k < self->staying; k++)
        if (self->members[k].carries > self->members[most].carries)
            most = k;
    return most;
}

static void s_seat(crew_t *self, seat_t *seat, unsigned worker)
{
    receiver_t *receiver = seat->receiver;
    seat_link(seat, &self->members[worker].seats);
    self->members[worker].carries++;
    seat->worker = receiver->worker = worker;
    receiver->inflight = &stats_worker(self->settings.stats, worker)->inflight_messages;
    stats_add(receiver->inflight, receiver->unacked);
}

static void s_unseat(crew_t *self, seat_t *seat)
{
    seat_unlink(seat, &self->members[seat->worker].seats);
    self->members[seat->worker].carries--;
    stats_add(seat->receiver->inflight, -seat->receiver->unacked);
}

//  ---- endpoints ---------------------------------------------------------------------------------

static endpoint_t *s_new_endpoint(const crew_t *self, const receiver_t *receiver)
{
    endpoint_settings_t settings = {.address = receiver->address,
                                    .generation = receiver->generation,
                                    .send_hwm = self->settings.send_hwm};
    if (*receiver->server_key) {
        settings.curve = self->settings.curve;
        settings.server_key = receiver->server_key;
    }
    return endpoint_new(&settings);
}

void crew_open(crew_t *self, receiver_t *receiver)
{
    seat_t *seat = calloc(1, sizeof *seat);
    endpoint_t *endpoint = s_new_endpoint(self, receiver);
    if (!seat || !endpoint)
        abort();
    seat->endpoint = receiver->endpoint = endpoint;
    seat->receiver = receiver;
    receiver->seat = seat;
    s_seat(self, seat, s_least(self));
    s_command(self, seat, receiver, DISPATCH_OPEN);
    log_limited(LOG_ENDPOINTS, LOG_LEVEL_DEBUG,
                "endpoint %s opened for generation %" PRIu64 " by worker %u", receiver->address,
                receiver->generation, receiver->worker);
}

void crew_close(crew_t *self, receiver_t *receiver)
{
    seat_t *seat = receiver->seat;
    self->members[seat->worker].carries--;
    s_command(self, seat, receiver, DISPATCH_CLOSE);
    seat->receiver = NULL;
    receiver->endpoint = NULL;
    receiver->seat = NULL;
}

//  One that moves already, and has not come yet, goes there instead.
static void s_move(crew_t *self, seat_t *seat, unsigned worker)
{
    unsigned from = seat->worker;
    s_unseat(self, seat);
    s_seat(self, seat, worker);
    if (seat->moves)
        return;
    seat->worker = from;
    s_command(self, seat, seat->receiver, DISPATCH_YIELD);
    seat->worker = worker;
    seat->moves = true;
    seat->leaves = from;
    self->members[from].yielding++;
}

//  ---- workers that come and go ------------------------------------------------------------------

void crew_add(crew_t *self, pipe_t *pipe)
{
    assert(self->staying == self->count && self->count < STATS_WORKERS_MAX);
    self->members[self->count] = (member_t){.pipe = pipe};
    self->staying = ++self->count;
}

static void s_vacate(crew_t *self, unsigned worker)
{
    seat_t *next;
    for (seat_t *seat = self->members[worker].seats; seat; seat = next) {
        next = seat->next;
        if (seat->receiver)
            s_move(self, seat, s_least(self));
    }
}

static void s_balance(crew_t *self)
{
    for (;;) {
        unsigned most = s_most(self), least = s_least(self);
        if (self->members[most].carries <= self->members[least].carries + 1)
            return;
        seat_t *seat = self->members[most].seats;
        while (!seat->receiver)
            seat = seat->next;
        s_move(self, seat, least);
    }
}

void crew_resize(crew_t *self, unsigned count)
{
    assert(count > 0 && count <= self->count);
    self->staying = count;
    for (unsigned k = count; k < self->count; k++)
        s_vacate(self, k);
    s_balance(self);
}

int crew_release(crew_t *self)
{
    for (unsigned k = self->staying; k < self->count; k++) {
        member_t *member = &self->members[k];
        if (!member->pipe || member->seats || member->yielding)
            continue;
        pipe_hand_over(member->pipe);
        member->pipe = NULL;
        while (self->count > self->staying && !self->members[self->count - 1].pipe)
            self->count--;
        return (int)k;
    }
    return -1;
}

//  ---- reports -----------------------------------------------------------------------------------

//  The endpoint has left its worker: it goes on to the other one, and what was kept follows.
static void s_pass_on(crew_t *self, dispatch_t *dispatch)
{
    seat_t *seat = dispatch->seat;
    self->members[seat->leaves].yielding--;
    seat->moves = false;
    dispatch->kind = DISPATCH_ADOPT;
    s_send(self, seat, dispatch);
    pipe_item_t *item;
    while ((item = seat_next(seat)))
        s_send(self, seat, (dispatch_t *)item);
    stats_add(&self->settings.stats->orderer.endpoints_moved, 1);
}

static void s_closed(crew_t *self, seat_t *seat)
{
    seat_unlink(seat, &self->members[seat->worker].seats);
    endpoint_destroy(&seat->endpoint);
    free(seat);
}

static void s_returned(crew_t *self, dispatch_t *dispatch, int64_t now)
{
    if (dispatch->kind == DISPATCH_YIELD) {
        s_pass_on(self, dispatch);
        return;
    }
    if (dispatch->kind == DISPATCH_CLOSE)
        s_closed(self, dispatch->seat);
    if (dispatch->kind != DISPATCH_ADOPT)
        core_returned(self->settings.core, dispatch, now);
    dispatch_pool_give(&self->pool, dispatch);
}

static bool s_take_from(crew_t *self, member_t *member, int64_t now)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(member->pipe, &waited);
    if (!item)
        return false;
    histogram_add(&self->settings.stats->orderer.report_wait, (uint64_t)waited, 1);
    while (item) {
        dispatch_t *dispatch = (dispatch_t *)item;
        item = item->next;
        s_returned(self, dispatch, now);
    }
    return true;
}

bool crew_take_reports(crew_t *self, int64_t now)
{
    bool any = false;
    for (unsigned k = 0; k < self->count; k++)
        if (self->members[k].pipe)
            any |= s_take_from(self, &self->members[k], now);
    return any;
}

void crew_flush(crew_t *self)
{
    for (unsigned k = 0; k < self->count; k++)
        if (self->members[k].pipe)
            pipe_flush(self->members[k].pipe);
}

bool crew_begin_wait(crew_t *self, zmq_pollitem_t *items, int *count)
{
    bool waits = true;
    *count = 0;
    for (unsigned k = 0; k < self->count; k++) {
        pipe_t *pipe = self->members[k].pipe;
        if (!pipe)
            continue;
        waits &= pipe_begin_wait(pipe);
        items[(*count)++] = (zmq_pollitem_t){NULL, pipe_descriptor(pipe), ZMQ_POLLIN, 0};
    }
    return waits;
}

void crew_end_wait(crew_t *self, const zmq_pollitem_t *items)
{
    for (unsigned k = 0; k < self->count; k++)
        if (self->members[k].pipe)
            pipe_end_wait(self->members[k].pipe, items++->revents);
}

//  ---- the end -----------------------------------------------------------------------------------

static void s_take_back_one(crew_t *self, dispatch_t *dispatch)
{
    seat_t *seat = dispatch->seat;
    if (dispatch->kind == DISPATCH_YIELD) {
        pipe_item_t *kept = seat->first;
        seat->first = seat->last = NULL;
        dispatch_pool_give(&self->pool, dispatch);
        crew_take_back(self, kept);
        return;
    }
    if (dispatch->kind == DISPATCH_CLOSE)
        crew_take_back(self, endpoint_close(seat->endpoint, 0));
    s_returned(self, dispatch, 0);
}

void crew_take_back(crew_t *self, pipe_item_t *dispatches)
{
    while (dispatches) {
        dispatch_t *dispatch = (dispatch_t *)dispatches;
        dispatches = dispatches->next;
        s_take_back_one(self, dispatch);
    }
}

void crew_forget(crew_t *self, receiver_t *receiver, int linger)
{
    seat_t *seat = receiver->seat;
    crew_take_back(self, endpoint_close(seat->endpoint, linger));
    s_closed(self, seat);
    receiver->endpoint = NULL;
    receiver->seat = NULL;
}
