//  model_repair.c - publishers are asked for what is missing, seldom; see model.h

#include "model.h"

#define WAIT_MAX INT64_C(5000000000) //  ns
#define SECOND INT64_C(1000000000)
#define USUAL_MAX SECOND

void model_note_peer(model_client_t *client, uint64_t peer)
{
    if (!peer || peer == client->peers[0])
        return;
    client->peers[1] = client->peers[0];
    client->peers[0] = peer;
}

static int64_t s_longest(const model_t *self, int64_t now)
{
    int64_t longest = self->hole_longest;
    for (int64_t at = self->hole_longest_at + SECOND; at <= now && longest; at += SECOND)
        longest /= 2;
    return longest;
}

void model_note_filled(model_t *self, int64_t lasted, int64_t now)
{
    if (lasted < s_longest(self, now))
        return;
    self->hole_longest = lasted;
    self->hole_longest_at = now;
}

static int64_t s_delay(const model_t *self, const model_client_t *client, int64_t now)
{
    int64_t usual = 2 * s_longest(self, now), delay = client->rule.repair_delay;
    if (usual > USUAL_MAX)
        usual = USUAL_MAX;
    return usual > delay ? usual : delay;
}

void model_begin_repair(const model_t *self, model_client_t *client, int64_t now)
{
    bool begun = client->epoch > 0 || client->next_seq > client->rule.first_seq;
    client->repairs = client->asked = 0;
    client->repair_at = INT64_MAX;
    if (client->rule.repair_delay && begun)
        client->repair_at = client->hole_since + s_delay(self, client, now);
}

static void s_put_off(const model_t *self, model_client_t *client, int64_t now)
{
    int64_t wait = s_delay(self, client, now);
    client->repairs++;
    for (uint32_t i = 0; i < client->repairs && wait < WAIT_MAX; i++)
        wait *= 2;
    client->repair_at = now + (wait < WAIT_MAX ? wait : WAIT_MAX);
    client->asked = client->peers[1] != 0;
}

void model_repair(model_t *self, uint32_t index, uint64_t peer, position_t at, uint64_t to,
                  int64_t now)
{
    model_client_t *client = &self->clients[index];
    check(client->exists && client->hole_since && model_has_window(client), "repair of no hole");
    check(at.epoch == client->epoch && at.seq + 1 == client->next_seq, "start of the repair");
    for (uint64_t seq = client->next_seq; seq <= to; seq++)
        check(!model_held(client, seq) && !model_is_marked(client, seq), "%llu is not missing",
              (unsigned long long)seq);
    check(model_held(client, to + 1) || model_is_marked(client, to + 1), "end of the repair");
    if (client->asked) {
        check(peer == client->peers[1], "peer %llu is asked", (unsigned long long)peer);
        client->asked = 0;
        return;
    }
    check(now >= client->repair_at, "asked too early");
    check(peer == client->peers[0], "peer %llu is asked", (unsigned long long)peer);
    s_put_off(self, client, now);
}

void model_all_repaired(model_t *self, int64_t now)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        if (!client->exists || !client->hole_since)
            continue;
        if (!client->peers[0] && now >= client->repair_at)
            s_put_off(self, client, now);
        check(now < client->repair_at, "nobody was asked");
        check(!client->asked, "one publisher was not asked");
    }
}
