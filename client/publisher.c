/*  publisher.c - makes publishers and takes pushes in

    Pushes go straight into the open batch, or through a lane if they have to wait. Everything
    that is taken stays undecided until a reply has told its outcome; see outbox.h for how a
    batch gets there, and lane.h for what is tried again.                                         */

#include "publisher_state.h"
#include <errno.h>
#include <stdlib.h>

#define BATCH_MAX 64
#define BATCH_BYTES ((size_t)64 << 10)
#define UNDECIDED_MAX 16384
#define UNDECIDED_BYTES ((size_t)64 << 20)
#define REPLY_TIMEOUT 2000 //  ms
#define FIRST_CREDIT 1024 //  pushes, until the broker has named a credit

//  ---- life --------------------------------------------------------------------------------------

static void s_set_defaults(seqpush_publisher_options_t *options)
{
    options->broker = options->key_file = options->server_key = NULL;
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

static bool s_secure(void *socket, const seqpush_publisher_options_t *options)
{
    certificate_t certificate;
    int rc = socket_read_keys(&certificate, options->key_file, options->server_key);
    bool ok = rc == 0 || (rc > 0 && socket_secure(socket, &certificate, options->server_key));
    certificate_forget(&certificate);
    if (rc < 0)
        errno = -rc;
    return ok;
}

static bool s_connect(seqpush_publisher_t *self, const seqpush_publisher_options_t *options)
{
    self->socket = socket_open(ZMQ_DEALER);
    if (!self->socket || !s_secure(self->socket, options))
        return false;
    if (self->options.confirm && !(self->monitor = socket_monitor(self->socket)))
        return false;
    if (zmq_connect(self->socket, options->broker) == 0)
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
    self->outbox.confirm = self->options.confirm;
    self->outbox.connection = 1;
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
    if (!s_connect(self, options)) {
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
    socket_close_monitor(self->socket, &self->monitor);
    socket_close(&self->socket);
    unconfirmed_fini(&self->unconfirmed);
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

static bool s_has_room(const seqpush_publisher_t *self)
{
    return self->undecided < self->options.undecided_max &&
           publisher_moving(self) < self->outbox.credit &&
           self->undecided_bytes < self->options.undecided_bytes;
}

int publisher_hand_in(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    size_t size = batch_push_size(push);
    if (push->seq == 0)
        return s_hand_in_numberless(self, push, size);
    return self->lanes.table ? s_hand_in_sequenced(self, push, size) : s_hand_in(self, push, size);
}

int seqpush_publisher_push(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    bool confirm = self->options.confirm;
    if (push->client_id_size == 0 || push->client_id_size > SEQPUSH_ID_MAX ||
        (confirm && push->seq == 0))
        return -EINVAL;
    if (!s_has_room(self))
        return -EAGAIN;
    if (confirm && !confirm_expect(self, push))
        return -ENOMEM;
    int rc = publisher_hand_in(self, push);
    if (rc == 0) {
        self->stats.pushed++;
        self->undecided++;
        self->undecided_bytes += batch_push_size(push);
    } else if (confirm) {
        confirm_cancel(self, push);
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
