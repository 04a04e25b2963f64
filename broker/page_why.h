/*  page_why.h - why a client does not move, in plain words

    Pure. Sentences are without a full stop at their end, so that they can be put behind a client's
    name.                                                                                          */

#ifndef SEQPUSH_PAGE_WHY_H
#define SEQPUSH_PAGE_WHY_H

#include "explain.h"

#define PAGE_WHY_MAX 1024

//  The state's name as it goes into JSON: idle, gap, unattached, ...
const char *page_state_name(explain_state_t state);

//  What keeps the client, at `now`.
void page_why(char why[PAGE_WHY_MAX], const explain_row_t *row, int64_t now);

//  What an operator can do about it. Empty: nothing has to be done.
void page_advice(char advice[PAGE_WHY_MAX], const explain_client_t *client, int64_t now);

#endif
