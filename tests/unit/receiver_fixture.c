/*  receiver_fixture.c - what the receiver sends, and what its application is told */

#include "receiver_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

//  ---- the application ---------------------------------------------------------------------------

__attribute__((format(printf, 2, 3))) static void s_log(fixture_t *f, const char *format, ...)
{
    size_t used = strlen(f->log);
    assert_true(used + 128 < sizeof f->log);
    if (used)
        f->log[used++] = ' ';
    va_list args;
    va_start(args, format);
    vsnprintf(f->log + used, sizeof f->log - used, format, args);
    va_end(args);
}

//  A place as "a5", or "a2/5" in epoch 2.
static const char *s_place(char *text, const void *id, size_t size, uint64_t epoch, uint64_t seq)
{
    int used = sprintf(text, "%.*s", (int)size, (const char *)id);
    if (epoch)
        used += sprintf(text + used, "%d/", (int)epoch);
    sprintf(text + used, "%d", (int)seq);
    return text;
}

static void s_on_push(void *arg, const seqpush_push_t *push)
{
    fixture_t *f = arg;
    char text[128];
    s_log(f, "%s", s_place(text, push->client_id, push->client_id_size, push->epoch, push->seq));
    if (f->delay) {
        struct timespec time = {.tv_nsec = f->delay * 1000000};
        nanosleep(&time, NULL);
    }
    if (f->stop_after && --f->stop_after == 0)
        seqpush_receiver_detach(f->receiver, NULL, 0);
}

static void s_on_gap(void *arg, const void *id, size_t size, uint64_t epoch, uint64_t from,
                     uint64_t to)
{
    char text[128];
    s_log(arg, "gap:%s-%d", s_place(text, id, size, epoch, from), (int)to);
}

static void s_on_jump(void *arg, const seqpush_position_t *at)
{
    fixture_t *f = arg;
    char text[128];
    s_log(f, "jump:%s", s_place(text, at->client_id, at->client_id_size, at->epoch, at->seq));
    if (f->give_back)
        seqpush_receiver_detach(f->receiver, at->client_id, at->client_id_size);
}

static void s_on_detached(void *arg, const void *id, size_t size, const char *reason)
{
    s_log(arg, "%s:%.*s", reason, id ? (int)size : 3, id ? (const char *)id : "all");
}

//  ---- the fixture -------------------------------------------------------------------------------

static void s_open_push(fixture_t *f)
{
    int linger = 0;
    f->push = zmq_socket(f->front.context, ZMQ_PUSH);
    zmq_setsockopt(f->push, ZMQ_LINGER, &linger, sizeof linger);
}

int fixture_setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    front_init(&f->front);
    s_open_push(f);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_t *f = *state;
    zmq_close(f->push);
    front_fini(&f->front);
    seqpush_receiver_destroy(&f->receiver);
    free(f);
    return 0;
}

void fixture_set_callbacks(fixture_t *f, seqpush_receiver_options_t *options)
{
    options->broker = f->front.endpoint;
    options->id = "r1";
    options->id_size = 2;
    options->on_push = s_on_push;
    options->on_gap = s_on_gap;
    options->on_jump = s_on_jump;
    options->on_detached = s_on_detached;
    options->arg = f;
}

void fixture_start(fixture_t *f, seqpush_receiver_options_t options)
{
    fixture_set_callbacks(f, &options);
    if (!options.heartbeat)
        options.heartbeat = NEVER;
    f->receiver = seqpush_receiver_new(&options);
    assert_non_null(f->receiver);
    assert_int_equal(zmq_connect(f->push, seqpush_receiver_endpoint(f->receiver)), 0);
}

void fixture_restart(fixture_t *f)
{
    zmq_close(f->push);
    front_restart(&f->front);
    s_open_push(f);
    assert_int_equal(zmq_connect(f->push, seqpush_receiver_endpoint(f->receiver)), 0);
}

void fixture_end_receiver(fixture_t *f)
{
    zmq_disconnect(f->push, seqpush_receiver_endpoint(f->receiver));
    seqpush_receiver_destroy(&f->receiver);
    for (bool detached = false; !detached;) {
        assert_true(front_has_request(&f->front, PATIENCE));
        request_t *request = front_receive(&f->front);
        detached = request->body_case == SEQPUSH__V1__REQUEST__BODY_DETACH;
        front_free(request);
    }
}

const seqpush_receiver_stats_t *fixture_stats(const fixture_t *f)
{
    return seqpush_receiver_stats(f->receiver);
}

static request_t *s_receive(fixture_t *f)
{
    poll_until(f, front_has_request(&f->front, 0));
    return front_receive(&f->front);
}

request_t *fixture_take(fixture_t *f, unsigned body_case)
{
    request_t *request = s_receive(f);
    while (request->body_case == SEQPUSH__V1__REQUEST__BODY_HEARTBEAT &&
           body_case != SEQPUSH__V1__REQUEST__BODY_HEARTBEAT) {
        front_free(request);
        request = s_receive(f);
    }
    assert_int_equal(request->body_case, body_case);
    return request;
}

