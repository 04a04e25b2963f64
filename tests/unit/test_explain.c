//  test_explain.c - why a client does not move: states, lists in order, sentences

#include "core_fixture.h"
#include "page_json.h"
#include "page_why.h"
#include "query.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND (1000 * MS)

static explain_client_t s_explain(fixture_t *f, const char *client)
{
    explain_client_t explained;
    assert_true(explain_client(f->core, client, strlen(client), f->now, &explained));
    return explained;
}

static const char *s_why(fixture_t *f, const char *client)
{
    static char why[PAGE_WHY_MAX];
    explain_client_t explained = s_explain(f, client);
    page_why(why, &explained.row, f->now);
    return why;
}

static const char *s_advice(fixture_t *f, const char *client)
{
    static char advice[PAGE_WHY_MAX];
    explain_client_t explained = s_explain(f, client);
    page_advice(advice, &explained, f->now);
    return advice;
}

#define assert_state(fixture, client, expected) \
    assert_string_equal(page_state_name(s_explain(fixture, client).row.state), expected)

//  ---- one client --------------------------------------------------------------------------------

static void nothing_is_known_of_a_client_that_is_not_there(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    explain_client_t explained;
    assert_false(explain_client(f->core, "a", 1, f->now, &explained));
}

static void a_client_that_has_had_all_is_idle(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_fill(f, "a", 1, 2);
    fixture_deliver(f);
    fixture_ack(f, r, "a", 2);
    assert_state(f, "a", "idle");
    assert_string_equal(s_why(f, "a"), "has nothing to deliver; the next is seq 3 of epoch 0");
    assert_string_equal(s_advice(f, "a"), "");
    explain_client_t explained = s_explain(f, "a");
    assert_int_equal(explained.acked.seq, 2);
    assert_int_equal(explained.row.key.since, INT64_MAX);
    assert_memory_equal(explained.receiver.key.id, "r", 1);
    assert_string_equal(explained.receiver.endpoint, "tcp://127.0.0.1:1");
}

static void a_hole_tells_its_seqs_its_age_and_what_is_behind_it(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_fill(f, "a", 4, 5);
    fixture_pass(f, 3200 * MS);
    explain_client_t explained = s_explain(f, "a");
    assert_state(f, "a", "gap");
    assert_int_equal(explained.hole, 3200 * MS);
    assert_int_equal(explained.first_held, 4);
    assert_int_equal(explained.row.held, 2);
    assert_int_equal(explained.held_bytes, fixture_stat(&f->stats.held_bytes));
    assert_in_range(explained.held_for, 3200 * MS, 3201 * MS);
    assert_int_equal(explained.gives_up_in, INT64_MAX);
    assert_string_equal(explained.policy, "strict");
    assert_string_equal(
        s_why(f, "a"),
        "waits for seq 1 of epoch 0, missing for 3.2 s; 2 pushes are held behind it");
    assert_string_equal(s_advice(f, "a"), "push seqs 1 to 3 again, or give them up: seqpush skip "
                                          "CLIENT 1 3 --epoch 0");
}

static void a_deadline_tells_when_it_gives_up(void **state)
{
    fixture_t *f = *state;
    f->settings.policy = policy_named("deadline");
    f->settings.gap_timeout = 5 * SECOND;
    fixture_start(f);
    fixture_fill(f, "a", 2, 2);
    fixture_pass(f, 2 * SECOND);
    assert_int_equal(s_explain(f, "a").gives_up_in, 3 * SECOND);
    assert_string_equal(s_advice(f, "a"), "the policy gives up what is missing in 3.0 s");
}

static void s_look_while_it_is_written(fixture_t *f, push_t *push)
{
    push->stored = true;
    snprintf(f->journal, PAGE_WHY_MAX, "%s", s_why(f, "a"));
}

static void a_push_that_the_journal_does_not_have_is_told(void **state)
{
    char why[PAGE_WHY_MAX];
    fixture_t *f = *state;
    f->settings.journal = true;
    f->write = s_look_while_it_is_written;
    f->journal = why;
    fixture_start(f);
    fixture_fill(f, "a", 1, 1);
    assert_string_equal(why, "has nothing to deliver; the next is seq 1 of epoch 0; "
                             "1 more waits for the journal to keep it");
    assert_int_equal(s_explain(f, "a").row.waiting, 0);
}

