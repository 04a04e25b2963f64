/*  receiver_fixture.h - a receiver against a front and a worker that the test plays */

#ifndef RECEIVER_FIXTURE_H
#define RECEIVER_FIXTURE_H

#include "front_fixture.h"
#include "seqpush.h"

#define NEVER 1000000 //  ms
#define GENERATION 77

typedef struct {
    front_t front;
    void *push; //  the worker's
    seqpush_receiver_t *receiver;
    char log[65536]; //  what the application was told, as "a1 a2 gap:a3-5 jump:a9"
    long delay; //  ms that on_push takes
    int stop_after; //  pushes until on_push detaches everything; 0: never
    bool give_back; //  on_jump detaches
} fixture_t;

#define poll_until(f, condition) \
    do { \
        int64_t patience_ends = front_now() + PATIENCE; \
        while (!(condition)) { \
            assert_true(front_now() < patience_ends); \
            assert_true(seqpush_receiver_poll((f)->receiver, 1) >= 0); \
        } \
    } while (0)

int fixture_setup(void **state);

//  The receiver says farewell to a broker that is gone, so that the tests do not wait for it.
int fixture_teardown(void **state);
//  Sets broker, id and callbacks.
void fixture_set_callbacks(fixture_t *f, seqpush_receiver_options_t *options);

void fixture_start(fixture_t *f, seqpush_receiver_options_t options);
//  Ends this run of the broker and begins another one at the same endpoint.
void fixture_restart(fixture_t *f);

//  Ends a receiver that is attached, and reads its farewell, so that another may come.
void fixture_end_receiver(fixture_t *f);

const seqpush_receiver_stats_t *fixture_stats(const fixture_t *f);

//  Lets the receiver work until a request is there, and reads it. Heartbeats are passed over where
//  something else is waited for.
request_t *fixture_take(fixture_t *f, unsigned body_case);

//  Positions as "a1 b2", in the order of the alphabet.
void fixture_list(char *text, wire_position_t **positions, size_t count);
void fixture_assert_positions(wire_position_t **positions, size_t count, const char *expected);
void fixture_reply_detached(fixture_t *f, const char *client, char *reason);
void fixture_reply_attached(fixture_t *f, uint64_t id, uint64_t generation, const char *at,
                            const char *refused);

//  Takes an Attach that names `clients` and grants it.
void fixture_grant(fixture_t *f, const char *clients, uint64_t generation);
void fixture_attach(fixture_t *f, const char *id, uint64_t seq);
void fixture_start_attached(fixture_t *f, seqpush_receiver_options_t options);

//  Sends a Delivery of entries: "a5" a push, "=a5" a marker, "a5-7" a gap notice.
void fixture_deliver(fixture_t *f, uint64_t generation, const char *entries);

//  Delivers, and lets the receiver work until the delivery is done with.
void fixture_deliver_and_poll(fixture_t *f, const char *entries);

//  Takes a DeliveryAck that has these positions and names these as missing.
void fixture_expect_ack(fixture_t *f, const char *positions, const char *missing);

#define fixture_assert_log(f, expected) \
    do { \
        assert_string_equal((f)->log, expected); \
        *(f)->log = 0; \
    } while (0)

#define with_broker(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif
