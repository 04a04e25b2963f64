//  survey.c - who stands still, as the status tells it; see survey.h

#include "survey.h"
#include "page_json.h"

#define ROWS 10 //  of each list
#define REST 20 //  times as long as a look took
#define PATIENCE INT64_C(2000000000) //  ns after which an orderer does not answer

void survey_init(survey_t *self)
{
    *self = (survey_t){0};
    pthread_mutex_init(&self->lock, NULL);
}

void survey_fini(survey_t *self)
{
    json_decref(self->clients.found);
    json_decref(self->receivers.found);
    pthread_mutex_destroy(&self->lock);
}

static survey_list_t *s_list(survey_t *self, query_kind_t kind)
{
    return kind == QUERY_CLIENTS ? &self->clients : &self->receivers;
}

void survey_take(survey_t *self, const query_t *query)
{
    pthread_mutex_lock(&self->lock);
    if (self->asked) {
        survey_list_t *list = s_list(self, query->kind);
        json_decref(list->found);
        list->found =
            query->kind == QUERY_CLIENTS ? page_json_clients(query) : page_json_receivers(query);
        list->at = query->now;
        list->next = query->now + REST * (query->now - query->begun);
        self->asked = false;
        self->wanted = 0;
    }
    pthread_mutex_unlock(&self->lock);
}

//  Returns false if the list is new enough.
static bool s_ask(survey_t *self, query_t *query, query_kind_t kind)
{
    int64_t now = pipe_clock();
    pthread_mutex_lock(&self->lock);
    bool due = now >= s_list(self, kind)->next;
    if (due) {
        self->asked = true;
        self->wanted = now;
    }
    pthread_mutex_unlock(&self->lock);
    query->kind = kind;
    query->stuck = true;
    query->limit = ROWS;
    query->after.id_size = 0;
    return due;
}

//  Returns false if there was no answer in time.
static bool s_look_at(survey_t *self, inquiry_t *inquiry, query_t *query, query_kind_t kind,
                      int64_t end)
{
    if (!s_ask(self, query, kind))
        return true;
    if (!inquiry_ask(inquiry, end))
        return false;
    survey_take(self, query);
    return true;
}

//  The orderer has what was asked last, by whomever.
static void s_want(survey_t *self)
{
    pthread_mutex_lock(&self->lock);
    if (!self->wanted)
        self->wanted = pipe_clock();
    pthread_mutex_unlock(&self->lock);
}

void survey_look(survey_t *self, inquiry_t *inquiry, int64_t end)
{
    query_t *query = inquiry_begin(inquiry, end);
    if (!query) {
        s_want(self);
        return;
    }
    survey_take(self, query);
    //  Receivers are fewer.
    if (s_look_at(self, inquiry, query, QUERY_RECEIVERS, end))
        s_look_at(self, inquiry, query, QUERY_CLIENTS, end);
    inquiry_end(inquiry);
}

json_t *survey_json(survey_t *self, query_kind_t kind, int64_t now)
{
    json_t *json = NULL;
    pthread_mutex_lock(&self->lock);
    const survey_list_t *list = s_list(self, kind);
    if (list->found && !(self->wanted && now - self->wanted > PATIENCE)) {
        json = json_deep_copy(list->found);
        json_object_set_new(json, "seconds_ago", json_real((double)(now - list->at) * 1e-9));
    }
    pthread_mutex_unlock(&self->lock);
    return json ? json : json_null();
}
