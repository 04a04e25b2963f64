/*  broker_journal.h - a broker's journal: opened, read, written, closed

    Main thread. What returns false may have set `*error`, as of broker_new; else there is no memory. */

#ifndef SEQPUSH_BROKER_JOURNAL_H
#define SEQPUSH_BROKER_JOURNAL_H

#include "broker_state.h"

//  Opens the store that the configuration names, if it names one, and makes the pipe to it.
bool broker_journal_open(broker_t *self, char **error);

//  Brings the core to where the journal says that it was.
bool broker_journal_restore(broker_t *self, char **error);

//  Starts the committer, which has the store from then on.
bool broker_journal_start(broker_t *self);

//  Closes the store when the committer has ended. What is left in its pipe is freed.
void broker_journal_close(broker_t *self);

#endif
