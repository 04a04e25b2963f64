/*  publisher_fixture.c - what the publisher sends, and what its application is told */

#include "publisher_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void s_on_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    fixture_t *f = arg;
    assert_true(f->event_count < EVENTS_MAX);
    event_t *event = &f->events[f->event_count++];
    *event = (event_t){.epoch = push->epoch, .seq = push->seq, .outcome = outcome};
    memcpy(event->client, push->client_id, push->client_id_size);
    if (push->payload_size < sizeof event->payload && push->payload_size)
        memcpy(event->payload, push->payload, push->payload_size);
    if (f->next) {
        seqpush_push_t another = {push->client_id, push->client_id_size, 0, f->next++, NULL, 0};
        assert_int_equal(seqpush_publisher_push(f->publisher, &another), 0);
    }
}

static void s_on_delivered(void *arg, const void *client_id, size_t size, uint64_t epoch,
                           uint64_t seq, bool given_up)
{
    fixture_t *f = arg;
    size_t used = strlen(f->delivered);
    char in_epoch[24] = "";
    if (epoch)
        snprintf(in_epoch, sizeof in_epoch, "%d/", (int)epoch);
    assert_true(used + 128 < sizeof f->delivered);
    snprintf(f->delivered + used, sizeof f->delivered - used, "%s%s%.*s%s%d", used ? " " : "",
             given_up ? "!" : "", (int)size, (const char *)client_id, in_epoch, (int)seq);
}

static void s_on_repair(void *arg, const void *client_id, size_t size, uint64_t epoch,
                        uint64_t from, uint64_t to)
{
    fixture_t *f = arg;
    size_t used = strlen(f->missing);
    assert_true(used + 128 < sizeof f->missing);
    snprintf(f->missing + used, sizeof f->missing - used, "%s%.*s%d/%d-%d", used ? " " : "",
             (int)size, (const char *)client_id, (int)epoch, (int)from, (int)to);
}

int fixture_setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    f->events = calloc(EVENTS_MAX, sizeof *f->events);
    front_init(&f->front);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_t *f = *state;
    seqpush_publisher_destroy(&f->publisher);
    front_fini(&f->front);
    free(f->events);
    free(f);
    return 0;
}

void fixture_start(fixture_t *f, seqpush_publisher_options_t options)
{
    options.broker = f->front.endpoint;
    options.on_outcome = s_on_outcome;
    options.on_delivered = s_on_delivered;
    options.on_repair = s_on_repair;
    options.arg = f;
    if (!options.reply_timeout)
        options.reply_timeout = PATIENCE * 10; //  no test but those about it waits for that
    f->publisher = seqpush_publisher_new(&options);
    assert_non_null(f->publisher);
}

const seqpush_publisher_stats_t *fixture_stats(const fixture_t *f)
{
    return seqpush_publisher_stats(f->publisher);
}

int fixture_push(fixture_t *f, const char *client, uint64_t seq, const char *payload)
{
    seqpush_push_t push = {client, strlen(client), 0, seq, payload, strlen(payload)};
    return seqpush_publisher_push(f->publisher, &push);
}

