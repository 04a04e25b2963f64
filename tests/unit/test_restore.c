//  test_restore.c - what the core tells a journal, and what it is after a restart
//
//  The journal is a real store in a temporary folder. A push is written at once; changes are when a
//  test says so, as they would be by the next commit.

#include "core_fixture.h"
#include "restore.h"
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char path[64];
    journal_store_t *store;
    bool fails; //  pushes are not kept
} stored_t;

static void s_open(fixture_t *self)
{
    stored_t *stored = self->journal;
    char *error = NULL;
    stored->store = journal_lmdb.open(&(journal_settings_t){stored->path, 1 << 24}, &error);
    if (!stored->store)
        fail_msg("%s", error);
    fixture_start(self);
    restore_t *restore = restore_new(self->core, self->now);
    assert_true(journal_lmdb.load(stored->store, restore_take, restore, &error));
    assert_true(restore_end(restore));
    restore_destroy(&restore);
}

static void s_write(fixture_t *self, push_t *push)
{
    stored_t *stored = self->journal;
    journal_op_t op = {.kind = JOURNAL_PUSH,
                       .id = push->id,
                       .id_size = push->id_size,
                       .epoch = push->epoch,
                       .seq = push->seq,
                       .numberless = push->numberless,
                       .bytes = push->bytes,
                       .size = push->size};
    journal_op_t *ops = &op;
    if (!stored->fails)
        assert_int_equal(journal_lmdb.commit(stored->store, &ops, 1), 0);
    push->stored = !stored->fails && !op.existed;
}

//  Commits what the core has to tell.
static void s_save(fixture_t *self)
{
    stored_t *stored = self->journal;
    journal_op_t *ops[64];
    journal_batch_t *batch = core_changes(self->core, SIZE_MAX);
    if (!batch)
        return;
    assert_in_range(batch->count, 1, 64);
    for (uint32_t i = 0; i < batch->count; i++)
        ops[i] = &batch->ops[i];
    assert_int_equal(journal_lmdb.commit(stored->store, ops, batch->count), 0);
    core_stored(self->core, batch->ticket);
    free(batch);
}

static void s_restart(fixture_t *self)
{
    stored_t *stored = self->journal;
    fixture_effects(self);
    fixture_report(self, false);
    core_destroy(&self->core);
    journal_lmdb.close(&stored->store);
    memset(&self->stats, 0, sizeof self->stats);
    s_open(self);
}

static int s_setup(void **state)
{
    fixture_setup(state);
    fixture_t *self = *state;
    stored_t *stored = calloc(1, sizeof *stored);
    strcpy(stored->path, "/tmp/seqpush-restore-XXXXXX");
    assert_non_null(mkdtemp(stored->path));
    self->journal = stored;
    self->write = s_write;
    self->settings.journal = true;
    return 0;
}

static int s_teardown(void **state)
{
    fixture_t *self = *state;
    stored_t *stored = self->journal;
    char command[128];
    journal_lmdb.close(&stored->store);
    snprintf(command, sizeof command, "rm -rf %s", stored->path);
    assert_int_equal(system(command), 0);
    free(stored);
    return fixture_teardown(state);
}

static receiver_t *s_receiver(fixture_t *self, const char *client)
{
    receiver_t *receiver = fixture_attach(self, "r", 1, 1);
    fixture_effects(self);
    fixture_take_all(self, receiver, client);
    return receiver;
}

//  ---- tests -------------------------------------------------------------------------------------

static void a_push_that_is_not_kept_is_refused(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    ((stored_t *)self->journal)->fails = true;
    assert_outcome(fixture_push(self, "a", 1), OUTCOME_STORAGE_UNAVAILABLE);
    ((stored_t *)self->journal)->fails = false;
    assert_outcome(fixture_push(self, "a", 1), OUTCOME_ACCEPTED);
}

