/*  tool_receive.c - `seqpush receive`: prints clients' pushes in their order, and checks that order

    The check is the tool's own, beside the library's: it knows for every client the position after
    which the next push must come, and counts everything else as a gap. */

#include "tool.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define MS 1000000LL

static const tool_command_t s_command = {
    .name = "receive",
    .usage = "--client ID... | --prefix PREFIX",
    .description = "Attaches clients and prints the payload of each push and a newline, in the\n"
                   "order received. Standard error gets a line 'attached as RECEIVER at\n"
                   "ENDPOINT' once pushes can come, and a summary at the end. Ends after --count,\n"
                   "after --idle, by SIGINT or SIGTERM, or when nobody reads the output. With\n"
                   "--json a push is an object: client, epoch, seq, payload; bytes that are not\n"
                   "UTF-8 stand in client_base64 and payload_base64.",
    .statuses = "  0  all that came was gapless\n"
                "  1  there were gaps, or the positions could not be saved\n"
                "  2  wrong use, or a positions file that cannot be read\n"
                "  3  cannot serve: nothing to bind, no broker, or the clients were taken away",
};

typedef struct {
    const char *prefix, *bind, *id, *positions;
    tool_list_t names;
    uint64_t clients, count, idle, timeout;
    bool with_ids;
} settings_t;

typedef struct {
    const tool_t *tool;
    settings_t settings;
    char unique[SEQPUSH_ID_MAX];
    seqpush_receiver_t *library;
    tool_positions_t *positions;
    seqpush_positions_file_t *file; //  of --positions, or NULL
    uint64_t received, gaps, complaints;
    uint64_t named; //  clients attached by name and not taken away
    int64_t started; //  attached
    int64_t last_push; //  or started
    bool closed; //  nobody reads the output
    bool taken_away; //  the broker detached all
    bool failed; //  memory, or positions not saved
} taker_t;

//  ---- what the library hands out ----------------------------------------------------------------

static void s_gap(taker_t *self, const char *what, const tool_position_t *at, uint64_t epoch,
                  uint64_t seq)
{
    self->gaps++;
    tool_complain(&self->complaints, "%.*s: %s %llu in epoch %llu after seq %llu in epoch %llu",
                  (int)at->id_size, at->id, what, (unsigned long long)seq,
                  (unsigned long long)epoch, (unsigned long long)at->seq,
                  (unsigned long long)at->epoch);
}

static tool_position_t *s_find(taker_t *self, const void *id, size_t id_size)
{
    tool_position_t *at = tool_positions_at(self->positions, id, id_size);
    self->failed |= !at;
    return at;
}

static void s_move(tool_position_t *at, uint64_t epoch, uint64_t seq)
{
    at->epoch = epoch;
    at->seq = seq;
    at->known = true;
}

static void s_print_json(const seqpush_push_t *push)
{
    json_t *object = json_object();
    tool_set_bytes(object, "client", push->client_id, push->client_id_size);
    json_object_set_new(object, "epoch", tool_json_number(push->epoch));
    json_object_set_new(object, "seq", tool_json_number(push->seq));
    tool_set_bytes(object, "payload", push->payload, push->payload_size);
    tool_print_json(stdout, object);
}

static void s_print(const taker_t *self, const seqpush_push_t *push)
{
    if (self->tool->json) {
        s_print_json(push);
        return;
    }
    if (self->settings.with_ids) {
        fwrite(push->client_id, 1, push->client_id_size, stdout);
        printf("\t%llu\t", (unsigned long long)push->seq);
    }
    if (push->payload_size)
        fwrite(push->payload, 1, push->payload_size, stdout);
    putchar('\n');
}

static bool s_has_enough(const taker_t *self)
{
    return self->closed || (self->settings.count && self->received >= self->settings.count);
}

static void s_on_push(void *arg, const seqpush_push_t *push)
{
    taker_t *self = arg;
    if (s_has_enough(self))
        return; //  unordered deliveries come to their end even so
    tool_position_t *at = s_find(self, push->client_id, push->client_id_size);
    if (at && at->known && (push->epoch != at->epoch || push->seq != at->seq + 1))
        s_gap(self, "seq", at, push->epoch, push->seq);
    if (at)
        s_move(at, push->epoch, push->seq);
    s_print(self, push);
    self->received++;
    self->closed |= ferror(stdout) != 0;
    if (s_has_enough(self))
        seqpush_receiver_detach(self->library, NULL, 0);
}