request_t *fixture_take(fixture_t *f)
{
    int64_t until = front_now() + PATIENCE;
    while (!front_has_request(&f->front, 0)) {
        assert_true(front_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    return front_receive(&f->front);
}

uint64_t fixture_take_text(fixture_t *f, char *text, size_t size)
{
    request_t *request = fixture_take(f);
    assert_int_equal(request->body_case, SEQPUSH__V1__REQUEST__BODY_PUSH);
    *text = 0;
    for (size_t i = 0; i < request->push->n_pushes; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%.*s%d", i ? " " : "", (int)push->client_id.len,
                 (char *)push->client_id.data, (int)push->seq);
    }
    uint64_t id = request->request_id;
    front_free(request);
    return id;
}

uint64_t fixture_expect_at(fixture_t *f, const char *expected, int line)
{
    char text[4096];
    uint64_t id = fixture_take_text(f, text, sizeof text);
    if (strcmp(text, expected) != 0)
        fail_msg("line %d: got '%s', expected '%s'", line, text, expected);
    return id;
}

void fixture_expect_nothing(fixture_t *f)
{
    for (int i = 0; i < 5; i++)
        seqpush_publisher_poll(f->publisher, 0);
    assert_false(front_has_request(&f->front, 20));
}

void fixture_reply_ack(fixture_t *f, uint64_t id, Seqpush__V1__PushAck ack)
{
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_PUSH_ACK;
    reply.push_ack = &ack;
    reply.request_id = id;
    front_reply(&f->front, &reply);
}

void fixture_accept(fixture_t *f, uint64_t id, uint32_t requests)
{
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.requests = requests;
    fixture_reply_ack(f, id, ack);
}

void fixture_refuse(fixture_t *f, uint64_t id, uint32_t first, uint32_t last, int outcome,
                    uint32_t retry_after_ms)
{
    rejection_t rejections[64], *pointers[64];
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    for (uint32_t i = first; i <= last; i++) {
        seqpush__v1__rejection__init(&rejections[i]);
        rejections[i].index = i;
        rejections[i].outcome = outcome;
        rejections[i].retry_after_ms = retry_after_ms;
        pointers[ack.n_rejected++] = &rejections[i];
    }
    ack.rejected = pointers;
    fixture_reply_ack(f, id, ack);
}

void fixture_await_events(fixture_t *f, size_t count)
{
    int64_t until = front_now() + PATIENCE;
    while (f->event_count < count) {
        assert_true(front_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_int_equal(f->event_count, count);
}

void fixture_await_errors(fixture_t *f, uint64_t count)
{
    int64_t until = front_now() + PATIENCE;
    while (fixture_stats(f)->errors < count) {
        assert_true(front_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
}

void fixture_assert_event(const fixture_t *f, size_t i, const char *client, uint64_t seq,
                          seqpush_outcome_t outcome)
{
    assert_true(i < f->event_count);
    assert_string_equal(f->events[i].client, client);
    assert_int_equal(f->events[i].seq, seq);
    assert_int_equal(f->events[i].outcome, outcome);
}

static size_t s_parse_positions(char *text, wire_position_t *positions, wire_position_t **pointers)
{
    size_t count = 0;
    for (char *word; (word = strsep(&text, " ")) && *word; count++) {
        positions[count] = front_position(word);
        pointers[count] = &positions[count];
    }
    return count;
}

void fixture_confirm(fixture_t *f, const char *positions, const char *given_up)
{
    wire_position_t all[64], *pointers[64];
    char *texts[] = {strdup(positions), strdup(given_up)};
    Seqpush__V1__Delivered delivered = SEQPUSH__V1__DELIVERED__INIT;
    delivered.positions = pointers;
    delivered.n_positions = s_parse_positions(texts[0], all, pointers);
    delivered.given_up = pointers + delivered.n_positions;
    delivered.n_given_up =
        s_parse_positions(texts[1], all + delivered.n_positions, delivered.given_up);
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DELIVERED;
    reply.delivered = &delivered;
    front_reply(&f->front, &reply);
    free(texts[0]);
    free(texts[1]);
}

void fixture_await_delivered(fixture_t *f, uint64_t count, const char *expected)
{
    int64_t until = front_now() + PATIENCE;
    while (fixture_stats(f)->delivered + fixture_stats(f)->given_up < count) {
        assert_true(front_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_string_equal(f->delivered, expected);
}

void fixture_ask(fixture_t *f, const char *client, uint64_t epoch, uint64_t from, uint64_t to)
{
    Seqpush__V1__Repair repair = SEQPUSH__V1__REPAIR__INIT;
    repair.client_id = (ProtobufCBinaryData){strlen(client), (uint8_t *)client};
    repair.epoch = epoch;
    repair.from = from;
    repair.to = to;
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_REPAIR;
    reply.repair = &repair;
    front_reply(&f->front, &reply);
}
