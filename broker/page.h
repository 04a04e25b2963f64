/*  page.h - the pages that are served over HTTP: what each path answers

    Paths and arguments come as they are in the URL, percent-encoded. Any http thread: one that waits for
    the orderer holds up no other.                                                                 */

#ifndef SEQPUSH_PAGE_H
#define SEQPUSH_PAGE_H

#include "recent.h"
#include "survey.h"

//  What pages are made of.
typedef struct {
    const broker_stats_t *stats; //  borrowed
    inquiry_t *inquiry; //  borrowed; NULL: nobody answers
    survey_t survey;
    pthread_mutex_t lock; //  of what follows
    histogram_t scrapes; //  ns
    recent_t recent;
} page_source_t;

void page_source_init(page_source_t *self, const broker_stats_t *stats, inquiry_t *inquiry);
void page_source_fini(page_source_t *self);

typedef struct {
    unsigned status;
    const char *type;
    const char *policy; //  Content-Security-Policy; NULL: none
    char *text; //  malloc'ed; NULL: no memory
} page_t;

//  The arguments of a URL: the value of one, or NULL.
typedef struct {
    const char *(*get)(void *arg, const char *name);
    void *arg;
} page_arguments_t;

page_t page_answer(page_source_t *source, const char *path, const page_arguments_t *arguments);

//  A line of text, with a newline at its end.
page_t page_plain(unsigned status, const char *text);

#endif
