//  page.c - the pages that are served over HTTP; see page.h

#include "page.h"
#include "live.h"
#include "metrics.h"
#include "page_json.h"
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_PATH "/api/clients/"
#define ROWS 100 //  of a list, if no limit is asked for

//  ns that the orderer has to answer: where nothing else is asked for, and for the lists of the status,
//  which may be those of before.
#define PATIENCE INT64_C(2000000000)
#define STATUS_PATIENCE INT64_C(4000000)

#define PLAIN "text/plain; charset=utf-8"

void page_source_init(page_source_t *self, const broker_stats_t *stats, inquiry_t *inquiry)
{
    *self = (page_source_t){.stats = stats, .inquiry = inquiry};
    self->recent.before.at = self->recent.last.at = stats->started;
    survey_init(&self->survey);
    live_init();
    pthread_mutex_init(&self->lock, NULL);
}

void page_source_fini(page_source_t *self)
{
    survey_fini(&self->survey);
    pthread_mutex_destroy(&self->lock);
}

page_t page_plain(unsigned status, const char *text)
{
    return (page_t){.status = status, .type = PLAIN, .text = strdup(text)};
}

//  Takes over the reference.
static page_t s_json(unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return (page_t){.status = status, .type = "application/json", .text = text};
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
    pthread_mutex_lock(&source->lock);
    histogram_add(&source->scrapes, (uint64_t)(pipe_clock() - start), 1);
    pthread_mutex_unlock(&source->lock);
    return (page_t){
        .status = MHD_HTTP_OK, .type = "text/plain; version=0.0.4; charset=utf-8", .text = text};
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

//  What is asked, and until when an answer is waited for.
typedef struct {
    inquiry_t *inquiry;
    query_t *query; //  to be filled in
    int64_t end;
} question_t;

//  False: the orderer has not answered the last one yet.
static bool s_begin(page_source_t *source, query_kind_t kind, question_t *question)
{
    *question = (question_t){.inquiry = source->inquiry, .end = pipe_clock() + PATIENCE};
    question->query = source->inquiry ? inquiry_begin(source->inquiry, question->end) : NULL;
    if (!question->query)
        return false;
    survey_take(&source->survey, question->query);
    question->query->kind = kind;
    question->query->stuck = false;
    question->query->limit = ROWS;
    question->query->after.id_size = 0;
    return true;
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

static page_t s_ask_for_client(const question_t *question, const char *id)
{
    if (!s_read_id(id, question->query))
        return s_error(
            MHD_HTTP_BAD_REQUEST,
            "a client's id has 1 to 64 bytes, percent-encoded where they are not letters "
            "or digits");
    if (!inquiry_ask(question->inquiry, question->end))
        return s_no_answer();
    if (!question->query->found)
        return s_error(MHD_HTTP_NOT_FOUND, "the broker does not know this client");
    return s_json(MHD_HTTP_OK, page_json_client(question->query));
}

static page_t s_client(page_source_t *source, const char *id)
{
    question_t question;
    if (!s_begin(source, QUERY_CLIENT, &question))
        return s_no_answer();
    page_t page = s_ask_for_client(&question, id);
    inquiry_end(question.inquiry);
    return page;
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

static page_t s_ask_for_list(const question_t *question, const page_arguments_t *arguments)
{
    const query_t *query = question->query;
    const char *wrong = s_read_list(arguments, question->query);
    if (wrong)
        return s_error(MHD_HTTP_BAD_REQUEST, wrong);
    if (!inquiry_ask(question->inquiry, question->end))
        return s_no_answer();
    return s_json(MHD_HTTP_OK, query->kind == QUERY_CLIENTS ? page_json_clients(query)
                                                            : page_json_receivers(query));
}

static page_t s_list(page_source_t *source, query_kind_t kind, const page_arguments_t *arguments)
{
    question_t question;
    if (!s_begin(source, kind, &question))
        return s_no_answer();
    page_t page = s_ask_for_list(&question, arguments);
    inquiry_end(question.inquiry);
    return page;
}

//  All of them, or one whose id a browser would take for a step in the path.
static page_t s_clients(page_source_t *source, const page_arguments_t *arguments)
{
    const char *id = s_argument(arguments, "client");
    if (id)
        return s_client(source, id);
    return s_list(source, QUERY_CLIENTS, arguments);
}

static page_t s_receivers(page_source_t *source, const page_arguments_t *arguments)
{
    return s_list(source, QUERY_RECEIVERS, arguments);
}

static json_t *s_recent(page_source_t *source)
{
    pthread_mutex_lock(&source->lock);
    json_t *json = recent_json(&source->recent, source->stats, pipe_clock());
    pthread_mutex_unlock(&source->lock);
    return json;
}

static page_t s_status(page_source_t *source, const page_arguments_t *arguments)
{
    (void)arguments;
    survey_t *survey = &source->survey;
    if (source->inquiry)
        survey_look(survey, source->inquiry, pipe_clock() + STATUS_PATIENCE);
    int64_t now = pipe_clock();
    json_t *json = metrics_json(source->stats);
    json_object_set_new(json, "recent", s_recent(source));
    json_object_set_new(json, "stuck_clients", survey_json(survey, QUERY_CLIENTS, now));
    json_object_set_new(json, "slow_receivers", survey_json(survey, QUERY_RECEIVERS, now));
    return s_json(MHD_HTTP_OK, json);
}

//  ---- the live page -----------------------------------------------------------------------------

static page_t s_live(page_source_t *source, const page_arguments_t *arguments)
{
    (void)source;
    (void)arguments;
    return (page_t){.status = MHD_HTTP_OK,
                    .type = "text/html; charset=utf-8",
                    .policy = live_policy(),
                    .text = strdup(live_page)};
}

//  ---- paths -------------------------------------------------------------------------------------

static const struct {
    const char *path;
    page_t (*answer)(page_source_t *source, const page_arguments_t *arguments);
} s_pages[] = {
    {"/", s_live},
    {"/metrics", s_metrics},
    {"/healthz", s_healthz},
    {"/readyz", s_readyz},
    {"/api/status", s_status},
    {"/api/clients", s_clients},
    {"/api/receivers", s_receivers},
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
