//  test_journal_lmdb.c - the LMDB engine of the journal, over a real store in a temporary folder

#include "journal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define OPS_MAX 4096

typedef struct {
    char path[64];
    uint64_t max_bytes;
    journal_store_t *store;
    journal_op_t ops[OPS_MAX], *pointers[OPS_MAX];
    size_t count;
    char text[1 << 16]; //  what was loaded, one word a record
} fixture_t;

static int s_setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    strcpy(self->path, "/tmp/seqpush-journal-XXXXXX");
    assert_non_null(mkdtemp(self->path));
    self->max_bytes = 64 << 20;
    *state = self;
    return 0;
}

static void s_open(fixture_t *self)
{
    char *error;
    self->store = journal_lmdb.open(&(journal_settings_t){self->path, self->max_bytes}, &error);
    if (!self->store)
        fail_msg("%s", error);
}

static int s_teardown(void **state)
{
    fixture_t *self = *state;
    char command[128];
    journal_lmdb.close(&self->store);
    snprintf(command, sizeof command, "rm -rf %s", self->path);
    assert_int_equal(system(command), 0);
    free(self);
    return 0;
}

//  ---- operations --------------------------------------------------------------------------------

static journal_op_t *s_add(fixture_t *self, journal_kind_t kind, const char *id, uint64_t epoch,
                           uint64_t seq)
{
    journal_op_t *op = &self->ops[self->count];
    *op = (journal_op_t){.kind = kind,
                         .id = (const uint8_t *)id,
                         .id_size = (uint8_t)strlen(id),
                         .epoch = epoch,
                         .seq = seq};
    self->pointers[self->count++] = op;
    return op;
}

static void s_push(fixture_t *self, const char *id, uint64_t epoch, uint64_t seq,
                   const char *payload)
{
    journal_op_t *op = s_add(self, JOURNAL_PUSH, id, epoch, seq);
    op->bytes = (const uint8_t *)payload;
    op->size = (uint32_t)strlen(payload);
}

static void s_fill(fixture_t *self, const char *id, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++)
        s_push(self, id, 0, seq, "p");
}

static int s_try_commit(fixture_t *self)
{
    int rc = journal_lmdb.commit(self->store, self->pointers, self->count);
    self->count = 0;
    return rc;
}

static void s_commit(fixture_t *self)
{
    assert_int_equal(s_try_commit(self), 0);
}

//  ---- loading -----------------------------------------------------------------------------------

static bool s_visit(void *context, const journal_record_t *record)
{
    fixture_t *self = context;
    char *to = self->text + strlen(self->text);
    size_t room = sizeof self->text - strlen(self->text);
    int id_size = record->key.id_size;
    const char *id = (const char *)record->key.id;
    if (record->key.kind == RECORD_POSITION)
        snprintf(to, room, "%.*s@%" PRIu64 ":%" PRIu64 " ", id_size, id, record->position.epoch,
                 record->position.seq);
    else if (record->key.kind == RECORD_PUSH)
        snprintf(to, room, "%.*s%" PRIu64 ":%" PRIu64 "=%.*s ", id_size, id, record->key.epoch,
                 record->key.seq, (int)record->size, (const char *)record->bytes);
    else if (record->key.kind == RECORD_GAP)
        snprintf(to, room, "[%.*s%" PRIu64 ":%" PRIu64 "-%" PRIu64 "] ", id_size, id,
                 record->key.epoch, record->from, record->key.seq);
    else
        snprintf(to, room, "<%.*s%" PRIu64 ":%" PRIu64 "> ", id_size, id, record->key.epoch,
                 record->key.seq);
    return true;
}

static const char *s_load(fixture_t *self)
{
    char *error;
    self->text[0] = '\0';
    if (!journal_lmdb.load(self->store, s_visit, self, &error))
        fail_msg("%s", error);
    return self->text;
}

//  Closes the store, and opens it again as a new process would.
static const char *s_load_again(fixture_t *self)
{
    journal_lmdb.close(&self->store);
    s_open(self);
    return s_load(self);
}

