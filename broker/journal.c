//  journal.c - the engines that there are; see journal.h

#include "journal.h"
#include <string.h>

const journal_engine_t journal_none = {.name = "none", .keeps = false};

static const journal_engine_t *const s_engines[] = {&journal_none, &journal_lmdb};

const journal_engine_t *journal_named(const char *name)
{
    for (size_t i = 0; i < sizeof s_engines / sizeof *s_engines; i++)
        if (strcmp(s_engines[i]->name, name) == 0)
            return s_engines[i];
    return NULL;
}
