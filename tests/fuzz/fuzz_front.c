//  fuzz_front.c - a run of messages through the whole front: read, judged by a key, decided, answered
//
//  The input is messages, each behind two bytes of its size and its peer. The front's socket is made of the
//  functions of libzmq that it calls: what it receives is the input, what it sends is dropped. What the core
//  then wants to send is taken, and reported as sent at once.

#include "decider.h"
#include "front_state.h"
#include "policy.h"
#include <stdlib.h>
#include <string.h>

#define DISPATCH_MAX 16 //  entries
#define PARTS_MAX 4
#define PIPE_CAPACITY 64

//  Keys: one that may have some clients, one that may end what is another's, one that is not known.
static const char *const s_keys[] = {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
                                     "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
                                     "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *bytes;
    size_t size;
} part_t;

typedef struct {
    orderer_stats_t stats;
    front_stats_t front_stats;
    stats_t inflight;
    core_t *core;
    decider_t decider;
    front_t front;
    pipe_t *far; //  the orderer's end
    int64_t now;
} world_t;

//  The message that the socket has, and whose it is.
static struct {
    part_t parts[PARTS_MAX];
    size_t count, at;
    const char *key;
} s_message;

//  ---- the socket --------------------------------------------------------------------------------

int __wrap_zmq_msg_recv(zmq_msg_t *message, void *socket, int flags);
int __wrap_zmq_msg_more(const zmq_msg_t *message);
int __wrap_zmq_msg_get(const zmq_msg_t *message, int property);
const char *__wrap_zmq_msg_gets(const zmq_msg_t *message, const char *property);
int __wrap_zmq_send(void *socket, const void *bytes, size_t size, int flags);
int __wrap_zmq_msg_send(zmq_msg_t *message, void *socket, int flags);
void __wrap_door_hang_up(door_t *door, int descriptor);
void __wrap_door_look(door_t *door);
uint64_t __wrap_door_connection(const door_t *door, int descriptor);

int __wrap_zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
    (void)socket, (void)flags;
    if (s_message.at == s_message.count)
        return -1;
    part_t part = s_message.parts[s_message.at++];
    zmq_msg_close(message);
    if (zmq_msg_init_size(message, part.size) != 0)
        abort();
    if (part.size)
        memcpy(zmq_msg_data(message), part.bytes, part.size);
    return (int)part.size;
}

int __wrap_zmq_msg_more(const zmq_msg_t *message)
{
    (void)message;
    return s_message.at < s_message.count;
}

int __wrap_zmq_msg_get(const zmq_msg_t *message, int property)
{
    return property == ZMQ_MORE ? __wrap_zmq_msg_more(message) : -1;
}

const char *__wrap_zmq_msg_gets(const zmq_msg_t *message, const char *property)
{
    (void)message, (void)property;
    return s_message.key;
}

int __wrap_zmq_send(void *socket, const void *bytes, size_t size, int flags)
{
    (void)socket, (void)bytes, (void)flags;
    return (int)size;
}

int __wrap_zmq_msg_send(zmq_msg_t *message, void *socket, int flags)
{
    (void)socket, (void)flags;
    int size = (int)zmq_msg_size(message);
    zmq_msg_close(message);
    return size;
}

void __wrap_door_hang_up(door_t *door, int descriptor)
{
    (void)door, (void)descriptor;
}

void __wrap_door_look(door_t *door)
{
    (void)door;
}

uint64_t __wrap_door_connection(const door_t *door, int descriptor)
{
    (void)door, (void)descriptor;
    return 1;
}

//  ---- the broker --------------------------------------------------------------------------------

static access_t *s_access(void)
{
    char *roles[] = {"publisher", "receiver"}, *admin = "admin", *any = "*", *ids = "a*";
    char *endpoint = "tcp://*:*";
    config_access_t keys[] = {{.name = "key",
                               .public = (char *)s_keys[0],
                               .role = {roles, 2},
                               .clients = {&ids, 1},
                               .receivers = {&any, 1},
                               .endpoints = {&endpoint, 1}},
                              {.name = "admin",
                               .public = (char *)s_keys[1],
                               .role = {&admin, 1},
                               .clients = {&any, 1},
                               .receivers = {&any, 1}}};
    config_t config = {.security = {.keys = keys, .key_count = 2}};
    return access_new(&config);
}

static void s_open_front(world_t *self, bool curve)
{
    static pipe_t *near, *far;
    if (!near && pipe_new(&near, &far, PIPE_CAPACITY) != 0)
        abort();
    self->far = far;
    self->front.settings =
        (front_settings_t){.limits = {.max_payload = 256, .max_pushes = 64, .key = {1}},
                           .publisher_credit = 64,
                           .publisher_rate = 1000000,
                           .connections_max = 3,
                           .unread_max = 65536,
                           .access = curve ? s_access() : NULL,
                           .instance = 1,
                           .orderer = near,
                           .stats = &self->front_stats};
    self->front.stats = &self->front_stats;
    self->front.peers.key = self->front.settings.limits.key;
}

static void s_open(world_t *self, bool curve)
{
    static const char *const allow[] = {"tcp://*:*", "ipc://*"};
    core_settings_t settings = {.policy = &policy_deadline,
                                .window = 16,
                                .first_seq = 1,
                                .gap_timeout = 50,
                                .gap_alarm = 20,
                                .max_clients = 8,
                                .client_idle_timeout = 1000,
                                .memory_max = 8192,
                                .max_unacked = 8,
                                .max_unacked_bytes = 4096,
                                .backlog = 32,
                                .backlog_bytes = 4096,
                                .ack_timeout = 100,
                                .retain_max = 500,
                                .receiver_timeout = 300,
                                .max_receivers = 4,
                                .first_generation = 1};
    *self = (world_t){.now = 1};
    self->core = core_new(&settings, &self->stats);
    self->decider = (decider_t){.core = self->core,
                                .stats = &self->stats,
                                .instance = 1,
                                .allow_endpoint = allow,
                                .allow_count = 2};
    s_open_front(self, curve);
}

static void s_close(world_t *self)
{
    peer_fini(&self->front.peers);
    access_destroy(&self->front.settings.access);
    core_destroy(&self->core);
}

//  ---- what the core wants -----------------------------------------------------------------------

static dispatch_t *s_dispatch(dispatch_kind_t kind, receiver_t *receiver)
{
    dispatch_t *dispatch = calloc(1, sizeof *dispatch + DISPATCH_MAX * sizeof dispatch->entries[0]);
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    return dispatch;
}

static void s_return(world_t *self, dispatch_t *dispatch)
{
    dispatch->sent = true;
    core_returned(self->core, dispatch, self->now);
    free(dispatch);
}

static void s_do_effects(world_t *self)
{
    core_effect_t effect;
    while (core_effect(self->core, &effect)) {
        if (effect.kind == EFFECT_OPEN)
            effect.receiver->inflight = &self->inflight;
        if (effect.kind == EFFECT_OPEN)
            s_return(self, s_dispatch(DISPATCH_OPEN, effect.receiver));
        else if (effect.kind == EFFECT_CLOSE)
            s_return(self, s_dispatch(DISPATCH_CLOSE, effect.receiver));
    }
}

static void s_send(world_t *self)
{
    receiver_t *receiver;
    while ((receiver = core_ready(self->core))) {
        dispatch_t *dispatch = s_dispatch(DISPATCH_PUSHES, receiver);
        core_fill(self->core, receiver, dispatch, DISPATCH_MAX, 2048, self->now);
        s_return(self, dispatch);
    }
}

//  ---- messages ----------------------------------------------------------------------------------

//  Which peers send what: a frame alone, or behind an empty one, or too many; with which key; and one has a
//  routing id that is too long.
static void s_compose(uint8_t peer, const uint8_t *bytes, size_t size)
{
    static const uint8_t routes[512];
    size_t route = peer == 15 ? sizeof routes : 1 + peer % 8u;
    s_message.count = s_message.at = 0;
    s_message.key = peer % 4 == 3 ? NULL : s_keys[peer % 4];
    s_message.parts[s_message.count++] = (part_t){routes, route};
    if (peer >= 8 && peer < 12)
        s_message.parts[s_message.count++] = (part_t){routes, 0};
    s_message.parts[s_message.count++] = (part_t){bytes, size};
    if (peer == 14)
        s_message.parts[s_message.count++] = (part_t){bytes, size};
}

//  What the orderer does with what the front has read.
static void s_decide(world_t *self)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(self->far, &waited);
    while (item) {
        request_t *request = (request_t *)item;
        item = item->next;
        decider_decide(&self->decider, request, self->now);
        request->item.next = NULL;
        pipe_put(self->far, &request->item, 1);
    }
    pipe_flush(self->far);
}

static void s_pass(world_t *self)
{
    self->front.frames = self->front.taken = 0;
    front_read(&self->front);
    s_decide(self);
    while (front_take_replies(&self->front))
        ;
}

//  The keys are read again: all of them lose their sessions, and have others.
static void s_reload(world_t *self)
{
    config_t config = {0};
    access_t *none = access_new(&config), *all = s_access();
    front_admit(&self->front, none);
    front_admit(&self->front, all);
    pipe_flush(self->front.settings.orderer);
    s_decide(self);
}

static void s_turn(world_t *self)
{
    const core_confirmation_t *told;
    self->now += 10;
    if (core_next_tick(self->core) <= self->now)
        core_tick(self->core, self->now);
    s_do_effects(self);
    s_send(self);
    core_confirmations(self->core, &told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world_t world;
    bool curve = size && data[0] & 1;
    s_open(&world, curve);
    while (size >= 2) {
        size_t frame = (size_t)(data[0] | (data[1] & 0x0f) << 8);
        uint8_t peer = data[1] >> 4;
        frame = frame > size - 2 ? size - 2 : frame;
        s_compose(peer, data + 2, frame);
        s_pass(&world);
        if (curve && frame == 0)
            s_reload(&world);
        s_turn(&world);
        data += 2 + frame;
        size -= 2 + frame;
    }
    s_pass(&world);
    s_turn(&world);
    s_close(&world);
    return 0;
}