static char *s_refusal(fixture_t *self)
{
    char *error = NULL;
    self->store = journal_lmdb.open(&(journal_settings_t){self->path, self->max_bytes}, &error);
    if (self->store) {
        self->text[0] = '\0';
        assert_false(journal_lmdb.load(self->store, s_visit, self, &error));
    }
    assert_non_null(error);
    return error;
}

//  ---- tests -------------------------------------------------------------------------------------

static void a_new_store_is_empty(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    assert_string_equal(s_load(self), "");
    assert_string_equal(s_load_again(self), "");
}

static void pushes_are_loaded_in_the_order_of_client_epoch_seq(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_push(self, "b", 0, 1, "one");
    s_push(self, "a", 1, 1, "new");
    s_push(self, "a", 0, 300, "late");
    s_commit(self);
    s_push(self, "a", 0, 2, "early");
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:2=early a0:300=late a1:1=new b0:1=one ");
}

static void the_first_push_of_a_place_stays(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_push(self, "a", 0, 1, "first");
    s_push(self, "a", 0, 1, "second");
    s_commit(self);
    assert_false(self->ops[0].existed);
    assert_true(self->ops[1].existed);
    s_push(self, "a", 0, 1, "third");
    s_commit(self);
    assert_true(self->ops[0].existed);
    s_add(self, JOURNAL_REMOVE, "a", 0, 1);
    s_push(self, "a", 0, 1, "fourth");
    s_commit(self);
    assert_false(self->ops[1].existed);
    assert_string_equal(s_load_again(self), "a0:1=fourth ");
}

static void a_position_takes_all_up_to_it_away(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_fill(self, "a", 1, 1000);
    s_fill(self, "aa", 1, 2);
    s_add(self, JOURNAL_MARKER, "a", 1, 0);
    s_push(self, "a", 1, 1, "p");
    s_commit(self);
    record_position_t position = {.seq = 998};
    s_add(self, JOURNAL_POSITION, "a", 0, 0)->position = &position;
    s_commit(self);
    assert_string_equal(s_load_again(self),
                        "a@0:998 a0:999=p a0:1000=p <a1:0> a1:1=p aa0:1=p aa0:2=p ");
    position = (record_position_t){.epoch = 1, .seq = 1};
    s_add(self, JOURNAL_POSITION, "a", 0, 0)->position = &position;
    s_commit(self);
    assert_string_equal(s_load_again(self), "a@1:1 aa0:1=p aa0:2=p ");
}

static void a_gap_takes_what_lies_in_it_away(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_fill(self, "a", 1, 8);
    s_add(self, JOURNAL_GAP, "a", 0, 3)->from = 2;
    s_add(self, JOURNAL_GAP, "a", 0, 5)->from = 2;
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:1=p [a0:2-5] a0:6=p a0:7=p a0:8=p ");
    s_add(self, JOURNAL_DROP, "a", 0, 7)->from = 6;
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:1=p [a0:2-5] a0:8=p ");
}

static void a_client_is_forgotten_whole(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_fill(self, "a", 1, 3);
    s_fill(self, "b", 1, 300);
    record_position_t position = {.seq = 2};
    s_add(self, JOURNAL_POSITION, "b", 0, 0)->position = &position;
    s_fill(self, "c", 1, 1);
    s_commit(self);
    s_add(self, JOURNAL_FORGET, "b", 0, 0);
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:1=p a0:2=p a0:3=p c0:1=p ");
}

static void what_is_said_of_a_client_keeps_its_order(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_push(self, "a", 0, 1, "gone");
    s_add(self, JOURNAL_FORGET, "a", 0, 0);
    s_push(self, "a", 0, 1, "new");
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:1=new ");
}

//  ---- the log and the tree -----------------------------------------------------------------------

//  Operations at random on a few clients, of the kinds and in the order that a broker has them.
typedef struct {
    uint64_t dice;
    uint64_t epoch[4], seq[4], acked[4]; //  of each client
    record_position_t positions[OPS_MAX];
} play_t;

static uint64_t s_roll(play_t *play, uint64_t sides)
{
    play->dice = play->dice * 6364136223846793005 + 1442695040888963407;
    return (play->dice >> 33) % sides;
}

