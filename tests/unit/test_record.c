//  test_record.c - the journal's keys and values: their order, and what is told from damage

#include "record.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    uint8_t bytes[RECORD_KEY_MAX];
    size_t size;
} stored_t;

static stored_t s_key(record_kind_t kind, const char *id, uint64_t epoch, uint64_t seq)
{
    stored_t stored;
    record_key_t key = {kind, (uint8_t)strlen(id), (const uint8_t *)id, epoch, seq};
    stored.size = record_put_key(stored.bytes, &key);
    return stored;
}

static bool s_sorts_before(stored_t a, stored_t b)
{
    int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
    return order ? order < 0 : a.size < b.size;
}

static void keys_sort_by_client_epoch_seq(void **state)
{
    (void)state;
    const stored_t sorted[] = {
        s_key(RECORD_STORE, "", 0, 0),
        s_key(RECORD_POSITION, "a", 0, 0),
        s_key(RECORD_PUSH, "a", 0, 1),
        s_key(RECORD_PUSH, "a", 0, 255),
        s_key(RECORD_PUSH, "a", 0, 256),
        s_key(RECORD_GAP, "a", 0, 256),
        s_key(RECORD_MARKER, "a", 1, 0),
        s_key(RECORD_PUSH, "a", 1, 1),
        s_key(RECORD_PUSH, "a", 1ull << 63, UINT64_MAX),
        s_key(RECORD_POSITION, "b", 0, 0),
        s_key(RECORD_POSITION, "aa", 0, 0),
        s_key(RECORD_PUSH, "aa", 0, 1),
    };
    for (size_t i = 1; i < sizeof sorted / sizeof *sorted; i++)
        assert_true(s_sorts_before(sorted[i - 1], sorted[i]));
}

static void a_key_is_read_back(void **state)
{
    (void)state;
    char longest[RECORD_ID_MAX + 1] = "";
    memset(longest, 'x', RECORD_ID_MAX);
    stored_t stored = s_key(RECORD_GAP, longest, 7, UINT64_MAX);
    record_key_t key;
    assert_int_equal(stored.size, RECORD_KEY_MAX);
    assert_true(record_get_key(stored.bytes, stored.size, &key));
    assert_int_equal(key.kind, RECORD_GAP);
    assert_int_equal(key.epoch, 7);
    assert_true(key.seq == UINT64_MAX);
    assert_int_equal(key.id_size, RECORD_ID_MAX);
    assert_memory_equal(key.id, longest, RECORD_ID_MAX);
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    record_key_t key;
    stored_t push = s_key(RECORD_PUSH, "abc", 1, 2);
    for (size_t size = 0; size < push.size; size++)
        assert_int_equal(record_get_key(push.bytes, size, &key), size == 4);
    push.bytes[push.size - 1] = RECORD_MARKER + 1;
    assert_false(record_get_key(push.bytes, push.size, &key));
    const uint8_t too_long[RECORD_KEY_MAX] = {RECORD_ID_MAX + 1};
    assert_false(record_get_key(too_long, sizeof too_long, &key));
    const uint8_t no_id[] = {0, 1};
    assert_false(record_get_key(no_id, sizeof no_id, &key));
}

static void a_push_is_read_back(void **state)
{
    (void)state;
    uint8_t value[RECORD_PUSH_HEAD + 5];
    const uint8_t *bytes;
    size_t size;
    bool numberless = false;
    record_put_push(value, (const uint8_t *)"bytes", 5, true);
    assert_true(record_get_push(value, sizeof value, &bytes, &size, &numberless));
    assert_true(numberless);
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "bytes", 5);
    assert_false(record_get_push(value, RECORD_PUSH_HEAD, &bytes, &size, &numberless));
}

static void a_position_is_read_back(void **state)
{
    (void)state;
    record_position_t in = {.epoch = 3,
                            .seq = 9,
                            .known = true,
                            .numbering = 2,
                            .epoch_now = 4,
                            .forgotten_to = 6,
                            .gap_count = RECORD_GAPS};
    for (uint32_t i = 0; i < RECORD_GAPS; i++) {
        in.gaps[i].from = 10 * i;
        in.gaps[i].to = 10 * i + 5;
    }
    uint8_t value[RECORD_POSITION_MAX];
    record_position_t out;
    size_t size = record_put_position(value, &in);
    assert_int_equal(size, RECORD_POSITION_MAX);
    assert_true(record_get_position(value, size, &out));
    assert_int_equal(out.epoch, 3);
    assert_int_equal(out.seq, 9);
    assert_true(out.known);
    assert_int_equal(out.numbering, 2);
    assert_int_equal(out.epoch_now, 4);
    assert_int_equal(out.forgotten_to, 6);
    assert_int_equal(out.gap_count, RECORD_GAPS);
    assert_memory_equal(out.gaps, in.gaps, sizeof in.gaps);
    assert_false(record_get_position(value, size - 1, &out));
}

static void a_position_that_nobody_wrote_is_refused(void **state)
{
    (void)state;
    record_position_t in = {.known = true, .numbering = 2}, out;
    uint8_t value[RECORD_POSITION_MAX];
    size_t size = record_put_position(value, &in);
    value[RECORD_SUM_SIZE + 33] = 3; //  numbered by nobody that there is
    assert_false(record_get_position(value, size, &out));
    size = record_put_position(value, &in);
    value[RECORD_SUM_SIZE + 32] = 2; //  a flag that there is not
    assert_false(record_get_position(value, size, &out));
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    stored_t key = s_key(RECORD_PUSH, "abc", 1, 2);
    uint8_t value[RECORD_PUSH_HEAD + 5];
    record_put_push(value, (const uint8_t *)"bytes", 5, false);
    record_seal(key.bytes, key.size, value, sizeof value);
    assert_true(record_is_sound(key.bytes, key.size, value, sizeof value));
    for (size_t bit = 0; bit < 8 * sizeof value; bit++) {
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(record_is_sound(key.bytes, key.size, value, sizeof value));
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * key.size; bit++) {
        key.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(record_is_sound(key.bytes, key.size, value, sizeof value));
        key.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_false(record_is_sound(key.bytes, key.size, value, RECORD_SUM_SIZE - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_sort_by_client_epoch_seq),
        cmocka_unit_test(a_key_is_read_back),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_push_is_read_back),
        cmocka_unit_test(a_position_is_read_back),
        cmocka_unit_test(a_position_that_nobody_wrote_is_refused),
        cmocka_unit_test(every_flipped_bit_is_seen),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