static void what_the_journal_must_keep_before_a_release_is_told(void **state)
{
    char why[PAGE_WHY_MAX];
    fixture_t *f = *state;
    f->settings.journal = true;
    f->settings.policy = policy_named("deadline");
    f->settings.gap_timeout = 1 * SECOND;
    f->write = s_look_while_it_is_written;
    f->journal = why;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_fill(f, "a", 2, 2);
    fixture_pass(f, 3 * SECOND);
    assert_state(f, "a", "unstored");
    assert_non_null(
        strstr(s_why(f, "a"), "the journal has not stored what goes before; 2 entries"));
    assert_string_equal(s_advice(f, "a"), "look at the disk of journal/path, and at the log");
}

static void what_nobody_has_attached_waits_for_a_receiver(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 1);
    fixture_pass(f, 2 * SECOND);
    assert_state(f, "a", "unattached");
    assert_string_equal(s_why(f, "a"),
                        "no receiver has attached it; 1 entry waits, the oldest for 2.0 s");
    assert_string_equal(s_advice(f, "a"), "start a receiver that attaches it");
}

static void a_receiver_that_is_gone_is_told(void **state)
{
    fixture_t *f = *state;
    f->settings.receiver_timeout = 1 * SECOND;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_pass(f, 1 * SECOND);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 3);
    fixture_pass(f, 4 * SECOND);
    assert_state(f, "a", "gone");
    assert_string_equal(s_why(f, "a"), "its receiver is gone; 3 entries wait, for 4.0 s");
}

static void what_is_not_acknowledged_is_dated_by_its_first_send(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_fill(f, "a", 1, 2);
    assert_state(f, "a", "queued");
    assert_delivered(f, "<a0> a1 a2");
    //  Sent again and again, it stands still all the same.
    for (int i = 0; i < 60; i++) {
        fixture_pass(f, 100 * MS);
        fixture_deliver(f);
    }
    assert_state(f, "a", "unacknowledged");
    assert_string_equal(s_why(f, "a"), "its receiver has not acknowledged what was first sent 6.0 "
                                       "s ago; 2 entries wait");
    assert_non_null(strstr(s_advice(f, "a"), "tcp://127.0.0.1:1"));
    fixture_ack(f, r, "a", 2);
    assert_state(f, "a", "idle");
}

static void an_endpoint_that_takes_nothing_is_told(void **state)
{
    fixture_t *f = *state;
    f->batch_max = 1;
    f->hold = true;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_take_all(f, r, "b");
    fixture_fill(f, "a", 1, 20);
    fixture_deliver(f);
    fixture_fill(f, "b", 1, 1);
    fixture_pass(f, 2 * SECOND);
    fixture_deliver(f);
    assert_state(f, "b", "queued");
    assert_true(s_explain(f, "b").receiver.worker_full);
    assert_non_null(strstr(s_advice(f, "b"), "the endpoint takes nothing more"));
}

static void of_two_reasons_the_longer_one_counts(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 1);
    fixture_pass(f, 2 * SECOND);
    fixture_fill(f, "a", 3, 3);
    fixture_pass(f, 1 * SECOND);
    assert_state(f, "a", "unattached");
    assert_non_null(strstr(s_why(f, "a"), "; besides, seq 2 is missing, and 1 push is held"));
    assert_non_null(strstr(s_advice(f, "a"), "; push seqs 2 to 2 again"));
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    fixture_deliver(f);
    fixture_ack(f, r, "a", 1);
    assert_state(f, "a", "gap");
}

static void a_full_backlog_is_told(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 3;
    fixture_start(f);
    fixture_fill(f, "a", 1, 2);
    assert_false(s_explain(f, "a").backlog_full);
    fixture_fill(f, "a", 3, 3);
    assert_true(s_explain(f, "a").backlog_full);
}

//  ---- lists -------------------------------------------------------------------------------------

static query_t *s_list(fixture_t *f, query_t *query, query_kind_t kind, bool stuck, uint32_t limit)
{
    query->kind = kind;
    query->stuck = stuck;
    query->limit = limit;
    query_begin(query, f->now);
    while (!query_go_on(query, f->core, f->now))
        continue;
    return query;
}

//  Ids of the clients listed, with commas between them.
static const char *s_clients(fixture_t *f, query_t *query, bool stuck, uint32_t limit)
{
    s_list(f, query, QUERY_CLIENTS, stuck, limit);
    char *at = f->text;
    *at = '\0';
    for (uint32_t i = 0; i < query->count; i++)
        at += sprintf(at, "%s%.*s", i ? "," : "", query->clients[i].key.id_size,
                      query->clients[i].key.id);
    return f->text;
}

