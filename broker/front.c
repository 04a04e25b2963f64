//  front.c - the front actor; see front.h

#include "front_state.h"
#include "gate.h"
#include "pulse.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FRONT_IO_THREAD 1 //  the first; PUSH sockets have the second
#define SWEEP_EVERY 1000000000LL //  ns
#define PUBLISHES_FOR 10000000000LL //  ns without a push until a peer is no publisher any more
#define FORGET_AFTER 120000000000LL //  ns without a word until a peer is forgotten
#define FORGET_GONE_AFTER 5000000000LL //  ns since its connection has ended
#define FINISH_WITHIN 100000000LL //  ns for which the end reads requests, if they go on coming
#define FINISH_QUIET 10 //  ms without a request after which none is on its way

//  ---- the socket --------------------------------------------------------------------------------

#define ZAP_ENFORCE_DOMAIN 93 //  zmq.h has the name among its drafts, libzmq has the option

static bool s_set(void *socket, int option, const void *value, size_t size)
{
    return zmq_setsockopt(socket, option, value, size) == 0;
}

static bool s_set_number(void *socket, int option, int value)
{
    return s_set(socket, option, &value, sizeof value);
}

//  Whoever connects has a key, and the gate says that it is known. Only then may a peer that comes back
//  take its old connection's place: a stranger could take anybody's.
static bool s_secure(void *router, const certificate_t *curve)
{
    return s_set_number(router, ZMQ_CURVE_SERVER, 1) &&
           s_set(router, ZMQ_CURVE_SECRETKEY, curve->secret_key, sizeof curve->secret_key) &&
           s_set(router, ZMQ_ZAP_DOMAIN, GATE_DOMAIN, strlen(GATE_DOMAIN)) &&
           s_set_number(router, ZAP_ENFORCE_DOMAIN, 1) &&
           s_set_number(router, ZMQ_ROUTER_HANDOVER, 1);
}

static zsock_t *s_router(const front_settings_t *settings)
{
    //  The routing ids that the socket gives out begin at a random number of this generator's, and a peer that
    //  has chosen the next one would end the process. czmq seeds it by the second.
    srand(randombytes_random());
    zsock_t *router = zsock_new(ZMQ_ROUTER);
    if (!router)
        return NULL;
    //  Replies are at most one a request; the mark must exceed the credit, or replies vanish.
    zsock_set_sndhwm(router, (int)settings->publisher_credit + 1024);
    zsock_set_rcvhwm(router, 256);
    zsock_set_router_mandatory(router, 1);
    zsock_set_maxmsgsize(router, (int)(4 * settings->limits.max_payload + 65536));
    zsock_set_linger(router, 0);
    zsock_set_affinity(router, FRONT_IO_THREAD);
    //  ZMTP heartbeats stay off: on a ROUTER they can abort the process (libzmq #4364).
    zsock_set_tcp_keepalive(router, 1);
    zsock_set_tcp_keepalive_idle(router, 30);
    s_set_number(zsock_resolve(router), ZMQ_HANDSHAKE_IVL, (int)settings->handshake_timeout);
    return router;
}

static char *s_bind_failed(const char *endpoint)
{
    char *error = NULL;
    if (asprintf(&error, "cannot bind %s: %s", endpoint, zmq_strerror(errno)) < 0)
        return NULL;
    return error;
}

static bool s_bind(front_t *self, char **error)
{
    for (size_t i = 0; i < self->settings.bind_count; i++) {
        const char *endpoint = self->settings.bind[i];
        zsock_set_ipv6(self->router, strchr(endpoint, '[') != NULL);
        if (zmq_bind(self->handle, endpoint) != 0) {
            *error = s_bind_failed(endpoint);
            return false;
        }
        char *bound = zsock_last_endpoint(self->router), *all = NULL;
        if (asprintf(&all, "%s%s%s", self->endpoints ? self->endpoints : "",
                     self->endpoints ? "," : "", bound) < 0)
            all = NULL;
        free(bound);
        free(self->endpoints);
        self->endpoints = all;
    }
    return true;
}

front_t *front_new(const front_settings_t *settings, char **error)
{
    *error = NULL;
    front_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = settings->stats;
    self->peers.key = self->settings.limits.key;
    self->router = s_router(settings);
    self->handle = self->router ? zsock_resolve(self->router) : NULL;
    if (self->router && settings->curve && !s_secure(self->handle, settings->curve))
        *error = strdup("security/secret_file: this libzmq cannot enforce CURVE");
    if (self->router)
        self->door = door_new(self->handle, settings->connections_max, settings->stats);
    if (!self->door || *error || !s_bind(self, error))
        front_destroy(&self, 0);
    return self;
}

const char *front_endpoints(const front_t *self)
{
    return self->endpoints;
}

void front_destroy(front_t **self_p, uint32_t linger)
{
    front_t *self = *self_p;
    if (!self)
        return;
    peer_fini(&self->peers);
    if (self->router)
        zsock_set_linger(self->router, (int)linger);
    access_destroy(&self->settings.access);
    door_destroy(&self->door);
    zsock_destroy(&self->router);
    free(self->endpoints);
    free(self);
    *self_p = NULL;
}

