/*  test_receiver.c - the receiver against a broker that the test plays, step by step

    protobuf-c writes the deliveries and reads the acks, which the library reads and writes by
    hand.                                                                                         */

#include "delivery.h"
#include "receiver_fixture.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

//  ---- attaching ---------------------------------------------------------------------------------

static void test_an_attach_says_who_where_and_after_what(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.advertise = "tcp://10.0.0.1:99",
                                                  .ack_mode = SEQPUSH_ACK_NONE});
    fixture_attach(f, "a", 5);
    seqpush_receiver_attach(f->receiver, "b", 1, 3, 9);
    fixture_attach(f, "c", 0);
    assert_false(seqpush_receiver_attached(f->receiver));
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    const Seqpush__V1__Attach *attach = request->attach;
    assert_memory_equal(attach->receiver_id.data, "r1", 2);
    assert_string_equal(attach->endpoint, "tcp://10.0.0.1:99");
    assert_int_equal(attach->ack_mode, SEQPUSH__V1__ACK_MODE__ACK_NONE);
    assert_int_equal(attach->prefix_case, SEQPUSH__V1__ATTACH__PREFIX__NOT_SET);
    fixture_assert_positions(attach->clients, attach->n_clients, "a5 b3/9 c0");
    fixture_reply_attached(f, request->request_id, GENERATION, NULL, NULL);
    front_free(request);
    poll_until(f, seqpush_receiver_attached(f->receiver));
    assert_int_equal(seqpush_receiver_attach_prefix(f->receiver, "pre", 3), 0);
    assert_false(seqpush_receiver_attached(f->receiver));
    request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    assert_int_equal(request->attach->prefix_case, SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX);
    assert_memory_equal(request->attach->client_prefix.data, "pre", 3);
    assert_int_equal(request->attach->n_clients, 0);
    front_free(request);
}

static void test_the_bound_endpoint_is_what_is_told(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.bind = "tcp://127.0.0.1:*"});
    fixture_attach(f, "a", 1);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    assert_string_equal(request->attach->endpoint, seqpush_receiver_endpoint(f->receiver));
    assert_null(strchr(request->attach->endpoint, '*'));
    front_free(request);
}

static void s_drop(void *arg, const seqpush_push_t *push)
{
    (void)arg;
    (void)push;
}

static void test_what_cannot_be_is_refused(void **state)
{
    fixture_t *f = *state;
    char id[SEQPUSH_ID_MAX + 1] = {0};
    fixture_start(f, (seqpush_receiver_options_t){0});
    assert_int_equal(seqpush_receiver_attach(f->receiver, id, 0, 0, 0), -EINVAL);
    assert_int_equal(seqpush_receiver_attach(f->receiver, id, sizeof id, 0, 0), -EINVAL);
    assert_int_equal(seqpush_receiver_attach_prefix(f->receiver, id, sizeof id), -EINVAL);
    const struct {
        seqpush_receiver_options_t options;
        int error;
    } cases[] = {
        {{.broker = NULL, .id = "r", .id_size = 1, .on_push = s_drop}, EINVAL},
        {{.broker = "nonsense", .id = "r", .id_size = 1, .on_push = s_drop}, EINVAL},
        {{.broker = f->front.endpoint, .id = "r", .id_size = 0, .on_push = s_drop}, EINVAL},
        {{.broker = f->front.endpoint, .id = id, .id_size = 65, .on_push = s_drop}, EINVAL},
        {{.broker = f->front.endpoint, .id = "r", .id_size = 1}, EINVAL},
        {{.broker = f->front.endpoint, .id = "r", .id_size = 1, .on_push = s_drop, .bind = "?"},
         EINVAL},
        {{.broker = f->front.endpoint,
          .id = "r",
          .id_size = 1,
          .on_push = s_drop,
          .bind = seqpush_receiver_endpoint(f->receiver)},
         EADDRINUSE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        errno = 0;
        assert_null(seqpush_receiver_new(&cases[i].options));
        assert_int_equal(errno, cases[i].error);
    }
}

static void test_many_clients_are_attached_in_chunks(void **state)
{
    fixture_t *f = *state;
    size_t seen = 0, requests = 0;
    fixture_start(f, (seqpush_receiver_options_t){0});
    for (int i = 0; i < 5000; i++) {
        char id[32];
        snprintf(id, sizeof id, "client-%d", i);
        fixture_attach(f, id, 1);
    }
    for (; seen < 5000; requests++) {
        request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
        seen += request->attach->n_clients;
        fixture_reply_attached(f, request->request_id, GENERATION, NULL, NULL);
        front_free(request);
    }
    poll_until(f, seqpush_receiver_attached(f->receiver));
    assert_int_equal(seen, 5000);
    assert_int_equal(requests, 3);
}

static void test_deliveries_are_not_read_before_the_attach_is_granted(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 5);
    fixture_deliver(f, GENERATION, "=a5 a6");
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    assert_int_equal(seqpush_receiver_poll(f->receiver, 20), 0);
    assert_int_equal(fixture_stats(f)->deliveries, 0);
    fixture_reply_attached(f, request->request_id, GENERATION, "a5", NULL);
    front_free(request);
    poll_until(f, *f->log);
    fixture_assert_log(f, "a6");
}

