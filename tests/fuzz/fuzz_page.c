//  fuzz_page.c - any bytes as the path and the arguments of a URL: every page is a text
//
//  The input is a path and then values of arguments by turns, each behind a NUL.

#include "page.h"
#include "policy.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static page_source_t s_source;
static orderer_stats_t s_stats;

typedef struct {
    const char *at; //  the next value
    const char *end;
} arguments_t;

static const char *s_get(void *arg, const char *name)
{
    arguments_t *self = arg;
    (void)name;
    if (self->at >= self->end)
        return NULL;
    const char *value = self->at;
    self->at += strlen(value) + 1;
    return value;
}

//  The orderer's part: it answers for a core without clients.
static void *s_answer(void *arg)
{
    core_settings_t settings = {.policy = &policy_strict,
                                .window = 16,
                                .first_seq = 1,
                                .max_clients = 8,
                                .memory_max = 65536,
                                .backlog = 32,
                                .backlog_bytes = 4096,
                                .max_receivers = 4};
    core_t *core = core_new(&settings, &s_stats);
    pipe_t *pipe = inquiry_pipe(arg);
    zmq_pollitem_t items[1];
    while (core)
        if (!inquiry_answer(arg, core, 1))
            pipe_wait(&pipe, 1, items, 0, -1);
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    pthread_t thread;
    page_source_init(&s_source, stats_new(1, 1), inquiry_new());
    return pthread_create(&thread, NULL, s_answer, s_source.inquiry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1);
    memcpy(text, data, size);
    arguments_t values = {text + strlen(text), text + size};
    if (values.at < values.end)
        values.at++;
    page_arguments_t arguments = {s_get, &values};
    page_t page = page_answer(&s_source, text, &arguments);
    if (!page.text || page.status < 200 || page.status > 503)
        abort();
    free(page.text);
    free(text);
    return 0;
}
