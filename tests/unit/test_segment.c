//  test_segment.c - operations as bytes: what is put is read, and what makes no sense is refused

#include "segment.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BODY_AT (3 + 1 + 8 + 8 + 4) //  behind an id of one byte

typedef struct {
    uint8_t bytes[1024];
    size_t size;
} stored_t;

static stored_t s_put(journal_op_t op)
{
    stored_t stored = {.size = 0};
    op.id = (const uint8_t *)"a";
    op.id_size = 1;
    assert_true(segment_size_of(&op) <= sizeof stored.bytes);
    stored.size = segment_put(stored.bytes, &op);
    assert_int_equal(stored.size, segment_size_of(&op));
    return stored;
}

static stored_t s_put_push(void)
{
    return s_put((journal_op_t){.kind = JOURNAL_PUSH,
                                .numberless = true,
                                .epoch = 3,
                                .seq = UINT64_MAX,
                                .bytes = (const uint8_t *)"bytes",
                                .size = 5});
}

//  An operation whose body has so many bytes of zero.
static stored_t s_put_zeros(journal_kind_t kind, uint8_t size)
{
    stored_t stored = s_put((journal_op_t){.kind = JOURNAL_MARKER, .seq = 1});
    stored.bytes[0] = (uint8_t)kind;
    stored.bytes[BODY_AT - 1] = size;
    stored.size = BODY_AT + (size_t)size;
    return stored;
}

static bool s_is_read(const stored_t *stored)
{
    journal_op_t op;
    return segment_get(stored->bytes, stored->size, &op) == stored->size;
}

//  ---- tests -------------------------------------------------------------------------------------

static void a_push_is_read_back(void **state)
{
    (void)state;
    stored_t stored = s_put_push();
    journal_op_t op;
    assert_int_equal(segment_get(stored.bytes, stored.size, &op), stored.size);
    assert_int_equal(op.kind, JOURNAL_PUSH);
    assert_true(op.numberless);
    assert_int_equal(op.epoch, 3);
    assert_true(op.seq == UINT64_MAX);
    assert_int_equal(op.size, 5);
    assert_memory_equal(op.bytes, "bytes", 5);
}

static void what_is_cut_is_refused(void **state)
{
    (void)state;
    stored_t stored = s_put_push();
    journal_op_t op;
    for (size_t size = 0; size < stored.size; size++)
        assert_int_equal(segment_get(stored.bytes, size, &op), 0);
}

static void a_body_is_what_its_kind_has(void **state)
{
    (void)state;
    static const struct {
        journal_kind_t kind;
        uint8_t size;
        bool is_read;
    } cases[] = {
        {JOURNAL_PUSH, 1, true},        {JOURNAL_PUSH, 0, false},     {JOURNAL_REMOVE, 0, true},
        {JOURNAL_REMOVE, 1, false},     {JOURNAL_DROP, 8, true},      {JOURNAL_DROP, 7, false},
        {JOURNAL_GAP, 8, true},         {JOURNAL_GAP, 0, false},      {JOURNAL_MARKER, 0, true},
        {JOURNAL_MARKER, 8, false},     {JOURNAL_FORGET, 0, true},    {JOURNAL_FORGET, 1, false},
        {JOURNAL_POSITION, 42, true},   {JOURNAL_POSITION, 0, false}, {JOURNAL_POSITION, 43, false},
        {JOURNAL_FORGET + 1, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stored_t stored = s_put_zeros(cases[i].kind, cases[i].size);
        assert_int_equal(s_is_read(&stored), cases[i].is_read);
    }
}

static void a_size_beyond_the_segment_is_refused(void **state)
{
    (void)state;
    stored_t stored = s_put_push();
    journal_op_t op;
    memset(stored.bytes + BODY_AT - 4, 0xff, 4);
    assert_int_equal(segment_get(stored.bytes, stored.size, &op), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_is_read_back),
        cmocka_unit_test(what_is_cut_is_refused),
        cmocka_unit_test(a_body_is_what_its_kind_has),
        cmocka_unit_test(a_size_beyond_the_segment_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