static void s_play_one(play_t *play, fixture_t *self)
{
    static const char *const ids[] = {"a", "b", "bb", "c"};
    size_t who = s_roll(play, 4), kind = s_roll(play, 40);
    uint64_t seq = play->seq[who], back = seq - play->acked[who];
    if (kind == 0) {
        s_add(self, JOURNAL_FORGET, ids[who], 0, 0);
        play->epoch[who] = play->seq[who] = play->acked[who] = 0;
    } else if (kind == 1) {
        s_add(self, JOURNAL_MARKER, ids[who], ++play->epoch[who], 0);
        play->seq[who] = play->acked[who] = 0;
    } else if (kind < 6 && back > 0) {
        play->acked[who] += 1 + s_roll(play, back);
        record_position_t *position = &play->positions[self->count];
        *position = (record_position_t){.epoch = play->epoch[who], .seq = play->acked[who]};
        s_add(self, JOURNAL_POSITION, ids[who], 0, 0)->position = position;
    } else if (kind < 9 && back > 3) {
        static const journal_kind_t kinds[] = {JOURNAL_GAP, JOURNAL_DROP};
        s_add(self, kinds[s_roll(play, 2)], ids[who], play->epoch[who], seq - s_roll(play, 2))
            ->from = seq - 2;
    } else if (kind < 11 && back > 0) {
        s_add(self, JOURNAL_REMOVE, ids[who], play->epoch[who], seq - s_roll(play, back));
    } else {
        //  Now and then one that is there already, or that was taken away.
        uint64_t place =
            back > 0 && s_roll(play, 8) == 0 ? seq - s_roll(play, back) : ++play->seq[who];
        s_push(self, ids[who], play->epoch[who], place, "the bytes of a push");
    }
}

//  The same operations again, to another store.
static void s_copy_ops(fixture_t *to, const fixture_t *from)
{
    memcpy(to->ops, from->ops, from->count * sizeof *from->ops);
    to->count = from->count;
    for (size_t i = 0; i < to->count; i++)
        to->pointers[i] = &to->ops[i];
}

static void s_compare_existed(const fixture_t *a, const fixture_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a->ops[i].kind == JOURNAL_PUSH)
            assert_int_equal(a->ops[i].existed, b->ops[i].existed);
}

//  One store keeps all in its log; the other one is so small that nearly all goes on to the tree.
static void what_is_kept_does_not_depend_on_where(void **state)
{
    fixture_t *in_log = *state, *in_tree;
    assert_int_equal(s_setup((void **)&in_tree), 0);
    in_log->max_bytes = UINT64_C(1) << 30;
    in_tree->max_bytes = 1 << 20;
    static play_t play;
    play = (play_t){.dice = 1};
    s_open(in_log);
    s_open(in_tree);
    for (int group = 0; group < 400; group++) {
        for (uint64_t i = s_roll(&play, 60); i > 0 || in_log->count == 0; i -= i > 0)
            s_play_one(&play, in_log);
        //  Large enough to push out of the log what is in it.
        static char filler[40000];
        memset(filler, 'x', sizeof filler - 1);
        s_push(in_log, "z", 0, (uint64_t)group + 1, filler);
        record_position_t done = {.seq = (uint64_t)group};
        s_add(in_log, JOURNAL_POSITION, "z", 0, 0)->position = &done;
        size_t count = in_log->count;
        s_copy_ops(in_tree, in_log);
        s_commit(in_log);
        s_commit(in_tree);
        s_compare_existed(in_log, in_tree, count);
        bool again = s_roll(&play, 20) == 0;
        const char *text = again ? s_load_again(in_log) : s_load(in_log);
        assert_string_equal(again ? s_load_again(in_tree) : s_load(in_tree), text);
    }
    assert_int_equal(s_teardown((void **)&in_tree), 0);
}