static void s_on_gap(void *arg, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to)
{
    taker_t *self = arg;
    tool_position_t *at = s_find(self, id, id_size);
    if (!at)
        return;
    (void)from;
    s_gap(self, "given up to seq", at, epoch, to);
    s_move(at, epoch, to);
}

//  A client's first position and a new epoch are no gaps; whatever else the broker says of where a
//  stream goes on is.
static void s_on_jump(void *arg, const seqpush_position_t *to)
{
    taker_t *self = arg;
    tool_position_t *at = s_find(self, to->client_id, to->client_id_size);
    if (!at)
        return;
    bool same = at->epoch == to->epoch && at->seq == to->seq;
    if (at->known && to->epoch <= at->epoch && !same)
        s_gap(self, "goes on after seq", at, to->epoch, to->seq);
    s_move(at, to->epoch, to->seq);
}

//  True if with this client, or prefix, the last one is gone. The reason tells a prefix from a
//  client that has the same id.
static bool s_was_last(taker_t *self, const void *id, size_t id_size, const char *reason)
{
    const char *prefix = self->settings.prefix;
    if (!prefix)
        return --self->named == 0;
    return id_size == strlen(prefix) && memcmp(id, prefix, id_size) == 0 &&
           strcmp(reason, "taken_over") != 0;
}

static void s_on_detached(void *arg, const void *id, size_t id_size, const char *reason)
{
    taker_t *self = arg;
    tool_complain(&self->complaints, "%.*s: detached: %s", (int)id_size, id ? (const char *)id : "",
                  reason);
    self->taken_away |= !id || s_was_last(self, id, id_size, reason);
}

//  ---- positions that are kept -------------------------------------------------------------------

static int s_load(void *arg, seqpush_position_t *position)
{
    const taker_t *self = arg;
    return seqpush_positions_file_load(self->file, position);
}

//  Positions are saved once the output is out, so that a crash repeats rather than loses.
static int s_save(void *arg, const seqpush_position_t *positions, size_t count)
{
    taker_t *self = arg;
    self->closed |= fflush(stdout) != 0;
    if (self->closed)
        return -EPIPE;
    int result = seqpush_positions_file_save(self->file, positions, count);
    if (result != 0) {
        tool_say("%s: %s", self->settings.positions, strerror(-result));
        self->failed = true;
    }
    return result;
}

//  ---- attaching ---------------------------------------------------------------------------------

//  A client without a known position is at 0, 0, which asks for where the broker is.
static void s_add_names(taker_t *self)
{
    const settings_t *s = &self->settings;
    for (size_t i = 0; i < s->names.count; i++) {
        for (uint64_t n = 1; n == 1 || n <= s->clients; n++) {
            char *id = tool_client_id(s->names.items[i], n, s->clients);
            if (!id)
                tool_misused(&s_command, "a client's id has 1 to %d bytes", SEQPUSH_ID_MAX);
            tool_position_t *at = s_find(self, id, strlen(id));
            if (at && seqpush_receiver_attach(self->library, id, at->id_size, at->epoch, at->seq))
                self->failed = true;
            self->named++;
            free(id);
        }
    }
}

static void s_attach_one(void *arg, const tool_position_t *at)
{
    taker_t *self = arg;
    const char *prefix = self->settings.prefix;
    size_t size = strlen(prefix);
    if (at->known && at->id_size >= size && memcmp(at->id, prefix, size) == 0)
        seqpush_receiver_attach(self->library, at->id, at->id_size, at->epoch, at->seq);
}

static void s_add_prefix(taker_t *self)
{
    const char *prefix = self->settings.prefix;
    if (!prefix)
        return;
    if (seqpush_receiver_attach_prefix(self->library, prefix, strlen(prefix)) != 0)
        tool_misused(&s_command, "a prefix has at most %d bytes", SEQPUSH_ID_MAX);
    tool_positions_each(self->positions, s_attach_one, self);
}

