/*  socket.c - the shared context, and what every socket of the library is set to */

#include "socket.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

//  Sockets that a process may have; libzmq's own default of 1,023 ends at 341 receivers.
#define SOCKETS_MAX 16384

//  Bytes of a frame that is taken in; what is larger costs the connection.
#define FRAME_MAX ((int64_t)256 << 20)

#define RECONNECT_MIN 100 //  ms between attempts to connect, at first
#define RECONNECT_MAX 5000

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static void *s_context;
static unsigned s_users;

static void *s_acquire_context(void)
{
    pthread_mutex_lock(&s_lock);
    if (!s_context) {
        s_context = zmq_ctx_new();
        if (s_context)
            zmq_ctx_set(s_context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    }
    if (s_context)
        s_users++;
    void *context = s_context;
    pthread_mutex_unlock(&s_lock);
    return context;
}

static void s_release_context(void)
{
    pthread_mutex_lock(&s_lock);
    if (--s_users == 0) {
        while (zmq_ctx_term(s_context) == -1 && errno == EINTR)
            continue;
        s_context = NULL;
    }
    pthread_mutex_unlock(&s_lock);
}

static void s_set(void *self, int option, int value)
{
    zmq_setsockopt(self, option, &value, sizeof value);
}

static void s_configure(void *self, int type)
{
    int64_t frame_max = FRAME_MAX;
    zmq_setsockopt(self, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    s_set(self, ZMQ_LINGER, 0);
    s_set(self, ZMQ_TCP_KEEPALIVE, 1);
    s_set(self, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    s_set(self, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    s_set(self, ZMQ_TCP_KEEPALIVE_CNT, 3);
    if (type == ZMQ_PAIR)
        s_set(self, ZMQ_RCVHWM, 0); //  at a mark the I/O thread would wait for who reads it
    if (type != ZMQ_DEALER)
        return;
    s_set(self, ZMQ_IMMEDIATE, 1);
    s_set(self, ZMQ_SNDHWM, 0);
    s_set(self, ZMQ_RCVHWM, 0);
    s_set(self, ZMQ_RECONNECT_IVL, RECONNECT_MIN);
    s_set(self, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX);
}

void *socket_make(void *context, int type)
{
    void *self = zmq_socket(context, type);
    if (self)
        s_configure(self, type);
    return self;
}

void *socket_open(int type)
{
    void *context = s_acquire_context();
    if (!context)
        return NULL;
    void *self = socket_make(context, type);
    if (!self) {
        int error = errno;
        s_release_context();
        errno = error;
    }
    return self;
}

bool socket_secure(void *self, const certificate_t *certificate, const char *server_key)
{
    size_t size = CERTIFICATE_KEY_SIZE;
    return zmq_setsockopt(self, ZMQ_CURVE_SERVERKEY, server_key, size) == 0 &&
           zmq_setsockopt(self, ZMQ_CURVE_PUBLICKEY, certificate->public_key, size) == 0 &&
           zmq_setsockopt(self, ZMQ_CURVE_SECRETKEY, certificate->secret_key, size) == 0;
}

int socket_read_keys(certificate_t *certificate, const char *key_file, const char *server_key)
{
    *certificate = (certificate_t){0};
    if (!key_file && !server_key)
        return 0;
    if (!key_file || !server_key || !certificate_is_key(server_key))
        return -EINVAL;
    return certificate_read(certificate, key_file) ? -EACCES : 1;
}

void socket_close(void **self_p)
{
    if (!*self_p)
        return;
    zmq_close(*self_p);
    *self_p = NULL;
    s_release_context();
}

void *socket_monitor(void *self)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://seqpush-monitor-%p", self);
    void *monitor = socket_open(ZMQ_PAIR);
    if (monitor && zmq_socket_monitor(self, endpoint, ZMQ_EVENT_CONNECTED) == 0 &&
        zmq_connect(monitor, endpoint) == 0)
        return monitor;
    int error = errno;
    socket_close_monitor(self, &monitor);
    errno = error;
    return NULL;
}

void socket_close_monitor(void *self, void **monitor_p)
{
    if (!*monitor_p)
        return;
    zmq_socket_monitor(self, NULL, 0);
    socket_close(monitor_p);
}

bool socket_was_connected(void *monitor)
{
    zmq_msg_t message;
    bool told = false;
    zmq_msg_init(&message);
    while (socket_receive(monitor, &message) > 0)
        told = true;
    zmq_msg_close(&message);
    return told;
}

bool socket_send(void *self, zmq_msg_t *message)
{
    int rc;
    do
        rc = zmq_msg_send(message, self, ZMQ_DONTWAIT);
    while (rc == -1 && errno == EINTR);
    if (rc == -1)
        zmq_msg_close(message);
    return rc != -1;
}

bool socket_send_request(void *self, const Seqpush__V1__Request *request)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, seqpush__v1__request__get_packed_size(request)) == -1)
        return false;
    seqpush__v1__request__pack(request, zmq_msg_data(&message));
    return socket_send(self, &message);
}

int socket_receive(void *self, zmq_msg_t *message)
{
    if (zmq_msg_recv(message, self, ZMQ_DONTWAIT) != -1)
        return 1;
    return errno == EAGAIN ? 0 : -errno;
}

int socket_receive_reply(void *self, Seqpush__V1__Reply **reply)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    int rc = socket_receive(self, &message);
    *reply = NULL;
    if (rc > 0)
        *reply = seqpush__v1__reply__unpack(NULL, zmq_msg_size(&message), zmq_msg_data(&message));
    zmq_msg_close(&message);
    return rc;
}

int socket_wait(zmq_pollitem_t *items, int count, int64_t until)
{
    long timeout = -1;
    if (until >= 0) {
        int64_t left = until - socket_clock();
        timeout = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (long)left;
    }
    return zmq_poll(items, count, timeout) == -1 ? -errno : 0;
}

int64_t socket_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t socket_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : socket_clock() + timeout_ms;
}