static void test_an_unanswered_attach_is_sent_again(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.heartbeat = 30});
    fixture_attach(f, "a", 5);
    front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH));
    fixture_grant(f, "a5", GENERATION);
    assert_true(seqpush_receiver_attached(f->receiver));
}

static void test_where_the_broker_is_ahead_the_stream_jumps(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 5);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    fixture_reply_attached(f, request->request_id, GENERATION, "a9", NULL);
    front_free(request);
    poll_until(f, *f->log);
    fixture_deliver_and_poll(f, "=a9 a10");
    fixture_assert_log(f, "jump:a9 a10"); //  the marker says nothing new
}

static void test_a_refused_position_is_given_up_for_the_brokers(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 50);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    fixture_reply_attached(f, request->request_id, GENERATION, NULL, "a5");
    front_free(request);
    poll_until(f, *f->log); //  so that the Attach that follows is the one that is granted
    fixture_grant(f, "a5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    fixture_assert_log(f, "jump:a5 a6");
}

static void test_the_application_may_stay_away_after_a_refusal(void **state)
{
    fixture_t *f = *state;
    f->give_back = true;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 50);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    fixture_reply_attached(f, request->request_id, GENERATION, NULL, "a5");
    front_free(request);
    poll_until(f, *f->log);
    seqpush_receiver_poll(f->receiver, 20);
    assert_false(front_has_request(&f->front, 20));
    assert_true(seqpush_receiver_attached(f->receiver));
}

static void test_a_refused_attach_is_told(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.heartbeat = 30});
    fixture_attach(f, "a", 5);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    front_reply_error(&f->front, request->request_id, "overloaded"); //  may pass: asked again
    front_free(request);
    request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    front_reply_error(&f->front, request->request_id, "endpoint_refused");
    front_free(request);
    poll_until(f, *f->log);
    fixture_assert_log(f, "endpoint_refused:a");
    seqpush_receiver_attach_prefix(f->receiver, "pre", 3);
    request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    front_reply_error(&f->front, request->request_id, "forbidden");
    front_free(request);
    poll_until(f, *f->log);
    fixture_assert_log(f, "forbidden:pre");
    seqpush_receiver_poll(f->receiver, 60);
    assert_false(front_has_request(&f->front, 0));
    assert_int_equal(fixture_stats(f)->errors, 3);
}

//  ---- the receiver's rule -----------------------------------------------------------------------

//  Waits for an Ack, longer if one is still `expected`. Adds what it says to what all before have said. False:
//  none came.
static bool s_take_ack(fixture_t *f, char *acked, char *missing, bool expected)
{
    char list[256], all[256] = "";
    if (!front_has_request(&f->front, expected ? 1000 : 20))
        return false;
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ACK);
    fixture_list(list, request->ack->missing, request->ack->n_missing);
    if (*list)
        strcat(strcat(missing, *missing ? " " : ""), list);
    fixture_list(list, request->ack->positions, request->ack->n_positions);
    for (char client = 'a'; client <= 'b'; client++) {
        const char *place = strchr(list, client);
        if (place || (place = strchr(acked, client)))
            strncat(strcat(all, *all ? " " : ""), place, strcspn(place, " "));
    }
    strcpy(acked, all);
    front_free(request);
    return true;
}

