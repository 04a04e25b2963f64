//  test_inquiry.c - a query to the orderer: answered, late, and not at all; and over HTTP then

#include "core_fixture.h"
#include "http.h"
#include "inquiry.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

//  The orderer's part, on a thread of its own, as long as `run` is set.
typedef struct {
    inquiry_t *inquiry;
    core_t *core;
    pthread_t thread;
    _Atomic bool run;
} orderer_t;

static void *s_answer(void *arg)
{
    orderer_t *self = arg;
    while (atomic_load(&self->run)) {
        pipe_t *pipe = inquiry_pipe(self->inquiry);
        zmq_pollitem_t items[1];
        pipe_wait(&pipe, 1, items, 0, 1);
        while (inquiry_answer(self->inquiry, self->core, pipe_clock()))
            continue;
    }
    return NULL;
}

static void s_start(orderer_t *self, fixture_t *f)
{
    fixture_start(f);
    self->core = f->core;
    self->inquiry = inquiry_new();
    assert_non_null(self->inquiry);
    fixture_fill(f, "a", 2, 3);
}

static void s_run(orderer_t *self)
{
    atomic_store(&self->run, true);
    assert_int_equal(pthread_create(&self->thread, NULL, s_answer, self), 0);
}

static void s_rest(orderer_t *self)
{
    atomic_store(&self->run, false);
    pthread_join(self->thread, NULL);
}

//  For at most so many ms.
static bool s_ask_for_a(orderer_t *self, int64_t patience)
{
    int64_t end = pipe_clock() + patience * 1000000;
    query_t *query = inquiry_begin(self->inquiry, end);
    if (!query)
        return false;
    query->kind = QUERY_CLIENT;
    query->id_size = 1;
    query->id[0] = 'a';
    bool found = inquiry_ask(self->inquiry, end) && query->found && query->client.row.held == 2;
    inquiry_end(self->inquiry);
    return found;
}

#define LONG 15000 //  ms; more than a busy machine needs

static void what_is_asked_is_answered_again_and_again(void **state)
{
    orderer_t orderer = {0};
    s_start(&orderer, *state);
    s_run(&orderer);
    for (int i = 0; i < 100; i++)
        assert_true(s_ask_for_a(&orderer, LONG));
    s_rest(&orderer);
    inquiry_destroy(&orderer.inquiry);
}

//  While the orderer has the query nobody can ask; who waits until it has answered after all, can.
static void an_orderer_that_does_not_answer_costs_one_deadline(void **state)
{
    orderer_t orderer = {0};
    s_start(&orderer, *state);
    assert_false(s_ask_for_a(&orderer, 10));
    assert_null(inquiry_begin(orderer.inquiry, pipe_clock()));
    s_run(&orderer);
    assert_true(s_ask_for_a(&orderer, LONG));
    s_rest(&orderer);
    inquiry_destroy(&orderer.inquiry);
}

static size_t s_drop(char *bytes, size_t one, size_t size, void *arg)
{
    (void)bytes;
    (void)one;
    (void)arg;
    return size;
}

static long s_get(const http_t *http, const char *path)
{
    char url[128];
    long status = 0;
    snprintf(url, sizeof url, "http://%s%s", http_address(http), path);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, s_drop);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    return status;
}

static void without_an_orderer_queries_are_unavailable_and_figures_are_there(void **state)
{
    orderer_t orderer = {0};
    s_start(&orderer, *state);
    broker_stats_t *stats = stats_new(1, pipe_clock());
    char *error = NULL;
    http_t *http = http_new("127.0.0.1:0", stats, orderer.inquiry, &error);
    assert_non_null(http);
    assert_int_equal(s_get(http, "/api/clients/a"), 503);
    assert_int_equal(s_get(http, "/api/clients"), 503);
    assert_int_equal(s_get(http, "/api/receivers"), 503);
    assert_int_equal(s_get(http, "/api/status"), 200);
    assert_int_equal(s_get(http, "/metrics"), 200);
    assert_int_equal(s_get(http, "/healthz"), 200);
    s_run(&orderer);
    while (s_get(http, "/api/clients/a") == 503)
        zmq_poll(NULL, 0, 1);
    assert_int_equal(s_get(http, "/api/clients/a"), 200);
    assert_int_equal(s_get(http, "/api/clients/b"), 404);
    http_destroy(&http);
    s_rest(&orderer);
    inquiry_destroy(&orderer.inquiry);
    stats_destroy(&stats);
}

#define CORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE(what_is_asked_is_answered_again_and_again),
        CORE(an_orderer_that_does_not_answer_costs_one_deadline),
        CORE(without_an_orderer_queries_are_unavailable_and_figures_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