static void s_take_position(void *arg, const seqpush_position_t *position)
{
    taker_t *self = arg;
    tool_position_t *at = s_find(self, position->client_id, position->client_id_size);
    if (at)
        s_move(at, position->epoch, position->seq);
}

static void s_open_positions(taker_t *self)
{
    const char *path = self->settings.positions;
    if (!path)
        return;
    self->file = seqpush_positions_file_new(path);
    if (!self->file) {
        tool_say("%s: %s", path, errno == EINVAL ? "not a positions file" : strerror(errno));
        exit(TOOL_USAGE);
    }
    uint64_t torn = seqpush_positions_file_torn(self->file);
    if (torn)
        tool_say("%s: cut off %llu bytes that were not written whole", path,
                 (unsigned long long)torn);
    seqpush_positions_file_each(self->file, s_take_position, self);
}

//  A receiver id that no other process has.
static void s_make_id(taker_t *self)
{
    char host[HOST_NAME_MAX + 1] = "";
    gethostname(host, sizeof host - 1);
    snprintf(self->unique, sizeof self->unique, "%.40s-%ld", host, (long)getpid());
    if (!self->settings.id)
        self->settings.id = self->unique;
}

static bool s_open(taker_t *self)
{
    seqpush_receiver_options_t options = {
        .broker = self->tool->broker,
        .key_file = self->tool->key,
        .server_key = self->tool->server_key,
        .id = self->settings.id,
        .id_size = strlen(self->settings.id),
        .bind = self->settings.bind,
        .on_push = s_on_push,
        .on_gap = s_on_gap,
        .on_jump = s_on_jump,
        .on_detached = s_on_detached,
        .arg = self,
    };
    if (self->file)
        options.store = (seqpush_positions_store_t){s_load, s_save, self};
    self->library = seqpush_receiver_new(&options);
    if (!self->library) {
        tool_say("cannot receive at %s for %s: %s", self->settings.bind, self->tool->broker,
                 strerror(errno));
        return false;
    }
    s_add_names(self);
    s_add_prefix(self);
    return !self->failed;
}

//  ---- serving -----------------------------------------------------------------------------------

static bool s_may_go_on(const taker_t *self)
{
    return !tool_interrupted() && !self->closed && !self->taken_away && !self->failed;
}

static long s_poll(taker_t *self, int timeout_ms)
{
    long taken = seqpush_receiver_poll(self->library, timeout_ms);
    if (taken < 0 && taken != -EINTR && !self->closed && !self->failed) {
        tool_say("%s", strerror((int)-taken));
        self->failed = true;
    }
    if (taken > 0)
        self->last_push = tool_now();
    return taken;
}

//  True once the broker has granted the clients, within --timeout.
static bool s_wait_attached(taker_t *self)
{
    int64_t until = tool_now() + (int64_t)self->settings.timeout * SECOND;
    while (!seqpush_receiver_attached(self->library) && s_may_go_on(self) && tool_now() < until)
        s_poll(self, 20);
    if (seqpush_receiver_attached(self->library)) {
        fprintf(stderr, "attached as %s at %s\n", self->settings.id,
                seqpush_receiver_endpoint(self->library));
        return true;
    }
    uint64_t errors = seqpush_receiver_stats(self->library)->errors;
    if (!tool_interrupted() && !self->taken_away && errors)
        tool_say("%s does not attach the clients (%llu errors)", self->tool->broker,
                 (unsigned long long)errors);
    else if (!tool_interrupted() && !self->taken_away)
        tool_say_silent(self->tool);
    return false;
}

static void s_flush(taker_t *self)
{
    if (fflush(stdout) != 0)
        self->closed = true;
}

static bool s_is_done(const taker_t *self)
{
    const settings_t *s = &self->settings;
    return s_has_enough(self) || (s->idle && tool_now() - self->last_push >= (int64_t)s->idle * MS);
}

