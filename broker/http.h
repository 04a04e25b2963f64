/*  http.h - the pages of the broker, on threads of their own (libmicrohttpd)

    Reads the figures that the actors keep, so a scrape costs the way of a push nothing; what only the
    orderer knows is asked of it, with a deadline. Each connection has a thread, so who waits, or hangs,
    holds up nobody else; how many there are, and for how long, is bounded.                        */

#ifndef SEQPUSH_HTTP_H
#define SEQPUSH_HTTP_H

#include "inquiry.h"
#include "stats.h"

typedef struct http http_t;

//  Starts to serve on `bind` (address:port, [v6]:port; port 0: any free one). `stats` and
//  `inquiry` (NULL: nobody answers) are borrowed and must outlive the server. Returns NULL with errno
//  set, and `*error` to a sentence that the caller frees, if the address is not valid or cannot be
//  bound. Main thread.
http_t *http_new(const char *bind, const broker_stats_t *stats, inquiry_t *inquiry, char **error);

//  The address that is served, port resolved, as address:port. Owned by the server.
const char *http_address(const http_t *self);

//  Stops serving; waits for requests that are being answered. Takes NULL.
void http_destroy(http_t **self_p);

#endif
