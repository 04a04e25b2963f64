//  page.c - the pages that are served over HTTP; see page.h

#include "page.h"
#include "metrics.h"
#include "page_json.h"
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_PATH "/api/clients/"
#define ROWS 100 //  of a list, if no limit is asked for
#define STATUS_ROWS 10 //  of each list in the status

#define PLAIN "text/plain; charset=utf-8"

page_t page_plain(unsigned status, const char *text)
{
    return (page_t){status, PLAIN, strdup(text)};
}

//  Takes over the reference.
static page_t s_json(unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return (page_t){status, "application/json", text};
}

static page_t s_error(unsigned status, const char *error)
{
    return s_json(status, json_pack("{s:s}", "error", error));
}

//  ---- figures -----------------------------------------------------------------------------------

static page_t s_metrics(page_source_t *source, const page_arguments_t *arguments)
{
    (void)arguments;
    int64_t start = pipe_clock();
    char *text = metrics_text(source->stats, &source->scrapes);
    histogram_add(&source->scrapes, (uint64_t)(pipe_clock() - start), 1);
    return (page_t){MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text};
}

static page_t s_healthz(page_source_t *source, const page_arguments_t *arguments)
{
    (void)source;
    (void)arguments;
    return page_plain(MHD_HTTP_OK, "ok\n");
}

static page_t s_readyz(page_source_t *source, const page_arguments_t *arguments)
{
    (void)arguments;
    if (atomic_load(&((broker_stats_t *)source->stats)->ready))
        return page_plain(MHD_HTTP_OK, "ready\n");
    return page_plain(MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
}

//  ---- what the orderer is asked -----------------------------------------------------------------

//  The query, to be filled in; NULL: the orderer has not answered the last one yet.
static query_t *s_query(page_source_t *source, query_kind_t kind)
{
    query_t *query = source->inquiry ? inquiry_query(source->inquiry) : NULL;
    if (query) {
        query->kind = kind;
        query->stuck = false;
        query->limit = ROWS;
        query->after.id_size = 0;
    }
    return query;
}

static page_t s_no_answer(void)
{
    return s_error(MHD_HTTP_SERVICE_UNAVAILABLE, "the orderer does not answer: try again");
}

static int s_hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = digit ? strchr(digits, digit) : NULL;
    return !at ? -1 : at - digits > 15 ? (int)(at - digits) - 6 : (int)(at - digits);
}

//  Reads a percent-encoded id. False if it is none, or has not 1 to 64 bytes.
static bool s_read_id(const char *text, query_t *query)
{
    query->id_size = 0;
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        if (*text == '%') {
            int high = s_hex_digit(text[1]), low = high < 0 ? -1 : s_hex_digit(text[2]);
            if (low < 0)
                return false;
            byte = (uint8_t)(high << 4 | low);
            text += 2;
        }
        if (query->id_size == ID_MAX)
            return false;
        query->id[query->id_size++] = byte;
    }
    return query->id_size > 0;
}

static page_t s_client(page_source_t *source, const char *id)
{
    query_t *query = s_query(source, QUERY_CLIENT);
    if (!query)
        return s_no_answer();
    if (!s_read_id(id, query))
        return s_error(
            MHD_HTTP_BAD_REQUEST,
            "a client's id has 1 to 64 bytes, percent-encoded where they are not letters "
            "or digits");
    if (!inquiry_ask(source->inquiry))
        return s_no_answer();
    if (!query->found)
        return s_error(MHD_HTTP_NOT_FOUND, "the broker does not know this client");
    return s_json(MHD_HTTP_OK, page_json_client(query));
}

static const char *s_argument(const page_arguments_t *arguments, const char *name)
{
    return arguments->get(arguments->arg, name);
}

//  Reads limit, stuck and cursor. Returns NULL, or what is wrong.
static const char *s_read_list(const page_arguments_t *arguments, query_t *query)
{
    const char *limit = s_argument(arguments, "limit"), *stuck = s_argument(arguments, "stuck"),
               *cursor = s_argument(arguments, "cursor");
    if (limit) {
        char *end;
        unsigned long rows = strtoul(limit, &end, 10);
        if (strspn(limit, "0123456789") == 0 || *end || rows < 1 || rows > QUERY_ROWS_MAX)
            return "limit is a number from 1 to 1000";
        query->limit = (uint32_t)rows;
    }
    if (stuck && strcmp(stuck, "0") != 0 && strcmp(stuck, "1") != 0)
        return "stuck is 0 or 1";
    query->stuck = stuck && *stuck == '1';
    if (cursor && !page_cursor_read(cursor, &query->after))
        return "cursor is what `next` of the page before says";
    return NULL;
}

static page_t s_list(page_source_t *source, query_kind_t kind, const page_arguments_t *arguments)
{
    query_t *query = s_query(source, kind);
    if (!query)
        return s_no_answer();
    const char *wrong = s_read_list(arguments, query);
    if (wrong)
        return s_error(MHD_HTTP_BAD_REQUEST, wrong);
    if (!inquiry_ask(source->inquiry))
        return s_no_answer();
    return s_json(MHD_HTTP_OK,
                  kind == QUERY_CLIENTS ? page_json_clients(query) : page_json_receivers(query));
}

static page_t s_clients(page_source_t *source, const page_arguments_t *arguments)
{
    return s_list(source, QUERY_CLIENTS, arguments);
}

static page_t s_receivers(page_source_t *source, const page_arguments_t *arguments)
{
    return s_list(source, QUERY_RECEIVERS, arguments);
}

//  Those that stand still for longest; null if the orderer does not answer.
static json_t *s_stuck(page_source_t *source, query_kind_t kind)
{
    query_t *query = s_query(source, kind);
    if (!query)
        return json_null();
    query->stuck = true;
    query->limit = STATUS_ROWS;
    if (!inquiry_ask(source->inquiry))
        return json_null();
    return kind == QUERY_CLIENTS ? page_json_clients(query) : page_json_receivers(query);
}

static page_t s_status(page_source_t *source, const page_arguments_t *arguments)
{
    (void)arguments;
    json_t *json = metrics_json(source->stats);
    json_object_set_new(json, "recent", recent_json(&source->recent, source->stats, pipe_clock()));
    json_object_set_new(json, "stuck_clients", s_stuck(source, QUERY_CLIENTS));
    json_object_set_new(json, "slow_receivers", s_stuck(source, QUERY_RECEIVERS));
    return s_json(MHD_HTTP_OK, json);
}

//  ---- paths -------------------------------------------------------------------------------------

static const struct {
    const char *path;
    page_t (*answer)(page_source_t *source, const page_arguments_t *arguments);
} s_pages[] = {
    {"/metrics", s_metrics},   {"/healthz", s_healthz},     {"/readyz", s_readyz},
    {"/api/status", s_status}, {"/api/clients", s_clients}, {"/api/receivers", s_receivers},
};

page_t page_answer(page_source_t *source, const char *path, const page_arguments_t *arguments)
{
    for (size_t i = 0; i < sizeof s_pages / sizeof s_pages[0]; i++)
        if (strcmp(path, s_pages[i].path) == 0)
            return s_pages[i].answer(source, arguments);
    if (strncmp(path, CLIENTS_PATH, strlen(CLIENTS_PATH)) == 0)
        return s_client(source, path + strlen(CLIENTS_PATH));
    return page_plain(MHD_HTTP_NOT_FOUND, "not found\n");
}