static void s_serve(taker_t *self)
{
    self->started = self->last_push = tool_now();
    while (s_may_go_on(self) && !s_is_done(self)) {
        if (s_poll(self, 0) <= 0) {
            s_flush(self);
            s_poll(self, self->settings.idle && self->settings.idle < 100 ? 1 : 50);
        }
    }
    seqpush_receiver_detach(self->library, NULL, 0); //  with the last positions
    s_flush(self);
}

static void s_report(const taker_t *self)
{
    double seconds = (double)(self->last_push - self->started) / SECOND;
    double rate = seconds > 0 ? (double)self->received / seconds : 0;
    const seqpush_receiver_stats_t *stats = seqpush_receiver_stats(self->library);
    if (self->tool->json)
        tool_print_json(
            stderr, json_pack("{s:I, s:I, s:I, s:f, s:f}", "received", (json_int_t)self->received,
                              "gaps", (json_int_t)self->gaps, "duplicates",
                              (json_int_t)stats->duplicates, "seconds", seconds, "rate", rate));
    else
        fprintf(stderr, "received %llu, gaps %llu, duplicates dropped %llu, %.3f s, %.0f/s\n",
                (unsigned long long)self->received, (unsigned long long)self->gaps,
                (unsigned long long)stats->duplicates, seconds, rate);
}

//  ---- the command -------------------------------------------------------------------------------

static void s_parse(taker_t *self, tool_t *tool, int argc, char **argv)
{
    settings_t *s = &self->settings;
    const tool_option_t options[] = {
        {"client", TOOL_LIST, &s->names, 0, 0, "ID", "a client to receive; may repeat"},
        {"clients", TOOL_NUMBER, &s->clients, 1, 1000000, "N",
         "receive ID-1 to ID-N instead of ID"},
        {"prefix", TOOL_STRING, &s->prefix, 0, 0, "PREFIX",
         "receive all clients whose id starts so; '': all"},
        {"bind", TOOL_STRING, &s->bind, 0, 0, "ENDPOINT",
         "where deliveries come in (tcp://127.0.0.1:*)"},
        {"id", TOOL_STRING, &s->id, 0, 0, "RECEIVER", "the receiver's id (host-pid)"},
        {"count", TOOL_NUMBER, &s->count, 1, UINT64_MAX, "N", "end after N pushes"},
        {"idle", TOOL_NUMBER, &s->idle, 1, 1000000000, "MS", "end after MS without a push"},
        {"with-ids", TOOL_FLAG, &s->with_ids, 0, 0, NULL, "print client, tab, seq, tab, payload"},
        {"positions", TOOL_STRING, &s->positions, 0, 0, "FILE",
         "go on after the positions in FILE, and keep them there"},
        {"timeout", TOOL_NUMBER, &s->timeout, 1, 1000000, "S",
         "seconds to wait for the broker at the start (10)"},
    };
    tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
    if (s->names.count == 0 && !s->prefix)
        tool_misused(&s_command, "--client or --prefix is missing");
    s_make_id(self);
    if (*s->id == '\0' || strlen(s->id) > SEQPUSH_ID_MAX)
        tool_misused(&s_command, "--id: a receiver's id has 1 to %d bytes", SEQPUSH_ID_MAX);
}

static int s_receive(taker_t *self)
{
    if (!s_open(self))
        return TOOL_UNABLE;
    tool_catch_signals();
    if (!s_wait_attached(self))
        return tool_interrupted() ? TOOL_OK : TOOL_UNABLE;
    s_serve(self);
    s_report(self);
    if (self->taken_away)
        return TOOL_UNABLE;
    return self->gaps || self->failed ? TOOL_BAD : TOOL_OK;
}

int receive_run(tool_t *tool, int argc, char **argv)
{
    taker_t self = {.tool = tool, .settings = {.bind = "tcp://127.0.0.1:*", .timeout = 10}};
    s_parse(&self, tool, argc, argv);
    self.positions = tool_positions_new();
    int status = TOOL_UNABLE;
    if (self.positions) {
        s_open_positions(&self);
        status = s_receive(&self);
    }
    seqpush_receiver_destroy(&self.library);
    seqpush_positions_file_destroy(&self.file);
    tool_positions_destroy(&self.positions);
    free(self.settings.names.items);
    return status;
}