static void those_that_stand_still_for_longest_come_first(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    query_t *query = calloc(1, sizeof *query);
    assert_string_equal(s_clients(f, query, false, 10), "");
    fixture_fill(f, "c", 2, 2);
    fixture_pass(f, 1 * SECOND);
    fixture_fill(f, "a", 2, 2);
    fixture_fill(f, "b", 2, 2);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "idle");
    assert_string_equal(s_clients(f, query, false, 10), "c,a,b,idle");
    assert_true(query->whole);
    assert_int_equal(query->total, 4);
    assert_string_equal(s_clients(f, query, true, 10), "c");
    assert_string_equal(s_clients(f, query, false, 2), "c,a");
    query->after = query->clients[1].key;
    assert_string_equal(s_clients(f, query, false, 2), "b,idle");
    query->after = query->clients[1].key;
    assert_string_equal(s_clients(f, query, false, 2), "");
    free(query);
}

//  More clients than a slice has, and than a page has.
static void a_list_is_made_in_slices_and_page_by_page_without_loss(void **state)
{
    enum { CLIENTS = 1000 };
    fixture_t *f = *state;
    fixture_start(f);
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        fixture_fill(f, id, 2, 2);
        if (i % 7 == 0)
            fixture_pass(f, MS);
    }
    query_t *query = calloc(1, sizeof *query);
    bool seen[CLIENTS] = {false};
    unsigned pages = 0, rows = 0;
    shortlist_key_t last = {0};
    do {
        s_list(f, query, QUERY_CLIENTS, false, 64);
        for (uint32_t i = 0; i < query->count; i++, rows++) {
            char id[16] = "";
            memcpy(id, query->clients[i].key.id, query->clients[i].key.id_size);
            assert_false(seen[atoi(id)]);
            seen[atoi(id)] = true;
            assert_true(shortlist_compare(&last, &query->clients[i].key) < 0);
            last = query->clients[i].key;
        }
        query->after = last;
        pages++;
    } while (query->count == 64);
    assert_int_equal(rows, CLIENTS);
    assert_int_equal(pages, CLIENTS / 64 + 1);
    query_begin(query, f->now);
    assert_false(query_go_on(query, f->core, f->now));
    free(query);
}

static void a_table_that_grows_is_looked_at_anew(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    query_t *query = calloc(1, sizeof *query);
    for (int i = 0; i < 500; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        fixture_fill(f, id, 2, 2);
    }
    query->kind = QUERY_CLIENTS;
    query->limit = 1000;
    query_begin(query, f->now);
    assert_false(query_go_on(query, f->core, f->now));
    for (int i = 500; i < 1000; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        fixture_fill(f, id, 2, 2);
    }
    while (!query_go_on(query, f->core, f->now))
        continue;
    assert_int_equal(query->count, 1000);
    assert_int_equal(query->total, 1000);
    free(query);
}

static void what_happens_while_a_list_is_made_is_dated_right(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    query_t *query = calloc(1, sizeof *query);
    query->kind = QUERY_CLIENTS;
    query->limit = 10;
    query_begin(query, f->now);
    int64_t begun = f->now;
    fixture_pass(f, 500 * MS);
    fixture_fill(f, "a", 1, 1);
    while (!query_go_on(query, f->core, f->now))
        continue;
    assert_int_equal(query->count, 1);
    assert_in_range(query->clients[0].key.since, begun + 498 * MS, f->now);
    assert_int_equal(query->now, f->now);
    free(query);
}

//  A send is dated in ticks, and never as 0: one that begins now may lie ahead.
static void what_was_sent_just_now_does_not_stand_still(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, r, "a");
    for (int i = 0; i < 4; i++) {
        f->now += 1 << 14; //  a tick
        fixture_fill(f, "a", (uint64_t)i + 1, (uint64_t)i + 1);
        fixture_deliver(f);
        assert_in_range(s_explain(f, "a").row.key.since, f->now - MS, f->now);
        fixture_ack(f, r, "a", (uint64_t)i + 1);
    }
}

static void a_list_that_takes_too_long_is_answered_with_what_was_found(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    for (int i = 0; i < 1000; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        fixture_fill(f, id, 2, 2);
    }
    query_t *query = calloc(1, sizeof *query);
    query->kind = QUERY_CLIENTS;
    query->limit = 1000;
    query_begin(query, f->now);
    assert_true(query_go_on(query, f->core, f->now + 10 * SECOND));
    assert_false(query->whole);
    assert_true(query->count > 0 && query->count < 1000);
    free(query);
}

