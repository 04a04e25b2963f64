/*  reload.h - a configuration that was read again while the broker runs

    Some keys take effect at once, the others need a restart; config_key.c says which. What changed is
    logged key by key, and what needs a restart is logged at each reload until there was one. Main
    thread.                                                                                       */

#ifndef SEQPUSH_RELOAD_H
#define SEQPUSH_RELOAD_H

#include "config.h"

//  Takes over into `running` what takes effect while the broker runs; `fresh` gets the old values in
//  return. Returns how many keys take effect; `*reordered`: clients that come are ordered in another way.
unsigned reload_take(config_t *running, config_t *fresh, bool *reordered);

#endif
