/*  survey.h - who stands still, as the status tells it

    The orderer looks at all clients in slices beside its work, which takes a while if there are many.
    The status does not wait for that. It tells what was found last, and when that was, and asks for
    the next look. After a look the orderer is left alone for twenty times as long as it took, so that
    looking costs a twentieth of it at most, however many look. Any http thread.                    */

#ifndef SEQPUSH_SURVEY_H
#define SEQPUSH_SURVEY_H

#include "inquiry.h"
#include <jansson.h>
#include <pthread.h>

typedef struct {
    json_t *found; //  NULL: nothing yet
    int64_t at; //  when that was so
    int64_t next; //  when to look again
} survey_list_t;

typedef struct {
    pthread_mutex_t lock;
    survey_list_t clients, receivers;
    bool asked; //  it was the last that asked, and has not taken the answer
    int64_t wanted; //  since when an answer is; 0: it is there
} survey_t;

void survey_init(survey_t *self);
void survey_fini(survey_t *self);

//  Takes what was answered to the survey, if it was the last that asked. Whoever begins an inquiry calls
//  this first.
void survey_take(survey_t *self, const query_t *query);

//  Has the orderer look again where that is due, and waits for it until `end` at most.
void survey_look(survey_t *self, inquiry_t *inquiry, int64_t end);

//  What page_json.h says of the list, and `seconds_ago`, when that was so. A JSON null if nothing was
//  found yet, or the orderer does not answer.
json_t *survey_json(survey_t *self, query_kind_t kind, int64_t now);

#endif
