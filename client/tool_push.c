/*  tool_push.c - `seqpush push`: one push a line of input, over one or several connections

    Input is streamed. A block of up to --shuffle lines is read, scrambled and handed in; while input
    or the broker keeps it waiting, the connections go on sending and taking in replies. */

#include "tool_push_settings.h"
#include "tool_push_summary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 1024 //  seqs a client
#define MS 1000000LL
#define SECOND (1000 * MS)

typedef struct {
    const tool_t *tool;
    push_settings_t settings;
    tool_connections_t *connections;
    tool_lines_t *input;
    char **ids; //  of the clients
    tool_block_t *block;
    uint64_t lines; //  read
    uint64_t handed_in;
    uint64_t too_large; //  lines that were not even handed in
    uint64_t complaints;
    uint64_t decided; //  when last looked at
    uint64_t unconfirmed; //  taken by the broker, and nothing heard of them since
    int64_t started;
    int64_t decided_at; //  when something was last heard, or nothing was to be heard
    int64_t shown_at;
    bool failed; //  input, memory or a publisher
} pusher_t;

//  ---- making and freeing ------------------------------------------------------------------------

static void s_complain(pusher_t *self, const char *id, size_t id_size, uint64_t seq,
                       seqpush_outcome_t outcome)
{
    tool_complain(&self->complaints, "%.*s seq %llu: %s", (int)id_size, id, (unsigned long long)seq,
                  seqpush_outcome_name(outcome));
}

static void s_on_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    if (outcome != SEQPUSH_ACCEPTED && outcome != SEQPUSH_DUPLICATE)
        s_complain(arg, push->client_id, push->client_id_size, push->seq, outcome);
}

static void s_on_delivered(void *arg, const void *id, size_t id_size, uint64_t epoch, uint64_t seq,
                           bool given_up)
{
    pusher_t *self = arg;
    (void)epoch;
    if (given_up)
        tool_complain(&self->complaints, "%.*s seq %llu: given up", (int)id_size, (const char *)id,
                      (unsigned long long)seq);
}

static void s_make_ids(pusher_t *self)
{
    uint64_t count = self->settings.clients;
    size_t ids = count ? (size_t)count : 1;
    self->ids = calloc(ids, sizeof *self->ids);
    for (size_t i = 0; self->ids && i < ids; i++) {
        self->ids[i] = tool_client_id(self->settings.client, i + 1, count);
        if (!self->ids[i])
            tool_misused(&push_command, "a client's id has 1 to %d bytes", SEQPUSH_ID_MAX);
    }
}

//  Bounds what a connection has under way: all of them together half of the window that the broker
//  has by default, so that little is refused for it. A block that does not fit into that is under
//  way as a whole until its first push comes.
static size_t s_undecided_max(const push_settings_t *s)
{
    uint64_t half = s->clients ? s->clients * (WINDOW / 2) : WINDOW / 2;
    if (s->shuffle > half)
        return 2 * s->shuffle;
    uint64_t share = half / s->publishers;
    return share < 64 ? 64 : share > 16384 ? 16384 : share;
}

static void s_connect(pusher_t *self)
{
    seqpush_publisher_options_t options = {
        .broker = self->tool->broker,
        .key_file = self->tool->key,
        .server_key = self->tool->server_key,
        .undecided_max = s_undecided_max(&self->settings),
        .undecided_bytes = 128 << 20,
        .on_outcome = s_on_outcome,
        .confirm = self->settings.confirm,
        .on_delivered = s_on_delivered,
        .arg = self,
    };
    self->connections = tool_connections_new(&options, self->settings.publishers);
    if (!self->connections && errno == EINVAL)
        tool_misused(&push_command, "--broker: '%s' is not an endpoint", self->tool->broker);
}

static bool s_init(pusher_t *self, int fd)
{
    const push_settings_t *s = &self->settings;
    self->input = tool_lines_new(fd, s->max_payload);
    self->block = tool_block_new(s->shuffle, s->seed);
    s_make_ids(self);
    s_connect(self);
    self->started = self->decided_at = self->shown_at = tool_now();
    return self->input && self->block && self->ids && self->connections;
}

