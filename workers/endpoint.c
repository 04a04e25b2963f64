//  endpoint.c - one PUSH socket and what waits for it; see endpoint.h

#include "endpoint.h"
#include "wire.h"
#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

//  PUSH sockets have the second I/O thread, so that peers which make the broker connect and close do not
//  hold up the front's, which is the first.
#define ENDPOINT_IO_THREAD 2

#define PATIENCE_MIN 1000000 //  ns until an endpoint that would block is tried again, doubled
#define PATIENCE_MAX 64000000 //  up to this while it takes nothing

struct endpoint {
    char *address;
    uint64_t generation;
    int send_hwm;
    const certificate_t *curve; //  NULL: plaintext
    char server_key[CERTIFICATE_KEY_SIZE];
    void *socket; //  NULL: closed, or could not be made
    dispatch_t *first;
    dispatch_t *last;
    uint64_t backlog; //  entries that wait
    zmq_msg_t message; //  a Delivery that would have blocked
    uint32_t message_size; //  its bytes
    uint32_t message_count; //  its entries; 0: there is none
    int64_t patience; //  ns between tries, while it would block; 0: it did not
    int64_t retry_at;
    endpoint_t *next;
};

endpoint_t *endpoint_new(const endpoint_settings_t *settings)
{
    endpoint_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->generation = settings->generation;
    self->send_hwm = (int)settings->send_hwm;
    self->curve = settings->curve;
    if (self->curve)
        memcpy(self->server_key, settings->server_key, sizeof self->server_key);
    self->address = strdup(settings->address);
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

static void s_set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static bool s_set_key(void *socket, int option, const char *key)
{
    return zmq_setsockopt(socket, option, key, CERTIFICATE_KEY_SIZE) == 0;
}

//  The receiver's socket is the server, whose key it has named; the broker shows its own.
static bool s_secure(const endpoint_t *self, void *socket)
{
    return !self->curve || (s_set_key(socket, ZMQ_CURVE_SERVERKEY, self->server_key) &&
                            s_set_key(socket, ZMQ_CURVE_PUBLICKEY, self->curve->public_key) &&
                            s_set_key(socket, ZMQ_CURVE_SECRETKEY, self->curve->secret_key));
}

static void *s_new_socket(const endpoint_t *self)
{
    //  Not zsock_new: it aborts the process where no descriptor is left.
    void *socket = zmq_socket(zsys_init(), ZMQ_PUSH);
    if (!socket)
        return NULL;
    uint64_t affinity = ENDPOINT_IO_THREAD;
    zmq_setsockopt(socket, ZMQ_AFFINITY, &affinity, sizeof affinity);
    //  ZMQ_IMMEDIATE stays off: it would destroy what is queued when the receiver goes away.
    s_set(socket, ZMQ_LINGER, 0);
    s_set(socket, ZMQ_SNDHWM, self->send_hwm);
    s_set(socket, ZMQ_TCP_KEEPALIVE, 1);
    s_set(socket, ZMQ_IPV6, strchr(self->address, '[') != NULL);
    s_set(socket, ZMQ_RECONNECT_IVL, 100);
    s_set(socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    if (s_secure(self, socket))
        return socket;
    int error = errno;
    zmq_close(socket);
    errno = error;
    return NULL;
}

int endpoint_open(endpoint_t *self)
{
    assert(!self->socket);
    self->socket = s_new_socket(self);
    if (!self->socket)
        return -errno;
    if (zmq_connect(self->socket, self->address) == 0)
        return 0;
    int error = -errno;
    zmq_close(self->socket);
    self->socket = NULL;
    return error;
}

pipe_item_t *endpoint_close(endpoint_t *self, int linger)
{
    if (self->message_count)
        zmq_msg_close(&self->message);
    self->message_count = 0;
    if (self->socket) {
        s_set(self->socket, ZMQ_LINGER, linger);
        zmq_close(self->socket);
    }
    self->socket = NULL;
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

//  Counts the entries that go into the next Delivery, and their bytes. They are of one generation.
static uint32_t s_measure(const endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes,
                          size_t *size)
{
    uint32_t count = 0;
    *size = 0;
    for (dispatch_t *at = self->first; at && at->passthrough == self->first->passthrough;
         at = (dispatch_t *)at->item.next)
        for (uint32_t i = at->next; i < at->count; i++) {
            if (count == batch_max || (count && *size + at->entries[i].size > batch_bytes))
                return count;
            *size += at->entries[i].size;
            count++;
        }
    return count;
}

//  The generation of the next Delivery.
static uint64_t s_generation(const endpoint_t *self)
{
    return self->first->passthrough ? 0 : self->generation;
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
    wire_put_varint_field(to, WIRE_DELIVERY_GENERATION, s_generation(self));
}

//  Copies what waits into a Delivery of the exact size.
static bool s_gather(endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes)
{
    size_t size;
    uint32_t count = s_measure(self, batch_max, batch_bytes, &size);
    size += wire_varint_field_size(s_generation(self));
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
    int rc = zmq_msg_send(&self->message, self->socket, ZMQ_DONTWAIT);
    if (rc < 0)
        return errno == EAGAIN ? ENDPOINT_WOULD_BLOCK : ENDPOINT_FAILED;
    *send = (endpoint_send_t){self->message_count, self->message_size, pipe_clock() - start};
    s_advance(self);
    self->patience = 0;
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

int64_t endpoint_put_off(endpoint_t *self, int64_t now)
{
    self->patience = self->patience ? self->patience * 2 : PATIENCE_MIN;
    if (self->patience > PATIENCE_MAX)
        self->patience = PATIENCE_MAX;
    self->retry_at = now + self->patience;
    return self->retry_at;
}

int64_t endpoint_retry_at(const endpoint_t *self)
{
    return self->retry_at;
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
