/*  tool_journal.c - `seqpush journal`: looks into the store of a broker that does not run

    The journal's own engine reads it, so what the broker refuses is refused here. The store is locked
    meanwhile: a broker that has it open keeps this out, and the other way round. */

#include "journal.h"
#include "seqpush.pb-c.h"
#include "tool.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const tool_command_t s_command = {
    .name = "journal",
    .usage = "info|verify|dump PATH",
    .description = "Looks into the store at PATH (journal/path) of a broker that does not run.\n"
                   "info says what is kept; verify reads every record and checks that it is whole\n"
                   "and that it is where it has to be; dump prints the records as lines of JSON.",
    .statuses = "  0  the store is sound\n"
                "  1  it is damaged, or cannot be read: there is none, or a broker has it open\n"
                "  2  wrong use",
    .operands_min = 2,
    .operands_max = 2,
};

//  A client's id, epoch and seq as texts for messages.
#define PLACE "%.*s, epoch %" PRIu64 ", seq %" PRIu64

#define ROOM_MIN (UINT64_C(1) << 24) //  bytes of the map that the store is read through

typedef struct {
    uint64_t clients, positions, pushes, push_bytes, gaps, markers;
    uint64_t faults;
    uint8_t id[RECORD_ID_MAX]; //  of the client whose records come
    size_t id_size;
    uint64_t epoch, seq; //  up to here all is done with, or read
} survey_t;

//  ---- what is kept ------------------------------------------------------------------------------

static const char *s_kind(record_kind_t kind)
{
    static const char *const names[] = {
        [RECORD_STORE] = "store", [RECORD_POSITION] = "position", [RECORD_PUSH] = "push",
        [RECORD_GAP] = "gap",     [RECORD_MARKER] = "marker",
    };
    return names[kind];
}

static void s_begin_client(survey_t *self, const record_key_t *key)
{
    memcpy(self->id, key->id, key->id_size);
    self->id_size = key->id_size;
    self->epoch = self->seq = 0;
    self->clients++;
}

//  Records come client by client.
static bool s_is_of_client(const survey_t *self, const record_key_t *key)
{
    return key->id_size == self->id_size && memcmp(key->id, self->id, key->id_size) == 0;
}

static void s_count(survey_t *self, const journal_record_t *record)
{
    if (!s_is_of_client(self, &record->key))
        s_begin_client(self, &record->key);
    self->positions += record->key.kind == RECORD_POSITION;
    self->gaps += record->key.kind == RECORD_GAP;
    self->markers += record->key.kind == RECORD_MARKER;
    self->pushes += record->key.kind == RECORD_PUSH;
    self->push_bytes += record->size;
}

static bool s_survey(void *context, const journal_record_t *record)
{
    s_count(context, record);
    return true;
}

//  ---- verify ------------------------------------------------------------------------------------

static void s_fault(survey_t *self, const record_key_t *key, const char *what)
{
    tool_complain(&self->faults, "%s of " PLACE ": %s", s_kind(key->kind), (int)key->id_size,
                  (const char *)key->id, key->epoch, key->seq, what);
}

//  The push itself, as a batch of one. NULL: it cannot be read. The caller frees it.
static Seqpush__V1__PushBatch *s_unpack(const journal_record_t *record)
{
    Seqpush__V1__PushBatch *batch =
        seqpush__v1__push_batch__unpack(NULL, record->size, record->bytes);
    if (batch && batch->n_pushes == 1)
        return batch;
    if (batch)
        seqpush__v1__push_batch__free_unpacked(batch, NULL);
    return NULL;
}

//  A push says itself what it is; one that the broker numbered has no seq.
static bool s_is_its_own(const journal_record_t *record)
{
    const record_key_t *key = &record->key;
    Seqpush__V1__PushBatch *batch = s_unpack(record);
    if (!batch)
        return false;
    const Seqpush__V1__Push *push = batch->pushes[0];
    bool same = push->client_id.len == key->id_size &&
                memcmp(push->client_id.data, key->id, key->id_size) == 0 &&
                push->epoch == key->epoch && push->seq == (record->numberless ? 0 : key->seq);
    seqpush__v1__push_batch__free_unpacked(batch, NULL);
    return same;
}

static bool s_is_beyond(const survey_t *self, uint64_t epoch, uint64_t seq)
{
    return epoch > self->epoch || (epoch == self->epoch && seq > self->seq);
}

//  What is kept lies beyond the position, and beyond what comes before it.
static bool s_is_in_order(const survey_t *self, const journal_record_t *record)
{
    uint64_t first = record->key.kind == RECORD_GAP ? record->from : record->key.seq;
    return first <= record->key.seq && s_is_beyond(self, record->key.epoch, first);
}

static void s_check_entry(survey_t *self, const journal_record_t *record)
{
    if (!s_is_in_order(self, record))
        s_fault(self, &record->key, "is not beyond what comes before it");
    if (record->key.kind == RECORD_PUSH && !s_is_its_own(record))
        s_fault(self, &record->key, "is another push");
    self->epoch = record->key.epoch;
    self->seq = record->key.seq;
}

static bool s_verify(void *context, const journal_record_t *record)
{
    survey_t *self = context;
    bool first = !s_is_of_client(self, &record->key);
    s_count(self, record);
    if (record->key.kind != RECORD_POSITION) {
        s_check_entry(self, record);
        return true;
    }
    if (!first)
        s_fault(self, &record->key, "is not the client's first record");
    self->epoch = record->position.epoch;
    self->seq = record->position.seq;
    return true;
}

//  ---- dump --------------------------------------------------------------------------------------

static void s_set(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, tool_json_number(number));
}

