//  door.c - the front's connections; see door.h

#include "door.h"
#include "log.h"
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define EVENTS \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)

struct door {
    void *router;
    void *monitor;
    uint64_t *numbers; //  of connections, by descriptor; 0: none
    size_t numbers_size;
    uint64_t last_number;
    uint64_t connections;
    uint64_t connections_max;
    front_stats_t *stats;
};

static void *s_open_monitor(void)
{
    int unbounded = 0, linger = 0;
    void *monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    if (!monitor)
        return NULL;
    //  At a mark libzmq's I/O thread would wait for the front.
    zmq_setsockopt(monitor, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
    zmq_setsockopt(monitor, ZMQ_LINGER, &linger, sizeof linger);
    return monitor;
}

//  Tells events under a name of its own: that of a door before may be taken for a while still.
static bool s_monitor(door_t *self)
{
    static unsigned doors;
    char name[32];
    snprintf(name, sizeof name, "inproc://door-%u", ++doors);
    self->monitor = s_open_monitor();
    return self->monitor && zmq_socket_monitor(self->router, name, EVENTS) == 0 &&
           zmq_connect(self->monitor, name) == 0;
}

door_t *door_new(void *router, uint32_t connections_max, front_stats_t *stats)
{
    door_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->router = router;
    self->connections_max = connections_max;
    self->stats = stats;
    if (!s_monitor(self))
        door_destroy(&self);
    return self;
}

void door_destroy(door_t **self_p)
{
    door_t *self = *self_p;
    if (!self)
        return;
    zmq_socket_monitor(self->router, NULL, 0);
    if (self->monitor)
        zmq_close(self->monitor);
    free(self->numbers);
    free(self);
    *self_p = NULL;
}

void *door_socket(const door_t *self)
{
    return self->monitor;
}

//  libzmq closes the descriptor when it sees the end; were it another connection's by now, that one's peer
//  would have to connect again, no more.
void door_hang_up(door_t *self, int descriptor)
{
    if (descriptor >= 0)
        shutdown(descriptor, SHUT_RDWR);
    stats_add(&self->stats->connections_refused, 1);
}

uint64_t door_connection(const door_t *self, int descriptor)
{
    return descriptor >= 0 && (size_t)descriptor < self->numbers_size ? self->numbers[descriptor]
                                                                      : 0;
}

//  Without memory the connection has no number.
static void s_number(door_t *self, int descriptor)
{
    size_t size = (size_t)descriptor + 1;
    if (size > self->numbers_size) {
        uint64_t *numbers = realloc(self->numbers, size * sizeof *numbers);
        if (!numbers)
            return;
        memset(numbers + self->numbers_size, 0, (size - self->numbers_size) * sizeof *numbers);
        self->numbers = numbers;
        self->numbers_size = size;
    }
    self->numbers[descriptor] = ++self->last_number;
}

static void s_take(door_t *self, uint16_t event, int value)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        s_number(self, value);
        if (++self->connections <= self->connections_max)
            break;
        door_hang_up(self, value);
        log_limited(LOG_STRANGERS, LOG_LEVEL_WARNING,
                    "a connection beyond front/max_connections or the descriptors is refused");
        break;
    case ZMQ_EVENT_DISCONNECTED:
        self->connections -= self->connections > 0;
        if (door_connection(self, value))
            self->numbers[value] = 0;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        stats_add(&self->stats->bad_handshakes, 1);
        break;
    default:
        stats_add(&self->stats->unfinished_handshakes, 1);
    }
}

//  Receives one event: its kind and a value in the first frame, the endpoint in the second.
static bool s_receive(door_t *self, uint16_t *event, int32_t *value)
{
    uint8_t frame[sizeof *event + sizeof *value];
    char endpoint[256];
    if (zmq_recv(self->monitor, frame, sizeof frame, ZMQ_DONTWAIT) != sizeof frame)
        return false;
    memcpy(event, frame, sizeof *event);
    memcpy(value, frame + sizeof *event, sizeof *value);
    zmq_recv(self->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    return true;
}

void door_look(door_t *self)
{
    uint16_t event;
    int32_t value;
    bool any = false;
    while (s_receive(self, &event, &value)) {
        s_take(self, event, value);
        any = true;
    }
    if (any)
        stats_set(&self->stats->connections, self->connections);
}
