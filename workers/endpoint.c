//  endpoint.c - one PUSH socket and what waits for it; see endpoint.h

#include "endpoint.h"
#include "wire.h"
#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct endpoint {
    char *address;
    uint64_t generation;
    int send_hwm;
    zsock_t *socket; //  NULL: closed, or could not be made
    dispatch_t *first;
    dispatch_t *last;
    uint64_t backlog; //  entries that wait
    zmq_msg_t message; //  a Delivery that would have blocked
    uint32_t message_size; //  its bytes
    uint32_t message_count; //  its entries; 0: there is none
    endpoint_t *next;
};

endpoint_t *endpoint_new(const char *address, uint64_t generation, uint32_t send_hwm)
{
    endpoint_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->generation = generation;
    self->send_hwm = (int)send_hwm;
    self->address = strdup(address);
    if (!self->address)
        endpoint_destroy(&self);
    return self;
}

void endpoint_destroy(endpoint_t **self_p)
{
    endpoint_t *self = *self_p;
    if (!self)
        return;
    assert(!self->socket && !self->first);
    free(self->address);
    free(self);
    *self_p = NULL;
}

int endpoint_open(endpoint_t *self)
{
    assert(!self->socket);
    self->socket = zsock_new(ZMQ_PUSH);
    if (!self->socket)
        return errno ? -errno : -EMFILE;
    //  ZMQ_IMMEDIATE stays off: it would destroy what is queued when the receiver goes away.
    zsock_set_linger(self->socket, 0);
    zsock_set_sndhwm(self->socket, self->send_hwm);
    zsock_set_tcp_keepalive(self->socket, 1);
    zsock_set_ipv6(self->socket, strchr(self->address, '[') != NULL);
    zsock_set_reconnect_ivl(self->socket, 100);
    zsock_set_reconnect_ivl_max(self->socket, 2000);
    if (zsock_connect(self->socket, "%s", self->address) == 0)
        return 0;
    int error = errno ? -errno : -EINVAL;
    zsock_destroy(&self->socket);
    return error;
}

pipe_item_t *endpoint_close(endpoint_t *self)
{
    if (self->message_count)
        zmq_msg_close(&self->message);
    self->message_count = 0;
    zsock_destroy(&self->socket);
    pipe_item_t *waiting = self->first ? &self->first->item : NULL;
    self->first = self->last = NULL;
    self->backlog = 0;
    return waiting;
}

void endpoint_put(endpoint_t *self, dispatch_t *dispatch)
{
    dispatch->item.next = NULL;
    dispatch->next = 0;
    if (self->last)
        self->last->item.next = &dispatch->item;
    else
        self->first = dispatch;
    self->last = dispatch;
    self->backlog += dispatch->count;
}

uint64_t endpoint_backlog(const endpoint_t *self)
{
    return self->backlog;
}

//  Counts the entries that go into the next Delivery, and their bytes.
static uint32_t s_measure(const endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes,
                          size_t *size)
{
    uint32_t count = 0;
    *size = 0;
    for (dispatch_t *at = self->first; at; at = (dispatch_t *)at->item.next)
        for (uint32_t i = at->next; i < at->count; i++) {
            if (count == batch_max || (count && *size + at->entries[i].size > batch_bytes))
                return count;
            *size += at->entries[i].size;
            count++;
        }
    return count;
}

static void s_copy(const endpoint_t *self, uint8_t *to, uint32_t count)
{
    for (dispatch_t *at = self->first; count; at = (dispatch_t *)at->item.next)
        for (uint32_t i = at->next; i < at->count && count; i++, count--) {
            //  The payloads are cold: ask for one while copying another.
            if (i + 4 < at->count)
                __builtin_prefetch(at->entries[i + 4].bytes);
            if (at->entries[i].size)
                memcpy(to, at->entries[i].bytes, at->entries[i].size);
            to += at->entries[i].size;
        }
    wire_put_varint_field(to, WIRE_DELIVERY_GENERATION, self->generation);
}

//  Copies what waits into a Delivery of the exact size.
static bool s_gather(endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes)
{
    size_t size;
    uint32_t count = s_measure(self, batch_max, batch_bytes, &size);
    size += wire_varint_field_size(self->generation);
    if (zmq_msg_init_size(&self->message, size) != 0)
        return false;
    s_copy(self, zmq_msg_data(&self->message), count);
    self->message_size = (uint32_t)size;
    self->message_count = count;
    return true;
}

//  Moves on behind the entries of the Delivery that was taken.
static void s_advance(endpoint_t *self)
{
    uint32_t left = self->message_count;
    self->backlog -= left;
    self->message_count = 0;
    for (dispatch_t *at = self->first; at && left; at = (dispatch_t *)at->item.next) {
        uint32_t here = at->count - at->next < left ? at->count - at->next : left;
        at->next += here;
        left -= here;
    }
}

endpoint_result_t endpoint_send(endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes,
                                endpoint_send_t *send)
{
    if (!self->backlog)
        return ENDPOINT_IDLE;
    if (!self->socket && endpoint_open(self) != 0)
        return ENDPOINT_FAILED;
    if (!self->message_count && !s_gather(self, batch_max, batch_bytes))
        return ENDPOINT_FAILED;
    int64_t start = pipe_clock();
    int rc = zmq_msg_send(&self->message, zsock_resolve(self->socket), ZMQ_DONTWAIT);
    if (rc < 0)
        return errno == EAGAIN ? ENDPOINT_WOULD_BLOCK : ENDPOINT_FAILED;
    *send = (endpoint_send_t){self->message_count, self->message_size, pipe_clock() - start};
    s_advance(self);
    return ENDPOINT_SENT;
}

dispatch_t *endpoint_done(endpoint_t *self)
{
    dispatch_t *first = self->first;
    if (!first || first->next < first->count)
        return NULL;
    self->first = (dispatch_t *)first->item.next;
    if (!self->first)
        self->last = NULL;
    first->sent = true;
    return first;
}

const char *endpoint_address(const endpoint_t *self)
{
    return self->address;
}

endpoint_t *endpoint_next(const endpoint_t *self)
{
    return self->next;
}

void endpoint_set_next(endpoint_t *self, endpoint_t *next)
{
    self->next = next;
}