static void clients_that_come_and_go_leave_the_others_alone(void **state)
{
    fixture_t *self = *state;
    static char ids[2000][16];
    static bool there[2000];
    static play_t play;
    play = (play_t){.dice = 2};
    s_open(self);
    for (int i = 0; i < 2000; i++)
        snprintf(ids[i], sizeof ids[i], "c%06d", i);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) {
            uint64_t who = s_roll(&play, 2000);
            there[who] = s_roll(&play, 2);
            s_add(self, JOURNAL_FORGET, ids[who], 0, 0);
            if (there[who])
                s_push(self, ids[who], 0, 1, "p");
        }
        s_commit(self);
    }
    char expected[sizeof self->text] = "";
    for (int i = 0; i < 2000; i++)
        if (there[i])
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s0:1=p ",
                     ids[i]);
    assert_string_equal(s_load(self), expected);
    assert_string_equal(s_load_again(self), expected);
}

//  What a push takes of the file is used again by those that come when it is acknowledged.
static void a_store_whose_pushes_are_acknowledged_does_not_grow(void **state)
{
    fixture_t *self = *state;
    char payload[1000], path[128];
    struct stat file;
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    s_open(self);
    for (uint64_t seq = 1; seq <= 50000; seq += 500) {
        for (uint64_t i = 0; i < 500; i++)
            s_push(self, "a", 0, seq + i, payload);
        s_commit(self);
        record_position_t position = {.seq = seq + 499};
        s_add(self, JOURNAL_POSITION, "a", 0, 0)->position = &position;
        s_commit(self);
    }
    snprintf(path, sizeof path, "%s/data.mdb", self->path);
    assert_int_equal(stat(path, &file), 0);
    assert_true(file.st_size < 8 << 20);
    assert_string_equal(s_load_again(self), "a@0:50000 ");
}

static void a_push_larger_than_a_segment_is_kept(void **state)
{
    fixture_t *self = *state;
    static char payload[300000];
    memset(payload, 'x', sizeof payload - 1);
    s_open(self);
    s_push(self, "a", 0, 1, "before");
    s_push(self, "a", 0, 2, payload);
    s_push(self, "a", 0, 3, "behind");
    s_commit(self);
    record_position_t position = {.seq = 2};
    s_add(self, JOURNAL_POSITION, "a", 0, 0)->position = &position;
    s_commit(self);
    assert_string_equal(s_load_again(self), "a@0:2 a0:3=behind ");
}

static void a_second_process_is_kept_out(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    char *error;
    assert_null(journal_lmdb.open(&(journal_settings_t){self->path, self->max_bytes}, &error));
    assert_non_null(strstr(error, "another process has this journal open"));
    assert_non_null(strstr(error, "stop that one first"));
    free(error);
}

static void a_full_store_refuses_pushes_until_some_are_gone(void **state)
{
    fixture_t *self = *state;
    char payload[4000];
    self->max_bytes = 1 << 20;
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    s_open(self);
    uint64_t seq = 0;
    int rc = 0;
    while (rc == 0) {
        assert_true(seq < 1000);
        s_push(self, "a", 0, ++seq, payload);
        rc = s_try_commit(self);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_true(seq > 50);
    record_position_t position = {.seq = seq - 2};
    s_add(self, JOURNAL_POSITION, "a", 0, 0)->position = &position;
    s_commit(self);
    for (int i = 0; i < 50; i++) {
        s_push(self, "a", 0, seq++, payload);
        s_commit(self);
    }
    self->text[0] = '\0';
    assert_non_null(strstr(s_load_again(self), "a@0:"));
}

static int s_maps_left = -1; //  until the one that fails; -1: none does

//  In place of the library's: a system that has no more room for a map.
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && s_maps_left >= 0 && s_maps_left-- == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

//  Fills the store with pushes of a client from that seq on: the first one that does not fit.
static uint64_t s_fill_up(fixture_t *self, uint64_t seq)
{
    char payload[1901] = "";
    memset(payload, 'x', sizeof payload - 1);
    for (s_push(self, "a", 0, seq, payload); s_try_commit(self) == 0;)
        s_push(self, "a", 0, ++seq, payload);
    return seq;
}

//  Takes every second one away, from all over the tree.
static int s_thin_out(fixture_t *self, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq += 2)
        s_add(self, JOURNAL_REMOVE, "a", 0, seq);
    return s_try_commit(self);
}

