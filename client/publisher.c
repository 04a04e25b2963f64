/*  publisher.c - hands pushes to the broker in batches and hears what became of each

    Pushes go straight into the open batch, or through a lane if they have to wait. Everything
    that is taken stays undecided until a reply has told its outcome; see outbox.h for how a
    batch gets there, and lane.h for what is tried again.                                         */

#include "lane.h"
#include "socket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_MAX 64
#define BATCH_BYTES ((size_t)64 << 10)
#define UNDECIDED_MAX 16384
#define UNDECIDED_BYTES ((size_t)64 << 20)
#define REPLY_TIMEOUT 2000 //  ms
#define FIRST_CREDIT 1024 //  pushes, until the broker has named a credit

//  A request_id with this bit is a Skip's or a Reset's. PushBatches count on without a gap, because
//  one PushAck may cover the last n of them.
#define ASK_ID ((uint64_t)1 << 63)

//  The answer to a Skip or Reset.
typedef struct {
    uint64_t request_id; //  0: none is waited for
    int rc; //  1 until it is there
    uint64_t epoch;
    uint64_t seq;
} ask_t;

struct seqpush_publisher {
    seqpush_publisher_options_t options;
    void *socket;
    outbox_t outbox;
    lanes_t lanes;
    batch_t *open; //  takes what is handed in, or NULL

    size_t undecided; //  pushes taken and without an outcome
    size_t undecided_bytes; //  bytes of them
    uint64_t decided; //  pushes that got an outcome, ever
    bool flowing; //  something was decided since the last wait

    uint64_t last_ask_id;
    ask_t ask;
    seqpush_publisher_stats_t stats;
};

//  What a reply says of a batch: `all` for each push that `rejected` does not name.
typedef struct {
    seqpush_outcome_t all;
    Seqpush__V1__Rejection **rejected;
    size_t rejected_count;
    const uint64_t *assigned;
    size_t assigned_count;
} verdict_t;

const char *seqpush_outcome_name(seqpush_outcome_t outcome)
{
    static const char *const names[] = {
        "accepted",       "duplicate",           "stale",
        "window_full",    "backlog_full",        "overloaded",
        "epoch_mismatch", "too_large",           "invalid",
        "forbidden",      "storage_unavailable", "shutting_down",
    };
    return (unsigned)outcome < sizeof names / sizeof *names ? names[outcome] : "unknown";
}

//  ---- life --------------------------------------------------------------------------------------

static void s_set_defaults(seqpush_publisher_options_t *options)
{
    options->broker = NULL;
    if (!options->batch_max)
        options->batch_max = BATCH_MAX;
    if (!options->batch_bytes)
        options->batch_bytes = BATCH_BYTES;
    if (!options->undecided_max)
        options->undecided_max = UNDECIDED_MAX;
    if (!options->undecided_bytes)
        options->undecided_bytes = UNDECIDED_BYTES;
    if (!options->reply_timeout)
        options->reply_timeout = REPLY_TIMEOUT;
}

static bool s_connect(seqpush_publisher_t *self, const char *broker)
{
    self->socket = socket_open(ZMQ_DEALER);
    if (!self->socket)
        return false;
    if (zmq_connect(self->socket, broker) == 0)
        return true;
    errno = EINVAL;
    return false;
}

static void s_init_outbox(seqpush_publisher_t *self)
{
    self->lanes.outbox = &self->outbox;
    self->outbox.socket = self->socket;
    self->outbox.batch_max = self->options.batch_max;
    self->outbox.batch_bytes = self->options.batch_bytes;
    self->outbox.reply_timeout = self->options.reply_timeout;
    self->outbox.credit = FIRST_CREDIT;
}

seqpush_publisher_t *seqpush_publisher_new(const seqpush_publisher_options_t *options)
{
    if (!options->broker) {
        errno = EINVAL;
        return NULL;
    }
    seqpush_publisher_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    s_set_defaults(&self->options);
    if (!s_connect(self, options->broker)) {
        int error = errno;
        seqpush_publisher_destroy(&self);
        errno = error;
        return NULL;
    }
    s_init_outbox(self);
    return self;
}