static void what_follows_the_position_is_retained_and_the_rest_is_held(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    receiver_t *receiver = s_receiver(self, "a");
    fixture_fill(self, "a", 1, 4);
    fixture_fill(self, "a", 7, 8);
    fixture_deliver(self);
    fixture_ack(self, receiver, "a", 2);
    s_save(self);
    s_restart(self);
    assert_int_equal(fixture_stat(&self->stats.retained_messages), 2);
    assert_int_equal(fixture_stat(&self->stats.held_messages), 2);
    assert_int_equal(fixture_stat(&self->stats.gaps_open), 1);
    s_receiver(self, "a");
    assert_delivered(self, "<a2> a3 a4");
    fixture_fill(self, "a", 5, 6);
    assert_delivered(self, "a5 a6 a7 a8");
    assert_outcome(fixture_push(self, "a", 2), OUTCOME_DUPLICATE);
}

static void a_client_of_which_nothing_is_kept_is_where_it_was(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    receiver_t *receiver = s_receiver(self, "a");
    fixture_fill(self, "a", 1, 4);
    fixture_deliver(self);
    fixture_ack(self, receiver, "a", 4);
    s_save(self);
    s_restart(self);
    receiver = s_receiver(self, "b");
    position_t ahead = {0, 9};
    assert_false(fixture_take(self, receiver, "a", &ahead));
    assert_int_equal(ahead.seq, 4);
}

static void nothing_behind_a_gap_is_sent_before_the_gap_is_kept(void **state)
{
    fixture_t *self = *state;
    self->settings.policy = policy_named("deadline");
    self->settings.gap_timeout = 5 * MS;
    s_open(self);
    s_receiver(self, "a");
    fixture_fill(self, "a", 3, 3);
    s_save(self);
    fixture_pass(self, 10 * MS);
    assert_delivered(self, "");
    s_save(self);
    assert_delivered(self, "<a0> [a1-2] a3");
    s_restart(self);
    assert_outcome(fixture_push(self, "a", 2), OUTCOME_STALE);
    s_receiver(self, "a");
    assert_delivered(self, "<a0> [a1-2] a3");
}

static void a_gap_that_was_acknowledged_in_part_is_the_rest_of_it(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    receiver_t *receiver = s_receiver(self, "a");
    fixture_fill(self, "a", 1, 1);
    fixture_fill(self, "a", 6, 6);
    fixture_skip(self, "a", 2, 5);
    s_save(self);
    assert_delivered(self, "<a0> a1 [a2-5] a6");
    fixture_ack(self, receiver, "a", 3);
    s_save(self);
    s_restart(self);
    s_receiver(self, "a");
    assert_delivered(self, "<a3> [a4-5] a6");
}

static void what_expired_stays_given_up(void **state)
{
    fixture_t *self = *state;
    self->settings.retain_max = 1000 * MS;
    s_open(self);
    fixture_fill(self, "a", 1, 3);
    fixture_pass(self, 2000 * MS);
    fixture_fill(self, "a", 4, 4);
    fixture_effects(self);
    s_save(self);
    s_restart(self);
    s_receiver(self, "a");
    assert_delivered(self, "<a0> [a1-3] a4");
}

static void a_new_epoch_begins_behind_what_was_released(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    fixture_fill(self, "a", 1, 2);
    fixture_fill(self, "a", 4, 5);
    fixture_reset(self, "a", 7, 10);
    assert_outcome(fixture_push_in(self, "a", 7, 10, 32), OUTCOME_ACCEPTED);
    assert_true(core_batch_waits(self->core));
    s_save(self);
    s_restart(self);
    receiver_t *receiver = s_receiver(self, "a");
    assert_delivered(self, "<a0> a1 a2 [a3-5]");
    fixture_ack(self, receiver, "a", 5);
    assert_delivered(self, "<a7:9> a7:10");
}

