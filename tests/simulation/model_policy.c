//  model_policy.c - the ordering policies, each said once more in the plainest way; see model.h

#include "model.h"
#include <string.h>

#define TICK (INT64_C(1) << 14) //  ns that the age of what is held is measured in

static const char *const s_names[] = {[MODEL_STRICT] = "strict",
                                      [MODEL_DEADLINE] = "deadline",
                                      [MODEL_LATEST] = "latest",
                                      [MODEL_PASSTHROUGH] = "passthrough",
                                      [MODEL_PLAYOUT] = "playout"};

void model_set_rule(model_client_t *client, const rule_t *rule)
{
    client->rule = rule->settings;
    client->policy = MODEL_STRICT;
    while (strcmp(s_names[client->policy], rule->policy->name) != 0)
        client->policy++;
    if (!model_has_window(client))
        client->rule.window = 0;
}

bool model_has_window(const model_client_t *client)
{
    return client->policy != MODEL_LATEST && client->policy != MODEL_PASSTHROUGH;
}

//  ---- outcomes ----------------------------------------------------------------------------------

static outcome_t s_judge_latest(const model_client_t *client, uint64_t seq)
{
    if (seq >= client->next_seq)
        return OUTCOME_ACCEPTED;
    return seq == client->next_seq - 1 && !model_was_given_up(client, seq) ? OUTCOME_DUPLICATE
                                                                           : OUTCOME_STALE;
}

outcome_t model_judge_seq(model_client_t *client, uint64_t seq)
{
    if (client->policy == MODEL_PASSTHROUGH)
        return OUTCOME_ACCEPTED;
    if (client->policy == MODEL_LATEST)
        return s_judge_latest(client, seq);
    if (seq < client->next_seq)
        return model_was_given_up(client, seq) ? OUTCOME_STALE : OUTCOME_DUPLICATE;
    if (seq >= client->next_seq + client->rule.window)
        return OUTCOME_WINDOW_FULL;
    if (model_held(client, seq))
        return OUTCOME_DUPLICATE;
    return model_is_marked(client, seq) ? OUTCOME_STALE : OUTCOME_ACCEPTED;
}

//  ---- what moves on -----------------------------------------------------------------------------

static model_held_t *s_first_held(model_client_t *client)
{
    model_held_t *first = NULL;
    for (uint32_t i = 0; i < client->held.count; i++)
        if (!first || client->held.items[i].seq < first->seq)
            first = &client->held.items[i];
    return first;
}

//  Announces what was skipped and is next.
static void s_pass_marks(model_t *self, model_client_t *client, int64_t now)
{
    uint64_t from = client->next_seq;
    while (model_is_marked(client, client->next_seq))
        client->next_seq++;
    if (client->next_seq != from)
        model_announce(self, client, from, client->next_seq - 1, now);
}

//  Releases and passes over what follows, as long as something does.
static void s_run(model_t *self, model_client_t *client, int64_t now)
{
    model_held_t *held;
    s_pass_marks(self, client, now);
    while ((held = model_held(client, client->next_seq))) {
        model_release(self, client, held, now);
        s_pass_marks(self, client, now);
    }
}

//  Gives up what is missing before the first that is held.
static void s_give_up(model_t *self, model_client_t *client, int64_t now)
{
    uint64_t from = client->next_seq, to = s_first_held(client)->seq - 1;
    client->next_seq = to + 1;
    model_announce(self, client, from, to, now);
    self->counts.gaps_expired++;
}

static void s_settle_deadline(model_t *self, model_client_t *client, uint64_t next, int64_t now)
{
    s_run(self, client, now);
    bool stands = client->hole_since && client->next_seq == next && client->held.count;
    if (!stands || now - client->hole_since < client->rule.gap_timeout)
        return;
    s_give_up(self, client, now);
    s_run(self, client, now);
}

static void s_settle_playout(model_t *self, model_client_t *client, int64_t now)
{
    model_held_t *first;
    s_pass_marks(self, client, now);
    while ((first = s_first_held(client)) &&
           now - first->arrived / TICK * TICK >= client->rule.gap_timeout) {
        if (first->seq != client->next_seq)
            s_give_up(self, client, now);
        model_release(self, client, s_first_held(client), now);
        s_pass_marks(self, client, now);
    }
}

void model_settle(model_t *self, model_client_t *client, uint64_t next, int64_t now)
{
    if (client->policy == MODEL_DEADLINE)
        s_settle_deadline(self, client, next, now);
    else if (client->policy == MODEL_PLAYOUT)
        s_settle_playout(self, client, now);
    else
        s_run(self, client, now);
    model_give_back_places(client);
    if (client->held.count == 0 || model_held(client, client->next_seq)) {
        client->hole_since = 0;
    } else if (!client->hole_since || client->next_seq != next) {
        client->hole_since = now;
        client->alarmed = false;
        model_begin_repair(self, client, now);
    }
}

//  ---- what is never held ------------------------------------------------------------------------

static void s_append_push(model_client_t *client, position_t after, const model_push_t *push,
                          int64_t now)
{
    model_entry_t entry = {.kind = MODEL_PUSH,
                           .after = after,
                           .number = push->number,
                           .publisher = push->publisher,
                           .released_at = now >> 20};
    entry.size = model_size(client, &entry, push->payload_size);
    MODEL_APPEND(&client->log, entry);
}

//  Takes back what no worker has got in this generation, in this epoch. Returns true if that was
//  announced as gap already, in part.
static bool s_take_back(model_t *self, model_client_t *client)
{
    bool announced = false;
    while (client->log.count > client->acked + client->handed) {
        const model_entry_t *last = &client->log.items[client->log.count - 1];
        if (last->kind == MODEL_MARKER)
            break;
        announced |= last->kind == MODEL_GAP;
        self->counts.given_up += last->kind == MODEL_PUSH;
        model_owe(client, last->publisher, last->after, true);
        //  A receiver may have it from an earlier generation.
        MODEL_APPEND(&client->expired, *last);
        client->log.count--;
    }
    return announced;
}

static void s_accept_latest(model_t *self, model_client_t *client, const model_push_t *push,
                            uint64_t seq, int64_t now)
{
    bool announced = s_take_back(self, client);
    position_t at = client->acked_at;
    if (client->log.count > client->acked)
        at = client->log.items[client->log.count - 1].after;
    if (at.seq + 1 < seq) {
        model_entry_t gap = {.kind = MODEL_GAP,
                             .after = {client->epoch, seq - 1},
                             .from = at.seq + 1,
                             .released_at = now >> 20};
        gap.size = model_size(client, &gap, 0);
        MODEL_APPEND(&client->log, gap);
        self->counts.gap_notices += !announced;
    }
    s_append_push(client, (position_t){client->epoch, seq}, push, now);
    client->next_seq = seq + 1;
}

void model_accept_unheld(model_t *self, model_client_t *client, const model_push_t *push,
                         uint64_t seq, int64_t now)
{
    self->counts.released++;
    if (client->policy == MODEL_LATEST)
        s_accept_latest(self, client, push, seq, now);
    else
        s_append_push(client, (position_t){push->epoch, seq}, push, now);
}