void seqpush_publisher_destroy(seqpush_publisher_t **self_p)
{
    seqpush_publisher_t *self = *self_p;
    if (!self)
        return;
    socket_close(&self->socket);
    batch_destroy(&self->open);
    lanes_fini(&self->lanes);
    outbox_fini(&self->outbox);
    free(self);
    *self_p = NULL;
}

const seqpush_publisher_stats_t *seqpush_publisher_stats(const seqpush_publisher_t *self)
{
    return &self->stats;
}

//  ---- handing in --------------------------------------------------------------------------------

static inline void s_put(seqpush_publisher_t *self, batch_t *batch, const seqpush_push_t *push)
{
    batch_put(batch, push);
    if (outbox_is_full(&self->outbox, batch))
        outbox_seal(&self->outbox, &self->open);
}

static inline int s_hand_in(seqpush_publisher_t *self, const seqpush_push_t *push, size_t size)
{
    batch_t *batch = outbox_room(&self->outbox, &self->open, size);
    if (!batch)
        return -ENOMEM;
    s_put(self, batch, push);
    return 0;
}

//  A sequenced push waits if its client has a lane, unless it fills a hole before it.
static int s_hand_in_sequenced(seqpush_publisher_t *self, const seqpush_push_t *push, size_t size)
{
    lane_t *lane = lanes_find(&self->lanes, push);
    if (!lane || lane_is_behind(lane, push->epoch, push->seq))
        return s_hand_in(self, push, size);
    return lanes_put(&self->lanes, lane, push) ? 0 : -ENOMEM;
}

static int s_hand_in_numberless(seqpush_publisher_t *self, const seqpush_push_t *push, size_t size)
{
    batch_t *batch = outbox_room(&self->outbox, &self->open, size);
    lane_t *lane = batch ? lanes_get(&self->lanes, push) : NULL;
    if (!lane)
        return -ENOMEM;
    if (!lane_may_pass(lane, batch))
        return lanes_put(&self->lanes, lane, push) ? 0 : -ENOMEM;
    lane_pass(lane, batch);
    s_put(self, batch, push);
    return 0;
}

//  Pushes that do not wait in lanes.
static size_t s_moving(const seqpush_publisher_t *self)
{
    return self->undecided - self->lanes.held;
}

static bool s_has_room(const seqpush_publisher_t *self)
{
    return self->undecided < self->options.undecided_max && s_moving(self) < self->outbox.credit &&
           self->undecided_bytes < self->options.undecided_bytes;
}