static void test_the_receivers_rule(void **state)
{
    static const struct {
        const char *what;
        const char *deliveries[4];
        const char *log;
        const char *acked; //  in the end
        const char *missing; //  in all
    } cases[] = {
        {"in order", {"=a0 a1 a2", "a3"}, "a1 a2 a3", "a3", ""},
        {"clients are apart", {"=a0 =b7 a1 b8 a2"}, "a1 b8 a2", "a2 b8", ""},
        {"a repeated one is dropped", {"=a0 a1 a1 a2", "a1 a2 a3"}, "a1 a2 a3", "a3", ""},
        {"a hole", {"=a0 a1 a3 a4"}, "a1", "a1", "a1"},
        {"a hole is named once", {"=a0 a1 a3 a4", "a5", "a6"}, "a1", "a1", "a1"},
        {"a hole that the broker goes back to fill",
         {"=a0 a1 a3", "=a1 a2 a3 a4"},
         "a1 a2 a3 a4",
         "a4",
         "a1"},
        {"two holes", {"=a0 a1 a3", "a2 a4", "a3 a4"}, "a1 a2 a3 a4", "a4", "a1 a2"},
        {"no marker", {"a1 a2"}, "", "", "a0"},
        {"a marker begins anywhere", {"=a41 a42"}, "a42", "a42", ""},
        {"a marker behind changes nothing",
         {"=a0 a1 a2 a3", "=a1 a2 a3 a4"},
         "a1 a2 a3 a4",
         "a4",
         ""},
        {"a marker at the position", {"=a0 a1 a2", "=a2 a3"}, "a1 a2 a3", "a3", ""},
        {"a marker ahead", {"=a0 a1", "=a5 a6"}, "a1 jump:a5 a6", "a6", ""},
        {"a marker in a new epoch", {"=a0 a1", "=a1/0 a1/1"}, "a1 jump:a1/0 a1/1", "a1/1", ""},
        {"a marker in an older epoch",
         {"=a2/5 a2/6", "=a1/8 a1/9"},
         "a2/6 jump:a1/8 a1/9",
         "a1/9",
         ""},
        {"another epoch without a marker", {"=a0 a1 a1/2 a1/1"}, "a1", "a1", "a1"},
        {"an older epoch without a marker", {"=a2/0 a2/1 a1/2 a2/2"}, "a2/1 a2/2", "a2/2", ""},
        {"a new epoch that is acknowledged", {"=a0 a1 =a1/0"}, "a1 jump:a1/0", "a1/0", ""},
        {"a gap notice", {"=a0 a1 a2-4 a5"}, "a1 gap:a2-4 a5", "a5", ""},
        {"a gap notice of one", {"=a0 a1-1 a2"}, "gap:a1-1 a2", "a2", ""},
        {"a gap notice ahead", {"=a0 a1 a3-4 a5"}, "a1", "a1", "a1"},
        {"a repeated gap notice", {"=a0 a1-3", "a1-3 a4"}, "gap:a1-3 a4", "a4", ""},
        {"seq 0", {"=a0 a0 a1"}, "a1", "a1", ""},
        {"the last seq of all",
         {"=a18446744073709551614 a18446744073709551615 a0"},
         "a-1",
         "a-1",
         ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_setup(state);
        fixture_t *f = *state;
        fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 1});
        for (size_t j = 0; j < 4 && cases[i].deliveries[j]; j++)
            fixture_deliver_and_poll(f, cases[i].deliveries[j]);
        char missing[256] = "", acked[256] = "";
        do
            seqpush_receiver_poll(f->receiver, 2);
        while (s_take_ack(f, acked, missing,
                          strcmp(acked, cases[i].acked) || strcmp(missing, cases[i].missing)));
        if (strcmp(f->log, cases[i].log) || strcmp(acked, cases[i].acked) ||
            strcmp(missing, cases[i].missing))
            fail_msg("%s: log '%s' acked '%s' missing '%s'", cases[i].what, f->log, acked, missing);
        fixture_teardown(state);
    }
    fixture_setup(state);
}

static void test_what_was_received_is_counted(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){0});
    fixture_deliver_and_poll(f, "=a0 a1 a1 a3 a2-5 =a8 a9");
    const seqpush_receiver_stats_t *stats = fixture_stats(f);
    assert_int_equal(stats->pushes, 2);
    assert_int_equal(stats->duplicates, 1);
    assert_int_equal(stats->ahead, 1);
    assert_int_equal(stats->missing, 1);
    assert_int_equal(stats->gaps, 1);
    assert_int_equal(stats->gap_seqs, 4);
    assert_int_equal(stats->markers, 2);
    assert_int_equal(stats->jumps, 1);
}

static void test_deliveries_of_another_generation_are_dropped(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){0});
    fixture_deliver(f, GENERATION - 1, "=a0 a1 a2");
    fixture_deliver(f, GENERATION + 1, "=a0 a1 a2");
    fixture_deliver_and_poll(f, "=a0");
    poll_until(f, fixture_stats(f)->deliveries == 3);
    assert_int_equal(fixture_stats(f)->foreign, 2);
    fixture_assert_log(f, "");
}

static void test_generation_0_is_taken_as_it_comes_without_acks(void **state)
{
    fixture_t *f = *state;
    fixture_start(
        f, (seqpush_receiver_options_t){.ack_interval = 1}); //  of a route: nothing is attached
    fixture_deliver(f, 0, "a5 a5 a1/3 =a7 a2-4 a9 a0");
    poll_until(f, fixture_stats(f)->deliveries == 1);
    fixture_assert_log(f, "a5 a5 a1/3 gap:a2-4 a9 a0");
    seqpush_receiver_poll(f->receiver, 5);
    assert_int_equal(fixture_stats(f)->acks, 0);
    assert_false(front_has_request(&f->front, 20));
}

static void test_without_acks_what_lies_ahead_is_a_jump(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(
        f, (seqpush_receiver_options_t){.ack_mode = SEQPUSH_ACK_NONE, .ack_interval = 1});
    fixture_deliver_and_poll(f, "=a0 a1 a3 a2 a4");
    seqpush_receiver_poll(f->receiver, 5);
    fixture_assert_log(f, "a1 jump:a2 a3 a4");
    assert_false(front_has_request(&f->front, 20));
}

static void test_what_nobody_asked_for_is_dropped(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    fixture_deliver_and_poll(f, "=b0 b1 =a0 a1");
    fixture_assert_log(f, "a1");
}

static void test_what_follows_a_detach_in_a_callback_is_not_handed_out(void **state)
{
    fixture_t *f = *state;
    f->stop_after = 2;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = NEVER});
    fixture_deliver_and_poll(f, "=a0 a1 a2 a3 =b0 b1");
    fixture_assert_log(f, "a1 a2");
    fixture_expect_ack(f, "a2", "");
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_DETACH);
    assert_int_equal(request->detach->n_client_ids, 0);
    front_free(request);
}

//  ---- acks --------------------------------------------------------------------------------------

