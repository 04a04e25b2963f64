/*  page_json.h - what the orderer has answered, as JSON

    Ids are bytes: `client` and `receiver` are text where that is UTF-8; else the member is
    `client_base64`, `receiver_base64`. Times are seconds. The caller has the reference to what these
    return. NULL: no memory. Pure.                                                                 */

#ifndef SEQPUSH_PAGE_JSON_H
#define SEQPUSH_PAGE_JSON_H

#include "query.h"
#include <jansson.h>

//  All that is known of a client.
json_t *page_json_client(const query_t *query);

//  An object {clients: [...], looked_at, whole, next}: `next` is the cursor of the page that
//  follows, or null.
json_t *page_json_clients(const query_t *query);

//  An object {receivers: [...], looked_at, whole}.
json_t *page_json_receivers(const query_t *query);

#define PAGE_CURSOR_MAX (24 + 2 * ID_MAX)

//  A cursor as text, and back: false if it is none.
void page_cursor_print(char cursor[PAGE_CURSOR_MAX], const shortlist_key_t *key);
bool page_cursor_read(const char *cursor, shortlist_key_t *key);

#endif