int seqpush_publisher_push(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    if (push->client_id_size == 0 || push->client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    if (!s_has_room(self))
        return -EAGAIN;
    size_t size = batch_push_size(push);
    int rc;
    if (push->seq == 0)
        rc = s_hand_in_numberless(self, push, size);
    else if (self->lanes.table)
        rc = s_hand_in_sequenced(self, push, size);
    else
        rc = s_hand_in(self, push, size);
    if (rc == 0) {
        self->stats.pushed++;
        self->undecided++;
        self->undecided_bytes += size;
    }
    return rc;
}

int seqpush_publisher_flush(seqpush_publisher_t *self)
{
    outbox_seal(&self->outbox, &self->lanes.fed);
    outbox_seal(&self->outbox, &self->open);
    outbox_transmit(&self->outbox);
    return 0;
}

//  ---- outcomes ----------------------------------------------------------------------------------

static bool s_may_pass(seqpush_outcome_t outcome)
{
    return outcome == SEQPUSH_WINDOW_FULL || outcome == SEQPUSH_BACKLOG_FULL ||
           outcome == SEQPUSH_OVERLOADED || outcome == SEQPUSH_STORAGE_UNAVAILABLE;
}

static void s_report(seqpush_publisher_t *self, const seqpush_push_t *push, size_t size,
                     seqpush_outcome_t outcome)
{
    self->stats.outcomes[outcome]++;
    self->decided++;
    self->undecided--;
    self->undecided_bytes -= size;
    if (self->options.on_outcome)
        self->options.on_outcome(self->options.arg, push, outcome);
}

static const Seqpush__V1__Rejection *s_rejection_of(verdict_t *verdict, uint32_t index)
{
    if (verdict->rejected_count == 0 || verdict->rejected[0]->index != index)
        return NULL;
    verdict->rejected_count--;
    return *verdict->rejected++;
}

static uint64_t s_assigned_seq(verdict_t *verdict)
{
    if (verdict->assigned_count == 0)
        return 0;
    verdict->assigned_count--;
    return *verdict->assigned++;
}

static void s_decide_push(seqpush_publisher_t *self, const batch_t *batch, seqpush_push_t *push,
                          size_t size, verdict_t *verdict, uint32_t index)
{
    const Seqpush__V1__Rejection *rejection = s_rejection_of(verdict, index);
    seqpush_outcome_t outcome = rejection ? (seqpush_outcome_t)rejection->outcome : verdict->all;
    if ((unsigned)outcome > SEQPUSH_SHUTTING_DOWN)
        outcome = SEQPUSH_INVALID;
    uint64_t assigned = push->seq ? push->seq : s_assigned_seq(verdict);
    bool refused = s_may_pass(outcome);
    if ((refused || batch->fed || push->seq == 0) &&
        lanes_decide(&self->lanes, batch, push, refused, rejection ? rejection->retry_after_ms : 0))
        return;
    push->seq = assigned;
    s_report(self, push, size, outcome);
}

static void s_decide_each(seqpush_publisher_t *self, const batch_t *batch, verdict_t *verdict)
{
    seqpush_push_t push;
    uint32_t index = 0;
    size_t from = 0;
    for (size_t at = 0; batch_next(batch, &at, &push); from = at)
        s_decide_push(self, batch, &push, at - from, verdict, index++);
}

//  Decides a batch that is on the wire. Pushes that nobody needs to look at are only counted.
static void s_decide(seqpush_publisher_t *self, batch_t *batch, verdict_t verdict)
{
    outbox_remove(&self->outbox, batch);
    self->flowing = true;
    if (self->options.on_outcome || batch->fed || batch->numberless || verdict.rejected_count ||
        verdict.all != SEQPUSH_ACCEPTED) {
        s_decide_each(self, batch, &verdict);
    } else {
        self->stats.outcomes[SEQPUSH_ACCEPTED] += batch->count;
        self->decided += batch->count;
        self->undecided -= batch->count;
        self->undecided_bytes -= batch->size;
    }
    outbox_recycle(&self->outbox, batch);
}

//  ---- replies -----------------------------------------------------------------------------------

//  Decides the batches that were sent under the ids first..last. Callbacks may hand in more
//  meanwhile, which only appends to the wire.
static void s_decide_range(seqpush_publisher_t *self, uint64_t first, uint64_t last,
                           verdict_t verdict)
{
    batch_t *batch = self->outbox.wire;
    while (batch && batch->first_id <= last) {
        batch_t *next = batch->next;
        if (outbox_is_answered(batch, first, last))
            s_decide(self, batch, verdict);
        batch = next;
    }
}

//  True if the rejections are in the order of the batch, as they have to be.
static bool s_is_ordered(const Seqpush__V1__PushAck *ack)
{
    for (size_t i = 1; i < ack->n_rejected; i++)
        if (ack->rejected[i]->index <= ack->rejected[i - 1]->index)
            return false;
    return true;
}

static void s_on_push_ack(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    const Seqpush__V1__PushAck *ack = reply->push_ack;
    uint64_t last = reply->request_id;
    uint64_t requests = ack->requests ? ack->requests : 1;
    uint64_t first = last >= requests ? last - requests + 1 : 1;
    if (last > self->outbox.last_request_id || !s_is_ordered(ack)) {
        self->stats.errors++;
        return;
    }
    if (ack->credit)
        self->outbox.credit = ack->credit;
    self->stats.unreceived += ack->unreceived;
    verdict_t verdict = {SEQPUSH_ACCEPTED, ack->rejected, ack->n_rejected, ack->assigned,
                         ack->n_assigned};
    s_decide_range(self, first, last, verdict);
    outbox_note_answer(&self->outbox, reply->instance, first, last);
}

static seqpush_outcome_t s_outcome_of_error(const char *code)
{
    if (strcmp(code, "overloaded") == 0)
        return SEQPUSH_OVERLOADED;
    if (strcmp(code, "shutting_down") == 0)
        return SEQPUSH_SHUTTING_DOWN;
    return strcmp(code, "forbidden") == 0 ? SEQPUSH_FORBIDDEN : SEQPUSH_INVALID;
}

static void s_answer(seqpush_publisher_t *self, uint64_t request_id, int rc,
                     const Seqpush__V1__Position *position)
{
    if (request_id != self->ask.request_id)
        return;
    self->ask.rc = rc;
    self->ask.epoch = position ? position->epoch : 0;
    self->ask.seq = position ? position->seq : 0;
}

static void s_on_error(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    uint64_t id = reply->request_id;
    self->stats.errors++;
    if (id & ASK_ID) {
        s_answer(self, id, -EPROTO, NULL);
    } else if (id && id <= self->outbox.last_request_id) {
        s_decide_range(self, id, id, (verdict_t){.all = s_outcome_of_error(reply->error->code)});
        outbox_note_answer(&self->outbox, reply->instance, id, id);
    }
}

static void s_on_reply(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    switch (reply->body_case) {
    case SEQPUSH__V1__REPLY__BODY_PUSH_ACK:
        s_on_push_ack(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_ERROR:
        s_on_error(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_POSITION:
        s_answer(self, reply->request_id, 0, reply->position);
        break;
    default:
        break; //  unasked news that this library does not use
    }
}

static int s_take_replies(seqpush_publisher_t *self)
{
    Seqpush__V1__Reply *reply;
    int rc;
    while ((rc = socket_receive_reply(self->socket, &reply)) > 0) {
        if (reply)
            s_on_reply(self, reply);
        else
            self->stats.errors++;
        seqpush__v1__reply__free_unpacked(reply, NULL);
    }
    return rc;
}

//  ---- waiting -----------------------------------------------------------------------------------

//  Does all that can be done without waiting. Returns 0 or a negative errno.
static int s_turn(seqpush_publisher_t *self)
{
    int rc = s_take_replies(self);
    int64_t now = socket_clock();
    lanes_wake(&self->lanes, now);
    seqpush_publisher_flush(self);
    if (!self->outbox.blocked)
        outbox_resend_overdue(&self->outbox, now);
    self->stats.retries = self->lanes.retries;
    self->stats.resends = self->outbox.resends;
    return rc;
}

//  While the window is full and replies are flowing they are left to gather: at 8 pushes a µs, more
//  than any broker decides, an eighth of the window is not free before this time. Each wake-up
//  that is saved is processor time for the broker.
static int s_gather(seqpush_publisher_t *self, int64_t until)
{
    size_t max = self->options.undecided_max;
    long us = (long)((max < self->outbox.credit ? max : self->outbox.credit) / 64);
    if (!self->flowing || us < 50 || (until >= 0 && until - socket_clock() < 2))
        return 0;
    struct timespec time = {.tv_nsec = (us < 1000 ? us : 1000) * 1000};
    return nanosleep(&time, NULL) == -1 ? -errno : 0;
}

static int s_wait(seqpush_publisher_t *self, int64_t until)
{
    if (self->lanes.pausing)
        until = socket_earlier(until, self->lanes.pausing->due);
    until = socket_earlier(until, outbox_overdue_at(&self->outbox));
    short events = (short)(ZMQ_POLLIN | (self->outbox.blocked ? ZMQ_POLLOUT : 0));
    zmq_pollitem_t item = {.socket = self->socket, .events = events};
    self->flowing = false;
    return socket_wait(&item, 1, until);
}

static bool s_is_eighth_free(size_t used, size_t max, size_t held)
{
    size_t window = max > held ? max - held : 0;
    return used - held <= window - window / 8;
}

//  True if it pays to hand in more: an eighth is free of what pushes in lanes do not take up.
static bool s_is_roomy(const seqpush_publisher_t *self)
{
    uint32_t credit = self->outbox.credit;
    return s_moving(self) <= credit - credit / 8 &&
           s_is_eighth_free(self->undecided, self->options.undecided_max, self->lanes.held) &&
           s_is_eighth_free(self->undecided_bytes, self->options.undecided_bytes,
                            self->lanes.held_bytes);
}

long seqpush_publisher_poll(seqpush_publisher_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    uint64_t decided = self->decided;
    for (;;) {
        int rc = s_turn(self);
        bool roomy = s_is_roomy(self);
        if (self->undecided == 0 || (roomy && self->decided != decided) || timeout_ms == 0)
            return rc < 0 ? rc : (long)self->undecided;
        if (rc == 0 && !roomy)
            rc = s_gather(self, until);
        if (rc == 0)
            rc = s_wait(self, until);
        if (rc < 0)
            return rc;
        if (until >= 0 && socket_clock() >= until)
            timeout_ms = 0;
    }
}

int seqpush_publisher_drain(seqpush_publisher_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    for (;;) {
        int64_t left = until < 0 ? -1 : until - socket_clock();
        long rc = seqpush_publisher_poll(self, left < 0 && until >= 0 ? 0 : (int)left);
        if (rc <= 0)
            return (int)rc;
        if (until >= 0 && left <= 0)
            return -ETIMEDOUT;
    }
}

//  ---- skip and reset ----------------------------------------------------------------------------

//  Sends the request, as soon as the socket takes it, and waits for the answer.
static int s_ask_until(seqpush_publisher_t *self, const Seqpush__V1__Request *request,
                       int64_t until)
{
    bool sent = false;
    for (;;) {
        int rc = s_turn(self);
        if (self->ask.rc <= 0)
            return self->ask.rc;
        if (!sent && !self->outbox.sealed)
            self->outbox.blocked = !(sent = socket_send_request(self->socket, request));
        if (rc == 0 && until >= 0 && socket_clock() >= until)
            return -ETIMEDOUT;
        if (rc == 0)
            rc = s_wait(self, until);
        if (rc < 0)
            return rc;
    }
}

static int s_ask(seqpush_publisher_t *self, Seqpush__V1__Request *request,
                 seqpush_position_t *position, int timeout_ms)
{
    request->request_id = ASK_ID | ++self->last_ask_id;
    self->ask = (ask_t){.request_id = request->request_id, .rc = 1};
    int rc = s_ask_until(self, request, socket_deadline(timeout_ms));
    self->ask.request_id = 0;
    if (rc == 0 && position) {
        position->epoch = self->ask.epoch;
        position->seq = self->ask.seq;
    }
    return rc;
}

int seqpush_publisher_skip(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                           uint64_t epoch, uint64_t from, uint64_t to, seqpush_position_t *position,
                           int timeout_ms)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    Seqpush__V1__Skip skip = SEQPUSH__V1__SKIP__INIT;
    skip.client_id = (ProtobufCBinaryData){client_id_size, (uint8_t *)client_id};
    skip.epoch = epoch;
    skip.from = from;
    skip.to = to;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_SKIP;
    request.skip = &skip;
    return s_ask(self, &request, position, timeout_ms);
}

int seqpush_publisher_reset(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t next_seq, seqpush_position_t *position,
                            int timeout_ms)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    Seqpush__V1__Reset reset = SEQPUSH__V1__RESET__INIT;
    reset.client_id = (ProtobufCBinaryData){client_id_size, (uint8_t *)client_id};
    reset.epoch = epoch;
    reset.next_seq = next_seq;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_RESET;
    request.reset = &reset;
    return s_ask(self, &request, position, timeout_ms);
}
