//  pulse.c - whether an actor still takes its turns; see pulse.h

#include "pulse.h"

bool pulse_ask(pulse_t *self, zactor_t *actor, const stats_t *pulses)
{
    uint64_t answered = stats_get(pulses);
    if (answered < self->awaited)
        return false;
    self->awaited = answered + 1;
    zstr_send(actor, PULSE_COMMAND);
    return true;
}
