/*  test_receiver_store.c - a receiver whose positions are kept for the process that comes after it */

#include "receiver_fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 26

//  A store in memory, with one letter a client. It outlives the receiver of a test that fails.
typedef struct {
    front_t *front; //  NULL: the broker is gone
    uint64_t epoch[CLIENTS], seq[CLIENTS]; //  seq 0: none is kept
    seqpush_position_t acked[CLIENTS]; //  by the last acks
    size_t named; //  as missing
    bool too_early; //  something was acknowledged that was not saved
    int error; //  that load and save return; 0: they work
    unsigned loads, saves;
} memory_t;

static memory_t s_memory;

static int s_setup(void **state)
{
    fixture_setup(state);
    s_memory = (memory_t){.front = &((fixture_t *)*state)->front};
    return 0;
}

static int s_teardown(void **state)
{
    s_memory.front = NULL;
    return fixture_teardown(state);
}

#define with_store(test) cmocka_unit_test_setup_teardown(test, s_setup, s_teardown)

static int s_load(void *arg, seqpush_position_t *position)
{
    memory_t *memory = arg;
    int letter = *(const char *)position->client_id - 'a';
    memory->loads++;
    if (memory->error)
        return memory->error;
    position->epoch = memory->epoch[letter];
    position->seq = memory->seq[letter];
    return position->seq != 0;
}

//  Reads the request that is there. One that is no ack is a sign of life, or an Attach that went
//  unanswered for too long.
static void s_take_ack(memory_t *memory)
{
    request_t *request = front_receive(memory->front);
    size_t count =
        request->body_case == SEQPUSH__V1__REQUEST__BODY_ACK ? request->ack->n_positions : 0;
    memory->named +=
        request->body_case == SEQPUSH__V1__REQUEST__BODY_ACK ? request->ack->n_missing : 0;
    for (size_t i = 0; i < count; i++) {
        const wire_position_t *at = request->ack->positions[i];
        int letter = *at->client_id.data - 'a';
        memory->acked[letter] = (seqpush_position_t){.epoch = at->epoch, .seq = at->seq};
        memory->too_early |= at->epoch != memory->epoch[letter] || at->seq > memory->seq[letter];
    }
    front_free(request);
}

//  Nothing may have been acknowledged that is not saved: acks are looked for before it is. A slow
//  machine acknowledges a delivery in parts.
static int s_save(void *arg, const seqpush_position_t *positions, size_t count)
{
    memory_t *memory = arg;
    while (memory->front && front_has_request(memory->front, 5))
        s_take_ack(memory);
    memory->saves++;
    for (size_t i = 0; i < count && !memory->error; i++) {
        int letter = *(const char *)positions[i].client_id - 'a';
        memory->epoch[letter] = positions[i].epoch;
        memory->seq[letter] = positions[i].seq;
    }
    return memory->error;
}

static seqpush_receiver_options_t s_options(void)
{
    return (seqpush_receiver_options_t){.ack_interval = 1, .store = {s_load, s_save, &s_memory}};
}

//  Lets the receiver work until it has acknowledged (epoch, seq) of the client.
static void s_expect_acked(fixture_t *f, char client, uint64_t epoch, uint64_t seq)
{
    const seqpush_position_t *acked = &s_memory.acked[client - 'a'];
    while (acked->epoch != epoch || acked->seq != seq) {
        poll_until(f,
                   (acked->epoch == epoch && acked->seq == seq) || front_has_request(&f->front, 0));
        while (front_has_request(&f->front, 0))
            s_take_ack(&s_memory);
    }
    assert_false(s_memory.too_early);
}

static void test_a_client_goes_on_where_the_store_has_it(void **state)
{
    fixture_t *f = *state;
    s_memory.seq[0] = 5;
    s_memory.seq[1] = 7;
    s_memory.epoch[1] = 2;
    fixture_start(f, s_options());
    fixture_attach(f, "a", 0);
    fixture_attach(f, "b", 0);
    fixture_attach(f, "c", 0); //  of which it has nothing
    assert_int_equal(s_memory.loads, 3);
    fixture_attach(f, "d", 9); //  the application knows better
    assert_int_equal(s_memory.loads, 3);
    fixture_grant(f, "a5 b2/7 c0 d9", GENERATION);
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6");
    fixture_assert_log(f, "a6");
}

static void test_only_what_is_saved_is_acknowledged(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, s_options());
    fixture_attach(f, "a", 0);
    fixture_attach(f, "b", 0);
    fixture_grant(f, "a0 b0", GENERATION);
    fixture_deliver_and_poll(f, "=a0 a1 a2 =b2/7 b2/8-9");
    s_expect_acked(f, 'a', 0, 2);
    s_expect_acked(f, 'b', 2, 9);
    assert_int_equal(s_memory.seq[0], 2);
    assert_true(s_memory.epoch[1] == 2 && s_memory.seq[1] == 9);
    assert_int_equal(fixture_stats(f)->saves, s_memory.saves);
}

static void test_while_the_store_fails_nothing_is_acknowledged_and_the_application_is_told(
    void **state)
{
    fixture_t *f = *state;
    fixture_start(f, s_options());
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    s_memory.error = -ENOSPC;
    fixture_deliver(f, GENERATION, "=a0 a1 a2");
    int64_t until = front_now() + PATIENCE;
    for (int errors = 0; errors < 2;) {
        long rc = seqpush_receiver_poll(f->receiver, PATIENCE);
        assert_true(front_now() < until && (rc > 0 || rc == -ENOSPC));
        errors += rc == -ENOSPC;
    }
    assert_false(front_has_request(&f->front, 20));
    assert_true(fixture_stats(f)->save_failures >= 2);
    assert_int_equal(fixture_stats(f)->acks, 0);
    s_memory.error = 0;
    s_expect_acked(f, 'a', 0, 2);
    fixture_assert_log(f, "a1 a2");
}

