//  worker.c - the sender worker; see worker.h

#include "worker.h"
#include "endpoint.h"
#include "log.h"
#include "pulse.h"
#include <stdlib.h>

#define SENDS_A_TURN 64 //  Deliveries before the pipe is looked at again

typedef struct {
    endpoint_t *first;
    endpoint_t *last;
} list_t;

struct worker {
    worker_settings_t settings;
    worker_stats_t *stats;
    list_t waiting; //  endpoints that have something to send
    list_t blocked; //  those that would have blocked
    int64_t retry_at; //  when the first of the blocked ones is to be tried again
    bool terminated;
};

worker_t *worker_new(const worker_settings_t *settings)
{
    worker_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = settings->stats;
    self->retry_at = INT64_MAX;
    return self;
}

void worker_destroy(worker_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

//  ---- lists -------------------------------------------------------------------------------------

static void s_append(list_t *list, endpoint_t *endpoint)
{
    endpoint_set_next(endpoint, NULL);
    if (list->last)
        endpoint_set_next(list->last, endpoint);
    else
        list->first = endpoint;
    list->last = endpoint;
}

static endpoint_t *s_shift(list_t *list)
{
    endpoint_t *first = list->first;
    list->first = endpoint_next(first);
    if (!list->first)
        list->last = NULL;
    return first;
}

static bool s_remove(list_t *list, endpoint_t *endpoint)
{
    endpoint_t *before = NULL, *at = list->first;
    for (; at && at != endpoint; at = endpoint_next(at))
        before = at;
    if (!at)
        return false;
    if (before)
        endpoint_set_next(before, endpoint_next(at));
    else
        list->first = endpoint_next(at);
    if (list->last == at)
        list->last = before;
    return true;
}

//  ---- dispatches --------------------------------------------------------------------------------

static void s_give_back(worker_t *self, dispatch_t *dispatch)
{
    pipe_put(self->settings.orderer, &dispatch->item, 1);
}

static void s_open(worker_t *self, dispatch_t *dispatch)
{
    int rc = endpoint_open(dispatch->endpoint);
    if (rc < 0)
        log_limited(LOG_ENDPOINTS, LOG_LEVEL_ERROR, "worker %u cannot open %s: %s",
                    self->settings.number, endpoint_address(dispatch->endpoint), zmq_strerror(-rc));
    stats_add(&self->stats->endpoints, 1);
    s_give_back(self, dispatch);
}

//  Forgets an endpoint; it is not the worker's any more. Returns its backlog.
static uint64_t s_forget(worker_t *self, endpoint_t *endpoint)
{
    if (!s_remove(&self->waiting, endpoint) && s_remove(&self->blocked, endpoint))
        stats_add(&self->stats->endpoints_blocked, (uint64_t)-1);
    uint64_t backlog = endpoint_backlog(endpoint);
    stats_add(&self->stats->backlog_messages, -backlog);
    stats_add(&self->stats->endpoints, (uint64_t)-1);
    return backlog;
}

static void s_close(worker_t *self, dispatch_t *dispatch)
{
    stats_add(&self->stats->discarded, s_forget(self, dispatch->endpoint));
    pipe_item_t *unsent = endpoint_close(dispatch->endpoint, 0);
    while (unsent) {
        pipe_item_t *next = unsent->next;
        s_give_back(self, (dispatch_t *)unsent);
        unsent = next;
    }
    s_give_back(self, dispatch);
}

static void s_yield(worker_t *self, dispatch_t *dispatch)
{
    s_forget(self, dispatch->endpoint);
    s_give_back(self, dispatch);
}

//  An endpoint that would have blocked where it was is tried here at once.
static void s_adopt(worker_t *self, dispatch_t *dispatch)
{
    endpoint_t *endpoint = dispatch->endpoint;
    uint64_t backlog = endpoint_backlog(endpoint);
    if (backlog)
        s_append(&self->waiting, endpoint);
    stats_add(&self->stats->backlog_messages, backlog);
    stats_add(&self->stats->endpoints, 1);
    s_give_back(self, dispatch);
}

static void s_put(worker_t *self, dispatch_t *dispatch)
{
    endpoint_t *endpoint = dispatch->endpoint;
    if (!dispatch->count) {
        s_give_back(self, dispatch);
        return;
    }
    if (!endpoint_backlog(endpoint))
        s_append(&self->waiting, endpoint);
    stats_add(&self->stats->backlog_messages, dispatch->count);
    endpoint_put(endpoint, dispatch);
}

static void s_obey(worker_t *self, dispatch_t *dispatch)
{
    switch (dispatch->kind) {
    case DISPATCH_PUSHES:
        s_put(self, dispatch);
        break;
    case DISPATCH_OPEN:
        s_open(self, dispatch);
        break;
    case DISPATCH_CLOSE:
        s_close(self, dispatch);
        break;
    case DISPATCH_YIELD:
        s_yield(self, dispatch);
        break;
    case DISPATCH_ADOPT:
        s_adopt(self, dispatch);
        break;
    }
}

static bool s_take(worker_t *self)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(self->settings.orderer, &waited);
    if (!item)
        return false;
    histogram_add(&self->stats->batch_wait, (uint64_t)waited, 1);
    while (item) {
        pipe_item_t *next = item->next;
        s_obey(self, (dispatch_t *)item);
        item = next;
    }
    return true;
}

//  ---- sending -----------------------------------------------------------------------------------

static void s_set_aside(worker_t *self, endpoint_t *endpoint)
{
    int64_t retry_at = endpoint_put_off(endpoint, pipe_clock());
    if (retry_at < self->retry_at)
        self->retry_at = retry_at;
    s_append(&self->blocked, endpoint);
    stats_add(&self->stats->endpoints_blocked, 1);
}

static void s_count_send(worker_t *self, const endpoint_send_t *send)
{
    stats_add(&self->stats->sends, 1);
    stats_add(&self->stats->sent_messages, send->messages);
    stats_add(&self->stats->sent_bytes, send->bytes);
    stats_add(&self->stats->backlog_messages, -(uint64_t)send->messages);
    histogram_add(&self->stats->send, (uint64_t)send->duration, 1);
}

static void s_serve(worker_t *self, endpoint_t *endpoint)
{
    endpoint_send_t send;
    endpoint_result_t result =
        endpoint_send(endpoint, self->settings.batch_max, self->settings.batch_bytes, &send);
    if (result == ENDPOINT_SENT) {
        s_count_send(self, &send);
        dispatch_t *done;
        while ((done = endpoint_done(endpoint)))
            s_give_back(self, done);
        if (endpoint_backlog(endpoint))
            s_append(&self->waiting, endpoint);
        return;
    }
    stats_add(result == ENDPOINT_FAILED ? &self->stats->failed : &self->stats->would_block, 1);
    s_set_aside(self, endpoint);
}

//  Moves the blocked endpoints whose time has come to those that wait for their turn.
static void s_retry_blocked(worker_t *self)
{
    int64_t now = pipe_clock();
    if (now < self->retry_at)
        return;
    list_t blocked = self->blocked;
    self->blocked = (list_t){0};
    self->retry_at = INT64_MAX;
    while (blocked.first) {
        endpoint_t *endpoint = s_shift(&blocked);
        int64_t retry_at = endpoint_retry_at(endpoint);
        if (retry_at <= now) {
            s_append(&self->waiting, endpoint);
            stats_add(&self->stats->endpoints_blocked, (uint64_t)-1);
        } else {
            s_append(&self->blocked, endpoint);
            if (retry_at < self->retry_at)
                self->retry_at = retry_at;
        }
    }
}

static bool s_send_some(worker_t *self)
{
    if (self->blocked.first)
        s_retry_blocked(self);
    for (int i = 0; i < SENDS_A_TURN && self->waiting.first; i++)
        s_serve(self, s_shift(&self->waiting));
    return self->waiting.first != NULL;
}

//  ---- the actor ---------------------------------------------------------------------------------

static void s_control(worker_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        self->terminated = true;
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->stats->pulses, 1);
    zstr_free(&command);
}

static void s_wait(worker_t *self, zsock_t *control)
{
    pipe_t *orderer = self->settings.orderer;
    zmq_pollitem_t items[] = {{zsock_resolve(control), 0, ZMQ_POLLIN, 0},
                              {NULL, pipe_descriptor(orderer), ZMQ_POLLIN, 0}};
    long timeout = -1;
    if (self->blocked.first) {
        int64_t left = self->retry_at - pipe_clock();
        timeout = left > 0 ? (long)((left + 999999) / 1000000) : 0;
    }
    if (pipe_begin_wait(orderer))
        zmq_poll(items, 2, timeout);
    pipe_end_wait(orderer, items[1].revents);
    if (items[0].revents)
        s_control(self, control);
}

void worker_run(zsock_t *control, void *args)
{
    worker_t *self = args;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", self->settings.number);
    pthread_setname_np(pthread_self(), name);
    zsock_signal(control, 0);
    unsigned turn = 0;
    while (!self->terminated) {
        bool busy = s_take(self);
        busy |= s_send_some(self);
        pipe_flush(self->settings.orderer);
        if (!busy)
            s_wait(self, control);
        else if (++turn % CONTROL_EVERY == 0)
            s_control(self, control);
    }
}
