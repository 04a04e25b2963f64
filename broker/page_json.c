//  page_json.c - what the orderer has answered, as JSON; see page_json.h

#include "page_json.h"
#include "page_why.h"
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define BASE64_MAX sodium_base64_ENCODED_LEN(ID_MAX, BASE64)

static json_t *s_seconds(int64_t ns)
{
    return json_real((double)ns * 1e-9);
}

//  ns, or null.
static json_t *s_seconds_if(bool known, int64_t ns)
{
    return known ? s_seconds(ns) : json_null();
}

//  jansson has integers up to 2^63 - 1; what is greater is rounded.
static json_t *s_number(uint64_t number)
{
    return number > INT64_MAX ? json_real((double)number) : json_integer((json_int_t)number);
}

//  Adds an id, by `name` or in base64 by `name`_base64.
static void s_set_id(json_t *json, const char *name, const uint8_t *id, size_t size)
{
    json_t *text = json_stringn((const char *)id, size);
    if (text) {
        json_object_set_new(json, name, text);
        return;
    }
    char base64[BASE64_MAX], member[32];
    snprintf(member, sizeof member, "%s_base64", name);
    json_object_set_new(json, member,
                        json_string(sodium_bin2base64(base64, sizeof base64, id, size, BASE64)));
}

static json_t *s_row(const explain_row_t *row, int64_t now)
{
    char why[PAGE_WHY_MAX];
    page_why(why, row, now);
    bool still = row->state != EXPLAIN_IDLE;
    json_t *json = json_object();
    s_set_id(json, "client", row->key.id, row->key.id_size);
    json_object_set_new(json, "state", json_string(page_state_name(row->state)));
    json_object_set_new(json, "why", json_string(why));
    json_object_set_new(json, "still_seconds",
                        s_seconds_if(still, still ? now - row->key.since : 0));
    json_object_set_new(json, "epoch", s_number(row->position.epoch));
    json_object_set_new(json, "next_seq", s_number(row->position.seq + 1));
    json_object_set_new(json, "held", s_number(row->held));
    json_object_set_new(json, "retained", s_number(row->retained));
    json_object_set_new(json, "waiting_for_journal", s_number(row->waiting));
    json_object_set_new(json, "unacknowledged", s_number(row->unacked));
    return json;
}

static json_t *s_receiver(const explain_receiver_t *receiver, int64_t now)
{
    static const char *const kinds[] = {
        [RECEIVER_NOBODY] = "nobody", [RECEIVER_ROUTE] = "route", [RECEIVER_ATTACHED] = "attached",
        [RECEIVER_GONE] = "gone",     [RECEIVER_ENDED] = "ended",
    };
    bool served = receiver->kind == RECEIVER_ROUTE || receiver->kind == RECEIVER_ATTACHED;
    bool waits = receiver->key.since != INT64_MAX;
    json_t *json = json_object();
    if (receiver->key.id_size)
        s_set_id(json, "receiver", receiver->key.id, receiver->key.id_size);
    json_object_set_new(json, "kind", json_string(kinds[receiver->kind]));
    json_object_set_new(json, "endpoint",
                        *receiver->endpoint ? json_string(receiver->endpoint) : json_null());
    json_object_set_new(json, "generation", s_number(receiver->generation));
    json_object_set_new(json, "worker", served ? s_number(receiver->worker) : json_null());
    json_object_set_new(json, "acknowledges", json_boolean(!receiver->ack_none));
    json_object_set_new(json, "clients", s_number(receiver->clients));
    json_object_set_new(json, "retained", s_number(receiver->retained));
    json_object_set_new(json, "unacknowledged", s_number(receiver->unacked));
    json_object_set_new(json, "unacknowledged_bytes", s_number(receiver->unacked_bytes));
    json_object_set_new(json, "kept_bytes", s_number(receiver->kept_bytes));
    json_object_set_new(json, "waits_seconds",
                        s_seconds_if(waits, waits ? now - receiver->key.since : 0));
    json_object_set_new(json, "heard_seconds_ago",
                        s_seconds_if(receiver->heard != 0, now - receiver->heard));
    json_object_set_new(json, "endpoint_full", json_boolean(receiver->worker_full));
    json_object_set_new(json, "bytes_full", json_boolean(receiver->bytes_full));
    return json;
}

static json_t *s_hole(const explain_client_t *client)
{
    if (!client->hole)
        return json_null();
    uint64_t from = client->row.position.seq + 1;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "from", s_number(from), "to",
                     client->first_held ? s_number(client->first_held - 1) : json_null(),
                     "age_seconds", s_seconds(client->hole), "given_up_in_seconds",
                     s_seconds_if(client->gives_up_in != INT64_MAX, client->gives_up_in),
                     "repairs_asked", s_number(client->repairs), "repair_in_seconds",
                     s_seconds_if(client->repair_in != INT64_MAX, client->repair_in));
}

