//  test_gate.c - the gate at the front: who is let in, and nobody when there is no gate

#include "front.h"
#include "gate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define HANDSHAKE 2000 //  ms; without a gate nobody says no, and the time ends it
#define PATIENCE 10000 //  ms until a test that waits has failed

typedef struct {
    certificate_t broker, peer;
    config_access_t key;
    config_t config;
    pipe_t *near, *far;
    front_stats_t *front_stats;
    gate_stats_t *gate_stats;
    front_t *front;
    gate_t *gate;
    zactor_t *actor;
} fixture_t;

static void s_start_gate(fixture_t *f)
{
    f->gate = gate_new(access_new(&f->config), f->gate_stats);
    assert_non_null(f->gate);
    f->actor = zactor_new(gate_run, f->gate);
}

static void s_stop_gate(fixture_t *f)
{
    zactor_destroy(&f->actor);
    gate_destroy(&f->gate);
}

static int s_setup(void **state)
{
    static const char *const bind[] = {"tcp://127.0.0.1:*"};
    fixture_t *f = *state = calloc(1, sizeof *f);
    assert_int_equal(certificate_make(&f->broker), 0);
    assert_int_equal(certificate_make(&f->peer), 0);
    f->key = (config_access_t){.name = "peer", .public = f->peer.public_key};
    f->config.security.keys = &f->key;
    f->config.security.key_count = 1;
    f->front_stats = calloc(1, sizeof *f->front_stats);
    f->gate_stats = calloc(1, sizeof *f->gate_stats);
    assert_int_equal(pipe_new(&f->near, &f->far, 16), 0);
    front_settings_t settings = {.bind = bind,
                                 .bind_count = 1,
                                 .limits = {.max_payload = 1024, .max_pushes = 16},
                                 .publisher_credit = 16,
                                 .handshake_timeout = HANDSHAKE,
                                 .connections_max = 16,
                                 .unread_max = 65536,
                                 .curve = &f->broker,
                                 .access = access_new(&f->config),
                                 .orderer = f->near,
                                 .stats = f->front_stats};
    char *error;
    f->front = front_new(&settings, &error);
    assert_non_null(f->front);
    return 0;
}

static int s_teardown(void **state)
{
    fixture_t *f = *state;
    front_destroy(&f->front, 0);
    s_stop_gate(f);
    pipe_destroy(&f->near);
    pipe_destroy(&f->far);
    free(f->front_stats);
    free(f->gate_stats);
    free(f);
    return 0;
}

//  Connects with a pair, and waits until it is let in or turned away.
static bool s_is_let_in(const fixture_t *f, const certificate_t *pair)
{
    zsock_t *dealer = zsock_new(ZMQ_DEALER);
    void *handle = zsock_resolve(dealer), *monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    int patience = PATIENCE;
    char endpoint[32];
    snprintf(endpoint, sizeof endpoint, "inproc://peer-%p", handle);
    zsock_set_linger(dealer, 0);
    zsock_set_curve_serverkey(dealer, f->broker.public_key);
    zsock_set_curve_publickey(dealer, pair->public_key);
    zsock_set_curve_secretkey(dealer, pair->secret_key);
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_socket_monitor(handle, endpoint,
                                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL),
                     0);
    assert_int_equal(zmq_connect(monitor, endpoint), 0);
    assert_int_equal(zmq_connect(handle, front_endpoints(f->front)), 0);
    uint8_t frame[6];
    uint16_t event;
    assert_int_equal(zmq_recv(monitor, frame, sizeof frame, 0), sizeof frame);
    memcpy(&event, frame, sizeof event);
    zmq_socket_monitor(handle, NULL, 0);
    zmq_close(monitor);
    zsock_destroy(&dealer);
    return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
}

static void test_a_known_key_is_let_in_and_an_unknown_one_is_not(void **state)
{
    fixture_t *f = *state;
    certificate_t stranger;
    assert_int_equal(certificate_make(&stranger), 0);
    s_start_gate(f);
    assert_true(s_is_let_in(f, &f->peer));
    assert_false(s_is_let_in(f, &stranger));
    assert_int_equal(stats_get(&f->gate_stats->admitted), 1);
    assert_true(stats_get(&f->gate_stats->unknown_key) >= 1);
}

static void test_without_a_gate_nobody_is_let_in(void **state)
{
    fixture_t *f = *state;
    assert_false(s_is_let_in(f, &f->peer));
}

static void test_when_the_gate_is_gone_nobody_is_let_in_until_there_is_one_again(void **state)
{
    fixture_t *f = *state;
    s_start_gate(f);
    assert_true(s_is_let_in(f, &f->peer));
    s_stop_gate(f);
    assert_false(s_is_let_in(f, &f->peer));
    s_start_gate(f);
    assert_true(s_is_let_in(f, &f->peer));
}

static void test_a_table_that_is_taken_over_decides_from_then_on(void **state)
{
    fixture_t *f = *state;
    s_start_gate(f);
    assert_true(s_is_let_in(f, &f->peer));
    f->config.security.key_count = 0;
    zsock_send(f->actor, "sp", "ACCESS", access_new(&f->config));
    assert_false(s_is_let_in(f, &f->peer));
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_known_key_is_let_in_and_an_unknown_one_is_not,
                                        s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(test_without_a_gate_nobody_is_let_in, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(
            test_when_the_gate_is_gone_nobody_is_let_in_until_there_is_one_again, s_setup,
            s_teardown),
        cmocka_unit_test_setup_teardown(test_a_table_that_is_taken_over_decides_from_then_on,
                                        s_setup, s_teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zsys_shutdown();
    return failed;
}
