/*  receiver.c - takes deliveries in and hands them out by the receiver's rule

    What is attached is attachment.c's business, and the rule itself stands in positions.h;
    here they meet the deliveries, the acks and the application.                                  */

#include "acks.h"
#include "attachment.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BIND "tcp://127.0.0.1:*"
#define ACK_INTERVAL 5 //  ms
#define ACK_EVERY 256 //  pushes of one client
#define HEARTBEAT 2000 //  ms
#define FRAMES_TURN 16 //  deliveries until the broker's replies are looked at
#define CLOCK_STRIDE 16 //  entries until the clock is looked at

struct seqpush_receiver {
    seqpush_receiver_options_t options;
    uint8_t id[SEQPUSH_ID_MAX];
    char endpoint[256]; //  that is bound
    char *advertised; //  what the broker is told instead, or NULL
    void *dealer;
    void *pull;
    positions_t positions;
    attachment_t attachment;
    delivery_t delivery; //  the one that is handed out

    acks_t acks;
    uint64_t acks_generation; //  of which they are
    bool ack_now; //  enough has come for an ack, or something is missing
    int64_t acked_at; //  monotonic ms
    int64_t turned_at; //  monotonic ms when the present turn began
    int64_t clocked_at; //  monotonic ms when the clock was looked at in it
    unsigned stride; //  entries between two looks
    unsigned clock_in; //  entries until the next one

    long handed; //  pushes and gap notices handed out by this poll
    seqpush_receiver_stats_t stats;
};

//  ---- what the application is told
//  ---------------------------------------------------------------

static void s_hand_out(seqpush_receiver_t *self, const delivery_entry_t *entry)
{
    const seqpush_push_t *push = &entry->push;
    self->handed++;
    if (entry->skipped_to == 0) {
        self->stats.pushes++;
        self->options.on_push(self->options.arg, push);
        return;
    }
    self->stats.gaps++;
    self->stats.gap_seqs += entry->skipped_to - push->seq + 1;
    if (self->options.on_gap)
        self->options.on_gap(self->options.arg, push->client_id, push->client_id_size, push->epoch,
                             push->seq, entry->skipped_to);
}

static void s_on_jump(void *arg, const position_t *position)
{
    seqpush_receiver_t *self = arg;
    self->stats.jumps++;
    if (!self->options.on_jump)
        return;
    seqpush_position_t to = {position->id, position->id_size, position->epoch, position->seq};
    self->options.on_jump(self->options.arg, &to);
}

static void s_on_detached(void *arg, const void *id, size_t id_size, const char *reason)
{
    seqpush_receiver_t *self = arg;
    if (self->options.on_detached)
        self->options.on_detached(self->options.arg, id, id_size, reason);
}

//  ---- life --------------------------------------------------------------------------------------

static bool s_check_options(const seqpush_receiver_options_t *options)
{
    return options->broker && options->on_push && options->id_size >= 1 &&
           options->id_size <= SEQPUSH_ID_MAX;
}

static bool s_copy_options(seqpush_receiver_t *self, const seqpush_receiver_options_t *options)
{
    self->options = *options;
    memcpy(self->id, options->id, options->id_size);
    if (options->advertise && !(self->advertised = strdup(options->advertise)))
        return false;
    if (!self->options.ack_interval)
        self->options.ack_interval = ACK_INTERVAL;
    if (!self->options.ack_every)
        self->options.ack_every = ACK_EVERY;
    if (!self->options.heartbeat)
        self->options.heartbeat = HEARTBEAT;
    return true;
}

