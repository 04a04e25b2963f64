/*  publisher.c - the load of the soak: many clients, several publishers for each, in one thread

    Clients are named GROUP.NUMBER; a receiver has a group, by its prefix. Each group has publishers
    of its own, so that a group whose receiver stands still holds up no other, and each of its
    clients gets pushes from all of them, scrambled. Every outcome is written down.

    Runs until SIGTERM, or for -n rounds. Then it completes what was begun, so that no hole stays,
    waits until every push has its outcome, and prints what it did.

    Usage: soak_publisher [-f FIRST_GROUP] [-g GROUPS] [-c CLIENTS] [-p PUBLISHERS] [-r RATE] [-n ROUNDS] [-s SIZE]
                          [-w SECONDS] [-x SEED] BROKER LOG */

#include "record.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GROUPS_MAX 64
#define PUBLISHERS_MAX 8
#define PAYLOAD_MAX 65536

//  A client's seqs are scrambled within blocks of that many: a power of two.
#define BLOCK 32

//  Pushes that one publisher hands in before it is the next one's turn.
#define TURN 64

//  What a group could not offer for longer than that is not made up for, in seconds.
#define DEBT 0.05

typedef struct {
    const char *broker, *log;
    unsigned first, groups, clients, publishers, size, seed;
    double rate; //  pushes a second, of all groups
    int64_t patience; //  ns that it waits for what is to be completed, and for the last outcomes
    uint64_t rounds; //  pushes for each client; 0: until SIGTERM
} settings_t;

typedef struct {
    seqpush_publisher_t *library;
    uint64_t next; //  the group's push that it looks at next, from 0
} publisher_t;

typedef struct {
    unsigned number;
    double due; //  pushes that it may hand in now
    uint64_t rounds; //  where it ends; UINT64_MAX: not known yet
    publisher_t publishers[PUBLISHERS_MAX];
} group_t;

typedef struct {
    settings_t settings;
    record_t record;
    group_t groups[GROUPS_MAX];
    uint8_t payload[PAYLOAD_MAX];
    uint64_t decided;
} load_t;

//  How long to wait where there is nothing to do.
static const struct timespec s_rest = {.tv_nsec = 500000};

static volatile sig_atomic_t s_stopped;

static void s_on_signal(int number)
{
    (void)number;
    s_stopped = 1;
}

static void s_on_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    load_t *self = arg;
    self->decided++;
    record_write(&self->record, "p %.*s %llu %d", (int)push->client_id_size,
                 (const char *)push->client_id, (unsigned long long)push->seq, (int)outcome);
}

//  ---- what is pushed ----------------------------------------------------------------------------

//  The seq that a client gets in a round. Multiplying by an odd number goes round all of a block.
static uint64_t s_seq(const load_t *self, unsigned client, uint64_t round)
{
    uint64_t block = round / BLOCK;
    uint64_t dice = (block + 1) * 0x9e3779b97f4a7c15 + self->settings.seed + client;
    uint64_t place = (round * ((dice >> 16 & (BLOCK - 1)) | 1) + (dice >> 32)) % BLOCK;
    return block * BLOCK + place + 1;
}

//  Push n of a group goes to client n % clients, and to one of the publishers.
static bool s_is_of(const load_t *self, uint64_t n, unsigned publisher)
{
    uint64_t round = n / self->settings.clients, client = n % self->settings.clients;
    return (round + client) % self->settings.publishers == publisher;
}

//  Returns false if the library has no room.
static bool s_push(load_t *self, const group_t *group, publisher_t *publisher)
{
    char id[SEQPUSH_ID_MAX];
    unsigned client = (unsigned)(publisher->next % self->settings.clients);
    int id_size = snprintf(id, sizeof id, "%u.%u", group->number, client);
    seqpush_push_t push = {
        .client_id = id,
        .client_id_size = (size_t)id_size,
        .seq = s_seq(self, client, publisher->next / self->settings.clients),
        .payload = self->payload,
        .payload_size = self->settings.size,
    };
    record_fill(&push, self->payload);
    return seqpush_publisher_push(publisher->library, &push) == 0;
}

