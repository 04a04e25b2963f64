//  test_window.c - the ring of held pushes, and the queue of released ones

#include "retained.h"
#include "window.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

//  A place that can be told from others; the frame is never looked into.
static window_place_t s_place(uint64_t seq)
{
    return (window_place_t){.frame = (frame_t *)(uintptr_t)(seq + 1), .size = (uint32_t)seq};
}

static void s_take_all(window_t *window, uint64_t next, uint64_t last)
{
    for (uint64_t seq = next; seq <= last; seq++)
        if (window_at(window, next, seq))
            window_take(window, window_at(window, next, seq));
    assert_int_equal(window->held, 0);
    assert_int_equal(window->marks, 0);
    window_fini(window);
}

static void what_is_put_is_found_at_its_seq(void **state)
{
    (void)state;
    window_t window = {0};
    assert_null(window_at(&window, 1, 1));
    assert_true(window_put(&window, 1, 5, s_place(5)));
    assert_true(window_put(&window, 1, 1, s_place(1)));
    assert_true(window_holds(&window, 1, 5));
    assert_false(window_holds(&window, 1, 4));
    assert_false(window_holds(&window, 1, 1000000));
    window_place_t taken = window_take(&window, window_at(&window, 1, 5));
    assert_int_equal(taken.size, 5);
    assert_false(window_holds(&window, 1, 5));
    assert_int_equal(window.held, 1);
    s_take_all(&window, 1, 5);
}

static void marks_are_not_pushes(void **state)
{
    (void)state;
    window_t window = {0};
    assert_true(window_mark(&window, 1, 3));
    assert_true(window_marked(&window, 1, 3));
    assert_false(window_holds(&window, 1, 3));
    assert_false(window_marked(&window, 1, 2));
    assert_int_equal(window.held, 0);
    assert_int_equal(window.marks, 1);
    assert_null(window_take(&window, window_at(&window, 1, 3)).frame);
    assert_false(window_marked(&window, 1, 3));
    s_take_all(&window, 1, 3);
}

//  The ring moves up, wraps and grows with pushes in it, at every offset.
static void growing_keeps_every_push_at_its_seq(void **state)
{
    (void)state;
    for (uint64_t next = 1; next < 40; next++) {
        window_t window = {0};
        for (uint64_t seq = next; seq < next + 8; seq += 2)
            assert_true(window_put(&window, next, seq, s_place(seq)));
        assert_true(window_mark(&window, next, next + 7));
        assert_true(window_put(&window, next, next + 100, s_place(next + 100)));
        assert_true(window.capacity >= 101);
        for (uint64_t seq = next; seq < next + 100; seq++) {
            bool even = seq < next + 8 && (seq - next) % 2 == 0;
            assert_int_equal(window_holds(&window, next, seq), even);
            assert_int_equal(window_marked(&window, next, seq), seq == next + 7);
            if (even)
                assert_int_equal(window_at(&window, next, seq)->size, seq);
        }
        assert_int_equal(window.held, 5);
        s_take_all(&window, next, next + 100);
    }
}

static void a_large_ring_is_given_back_when_it_is_empty(void **state)
{
    (void)state;
    window_t window = {0};
    assert_int_equal(window_bytes_for(&window, 8), 0);
    assert_int_equal(window_bytes_for(&window, 65), 128 * sizeof(window_place_t));
    assert_true(window_put(&window, 1, 65, s_place(65)));
    assert_int_equal(window_bytes(window.capacity), 128 * sizeof(window_place_t));
    assert_true(window_mark(&window, 1, 2));
    window_take(&window, window_at(&window, 1, 65));
    window_trim(&window);
    assert_int_equal(window.capacity, 128);
    window_take(&window, window_at(&window, 1, 2));
    window_trim(&window);
    assert_int_equal(window.capacity, 0);
    assert_true(window_put(&window, 1, 64, s_place(64)));
    assert_int_equal(window_bytes(window.capacity), 0);
    s_take_all(&window, 1, 64);
}

//  ---- retained ----------------------------------------------------------------------------------

static void the_queue_keeps_its_order_while_it_wraps_and_grows(void **state)
{
    (void)state;
    retained_t queue = {0};
    uint64_t first = 1, last = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < round % 13; i++) {
            assert_true(retained_reserve(&queue, 1));
            retained_put(&queue, (retained_entry_t){.seq = ++last, .kind = RETAINED_PUSH});
        }
        for (uint32_t i = 0; i < queue.count; i++)
            assert_int_equal(retained_at(&queue, i)->seq, first + i);
        for (int i = 0; i < round % 11 && queue.count; i++)
            assert_int_equal(retained_pop(&queue).seq, first++);
        assert_int_equal(queue.count, last - first + 1);
    }
    retained_fini(&queue);
}

static void a_large_queue_is_given_back_when_it_is_empty(void **state)
{
    (void)state;
    retained_t queue = {0};
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        assert_true(retained_reserve(&queue, 1));
        retained_put(&queue, (retained_entry_t){.seq = seq, .kind = RETAINED_PUSH});
    }
    for (uint64_t seq = 1; seq <= 1000; seq++)
        assert_int_equal(retained_pop(&queue).seq, seq);
    assert_int_equal(queue.capacity, 0);
}

static void dropping_entries_moves_what_was_sent_along(void **state)
{
    (void)state;
    retained_t queue = {0};
    assert_true(retained_reserve(&queue, 3));
    retained_put(&queue, (retained_entry_t){.seq = 1, .kind = RETAINED_PUSH});
    retained_put(&queue, (retained_entry_t){.seq = 4, .kind = RETAINED_GAP});
    retained_put(&queue, (retained_entry_t){.seq = 0, .kind = RETAINED_MARKER, .epoch = 2});
    assert_int_equal(queue.notices, 2);
    queue.sent = 1;
    queue.handed = 2;
    position_t at = {1, 0};
    at = retained_after(retained_at(&queue, 0), at);
    retained_pop(&queue);
    assert_true(at.epoch == 1 && at.seq == 1 && queue.sent == 0 && queue.handed == 1);
    at = retained_after(retained_at(&queue, 0), at);
    retained_pop(&queue);
    assert_true(at.epoch == 1 && at.seq == 4 && queue.sent == 0 && queue.handed == 0);
    at = retained_after(retained_at(&queue, 0), at);
    retained_pop(&queue);
    assert_true(at.epoch == 2 && at.seq == 0 && queue.notices == 0);
    retained_fini(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found_at_its_seq),
        cmocka_unit_test(marks_are_not_pushes),
        cmocka_unit_test(growing_keeps_every_push_at_its_seq),
        cmocka_unit_test(a_large_ring_is_given_back_when_it_is_empty),
        cmocka_unit_test(the_queue_keeps_its_order_while_it_wraps_and_grows),
        cmocka_unit_test(a_large_queue_is_given_back_when_it_is_empty),
        cmocka_unit_test(dropping_entries_moves_what_was_sent_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