static void test_acks_are_coalesced_and_cumulative(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 200});
    fixture_deliver_and_poll(f, "=a0 =b0 a1");
    fixture_expect_ack(f, "a1", ""); //  the first at once
    fixture_deliver_and_poll(f, "a2 b1 a3");
    fixture_deliver_and_poll(f, "a4 a5 b2");
    assert_int_equal(fixture_stats(f)->acks, 1);
    fixture_expect_ack(f, "a5 b2", "");
    assert_int_equal(fixture_stats(f)->acks, 2);
}

static void test_an_ack_goes_out_after_so_many_pushes_of_a_client(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = NEVER, .ack_every = 3});
    fixture_deliver_and_poll(f, "=a0 =b0 a1");
    fixture_expect_ack(f, "a1", "");
    fixture_deliver_and_poll(f, "a2 a3 b1 b2 a4 a5 a6 a7");
    fixture_expect_ack(f, "a4 b2", "");
    fixture_expect_ack(f, "a7", "");
}

static void test_a_slow_application_acknowledges_within_a_delivery(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 5});
    f->delay = 10;
    fixture_deliver_and_poll(f, "=a0 a1 a2 a3 a4 a5 a6");
    assert_true(fixture_stats(f)->acks >=
                4); //  one a push, but where the clock is not looked at yet
    fixture_assert_log(f, "a1 a2 a3 a4 a5 a6");
}

static void test_what_comes_again_is_acknowledged_again(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 100});
    fixture_deliver_and_poll(f, "=a0 a1 a2");
    fixture_expect_ack(f, "a2", "");
    fixture_deliver_and_poll(f, "=a0 a1 a2"); //  the ack was lost
    fixture_expect_ack(f, "a2", "");
}

static void test_the_end_sends_the_last_acks_and_a_detach(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = NEVER});
    fixture_deliver_and_poll(f, "=a0 a1");
    fixture_expect_ack(f, "a1", "");
    fixture_deliver_and_poll(f, "a2");
    seqpush_receiver_destroy(&f->receiver);
    assert_true(front_has_request(&f->front, PATIENCE));
    static const int bodies[] = {SEQPUSH__V1__REQUEST__BODY_ACK, SEQPUSH__V1__REQUEST__BODY_DETACH};
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[256];
        assert_true(front_has_request(&f->front, PATIENCE));
        zmq_recv(f->front.router, bytes, sizeof bytes, 0);
        size_t size = (size_t)zmq_recv(f->front.router, bytes, sizeof bytes, 0);
        request_t *request = seqpush__v1__request__unpack(NULL, size, bytes);
        assert_int_equal(request->body_case, bodies[i]);
        if (i == 0)
            fixture_assert_positions(request->ack->positions, request->ack->n_positions, "a2");
        front_free(request);
    }
}

//  ---- sessions ----------------------------------------------------------------------------------

static void s_heartbeat_error(fixture_t *f, char *code)
{
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_HEARTBEAT);
    assert_int_equal(request->heartbeat->generation, GENERATION);
    front_reply_error(&f->front, request->request_id, code);
    front_free(request);
}

static void test_a_lost_session_is_attached_again_with_the_positions(void **state)
{
    static char *const codes[] = {"unknown_receiver", "stale_generation", NULL};
    fixture_t *f = *state;
    for (int i = 0; i < 3; i++) {
        fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 200});
        fixture_attach(f, "a", 5);
        fixture_attach(f, "b", 0);
        fixture_grant(f, "a5 b0", GENERATION);
        fixture_deliver_and_poll(f, "=a5 a6 =b2");
        fixture_expect_ack(f, "a6", "");
        if (codes[i])
            s_heartbeat_error(f, codes[i]);
        for (int beat = 0; !codes[i] && beat < 3; beat++) //  silence
            front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_HEARTBEAT));
        fixture_grant(f, "a6 b2", GENERATION + 1);
        fixture_assert_log(f, "a6");
        fixture_deliver(f, GENERATION, "a7 a8");
        fixture_deliver(f, GENERATION + 1, "=a6 a7");
        poll_until(f, *f->log);
        fixture_assert_log(f, "a7");
        assert_int_equal(fixture_stats(f)->foreign, 1);
        fixture_end_receiver(f);
    }
}

//  Answers a heartbeat, from the run of the broker that the front now is.
static void s_answer_heartbeat(fixture_t *f)
{
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_HEARTBEAT);
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_HEARTBEAT;
    reply.heartbeat = request->heartbeat;
    reply.request_id = request->request_id;
    front_reply(&f->front, &reply);
    front_free(request);
}

static void test_a_new_instance_is_attached_to_again(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.heartbeat = 200});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    f->front.instance = 8;
    s_answer_heartbeat(f);
    fixture_grant(f, "a5", GENERATION + 1);
}