static void s_set_gaps(json_t *object, const record_position_t *position)
{
    json_t *gaps = json_array();
    for (uint32_t i = 0; i < position->gap_count; i++) {
        json_t *gap = json_object();
        s_set(gap, "from", position->gaps[i].from);
        s_set(gap, "to", position->gaps[i].to);
        json_array_append_new(gaps, gap);
    }
    json_object_set_new(object, "gaps", gaps);
}

static void s_set_position(json_t *object, const record_position_t *position)
{
    static const char *const numberings[] = {"nobody", "publishers", "broker"};
    size_t count = sizeof numberings / sizeof *numberings;
    s_set(object, "epoch", position->epoch);
    s_set(object, "seq", position->seq);
    json_object_set_new(object, "acknowledged", json_boolean(position->known));
    s_set(object, "epoch_now", position->epoch_now);
    json_object_set_new(
        object, "numbered_by",
        json_string(position->numbering < count ? numberings[position->numbering] : "unknown"));
    s_set(object, "forgotten_to", position->forgotten_to);
    s_set_gaps(object, position);
}

static void s_set_payload(json_t *object, const journal_record_t *record)
{
    Seqpush__V1__PushBatch *batch = s_unpack(record);
    if (!batch)
        return;
    const ProtobufCBinaryData *payload = &batch->pushes[0]->payload;
    json_object_set_new(object, "numberless", json_boolean(record->numberless));
    tool_set_bytes(object, "payload", payload->data, payload->len);
    seqpush__v1__push_batch__free_unpacked(batch, NULL);
}

static json_t *s_json(const journal_record_t *record)
{
    const record_key_t *key = &record->key;
    json_t *object = json_object();
    json_object_set_new(object, "record", json_string(s_kind(key->kind)));
    tool_set_bytes(object, "client", key->id, key->id_size);
    if (key->kind == RECORD_POSITION) {
        s_set_position(object, &record->position);
        return object;
    }
    s_set(object, "epoch", key->epoch);
    s_set(object, key->kind == RECORD_GAP ? "to" : "seq", key->seq);
    if (key->kind == RECORD_GAP)
        s_set(object, "from", record->from);
    else if (key->kind == RECORD_PUSH)
        s_set_payload(object, record);
    return object;
}

static bool s_dump(void *context, const journal_record_t *record)
{
    s_count(context, record);
    tool_print_json(stdout, s_json(record));
    return !ferror(stdout);
}

//  ---- info --------------------------------------------------------------------------------------

static void s_print_json(const survey_t *self, uint64_t file_size)
{
    json_t *object = json_object();
    s_set(object, "format", RECORD_VERSION);
    s_set(object, "clients", self->clients);
    s_set(object, "positions", self->positions);
    s_set(object, "pushes", self->pushes);
    s_set(object, "push_bytes", self->push_bytes);
    s_set(object, "gaps", self->gaps);
    s_set(object, "markers", self->markers);
    s_set(object, "file_bytes", file_size);
    tool_print_json(stdout, object);
}

static void s_print(const survey_t *self, uint64_t file_size)
{
    printf("format      %u\n"
           "clients     %" PRIu64 ", %" PRIu64 " with a position\n"
           "pushes      %" PRIu64 " of %" PRIu64 " bytes\n"
           "gaps        %" PRIu64 "\n"
           "markers     %" PRIu64 "\n"
           "file        %" PRIu64 " bytes\n",
           RECORD_VERSION, self->clients, self->positions, self->pushes, self->push_bytes,
           self->gaps, self->markers, file_size);
}

//  ---- the command -------------------------------------------------------------------------------

static const struct {
    const char *name;
    journal_visit_t *visit;
} s_ways[] = {{"info", s_survey}, {"verify", s_verify}, {"dump", s_dump}};

static journal_visit_t *s_way(const char *name)
{
    for (size_t i = 0; i < sizeof s_ways / sizeof *s_ways; i++)
        if (strcmp(name, s_ways[i].name) == 0)
            return s_ways[i].visit;
    tool_misused(&s_command, "journal %s: info, verify or dump", name);
}

//  Bytes of the store's file: 0 if there is none. The engine would make one.
static uint64_t s_file_size(const char *path)
{
    char *name;
    struct stat file;
    if (asprintf(&name, "%s/data.mdb", path) < 0)
        return 0;
    bool found = stat(name, &file) == 0;
    free(name);
    return found ? (uint64_t)file.st_size : 0;
}

//  Opens the store and visits its records. Returns an exit status.
static int s_read(const char *path, uint64_t size, journal_visit_t *visit, survey_t *survey)
{
    char *error = NULL;
    journal_settings_t settings = {.path = path, .max_bytes = size + ROOM_MIN};
    journal_store_t *store = journal_lmdb.open(&settings, &error);
    bool read = store && journal_lmdb.load(store, visit, survey, &error);
    if (error)
        tool_say("%s", error);
    else if (!store)
        tool_say("out of memory");
    free(error);
    journal_lmdb.close(&store);
    return read && survey->faults == 0 ? TOOL_OK : TOOL_BAD;
}

int journal_run(tool_t *tool, int argc, char **argv)
{
    tool_parse(tool, &s_command, NULL, 0, argc, &argv);
    const char *path = argv[1];
    journal_visit_t *visit = s_way(argv[0]);
    uint64_t size = s_file_size(path);
    if (size == 0) {
        tool_say("%s: there is no journal", path);
        return TOOL_BAD;
    }
    survey_t survey = {0};
    int status = s_read(path, size, visit, &survey);
    if (status != TOOL_OK || visit == s_dump)
        return status;
    if (tool->json)
        s_print_json(&survey, size);
    else
        s_print(&survey, size);
    return status;
}
