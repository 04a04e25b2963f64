/*  test_positions_file.c - positions in a file, and what crashes leave of it */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "seqpush.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TITLE_SIZE 20 //  bytes
#define EXTRA 33 //  bytes of a record beside its id

//  A folder for a test, and a path in it.
typedef struct {
    char folder[64];
    char path[96];
} fixture_t;

static int s_setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/seqpush-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/positions", f->folder);
    *state = f;
    return 0;
}

static int s_teardown(void **state)
{
    fixture_t *f = *state;
    DIR *folder = opendir(f->folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static seqpush_positions_file_t *s_open(const fixture_t *f)
{
    seqpush_positions_file_t *file = seqpush_positions_file_new(f->path);
    assert_non_null(file);
    return file;
}

static int s_save(seqpush_positions_file_t *file, const char *id, uint64_t epoch, uint64_t seq)
{
    seqpush_position_t position = {id, strlen(id), epoch, seq};
    return seqpush_positions_file_save(file, &position, 1);
}

//  The seq of a client, 0 if there is none; it must be in this epoch.
static uint64_t s_seq(seqpush_positions_file_t *file, const char *id, uint64_t epoch)
{
    seqpush_position_t position = {id, strlen(id), 0, 0};
    if (seqpush_positions_file_load(file, &position) == 0)
        return 0;
    assert_true(position.epoch == epoch);
    return position.seq;
}

static size_t s_size(const fixture_t *f)
{
    struct stat status;
    assert_int_equal(stat(f->path, &status), 0);
    return (size_t)status.st_size;
}

static size_t s_read(const fixture_t *f, uint8_t *bytes, size_t room)
{
    FILE *file = fopen(f->path, "r");
    size_t size = fread(bytes, 1, room, file);
    fclose(file);
    return size;
}

static void s_write(const fixture_t *f, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(f->path, "w");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void s_count(void *arg, const seqpush_position_t *position)
{
    (void)position;
    ++*(size_t *)arg;
}

static size_t s_clients(const seqpush_positions_file_t *file)
{
    size_t count = 0;
    seqpush_positions_file_each(file, s_count, &count);
    return count;
}

//  ---- what is kept ------------------------------------------------------------------------------

static void test_what_was_saved_is_there_when_the_file_is_opened_again(void **state)
{
    fixture_t *f = *state;
    seqpush_positions_file_t *file = s_open(f);
    assert_int_equal(s_clients(file), 0);
    assert_int_equal(s_save(file, "a", 0, 5), 0);
    assert_int_equal(s_save(file, "b", 3, UINT64_MAX), 0);
    assert_int_equal(s_save(file, "a", 1, 2), 0); //  the last one counts
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s_clients(file), 2);
        assert_true(s_seq(file, "a", 1) == 2 && s_seq(file, "b", 3) == UINT64_MAX);
        assert_int_equal(s_seq(file, "c", 0), 0);
        seqpush_positions_file_destroy(&file);
        file = s_open(f);
    }
    assert_int_equal(seqpush_positions_file_torn(file), 0);
    seqpush_positions_file_destroy(&file);
}

static void test_ids_are_any_bytes(void **state)
{
    fixture_t *f = *state;
    uint8_t ids[256 * SEQPUSH_ID_MAX];
    seqpush_position_t positions[256 * SEQPUSH_ID_MAX];
    size_t count = 0;
    for (size_t byte = 0; byte < 256; byte++)
        memset(ids + byte * SEQPUSH_ID_MAX, (int)byte, SEQPUSH_ID_MAX);
    for (size_t byte = 0; byte < 256; byte++)
        for (size_t size = 1; size <= SEQPUSH_ID_MAX; size += 9, count++)
            positions[count] =
                (seqpush_position_t){ids + byte * SEQPUSH_ID_MAX, size, byte, count + 1};
    seqpush_positions_file_t *file = s_open(f);
    assert_int_equal(seqpush_positions_file_save(file, positions, count), 0);
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    assert_int_equal(s_clients(file), count);
    for (size_t i = 0; i < count; i++) {
        seqpush_position_t at = {positions[i].client_id, positions[i].client_id_size, 0, 0};
        assert_int_equal(seqpush_positions_file_load(file, &at), 1);
        assert_true(at.epoch == positions[i].epoch && at.seq == positions[i].seq);
    }
    seqpush_positions_file_destroy(&file);
}

static void test_ids_that_cannot_be_are_refused_and_nothing_is_saved(void **state)
{
    fixture_t *f = *state;
    char id[SEQPUSH_ID_MAX + 1] = {0};
    seqpush_positions_file_t *file = s_open(f);
    seqpush_position_t positions[] = {{"a", 1, 0, 1}, {id, 0, 0, 1}};
    assert_int_equal(seqpush_positions_file_save(file, positions, 2), -EINVAL);
    positions[1].client_id_size = sizeof id;
    assert_int_equal(seqpush_positions_file_save(file, positions, 2), -EINVAL);
    assert_int_equal(s_clients(file), 0);
    seqpush_positions_file_destroy(&file);
    assert_int_equal(s_size(f), TITLE_SIZE);
}

#define MANY 100000
#define MANY_A_SAVE 4096

static void test_many_positions(void **state)
{
    fixture_t *f = *state;
    seqpush_positions_file_t *file = s_open(f);
    char(*ids)[16] = calloc(MANY, sizeof *ids);
    seqpush_position_t *positions = calloc(MANY, sizeof *positions);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof ids[i], "client-%zu", i);
        positions[i] = (seqpush_position_t){ids[i], strlen(ids[i]), 0, i + 1};
    }
    for (size_t i = 0; i < MANY; i += MANY_A_SAVE) {
        size_t count = MANY - i < MANY_A_SAVE ? MANY - i : MANY_A_SAVE;
        assert_int_equal(seqpush_positions_file_save(file, positions + i, count), 0);
    }
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    assert_int_equal(s_clients(file), MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(s_seq(file, ids[i], 0), i + 1);
    seqpush_positions_file_destroy(&file);
    free(positions);
    free(ids);
}

