//  test_pipe.c - pipes between actors: order, credit, no deadlock with both sides at their limit

#include "pipe.h"
#include <czmq.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct {
    pipe_item_t item;
    unsigned number;
} numbered_t;

static void s_put(pipe_t *pipe, numbered_t *items, unsigned from, unsigned count, uint32_t weight)
{
    for (unsigned i = from; i < from + count; i++) {
        items[i].number = i;
        pipe_put(pipe, &items[i].item, weight);
    }
}

//  Takes until `count` items have come; checks that they come in the order of their numbers.
static unsigned s_expect(pipe_t *pipe, unsigned next, unsigned count)
{
    while (count) {
        int64_t waited = -1;
        pipe_item_t *item = pipe_take(pipe, &waited);
        assert_non_null(item);
        assert_true(waited >= 0);
        for (; item; item = item->next, count--)
            assert_int_equal(((numbered_t *)item)->number, next++);
    }
    return next;
}

static void items_arrive_in_order_and_in_chains(void **state)
{
    (void)state;
    pipe_t *left, *right;
    assert_int_equal(pipe_new(&left, &right, 1000), 0);
    numbered_t items[100];
    s_put(left, items, 0, 60, 1);
    pipe_flush(left);
    s_put(left, items, 60, 40, 1);
    pipe_flush(left);
    int64_t waited;
    pipe_item_t *first = pipe_take(right, &waited);
    unsigned length = 0;
    for (pipe_item_t *at = first; at; at = at->next)
        length++;
    assert_int_equal(length, 60);
    assert_int_equal(s_expect(right, 60, 40), 100);
    assert_null(pipe_take(right, &waited));
    pipe_destroy(&left);
    pipe_destroy(&right);
    assert_null(left);
}

static void credit_ends_at_the_capacity_and_comes_back(void **state)
{
    (void)state;
    pipe_t *left, *right;
    assert_int_equal(pipe_new(&left, &right, 10), 0);
    numbered_t items[30];
    unsigned put = 0;
    while (pipe_has_credit(left)) {
        s_put(left, items, put++, 1, 3);
        pipe_flush(left);
    }
    assert_int_equal(put, 4); //  12 >= 10: exceeds the capacity by less than one item
    unsigned next = s_expect(right, 0, 4);
    int64_t waited;
    //  The chains are worked through when the next one is asked for; then the credit comes back.
    assert_null(pipe_take(right, &waited));
    assert_null(pipe_take(left, &waited));
    assert_true(pipe_has_credit(left));
    s_put(left, items, 4, 1, 3);
    pipe_flush(left);
    s_expect(right, next, 1);
    pipe_destroy(&left);
    pipe_destroy(&right);
}

static void what_is_put_without_credit_waits_and_is_not_lost(void **state)
{
    (void)state;
    pipe_t *left, *right;
    assert_int_equal(pipe_new(&left, &right, 4), 0);
    numbered_t items[1000];
    for (unsigned i = 0; i < 1000; i++) {
        s_put(left, items, i, 1, 1);
        pipe_flush(left);
    }
    unsigned next = 0;
    while (next < 1000) {
        int64_t waited;
        for (pipe_item_t *item = pipe_take(right, &waited); item; item = item->next)
            assert_int_equal(((numbered_t *)item)->number, next++);
        pipe_take(left, &waited);
        pipe_flush(left);
    }
    pipe_destroy(&left);
    pipe_destroy(&right);
}

static void emptying_gives_back_what_waits_and_what_was_sent(void **state)
{
    (void)state;
    pipe_t *left, *right;
    assert_int_equal(pipe_new(&left, &right, 4), 0);
    numbered_t items[20];
    s_put(left, items, 0, 10, 1);
    pipe_flush(left);
    s_put(left, items, 10, 10, 1);
    unsigned found = 0;
    for (pipe_item_t *item = pipe_empty(right); item; item = item->next)
        found++;
    for (pipe_item_t *item = pipe_empty(left); item; item = item->next)
        found++;
    assert_int_equal(found, 20);
    pipe_destroy(&left);
    pipe_destroy(&right);
}

//  ---- two threads, both sides at their limit ----------------------------------------------------

#define EXCHANGES 200000
#define CAPACITY 8

typedef struct {
    pipe_t *pipe;
    unsigned taken;
} side_t;

//  Puts as fast as credit allows and takes what comes, each item of its own making.
static void s_exchange(side_t *side)
{
    unsigned put = 0;
    while (put < EXCHANGES || side->taken < EXCHANGES) {
        int64_t waited;
        pipe_item_t *item = pipe_take(side->pipe, &waited);
        bool idle = !item;
        while (item) {
            pipe_item_t *next = item->next;
            assert_int_equal(((numbered_t *)item)->number, side->taken++);
            free(item);
            item = next;
        }
        while (put < EXCHANGES && pipe_has_credit(side->pipe)) {
            numbered_t *made = malloc(sizeof *made);
            made->number = put++;
            pipe_put(side->pipe, &made->item, 1);
        }
        pipe_flush(side->pipe);
        if (!idle || side->taken == EXCHANGES)
            continue;
        zmq_pollitem_t wait = {NULL, pipe_descriptor(side->pipe), ZMQ_POLLIN, 0};
        if (pipe_begin_wait(side->pipe))
            assert_int_not_equal(zmq_poll(&wait, 1, 10000), 0);
        pipe_end_wait(side->pipe, wait.revents);
    }
    //  The credit of the last items may be what the other side waits for.
    int64_t waited;
    assert_null(pipe_take(side->pipe, &waited));
    pipe_flush(side->pipe);
}

static void s_exchange_actor(zsock_t *control, void *args)
{
    zsock_signal(control, 0);
    s_exchange(args);
    pipe_hand_over(((side_t *)args)->pipe);
    zsock_signal(control, 0);
    zstr_free(&(char *){zstr_recv(control)});
}

static void both_sides_at_their_limit_do_not_deadlock(void **state)
{
    (void)state;
    side_t left = {0}, right = {0};
    assert_int_equal(pipe_new(&left.pipe, &right.pipe, CAPACITY), 0);
    zactor_t *actor = zactor_new(s_exchange_actor, &right);
    s_exchange(&left);
    assert_int_equal(zsock_wait(actor), 0);
    pipe_take_over(right.pipe);
    assert_int_equal(left.taken, EXCHANGES);
    assert_int_equal(right.taken, EXCHANGES);
    zactor_destroy(&actor);
    pipe_destroy(&left.pipe);
    pipe_destroy(&right.pipe);
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_arrive_in_order_and_in_chains),
        cmocka_unit_test(credit_ends_at_the_capacity_and_comes_back),
        cmocka_unit_test(what_is_put_without_credit_waits_and_is_not_lost),
        cmocka_unit_test(emptying_gives_back_what_waits_and_what_was_sent),
        cmocka_unit_test(both_sides_at_their_limit_do_not_deadlock),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zsys_shutdown();
    return failed;
}
