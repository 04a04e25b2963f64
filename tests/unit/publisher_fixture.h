/*  publisher_fixture.h - a publisher against a front that the test plays */

#ifndef PUBLISHER_FIXTURE_H
#define PUBLISHER_FIXTURE_H

#include "front_fixture.h"
#include "seqpush.h"

#define EVENTS_MAX 20000

typedef Seqpush__V1__Rejection rejection_t;

//  One outcome that the application was told.
typedef struct {
    char client[SEQPUSH_ID_MAX + 1];
    uint64_t epoch, seq;
    char payload[16];
    seqpush_outcome_t outcome;
} event_t;

//  The broker that the test plays, and the publisher that talks to it.
typedef struct {
    front_t front;
    seqpush_publisher_t *publisher;
    event_t *events;
    size_t event_count;
    char delivered[4096]; //  what it was told after that, as "a1 a2/5 !b3"; ! means given up
    char missing[4096]; //  what it is asked for and the publisher does not keep, as "a0/3-4"
    uint64_t next; //  seq that the application pushes for the same client at each outcome; 0: none
} fixture_t;

int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_start(fixture_t *f, seqpush_publisher_options_t options);
const seqpush_publisher_stats_t *fixture_stats(const fixture_t *f);
int fixture_push(fixture_t *f, const char *client, uint64_t seq, const char *payload);

//  Lets the publisher work until a request is there, and reads it.
request_t *fixture_take(fixture_t *f);

//  What a request carries, as "a1 a2 b1", and its id.
uint64_t fixture_take_text(fixture_t *f, char *text, size_t size);
uint64_t fixture_expect_at(fixture_t *f, const char *expected, int line);

//  No request is there, nor comes of letting the publisher work for a little while.
void fixture_expect_nothing(fixture_t *f);
void fixture_reply_ack(fixture_t *f, uint64_t id, Seqpush__V1__PushAck ack);
void fixture_accept(fixture_t *f, uint64_t id, uint32_t requests);

//  Refuses the pushes first..last of a request with one outcome.
void fixture_refuse(fixture_t *f, uint64_t id, uint32_t first, uint32_t last, int outcome,
                    uint32_t retry_after_ms);

//  Says that what stands in the first text is acknowledged, and in the second given up, as "a5 b2/7".
void fixture_confirm(fixture_t *f, const char *positions, const char *given_up);

//  Asks for the seqs from..to of a client in an epoch.
void fixture_ask(fixture_t *f, const char *client, uint64_t epoch, uint64_t from, uint64_t to);

//  Lets the publisher work until the application was told of so many deliveries and give-ups in all,
//  which must be these.
void fixture_await_delivered(fixture_t *f, uint64_t count, const char *expected);

//  Lets the publisher work until the application was told of `count` outcomes in all.
void fixture_await_events(fixture_t *f, size_t count);
void fixture_await_errors(fixture_t *f, uint64_t count);
void fixture_assert_event(const fixture_t *f, size_t i, const char *client, uint64_t seq,
                          seqpush_outcome_t outcome);

#define fixture_expect(f, expected) fixture_expect_at(f, expected, __LINE__)

#define with_broker(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif
