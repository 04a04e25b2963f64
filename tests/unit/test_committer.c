//  test_committer.c - the journal's actor over an engine whose disk fails when it is told to

#include "committer.h"
#include "log.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE 20000 //  ms

//  ---- the engine --------------------------------------------------------------------------------

struct journal_store {
    _Atomic int result; //  of commits with pushes
    _Atomic int result_of_rest; //  of those without
    _Atomic unsigned commits; //  tried
    _Atomic size_t largest; //  pushes of a commit
    char text[4096]; //  what was kept, one letter an operation; the committer's
};

static int s_commit(journal_store_t *self, journal_op_t **ops, size_t count)
{
    size_t pushes = 0;
    for (size_t i = 0; i < count; i++)
        pushes += ops[i]->kind == JOURNAL_PUSH;
    int rc = pushes ? self->result : self->result_of_rest;
    if (pushes > self->largest)
        self->largest = pushes;
    for (size_t i = 0; i < count && rc == 0; i++)
        strncat(self->text, (const char *)ops[i]->id, 1);
    self->commits++;
    return rc;
}

static const journal_engine_t s_engine = {.name = "test", .keeps = true, .commit = s_commit};

//  ---- the fixture -------------------------------------------------------------------------------

typedef struct {
    journal_store_t store;
    journal_stats_t stats;
    pipe_t *near, *far;
    committer_t *committer;
    zactor_t *actor;
    pipe_item_t *came;
} fixture_t;

static int s_setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    assert_int_equal(pipe_new(&self->near, &self->far, 1 << 16), 0);
    *state = self;
    return 0;
}

static void s_start(fixture_t *self, uint32_t commit_max)
{
    committer_settings_t settings = {.engine = &s_engine,
                                     .store = &self->store,
                                     .commit_max = commit_max,
                                     .commit_interval = 1000000000,
                                     .orderer = self->far,
                                     .stats = &self->stats};
    self->committer = committer_new(&settings);
    self->actor = zactor_new(committer_run, self->committer);
    assert_non_null(self->actor);
}

static void s_free_all(pipe_item_t *item)
{
    while (item) {
        pipe_item_t *next = item->next;
        free(item);
        item = next;
    }
}

static int s_teardown(void **state)
{
    fixture_t *self = *state;
    zactor_destroy(&self->actor);
    committer_destroy(&self->committer);
    s_free_all(self->came);
    s_free_all(pipe_empty(self->near));
    s_free_all(pipe_empty(self->far));
    pipe_destroy(&self->near);
    pipe_destroy(&self->far);
    free(self);
    return 0;
}

//  Puts a batch of one operation, whose id names it, of a push of so many bytes.
static void s_put_large(fixture_t *self, const char *id, journal_kind_t kind, uint64_t bytes)
{
    journal_batch_t *batch = calloc(1, sizeof *batch + sizeof batch->ops[0]);
    batch->lasts = kind != JOURNAL_PUSH;
    batch->bytes = bytes;
    batch->count = 1;
    batch->ops[0] = (journal_op_t){.kind = kind, .id = (const uint8_t *)id, .id_size = 1};
    pipe_put(self->near, &batch->item, 2);
}

static void s_put(fixture_t *self, const char *id, journal_kind_t kind)
{
    s_put_large(self, id, kind, 0);
}

//  The next batch that comes back: its letter, in upper case if it failed.
static char s_take(fixture_t *self)
{
    int64_t end = zclock_mono() + DEADLINE, waited;
    while (!self->came && !(self->came = pipe_take(self->near, &waited))) {
        zmq_pollitem_t items[1];
        assert_true(zclock_mono() < end);
        pipe_wait(&self->near, 1, items, 0, 100);
    }
    journal_batch_t *batch = (journal_batch_t *)self->came;
    char letter = (char)batch->ops[0].id[0];
    self->came = batch->item.next;
    if (batch->failed)
        letter = (char)(letter - 'a' + 'A');
    free(batch);
    return letter;
}

static void s_assert_taken(fixture_t *self, const char *letters)
{
    for (; *letters; letters++)
        assert_int_equal(s_take(self), *letters);
}

//  ---- tests -------------------------------------------------------------------------------------