static void test_what_has_not_moved_is_not_written_again(void **state)
{
    fixture_t *f = *state;
    seqpush_positions_file_t *file = s_open(f);
    s_save(file, "a", 0, 5);
    size_t size = s_size(f);
    s_save(file, "a", 0, 5);
    assert_int_equal(s_size(f), size);
    s_save(file, "a", 0, 6);
    assert_int_equal(s_size(f), size + EXTRA + 1);
    seqpush_positions_file_destroy(&file);
}

//  ---- what crashes leave ------------------------------------------------------------------------

#define SAVES 4

//  Saves four times, and returns the bytes of the file and where each save ended.
static size_t s_save_some(const fixture_t *f, uint8_t *bytes, size_t room, size_t *ends)
{
    static const char *const ids[SAVES] = {"a", "some-client", "a", "b"};
    seqpush_positions_file_t *file = s_open(f);
    for (size_t i = 0; i < SAVES; i++) {
        assert_int_equal(s_save(file, ids[i], 0, i + 1), 0);
        ends[i] = s_size(f);
    }
    seqpush_positions_file_destroy(&file);
    return s_read(f, bytes, room);
}

//  Of the four saves the first `saves` are there; and what is saved now is kept as well.
static void s_assert_saves(const fixture_t *f, size_t saves, size_t torn)
{
    seqpush_positions_file_t *file = s_open(f);
    assert_int_equal(seqpush_positions_file_torn(file), torn);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s_seq(file, "a", 0), saves >= 3 ? 3 : saves >= 1);
        assert_int_equal(s_seq(file, "some-client", 0), saves >= 2 ? 2 : 0);
        assert_int_equal(s_seq(file, "b", 0), saves >= 4 ? 4 : 0);
        assert_int_equal(s_seq(file, "later", 0), i ? 9 : 0);
        assert_int_equal(s_save(file, "later", 0, 9), 0);
        seqpush_positions_file_destroy(&file);
        file = s_open(f);
    }
    seqpush_positions_file_destroy(&file);
}

static void test_a_tail_that_is_torn_anywhere_is_cut_off(void **state)
{
    fixture_t *f = *state;
    uint8_t bytes[1024];
    size_t ends[SAVES], size = s_save_some(f, bytes, sizeof bytes, ends);
    for (size_t cut = 0; cut <= size; cut++) {
        size_t saves = 0, good = cut >= TITLE_SIZE ? TITLE_SIZE : 0;
        for (; saves < SAVES && ends[saves] <= cut; saves++)
            good = ends[saves];
        s_write(f, bytes, cut);
        s_assert_saves(f, saves, cut - good);
    }
}