void fixture_list(char *text, wire_position_t **positions, size_t count)
{
    *text = 0;
    for (int letter = 0; letter < 256; letter++)
        for (size_t i = 0; i < count; i++)
            if (positions[i]->client_id.data[0] == letter) {
                char place[128];
                strcat(text, *text ? " " : "");
                strcat(text,
                       s_place(place, positions[i]->client_id.data, positions[i]->client_id.len,
                               positions[i]->epoch, positions[i]->seq));
            }
}

void fixture_assert_positions(wire_position_t **positions, size_t count, const char *expected)
{
    char text[4096];
    fixture_list(text, positions, count);
    assert_string_equal(text, expected);
}

void fixture_reply_detached(fixture_t *f, const char *client, char *reason)
{
    Seqpush__V1__Detached detached = SEQPUSH__V1__DETACHED__INIT;
    ProtobufCBinaryData id = {client ? strlen(client) : 0, (uint8_t *)client};
    detached.client_ids = &id;
    detached.n_client_ids = client ? 1 : 0;
    detached.reason = reason;
    detached.generation = GENERATION;
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DETACHED;
    reply.detached = &detached;
    front_reply(&f->front, &reply);
}

void fixture_reply_attached(fixture_t *f, uint64_t id, uint64_t generation, const char *at,
                            const char *refused)
{
    wire_position_t position = front_position(at ? at : "a0"), *positions[] = {&position};
    wire_position_t refusal = front_position(refused ? refused : "a0"), *refusals[] = {&refusal};
    Seqpush__V1__Attached attached = SEQPUSH__V1__ATTACHED__INIT;
    attached.generation = generation;
    attached.positions = positions;
    attached.n_positions = at ? 1 : 0;
    attached.refused = refusals;
    attached.n_refused = refused ? 1 : 0;
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_ATTACHED;
    reply.attached = &attached;
    reply.request_id = id;
    front_reply(&f->front, &reply);
}

void fixture_grant(fixture_t *f, const char *clients, uint64_t generation)
{
    uint64_t attaches = fixture_stats(f)->attaches;
    while (fixture_stats(f)->attaches == attaches) { //  it is sent again where the machine is slow
        request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
        fixture_assert_positions(request->attach->clients, request->attach->n_clients, clients);
        fixture_reply_attached(f, request->request_id, generation, NULL, NULL);
        front_free(request);
        poll_until(f, fixture_stats(f)->attaches > attaches || front_has_request(&f->front, 0));
    }
}

void fixture_attach(fixture_t *f, const char *id, uint64_t seq)
{
    assert_int_equal(seqpush_receiver_attach(f->receiver, id, strlen(id), 0, seq), 0);
}

void fixture_start_attached(fixture_t *f, seqpush_receiver_options_t options)
{
    fixture_start(f, options);
    assert_int_equal(seqpush_receiver_attach_prefix(f->receiver, "", 0), 0);
    fixture_grant(f, "", GENERATION);
    assert_true(seqpush_receiver_attached(f->receiver));
}

void fixture_deliver(fixture_t *f, uint64_t generation, const char *entries)
{
    Seqpush__V1__Push pushes[256], *pointers[256];
    Seqpush__V1__Delivery delivery = SEQPUSH__V1__DELIVERY__INIT;
    char *copy = strdup(entries), *rest = copy, *word;
    while ((word = strsep(&rest, " ")) && *word) {
        Seqpush__V1__Push *push = pointers[delivery.n_pushes] = &pushes[delivery.n_pushes];
        delivery.n_pushes++;
        seqpush__v1__push__init(push);
        push->marker = *word == '=';
        wire_position_t at = front_position(word + push->marker);
        push->client_id = at.client_id;
        push->epoch = at.epoch;
        push->seq = at.seq;
        push->skipped_to = strchr(word, '-') ? strtoull(strchr(word, '-') + 1, NULL, 10) : 0;
        push->payload = (ProtobufCBinaryData){7, (uint8_t *)"payload"};
    }
    delivery.pushes = pointers;
    delivery.generation = generation;
    uint8_t bytes[16384];
    assert_true(seqpush__v1__delivery__get_packed_size(&delivery) <= sizeof bytes);
    size_t size = seqpush__v1__delivery__pack(&delivery, bytes);
    assert_int_equal(zmq_send(f->push, bytes, size, 0), size);
    free(copy);
}

void fixture_deliver_and_poll(fixture_t *f, const char *entries)
{
    uint64_t deliveries = fixture_stats(f)->deliveries;
    fixture_deliver(f, GENERATION, entries);
    poll_until(f, fixture_stats(f)->deliveries > deliveries);
}

void fixture_expect_ack(fixture_t *f, const char *positions, const char *missing)
{
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ACK);
    const Seqpush__V1__DeliveryAck *ack = request->ack;
    assert_memory_equal(ack->receiver_id.data, "r1", 2);
    assert_int_equal(ack->generation, GENERATION);
    fixture_assert_positions(ack->positions, ack->n_positions, positions);
    fixture_assert_positions(ack->missing, ack->n_missing, missing);
    front_free(request);
}
