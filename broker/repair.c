//  repair.c - the last two publishers of a client are asked for what is missing
//
//  Pushes that overtake each other fill their holes within a moment, so a hole is asked for only when it
//  has stood at the head of the line for ordering/repair_delay, and for twice as long as any that was
//  filled of late: a broker or publishers that are behind so cause no storm. Then it is asked for less
//  and less often: each wait is twice the one before it. A client has one hole that is asked for, the
//  one that it waits at. Of a client whose stream has not begun nobody can tell what is missing.

#include "core_state.h"
#include <string.h>

#define DOUBLINGS_MAX 13 //  of a ms, beyond the longest wait
#define SECOND INT64_C(1000000000)
#define USUAL_MAX SECOND //  ns that a hole is waited for at most because others lasted long
#define WAIT_MAX INT64_C(5000000000) //  ns between two Repairs, or the delay if that is longer

static bool s_has_begun(const client_t *client)
{
    return client->epoch > 0 || client->view.next_seq > client->rule->settings.first_seq;
}

//  How long holes last that are filled: the longest one, which counts half as much each second.
static int64_t s_usual(const core_t *self, int64_t now)
{
    int64_t seconds = (now - self->hole_longest_at) / SECOND;
    return seconds < 63 ? self->hole_longest >> seconds : 0;
}

void repair_filled(core_t *self, const client_t *client, int64_t now)
{
    int64_t lasted = now - client->view.hole_since;
    if (client->flow->repair_at == INT64_MAX || lasted < s_usual(self, now))
        return;
    self->hole_longest = lasted;
    self->hole_longest_at = now;
}

//  0: never.
static int64_t s_delay(const core_t *self, const client_t *client, int64_t now)
{
    int64_t delay = client->rule->settings.repair_delay, usual = 2 * s_usual(self, now);
    usual = usual < USUAL_MAX ? usual : USUAL_MAX;
    return delay && usual > delay ? usual : delay;
}

void repair_begin(const core_t *self, client_t *client, int64_t now)
{
    int64_t delay = s_delay(self, client, now);
    //  Without memory what lies behind the hole cannot be held either, and there is none.
    if (!client_flows(client))
        return;
    client->repairs = 0;
    client->flow->repair_at =
        delay && s_has_begun(client) ? client->view.hole_since + delay : INT64_MAX;
}

//  The last seq of the hole at the head of the line.
static uint64_t s_end(const client_t *client)
{
    uint64_t next = client->view.next_seq, seq = next;
    while (!window_holds(&client->flow->window, next, seq + 1) &&
           !window_marked(&client->flow->window, next, seq + 1))
        seq++;
    return seq;
}

uint64_t repair_peer(const core_t *self, uint32_t low)
{
    return self->newest_peer - (uint32_t)((uint32_t)self->newest_peer - low);
}

static void s_ask(core_t *self, const client_t *client)
{
    for (int i = 0; i < 2 && client->publishers[i]; i++) {
        core_effect_t *effect = effect_tell(self, EFFECT_REPAIR);
        effect->peer = repair_peer(self, client->publishers[i]);
        memcpy(effect->id, client->id, client->id_size);
        effect->id_size = client->id_size;
        effect->position = client_released(client);
        effect->to = s_end(client);
    }
}

static int64_t s_wait(const core_t *self, client_t *client, int64_t now)
{
    int64_t delay = s_delay(self, client, now);
    if (client->repairs < DOUBLINGS_MAX)
        client->repairs++;
    int64_t wait = delay << client->repairs, max = delay > WAIT_MAX ? delay : WAIT_MAX;
    return wait < max ? wait : max;
}

int64_t repair_look(core_t *self, client_t *client, int64_t now)
{
    if (!client->view.hole_since)
        return INT64_MAX;
    if (now >= client->flow->repair_at) {
        s_ask(self, client);
        client->flow->repair_at = now + s_wait(self, client, now);
    }
    return client->flow->repair_at;
}