static void test_what_does_not_check_is_not_read_nor_what_comes_after_it(void **state)
{
    fixture_t *f = *state;
    uint8_t bytes[1024];
    size_t ends[SAVES], size = s_save_some(f, bytes, sizeof bytes, ends);
    for (size_t at = TITLE_SIZE, saves = 0; at < size; at++) {
        saves += at == ends[saves];
        for (int bit = 1; bit < 256; bit <<= 1) {
            bytes[at] ^= (uint8_t)bit;
            s_write(f, bytes, size);
            bytes[at] ^= (uint8_t)bit;
            s_assert_saves(f, saves, size - (saves ? ends[saves - 1] : TITLE_SIZE));
        }
    }
}

static void test_a_tail_of_zeros_or_noise_is_cut_off(void **state)
{
    fixture_t *f = *state;
    uint8_t bytes[8192] = {0};
    size_t ends[SAVES], size = s_save_some(f, bytes, sizeof bytes, ends);
    s_write(f, bytes, sizeof bytes);
    s_assert_saves(f, SAVES, sizeof bytes - size);
    for (size_t i = size; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167);
    s_write(f, bytes, sizeof bytes);
    s_assert_saves(f, SAVES, sizeof bytes - size);
}

static void test_a_file_of_another_kind_is_refused_and_left_as_it_is(void **state)
{
    fixture_t *f = *state;
    uint8_t bytes[64];
    static const char *const texts[] = {"0 5 anna\n", "seqpush positions 2\n and more", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        s_write(f, (const uint8_t *)texts[i], strlen(texts[i]));
        assert_null(seqpush_positions_file_new(f->path));
        assert_int_equal(errno, EINVAL);
        assert_int_equal(s_read(f, bytes, sizeof bytes), strlen(texts[i]));
        assert_memory_equal(bytes, texts[i], strlen(texts[i]));
    }
    assert_null(seqpush_positions_file_new(f->folder));
    assert_int_equal(errno, EISDIR);
    assert_null(seqpush_positions_file_new("/nowhere/at/all"));
    assert_int_equal(errno, ENOENT);
}

//  Saves as fast as it can, and tells over a pipe what is saved.
static void s_save_until_killed(const fixture_t *f, int told)
{
    seqpush_positions_file_t *file = seqpush_positions_file_new(f->path);
    uint64_t seq = s_seq(file, "client-0", 0);
    for (;;) {
        char ids[300][16];
        seqpush_position_t positions[300];
        seq++;
        for (size_t i = 0; i < 300; i++) {
            snprintf(ids[i], sizeof ids[i], "client-%zu", i);
            positions[i] = (seqpush_position_t){ids[i], strlen(ids[i]), 0, seq};
        }
        if (seqpush_positions_file_save(file, positions, 300) != 0 ||
            write(told, &seq, sizeof seq) != sizeof seq)
            _exit(1);
    }
}

static void test_what_was_saved_survives_kill_9(void **state)
{
    fixture_t *f = *state;
    uint64_t told = 0;
    for (int round = 1; round <= 10; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            s_save_until_killed(f, ends[1]);
        close(ends[1]);
        for (int saves = 0; saves < 3 * round; saves++)
            assert_int_equal(read(ends[0], &told, sizeof told), sizeof told);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(ends[0], &told, sizeof told) > 0)
            continue;
        close(ends[0]);
        seqpush_positions_file_t *file = s_open(f);
        assert_in_range(s_seq(file, "client-0", 0), told, told + 1);
        assert_in_range(s_seq(file, "client-299", 0), told, told + 1);
        seqpush_positions_file_destroy(&file);
    }
}

//  ---- compaction --------------------------------------------------------------------------------

//  Saves a hundred clients at a seq.
static void s_save_hundred(seqpush_positions_file_t *file, uint64_t seq)
{
    char ids[100][16];
    seqpush_position_t positions[100];
    for (size_t i = 0; i < 100; i++) {
        snprintf(ids[i], sizeof ids[i], "client-%zu", i);
        positions[i] = (seqpush_position_t){ids[i], strlen(ids[i]), 0, seq};
    }
    assert_int_equal(seqpush_positions_file_save(file, positions, 100), 0);
}

static void test_a_file_that_is_mostly_out_of_date_is_written_anew(void **state)
{
    fixture_t *f = *state;
    s_write(f, (const uint8_t *)"", 0);
    chmod(f->path, 0640);
    seqpush_positions_file_t *file = s_open(f);
    size_t before = 0, shrunk = 0;
    for (uint64_t seq = 1; seq <= 100; seq++) {
        s_save_hundred(file, seq);
        size_t size = s_size(f);
        assert_true(size < 80000);
        shrunk += size < before;
        before = size;
    }
    assert_in_range(shrunk, 3, 20);
    struct stat status;
    stat(f->path, &status);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_null(seqpush_positions_file_new(f->path)); //  the new file is locked as well
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    assert_int_equal(s_clients(file), 100);
    assert_int_equal(s_seq(file, "client-99", 0), 100);
    seqpush_positions_file_destroy(&file);
}

