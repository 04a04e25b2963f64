//  query.c - what an operator asks of the orderer; see query.h

#include "query.h"

//  ns: whoever asks would not wait for much longer.
#define LIST_TIME INT64_C(1500000000)

void query_begin(query_t *self, int64_t now)
{
    self->begun = self->now = now;
    self->found = self->whole = false;
    self->total = self->count = 0;
    bool clients = self->kind == QUERY_CLIENTS;
    self->list = (explain_list_t){
        .stuck = self->stuck,
        .after = self->after,
        .first = {.rows = clients ? (void *)self->clients : (void *)self->receivers,
                  .row_size = clients ? sizeof *self->clients : sizeof *self->receivers,
                  .limit = self->limit}};
}

//  Returns true when the list is done, or its time is up.
static bool s_list(query_t *self, const core_t *core, int64_t now)
{
    explain_list_t *list = &self->list;
    bool done = self->kind == QUERY_CLIENTS ? explain_more_clients(core, list, now)
                                            : explain_more_receivers(core, list, now);
    if (!done && now - self->begun < LIST_TIME)
        return false;
    if (!done)
        shortlist_sort(&list->first);
    self->whole = done && !list->cut;
    self->total = list->looked;
    self->count = list->first.count;
    return true;
}

bool query_go_on(query_t *self, const core_t *core, int64_t now)
{
    self->now = now;
    if (self->kind != QUERY_CLIENT)
        return s_list(self, core, now);
    self->found = explain_client(core, self->id, self->id_size, now, &self->client);
    return true;
}
