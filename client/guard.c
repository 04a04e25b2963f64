//  guard.c - keeps everybody but the broker away from a receiver's PULL socket; see guard.h

#include "guard.h"
#include "socket.h"
#include <errno.h>
#include <string.h>

#define DOMAIN "broker"
#define ZAP_ENFORCE_DOMAIN 93 //  zmq.h has the name among its drafts, libzmq has the option

//  The frames of a ZAP request.
enum { VERSION, REQUEST_ID, DOMAIN_NAME, ADDRESS, IDENTITY, MECHANISM, CREDENTIAL, FRAMES };
#define FRAME_ROOM 256 //  bytes of a frame; they come from libzmq, not from the peer

int guard_open(guard_t *self, const char *server_key)
{
    if (!zmq_z85_decode(self->broker, server_key))
        return -EINVAL;
    self->context = zmq_ctx_new();
    self->zap = self->context ? socket_make(self->context, ZMQ_REP) : NULL;
    if (self->zap && zmq_bind(self->zap, "inproc://zeromq.zap.01") == 0)
        return 0;
    return -errno;
}

static bool s_set(void *socket, int option, const void *value, size_t size)
{
    return zmq_setsockopt(socket, option, value, size) == 0;
}

void *guard_socket(guard_t *self, const certificate_t *certificate)
{
    int yes = 1;
    void *pull = socket_make(self->context, ZMQ_PULL);
    if (!pull || (s_set(pull, ZMQ_CURVE_SERVER, &yes, sizeof yes) &&
                  s_set(pull, ZMQ_CURVE_SECRETKEY, certificate->secret_key, CERTIFICATE_KEY_SIZE) &&
                  s_set(pull, ZMQ_ZAP_DOMAIN, DOMAIN, strlen(DOMAIN)) &&
                  s_set(pull, ZAP_ENFORCE_DOMAIN, &yes, sizeof yes)))
        return pull;
    int error = errno;
    zmq_close(pull);
    errno = error;
    return NULL;
}

//  ---- answering ---------------------------------------------------------------------------------

typedef struct {
    uint8_t frames[FRAMES][FRAME_ROOM];
    int sizes[FRAMES];
    int count;
} zap_request_t;

static bool s_receive(const guard_t *self, zap_request_t *request)
{
    *request = (zap_request_t){0};
    for (int more = 1; more; request->count++) {
        uint8_t spare[FRAME_ROOM];
        bool fits = request->count < FRAMES;
        int size = zmq_recv(self->zap, fits ? request->frames[request->count] : spare, FRAME_ROOM,
                            ZMQ_DONTWAIT);
        if (size < 0)
            return false;
        if (fits)
            request->sizes[request->count] = size < FRAME_ROOM ? size : FRAME_ROOM;
        size_t option_size = sizeof more;
        zmq_getsockopt(self->zap, ZMQ_RCVMORE, &more, &option_size);
    }
    return true;
}

static bool s_is_broker(const guard_t *self, const zap_request_t *request)
{
    return request->count == FRAMES && request->sizes[MECHANISM] == 5 &&
           memcmp(request->frames[MECHANISM], "CURVE", 5) == 0 &&
           request->sizes[CREDENTIAL] == sizeof self->broker &&
           memcmp(request->frames[CREDENTIAL], self->broker, sizeof self->broker) == 0;
}

static void s_send(const guard_t *self, const char *text, bool more)
{
    zmq_send(self->zap, text, strlen(text), ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void s_reply(const guard_t *self, const zap_request_t *request)
{
    bool granted = s_is_broker(self, request);
    s_send(self, "1.0", true);
    zmq_send(self->zap, request->frames[REQUEST_ID], (size_t)request->sizes[REQUEST_ID],
             ZMQ_DONTWAIT | ZMQ_SNDMORE);
    s_send(self, granted ? "200" : "400", true);
    s_send(self, granted ? "OK" : "not the broker", true);
    s_send(self, "", true);
    s_send(self, "", false);
}

void guard_answer(guard_t *self)
{
    zap_request_t request;
    while (self->zap && s_receive(self, &request))
        s_reply(self, &request);
}

void guard_close(guard_t *self)
{
    if (self->zap)
        zmq_close(self->zap);
    while (self->context && zmq_ctx_term(self->context) == -1 && errno == EINTR)
        continue;
    *self = (guard_t){0};
}
