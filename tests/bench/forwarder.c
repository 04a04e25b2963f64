/*  forwarder.c - the limit of what ZeroMQ can do where a broker stands

    Takes frames in on a ROUTER socket and moves each one, untouched, to the next of a number of
   PUSH sockets. It reads nothing, orders nothing, answers nothing and keeps nothing: the broker is
    measured against it. It runs until it is killed.

    The PUSH sockets bind and the receivers connect, so that no port needs to be known beforehand.
 */

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define ENDPOINTS_MAX 1000
#define ENDPOINT_SIZE 256

typedef struct {
    void *socket;
    char endpoint[ENDPOINT_SIZE]; //  what it is bound to
} bound_t;

//  Without its sockets there is nothing that the process could do.
static void s_check(int rc, const char *what)
{
    if (rc != -1)
        return;
    fprintf(stderr, "forwarder: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

static bound_t s_bind(void *context, int type)
{
    bound_t self = {.socket = zmq_socket(context, type)};
    size_t size = sizeof self.endpoint;
    s_check(self.socket ? 0 : -1, "socket");
    s_check(zmq_bind(self.socket, "tcp://127.0.0.1:*"), "bind");
    s_check(zmq_getsockopt(self.socket, ZMQ_LAST_ENDPOINT, self.endpoint, &size), "endpoint");
    return self;
}

static void s_forward(void *from, const bound_t *to, size_t count)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (size_t next = 0;; next = next + 1 < count ? next + 1 : 0) {
        s_check(zmq_msg_recv(&message, from, 0), "routing id");
        s_check(zmq_msg_recv(&message, from, 0), "frame");
        s_check(zmq_msg_send(&message, to[next].socket, 0), "send");
    }
}

int main(int argc, char **argv)
{
    unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (count < 1 || count > ENDPOINTS_MAX) {
        fprintf(stderr, "Usage: forwarder ENDPOINTS, 1 to %d of them\n", ENDPOINTS_MAX);
        return 1;
    }
    void *context = zmq_ctx_new();
    s_check(context ? 0 : -1, "context");
    static bound_t to[ENDPOINTS_MAX];
    bound_t from = s_bind(context, ZMQ_ROUTER);
    for (size_t i = 0; i < count; i++)
        to[i] = s_bind(context, ZMQ_PUSH);
    fprintf(stderr, "ready front=%s push=", from.endpoint);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s%s", i ? "," : "", to[i].endpoint);
    fputc('\n', stderr);
    s_forward(from.socket, to, count);
}
