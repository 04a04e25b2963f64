//  gate.c - the gate actor; see gate.h

#include "gate.h"
#include "certificate.h"
#include "log.h"
#include "pulse.h"
#include <stdlib.h>
#include <string.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define HANDSHAKES_A_TURN 64

//  The frames of a ZAP request.
enum { VERSION, REQUEST_ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIAL, FRAMES };
#define FRAME_ROOM 256 //  bytes of a frame; they come from libzmq, not from the peer

struct gate {
    access_t *access;
    gate_stats_t *stats;
    void *zap; //  REP
    bool terminated;
};

//  ---- life --------------------------------------------------------------------------------------

static void *s_open(void)
{
    int unbounded = 0, linger = 0;
    void *socket = zmq_socket(zsys_init(), ZMQ_REP);
    if (!socket)
        return NULL;
    //  At a mark libzmq's I/O thread would wait for the gate.
    zmq_setsockopt(socket, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    return socket;
}

gate_t *gate_new(access_t *access, gate_stats_t *stats)
{
    gate_t *self = calloc(1, sizeof *self);
    if (!self) {
        access_destroy(&access);
        return NULL;
    }
    self->access = access;
    self->stats = stats;
    self->zap = s_open();
    if (!self->zap || zmq_bind(self->zap, ZAP_ENDPOINT) != 0)
        gate_destroy(&self);
    return self;
}

void gate_destroy(gate_t **self_p)
{
    gate_t *self = *self_p;
    if (!self)
        return;
    if (self->zap) {
        //  A close alone leaves the name taken for a while.
        zmq_unbind(self->zap, ZAP_ENDPOINT);
        zmq_close(self->zap);
    }
    access_destroy(&self->access);
    free(self);
    *self_p = NULL;
}

//  ---- who asks ----------------------------------------------------------------------------------

typedef struct {
    char frames[FRAMES][FRAME_ROOM]; //  each with a NUL behind it
    size_t sizes[FRAMES];
    int count;
} zap_request_t;

//  Receives one request; false: there is none.
static bool s_receive(gate_t *self, zap_request_t *request)
{
    *request = (zap_request_t){0};
    int more = 1;
    while (more) {
        char spare[FRAME_ROOM];
        char *room = request->count < FRAMES ? request->frames[request->count] : spare;
        int size = zmq_recv(self->zap, room, FRAME_ROOM - 1, ZMQ_DONTWAIT);
        if (size < 0)
            return false;
        if (request->count < FRAMES)
            request->sizes[request->count] = size < FRAME_ROOM ? (size_t)size : FRAME_ROOM;
        request->count++;
        size_t option_size = sizeof more;
        zmq_getsockopt(self->zap, ZMQ_RCVMORE, &more, &option_size);
    }
    return true;
}

static void s_send(gate_t *self, const char *text, bool more)
{
    zmq_send(self->zap, text, strlen(text), ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void s_answer(gate_t *self, const zap_request_t *request, const char *user_id)
{
    s_send(self, "1.0", true);
    zmq_send(self->zap, request->frames[REQUEST_ID], request->sizes[REQUEST_ID],
             ZMQ_DONTWAIT | ZMQ_SNDMORE);
    s_send(self, user_id ? "200" : "400", true);
    s_send(self, user_id ? "OK" : "not allowed", true);
    s_send(self, user_id ? user_id : "", true);
    s_send(self, "", false);
}

//  The peer's key as text, if the request is one that a key can answer.
static bool s_read_key(const zap_request_t *request, char key[CERTIFICATE_KEY_SIZE])
{
    return request->count == FRAMES && strcmp(request->frames[VERSION], "1.0") == 0 &&
           strcmp(request->frames[DOMAIN], GATE_DOMAIN) == 0 &&
           strcmp(request->frames[MECHANISM], "CURVE") == 0 && request->sizes[CREDENTIAL] == 32 &&
           zmq_z85_encode(key, (const uint8_t *)request->frames[CREDENTIAL], 32);
}

static void s_admit(gate_t *self, const zap_request_t *request)
{
    char key[CERTIFICATE_KEY_SIZE] = "";
    bool admitted = s_read_key(request, key) && access_find(self->access, key);
    s_answer(self, request, admitted ? key : NULL);
    stats_add(admitted ? &self->stats->admitted : &self->stats->unknown_key, 1);
    if (!admitted)
        log_limited(LOG_STRANGERS, LOG_LEVEL_WARNING, "%s may not connect: unknown key %s",
                    request->frames[ADDRESS], *key ? key : "(none)");
}

static bool s_take_requests(gate_t *self)
{
    zap_request_t request;
    for (int i = 0; i < HANDSHAKES_A_TURN; i++) {
        if (!s_receive(self, &request))
            return i > 0;
        s_admit(self, &request);
    }
    return true;
}

//  ---- the actor ---------------------------------------------------------------------------------

static void s_take_access(gate_t *self, zsock_t *control)
{
    void *access = NULL;
    zsock_recv(control, "p", &access);
    access_destroy(&self->access);
    self->access = access;
}

static void s_control(gate_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        self->terminated = true;
    else if (command && strcmp(command, "ACCESS") == 0)
        s_take_access(self, control);
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->stats->pulses, 1);
    zstr_free(&command);
}

void gate_run(zsock_t *control, void *args)
{
    gate_t *self = args;
    pthread_setname_np(pthread_self(), "gate");
    zsock_signal(control, 0);
    zmq_pollitem_t items[] = {{zsock_resolve(control), 0, ZMQ_POLLIN, 0},
                              {self->zap, 0, ZMQ_POLLIN, 0}};
    while (!self->terminated) {
        //  A table that was sent is in force before the next peer asks.
        s_control(self, control);
        bool busy = s_take_requests(self);
        if (!busy && !self->terminated)
            zmq_poll(items, 2, -1);
    }
}