static bool s_count(void *context, const journal_record_t *record)
{
    *(uint64_t *)context += record->key.kind == RECORD_PUSH;
    return true;
}

//  What takes away from a full store gets a larger map for as long as it lasts.
static void s_fail_map(fixture_t *self, int map)
{
    self->max_bytes = 1 << 20;
    s_open(self);
    uint64_t end = s_fill_up(self, 1), pushes = 0;
    s_maps_left = map;
    assert_int_equal(s_thin_out(self, 1, end), -ENOMEM);
    s_maps_left = -1;
    s_push(self, "b", 0, 1, "next");
    (void)s_try_commit(self); //  goes on without the map: there may be no room
    char *error;
    journal_lmdb.close(&self->store);
    s_open(self);
    assert_true(journal_lmdb.load(self->store, s_count, &pushes, &error));
    assert_true(pushes >= (end - 1) / 2);
}

static void a_larger_map_that_cannot_be_had_is_a_failure(void **state)
{
    s_fail_map(*state, 0);
}

static void a_map_that_cannot_be_had_again_is_a_failure(void **state)
{
    s_fail_map(*state, 1);
}

static void a_group_that_fails_leaves_nothing(void **state)
{
    fixture_t *self = *state;
    static char payload[1 << 20];
    self->max_bytes = 1 << 20;
    memset(payload, 'x', sizeof payload - 1);
    s_open(self);
    s_push(self, "a", 0, 1, "small");
    s_push(self, "a", 0, 2, payload);
    assert_int_equal(s_try_commit(self), -ENOSPC);
    s_push(self, "a", 0, 1, "again");
    s_commit(self);
    assert_string_equal(s_load_again(self), "a0:1=again ");
}

static void s_damage(const fixture_t *self, const char *what)
{
    char path[128], byte;
    snprintf(path, sizeof path, "%s/data.mdb", self->path);
    FILE *file = fopen(path, "r+");
    static char all[1 << 20];
    size_t size = fread(all, 1, sizeof all, file);
    char *at = memmem(all, size, what, strlen(what));
    assert_non_null(at);
    byte = (char)(*at ^ 1);
    fseek(file, at - all, SEEK_SET);
    fwrite(&byte, 1, 1, file);
    fclose(file);
}

static void a_damaged_record_is_refused(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_push(self, "a", 0, 1, "payload-to-damage");
    s_commit(self);
    journal_lmdb.close(&self->store);
    s_damage(self, "payload-to-damage");
    char *error = s_refusal(self);
    assert_non_null(strstr(error, "checksum"));
    assert_non_null(strstr(error, "move it away"));
    free(error);
}

static void a_cut_store_is_refused(void **state)
{
    fixture_t *self = *state;
    char path[128];
    s_open(self);
    s_fill(self, "a", 1, 2000);
    s_commit(self);
    journal_lmdb.close(&self->store);
    snprintf(path, sizeof path, "%s/data.mdb", self->path);
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(truncate(path, file.st_size / 2), 0);
    char *error = s_refusal(self);
    assert_non_null(strstr(error, "damaged"));
    free(error);
}

static void what_is_no_store_is_refused(void **state)
{
    fixture_t *self = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", self->path);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 5000; i++)
        fputs("not a store", file);
    fclose(file);
    char *error = s_refusal(self);
    assert_non_null(strstr(error, "no journal"));
    free(error);
}

