//  core.c - the ordering core as a whole: its life, and its time; see core.h and core_state.h

#include "core_state.h"
#include <stdlib.h>

#define DUE_A_TURN 1024 //  timers, so that many that are due at once do not hold up what comes in

//  What a timer is embedded in.
#define TIMER_OWNER(entry, type, field) ((type *)((char *)(entry)-offsetof(type, field)))

//  The rules of the settings, and one for all other clients.
static rule_set_t *s_make_rules(const core_settings_t *settings)
{
    size_t count = settings->rule_count;
    rule_t *rules = calloc(count + 1, sizeof *rules);
    if (!rules)
        return NULL;
    for (size_t i = 0; i < count; i++)
        rules[i] = settings->rules[i];
    rules[count] = (rule_t){"*",
                            settings->policy,
                            {settings->window, settings->first_seq, settings->gap_timeout,
                             settings->gap_alarm, settings->repair_delay}};
    rule_set_t *set = rule_set_new(rules, count + 1);
    free(rules);
    return set;
}

core_t *core_new(const core_settings_t *settings, orderer_stats_t *stats)
{
    core_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = stats;
    self->next_generation = settings->first_generation;
    self->idle_timer.kind = TIMER_IDLE;
    self->oldest_timer.kind = TIMER_OLDEST;
    self->compaction_timer.kind = TIMER_COMPACTION;
    self->rules = s_make_rules(settings);
    if (!self->rules || !route_open_all(self))
        core_destroy(&self);
    return self;
}

void core_destroy(core_t **self_p)
{
    core_t *self = *self_p;
    if (!self)
        return;
    client_list_fini(self);
    delivery_fini(self);
    route_fini(self);
    rule_set_release(&self->rules);
    receiver_table_fini(self);
    timer_fini(&self->timers);
    change_fini(self);
    free(self->confirmations);
    free(self->effects);
    free(self);
    *self_p = NULL;
}

void core_set_rules(core_t *self, rule_set_t *rules)
{
    rule_set_release(&self->rules);
    self->rules = rules;
}

void core_tick(core_t *self, int64_t now)
{
    timer_entry_t *due;
    for (int i = 0; i < DUE_A_TURN && (due = timer_take(&self->timers, now)); i++) {
        switch (due->kind) {
        case TIMER_CLIENT:
            stream_due(self, TIMER_OWNER(due, client_t, timer), now);
            break;
        case TIMER_RECEIVER:
            session_due(self, TIMER_OWNER(due, receiver_t, timer), now);
            break;
        case TIMER_RESEND:
            redelivery_due(self, TIMER_OWNER(due, receiver_t, resend), now);
            break;
        case TIMER_OLDEST:
            redelivery_look_at_oldest(self, now);
            break;
        case TIMER_COMPACTION:
            compaction_due(self, now);
            break;
        default:
            client_list_drop_idle(self, now);
        }
    }
}

int64_t core_next_tick(const core_t *self)
{
    return timer_next(&self->timers);
}

bool core_batch_waits(const core_t *self)
{
    return self->batch_waits;
}

uint64_t core_kept_bytes(const core_t *self)
{
    return self->kept_bytes;
}

uint64_t core_kept(const core_t *self)
{
    uint64_t kept = 0;
    for (const client_t *client = self->oldest; client; client = client->newer)
        kept += client_kept(client) - client->flow->retained.notices;
    return kept;
}
