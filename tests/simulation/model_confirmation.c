//  model_confirmation.c - what publishers are told of their pushes; see model.h
//
//  Each push that is done with is owed to its publisher. The core may tell of many at once: of all
//  that the publisher has in an epoch, up to a position.

#include "model.h"

void model_owe(model_client_t *client, uint64_t publisher, position_t position, bool given_up)
{
    if (publisher)
        MODEL_APPEND(&client->fates, ((model_fate_t){publisher, position, given_up}));
}

void model_renew(model_client_t *client, uint64_t publisher, uint64_t seq)
{
    for (uint32_t i = 0; i < client->held.count; i++)
        if (client->held.items[i].seq == seq) {
            client->held.items[i].publisher = publisher;
            return;
        }
    for (uint32_t i = client->acked; i < client->log.count; i++) {
        model_entry_t *entry = &client->log.items[i];
        if (entry->kind == MODEL_PUSH && entry->after.epoch == client->epoch &&
            entry->after.seq == seq) {
            entry->publisher = publisher;
            return;
        }
    }
    model_owe(client, publisher, (position_t){client->epoch, seq},
              model_may_have_given_up(client, seq));
}

//  Nothing that is kept still may be covered by what a publisher is told.
static void s_check_kept(const model_client_t *client, uint64_t publisher, position_t position)
{
    for (uint32_t i = 0; i < client->held.count; i++)
        check(client->held.items[i].publisher != publisher || client->epoch != position.epoch ||
                  client->held.items[i].seq > position.seq,
              "seq %llu is held, and confirmed", (unsigned long long)client->held.items[i].seq);
    for (uint32_t i = client->acked; i < client->log.count; i++) {
        const model_entry_t *entry = &client->log.items[i];
        check(entry->publisher != publisher || entry->after.epoch != position.epoch ||
                  entry->after.seq > position.seq,
              "seq %llu is retained, and confirmed", (unsigned long long)entry->after.seq);
    }
}

void model_told(model_t *self, uint32_t index, uint64_t publisher, position_t position,
                bool given_up)
{
    model_client_t *client = &self->clients[index];
    bool exact = false;
    for (uint32_t i = client->fates.count; i-- > 0;) {
        model_fate_t *fate = &client->fates.items[i];
        bool same = fate->publisher == publisher && fate->given_up == given_up &&
                    fate->position.epoch == position.epoch;
        if (!same || fate->position.seq > position.seq ||
            (given_up && fate->position.seq != position.seq))
            continue;
        exact |= fate->position.seq == position.seq;
        *fate = client->fates.items[--client->fates.count];
    }
    check(exact, "client %u: publisher %llu is told that %llu/%llu is %s", index,
          (unsigned long long)publisher, (unsigned long long)position.epoch,
          (unsigned long long)position.seq, given_up ? "given up" : "delivered");
    if (!given_up)
        s_check_kept(client, publisher, position);
}

void model_all_told(const model_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        check(self->clients[i].fates.count == 0, "client %u: publisher %llu is not told of %llu", i,
              (unsigned long long)self->clients[i].fates.items[0].publisher,
              (unsigned long long)self->clients[i].fates.items[0].position.seq);
}
