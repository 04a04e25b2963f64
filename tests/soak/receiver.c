/*  receiver.c - an application that receives, for the soak: writes down each thing that it takes

    It may be stopped and killed at any time. What it has taken is written down before it is
    acknowledged. With -r it goes on where its log ends, as an application does that keeps its
    positions; else it knows nothing and goes on where the broker is.

    Usage: soak_receiver [-b BIND] [-a ADVERTISE] [-d DELAY_US] [-r] BROKER LOG ID PREFIX */

#include "record.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

//  Between two lines with the count so far, in ns.
#define COUNT_EVERY 100000000LL

typedef struct {
    const char *broker, *log, *id, *prefix, *bind, *advertise;
    long delay; //  us that a push takes
    bool resume;
} settings_t;

typedef struct {
    record_t record;
    uint64_t taken;
    int64_t counted_at;
    long delay;
    bool taken_away;
} taker_t;

static volatile sig_atomic_t s_stopped;

static void s_on_signal(int number)
{
    (void)number;
    s_stopped = 1;
}

//  ---- what the library hands out ----------------------------------------------------------------

static void s_on_push(void *arg, const seqpush_push_t *push)
{
    taker_t *self = arg;
    record_taken(&self->record, push);
    self->taken++;
    if (self->delay)
        nanosleep(&(struct timespec){.tv_nsec = self->delay * 1000}, NULL);
}

static void s_on_gap(void *arg, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to)
{
    taker_t *self = arg;
    (void)epoch;
    record_write(&self->record, "g %.*s %llu %llu", (int)id_size, (const char *)id,
                 (unsigned long long)from, (unsigned long long)to);
}

//  The soak has nobody else attach what is this receiver's.
static void s_on_detached(void *arg, const void *id, size_t id_size, const char *reason)
{
    taker_t *self = arg;
    fprintf(stderr, "detached %.*s: %s\n", (int)id_size, id ? (const char *)id : "", reason);
    self->taken_away = true;
}

//  ---- going on where the log ends ---------------------------------------------------------------

//  A line of the log, if it moves a client's position: t CLIENT SEQ TAG or g CLIENT FROM TO.
static void s_attach_line(seqpush_receiver_t *receiver, const char *bytes, size_t size)
{
    //  A copy, because sscanf looks for the end of the text, which is that of the log.
    char line[RECORD_LINE + 1] = "";
    memcpy(line, bytes, size < RECORD_LINE ? size : RECORD_LINE);
    char id[SEQPUSH_ID_MAX + 1], kind;
    unsigned long long seq, to = 0;
    if (sscanf(line, "%c %64s %llu %llu", &kind, id, &seq, &to) >= 3 &&
        (kind == 't' || kind == 'g'))
        seqpush_receiver_attach(receiver, id, strlen(id), 0, kind == 'g' ? to : seq);
}

//  The last line of a client is its position: attaching it again replaces the one before.
static void s_attach_log(seqpush_receiver_t *receiver, const record_t *record)
{
    const char *line = record->bytes, *end = line + record->end;
    while (line < end) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        s_attach_line(receiver, line, (size_t)(next - line));
        line = next;
    }
}

//  ---- serving -----------------------------------------------------------------------------------

static void s_count(taker_t *self)
{
    int64_t now = record_clock();
    if (now - self->counted_at < COUNT_EVERY)
        return;
    self->counted_at = now;
    record_write(&self->record, "c %lld %llu", (long long)now, (unsigned long long)self->taken);
}

static int s_serve(taker_t *self, seqpush_receiver_t *receiver)
{
    long rc = 0;
    while (!s_stopped && !self->taken_away && (rc >= 0 || rc == -EINTR)) {
        rc = seqpush_receiver_poll(receiver, 100);
        s_count(self);
    }
    return s_stopped ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int s_receive(taker_t *self, const settings_t *settings)
{
    seqpush_receiver_options_t options = {
        .broker = settings->broker,
        .id = settings->id,
        .id_size = strlen(settings->id),
        .bind = settings->bind,
        .advertise = settings->advertise,
        .heartbeat = 500,
        .on_push = s_on_push,
        .on_gap = s_on_gap,
        .on_detached = s_on_detached,
        .arg = self,
    };
    seqpush_receiver_t *receiver = seqpush_receiver_new(&options);
    if (!receiver) {
        perror(settings->broker);
        return EXIT_FAILURE;
    }
    if (settings->resume)
        s_attach_log(receiver, &self->record);
    record_write(&self->record, "s %lld %s", (long long)record_clock(),
                 settings->resume ? "resumed" : "new");
    seqpush_receiver_attach_prefix(receiver, settings->prefix, strlen(settings->prefix));
    int status = s_serve(self, receiver);
    seqpush_receiver_destroy(&receiver);
    return status;
}

//  ---- the command -------------------------------------------------------------------------------

static bool s_parse(settings_t *settings, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "b:a:d:r")) != -1) {
        switch (option) {
        case 'b':
            settings->bind = optarg;
            break;
        case 'a':
            settings->advertise = optarg;
            break;
        case 'd':
            settings->delay = strtol(optarg, NULL, 10);
            break;
        case 'r':
            settings->resume = true;
            break;
        default:
            return false;
        }
    }
    if (argc - optind != 4)
        return false;
    settings->broker = argv[optind];
    settings->log = argv[optind + 1];
    settings->id = argv[optind + 2];
    settings->prefix = argv[optind + 3];
    return true;
}

int main(int argc, char **argv)
{
    settings_t settings = {0};
    if (!s_parse(&settings, argc, argv)) {
        fprintf(stderr, "Usage: soak_receiver [-b BIND] [-a ADVERTISE] [-d DELAY_US] [-r] "
                        "BROKER LOG ID PREFIX\n");
        return EXIT_FAILURE;
    }
    signal(SIGTERM, s_on_signal);
    taker_t taker = {.delay = settings.delay};
    int rc = record_open(&taker.record, settings.log);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", settings.log, strerror(-rc));
    int status = rc < 0 ? EXIT_FAILURE : s_receive(&taker, &settings);
    record_close(&taker.record);
    return status;
}
