/*  page.h - the pages that are served over HTTP: what each path answers

    Paths and arguments come as they are in the URL, percent-encoded. The http thread's.           */

#ifndef SEQPUSH_PAGE_H
#define SEQPUSH_PAGE_H

#include "inquiry.h"
#include "recent.h"

//  What pages are made of. Zeroed, but for the first two, and `recent` as it says.
typedef struct {
    const broker_stats_t *stats; //  borrowed
    inquiry_t *inquiry; //  borrowed
    histogram_t scrapes; //  ns
    recent_t recent;
} page_source_t;

typedef struct {
    unsigned status;
    const char *type;
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
