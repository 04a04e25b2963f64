//  test_journal_pages.c - an LMDB file is looked at before LMDB gets it: what it makes, and damaged

#include "journal_pages.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FLIPS 20000
#define VALUE_MAX 10000

typedef struct {
    char path[64];
    MDB_env *env;
    int file;
    uint64_t dice;
} fixture_t;

static uint64_t s_roll(fixture_t *self, uint64_t sides)
{
    self->dice = self->dice * 6364136223846793005 + 1442695040888963407;
    return (self->dice >> 33) % sides;
}

static void s_open(fixture_t *self, unsigned flags)
{
    assert_int_equal(mdb_env_create(&self->env), 0);
    assert_int_equal(mdb_env_set_mapsize(self->env, 64 << 20), 0);
    assert_int_equal(mdb_env_open(self->env, self->path, MDB_NOSUBDIR | MDB_NOLOCK | flags, 0600),
                     0);
}

static int s_setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    strcpy(self->path, "/tmp/seqpush-pages-XXXXXX");
    self->file = mkstemp(self->path);
    assert_true(self->file >= 0);
    *state = self;
    return 0;
}

static int s_teardown(void **state)
{
    fixture_t *self = *state;
    close(self->file);
    unlink(self->path);
    free(self);
    return 0;
}

static bool s_is_sound(const fixture_t *self)
{
    const char *wrong;
    int rc = journal_pages_check(self->file, &wrong);
    assert_true(rc == 0 || (rc == -EUCLEAN && wrong));
    return rc == 0;
}

//  ---- what LMDB makes ---------------------------------------------------------------------------

static void s_put(fixture_t *self, MDB_cursor *cursor, size_t size)
{
    static char value[VALUE_MAX];
    char text[80];
    int length = snprintf(text, sizeof text, "%04u%0*d", (unsigned)s_roll(self, 1000),
                          (int)s_roll(self, 50) + 1, 0);
    MDB_val key = {(size_t)length, text}, stored = {size, value};
    assert_int_equal(mdb_cursor_put(cursor, &key, &stored, 0), 0);
}

static void s_delete(fixture_t *self, MDB_cursor *cursor)
{
    char text[8];
    snprintf(text, sizeof text, "%04u", (unsigned)s_roll(self, 1000));
    MDB_val key = {4, text}, value;
    for (int i = 0; i < 3 && mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE) == 0; i++)
        assert_int_equal(mdb_cursor_del(cursor, 0), 0);
}

//  A transaction of any size, with values of any size, that may be given up.
static void s_transact(fixture_t *self)
{
    MDB_txn *txn;
    MDB_dbi records;
    MDB_cursor *cursor;
    assert_int_equal(mdb_txn_begin(self->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &records), 0);
    assert_int_equal(mdb_cursor_open(txn, records, &cursor), 0);
    for (uint64_t i = s_roll(self, 200); i > 0; i--) {
        if (s_roll(self, 5) < 3)
            s_put(self, cursor, s_roll(self, s_roll(self, 20) ? 200 : VALUE_MAX));
        else
            s_delete(self, cursor);
    }
    mdb_cursor_close(cursor);
    if (s_roll(self, 10) > 0)
        assert_int_equal(mdb_txn_commit(txn), 0);
    else
        mdb_txn_abort(txn);
}

static void whatever_lmdb_makes_is_sound(void **state)
{
    fixture_t *self = *state;
    assert_true(s_is_sound(self));
    for (self->dice = 1; self->dice <= 5; self->dice++) {
        uint64_t seed = self->dice;
        assert_int_equal(ftruncate(self->file, 0), 0);
        s_open(self, MDB_NOSYNC);
        for (int i = 0; i < 100; i++) {
            assert_true(s_is_sound(self));
            s_transact(self);
        }
        mdb_env_close(self->env);
        self->dice = seed;
    }
}

//  ---- damage ------------------------------------------------------------------------------------

static volatile uint8_t s_byte;

//  All keys and the sizes of all values, as one number: what values hold has checksums of its own.
static uint64_t s_read_all(fixture_t *self)
{
    MDB_txn *txn;
    MDB_dbi records;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t sum = 14695981039346656037u;
    s_open(self, MDB_RDONLY);
    assert_int_equal(mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &records), 0);
    assert_int_equal(mdb_cursor_open(txn, records, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        for (size_t i = 0; i < key.mv_size; i++)
            sum = (sum ^ ((const uint8_t *)key.mv_data)[i]) * 1099511628211u;
        sum = (sum ^ value.mv_size) * 1099511628211u;
        for (size_t i = 0; i < value.mv_size; i += 512) //  it is there, and not only in part
            s_byte = ((const uint8_t *)value.mv_data)[i];
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(self->env);
    return sum;
}

static void s_make(fixture_t *self, int transactions)
{
    self->dice = 7;
    s_open(self, MDB_NOSYNC);
    for (int i = 0; i < transactions; i++)
        s_transact(self);
    mdb_env_close(self->env);
}

static uint64_t s_size(const fixture_t *self)
{
    struct stat file;
    assert_int_equal(fstat(self->file, &file), 0);
    return (uint64_t)file.st_size;
}

static void s_flip(const fixture_t *self, uint64_t at, unsigned bit)
{
    uint8_t byte;
    assert_int_equal(pread(self->file, &byte, 1, (off_t)at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(self->file, &byte, 1, (off_t)at), 1);
}

//  A bit that is flipped in a key may leave the keys in order: the records' checksums cover keys.
static void s_try_flip(fixture_t *self, uint64_t at, unsigned bit, uint64_t sum, uint64_t *changed)
{
    s_flip(self, at, bit);
    if (s_is_sound(self))
        *changed += s_read_all(self) == sum ? 0 : 1;
    s_flip(self, at, bit);
}

static void with_a_bit_flipped_lmdb_does_not_end_the_process(void **state)
{
    fixture_t *self = *state;
    s_make(self, 30);
    uint64_t sum = s_read_all(self), size = s_size(self), changed = 0;
    for (int i = 0; i < FLIPS; i++)
        s_try_flip(self, s_roll(self, size), (unsigned)s_roll(self, 8), sum, &changed);
    assert_true(changed < FLIPS / 10); //  those in keys
    assert_int_equal(s_read_all(self), sum);
}

//  The heads have what leads to all the rest, and no checksum. Of the first transactions LMDB tells the
//  numbers nowhere else, because they have freed nothing.
static void with_a_bit_flipped_in_a_head_nothing_is_lost(void **state)
{
    fixture_t *self = *state;
    for (int transactions = 4; transactions < 12; transactions++) {
        assert_int_equal(ftruncate(self->file, 0), 0);
        s_make(self, transactions);
        uint64_t sum = s_read_all(self), changed = 0;
        for (uint64_t at = 0; at < 160; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                s_try_flip(self, at, bit, sum, &changed);
                s_try_flip(self, at + 4096, bit, sum, &changed);
            }
        assert_int_equal(changed, 0);
    }
}

static void a_file_that_was_cut_is_not_sound(void **state)
{
    fixture_t *self = *state;
    s_make(self, 30);
    uint64_t size = s_size(self);
    for (uint64_t cut = size / 2; cut > 0; cut /= 2) {
        assert_int_equal(ftruncate(self->file, (off_t)cut), 0);
        assert_false(s_is_sound(self));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whatever_lmdb_makes_is_sound),
        TEST(with_a_bit_flipped_lmdb_does_not_end_the_process),
        TEST(with_a_bit_flipped_in_a_head_nothing_is_lost),
        TEST(a_file_that_was_cut_is_not_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