static void test_while_the_store_fails_a_client_is_named_as_missing_once(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, s_options());
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    s_memory.error = -EIO;
    fixture_deliver(f, GENERATION, "=a0 a1 a3 a2 a4");
    for (long rc = 1; rc != -EIO || !strstr(f->log, "a2");) {
        rc = seqpush_receiver_poll(f->receiver, PATIENCE);
        assert_int_not_equal(rc, 0);
    }
    s_memory.error = 0;
    s_expect_acked(f, 'a', 0, 2);
    assert_int_equal(s_memory.named, 1);
}

static void test_an_attach_names_only_what_is_saved(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, s_options());
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    s_memory.error = -EIO;
    fixture_deliver(f, GENERATION, "=a0 a1 a2");
    poll_until(f, *f->log);
    fixture_reply_detached(f, NULL, "timeout"); //  the session is lost with a2 unsaved
    int64_t until = front_now() + PATIENCE;
    for (unsigned saves = s_memory.saves; s_memory.saves < saves + 2;) {
        assert_true(front_now() < until);
        seqpush_receiver_poll(f->receiver, PATIENCE);
    }
    assert_false(front_has_request(&f->front, 20));
    s_memory.error = 0;
    fixture_grant(f, "a2", GENERATION + 1);
    assert_int_equal(s_memory.seq[0], 2);
}

static void test_a_client_that_a_prefix_brings_goes_on_where_the_store_has_it(void **state)
{
    fixture_t *f = *state;
    s_memory.seq[0] = 5;
    fixture_start_attached(f, s_options());
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6 =b3 b4");
    fixture_assert_log(f, "a6 b4");
    s_expect_acked(f, 'a', 0, 6);
    s_expect_acked(f, 'b', 0, 4);
    assert_int_equal(s_memory.loads, 2);
}

static void test_a_client_whose_position_cannot_be_read_is_not_handed_out(void **state)
{
    fixture_t *f = *state;
    s_memory.seq[0] = 5;
    fixture_start_attached(f, s_options());
    s_memory.error = -EIO;
    assert_int_equal(seqpush_receiver_attach(f->receiver, "b", 1, 0, 0), -EIO);
    fixture_deliver(f, GENERATION, "=a3 a4 a5 a6");
    assert_int_equal(seqpush_receiver_poll(f->receiver, PATIENCE), -EIO);
    fixture_assert_log(f, "");
    s_memory.error = 0;
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6"); //  sent again, as nothing was acknowledged
    fixture_assert_log(f, "a6");
}

static void test_the_end_saves_what_was_received(void **state)
{
    fixture_t *f = *state;
    seqpush_receiver_options_t options = s_options();
    options.ack_interval = NEVER;
    fixture_start_attached(f, options);
    fixture_deliver_and_poll(f, "=a0 a1");
    fixture_expect_ack(f, "a1", "");
    fixture_deliver_and_poll(f, "a2");
    assert_int_equal(s_memory.seq[0], 1);
    seqpush_receiver_destroy(&f->receiver);
    assert_int_equal(s_memory.seq[0], 2);
}

static void test_a_receiver_that_follows_another_hands_out_the_rest(void **state)
{
    fixture_t *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/positions", f->front.folder);
    for (int i = 0; i < 2; i++) {
        seqpush_positions_file_t *file = seqpush_positions_file_new(path);
        fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 1,
                                                      .store = seqpush_positions_file_store(file)});
        fixture_attach(f, "a", 0);
        fixture_grant(f, i ? "a2" : "a0", GENERATION);
        fixture_deliver_and_poll(f, i ? "=a0 a1 a2 a3 a4" : "=a0 a1 a2");
        fixture_assert_log(f, i ? "a3 a4" : "a1 a2");
        fixture_end_receiver(f);
        seqpush_positions_file_destroy(&file);
    }
    remove(path);
}

static void test_a_store_has_both_ways_and_needs_acks(void **state)
{
    fixture_t *f = *state;
    seqpush_receiver_options_t options = s_options();
    const seqpush_positions_store_t stores[] = {
        {s_load, NULL, NULL}, {NULL, s_save, NULL}, {s_load, s_save, NULL}};
    for (size_t i = 0; i < 3; i++) {
        options.store = stores[i];
        options.ack_mode = i == 2 ? SEQPUSH_ACK_NONE : SEQPUSH_ACK_CUMULATIVE;
        fixture_set_callbacks(f, &options);
        errno = 0;
        assert_null(seqpush_receiver_new(&options));
        assert_int_equal(errno, EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_store(test_a_client_goes_on_where_the_store_has_it),
        with_store(test_only_what_is_saved_is_acknowledged),
        with_store(test_while_the_store_fails_nothing_is_acknowledged_and_the_application_is_told),
        with_store(test_while_the_store_fails_a_client_is_named_as_missing_once),
        with_store(test_an_attach_names_only_what_is_saved),
        with_store(test_a_client_that_a_prefix_brings_goes_on_where_the_store_has_it),
        with_store(test_a_client_whose_position_cannot_be_read_is_not_handed_out),
        with_store(test_the_end_saves_what_was_received),
        with_store(test_a_receiver_that_follows_another_hands_out_the_rest),
        with_store(test_a_store_has_both_ways_and_needs_acks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
