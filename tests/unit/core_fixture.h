/*  core_fixture.h - the ordering core on a virtual clock, for tests that read like a protocol

    What is handed over, and what the core wants done, is kept as text, one word an entry:

        a5        push of client a with seq 5 in epoch 0, with the payload of that seq
        a1:5      the same in epoch 1
        [a5-7]    gap notice
        <a4>      marker: a's stream goes on after seq 4

    Dispatches come back sent at once, unless they are held. */

#ifndef CORE_FIXTURE_H
#define CORE_FIXTURE_H

#include "core.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS INT64_C(1000000)
#define FIXTURE_HELD 4096

typedef struct fixture {
    core_settings_t settings;
    void (*write)(struct fixture *self, push_t *push); //  with a journal: what it does with a push
    void *journal; //  its
    orderer_stats_t stats;
    core_t *core;
    int64_t now;
    uint32_t batch_max; //  entries a dispatch
    bool hold; //  dispatches stay with the worker
    uint64_t peer; //  who sends the pushes that follow, and is told of them; 0: nobody
    dispatch_t *held[FIXTURE_HELD];
    uint32_t held_count;
    push_t decided; //  the last push
    char text[1 << 16];
} fixture_t;

//  Settings that bind nowhere, and no core yet; then the core. For cmocka's set-up and tear-down.
int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_start(fixture_t *self);

//  Pushes in epoch 0, or in any; a payload of `size` bytes, at least 32. seq 0: the broker numbers.
outcome_t fixture_push(fixture_t *self, const char *client, uint64_t seq);
outcome_t fixture_push_in(fixture_t *self, const char *client, uint64_t epoch, uint64_t seq,
                          uint32_t size);

//  Pushes from..to, all of which must be accepted.
void fixture_fill(fixture_t *self, const char *client, uint64_t from, uint64_t to);

//  Numberless pushes of one batch.
void fixture_batch(fixture_t *self, const char *client, uint32_t count, uint32_t size,
                   outcome_t *outcomes);

//  Pushes the seq of each client, one letter an id, in one batch. All must be accepted.
void fixture_together(fixture_t *self, const char *clients, uint64_t seq, uint32_t size);

uint64_t fixture_skip(fixture_t *self, const char *client, uint64_t from, uint64_t to);
position_t fixture_reset(fixture_t *self, const char *client, uint64_t epoch, uint64_t next_seq);

//  Attaches a receiver as a peer at tcp://127.0.0.1:PORT. NULL: refused.
receiver_t *fixture_attach(fixture_t *self, const char *id, unsigned port, uint64_t peer);
receiver_t *fixture_attach_unacked(fixture_t *self, const char *id, unsigned port, uint64_t peer);

//  Attaches a client at a position; returns whether it was granted, and where it goes on.
bool fixture_take(fixture_t *self, receiver_t *receiver, const char *client, position_t *at);

//  Attaches a client where the broker is.
void fixture_take_all(fixture_t *self, receiver_t *receiver, const char *client);
void fixture_take_prefix(fixture_t *self, receiver_t *receiver, const char *prefix);

void fixture_ack(fixture_t *self, receiver_t *receiver, const char *client, uint64_t seq);
void fixture_ack_in(fixture_t *self, receiver_t *receiver, const char *client, uint64_t epoch,
                    uint64_t seq);
void fixture_miss(fixture_t *self, receiver_t *receiver, const char *client, uint64_t seq);

//  Lets time pass, and the core do what is due. False: nothing was.
void fixture_pass(fixture_t *self, int64_t by);

//  Hands over what can be; returns it as text, valid until the next call.
const char *fixture_deliver(fixture_t *self);

//  Gives back the dispatches that were held, in their order.
void fixture_report(fixture_t *self, bool sent);

//  Takes the effects, as text. What is opened and closed comes back from the worker at once.
const char *fixture_effects(fixture_t *self);

//  Takes what publishers are told, as text: 7:a3 for client a's pushes of publisher 7 up to seq 3, or
//  7:a3! if that push was given up.
const char *fixture_confirmations(fixture_t *self);

uint64_t fixture_stat(const stats_t *stat);

#define assert_delivered(fixture, text) assert_string_equal(fixture_deliver(fixture), text)
#define assert_effects(fixture, text) assert_string_equal(fixture_effects(fixture), text)
#define assert_confirmed(fixture, text) assert_string_equal(fixture_confirmations(fixture), text)
#define assert_outcome(outcome, expected) \
    assert_string_equal(outcome_name(outcome), outcome_name(expected))

#endif