static bool s_open(seqpush_receiver_t *self)
{
    size_t size = sizeof self->endpoint;
    self->pull = socket_open(ZMQ_PULL);
    self->dealer = self->pull ? socket_open(ZMQ_DEALER) : NULL;
    if (!self->dealer)
        return false;
    if (zmq_bind(self->pull, self->options.bind ? self->options.bind : BIND) == -1 ||
        zmq_getsockopt(self->pull, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == -1)
        return false;
    if (zmq_connect(self->dealer, self->options.broker) == 0)
        return true;
    errno = EINVAL;
    return false;
}

static bool s_init_attachment(seqpush_receiver_t *self)
{
    self->attachment = (attachment_t){
        .dealer = self->dealer,
        .positions = &self->positions,
        .id = self->id,
        .id_size = self->options.id_size,
        .endpoint = self->advertised ? self->advertised : self->endpoint,
        .no_acks = self->options.ack_mode == SEQPUSH_ACK_NONE,
        .heartbeat = self->options.heartbeat,
        .on_jump = s_on_jump,
        .on_detached = s_on_detached,
        .arg = self,
    };
    return attachment_init(&self->attachment);
}

seqpush_receiver_t *seqpush_receiver_new(const seqpush_receiver_options_t *options)
{
    if (!s_check_options(options)) {
        errno = EINVAL;
        return NULL;
    }
    seqpush_receiver_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->stride = self->clock_in = 1;
    if (!s_copy_options(self, options) || !s_open(self) || !s_init_attachment(self)) {
        int error = errno;
        seqpush_receiver_destroy(&self);
        errno = error;
    } else {
        self->options.broker = self->options.bind = self->options.advertise = NULL;
        self->options.id = self->id;
    }
    return self;
}

const char *seqpush_receiver_endpoint(const seqpush_receiver_t *self)
{
    return self->endpoint;
}

const seqpush_receiver_stats_t *seqpush_receiver_stats(const seqpush_receiver_t *self)
{
    return &self->stats;
}

//  ---- acks --------------------------------------------------------------------------------------

static bool s_send_ack(seqpush_receiver_t *self)
{
    zmq_msg_t message;
    uint64_t request_id = ++self->attachment.last_request_id;
    if (!acks_request(&self->acks, self->id, self->options.id_size, self->acks_generation,
                      request_id, &message) ||
        !socket_send(self->dealer, &message))
        return false;
    self->stats.acks++;
    acks_drop(&self->acks);
    return true;
}

//  Sends what is to be acknowledged and named as missing. What the socket does not take stays.
static void s_send_acks(seqpush_receiver_t *self, int64_t now)
{
    self->acked_at = now;
    self->ack_now = false;
    while (!acks_is_empty(&self->acks) && !self->attachment.blocked)
        self->attachment.blocked = !s_send_ack(self);
}

//  Acks belong to a generation, and go with it.
static void s_renew_acks(seqpush_receiver_t *self)
{
    if (self->acks_generation == self->attachment.generation)
        return;
    self->acks_generation = self->attachment.generation;
    self->ack_now = false;
    acks_clear(&self->acks);
}

static void s_touch(seqpush_receiver_t *self, position_t *position)
{
    if (self->options.ack_mode != SEQPUSH_ACK_NONE)
        acks_add(&self->acks, position);
}

static bool s_is_ack_due(const seqpush_receiver_t *self, int64_t since, int64_t now)
{
    return self->ack_now ||
           (self->acks.received && now - since >= (int64_t)self->options.ack_interval);
}

//  Looks at the clock within a delivery: after every entry if the application is slow, else every
//  few. An ack goes out here only if the turn takes long; else it waits for the end of the turn.
static void s_look_at_clock(seqpush_receiver_t *self)
{
    int64_t now = socket_clock();
    bool slow = now - self->clocked_at >= (int64_t)self->options.ack_interval;
    int64_t since = self->acked_at > self->turned_at ? self->acked_at : self->turned_at;
    self->stride = slow ? 1 : self->stride < CLOCK_STRIDE ? self->stride * 2 : CLOCK_STRIDE;
    self->clock_in = self->stride;
    self->clocked_at = now;
    if (s_is_ack_due(self, since, now))
        s_send_acks(self, now);
}

//  ---- deliveries --------------------------------------------------------------------------------

static void s_take(seqpush_receiver_t *self, position_t *position, const delivery_entry_t *entry)
{
    position_set(position, entry->push.epoch,
                 entry->skipped_to ? entry->skipped_to : entry->push.seq);
    s_touch(self, position);
    if (++position->unacked >= self->options.ack_every)
        self->ack_now = true;
    s_hand_out(self, entry);
}

//  The stream goes on elsewhere. That a client begins somewhere is no jump.
static void s_move(seqpush_receiver_t *self, position_t *position, const delivery_entry_t *entry)
{
    bool jump = position->known;
    position_set(position, entry->push.epoch, entry->push.seq);
    if (!jump)
        return;
    s_touch(self, position);
    s_on_jump(self, position);
}

//  Names the position after which something is missing, once.
static void s_miss(seqpush_receiver_t *self, position_t *position)
{
    self->stats.ahead++;
    if (position->missing_in == self->acks_generation)
        return;
    position->missing_in = self->acks_generation;
    acks_add_missing(&self->acks, position);
    self->stats.missing++;
    self->ack_now = true;
}

//  An entry lies ahead. Without acks the broker keeps nothing that could come again, so there the
//  stream goes on with what has come.
static void s_on_ahead(seqpush_receiver_t *self, position_t *position,
                       const delivery_entry_t *entry)
{
    if (self->options.ack_mode == SEQPUSH_ACK_CUMULATIVE) {
        s_miss(self, position);
        return;
    }
    position_set(position, entry->push.epoch, entry->push.seq - 1);
    s_on_jump(self, position);
    s_take(self, position, entry);
}

//  The position of a client that may be served; NULL drops the entry. A marker brings in, or back,
//  a client that a prefix covers.
static inline position_t *s_admit(seqpush_receiver_t *self, const delivery_entry_t *entry)
{
    const seqpush_push_t *push = &entry->push;
    position_t *position = positions_find(&self->positions, push->client_id, push->client_id_size);
    if (position && position->state != CLIENT_OUT)
        return position;
    if (self->attachment.prefix_count == 0 || (position && !entry->marker))
        return NULL;
    position = positions_get(&self->positions, push->client_id, push->client_id_size);
    if (position)
        position->state = CLIENT_PREFIXED;
    return position;
}

static inline void s_on_entry(seqpush_receiver_t *self, const delivery_entry_t *entry)
{
    position_t *position = s_admit(self, entry);
    self->stats.markers += entry->marker;
    if (!position)
        return;
    switch (position_judge(position, entry)) {
    case ENTRY_FOLLOWS:
        s_take(self, position, entry);
        break;
    case ENTRY_MOVES:
        s_move(self, position, entry);
        break;
    case ENTRY_CONFIRMS:
        s_touch(self, position); //  an earlier ack may be lost
        break;
    case ENTRY_DUPLICATE:
        self->stats.duplicates++;
        s_touch(self, position);
        break;
    case ENTRY_AHEAD:
        s_on_ahead(self, position, entry);
        break;
    }
}

//  Generation 0 is passthrough and routes: neither ordered nor acknowledged.
static void s_on_unordered(seqpush_receiver_t *self)
{
    for (size_t i = 0; i < self->delivery.count; i++)
        if (!self->delivery.entries[i].marker)
            s_hand_out(self, &self->delivery.entries[i]);
}

static void s_on_ordered(seqpush_receiver_t *self)
{
    for (size_t i = 0; i < self->delivery.count; i++) {
        s_on_entry(self, &self->delivery.entries[i]);
        if (self->ack_now || --self->clock_in == 0)
            s_look_at_clock(self);
    }
}

static void s_on_delivery(seqpush_receiver_t *self, const void *bytes, size_t size)
{
    self->stats.deliveries++;
    if (!delivery_read(&self->delivery, bytes, size))
        self->stats.malformed++;
    else if (self->delivery.generation == 0)
        s_on_unordered(self);
    else if (self->delivery.generation == self->attachment.generation)
        s_on_ordered(self);
    else
        self->stats.foreign++;
}

//  Deliveries are not read while an Attach is to come, lest those of its generation were dropped.
static bool s_may_read(const seqpush_receiver_t *self)
{
    return self->attachment.generation || !attachment_is_wanted(&self->attachment);
}

static int s_take_deliveries(seqpush_receiver_t *self)
{
    int rc = 1;
    for (int i = 0; i < FRAMES_TURN && rc > 0 && s_may_read(self); i++) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        rc = socket_receive(self->pull, &message);
        if (rc > 0)
            s_on_delivery(self, zmq_msg_data(&message), zmq_msg_size(&message));
        zmq_msg_close(&message);
    }
    return rc < 0 ? rc : 0;
}

