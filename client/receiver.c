/*  receiver.c - makes receivers and lets them work

    What is attached is attachment.c's business, and the rule itself stands in positions.h;
    here they meet the deliveries, the acks and the application.                                  */

#include "receiver_state.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BIND "tcp://127.0.0.1:*"
#define ACK_INTERVAL 5 //  ms
#define ACK_EVERY 256 //  pushes of one client
#define HEARTBEAT 2000 //  ms

//  ---- life --------------------------------------------------------------------------------------

static void s_on_jump(void *arg, const position_t *position)
{
    receiver_tell_jump(arg, position);
}

static void s_on_passed_over(void *arg, position_t *position)
{
    receiver_miss(arg, position);
}

static void s_on_detached(void *arg, const void *id, size_t id_size, const char *reason)
{
    seqpush_receiver_t *self = arg;
    if (self->options.on_detached)
        self->options.on_detached(self->options.arg, id, id_size, reason);
}

static bool s_check_options(const seqpush_receiver_options_t *options)
{
    const seqpush_positions_store_t *store = &options->store;
    return options->broker && options->on_push && options->id_size >= 1 &&
           options->id_size <= SEQPUSH_ID_MAX && !store->load == !store->save &&
           (!store->save || options->ack_mode == SEQPUSH_ACK_CUMULATIVE);
}

static bool s_copy_options(seqpush_receiver_t *self, const seqpush_receiver_options_t *options)
{
    self->options = *options;
    memcpy(self->id, options->id, options->id_size);
    if (options->advertise && !(self->advertised = strdup(options->advertise)))
        return false;
    if (options->store.save && !(self->saving = calloc(ACKS_MAX, sizeof *self->saving)))
        return false;
    if (!self->options.ack_interval)
        self->options.ack_interval = ACK_INTERVAL;
    if (!self->options.ack_every)
        self->options.ack_every = ACK_EVERY;
    if (!self->options.heartbeat)
        self->options.heartbeat = HEARTBEAT;
    return true;
}

static bool s_open_plain(seqpush_receiver_t *self)
{
    self->pull = socket_open(ZMQ_PULL);
    self->dealer = self->pull ? socket_open(ZMQ_DEALER) : NULL;
    return self->dealer != NULL;
}

static bool s_open_guarded(seqpush_receiver_t *self, const certificate_t *certificate)
{
    int rc = guard_open(&self->guard, self->options.server_key);
    if (rc < 0) {
        errno = -rc;
        return false;
    }
    memcpy(self->public_key, certificate->public_key, sizeof self->public_key);
    self->pull = guard_socket(&self->guard, certificate);
    self->dealer = self->pull ? socket_open(ZMQ_DEALER) : NULL;
    return self->dealer && socket_secure(self->dealer, certificate, self->options.server_key);
}

static bool s_open_sockets(seqpush_receiver_t *self)
{
    certificate_t certificate;
    int rc = socket_read_keys(&certificate, self->options.key_file, self->options.server_key);
    bool ok = rc > 0 ? s_open_guarded(self, &certificate) : rc == 0 && s_open_plain(self);
    certificate_forget(&certificate);
    if (rc < 0)
        errno = -rc;
    return ok;
}

static bool s_open(seqpush_receiver_t *self)
{
    size_t size = sizeof self->endpoint;
    if (!s_open_sockets(self))
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
        .server_key = self->public_key,
        .no_acks = self->options.ack_mode == SEQPUSH_ACK_NONE,
        .heartbeat = self->options.heartbeat,
        .on_jump = s_on_jump,
        .on_passed_over = s_on_passed_over,
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
        self->options.key_file = self->options.server_key = NULL;
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

//  ---- attach and detach -------------------------------------------------------------------------

int seqpush_receiver_attach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t seq)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    seqpush_position_t at = {client_id, client_id_size, epoch, seq};
    int rc = epoch || seq ? 0 : receiver_load(self, &at);
    if (rc < 0)
        return rc;
    bool added =
        attachment_add_client(&self->attachment, client_id, client_id_size, at.epoch, at.seq);
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
    receiver_send_acks(
        self, socket_clock()); //  what was received is still this receiver's to acknowledge
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
    guard_answer(&self->guard);
    int rc = s_take_replies(self);
    self->turned_at = self->clocked_at = socket_clock();
    attachment_beat(&self->attachment, self->turned_at);
    if (receiver_renew_acks(self, self->turned_at))
        attachment_reconcile(&self->attachment, self->turned_at);
    int rc2 = receiver_take_deliveries(self);
    if (!acks_is_empty(&self->acks)) {
        int64_t now = socket_clock();
        if (receiver_is_ack_due(self, self->acked_at, now))
            receiver_send_acks(self, now);
    }
    return rc < 0 ? rc : rc2;
}

static int64_t s_ack_at(const seqpush_receiver_t *self)
{
    int64_t at = self->acked_at + self->options.ack_interval;
    return at > self->save_at ? at : self->save_at;
}

static int s_wait(seqpush_receiver_t *self, int64_t until)
{
    bool blocked = self->attachment.blocked;
    int count = 1;
    zmq_pollitem_t items[3] = {
        {.socket = self->dealer, .events = (short)(ZMQ_POLLIN | (blocked ? ZMQ_POLLOUT : 0))}};
    if (self->guard.zap)
        items[count++] = (zmq_pollitem_t){.socket = self->guard.zap, .events = ZMQ_POLLIN};
    if (receiver_may_read(self))
        items[count++] = (zmq_pollitem_t){.socket = self->pull, .events = ZMQ_POLLIN};
    until = socket_earlier(until, attachment_due_at(&self->attachment));
    if (self->acks.received && !blocked)
        until = socket_earlier(until, s_ack_at(self));
    return socket_wait(items, count, until);
}

//  What went wrong with the store, told once.
static int s_store_error(seqpush_receiver_t *self)
{
    int error = self->store_error;
    self->store_error = 0;
    return error;
}

long seqpush_receiver_poll(seqpush_receiver_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    self->handed = 0;
    for (;;) {
        int rc = s_turn(self);
        if (rc == 0 && !self->handed)
            rc = s_store_error(self);
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

static void s_close_pull(seqpush_receiver_t *self)
{
    if (!self->guard.context) {
        socket_close(&self->pull);
        return;
    }
    if (self->pull)
        zmq_close(self->pull);
    guard_close(&self->guard);
}

void seqpush_receiver_destroy(seqpush_receiver_t **self_p)
{
    seqpush_receiver_t *self = *self_p;
    if (!self)
        return;
    if (self->dealer) {
        self->save_at = 0;
        receiver_send_acks(self, socket_clock());
        attachment_farewell(&self->attachment);
    }
    socket_close(&self->dealer);
    s_close_pull(self);
    positions_fini(&self->positions);
    delivery_fini(&self->delivery);
    attachment_fini(&self->attachment);
    free(self->advertised);
    free(self->saving);
    free(self);
    *self_p = NULL;
}