static void test_what_a_crash_left_of_writing_it_anew_is_of_no_effect(void **state)
{
    fixture_t *f = *state;
    fixture_t beside = *f;
    strcat(beside.path, ".new");
    s_write(&beside, (const uint8_t *)"half of a file", 14);
    seqpush_positions_file_t *file = s_open(f);
    for (uint64_t seq = 1; seq <= 30; seq++)
        s_save_hundred(file, seq);
    assert_int_equal(access(beside.path, F_OK), -1); //  it was used and renamed
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    assert_int_equal(s_seq(file, "client-0", 0), 30);
    seqpush_positions_file_destroy(&file);
}

static void test_where_it_cannot_be_written_anew_the_file_goes_on_growing(void **state)
{
    fixture_t *f = *state;
    char beside[128];
    snprintf(beside, sizeof beside, "%s.new", f->path);
    assert_int_equal(mkdir(beside, 0700), 0);
    seqpush_positions_file_t *file = s_open(f);
    for (uint64_t seq = 1; seq <= 30; seq++)
        s_save_hundred(file, seq);
    assert_true(s_size(f) > 100000);
    seqpush_positions_file_destroy(&file);
    assert_int_equal(rmdir(beside), 0);
    file = s_open(f);
    assert_int_equal(s_seq(file, "client-0", 0), 30);
    seqpush_positions_file_destroy(&file);
}

//  ---- a disk that fails, another process --------------------------------------------------------

static void test_a_full_disk_is_told_and_does_not_spoil_the_file(void **state)
{
    fixture_t *f = *state;
    struct rlimit unbounded, bound;
    seqpush_positions_file_t *file = s_open(f);
    assert_int_equal(s_save(file, "a", 0, 1), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &unbounded);
    bound = unbounded;
    bound.rlim_cur = s_size(f) + 50; //  a record and a half
    setrlimit(RLIMIT_FSIZE, &bound);
    seqpush_position_t positions[] = {{"a", 1, 0, 2}, {"b", 1, 0, 2}};
    int rc = seqpush_positions_file_save(file, positions, 2);
    setrlimit(RLIMIT_FSIZE, &unbounded);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(s_seq(file, "a", 0), 1);
    assert_int_equal(s_seq(file, "b", 0), 0);
    assert_int_equal(s_save(file, "c", 0, 3), 0);
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    assert_int_equal(seqpush_positions_file_torn(file), 0);
    assert_true(s_seq(file, "a", 0) == 1 && s_seq(file, "b", 0) == 0 && s_seq(file, "c", 0) == 3);
    seqpush_positions_file_destroy(&file);
}

static void test_a_file_has_one_user_at_a_time(void **state)
{
    fixture_t *f = *state;
    seqpush_positions_file_t *file = s_open(f);
    assert_null(seqpush_positions_file_new(f->path));
    assert_int_equal(errno, EBUSY);
    seqpush_positions_file_destroy(&file);
    file = s_open(f);
    seqpush_positions_file_destroy(&file);
    seqpush_positions_file_destroy(&file);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(test_what_was_saved_is_there_when_the_file_is_opened_again),
        with_folder(test_ids_are_any_bytes),
        with_folder(test_ids_that_cannot_be_are_refused_and_nothing_is_saved),
        with_folder(test_many_positions),
        with_folder(test_what_has_not_moved_is_not_written_again),
        with_folder(test_a_tail_that_is_torn_anywhere_is_cut_off),
        with_folder(test_what_does_not_check_is_not_read_nor_what_comes_after_it),
        with_folder(test_a_tail_of_zeros_or_noise_is_cut_off),
        with_folder(test_a_file_of_another_kind_is_refused_and_left_as_it_is),
        with_folder(test_what_was_saved_survives_kill_9),
        with_folder(test_a_file_that_is_mostly_out_of_date_is_written_anew),
        with_folder(test_what_a_crash_left_of_writing_it_anew_is_of_no_effect),
        with_folder(test_where_it_cannot_be_written_anew_the_file_goes_on_growing),
        with_folder(test_a_full_disk_is_told_and_does_not_spoil_the_file),
        with_folder(test_a_file_has_one_user_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