//  ---- turns -------------------------------------------------------------------------------------

static void s_forget(front_t *self, peer_t *peer)
{
    peer_forget(&self->peers, peer);
    stats_set(&self->stats->peers, HASH_CNT(by_route, self->peers.by_route));
}

bool front_is_connected(const front_t *self, const peer_t *peer)
{
    return peer->connection && door_connection(self->door, peer->descriptor) == peer->connection;
}

//  What is on its way may still be answered, and a peer that comes back soon is the one that it was.
static bool s_may_forget(const front_t *self, peer_t *peer, int64_t now)
{
    if (front_is_connected(self, peer))
        peer->gone_at = 0;
    else if (!peer->gone_at)
        peer->gone_at = now;
    if (peer->undecided || peer->owed)
        return false;
    return now - peer->heard_at > FORGET_AFTER ||
           (peer->gone_at && now - peer->gone_at > FORGET_GONE_AFTER);
}

void front_sweep(front_t *self, int64_t now)
{
    uint64_t publishers = 0;
    peer_t *peer, *next;
    HASH_ITER (by_route, self->peers.by_route, peer, next) {
        if (peer->pushed_at && now - peer->pushed_at < PUBLISHES_FOR)
            publishers++;
        if (s_may_forget(self, peer, now))
            s_forget(self, peer);
    }
    stats_set(&self->stats->publishers, publishers);
    stats_set(&self->stats->peers, HASH_CNT(by_route, self->peers.by_route));
    self->swept_at = now;
}

//  Reads on for a moment, as long as something comes.
static void s_look_at_end(front_t *self, bool busy, int64_t now)
{
    if (busy)
        self->busy_at = now;
    self->deaf = self->deaf || now >= self->ends_at || now - self->busy_at > FINISH_QUIET * 1000000;
}

bool front_turn(front_t *self)
{
    bool busy = front_take_replies(self), read = self->frames > 0;
    self->frames = self->taken = 0;
    pipe_flush(self->settings.orderer);
    door_look(self->door);
    if (!self->peers.by_route && !self->ends_at)
        return busy;
    int64_t now = pipe_clock();
    if (now - self->swept_at > SWEEP_EVERY)
        front_sweep(self, now);
    if (self->ends_at)
        s_look_at_end(self, busy || read, now);
    return busy;
}

pipe_t *front_pipe(const front_t *self)
{
    return self->settings.orderer;
}

int front_items(const front_t *self, zmq_pollitem_t items[FRONT_ITEMS])
{
    items[0] = (zmq_pollitem_t){door_socket(self->door), 0, ZMQ_POLLIN, 0};
    items[1] = (zmq_pollitem_t){self->handle, 0, ZMQ_POLLIN, 0};
    return !self->deaf && pipe_has_credit(self->settings.orderer) ? 2 : 1;
}

long front_timeout(const front_t *self)
{
    if (self->ends_at && !self->deaf)
        return FINISH_QUIET;
    return self->peers.by_route ? (long)(SWEEP_EVERY / 1000000) : -1;
}

void front_admit(front_t *self, access_t *access)
{
    access_t *before = self->settings.access;
    for (peer_t *peer = self->peers.by_route; peer; peer = peer->by_route.next)
        if (peer->key)
            peer->key = access_find(access, access_public_key(peer->key));
    self->settings.access = access;
    access_compare(before, access, front_tell_key_changed, self);
    access_destroy(&before);
}

void front_end(front_t *self)
{
    self->busy_at = pipe_clock();
    self->ends_at = self->busy_at + FINISH_WITHIN;
}

bool front_ended(const front_t *self)
{
    return self->deaf && !self->undecided;
}

//  ---- a thread of its own -----------------------------------------------------------------------

static void s_take_access(front_t *self, zsock_t *control)
{
    void *access = NULL;
    zsock_recv(control, "p", &access);
    if (access)
        front_admit(self, access);
}

static void s_control(front_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        front_end(self);
    else if (command && strcmp(command, "ACCESS") == 0)
        s_take_access(self, control);
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->stats->pulses, 1);
    zstr_free(&command);
}

static void s_wait(front_t *self, zsock_t *control)
{
    zmq_pollitem_t items[FRONT_ITEMS + 2] = {{zsock_resolve(control), 0, ZMQ_POLLIN, 0}};
    int count = 1 + front_items(self, items + 1);
    if (pipe_wait(&self->settings.orderer, 1, items, count, front_timeout(self)) &&
        items[0].revents)
        s_control(self, control);
}

void front_run(zsock_t *control, void *args)
{
    front_t *self = args;
    pthread_setname_np(pthread_self(), "front");
    zsock_signal(control, 0);
    unsigned turn = 0;
    while (!front_ended(self)) {
        bool busy = front_turn(self);
        while (front_read(self))
            busy = true;
        if (!busy)
            s_wait(self, control);
        else if (++turn % CONTROL_EVERY == 0)
            s_control(self, control);
    }
}