static void s_fini(pusher_t *self)
{
    tool_connections_destroy(&self->connections);
    for (size_t i = 0; self->ids && (i == 0 || i < self->settings.clients); i++)
        free(self->ids[i]);
    free(self->ids);
    tool_block_destroy(&self->block);
    tool_lines_destroy(&self->input);
}

//  ---- progress ----------------------------------------------------------------------------------

static uint64_t s_undecided(const pusher_t *self)
{
    return self->handed_in - self->decided;
}

static bool s_is_waiting(const pusher_t *self)
{
    return s_undecided(self) || self->unconfirmed;
}

static void s_show_progress(pusher_t *self, int64_t now)
{
    bool terminal = isatty(STDERR_FILENO);
    int64_t every = terminal ? SECOND / 2 : 5 * SECOND;
    if (self->tool->json || now - self->shown_at < every || !(terminal || self->settings.progress))
        return;
    self->shown_at = now;
    fprintf(stderr, "%s%llu pushed, %llu without an outcome", terminal ? "\r" : "",
            (unsigned long long)self->handed_in, (unsigned long long)s_undecided(self));
    if (self->settings.confirm)
        fprintf(stderr, ", %llu not delivered", (unsigned long long)self->unconfirmed);
    fputs(terminal ? "\033[K" : "\n", stderr);
}

static void s_clear_progress(const pusher_t *self)
{
    if (!self->tool->json && isatty(STDERR_FILENO) && self->shown_at != self->started)
        fputs("\r\033[K", stderr);
}

static uint64_t s_good(const seqpush_publisher_stats_t *stats)
{
    return stats->outcomes[SEQPUSH_ACCEPTED] + stats->outcomes[SEQPUSH_DUPLICATE];
}

static void s_look(pusher_t *self)
{
    seqpush_publisher_stats_t stats;
    tool_connections_stats(self->connections, &stats);
    uint64_t decided = tool_decided(&stats), unconfirmed = 0;
    int64_t now = tool_now();
    if (self->settings.confirm)
        unconfirmed = s_good(&stats) - stats.delivered - stats.given_up;
    bool heard = decided != self->decided || unconfirmed != self->unconfirmed;
    self->decided = decided;
    self->unconfirmed = unconfirmed;
    if (heard || !s_is_waiting(self))
        self->decided_at = now;
    s_show_progress(self, now);
}

//  ---- sending -----------------------------------------------------------------------------------

static bool s_may_go_on(const pusher_t *self)
{
    return !self->failed && !tool_interrupted() &&
           tool_now() - self->decided_at < (int64_t)self->settings.timeout * SECOND;
}

//  Ends the work, with a message, if the library cannot go on.
static void s_check(pusher_t *self, int result)
{
    if (result == 0 || result == -EAGAIN)
        return;
    tool_say("%s", strerror(-result));
    self->failed = true;
}

static void s_turn(pusher_t *self, size_t busy, int timeout_ms)
{
    s_check(self, tool_connections_turn(self->connections, busy, timeout_ms));
    s_look(self);
}

//  Waits for the next push's time, unless that is near: pushes that are close together go in batches.
static void s_pace(pusher_t *self)
{
    if (self->settings.rate == 0)
        return;
    __int128 offset = (__int128)self->handed_in * SECOND / self->settings.rate;
    int64_t due = self->started + (int64_t)offset;
    if (due - tool_now() < MS)
        return;
    for (int64_t now; s_may_go_on(self) && (now = tool_now()) < due;) {
        s_turn(self, 0, 0);
        tool_sleep_until(due - now < 5 * MS ? due : now + 5 * MS);
    }
}