//  Hands in what is due, at most a turn. Returns how many.
static unsigned s_offer(load_t *self, group_t *group, unsigned index)
{
    publisher_t *publisher = &group->publishers[index];
    uint64_t clients = self->settings.clients;
    unsigned pushed = 0;
    for (; pushed < TURN && publisher->next / clients < group->rounds; publisher->next++) {
        if (!s_is_of(self, publisher->next, index))
            continue;
        if (group->due < 1 || !s_push(self, group, publisher))
            break;
        group->due--;
        pushed++;
    }
    return pushed;
}

//  ---- the run -----------------------------------------------------------------------------------

//  What is due is for the publisher that is furthest behind, so that they stay together.
static unsigned s_turn(load_t *self, group_t *group)
{
    unsigned last = 0;
    for (unsigned i = 0; i < self->settings.publishers; i++) {
        seqpush_publisher_poll(group->publishers[i].library, 0);
        if (group->publishers[i].next < group->publishers[last].next)
            last = i;
    }
    return s_offer(self, group, last);
}

static void s_earn(load_t *self, group_t *group, int64_t elapsed)
{
    double rate = self->settings.rate / self->settings.groups;
    group->due += rate * (double)elapsed / 1e9;
    if (group->due > rate * DEBT + 1)
        group->due = rate * DEBT + 1;
}

//  The group ends with the block that the foremost of its publishers is in.
static void s_end_group(load_t *self, group_t *group)
{
    uint64_t foremost = 0;
    for (unsigned i = 0; i < self->settings.publishers; i++)
        if (group->publishers[i].next > foremost)
            foremost = group->publishers[i].next;
    uint64_t blocks = foremost / self->settings.clients / BLOCK + 1;
    if (group->rounds > blocks * BLOCK)
        group->rounds = blocks * BLOCK;
}

static bool s_is_done(const load_t *self, const group_t *group)
{
    for (unsigned i = 0; i < self->settings.publishers; i++)
        if (group->publishers[i].next / self->settings.clients < group->rounds)
            return false;
    return true;
}

static bool s_are_done(const load_t *self)
{
    for (unsigned i = 0; i < self->settings.groups; i++)
        if (!s_is_done(self, &self->groups[i]))
            return false;
    return true;
}

//  Offers at the rate until it is over, then what is left to complete, while there is
//  patience.
static void s_offer_all(load_t *self)
{
    int64_t then = record_clock(), until = 0;
    while (!s_are_done(self) && (!until || then < until)) {
        int64_t now = record_clock();
        unsigned pushed = 0;
        for (unsigned i = 0; i < self->settings.groups; i++) {
            s_earn(self, &self->groups[i], now - then);
            pushed += s_turn(self, &self->groups[i]);
        }
        if (s_stopped && !until) {
            until = now + self->settings.patience;
            for (unsigned i = 0; i < self->settings.groups; i++)
                s_end_group(self, &self->groups[i]);
        }
        then = now;
        if (!pushed)
            nanosleep(&s_rest, NULL);
    }
}

static uint64_t s_undecided(const load_t *self)
{
    uint64_t pushed = 0;
    for (unsigned i = 0; i < self->settings.groups; i++)
        for (unsigned k = 0; k < self->settings.publishers; k++)
            pushed += seqpush_publisher_stats(self->groups[i].publishers[k].library)->pushed;
    return pushed - self->decided;
}

//  Waits for the outcomes of all, by turns: one publisher's push may fill the hole that another's
//  waits for.
static void s_drain(load_t *self)
{
    int64_t until = record_clock() + self->settings.patience;
    while (s_undecided(self) && record_clock() < until) {
        for (unsigned i = 0; i < self->settings.groups; i++)
            for (unsigned k = 0; k < self->settings.publishers; k++)
                seqpush_publisher_poll(self->groups[i].publishers[k].library, 0);
        nanosleep(&s_rest, NULL);
    }
}