//  Puts a record into the store past the journal, with its checksum.
static void s_forge(const fixture_t *self, const record_key_t *of, uint8_t *value, size_t size)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi records;
    uint8_t bytes[RECORD_KEY_MAX];
    size_t key_size = record_put_key(bytes, of);
    MDB_val key = {key_size, bytes}, stored = {size, value};
    record_seal(bytes, key_size, value, size);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, self->path, MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &records), 0);
    assert_int_equal(mdb_put(txn, records, &key, &stored, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void a_store_of_another_version_is_refused_and_stays(void **state)
{
    fixture_t *self = *state;
    uint8_t version[RECORD_NUMBER_SIZE];
    s_open(self);
    s_push(self, "a", 0, 1, "kept");
    s_commit(self);
    journal_lmdb.close(&self->store);
    record_put_number(version, 1);
    s_forge(self, &(record_key_t){.kind = RECORD_STORE}, version, sizeof version);
    char *error = s_refusal(self);
    assert_non_null(strstr(error, self->path));
    assert_non_null(strstr(error, "format version 1,"));
    assert_non_null(strstr(error, "move it away"));
    free(error);
    record_put_number(version, RECORD_VERSION);
    s_forge(self, &(record_key_t){.kind = RECORD_STORE}, version, sizeof version);
    assert_string_equal(s_load_again(self), "a0:1=kept ");
}

//  Its checksum is right, so nobody else would notice.
static void a_segment_with_a_position_that_is_none_is_refused(void **state)
{
    fixture_t *self = *state;
    uint8_t segment[RECORD_SUM_SIZE + 3 + 1 + 8 + 8 + 4] = {0};
    segment[RECORD_SUM_SIZE] = JOURNAL_POSITION;
    segment[RECORD_SUM_SIZE + 2] = 1; //  byte of the id
    segment[RECORD_SUM_SIZE + 3] = 'a';
    s_open(self);
    journal_lmdb.close(&self->store);
    s_forge(self, &(record_key_t){.kind = RECORD_SEGMENT, .seq = 1}, segment, sizeof segment);
    char *error = s_refusal(self);
    assert_non_null(strstr(error, "the store is damaged"));
    free(error);
}

static bool s_cannot_read;

//  In place of the library's: a disk that cannot read.
ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (!s_cannot_read)
        return syscall(SYS_pread64, fd, bytes, size, offset);
    errno = EIO;
    return -1;
}

static void a_file_that_the_disk_cannot_read_is_told(void **state)
{
    fixture_t *self = *state;
    s_open(self);
    s_push(self, "a", 0, 1, "kept");
    s_commit(self);
    journal_lmdb.close(&self->store);
    s_cannot_read = true;
    char *error = s_refusal(self);
    s_cannot_read = false;
    assert_null(self->store);
    assert_non_null(strstr(error, strerror(EIO)));
    assert_non_null(strstr(error, "start again"));
    free(error);
    assert_string_equal(s_load_again(self), "a0:1=kept ");
}

static void a_path_that_cannot_be_made_is_refused(void **state)
{
    (void)state;
    char *error;
    assert_null(journal_lmdb.open(&(journal_settings_t){"/proc/none/journal", 1 << 20}, &error));
    assert_non_null(strstr(error, "/proc/none/journal"));
    free(error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_is_empty),
        TEST(pushes_are_loaded_in_the_order_of_client_epoch_seq),
        TEST(the_first_push_of_a_place_stays),
        TEST(a_position_takes_all_up_to_it_away),
        TEST(a_gap_takes_what_lies_in_it_away),
        TEST(a_client_is_forgotten_whole),
        TEST(what_is_said_of_a_client_keeps_its_order),
        TEST(what_is_kept_does_not_depend_on_where),
        TEST(clients_that_come_and_go_leave_the_others_alone),
        TEST(a_store_whose_pushes_are_acknowledged_does_not_grow),
        TEST(a_push_larger_than_a_segment_is_kept),
        TEST(a_second_process_is_kept_out),
        TEST(a_full_store_refuses_pushes_until_some_are_gone),
        TEST(a_larger_map_that_cannot_be_had_is_a_failure),
        TEST(a_map_that_cannot_be_had_again_is_a_failure),
        TEST(a_group_that_fails_leaves_nothing),
        TEST(a_damaged_record_is_refused),
        TEST(a_cut_store_is_refused),
        TEST(what_is_no_store_is_refused),
        TEST(a_store_of_another_version_is_refused_and_stays),
        TEST(a_segment_with_a_position_that_is_none_is_refused),
        TEST(a_file_that_the_disk_cannot_read_is_told),
        TEST(a_path_that_cannot_be_made_is_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