static void test_a_new_instance_is_told_where_clients_of_a_prefix_are(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 300});
    seqpush_receiver_attach_prefix(f->receiver, "", 0);
    fixture_grant(f, "", GENERATION);
    fixture_deliver_and_poll(f, "=a4 a5 =b2/0 b2/1 =c0 c1");
    fixture_expect_ack(f, "a5 b2/1 c1", "");
    fixture_reply_detached(f, "c", "taken_over"); //  is another one's now
    poll_until(f, strstr(f->log, "taken"));
    f->front.instance = 8;
    s_answer_heartbeat(f);
    fixture_grant(f, "a5 b2/1", GENERATION + 1);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_DETACH);
    assert_int_equal(request->detach->n_client_ids, 2); //  they belong to the prefix
    front_free(request);
    fixture_grant(f, "", GENERATION + 1);
    fixture_deliver(f, GENERATION + 1, "=a5 a6");
    poll_until(f, strstr(f->log, "a6"));
}

static void test_a_broker_that_comes_back_is_attached_to_by_itself(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 200});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    fixture_restart(f);
    s_heartbeat_error(f, "unknown_receiver");
    fixture_grant(f, "a6", GENERATION + 1);
    fixture_deliver(f, GENERATION + 1, "=a6 a7");
    poll_until(f, strstr(f->log, "a7"));
    fixture_assert_log(f, "a6 a7");
}

static void test_receivers_of_one_process_do_not_mix(void **state)
{
    fixture_t *f = *state;
    void *others[1];
    fixture_setup(others);
    fixture_t *other = *others;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_start_attached(other, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_deliver_and_poll(f, "=a0 a1 a2");
    fixture_deliver_and_poll(other, "=a6 a7");
    fixture_expect_ack(f, "a2", "");
    fixture_expect_ack(other, "a7", "");
    fixture_assert_log(f, "a1 a2");
    fixture_assert_log(other, "a7");
    fixture_teardown(others); //  and the first one works on
    fixture_deliver_and_poll(f, "a3");
    fixture_expect_ack(f, "a3", "");
}

static void test_heartbeats_that_are_answered_change_nothing(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.heartbeat = 100});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    for (int i = 0; i < 5; i++)
        s_answer_heartbeat(f);
    assert_true(seqpush_receiver_attached(f->receiver));
    assert_int_equal(fixture_stats(f)->attaches, 1);
}

static void test_an_error_of_an_older_session_is_of_no_effect(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 100});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    request_t *ack = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ACK);
    s_heartbeat_error(f, "unknown_receiver");
    fixture_grant(f, "a6", GENERATION);
    front_reply_error(&f->front, ack->request_id, "stale_generation");
    front_free(ack);
    poll_until(f, fixture_stats(f)->errors == 2);
    assert_true(seqpush_receiver_attached(f->receiver));
}

static void test_a_client_that_was_taken_over_is_told_and_left_alone(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 200});
    fixture_attach(f, "a", 5);
    fixture_attach(f, "b", 5);
    fixture_grant(f, "a5 b5", GENERATION);
    fixture_reply_detached(f, "a", "taken_over");
    poll_until(f, *f->log);
    fixture_assert_log(f, "taken_over:a");
    fixture_deliver_and_poll(f, "=a5 a6 =b5 b6");
    fixture_assert_log(f, "b6");
    fixture_expect_ack(f, "b6", "");
    s_heartbeat_error(f, "unknown_receiver");
    fixture_grant(f, "b6", GENERATION);
    fixture_reply_detached(f, NULL, "taken_over");
    poll_until(f, *f->log);
    fixture_assert_log(f, "taken_over:all");
    assert_false(seqpush_receiver_attached(f->receiver));
    seqpush_receiver_poll(f->receiver, 60);
    assert_false(front_has_request(&f->front, 0));
}

static void test_after_a_timeout_the_receiver_comes_back_by_itself(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){0});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_reply_detached(f, NULL, "timeout");
    fixture_grant(f, "a5", GENERATION + 1);
    fixture_assert_log(f, "");
}

static void test_what_is_given_back_is_detached(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = NEVER});
    fixture_attach(f, "a", 5);
    fixture_attach(f, "b", 5);
    fixture_grant(f, "a5 b5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    fixture_expect_ack(f, "a6", "");
    fixture_deliver_and_poll(f, "a7");
    seqpush_receiver_detach(f->receiver, "a", 1);
    fixture_expect_ack(f, "a7", ""); //  first what was received
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_DETACH);
    assert_int_equal(request->detach->n_client_ids, 1);
    assert_memory_equal(request->detach->client_ids[0].data, "a", 1);
    assert_int_equal(request->detach->generation, GENERATION);
    front_free(request);
    fixture_deliver_and_poll(f, "a8 =b5 b6");
    fixture_assert_log(f, "a6 a7 b6");
    fixture_attach(f, "a", 7);
    fixture_grant(f, "a7", GENERATION);
    fixture_deliver_and_poll(f, "=a7 a8");
    fixture_assert_log(f, "a8");
}

static void test_a_takeover_before_the_attach_is_of_no_effect_on_what_it_names(void **state)
{
    static const char *const taken[] = {"a", NULL};
    fixture_t *f = *state;
    for (int i = 0; i < 2; i++) {
        fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 100, .heartbeat = 300});
        fixture_attach(f, "a", 5);
        fixture_grant(f, "a5", GENERATION);
        s_heartbeat_error(f, "stale_generation"); //  while the broker has the session still
        front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH));
        fixture_reply_detached(f, taken[i], "taken_over");
        fixture_grant(f, "a5", GENERATION); //  sent again, as it went unanswered
        assert_true(seqpush_receiver_attached(f->receiver));
        fixture_deliver_and_poll(f, "=a5 a6");
        fixture_expect_ack(f, "a6", "");
        fixture_assert_log(f, "a6");
        fixture_end_receiver(f);
    }
}