//  ---- the command -------------------------------------------------------------------------------

static void s_close(load_t *self)
{
    for (unsigned i = 0; i < self->settings.groups; i++)
        for (unsigned k = 0; k < self->settings.publishers; k++)
            seqpush_publisher_destroy(&self->groups[i].publishers[k].library);
    record_close(&self->record);
}

static bool s_open(load_t *self)
{
    seqpush_publisher_options_t options = {
        .broker = self->settings.broker, .on_outcome = s_on_outcome, .arg = self};
    int rc = record_open(&self->record, self->settings.log);
    if (rc < 0)
        errno = -rc;
    for (unsigned i = 0; rc == 0 && i < self->settings.groups; i++) {
        group_t *group = &self->groups[i];
        group->number = self->settings.first + i;
        group->rounds = self->settings.rounds ? self->settings.rounds : UINT64_MAX;
        for (unsigned k = 0; rc == 0 && k < self->settings.publishers; k++) {
            group->publishers[k].library = seqpush_publisher_new(&options);
            rc = group->publishers[k].library ? 0 : -errno;
        }
    }
    return rc == 0;
}

static int s_run(load_t *self)
{
    if (!s_open(self)) {
        perror(self->settings.log);
        return EXIT_FAILURE;
    }
    s_offer_all(self);
    s_drain(self);
    uint64_t undecided = s_undecided(self);
    bool done = s_are_done(self);
    fprintf(stderr, "decided %llu undecided %llu%s\n", (unsigned long long)self->decided,
            (unsigned long long)undecided, done ? "" : " incomplete");
    return undecided || !done ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool s_set(settings_t *settings, int option, const char *value)
{
    double number = strtod(value, NULL);
    switch (option) {
    case 'f':
        settings->first = (unsigned)number;
        return true;
    case 'g':
        settings->groups = (unsigned)number;
        return settings->groups >= 1 && settings->groups <= GROUPS_MAX;
    case 'c':
        settings->clients = (unsigned)number;
        return settings->clients >= 1;
    case 'p':
        settings->publishers = (unsigned)number;
        return settings->publishers >= 1 && settings->publishers <= PUBLISHERS_MAX;
    case 'r':
        settings->rate = number;
        return number > 0;
    case 'n':
        settings->rounds = (uint64_t)number;
        return settings->rounds % BLOCK == 0;
    case 's':
        settings->size = (unsigned)number;
        return settings->size >= RECORD_HASH && settings->size <= PAYLOAD_MAX;
    case 'w':
        settings->patience = (int64_t)(number * 1e9);
        return number > 0;
    case 'x':
        settings->seed = (unsigned)number;
        return true;
    default:
        return false;
    }
}

static bool s_parse(settings_t *settings, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "f:g:c:p:r:n:s:w:x:")) != -1)
        if (option == '?' || !s_set(settings, option, optarg))
            return false;
    if (argc - optind != 2)
        return false;
    settings->broker = argv[optind];
    settings->log = argv[optind + 1];
    return true;
}

int main(int argc, char **argv)
{
    static load_t load = {.settings = {.groups = 10,
                                       .clients = 10,
                                       .publishers = 2,
                                       .size = 64,
                                       .rate = 1000,
                                       .patience = 60000000000}};
    if (!s_parse(&load.settings, argc, argv)) {
        fprintf(
            stderr,
            "Usage: soak_publisher [-f FIRST_GROUP] [-g GROUPS] [-c CLIENTS] [-p PUBLISHERS] "
            "[-r RATE] [-n ROUNDS, a multiple of %d] [-s SIZE] [-w SECONDS] [-x SEED] BROKER LOG\n",
            BLOCK);
        return EXIT_FAILURE;
    }
    signal(SIGTERM, s_on_signal);
    int status = s_run(&load);
    s_close(&load);
    return status;
}
