/*  broker_orderer.h - a broker's orderer, with its settings, and the journal behind it

    Main thread. */

#ifndef SEQPUSH_BROKER_ORDERER_H
#define SEQPUSH_BROKER_ORDERER_H

#include "broker_state.h"

//  Makes the orderer, restores what the journal keeps, and starts both. The workers run, the journal is
//  open and the gate is there. Returns false with `*error` as of broker_new.
bool broker_orderer_start(broker_t *self, char **error);

#endif
