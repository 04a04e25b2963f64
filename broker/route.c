//  route.c - clients that the configuration sends to a fixed endpoint

#include "core_state.h"
#include "glob.h"
#include <stdlib.h>
#include <string.h>

static receiver_t *s_route_receiver(core_t *self, const core_route_t *route)
{
    receiver_t *receiver = receiver_table_at(self, route->endpoint);
    if (receiver)
        return receiver;
    receiver = calloc(1, sizeof *receiver);
    if (!receiver)
        return NULL;
    receiver->kind = RECEIVER_ROUTE;
    receiver->resend.kind = TIMER_RESEND;
    receiver->ack_none = true;
    receiver_set_key(receiver, route->server_key);
    if (!receiver_table_place(self, receiver, route->endpoint)) {
        free(receiver);
        return NULL;
    }
    session_open(self, receiver);
    return receiver;
}

bool route_open_all(core_t *self)
{
    size_t count = self->settings.route_count;
    self->routes = calloc(count ? count : 1, sizeof *self->routes);
    if (!self->routes)
        return false;
    for (size_t i = 0; i < count; i++) {
        route_t *route = &self->routes[i];
        route->match = strdup(self->settings.routes[i].match);
        route->receiver = s_route_receiver(self, &self->settings.routes[i]);
        self->route_count = i + 1;
        if (!route->match || !route->receiver)
            return false;
    }
    return true;
}

receiver_t *route_of(const core_t *self, const client_t *client)
{
    for (size_t i = 0; i < self->route_count; i++)
        if (glob_match(self->routes[i].match, client->id, client->id_size))
            return self->routes[i].receiver;
    return NULL;
}

void route_fini(core_t *self)
{
    for (size_t i = 0; i < self->route_count; i++)
        free(self->routes[i].match);
    free(self->routes);
}
