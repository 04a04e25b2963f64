//  tool_push_summary.c - what `seqpush push` says at its end; see tool_push_summary.h

#include "tool_push_summary.h"

#define SECOND 1000000000LL

static json_t *s_refused(const uint64_t *outcomes)
{
    json_t *refused = json_object();
    for (size_t i = 0; i < TOOL_OUTCOMES; i++)
        if (outcomes[i] && i != SEQPUSH_ACCEPTED && i != SEQPUSH_DUPLICATE)
            json_object_set_new(refused, seqpush_outcome_name((seqpush_outcome_t)i),
                                json_integer((json_int_t)outcomes[i]));
    return refused;
}

static json_t *s_json(const push_summary_t *self)
{
    const seqpush_publisher_stats_t *stats = self->stats;
    double seconds = (double)(tool_now() - self->started) / SECOND;
    json_int_t decided = (json_int_t)tool_decided(stats);
    json_t *summary = json_pack(
        "{s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:f, s:f}", "pushed", (json_int_t)self->lines,
        "accepted", (json_int_t)stats->outcomes[SEQPUSH_ACCEPTED], "duplicates",
        (json_int_t)stats->outcomes[SEQPUSH_DUPLICATE], "refused", s_refused(stats->outcomes),
        "no_outcome", (json_int_t)self->lines - decided, "retries", (json_int_t)stats->retries,
        "resends", (json_int_t)stats->resends, "unreceived", (json_int_t)stats->unreceived,
        "seconds", seconds, "rate", (double)decided / seconds);
    if (self->confirm) {
        json_object_set_new(summary, "delivered", json_integer((json_int_t)stats->delivered));
        json_object_set_new(summary, "given_up", json_integer((json_int_t)stats->given_up));
        json_object_set_new(summary, "unconfirmed", json_integer((json_int_t)self->unconfirmed));
    }
    return summary;
}

static void s_print_text(const json_t *summary)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)summary, name, value)
    {
        if (json_is_object(value)) {
            const char *outcome;
            json_t *count;
            json_object_foreach(value, outcome, count)
                printf("%-12s %" JSON_INTEGER_FORMAT "\n", outcome, json_integer_value(count));
        } else if (json_is_real(value)) {
            printf("%-12s %.3f\n", name, json_real_value(value));
        } else {
            printf("%-12s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
        }
    }
}

void push_summary_print(const push_summary_t *self, bool json)
{
    json_t *summary = s_json(self);
    if (!json)
        s_print_text(summary);
    else
        tool_print_json(stdout, json_incref(summary));
    json_decref(summary);
}