static void a_push_of_an_epoch_that_was_never_kept_is_taken_out(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    fixture_fill(self, "a", 1, 2);
    fixture_reset(self, "a", 7, 10);
    assert_outcome(fixture_push_in(self, "a", 7, 10, 32), OUTCOME_ACCEPTED);
    s_restart(self);
    s_save(self);
    fixture_reset(self, "a", 7, 10);
    assert_outcome(fixture_push_in(self, "a", 7, 10, 32), OUTCOME_ACCEPTED);
}

static void a_position_that_a_receiver_brought_stays(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    receiver_t *receiver = fixture_attach(self, "r", 1, 1);
    position_t at = {3, 100};
    assert_true(fixture_take(self, receiver, "a", &at));
    fixture_effects(self);
    assert_outcome(fixture_push_in(self, "a", 3, 101, 32), OUTCOME_ACCEPTED);
    assert_delivered(self, "");
    s_save(self);
    assert_delivered(self, "<a3:100> a3:101");
    s_restart(self);
    s_receiver(self, "a");
    assert_delivered(self, "<a3:100> a3:101");
}

static void the_brokers_numbers_go_on(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    assert_outcome(fixture_push(self, "a", 0), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(self, "a", 0), OUTCOME_ACCEPTED);
    s_restart(self);
    assert_outcome(fixture_push(self, "a", 3), OUTCOME_INVALID);
    assert_outcome(fixture_push(self, "a", 0), OUTCOME_ACCEPTED);
    assert_int_equal(self->decided.assigned, 3);
}

static void only_the_latest_is_kept_of_a_client_that_wants_it(void **state)
{
    fixture_t *self = *state;
    self->settings.policy = policy_named("latest");
    s_open(self);
    fixture_fill(self, "a", 1, 5);
    s_save(self);
    s_restart(self);
    assert_int_equal(fixture_stat(&self->stats.pushes_given_up), 0);
    s_receiver(self, "a");
    assert_delivered(self, "<a0> [a1-4] a5");
}

static void a_client_that_was_forgotten_is_not_there(void **state)
{
    fixture_t *self = *state;
    self->settings.client_idle_timeout = 1000 * MS;
    s_open(self);
    receiver_t *receiver = s_receiver(self, "a");
    fixture_fill(self, "a", 1, 1);
    fixture_deliver(self);
    fixture_ack(self, receiver, "a", 1);
    core_detach(self->core, receiver);
    fixture_effects(self);
    fixture_pass(self, 5000 * MS);
    assert_int_equal(fixture_stat(&self->stats.clients), 1);
    s_save(self);
    for (int i = 0; i < 5; i++)
        fixture_pass(self, 5000 * MS);
    assert_int_equal(fixture_stat(&self->stats.clients), 0);
    s_save(self);
    s_restart(self);
    assert_int_equal(fixture_stat(&self->stats.clients), 0);
}

static void a_window_that_has_become_smaller_loses_nothing(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    fixture_fill(self, "a", 500, 510);
    self->settings.window = 4;
    s_restart(self);
    assert_int_equal(fixture_stat(&self->stats.held_messages), 11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_push_that_is_not_kept_is_refused),
        TEST(what_follows_the_position_is_retained_and_the_rest_is_held),
        TEST(a_client_of_which_nothing_is_kept_is_where_it_was),
        TEST(nothing_behind_a_gap_is_sent_before_the_gap_is_kept),
        TEST(a_gap_that_was_acknowledged_in_part_is_the_rest_of_it),
        TEST(what_expired_stays_given_up),
        TEST(a_new_epoch_begins_behind_what_was_released),
        TEST(a_push_of_an_epoch_that_was_never_kept_is_taken_out),
        TEST(a_position_that_a_receiver_brought_stays),
        TEST(the_brokers_numbers_go_on),
        TEST(only_the_latest_is_kept_of_a_client_that_wants_it),
        TEST(a_client_that_was_forgotten_is_not_there),
        TEST(a_window_that_has_become_smaller_loses_nothing),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
