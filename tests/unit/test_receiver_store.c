/*  test_receiver_store.c - a receiver whose positions are kept for the process that comes after it */

#include "receiver_fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 26

//  A store in memory, with one letter a client.
typedef struct {
    fixture_t *fixture;
    uint64_t epoch[CLIENTS], seq[CLIENTS]; //  seq 0: none is kept
    int error; //  that load and save return; 0: they work
    unsigned loads, saves;
} memory_t;

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

//  Nothing may have been acknowledged that is not saved: requests are looked for before it is. One
//  that is no ack is a sign of life, or an Attach that went unanswered for too long.
static int s_save(void *arg, const seqpush_position_t *positions, size_t count)
{
    memory_t *memory = arg;
    while (front_has_request(&memory->fixture->front, 5)) {
        request_t *request = front_receive(&memory->fixture->front);
        assert_int_not_equal(request->body_case, SEQPUSH__V1__REQUEST__BODY_ACK);
        front_free(request);
    }
    memory->saves++;
    for (size_t i = 0; i < count && !memory->error; i++) {
        int letter = *(const char *)positions[i].client_id - 'a';
        memory->epoch[letter] = positions[i].epoch;
        memory->seq[letter] = positions[i].seq;
    }
    return memory->error;
}

static seqpush_receiver_options_t s_options(fixture_t *f, memory_t *memory)
{
    memory->fixture = f;
    return (seqpush_receiver_options_t){.ack_interval = 1, .store = {s_load, s_save, memory}};
}

static void test_a_client_goes_on_where_the_store_has_it(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {.seq = {5, 7}, .epoch = {0, 2}};
    fixture_start(f, s_options(f, &memory));
    fixture_attach(f, "a", 0);
    fixture_attach(f, "b", 0);
    fixture_attach(f, "c", 0); //  of which it has nothing
    assert_int_equal(memory.loads, 3);
    fixture_attach(f, "d", 9); //  the application knows better
    assert_int_equal(memory.loads, 3);
    fixture_grant(f, "a5 b2/7 c0 d9", GENERATION);
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6");
    fixture_assert_log(f, "a6");
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_only_what_is_saved_is_acknowledged(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {0};
    fixture_start(f, s_options(f, &memory));
    fixture_attach(f, "a", 0);
    fixture_attach(f, "b", 0);
    fixture_grant(f, "a0 b0", GENERATION);
    fixture_deliver_and_poll(f, "=a0 a1 a2 =b2/7 b2/8-9");
    fixture_expect_ack(f, "a2 b2/9", "");
    assert_int_equal(memory.seq[0], 2);
    assert_true(memory.epoch[1] == 2 && memory.seq[1] == 9);
    assert_int_equal(fixture_stats(f)->saves, memory.saves);
    assert_int_equal(memory.saves, 1);
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_while_the_store_fails_nothing_is_acknowledged_and_the_application_is_told(
    void **state)
{
    fixture_t *f = *state;
    memory_t memory = {0};
    fixture_start(f, s_options(f, &memory));
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    memory.error = -ENOSPC;
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
    memory.error = 0;
    fixture_expect_ack(f, "a2", "");
    fixture_assert_log(f, "a1 a2");
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_an_attach_names_only_what_is_saved(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {0};
    fixture_start(f, s_options(f, &memory));
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    memory.error = -EIO;
    fixture_deliver(f, GENERATION, "=a0 a1 a2");
    poll_until(f, *f->log);
    fixture_reply_detached(f, NULL, "timeout"); //  the session is lost with a2 unsaved
    int64_t until = front_now() + PATIENCE;
    for (unsigned saves = memory.saves; memory.saves < saves + 2;) {
        assert_true(front_now() < until);
        seqpush_receiver_poll(f->receiver, PATIENCE);
    }
    assert_false(front_has_request(&f->front, 20));
    memory.error = 0;
    fixture_grant(f, "a2", GENERATION + 1);
    assert_int_equal(memory.seq[0], 2);
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_a_client_that_a_prefix_brings_goes_on_where_the_store_has_it(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {.seq = {5}};
    fixture_start_attached(f, s_options(f, &memory));
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6 =b3 b4");
    fixture_assert_log(f, "a6 b4");
    fixture_expect_ack(f, "a6 b4", "");
    assert_int_equal(memory.loads, 2);
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_a_client_whose_position_cannot_be_read_is_not_handed_out(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {.seq = {5}};
    fixture_start_attached(f, s_options(f, &memory));
    memory.error = -EIO;
    assert_int_equal(seqpush_receiver_attach(f->receiver, "b", 1, 0, 0), -EIO);
    fixture_deliver(f, GENERATION, "=a3 a4 a5 a6");
    assert_int_equal(seqpush_receiver_poll(f->receiver, PATIENCE), -EIO);
    fixture_assert_log(f, "");
    memory.error = 0;
    fixture_deliver_and_poll(f, "=a3 a4 a5 a6"); //  sent again, as nothing was acknowledged
    fixture_assert_log(f, "a6");
    seqpush_receiver_destroy(&f->receiver); //  while the store is there
}

static void test_the_end_saves_what_was_received(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {0};
    seqpush_receiver_options_t options = s_options(f, &memory);
    options.ack_interval = NEVER;
    fixture_start_attached(f, options);
    fixture_deliver_and_poll(f, "=a0 a1");
    fixture_expect_ack(f, "a1", "");
    fixture_deliver_and_poll(f, "a2");
    assert_int_equal(memory.seq[0], 1);
    seqpush_receiver_destroy(&f->receiver);
    assert_int_equal(memory.seq[0], 2);
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
        fixture_expect_ack(f, i ? "a4" : "a2", "");
        zmq_disconnect(f->push, seqpush_receiver_endpoint(f->receiver));
        seqpush_receiver_destroy(&f->receiver);
        while (front_has_request(&f->front, 20)) //  the farewell
            front_free(front_receive(&f->front));
        seqpush_positions_file_destroy(&file);
    }
    remove(path);
}

static void test_a_store_has_both_ways_and_needs_acks(void **state)
{
    fixture_t *f = *state;
    memory_t memory = {0};
    seqpush_receiver_options_t options = s_options(f, &memory);
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
        with_broker(test_a_client_goes_on_where_the_store_has_it),
        with_broker(test_only_what_is_saved_is_acknowledged),
        with_broker(test_while_the_store_fails_nothing_is_acknowledged_and_the_application_is_told),
        with_broker(test_an_attach_names_only_what_is_saved),
        with_broker(test_a_client_that_a_prefix_brings_goes_on_where_the_store_has_it),
        with_broker(test_a_client_whose_position_cannot_be_read_is_not_handed_out),
        with_broker(test_the_end_saves_what_was_received),
        with_broker(test_a_receiver_that_follows_another_hands_out_the_rest),
        with_broker(test_a_store_has_both_ways_and_needs_acks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
