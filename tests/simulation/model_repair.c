//  model_repair.c - publishers are asked for what is missing, seldom; see model.h

#include "model.h"

#define WAIT_MAX INT64_C(5000000000) //  ns

void model_note_peer(model_client_t *client, uint64_t peer)
{
    if (!peer || peer == client->peers[0])
        return;
    client->peers[1] = client->peers[0];
    client->peers[0] = peer;
}

void model_begin_repair(model_client_t *client)
{
    bool begun = client->epoch > 0 || client->next_seq > client->rule.first_seq;
    client->repairs = client->asked = 0;
    client->repair_at = INT64_MAX;
    if (client->rule.repair_delay && begun)
        client->repair_at = client->hole_since + client->rule.repair_delay;
}

static void s_put_off(model_client_t *client, int64_t now)
{
    int64_t wait = client->rule.repair_delay;
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
    s_put_off(client, now);
}

void model_all_repaired(model_t *self, int64_t now)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        if (!client->exists || !client->hole_since)
            continue;
        if (!client->peers[0] && now >= client->repair_at)
            s_put_off(client, now);
        check(now < client->repair_at, "nobody was asked");
        check(!client->asked, "one publisher was not asked");
    }
}