static void test_a_takeover_before_an_attach_that_was_given_up_is_of_no_effect(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.heartbeat = 300});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    request_t *beat = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_HEARTBEAT);
    fixture_attach(f, "a", 5);
    front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH));
    front_reply_error(&f->front, beat->request_id, "stale_generation");
    front_free(beat);
    fixture_reply_detached(f, "a", "taken_over");
    fixture_grant(f, "a5", GENERATION);
    fixture_assert_log(f, "");
    assert_true(seqpush_receiver_attached(f->receiver));
}

static void test_a_takeover_after_an_attach_whose_answer_was_lost_is_told(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_attach(f, "b", 5);
    front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH));
    fixture_deliver_and_poll(f, "=a5 a6");
    request_t *ack = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ACK);
    front_reply_error(&f->front, ack->request_id, "overloaded"); //  later requests are answered
    front_free(ack);
    fixture_reply_detached(f, "b", "taken_over");
    poll_until(f, strstr(f->log, "taken"));
    fixture_assert_log(f, "a6 taken_over:b");
}

static void test_what_comes_before_the_attached_is_dropped_and_named_as_missing_after_it(
    void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    fixture_expect_ack(f, "a6", "");
    fixture_reply_detached(f, "a", "taken_over");
    poll_until(f, strstr(f->log, "taken"));
    fixture_attach(f, "a", 6); //  and back
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    fixture_deliver_and_poll(f, "a7"); //  from before, and acknowledged by the other
    fixture_deliver_and_poll(f, "a9");
    assert_false(front_has_request(&f->front, 20));
    fixture_reply_attached(f, request->request_id, GENERATION, "a8", NULL);
    front_free(request);
    fixture_expect_ack(f, "", "a8");
    fixture_deliver_and_poll(f, "=a8 a9");
    fixture_assert_log(f, "a6 taken_over:a jump:a8 a9");
}

static void test_a_client_of_a_prefix_that_is_asked_for_by_name_waits_for_its_attached(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_deliver_and_poll(f, "=a0 a1");
    fixture_expect_ack(f, "a1", "");
    fixture_attach(f, "a", 1);
    request_t *request = fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ATTACH);
    fixture_deliver_and_poll(f, "a2 =b0 b1"); //  those of the prefix go on
    fixture_expect_ack(f, "b1", "");
    fixture_reply_attached(f, request->request_id, GENERATION, "a1", NULL);
    front_free(request);
    fixture_expect_ack(f, "", "a1");
    fixture_deliver_and_poll(f, "=a1 a2");
    fixture_assert_log(f, "a1 b1 a2");
}

static void test_without_acks_nothing_waits_for_an_attached(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_mode = SEQPUSH_ACK_NONE});
    fixture_attach(f, "a", 5);
    fixture_grant(f, "a5", GENERATION);
    fixture_deliver_and_poll(f, "=a5 a6");
    fixture_attach(f, "a", 6);
    fixture_deliver_and_poll(f, "a7");
    fixture_assert_log(f, "a6 a7");
}

static void test_a_marker_of_an_older_epoch_takes_no_attached_client_back(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_receiver_options_t){.ack_interval = 1});
    fixture_attach(f, "a", 0);
    fixture_grant(f, "a0", GENERATION);
    fixture_deliver_and_poll(f, "=a1/0 a1/1 =a0 a1 a1/2");
    fixture_assert_log(f, "a1/1 a1/2");
}

static void test_a_prefix_brings_clients_by_their_markers(void **state)
{
    fixture_t *f = *state;
    fixture_start_attached(f, (seqpush_receiver_options_t){0});
    fixture_deliver_and_poll(f, "=a3 a4");
    fixture_reply_detached(f, "a", "taken_over");
    poll_until(f, strstr(f->log, "taken"));
    fixture_deliver_and_poll(f, "a5"); //  was on its way still
    fixture_deliver_and_poll(f, "=a9 a10"); //  and back
    fixture_assert_log(f, "a4 taken_over:a jump:a9 a10");
}

//  ---- signals -----------------------------------------------------------------------------------

static void s_on_alarm(int number)
{
    (void)number;
}

static void test_a_signal_ends_the_wait(void **state)
{
    fixture_t *f = *state;
    struct sigaction action = {.sa_handler = s_on_alarm};
    struct itimerval timer = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
    fixture_start(f, (seqpush_receiver_options_t){0});
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_int_equal(seqpush_receiver_poll(f->receiver, -1), -EINTR);
    setitimer(ITIMER_REAL, &off, NULL);
}

//  ---- bytes that are no Delivery ----------------------------------------------------------------

