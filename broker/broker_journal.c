//  broker_journal.c - a broker's journal: opened, read, written, closed; see broker_journal.h

#include "broker_journal.h"
#include "keeper.h"
#include "log.h"
#include "restore.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_PIPE_CAPACITY 65536 //  operations

//  journal/path, or the state directory as systemd names it: the first of a list.
static char *s_journal_path(const broker_t *self)
{
    const char *path = self->config->journal.path, *state = getenv("STATE_DIRECTORY");
    if (*path)
        return strdup(path);
    return state && *state ? strndup(state, strcspn(state, ":")) : strdup("/var/lib/seqpush");
}

bool broker_journal_open(broker_t *self, char **error)
{
    self->engine = journal_named(self->config->journal.engine);
    if (!self->engine->keeps)
        return true;
    char *path = s_journal_path(self);
    journal_settings_t settings = {.path = path, .max_bytes = self->config->journal.max_bytes};
    if (path)
        self->store = self->engine->open(&settings, error);
    free(path);
    return self->store &&
           pipe_new(&self->journal_near, &self->journal_far, JOURNAL_PIPE_CAPACITY) == 0;
}

//  Brings the core to where the journal says that it was.
bool broker_journal_restore(broker_t *self, char **error)
{
    if (!self->store)
        return true;
    int64_t began = pipe_clock();
    restore_t *restore = restore_new(orderer_core(self->orderer), began);
    bool ok = restore && self->engine->load(self->store, restore_take, restore, error) &&
              restore_end(restore);
    restore_destroy(&restore);
    if (!ok && !*error)
        *error =
            strdup("no memory, or not enough ordering/max_clients, for what the journal keeps");
    if (ok)
        log_info("the journal was read in %" PRId64 " ms: %" PRIu64 " pushes of %" PRIu64
                 " clients",
                 (pipe_clock() - began) / 1000000, orderer_kept(self->orderer),
                 stats_get(&self->stats->orderer.clients));
    return ok;
}

bool broker_journal_start(broker_t *self)
{
    if (!self->store)
        return true;
    const config_t *config = self->config;
    committer_settings_t settings = {.engine = self->engine,
                                     .store = self->store,
                                     .commit_max = config->journal.commit_max,
                                     .commit_interval = config->journal.commit_interval * 1000000LL,
                                     .orderer = self->journal_far,
                                     .stats = &self->stats->journal};
    self->committer = committer_new(&settings);
    self->committer_actor = self->committer ? zactor_new(committer_run, self->committer) : NULL;
    return self->committer_actor != NULL;
}

void broker_journal_close(broker_t *self)
{
    pipe_t *ends[] = {self->journal_near, self->journal_far};
    committer_destroy(&self->committer);
    for (int i = 0; i < 2; i++)
        if (ends[i])
            keeper_take_back(pipe_empty(ends[i]));
    pipe_destroy(&self->journal_near);
    pipe_destroy(&self->journal_far);
    if (self->store)
        self->engine->close(&self->store);
}