static void batches_come_back_in_order_when_they_are_kept(void **state)
{
    fixture_t *self = *state;
    s_start(self, 512);
    s_put(self, "a", JOURNAL_PUSH);
    s_put(self, "b", JOURNAL_POSITION);
    s_put(self, "c", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_assert_taken(self, "abc");
    assert_string_equal(self->store.text, "abc");
}

static void what_has_come_is_one_group_up_to_commit_max(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 10; i++)
        s_put(self, "a", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_start(self, 4);
    s_assert_taken(self, "aaaaaaaaaa");
    assert_int_equal(self->store.largest, 4);
    assert_int_equal(self->store.commits, 3);
}

static void a_group_has_no_more_than_four_mib_of_pushes(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 10; i++)
        s_put_large(self, "a", JOURNAL_PUSH, 1 << 20);
    pipe_flush(self->near);
    s_start(self, 512);
    s_assert_taken(self, "aaaaaaaaaa");
    assert_int_equal(self->store.largest, 4);
    assert_int_equal(self->store.commits, 3);
}

static void pushes_of_a_group_that_fails_come_back_failed(void **state)
{
    fixture_t *self = *state;
    self->store.result = -EIO;
    s_start(self, 512);
    s_put(self, "a", JOURNAL_PUSH);
    s_put(self, "b", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_assert_taken(self, "AB");
    assert_int_equal(stats_get(&self->stats.failing), 1);
    self->store.result = 0;
    s_put(self, "c", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_assert_taken(self, "c");
    assert_int_equal(stats_get(&self->stats.failing), 0);
    assert_string_equal(self->store.text, "c");
}

static void what_lasts_is_kept_without_the_pushes_that_fail(void **state)
{
    fixture_t *self = *state;
    self->store.result = -ENOSPC;
    s_put(self, "a", JOURNAL_PUSH);
    s_put(self, "b", JOURNAL_POSITION);
    pipe_flush(self->near);
    s_start(self, 512);
    s_assert_taken(self, "Ab");
    assert_string_equal(self->store.text, "b");
}

static void what_lasts_is_tried_until_it_is_kept_and_before_what_follows(void **state)
{
    fixture_t *self = *state;
    self->store.result = self->store.result_of_rest = -EIO;
    s_start(self, 512);
    s_put(self, "a", JOURNAL_GAP);
    s_put(self, "b", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_assert_taken(self, "B");
    s_put(self, "c", JOURNAL_GAP);
    s_put(self, "d", JOURNAL_PUSH);
    pipe_flush(self->near);
    s_assert_taken(self, "D");
    unsigned tried = self->store.commits;
    for (int64_t end = zclock_mono() + DEADLINE; self->store.commits < tried + 2; zclock_sleep(1))
        assert_true(zclock_mono() < end);
    self->store.result = self->store.result_of_rest = 0;
    s_assert_taken(self, "ac");
    assert_string_equal(self->store.text, "ac");
}

static void what_has_come_is_committed_before_the_end(void **state)
{
    fixture_t *self = *state;
    s_start(self, 512);
    s_put(self, "a", JOURNAL_POSITION);
    pipe_flush(self->near);
    zactor_destroy(&self->actor);
    s_assert_taken(self, "a");
    assert_string_equal(self->store.text, "a");
}

static void a_disk_that_fails_does_not_hold_up_the_end(void **state)
{
    fixture_t *self = *state;
    self->store.result_of_rest = -EIO;
    s_start(self, 512);
    s_put(self, "a", JOURNAL_POSITION);
    pipe_flush(self->near);
    zactor_destroy(&self->actor);
    assert_string_equal(self->store.text, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_come_back_in_order_when_they_are_kept),
        TEST(what_has_come_is_one_group_up_to_commit_max),
        TEST(a_group_has_no_more_than_four_mib_of_pushes),
        TEST(pushes_of_a_group_that_fails_come_back_failed),
        TEST(what_lasts_is_kept_without_the_pushes_that_fail),
        TEST(what_lasts_is_tried_until_it_is_kept_and_before_what_follows),
        TEST(what_has_come_is_committed_before_the_end),
        TEST(a_disk_that_fails_does_not_hold_up_the_end),
    };
    zsys_handler_set(NULL);
    log_setup("error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