static size_t s_pack_random(uint64_t *seed, uint8_t *bytes)
{
    static uint8_t payload[20] = "payload";
    Seqpush__V1__Push pushes[4], *pointers[4];
    Seqpush__V1__Delivery delivery = SEQPUSH__V1__DELIVERY__INIT;
    delivery.pushes = pointers;
    delivery.n_pushes = front_random(seed) % 4;
    delivery.generation = front_random(seed) % 3 ? GENERATION : front_random(seed);
    for (size_t i = 0; i < delivery.n_pushes; i++) {
        pointers[i] = &pushes[i];
        seqpush__v1__push__init(&pushes[i]);
        pushes[i].client_id = (ProtobufCBinaryData){1 + front_random(seed) % 3, (uint8_t *)"aaaa"};
        pushes[i].epoch = front_random(seed) % 4 ? 0 : front_random(seed) % 3;
        pushes[i].seq = front_random(seed) % 6;
        pushes[i].payload = (ProtobufCBinaryData){front_random(seed) % 20, payload};
        pushes[i].marker = front_random(seed) % 4 == 0;
        pushes[i].skipped_to = front_random(seed) % 4 ? 0 : front_random(seed) % 8;
    }
    return seqpush__v1__delivery__pack(&delivery, bytes);
}

//  Changes, cuts, repeats and inserts bytes.
static size_t s_mutate(uint64_t *seed, uint8_t *bytes, size_t size)
{
    for (uint64_t i = front_random(seed) % 4; i && size; i--) {
        size_t at = front_random(seed) % size;
        switch (front_random(seed) % 4) {
        case 0:
            bytes[at] = (uint8_t)front_random(seed);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << front_random(seed) % 8);
            break;
        case 2:
            size = at;
            break;
        default:
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = (uint8_t)front_random(seed);
            size++;
        }
    }
    return size;
}

//  What the walk has read is what protobuf-c reads. Returns false if they differ.
static bool s_is_same(const delivery_t *read, const Seqpush__V1__Delivery *delivery)
{
    if (read->generation != delivery->generation || read->count != delivery->n_pushes)
        return false;
    for (size_t i = 0; i < read->count; i++) {
        const delivery_entry_t *entry = &read->entries[i];
        const Seqpush__V1__Push *push = delivery->pushes[i];
        if (entry->push.epoch != push->epoch || entry->push.seq != push->seq ||
            entry->skipped_to != push->skipped_to || entry->marker != push->marker ||
            entry->push.client_id_size != push->client_id.len ||
            entry->push.payload_size != push->payload.len ||
            memcmp(entry->push.client_id, push->client_id.data, push->client_id.len) ||
            (push->payload.len &&
             memcmp(entry->push.payload, push->payload.data, push->payload.len)))
            return false;
    }
    return true;
}

//  What a Delivery must have beyond what protobuf-c asks for.
static bool s_is_sound(const Seqpush__V1__Delivery *delivery)
{
    for (size_t i = 0; i < delivery->n_pushes; i++) {
        const Seqpush__V1__Push *push = delivery->pushes[i];
        if (push->client_id.len == 0 || push->client_id.len > SEQPUSH_ID_MAX ||
            (push->skipped_to && push->skipped_to < push->seq))
            return false;
    }
    return true;
}

//  protobuf-c reads the one bool, marker, from any wire type; the walk wants a varint. The tag may
//  be longer than it has to be.
static bool s_has_odd_marker(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned tag = bytes[i] & 0x7f;
        if (tag == 0x31 || tag == 0x32 || tag == 0x35)
            return true;
    }
    return false;
}

static void s_fail_on(const uint8_t *bytes, size_t size, bool got)
{
    char text[1024] = "";
    for (size_t i = 0; i < size; i++)
        sprintf(text + 3 * i, "%02x ", bytes[i]);
    fail_msg("%s by the walk alone: %s", got ? "read" : "not read", text);
}

static void test_the_walk_reads_what_protobuf_c_reads(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    delivery_t read = {0};
    size_t good = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[256];
        size_t size = s_mutate(&seed, bytes, s_pack_random(&seed, bytes));
        uint8_t *exact = malloc(size); //  so that a read beyond the end is seen
        memcpy(exact, bytes, size);
        Seqpush__V1__Delivery *delivery = seqpush__v1__delivery__unpack(NULL, size, exact);
        bool expected = delivery && s_is_sound(delivery);
        bool got = delivery_read(&read, exact, size);
        if (expected && !got && s_has_odd_marker(exact, size))
            expected = false;
        if (got != expected || (got && !s_is_same(&read, delivery)))
            s_fail_on(bytes, size, got);
        good += got;
        if (delivery)
            seqpush__v1__delivery__free_unpacked(delivery, NULL);
        free(exact);
    }
    assert_in_range(good, 1000, 199000);
    delivery_fini(&read);
}

//  The last push of each client that the application got, and whether it was the one that follows.
typedef struct {
    uint64_t epoch[5], seq[5];
    bool known[5];
    uint64_t count;
} order_t;

static void s_check_push(void *arg, const seqpush_push_t *push)
{
    order_t *order = arg;
    size_t i = push->client_id_size < 4 ? push->client_id_size : 4;
    if (memcmp(push->client_id, "aaaa", i) != 0)
        return; //  an id that was mutated
    if (order->known[i] && order->epoch[i] == push->epoch && i < 4)
        assert_true(push->seq > order->seq[i]);
    order->epoch[i] = push->epoch;
    order->seq[i] = push->seq;
    order->known[i] = true;
    order->count++;
}