//  Pushes of one client take the connections by turns.
static void s_hand_in(pusher_t *self, const tool_line_t *line)
{
    uint64_t clients = self->settings.clients ? self->settings.clients : 1;
    uint64_t round = line->number / clients, client = line->number % clients;
    size_t way = (size_t)((round + client) % self->settings.publishers);
    seqpush_push_t push = {
        .client_id = self->ids[client],
        .client_id_size = strlen(self->ids[client]),
        .epoch = self->settings.epoch,
        .seq = self->settings.seq ? self->settings.seq + round : 0,
        .payload = line->bytes,
        .payload_size = line->size,
    };
    s_pace(self);
    int result;
    while ((result = tool_connections_push(self->connections, way, &push)) == -EAGAIN &&
           s_may_go_on(self))
        s_turn(self, way, 10);
    s_check(self, result);
    self->handed_in += result == 0;
}

//  ---- reading -----------------------------------------------------------------------------------

static void s_note_too_large(pusher_t *self, uint64_t number)
{
    uint64_t clients = self->settings.clients ? self->settings.clients : 1;
    const char *id = self->ids[number % clients];
    self->too_large++;
    s_complain(self, id, strlen(id), self->settings.seq + number / clients, SEQPUSH_TOO_LARGE);
}

//  Reads one line into the block. False when there are no more.
static bool s_read_line(pusher_t *self)
{
    const char *bytes = NULL;
    size_t size = 0;
    int timeout_ms = s_is_waiting(self) ? 5 : 500;
    switch (tool_lines_next(self->input, timeout_ms, &bytes, &size)) {
    case LINES_LINE:
        self->failed = !tool_block_add(self->block, bytes, size, self->lines++);
        return !self->failed;
    case LINES_TOO_LONG:
        s_note_too_large(self, self->lines++);
        return true;
    case LINES_WAIT:
        s_turn(self, 0, 0);
        return true;
    case LINES_FAILED:
        tool_say("input: %s", strerror(errno));
        self->failed = true;
        return false;
    case LINES_END:
        break;
    }
    return false;
}

//  Reads the next block. Returns false when input has ended; the block may have lines even then.
static bool s_read_block(pusher_t *self)
{
    bool more = true;
    tool_block_clear(self->block);
    while (more && !tool_block_is_full(self->block))
        more = s_may_go_on(self) && s_read_line(self);
    tool_block_scramble(self->block);
    return more;
}

static void s_push_all(pusher_t *self)
{
    tool_line_t line;
    bool more = true;
    while (more && s_may_go_on(self)) {
        more = s_read_block(self);
        for (size_t i = 0; tool_block_at(self->block, i, &line) && s_may_go_on(self); i++)
            s_hand_in(self, &line);
    }
    s_look(self);
    while (s_is_waiting(self) && s_may_go_on(self))
        s_turn(self, 0, 10);
}

//  ---- the summary -------------------------------------------------------------------------------

static int s_report(const pusher_t *self)
{
    seqpush_publisher_stats_t stats;
    tool_connections_stats(self->connections, &stats);
    stats.outcomes[SEQPUSH_TOO_LARGE] += self->too_large;
    push_summary_t summary = {self->lines, self->started, self->settings.confirm, self->unconfirmed,
                              &stats};
    s_clear_progress(self);
    push_summary_print(&summary, self->tool->json);
    if (self->lines > self->too_large && self->decided == 0 && !self->failed && !tool_interrupted())
        tool_say_silent(self->tool);
    uint64_t good = self->settings.confirm ? stats.delivered : s_good(&stats);
    return good == self->lines && !self->failed ? TOOL_OK : TOOL_BAD;
}

//  ---- the command -------------------------------------------------------------------------------

//  The descriptor of the input. Ends the process if there is none.
static int s_open(const char *path)
{
    int fd = path && strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (fd >= 0)
        return fd;
    tool_say("%s: %s", path, strerror(errno));
    exit(TOOL_USAGE);
}

int push_run(tool_t *tool, int argc, char **argv)
{
    pusher_t self = {.tool = tool};
    size_t operands = push_settings_parse(&self.settings, tool, argc, &argv);
    int fd = s_open(operands ? argv[0] : NULL);
    int status = TOOL_UNABLE;
    if (s_init(&self, fd)) {
        tool_catch_signals();
        s_push_all(&self);
        status = s_report(&self);
    } else {
        tool_say("%s", strerror(errno));
    }
    s_fini(&self);
    if (fd != STDIN_FILENO)
        close(fd);
    return status;
}
