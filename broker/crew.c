//  crew.c - the workers as the orderer sees them; see crew.h

#include "crew.h"
#include "endpoint.h"
#include "log.h"
#include <inttypes.h>
#include <stdlib.h>

#define SPARE_MAX 1024 //  dispatches kept for the next time

struct crew {
    crew_settings_t settings;
    unsigned *endpoints; //  by worker: how many it has
    dispatch_t *spare; //  empty ones, chained
    unsigned spare_count;
};

crew_t *crew_new(const crew_settings_t *settings)
{
    crew_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->endpoints = calloc(settings->count, sizeof *self->endpoints);
    if (!self->endpoints)
        crew_destroy(&self);
    return self;
}

void crew_destroy(crew_t **self_p)
{
    crew_t *self = *self_p;
    if (!self)
        return;
    while (self->spare) {
        dispatch_t *next = (dispatch_t *)self->spare->item.next;
        free(self->spare);
        self->spare = next;
    }
    free(self->endpoints);
    free(self);
    *self_p = NULL;
}

//  ---- dispatches --------------------------------------------------------------------------------

dispatch_t *crew_new_dispatch(crew_t *self)
{
    dispatch_t *dispatch = self->spare;
    if (dispatch) {
        self->spare = (dispatch_t *)dispatch->item.next;
        self->spare_count--;
    } else {
        dispatch =
            malloc(sizeof *dispatch + self->settings.batch_max * sizeof dispatch->entries[0]);
    }
    if (dispatch)
        *dispatch = (dispatch_t){0};
    return dispatch;
}

static void s_recycle(crew_t *self, dispatch_t *dispatch)
{
    if (self->spare_count >= SPARE_MAX) {
        free(dispatch);
        return;
    }
    dispatch->item.next = (pipe_item_t *)self->spare;
    self->spare = dispatch;
    self->spare_count++;
}

void crew_send(crew_t *self, receiver_t *receiver, dispatch_t *dispatch)
{
    dispatch->endpoint = receiver->endpoint;
    pipe_put(self->settings.pipes[receiver->worker], &dispatch->item, 1);
}

static void s_command(crew_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch = crew_new_dispatch(self);
    if (!dispatch)
        abort();
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    crew_send(self, receiver, dispatch);
}

//  ---- endpoints ---------------------------------------------------------------------------------

static unsigned s_least_worker(const crew_t *self)
{
    unsigned least = 0;
    for (unsigned i = 1; i < self->settings.count; i++)
        if (self->endpoints[i] < self->endpoints[least])
            least = i;
    return least;
}

void crew_open(crew_t *self, receiver_t *receiver)
{
    receiver->worker = s_least_worker(self);
    receiver->endpoint =
        endpoint_new(receiver->address, receiver->generation, self->settings.send_hwm);
    if (!receiver->endpoint)
        abort();
    receiver->inflight = &stats_worker(self->settings.stats, receiver->worker)->inflight_messages;
    self->endpoints[receiver->worker]++;
    s_command(self, receiver, DISPATCH_OPEN);
    log_debug("endpoint %s opened for generation %" PRIu64 " by worker %u", receiver->address,
              receiver->generation, receiver->worker);
}

void crew_close(crew_t *self, receiver_t *receiver)
{
    self->endpoints[receiver->worker]--;
    s_command(self, receiver, DISPATCH_CLOSE);
    receiver->endpoint = NULL;
}

//  ---- reports -----------------------------------------------------------------------------------

static void s_returned(crew_t *self, dispatch_t *dispatch, int64_t now)
{
    if (dispatch->kind == DISPATCH_CLOSE)
        endpoint_destroy(&dispatch->endpoint);
    core_returned(self->settings.core, dispatch, now);
    s_recycle(self, dispatch);
}

bool crew_take_reports(crew_t *self, int64_t now)
{
    bool any = false;
    for (unsigned i = 0; i < self->settings.count; i++) {
        int64_t waited;
        pipe_item_t *item = pipe_take(self->settings.pipes[i], &waited);
        if (!item)
            continue;
        any = true;
        histogram_add(&self->settings.stats->orderer.report_wait, (uint64_t)waited, 1);
        while (item) {
            dispatch_t *dispatch = (dispatch_t *)item;
            item = item->next;
            s_returned(self, dispatch, now);
        }
    }
    return any;
}

void crew_flush(crew_t *self)
{
    for (unsigned i = 0; i < self->settings.count; i++)
        pipe_flush(self->settings.pipes[i]);
}

int crew_poll_items(const crew_t *self, zmq_pollitem_t *items)
{
    int count = 0;
    for (unsigned i = 0; i < self->settings.count; i++)
        items[count++] = (zmq_pollitem_t){pipe_socket(self->settings.pipes[i]), 0, ZMQ_POLLIN, 0};
    return count;
}

//  ---- the end -----------------------------------------------------------------------------------

void crew_take_back(crew_t *self, pipe_item_t *dispatches)
{
    while (dispatches) {
        dispatch_t *dispatch = (dispatch_t *)dispatches;
        dispatches = dispatches->next;
        if (dispatch->kind == DISPATCH_CLOSE && dispatch->endpoint)
            crew_take_back(self, endpoint_close(dispatch->endpoint, 0));
        s_returned(self, dispatch, 0);
    }
}

void crew_forget(crew_t *self, receiver_t *receiver, int linger)
{
    crew_take_back(self, endpoint_close(receiver->endpoint, linger));
    endpoint_destroy(&receiver->endpoint);
}
