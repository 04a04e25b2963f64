//  guests.c - the connections to the http server; see guests.h

#include "guests.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

struct guest {
    int fd; //  borrowed; -1: it was sent away
    bool busy;
    guest_t *prev, *next;
};

void guests_init(guests_t *self, unsigned max)
{
    *self = (guests_t){.max = max};
    pthread_mutex_init(&self->lock, NULL);
}

void guests_fini(guests_t *self)
{
    pthread_mutex_destroy(&self->lock);
}

//  Its thread sees the end of the connection, and closes it.
static void s_send_away(guests_t *self, guest_t *guest)
{
    shutdown(guest->fd, SHUT_RDWR);
    guest->fd = -1;
    self->count--;
}

//  The last one has just come.
static void s_make_room(guests_t *self)
{
    guest_t *guest = self->idlest;
    while (self->count > self->max && guest->next) {
        if (!guest->busy && guest->fd >= 0)
            s_send_away(self, guest);
        guest = guest->next;
    }
}

guest_t *guests_enter(guests_t *self, int fd)
{
    guest_t *guest = calloc(1, sizeof *guest);
    if (!guest)
        return NULL;
    guest->fd = fd;
    pthread_mutex_lock(&self->lock);
    DL_APPEND(self->idlest, guest);
    self->count++;
    s_make_room(self);
    pthread_mutex_unlock(&self->lock);
    return guest;
}

void guests_set_busy(guests_t *self, guest_t *guest, bool busy)
{
    if (!guest)
        return;
    pthread_mutex_lock(&self->lock);
    guest->busy = busy;
    DL_DELETE(self->idlest, guest);
    DL_APPEND(self->idlest, guest);
    pthread_mutex_unlock(&self->lock);
}

void guests_leave(guests_t *self, guest_t *guest)
{
    if (!guest)
        return;
    pthread_mutex_lock(&self->lock);
    DL_DELETE(self->idlest, guest);
    if (guest->fd >= 0)
        self->count--;
    pthread_mutex_unlock(&self->lock);
    free(guest);
}