//  A marker in another epoch may start it over: then nothing is known of the old one.
static void s_forget_order(void *arg, const seqpush_position_t *position)
{
    order_t *order = arg;
    order->known[position->client_id_size < 4 ? position->client_id_size : 4] = false;
}

static void test_random_deliveries_never_come_out_of_order(void **state)
{
    fixture_t *f = *state;
    order_t order = {0};
    delivery_t read = {0};
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    seqpush_receiver_options_t options = {.broker = f->front.endpoint,
                                          .id = "r1",
                                          .id_size = 2,
                                          .on_push = s_check_push,
                                          .on_jump = s_forget_order,
                                          .heartbeat = NEVER,
                                          .arg = &order};
    f->receiver = seqpush_receiver_new(&options);
    zmq_connect(f->push, seqpush_receiver_endpoint(f->receiver));
    seqpush_receiver_attach_prefix(f->receiver, "", 0);
    fixture_grant(f, "", GENERATION);
    for (uint64_t i = 0; i < 20000; i++) {
        uint8_t bytes[256];
        size_t size = s_pack_random(&seed, bytes);
        if (front_random(&seed) % 2)
            size = s_mutate(&seed, bytes, size);
        if (delivery_read(&read, bytes, size) && read.generation == 0)
            size = 0; //  generation 0 has no order
        zmq_send(f->push, bytes, size, 0);
        if (i % 100 == 99)
            poll_until(f, fixture_stats(f)->deliveries == i + 1);
        if (i % 100 == 99)
            while (front_has_request(&f->front, 0))
                front_free(fixture_take(f, SEQPUSH__V1__REQUEST__BODY_ACK));
    }
    assert_true(fixture_stats(f)->malformed > 100);
    assert_true(order.count > 100);
    delivery_fini(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_broker(test_an_attach_says_who_where_and_after_what),
        with_broker(test_the_bound_endpoint_is_what_is_told),
        with_broker(test_what_cannot_be_is_refused),
        with_broker(test_many_clients_are_attached_in_chunks),
        with_broker(test_deliveries_are_not_read_before_the_attach_is_granted),
        with_broker(test_an_unanswered_attach_is_sent_again),
        with_broker(test_where_the_broker_is_ahead_the_stream_jumps),
        with_broker(test_a_refused_position_is_given_up_for_the_brokers),
        with_broker(test_the_application_may_stay_away_after_a_refusal),
        with_broker(test_a_refused_attach_is_told),
        cmocka_unit_test_teardown(test_the_receivers_rule, fixture_teardown),
        with_broker(test_what_was_received_is_counted),
        with_broker(test_deliveries_of_another_generation_are_dropped),
        with_broker(test_generation_0_is_taken_as_it_comes_without_acks),
        with_broker(test_without_acks_what_lies_ahead_is_a_jump),
        with_broker(test_what_nobody_asked_for_is_dropped),
        with_broker(test_what_follows_a_detach_in_a_callback_is_not_handed_out),
        with_broker(test_acks_are_coalesced_and_cumulative),
        with_broker(test_an_ack_goes_out_after_so_many_pushes_of_a_client),
        with_broker(test_a_slow_application_acknowledges_within_a_delivery),
        with_broker(test_what_comes_again_is_acknowledged_again),
        with_broker(test_the_end_sends_the_last_acks_and_a_detach),
        with_broker(test_a_lost_session_is_attached_again_with_the_positions),
        with_broker(test_a_new_instance_is_attached_to_again),
        with_broker(test_a_new_instance_is_told_where_clients_of_a_prefix_are),
        with_broker(test_a_broker_that_comes_back_is_attached_to_by_itself),
        with_broker(test_receivers_of_one_process_do_not_mix),
        with_broker(test_heartbeats_that_are_answered_change_nothing),
        with_broker(test_an_error_of_an_older_session_is_of_no_effect),
        with_broker(test_a_client_that_was_taken_over_is_told_and_left_alone),
        with_broker(test_after_a_timeout_the_receiver_comes_back_by_itself),
        with_broker(test_what_is_given_back_is_detached),
        with_broker(test_a_takeover_before_the_attach_is_of_no_effect_on_what_it_names),
        with_broker(test_a_takeover_before_an_attach_that_was_given_up_is_of_no_effect),
        with_broker(test_a_takeover_after_an_attach_whose_answer_was_lost_is_told),
        with_broker(test_what_comes_before_the_attached_is_dropped_and_named_as_missing_after_it),
        with_broker(test_a_client_of_a_prefix_that_is_asked_for_by_name_waits_for_its_attached),
        with_broker(test_without_acks_nothing_waits_for_an_attached),
        with_broker(test_a_marker_of_an_older_epoch_takes_no_attached_client_back),
        with_broker(test_a_prefix_brings_clients_by_their_markers),
        with_broker(test_a_signal_ends_the_wait),
        cmocka_unit_test(test_the_walk_reads_what_protobuf_c_reads),
        with_broker(test_random_deliveries_never_come_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