static json_t *s_publishers(const explain_client_t *client)
{
    json_t *json = json_array();
    for (int i = 0; i < 2 && client->publishers[i]; i++)
        json_array_append_new(json, s_number(client->publishers[i]));
    return json;
}

static json_t *s_held(const explain_client_t *client)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "pushes", s_number(client->row.held), "bytes",
                     s_number(client->held_bytes), "first_seq",
                     client->first_held ? s_number(client->first_held) : json_null(),
                     "first_for_seconds", s_seconds_if(client->first_held, client->held_for));
}

static json_t *s_policy(const explain_client_t *client)
{
    const policy_settings_t *settings = &client->settings;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "name", client->policy, "rule",
                     json_string(client->match), "window", s_number(settings->window),
                     "gap_timeout_seconds", s_seconds(settings->gap_timeout), "gap_alarm_seconds",
                     s_seconds(settings->gap_alarm), "repair_delay_seconds",
                     s_seconds(settings->repair_delay));
}

json_t *page_json_client(const query_t *query)
{
    static const char *const numberings[] = {
        [NUMBERED_BY_NOBODY] = "nobody",
        [NUMBERED_BY_PUBLISHERS] = "publishers",
        [NUMBERED_BY_BROKER] = "broker",
    };
    const explain_client_t *client = &query->client;
    char advice[PAGE_WHY_MAX];
    page_advice(advice, client, query->now);
    json_t *json = s_row(&client->row, query->now);
    json_object_set_new(json, "advice", *advice ? json_string(advice) : json_null());
    json_object_set_new(json, "hole", s_hole(client));
    json_object_set_new(json, "held", s_held(client));
    json_object_set_new(json, "acknowledged",
                        json_pack("{s:o, s:o}", "epoch", s_number(client->acked.epoch), "seq",
                                  s_number(client->acked.seq)));
    json_object_set_new(json, "retained_for_seconds",
                        s_seconds_if(client->row.retained, client->released));
    json_object_set_new(json, "kept_bytes", s_number(client->kept_bytes));
    json_object_set_new(json, "backlog_full", json_boolean(client->backlog_full));
    json_object_set_new(json, "policy", s_policy(client));
    json_object_set_new(json, "publishers", s_publishers(client));
    json_object_set_new(json, "numbered_by", json_string(numberings[client->numbering]));
    json_object_set_new(json, "attached_by_name", json_boolean(client->attached_by_name));
    json_object_set_new(json, "receiver", s_receiver(&client->receiver, query->now));
    return json;
}

json_t *page_json_clients(const query_t *query)
{
    json_t *rows = json_array(), *next = json_null();
    for (uint32_t i = 0; i < query->count; i++)
        json_array_append_new(rows, s_row(&query->clients[i], query->now));
    if (query->count == query->limit) {
        char cursor[PAGE_CURSOR_MAX];
        page_cursor_print(cursor, &query->clients[query->count - 1].key);
        next = json_string(cursor);
    }
    return json_pack("{s:o, s:o, s:b, s:o}", "clients", rows, "looked_at", s_number(query->total),
                     "whole", query->whole, "next", next);
}

json_t *page_json_receivers(const query_t *query)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < query->count; i++)
        json_array_append_new(rows, s_receiver(&query->receivers[i], query->now));
    return json_pack("{s:o, s:o, s:b}", "receivers", rows, "looked_at", s_number(query->total),
                     "whole", query->whole);
}

//  ---- cursors -----------------------------------------------------------------------------------

void page_cursor_print(char cursor[PAGE_CURSOR_MAX], const shortlist_key_t *key)
{
    int used = snprintf(cursor, PAGE_CURSOR_MAX, "%" PRId64 "-", key->since);
    sodium_bin2hex(cursor + used, (size_t)(PAGE_CURSOR_MAX - used), key->id, key->id_size);
}

bool page_cursor_read(const char *cursor, shortlist_key_t *key)
{
    int used = 0;
    size_t size = 0;
    const char *end = NULL;
    if (sscanf(cursor, "%" SCNd64 "-%n", &key->since, &used) != 1 || !used ||
        sodium_hex2bin(key->id, sizeof key->id, cursor + used, strlen(cursor + used), NULL, &size,
                       &end) != 0 ||
        *end || !size)
        return false;
    key->id_size = (uint8_t)size;
    return true;
}