static void the_slowest_receiver_comes_first(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    query_t *query = calloc(1, sizeof *query);
    receiver_t *fast = fixture_attach(f, "fast", 1, 1);
    receiver_t *slow = fixture_attach(f, "slow", 2, 2);
    fixture_take_all(f, fast, "a");
    fixture_take_all(f, slow, "b");
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "b", 1, 3);
    fixture_deliver(f);
    fixture_ack(f, fast, "a", 1);
    fixture_pass(f, 2 * SECOND);
    s_list(f, query, QUERY_RECEIVERS, false, 10);
    assert_int_equal(query->count, 2);
    assert_memory_equal(query->receivers[0].key.id, "slow", 4);
    assert_int_equal(query->receivers[0].retained, 3);
    assert_int_equal(query->receivers[1].key.since, INT64_MAX);
    s_list(f, query, QUERY_RECEIVERS, true, 10);
    assert_int_equal(query->count, 1);
    free(query);
}

static void all_receivers_and_each_route_once_are_listed(void **state)
{
    fixture_t *f = *state;
    const core_route_t routes[] = {{"x*", "tcp://127.0.0.1:9", ""},
                                   {"y*", "tcp://127.0.0.1:9", ""}};
    f->settings.routes = routes;
    f->settings.route_count = 2;
    fixture_start(f);
    for (unsigned i = 0; i < 90; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%u", i);
        assert_non_null(fixture_attach(f, id, 100 + i, i));
    }
    query_t *query = calloc(1, sizeof *query);
    s_list(f, query, QUERY_RECEIVERS, false, 1000);
    assert_int_equal(query->count, 91);
    assert_true(query->whole);
    free(query);
}

//  ---- JSON --------------------------------------------------------------------------------------

static void a_cursor_reads_back_and_rubbish_does_not(void **state)
{
    (void)state;
    shortlist_key_t key = {.since = 123456789, .id_size = 3, .id = "a\0\xff"}, read;
    char cursor[PAGE_CURSOR_MAX];
    page_cursor_print(cursor, &key);
    assert_true(page_cursor_read(cursor, &read));
    assert_int_equal(shortlist_compare(&key, &read), 0);
    static const char *const rubbish[] = {"", "-", "1", "1-", "1-6", "1-6x", "x-61", "1-61 "};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        assert_false(page_cursor_read(rubbish[i], &read));
}

static void an_id_that_is_no_text_is_base64(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "\xff\xfe", 2, 2);
    query_t *query = calloc(1, sizeof *query);
    query->kind = QUERY_CLIENT;
    query->id_size = 2;
    memcpy(query->id, "\xff\xfe", 2);
    query_begin(query, f->now);
    assert_true(query_go_on(query, f->core, f->now));
    assert_true(query->found);
    json_t *json = page_json_client(query);
    assert_string_equal(json_string_value(json_object_get(json, "client_base64")), "//4=");
    assert_null(json_object_get(json, "client"));
    json_decref(json);
    free(query);
}

#define CORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE(nothing_is_known_of_a_client_that_is_not_there),
        CORE(a_client_that_has_had_all_is_idle),
        CORE(a_hole_tells_its_seqs_its_age_and_what_is_behind_it),
        CORE(a_deadline_tells_when_it_gives_up),
        CORE(a_push_that_the_journal_does_not_have_is_told),
        CORE(what_the_journal_must_keep_before_a_release_is_told),
        CORE(what_nobody_has_attached_waits_for_a_receiver),
        CORE(a_receiver_that_is_gone_is_told),
        CORE(what_is_not_acknowledged_is_dated_by_its_first_send),
        CORE(an_endpoint_that_takes_nothing_is_told),
        CORE(of_two_reasons_the_longer_one_counts),
        CORE(a_full_backlog_is_told),
        CORE(those_that_stand_still_for_longest_come_first),
        CORE(a_list_is_made_in_slices_and_page_by_page_without_loss),
        CORE(a_table_that_grows_is_looked_at_anew),
        CORE(what_happens_while_a_list_is_made_is_dated_right),
        CORE(what_was_sent_just_now_does_not_stand_still),
        CORE(a_list_that_takes_too_long_is_answered_with_what_was_found),
        CORE(the_slowest_receiver_comes_first),
        CORE(all_receivers_and_each_route_once_are_listed),
        cmocka_unit_test(a_cursor_reads_back_and_rubbish_does_not),
        CORE(an_id_that_is_no_text_is_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
