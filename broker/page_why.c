//  page_why.c - why a client does not move, in plain words; see page_why.h

#include "page_why.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

//  Bytes of each of the two parts of an advice.
#define ADVICE_MAX (PAGE_WHY_MAX - 16)

const char *page_state_name(explain_state_t state)
{
    static const char *const names[EXPLAIN_STATES] = {
        [EXPLAIN_IDLE] = "idle",
        [EXPLAIN_GAP] = "gap",
        [EXPLAIN_UNATTACHED] = "unattached",
        [EXPLAIN_GONE] = "gone",
        [EXPLAIN_UNSTORED] = "unstored",
        [EXPLAIN_QUEUED] = "queued",
        [EXPLAIN_UNACKNOWLEDGED] = "unacknowledged",
    };
    assert(state < EXPLAIN_STATES);
    return names[state];
}

//  "1 push is held", "12 pushes are held".
static const char *s_held(char text[48], uint32_t count)
{
    snprintf(text, 48, "%" PRIu32 "%s", count, count == 1 ? " push is held" : " pushes are held");
    return text;
}

//  Pushes, gap notices and markers: "1 entry waits", "12 entries wait".
static const char *s_waiting(char text[48], uint32_t count)
{
    snprintf(text, 48, "%" PRIu32 "%s", count, count == 1 ? " entry waits" : " entries wait");
    return text;
}

static double s_seconds(int64_t ns)
{
    return ns > 0 ? (double)ns * 1e-9 : 0;
}

//  The one reason that the state names.
static void s_reason(char why[PAGE_WHY_MAX], const explain_row_t *row, int64_t now)
{
    char many[48];
    double still = s_seconds(now - row->key.since);
    uint64_t next = row->position.seq + 1, epoch = row->position.epoch;
    switch (row->state) {
    case EXPLAIN_GAP:
        snprintf(why, PAGE_WHY_MAX,
                 "waits for seq %" PRIu64 " of epoch %" PRIu64 ", missing for %.1f s; %s behind it",
                 next, epoch, still, s_held(many, row->held));
        return;
    case EXPLAIN_UNATTACHED:
        snprintf(why, PAGE_WHY_MAX, "no receiver has attached it; %s, the oldest for %.1f s",
                 s_waiting(many, row->retained), still);
        return;
    case EXPLAIN_GONE:
        snprintf(why, PAGE_WHY_MAX, "its receiver is gone; %s, for %.1f s",
                 s_waiting(many, row->retained), still);
        return;
    case EXPLAIN_UNSTORED:
        snprintf(why, PAGE_WHY_MAX, "the journal has not stored what goes before; %s, for %.1f s",
                 s_waiting(many, row->retained), still);
        return;
    case EXPLAIN_QUEUED:
        snprintf(why, PAGE_WHY_MAX,
                 "the way to its receiver has no room; %s to be sent, the oldest for %.1f s",
                 s_waiting(many, row->retained), still);
        return;
    case EXPLAIN_UNACKNOWLEDGED:
        snprintf(why, PAGE_WHY_MAX,
                 "its receiver has not acknowledged what was first sent %.1f s ago; %s", still,
                 s_waiting(many, row->retained));
        return;
    case EXPLAIN_IDLE:
    case EXPLAIN_STATES:
        snprintf(why, PAGE_WHY_MAX,
                 "has nothing to deliver; the next is seq %" PRIu64 " of epoch %" PRIu64, next,
                 epoch);
    }
}

//  What comes beside the reason.
static void s_besides(char why[PAGE_WHY_MAX], const explain_row_t *row)
{
    char many[48];
    if (row->state == EXPLAIN_GAP || row->held == 0)
        return;
    size_t used = strlen(why);
    snprintf(why + used, PAGE_WHY_MAX - used, "; besides, seq %" PRIu64 " is missing, and %s",
             row->position.seq + 1, s_held(many, row->held));
}

void page_why(char why[PAGE_WHY_MAX], const explain_row_t *row, int64_t now)
{
    s_reason(why, row, now);
    s_besides(why, row);
    if (row->waiting == 0)
        return;
    size_t used = strlen(why);
    snprintf(why + used, PAGE_WHY_MAX - used, "; %" PRIu32 " more %s for the journal to keep %s",
             row->waiting, row->waiting == 1 ? "waits" : "wait", row->waiting == 1 ? "it" : "them");
}

static void s_advise_on_gap(char advice[ADVICE_MAX], const explain_client_t *client)
{
    const position_t *at = &client->row.position;
    uint64_t from = at->seq + 1, to = client->first_held - 1;
    if (client->gives_up_in != INT64_MAX)
        snprintf(advice, ADVICE_MAX, "the policy gives up what is missing in %.1f s",
                 s_seconds(client->gives_up_in));
    else if (client->first_held)
        snprintf(advice, ADVICE_MAX,
                 "%spush seqs %" PRIu64 " to %" PRIu64
                 " again, or give them up: seqpush skip CLIENT %" PRIu64 " %" PRIu64
                 " --epoch %" PRIu64,
                 client->repairs ? "publishers were asked and have not sent it: " : "", from, to,
                 from, to, at->epoch);
    else
        snprintf(advice, ADVICE_MAX,
                 "push seq %" PRIu64 " again, or give it up: seqpush skip CLIENT", from);
}

static void s_advise_on_receiver(char advice[ADVICE_MAX], const explain_receiver_t *receiver)
{
    const char *reason = receiver->worker_full ? "the endpoint takes nothing more"
                                               : "the receiver does not acknowledge";
    snprintf(advice, ADVICE_MAX,
             "%s: look at the receiver at %s, or take its clients from it: seqpush detach "
             "RECEIVER",
             reason, *receiver->endpoint ? receiver->endpoint : "its endpoint");
}

//  What helps against the one reason that the state names.
static void s_advise(char advice[PAGE_WHY_MAX], const explain_client_t *client)
{
    switch (client->row.state) {
    case EXPLAIN_GAP:
        s_advise_on_gap(advice, client);
        return;
    case EXPLAIN_UNATTACHED:
    case EXPLAIN_GONE:
        snprintf(advice, PAGE_WHY_MAX, "start a receiver that attaches it");
        return;
    case EXPLAIN_UNSTORED:
        snprintf(advice, PAGE_WHY_MAX, "look at the disk of journal/path, and at the log");
        return;
    case EXPLAIN_QUEUED:
    case EXPLAIN_UNACKNOWLEDGED:
        s_advise_on_receiver(advice, &client->receiver);
        return;
    case EXPLAIN_IDLE:
    case EXPLAIN_STATES:
        return;
    }
}

void page_advice(char advice[PAGE_WHY_MAX], const explain_client_t *client, int64_t now)
{
    *advice = '\0';
    if (now - client->row.key.since < EXPLAIN_STUCK)
        return;
    s_advise(advice, client);
    if (client->row.state == EXPLAIN_GAP || !client->hole)
        return;
    size_t used = strlen(advice);
    char besides[ADVICE_MAX];
    s_advise_on_gap(besides, client);
    snprintf(advice + used, PAGE_WHY_MAX - used, "; %s", besides);
}