//  ---- attach and detach -------------------------------------------------------------------------

int seqpush_receiver_attach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t seq)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    bool added = attachment_add_client(&self->attachment, client_id, client_id_size, epoch, seq);
    return added ? 0 : -ENOMEM;
}

int seqpush_receiver_attach_prefix(seqpush_receiver_t *self, const void *prefix, size_t size)
{
    if (size > SEQPUSH_ID_MAX)
        return -EINVAL;
    return attachment_add_prefix(&self->attachment, prefix, size) ? 0 : -ENOMEM;
}

int seqpush_receiver_detach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size)
{
    s_send_acks(self, socket_clock()); //  what was received is still this receiver's to acknowledge
    if (client_id)
        attachment_remove_client(&self->attachment, client_id, client_id_size);
    else
        attachment_remove_all(&self->attachment);
    return 0;
}

bool seqpush_receiver_attached(const seqpush_receiver_t *self)
{
    return attachment_is_complete(&self->attachment);
}

//  ---- polling -----------------------------------------------------------------------------------

static void s_on_reply(seqpush_receiver_t *self, const Seqpush__V1__Reply *reply)
{
    self->stats.errors += !reply || reply->body_case == SEQPUSH__V1__REPLY__BODY_ERROR;
    if (reply)
        attachment_reply(&self->attachment, reply);
    self->stats.attaches = self->attachment.attaches;
}

