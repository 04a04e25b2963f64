/*  config_check.h - what must hold between the keys of a configuration, when all layers are read */

#ifndef SEQPUSH_CONFIG_CHECK_H
#define SEQPUSH_CONFIG_CHECK_H

#include "config_loader.h"

//  Completes the rules, and checks all. Returns false with the error set, and its place.
bool config_check(config_loader_t *self);

#endif