static int s_take_replies(seqpush_receiver_t *self)
{
    Seqpush__V1__Reply *reply;
    int rc;
    while ((rc = socket_receive_reply(self->dealer, &reply)) > 0) {
        s_on_reply(self, reply);
        seqpush__v1__reply__free_unpacked(reply, NULL);
    }
    return rc;
}

//  Does all that can be done without waiting. Returns 0 or a negative errno.
static int s_turn(seqpush_receiver_t *self)
{
    self->attachment.blocked = false;
    int rc = s_take_replies(self);
    self->turned_at = self->clocked_at = socket_clock();
    attachment_turn(&self->attachment, self->turned_at);
    s_renew_acks(self);
    int rc2 = s_take_deliveries(self);
    if (!acks_is_empty(&self->acks)) {
        int64_t now = socket_clock();
        if (s_is_ack_due(self, self->acked_at, now))
            s_send_acks(self, now);
    }
    return rc < 0 ? rc : rc2;
}

static int s_wait(seqpush_receiver_t *self, int64_t until)
{
    bool blocked = self->attachment.blocked;
    zmq_pollitem_t items[] = {
        {.socket = self->dealer, .events = (short)(ZMQ_POLLIN | (blocked ? ZMQ_POLLOUT : 0))},
        {.socket = self->pull, .events = ZMQ_POLLIN},
    };
    until = socket_earlier(until, attachment_due_at(&self->attachment));
    if (self->acks.received && !blocked)
        until = socket_earlier(until, self->acked_at + self->options.ack_interval);
    return socket_wait(items, s_may_read(self) ? 2 : 1, until);
}

long seqpush_receiver_poll(seqpush_receiver_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    self->handed = 0;
    for (;;) {
        int rc = s_turn(self);
        if (self->handed || rc < 0 || timeout_ms == 0)
            return self->handed ? self->handed : rc;
        rc = s_wait(self, until);
        if (rc < 0)
            return rc;
        if (until >= 0 && socket_clock() >= until)
            timeout_ms = 0;
    }
}

//  ---- the end -----------------------------------------------------------------------------------

void seqpush_receiver_destroy(seqpush_receiver_t **self_p)
{
    seqpush_receiver_t *self = *self_p;
    if (!self)
        return;
    if (self->dealer) {
        s_send_acks(self, 0);
        attachment_farewell(&self->attachment);
    }
    socket_close(&self->dealer);
    socket_close(&self->pull);
    positions_fini(&self->positions);
    delivery_fini(&self->delivery);
    attachment_fini(&self->attachment);
    free(self->advertised);
    free(self);
    *self_p = NULL;
}
